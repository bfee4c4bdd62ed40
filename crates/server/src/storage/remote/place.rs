//! Which part of which bucket the store is.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A bucket and the prefix of what is ours in it, as `s3://bucket/prefix` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    pub(super) bucket: String,
    /// Without a slash at either end; empty for the whole bucket.
    pub(super) prefix: String,
}

/// What is wrong with the name of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum S3PlaceError {
    /// It is no URL of a bucket.
    #[error("a bucket is named as s3://bucket/prefix")]
    Form,
    /// The bucket's name is not one.
    #[error(
        "a bucket's name is 3 to 63 lowercase letters, digits, dots and hyphens, with a letter or digit at its ends"
    )]
    Bucket,
    /// The prefix would not lie in the bucket as it is written.
    #[error("a prefix is made of letters, digits and - _ . = + between single slashes")]
    Prefix,
}

impl FromStr for S3Place {
    type Err = S3PlaceError;

    fn from_str(url: &str) -> Result<Self, S3PlaceError> {
        let rest = url.strip_prefix("s3://").ok_or(S3PlaceError::Form)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let at_an_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        let ends = at_an_end(bucket.bytes().next()) && at_an_end(bucket.bytes().last());
        if !(3..=63).contains(&bucket.len()) || !ends || !bucket.bytes().all(inside) || bucket.contains("..") {
            return Err(S3PlaceError::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        // What the store's library would write in another way, or a gateway resolve, is not taken at all.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=' | b'+');
        let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        if prefix.len() > MOST_PREFIX || !(prefix.is_empty() || prefix.split('/').all(part)) {
            return Err(S3PlaceError::Prefix);
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// Bytes of a prefix; a key has 1024.
const MOST_PREFIX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_its_prefix_are_read_as_they_are_written() {
        for (url, shown) in
            [("s3://abc", "s3://abc"), ("s3://abc/", "s3://abc"), ("s3://a.b-c0/x/y_Z.1/", "s3://a.b-c0/x/y_Z.1")]
        {
            assert_eq!(url.parse::<S3Place>().map(|place| place.to_string()), Ok(shown.to_owned()), "{url}");
        }
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        use S3PlaceError::{Bucket, Form, Prefix};
        for (url, error) in [
            ("gs://abc", Form),
            ("s3:/abc", Form),
            ("s3://", Bucket),
            ("s3:///x", Bucket),
            ("s3://ab", Bucket),
            ("s3://Abc", Bucket),
            ("s3://-abc", Bucket),
            ("s3://a..c", Bucket),
            ("s3://key:secret@abc", Bucket),
            ("s3://abc//x", Prefix),
            ("s3://abc/x//y", Prefix),
            ("s3://abc/../y", Prefix),
            ("s3://abc/x?y", Prefix),
            ("s3://abc/%2e", Prefix),
        ] {
            assert_eq!(url.parse::<S3Place>(), Err(error), "{url}");
        }
    }
}
