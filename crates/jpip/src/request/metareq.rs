//! `metareq`: which metadata the client wants [15444-9 C.5.2, Cor.2].

use super::error::RequestError;
use super::scan::Scanner;
use crate::limits::Limits;

/// A parsed `metareq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRequest {
    /// A box is wanted if any group matches it.
    pub groups: Vec<MetadataGroup>,
    /// `!!`: no codestream data at all in the response.
    pub metadata_only: bool,
}

/// One bracketed group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataGroup {
    /// The boxes wanted.
    pub boxes: Vec<WantedBoxes>,
    /// The metadata-bin below which they are looked for.
    pub root: u64,
    /// Superbox levels below the root, 0 = only its own boxes; `None` = all.
    pub max_depth: Option<u64>,
}

/// One `req-box-prop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBoxes {
    /// The box type, `None` for `*`.
    pub box_type: Option<[u8; 4]>,
    /// How much of each box.
    pub limit: Option<ContentLimit>,
    /// Where a matching box may lie.
    pub scope: MetadataScope,
    /// `!`: before image data.
    pub priority: bool,
}

/// How much of a box's contents is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentLimit {
    /// At most so many bytes, 0 for the header alone.
    Bytes(u64),
    /// All descendants too.
    Recursive,
}

/// The association contexts of a `metareq-qualifier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataScope {
    /// `w`: associated with the view-window.
    pub window: bool,
    /// `s`: associated with the codestreams requested.
    pub codestreams: bool,
    /// `g`: relevant to the whole target.
    pub global: bool,
    /// `a`: all, whatever they are associated with.
    pub all: bool,
}

impl Default for MetadataScope {
    fn default() -> Self {
        Self { window: true, codestreams: true, global: true, all: false }
    }
}

impl MetadataRequest {
    pub(crate) fn parse(field: &'static str, value: &[u8], limits: &Limits) -> Result<Self, RequestError> {
        let bad = || RequestError::malformed(field, "not a list of bracketed box types");
        let mut scanner = Scanner::new(value);
        let mut groups = Vec::new();
        loop {
            if groups.len() >= limits.max_metareq_groups {
                return Err(RequestError::LimitExceeded { field, limit: limits.max_metareq_groups });
            }
            groups.push(group(field, &mut scanner, limits)?);
            if !scanner.eat(b',') {
                break;
            }
        }
        let metadata_only = scanner.eat_all(b"!!");
        if !scanner.is_empty() {
            return Err(bad());
        }
        Ok(Self { groups, metadata_only })
    }
}

fn group(field: &'static str, scanner: &mut Scanner<'_>, limits: &Limits) -> Result<MetadataGroup, RequestError> {
    let bad = || RequestError::malformed(field, "not a list of bracketed box types");
    if !scanner.eat(b'[') {
        return Err(bad());
    }
    let mut boxes = Vec::new();
    loop {
        if boxes.len() >= limits.max_metareq_properties {
            return Err(RequestError::LimitExceeded { field, limit: limits.max_metareq_properties });
        }
        boxes.push(wanted_boxes(scanner).ok_or_else(bad)?);
        if scanner.eat(b']') {
            break;
        }
        if !scanner.eat(b';') {
            return Err(bad());
        }
    }
    let root = if scanner.eat(b'R') { scanner.uint().ok_or_else(bad)? } else { 0 };
    let max_depth = if scanner.eat(b'D') { Some(scanner.uint().ok_or_else(bad)?) } else { None };
    Ok(MetadataGroup { boxes, root, max_depth })
}

fn wanted_boxes(scanner: &mut Scanner<'_>) -> Option<WantedBoxes> {
    let box_type = if scanner.eat(b'*') { None } else { Some(box_type(scanner)?) };
    let mut limit = None;
    if scanner.eat(b':') {
        limit = Some(if scanner.eat(b'r') { ContentLimit::Recursive } else { ContentLimit::Bytes(scanner.uint()?) });
    }
    let mut scope = MetadataScope::default();
    if scanner.eat(b'/') {
        let letters = scanner.take_while(|byte| b"wsga".contains(&byte));
        if letters.is_empty() {
            return None;
        }
        let has = |letter| letters.contains(&letter);
        scope = MetadataScope { window: has(b'w'), codestreams: has(b's'), global: has(b'g'), all: has(b'a') };
    }
    let priority = scanner.eat(b'!');
    Some(WantedBoxes { box_type, limit, scope, priority })
}

/// Four characters, each itself, `_` for a space, or a backslash and three octal digits.
fn box_type(scanner: &mut Scanner<'_>) -> Option<[u8; 4]> {
    let mut found = [0; 4];
    for byte in &mut found {
        *byte = match scanner.byte()? {
            b'_' => b' ',
            b'\\' => {
                let mut value = 0u16;
                for _ in 0..3 {
                    let digit = scanner.byte().filter(|byte| (b'0'..=b'7').contains(byte))?;
                    value = value * 8 + u16::from(digit - b'0');
                }
                u8::try_from(value).ok()?
            }
            b'[' | b']' | b';' | b':' => return None,
            other => other,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MetadataRequest, RequestError> {
        MetadataRequest::parse("metareq", text.as_bytes(), &Limits::default())
    }

    #[test]
    fn c_5_2_the_examples_of_the_digest() {
        let wanted = parse("[xml_;asoc/w!]R0D3").unwrap();
        let [group] = wanted.groups.as_slice() else { panic!() };
        assert_eq!((group.root, group.max_depth), (0, Some(3)));
        assert_eq!(group.boxes[0].box_type, Some(*b"xml "));
        assert!(group.boxes[1].priority && group.boxes[1].scope.window && !group.boxes[1].scope.global);
        let wanted = parse("[roid/w;lbl_:64],[xml_:r/a]!!").unwrap();
        assert!(wanted.metadata_only);
        assert_eq!(wanted.groups[0].boxes[1].limit, Some(ContentLimit::Bytes(64)));
        assert_eq!(wanted.groups[1].boxes[0].limit, Some(ContentLimit::Recursive));
        assert_eq!(parse("[*]!!").unwrap().groups[0].boxes[0].box_type, None);
        assert_eq!(parse("[xml_]D1").unwrap().groups[0].max_depth, Some(1));
        assert_eq!(parse("[xml ]").unwrap().groups[0].boxes[0].box_type, Some(*b"xml "));
        assert_eq!(parse(r"[\000\000\000\001]").unwrap().groups[0].boxes[0].box_type, Some([0, 0, 0, 1]));
    }

    #[test]
    fn malformed_metareqs_are_refused() {
        for bad in ["", "xml_", "[]", "[xml_", "[xm]", "[xml_]x", "[xml_/q]", "[xml_:]", r"[\777aaa]", "[*]!!!", "[*]R"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_and_properties_are_limited() {
        let groups = vec!["[*]"; 65].join(",");
        assert!(matches!(parse(&groups), Err(RequestError::LimitExceeded { limit: 64, .. })));
        let boxes = format!("[{}]", vec!["*"; 100_000].join(";"));
        assert!(matches!(parse(&boxes), Err(RequestError::LimitExceeded { limit: 64, .. })));
    }
}
