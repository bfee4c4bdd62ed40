//! The Native DICOM Model [PS3.19 A.1.6].

use std::io;

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_dictionary_std::StandardDataDictionary;

use super::{Attribute, Form, Value, base64, name_groups};

/// Writes one document.
pub(super) struct Writer<'o> {
    out: &'o mut dyn io::Write,
    /// Items so far of each sequence that is open.
    items: Vec<u32>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut dyn io::Write) -> Self {
        Self { out, items: Vec::new() }
    }

    fn begin_attribute(&mut self, attribute: &Attribute<'_>) -> io::Result<()> {
        let tag = attribute.tag;
        // Which block of a group a creator has reserved is the object's matter: it is named instead.
        let shown = if attribute.private_creator.is_some() { tag & 0xffff_00ff } else { tag };
        write!(self.out, "<DicomAttribute tag=\"{shown:08X}\" vr=\"{}\"", attribute.vr)?;
        if let Some(keyword) = keyword(tag) {
            write!(self.out, " keyword=\"{keyword}\"")?;
        }
        if let Some(creator) = attribute.private_creator {
            write!(self.out, " privateCreator=\"{}\"", Escaped(creator))?;
        }
        self.out.write_all(b">")
    }

    fn values(&mut self, values: &[String]) -> io::Result<()> {
        for (number, value) in (1u32..).zip(values) {
            write!(self.out, "<Value number=\"{number}\">{}</Value>", Escaped(value))?;
        }
        Ok(())
    }

    fn name(&mut self, number: u32, name: &str) -> io::Result<()> {
        const COMPONENTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
        write!(self.out, "<PersonName number=\"{number}\">")?;
        for (called, group) in name_groups(name) {
            write!(self.out, "<{called}>")?;
            for (component, text) in COMPONENTS.into_iter().zip(group.split('^')).filter(|(_, text)| !text.is_empty()) {
                write!(self.out, "<{component}>{}</{component}>", Escaped(text))?;
            }
            write!(self.out, "</{called}>")?;
        }
        self.out.write_all(b"</PersonName>")
    }
}

impl Form for Writer<'_> {
    fn begin(&mut self) -> io::Result<()> {
        self.out.write_all(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">",
        )
    }

    fn value(&mut self, attribute: &Attribute<'_>, value: &Value) -> io::Result<()> {
        self.begin_attribute(attribute)?;
        match value {
            Value::Empty => {}
            Value::Text(values) | Value::NumberText(values) | Value::Numbers(values) => self.values(values)?,
            Value::PersonNames(names) => {
                for (number, name) in (1u32..).zip(names) {
                    self.name(number, name)?;
                }
            }
            Value::Bytes(bytes) => {
                self.out.write_all(b"<InlineBinary>")?;
                base64::encode(bytes, self.out)?;
                self.out.write_all(b"</InlineBinary>")?;
            }
            Value::BulkData(uri) => write!(self.out, "<BulkData uri=\"{}\"/>", Escaped(uri))?,
        }
        self.out.write_all(b"</DicomAttribute>")
    }

    fn begin_sequence(&mut self, attribute: &Attribute<'_>) -> io::Result<()> {
        self.items.push(0);
        self.begin_attribute(attribute)
    }

    fn begin_item(&mut self) -> io::Result<()> {
        let number = self.items.last_mut().map_or(1, |items| {
            *items = items.saturating_add(1);
            *items
        });
        write!(self.out, "<Item number=\"{number}\">")
    }

    fn end_item(&mut self) -> io::Result<()> {
        self.out.write_all(b"</Item>")
    }

    fn end_sequence(&mut self) -> io::Result<()> {
        self.items.pop();
        self.out.write_all(b"</DicomAttribute>")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"</NativeDicomModel>\n")
    }
}

fn keyword(tag: u32) -> Option<&'static str> {
    let tag = Tag(u16::try_from(tag >> 16).ok()?, u16::try_from(tag & 0xffff).ok()?);
    let entry = StandardDataDictionary.by_tag(tag).filter(|_| tag.group().is_multiple_of(2));
    entry.map(|entry| entry.alias()).filter(|keyword| !keyword.is_empty())
}

/// Text between tags and in attributes; characters that XML has no way to write are replaced [XML 1.0 2.2].
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // A reader would make a line feed or a space of these.
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(character))?,
                '\0'..' ' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
