//! Names of immutable bytes: stored objects and stored indexes.

use std::fmt;

/// The key of a stored object: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey([u8; 32]);

/// The key of a stored index: the object that it describes and the version of the index form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey {
    /// The object described.
    pub object: ObjectKey,
    /// Version of the index form and of the program part that wrote it.
    pub version: u32,
}

impl ObjectKey {
    /// The key with this SHA-256 digest.
    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The key written as 64 lower-case hex digits, `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut digest = [0u8; 32];
        for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
            *byte = pair.iter().try_fold(0u8, |sum, &digit| Some(sum << 4 | hex_value(digit)?))?;
        }
        Some(Self(digest))
    }

    /// The digest.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl IndexKey {
    /// The key written as the object's, a point and the version; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (object, version) = text.split_once('.')?;
        let key = Self { object: ObjectKey::parse(object)?, version: version.parse().ok()? };
        // One key has one name: `+1` and `01` are not it.
        (key.version.to_string() == version).then_some(key)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object, self.version)
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_lower_case_hex_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(ObjectKey::parse(&text).unwrap().to_string(), text);
        for wrong in ["", "00", &"00FF".repeat(16), &"0g".repeat(32), &"../".repeat(22)] {
            assert_eq!(ObjectKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_of_an_index_is_that_of_its_object_and_a_version() {
        let object = "00ff".repeat(16);
        let text = format!("{object}.17");
        assert_eq!(IndexKey::parse(&text).unwrap().to_string(), text);
        for wrong in ["", "17", &object, &format!("{object}."), &format!("{object}.+1"), &format!("{object}.01")] {
            assert_eq!(IndexKey::parse(wrong), None, "{wrong}");
        }
    }
}
