//! An object in Explicit VR Little Endian, the transfer syntax that every receiver understands [PS3.5 10.1, A.2].
//!
//! Only how elements are written changes: their values stay. Sequences and items lose their lengths, which would have to be known
//! before what is in them; group lengths are left out.

use std::io;

use codestream::ByteSource;
use dicom_core::{Tag, VR};

use crate::element::{ElementHeader, Encoding, has_short_length, is_signed_with_pixels};
use crate::elements::{Elements, Event};
use crate::error::ObjectError;
use crate::limits::ScanLimits;
use crate::object::with_elements;
use crate::stored_value::{number_size, turn_around};
use crate::write::file_head;

/// The UID of Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
/// Bytes that are copied at a time; a multiple of the size of every number.
const PIECE: usize = 64 * 1024;

/// Writes the file anew in Explicit VR Little Endian, piece by piece.
///
/// # Errors
///
/// - [`ObjectError`] if the file cannot be read to its end; an error of `out` is [`ObjectError::Source`].
/// - [`ObjectError::Malformed`] if it holds encapsulated values, which stay as they are in the transfer syntax that
///   they came in.
pub fn write_explicit_little(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    sop_class_uid: &str,
    sop_instance_uid: &str,
    out: &mut dyn io::Write,
) -> Result<(), ObjectError> {
    let head = file_head(sop_class_uid, sop_instance_uid, EXPLICIT_LITTLE);
    out.write_all(&head.map_err(io::Error::other)?)?;
    with_elements(source, limits, |_meta, elements| Writer { out, signed_pixels: false }.walk(elements))
}

struct Writer<'o> {
    out: &'o mut dyn io::Write,
    signed_pixels: bool,
}

impl Writer<'_> {
    fn walk(&mut self, elements: &mut Elements<'_>) -> Result<(), ObjectError> {
        while let Some(event) = elements.next()? {
            match event {
                // The length of a group is not what it was.
                Event::Value(header, _) if header.tag.element() == 0 => {}
                Event::Value(header, len) => self.value(elements, &header, len)?,
                Event::Fragments(header) => {
                    let what = "encapsulated data in an object to be written anew";
                    return Err(ObjectError::Malformed { what, offset: header.offset });
                }
                Event::SequenceBegin(header) => self.long_header(header.tag, VR::SQ, u32::MAX)?,
                Event::ItemBegin => self.item(0xe000, u32::MAX)?,
                Event::ItemEnd => self.item(0xe00d, 0)?,
                Event::SequenceEnd => self.item(0xe0dd, 0)?,
            }
        }
        Ok(())
    }

    fn value(&mut self, elements: &mut Elements<'_>, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        let (tag, encoding) = (header.tag, elements.encoding());
        let is_implicit = encoding == Encoding::ImplicitLittle;
        let vr = if is_implicit && self.signed_pixels && is_signed_with_pixels(tag) { VR::SS } else { header.vr };
        let too_long = || ObjectError::Malformed { what: "a value that is too long", offset: header.offset };
        let len = u32::try_from(len).map_err(|_too_long| too_long())?;
        match u16::try_from(len) {
            Ok(short) if has_short_length(vr) => self.short_header(tag, vr, short)?,
            // What is too long for its VR is written as a value of unknown VR [PS3.5 6.2.2 note].
            _ if has_short_length(vr) => self.long_header(tag, VR::UN, len)?,
            _ => self.long_header(tag, vr, len)?,
        }
        let size = if encoding == Encoding::ExplicitBig { number_size(vr) } else { 1 };
        let mut piece = Vec::new();
        while elements.read_piece(&mut piece, PIECE)? {
            turn_around(&mut piece, size);
            if tag == PIXEL_REPRESENTATION {
                self.signed_pixels = piece.first() == Some(&1);
            }
            self.out.write_all(&piece)?;
        }
        Ok(())
    }

    fn tag(&mut self, tag: Tag) -> io::Result<()> {
        self.out.write_all(&tag.group().to_le_bytes())?;
        self.out.write_all(&tag.element().to_le_bytes())
    }

    fn short_header(&mut self, tag: Tag, vr: VR, len: u16) -> io::Result<()> {
        self.tag(tag)?;
        self.out.write_all(&vr.to_bytes())?;
        self.out.write_all(&len.to_le_bytes())
    }

    fn long_header(&mut self, tag: Tag, vr: VR, len: u32) -> Result<(), ObjectError> {
        self.tag(tag)?;
        self.out.write_all(&vr.to_bytes())?;
        self.out.write_all(&[0, 0])?;
        Ok(self.out.write_all(&len.to_le_bytes())?)
    }

    fn item(&mut self, element: u16, len: u32) -> Result<(), ObjectError> {
        self.tag(Tag(0xfffe, element))?;
        Ok(self.out.write_all(&len.to_le_bytes())?)
    }
}
