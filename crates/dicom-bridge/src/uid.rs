//! Unique identifiers [PS3.5 9.1].

use crate::error::ObjectError;

/// The UID that `bytes` spell, without the padding that stands behind it; `None` if there is nothing else.
///
/// Spaces before and behind are taken as padding like the NUL that belongs there: senders write both.
///
/// # Errors
///
/// - [`ObjectError::InvalidUid`] if it is longer than 64 characters, holds anything but digits and
///   full stops, or has an empty component.
pub(crate) fn parse_uid(bytes: &[u8], attribute: &'static str) -> Result<Option<String>, ObjectError> {
    let invalid = |why| ObjectError::InvalidUid { attribute, why };
    let text = trim_uid(bytes);
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 64 {
        return Err(invalid("longer than 64 characters"));
    }
    if !text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return Err(invalid("a character that is neither a digit nor a full stop"));
    }
    if text.split(|byte| *byte == b'.').any(<[u8]>::is_empty) {
        return Err(invalid("an empty component"));
    }
    Ok(Some(text.iter().map(|&byte| char::from(byte)).collect()))
}

fn trim_uid(bytes: &[u8]) -> &[u8] {
    let padding = |byte: &u8| *byte == 0 || *byte == b' ';
    let start = bytes.iter().position(|byte| !padding(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !padding(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_cut_and_nothing_is_none() {
        for text in ["1.2.3", "1.2.3\0", "1.2.3 ", " 1.2.3\0\0"] {
            assert_eq!(parse_uid(text.as_bytes(), "X").unwrap().as_deref(), Some("1.2.3"), "{text:?}");
        }
        for text in ["", "\0", "  "] {
            assert_eq!(parse_uid(text.as_bytes(), "X").unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_uid_is_refused() {
        let long = "1.".repeat(32) + "1";
        assert_eq!(long.len(), 65);
        for text in
            [long.as_str(), "../../tmp/evil", "1.2\0.3", "1'; DROP TABLE", "..", "1..2", ".1", "1.", "1.2\\1.3", "1.2a"]
        {
            assert!(matches!(parse_uid(text.as_bytes(), "X"), Err(ObjectError::InvalidUid { .. })), "{text:?}");
        }
        assert!(parse_uid(&long.as_bytes()[..63], "X").is_ok());
    }
}
