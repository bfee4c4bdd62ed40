//! XML as a run of elements. What documents use to grow (document types, entities, depth, attributes) is refused or
//! bounded; what is left is read in one pass.

use std::borrow::Cow;
use std::str;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use crate::error::AnnotationError;
use crate::limits::Limits;

/// An element that begins here.
pub(crate) struct Element<'a> {
    start: BytesStart<'a>,
    offset: u64,
}

impl Element<'_> {
    /// The name with its prefix, if it has one.
    pub(crate) fn name(&self) -> &[u8] {
        self.start.name().into_inner()
    }

    /// Visits the attributes in order, values with their character references resolved.
    pub(crate) fn for_each_attribute(
        &self,
        limits: &Limits,
        mut visit: impl FnMut(&[u8], Cow<'_, str>),
    ) -> Result<(), AnnotationError> {
        let malformed = |what| AnnotationError::Malformed { what, offset: self.offset };
        let mut attributes = self.start.attributes();
        // Looking for repeated names takes quadratic time [RUSTSEC-2026-0194]; here the first one counts.
        let attributes = attributes.with_checks(false);
        for (number, attribute) in attributes.enumerate() {
            if number >= limits.max_attributes {
                let limit = limits.max_attributes;
                return Err(AnnotationError::LimitExceeded { what: "attributes of an element", limit });
            }
            let attribute = attribute.map_err(|_why| malformed("an attribute that is none"))?;
            let raw = str::from_utf8(&attribute.value).map_err(|_why| malformed("not UTF-8"))?;
            let value = unescape(raw).map_err(|_why| malformed("an entity that is not one of XML's five"))?;
            visit(attribute.key.into_inner(), value);
        }
        Ok(())
    }
}

/// Visits every element of a document in order.
pub(crate) fn for_each_element(
    document: &[u8],
    limits: &Limits,
    mut visit: impl FnMut(&Element<'_>) -> Result<(), AnnotationError>,
) -> Result<(), AnnotationError> {
    let text = text(document, limits)?;
    let mut reader = Reader::from_str(text);
    let mut depth = 0usize;
    loop {
        let offset = reader.buffer_position();
        let malformed = |what| AnnotationError::Malformed { what, offset };
        let event = reader.read_event().map_err(|_why| malformed("markup that does not close or is none"))?;
        match event {
            Event::Start(start) => {
                if depth >= limits.max_depth {
                    let limit = limits.max_depth;
                    return Err(AnnotationError::LimitExceeded { what: "elements inside one another", limit });
                }
                depth += 1;
                visit(&Element { start, offset })?;
            }
            Event::Empty(start) => visit(&Element { start, offset })?,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => return Err(AnnotationError::Unsupported { what: "a document type declaration" }),
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(malformed("an element is not closed")),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

/// The document as text, without a byte order mark.
fn text<'a>(document: &'a [u8], limits: &Limits) -> Result<&'a str, AnnotationError> {
    if document.len() > limits.max_bytes {
        return Err(AnnotationError::LimitExceeded { what: "bytes of a document", limit: limits.max_bytes });
    }
    if document.starts_with(&[0xFF, 0xFE]) || document.starts_with(&[0xFE, 0xFF]) {
        return Err(AnnotationError::Unsupported { what: "UTF-16" });
    }
    let document = document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(document);
    str::from_utf8(document)
        .map_err(|error| AnnotationError::Malformed { what: "not UTF-8", offset: error.valid_up_to() as u64 })
}
