//! What one value inside an object is called in a URI.

use std::fmt;

use dicom_core::Tag;

/// The place of an element: the sequences and items around it, outermost first, and its tag. As text:
/// `00420011`, or `54000100/1/54001010` for an element of the first item of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkDataPath {
    /// Sequences with the number of an item, from 1.
    pub(super) items: Vec<(Tag, u32)>,
    pub(super) tag: Tag,
}

/// Sequences around an element that a path may name.
const MAX_ITEMS: usize = 64;

impl BulkDataPath {
    /// The Pixel Data of the object itself.
    pub const PIXEL_DATA: Self = Self { items: Vec::new(), tag: crate::elements::PIXEL_DATA };

    /// Reads a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut items = Vec::new();
        loop {
            let tag = parse_tag(parts.next()?)?;
            let Some(item) = parts.next() else { return Some(Self { items, tag }) };
            let is_number = item.bytes().all(|byte| byte.is_ascii_digit()) && !item.starts_with('0');
            let item = item.parse().ok().filter(|_| is_number && items.len() < MAX_ITEMS)?;
            items.push((tag, item));
        }
    }
}

impl fmt::Display for BulkDataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (tag, item) in &self.items {
            write!(f, "{:04X}{:04X}/{item}/", tag.group(), tag.element())?;
        }
        write!(f, "{:04X}{:04X}", self.tag.group(), self.tag.element())
    }
}

fn parse_tag(text: &str) -> Option<Tag> {
    let is_tag = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_tag)?;
    Some(Tag(u16::try_from(number >> 16).ok()?, u16::try_from(number & 0xffff).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        for text in ["7FE00010", "54000100/1/54001010", "52009230/120/00209113/1/00200032"] {
            assert_eq!(BulkDataPath::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(BulkDataPath::parse("7fe00010"), Some(BulkDataPath::PIXEL_DATA));
        let deep = "00081140/1/".repeat(65) + "00080018";
        for text in [
            "",
            "7FE0001",
            "7FE000100",
            "+FE00010",
            "7FE00010/",
            "7FE00010/1",
            "54000100/0/54001010",
            "54000100/+1/54001010",
            "54000100/a/54001010",
            "54000100/4294967296/54001010",
            deep.as_str(),
        ] {
            assert_eq!(BulkDataPath::parse(text), None, "{text}");
        }
    }
}
