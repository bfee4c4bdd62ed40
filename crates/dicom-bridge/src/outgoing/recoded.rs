//! A data set in another encoding of its elements [PS3.5 A.1, A.2].
//!
//! Only how elements are written changes: their values stay. Sequences and items lose their lengths, which would have to
//! be known before what is in them; group lengths are left out.

use std::io;

use codestream::ByteSource;
use dicom_core::{Tag, VR};

use super::copied::PIECE;
use super::edits::{Edits, write_header, write_tag};
use crate::element::{ElementHeader, Encoding, ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER, is_signed_with_pixels};
use crate::elements::{Elements, Event};
use crate::error::ObjectError;
use crate::limits::ScanLimits;
use crate::object::with_elements;
use crate::stored_value::{number_size, turn_around};

/// Writes the data set in the encoding `to`, which is a little-endian one.
pub(super) fn write(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    to: Encoding,
    edits: Edits,
    out: &mut dyn io::Write,
) -> Result<(), ObjectError> {
    with_elements(source, limits, |_meta, elements| {
        Recoder { out, to, edits, signed_pixels: vec![false] }.walk(elements)
    })
}

struct Recoder<'o> {
    out: &'o mut dyn io::Write,
    to: Encoding,
    edits: Edits,
    /// Whether pixel values are signed in the data set and in each item that is open.
    signed_pixels: Vec<bool>,
}

impl Recoder<'_> {
    fn walk(&mut self, elements: &mut Elements<'_>) -> Result<(), ObjectError> {
        // Inside a sequence that is left out.
        let mut is_left_out = false;
        while let Some(event) = elements.next()? {
            let depth = elements.depth();
            if let Some(header) = outermost(&event, depth) {
                self.put_new(Some(header.tag))?;
                is_left_out = self.edits.leaves_out(header.tag);
            }
            match event {
                Event::Fragments(_) if is_left_out => {
                    elements.fragments()?;
                }
                _ if is_left_out => {}
                // The length of a group is not what it was.
                Event::Value(header, _) if header.tag.element() == 0 => {}
                Event::Value(header, len) => self.value(elements, &header, len)?,
                Event::Fragments(header) => {
                    let what = "encapsulated data in an object to be written anew";
                    return Err(ObjectError::Malformed { what, offset: header.offset });
                }
                Event::SequenceBegin(header) => self.begin_sequence(header.tag)?,
                Event::ItemBegin => {
                    self.signed_pixels.push(self.is_signed());
                    self.item(ITEM, u32::MAX)?;
                }
                Event::ItemEnd => {
                    self.signed_pixels.pop();
                    self.item(ITEM_DELIMITER, 0)?;
                }
                Event::SequenceEnd => self.item(SEQUENCE_DELIMITER, 0)?,
            }
        }
        self.put_new(None)
    }

    fn put_new(&mut self, before: Option<Tag>) -> Result<(), ObjectError> {
        while let Some(new) = self.edits.before(before) {
            new.write(self.to, self.out)?;
        }
        Ok(())
    }

    fn value(&mut self, elements: &mut Elements<'_>, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        let (tag, encoding) = (header.tag, elements.encoding());
        let is_implicit = encoding == Encoding::ImplicitLittle;
        let vr = if is_implicit && self.is_signed() && is_signed_with_pixels(tag) { VR::SS } else { header.vr };
        write_header(self.out, self.to, tag, vr, len)?;
        let size = if encoding == Encoding::ExplicitBig { number_size(vr) } else { 1 };
        let mut piece = Vec::new();
        while elements.read_piece(&mut piece, PIECE)? {
            turn_around(&mut piece, size);
            if tag == PIXEL_REPRESENTATION
                && let Some(signed) = self.signed_pixels.last_mut()
            {
                *signed = piece.first() == Some(&1);
            }
            self.out.write_all(&piece)?;
        }
        Ok(())
    }

    fn is_signed(&self) -> bool {
        self.signed_pixels.last() == Some(&true)
    }

    fn begin_sequence(&mut self, tag: Tag) -> Result<(), ObjectError> {
        write_header(self.out, self.to, tag, VR::SQ, u64::from(u32::MAX))
    }

    /// Items and delimiters have no VR in any encoding.
    fn item(&mut self, tag: Tag, len: u32) -> Result<(), ObjectError> {
        write_tag(self.out, tag)?;
        Ok(self.out.write_all(&len.to_le_bytes())?)
    }
}

/// The header of an element that begins on the outermost level.
pub(super) const fn outermost(event: &Event, depth: usize) -> Option<&ElementHeader> {
    match event {
        Event::Value(header, _) | Event::Fragments(header) if depth == 0 => Some(header),
        Event::SequenceBegin(header) if depth == 1 => Some(header),
        _ => None,
    }
}

const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
