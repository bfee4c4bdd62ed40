//! Names of imported files: which ones may be a JPIP target.

use thiserror::Error;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// No name was given.
    #[error("a name is needed")]
    Missing,
    /// Not 1 to 255 bytes.
    #[error("the name has {0} bytes, not 1 to 255")]
    Length(usize),
    /// A control character.
    #[error("the name holds a control character")]
    ControlCharacter,
    /// A part between slashes that is empty, "." or "..".
    #[error("a part of the name is empty, \".\" or \"..\"")]
    Part,
    /// It could be mistaken for an instance.
    #[error("the name has the form of a UID")]
    Uid,
    /// It could be mistaken for a series.
    #[error("the name begins with \"series/\"")]
    Series,
}

/// Checks the name of an imported file: 1–255 bytes of UTF-8, no control character, no part between slashes that is
/// empty, "." or "..", not of the form of a UID, not beginning with `series/`.
///
/// # Errors
///
/// The first rule that it breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > 255 {
        return Err(NameError::Length(name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter);
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(NameError::Part);
    }
    if is_uid(name) {
        return Err(NameError::Uid);
    }
    if name.starts_with("series/") {
        return Err(NameError::Series);
    }
    Ok(())
}

/// Whether the text has the form of a UID [PS3.5 9.1]; leading zeros of a component are let pass, as objects have them.
fn is_uid(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 64 && text.split('.').all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let longest = "x".repeat(255);
        let long = "x".repeat(256);
        let wide = "é".repeat(128);
        let no_uid = "1".repeat(65);
        let rows: &[(&str, Result<(), NameError>)] = &[
            ("a.jp2", Ok(())),
            ("folder/b c.j2k", Ok(())),
            ("Ünïcödé/图像.jph", Ok(())),
            ("...", Ok(())),
            (".hidden", Ok(())),
            ("a..b/c.", Ok(())),
            ("a\\b", Ok(())),
            ("%2e%2e", Ok(())),
            ("1.2.jp2", Ok(())),
            ("1.2/3", Ok(())),
            (".1", Ok(())),
            (&no_uid, Ok(())),
            ("series", Ok(())),
            ("Series/1", Ok(())),
            ("a/series/b", Ok(())),
            (&longest, Ok(())),
            ("", Err(NameError::Length(0))),
            (&long, Err(NameError::Length(256))),
            (&wide, Err(NameError::Length(256))),
            ("a\0b", Err(NameError::ControlCharacter)),
            ("a\nb", Err(NameError::ControlCharacter)),
            ("a\u{7f}", Err(NameError::ControlCharacter)),
            ("a\u{85}b", Err(NameError::ControlCharacter)),
            ("/a", Err(NameError::Part)),
            ("a/", Err(NameError::Part)),
            ("a//b", Err(NameError::Part)),
            (".", Err(NameError::Part)),
            ("..", Err(NameError::Part)),
            ("a/./b", Err(NameError::Part)),
            ("../../etc/passwd", Err(NameError::Part)),
            ("1.2.840.10008", Err(NameError::Uid)),
            ("0.01", Err(NameError::Uid)),
            ("7", Err(NameError::Uid)),
            ("series/1.2.3", Err(NameError::Series)),
            ("series/x", Err(NameError::Series)),
        ];
        for (name, expected) in rows {
            assert_eq!(check_name(name), *expected, "{name:?}");
        }
    }
}
