//! Media types with their parameters, as they stand in Content-Type and Accept [RFC 9110 8.3.1, PS3.18 8.7.3].

use std::fmt;

/// A media type or a range of them, such as `multipart/related; type="application/dicom"`.
///
/// Type, subtype and the names of parameters are lower case; values are as written, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

/// Parameters of one media type; more is no media type of anybody's.
const MAX_PARAMETERS: usize = 16;

impl MediaType {
    /// Reads one media type. Values that ought to be quoted are taken without quotes too: viewers write
    /// `type=application/octet-stream`.
    ///
    /// `None` if there is no type and subtype, a parameter has no name, a quote is left open, or there are more than
    /// sixteen parameters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = split_unquoted(text, ';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            if parameters.len() >= MAX_PARAMETERS {
                return None;
            }
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            if !is_token(name) {
                return None;
            }
            parameters.push((name.to_ascii_lowercase(), unquoted(value.trim())?));
        }
        Some(Self { essence, parameters })
    }

    /// The media types of a list that is divided by commas; what is none is left out.
    pub fn parse_list(text: &str) -> impl Iterator<Item = Self> {
        split_unquoted(text, ',').filter_map(Self::parse)
    }

    /// Type and subtype, lower case.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The first value of a parameter; `name` in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether this, as a range of media types, holds one with that type and subtype.
    #[must_use]
    pub fn covers(&self, essence: &str) -> bool {
        if self.essence == "*/*" || self.essence == essence {
            return true;
        }
        let kind = self.essence.strip_suffix("/*");
        kind.is_some_and(|kind| essence.split_once('/').is_some_and(|(other, _)| other == kind))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.essence)?;
        for (name, value) in &self.parameters {
            write!(f, "; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        Ok(())
    }
}

fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

/// The parts between separators that do not stand in quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let ends = character == separator && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    })
}

fn unquoted(value: &str) -> Option<String> {
    let Some(inside) = value.strip_prefix('"') else {
        return (!value.contains(['"', '\r', '\n'])).then(|| value.to_owned());
    };
    let (mut text, mut characters) = (String::new(), inside.chars());
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next()?),
            '\r' | '\n' => return None,
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_parameters_and_quotes_are_read() {
        let read =
            MediaType::parse(r#"Multipart/Related; TYPE="application/dicom"; transfer-syntax=*; boundary="a;b,\"c""#);
        let read = read.unwrap();
        assert_eq!(read.essence(), "multipart/related");
        assert_eq!(read.parameter("type"), Some("application/dicom"));
        assert_eq!(read.parameter("transfer-syntax"), Some("*"));
        assert_eq!(read.parameter("boundary"), Some("a;b,\"c"));
        assert_eq!(read.parameter("q"), None);
        let unquoted = MediaType::parse("multipart/related; type=application/octet-stream; transfer-syntax=*").unwrap();
        assert_eq!(unquoted.parameter("type"), Some("application/octet-stream"));
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        let many = format!("a/b{}", ";c=d".repeat(17));
        for text in ["", "a", "a/", "/b", "a/b;c", "a/b;=d", "a/b;c=\"d", "a/b;c=\"d\"e", "a /b", "ä/b", many.as_str()]
        {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_divided_outside_of_quotes() {
        let list = r#"image/jp2;q=0.5, nonsense, multipart/related; type="a/b, c/d",*/*"#;
        let read: Vec<_> = MediaType::parse_list(list).collect();
        let essences: Vec<_> = read.iter().map(MediaType::essence).collect();
        assert_eq!(essences, ["image/jp2", "multipart/related", "*/*"]);
    }

    #[test]
    fn ranges_cover_what_they_hold() {
        let covers = |range: &str, essence| MediaType::parse(range).unwrap().covers(essence);
        assert!(covers("*/*", "image/jp2") && covers("image/*", "image/jp2") && covers("image/jp2", "image/jp2"));
        assert!(!covers("image/*", "application/dicom") && !covers("image/jpx", "image/jp2"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(essence in "[a-z]{1,8}/[a-z+.]{1,8}", value in "[ -~]{0,40}") {
            let written = MediaType { essence, parameters: vec![("x".to_owned(), value)] };
            prop_assert_eq!(MediaType::parse(&written.to_string()), Some(written));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            drop(MediaType::parse_list(&text).collect::<Vec<_>>());
        }
    }
}
