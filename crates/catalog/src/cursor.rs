//! Where a listing goes on: an opaque text of `[A-Za-z0-9_-]` around an arrival serial.

use crate::error::CatalogError;

/// The text for "after the row with this serial".
pub(crate) fn encode(serial: i64) -> String {
    format!("a{serial:x}")
}

/// The serial that the text stands for.
pub(crate) fn decode(text: &str) -> Result<i64, CatalogError> {
    let digits = text.strip_prefix('a').ok_or(CatalogError::BadCursor)?;
    // from_str_radix would take a sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(CatalogError::BadCursor);
    }
    i64::from_str_radix(digits, 16).ok().ok_or(CatalogError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        for serial in [0, 1, 4711, i64::MAX] {
            assert_eq!(decode(&encode(serial)), Ok(serial));
        }
        for wrong in ["", "a", "b1", "a-1", "a+1", "a1 ", "affffffffffffffff", "1", "a1;"] {
            assert_eq!(decode(wrong), Err(CatalogError::BadCursor), "{wrong}");
        }
    }
}
