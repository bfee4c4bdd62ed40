//! Stored objects on their way out: the data set without its file, in another native encoding if need be.
//!
//! What goes out is a list of parts, bytes made here and ranges of the stored object; pixel data are never loaded.

use std::ops::Range;

use codestream::ByteSource;
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use thiserror::Error;

use crate::element::{ElementHeader, Encoding, ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER, has_short_length};
use crate::error::ObjectError;
use crate::file_meta::FileMeta;
use crate::input::{Input as _, ObjectInput};
use crate::limits::ScanLimits;
use crate::object::encoding_at;
use crate::transfer_syntax::TransferSyntax;

/// A part of a data set on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Inline(Vec<u8>),
    /// These bytes of the stored object.
    Stored(Range<u64>),
}

/// Why an object cannot go out in a transfer syntax.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// The stored object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Nothing here turns the one transfer syntax into the other.
    #[error("a data set in {from} is not written in {to}")]
    Unconvertible {
        /// Name of the stored transfer syntax.
        from: &'static str,
        /// Name of the one that was asked for.
        to: &'static str,
    },
}

/// Whether a data set in the one transfer syntax can be written in the other: if they are the same, or native and little
/// endian both.
#[must_use]
pub fn is_convertible(from: &TransferSyntax, to: &TransferSyntax) -> bool {
    from == to || (native_little(from).is_some() && native_little(to).is_some())
}

/// The data set of a DICOM file in the transfer syntax `to`.
///
/// # Errors
///
/// - [`OutgoingError::Unconvertible`] if it is stored in one that is not turned into `to`.
/// - [`OutgoingError::Object`] if the file cannot be read, or has more elements than `limits` allow.
pub fn data_set_parts(
    source: &dyn ByteSource,
    to: &TransferSyntax,
    limits: &ScanLimits,
) -> Result<Vec<Part>, OutgoingError> {
    let FileMeta { transfer_syntax: from, data_set_offset, .. } = FileMeta::read(source, limits)?;
    let as_stored = || vec![Part::Stored(data_set_offset..source.len())];
    match (native_little(&from), native_little(to)) {
        // Some files are not written as their File Meta Information says; the peer must not suffer for that.
        (Some(_), Some(wanted)) => {
            let written = encoding_at(source, data_set_offset, &from)?;
            if written == wanted {
                return Ok(as_stored());
            }
            Ok(Recoding::new(source, data_set_offset, written, wanted, limits).run()?)
        }
        _ if from == *to => Ok(as_stored()),
        _ => Err(OutgoingError::Unconvertible { from: from.name(), to: to.name() }),
    }
}

fn native_little(transfer_syntax: &TransferSyntax) -> Option<Encoding> {
    match transfer_syntax.uid() {
        "1.2.840.10008.1.2" => Some(Encoding::ImplicitLittle),
        "1.2.840.10008.1.2.1" => Some(Encoding::ExplicitLittle),
        _ => None,
    }
}

/// Values up to this length in bytes are copied, longer ones stay where they are.
const INLINE: u64 = 1024;

/// Bytes that are made of one object; what has more of short elements is no image.
const MAX_INLINE: u64 = 64 << 20;

/// Element headers are written anew, values stay; sequences and items lose their lengths, which would not be true any
/// more, and get delimiters [PS3.5 7.5].
struct Recoding<'a> {
    input: ObjectInput<'a>,
    wanted: Encoding,
    written: Encoding,
    limits: &'a ScanLimits,
    elements: u64,
    open: Vec<Open>,
    is_signed: bool,
    inline_total: u64,
    inline: Vec<u8>,
    parts: Vec<Part>,
}

struct Open {
    is_item: bool,
    /// Where it ends, `None` if a delimiter ends it.
    end: Option<u64>,
    /// How what is in it is written.
    written: Encoding,
}

impl<'a> Recoding<'a> {
    fn new(
        source: &'a dyn ByteSource,
        offset: u64,
        written: Encoding,
        wanted: Encoding,
        limits: &'a ScanLimits,
    ) -> Self {
        Self {
            input: ObjectInput::new(source, offset),
            wanted,
            written,
            limits,
            elements: 0,
            open: Vec::new(),
            is_signed: false,
            inline_total: 0,
            inline: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Vec<Part>, ObjectError> {
        while self.step()? {}
        self.end_inline();
        Ok(self.parts)
    }

    /// Takes one element, item or delimiter; false at the end of the data set.
    fn step(&mut self) -> Result<bool, ObjectError> {
        let position = self.input.position();
        while self.open.last().is_some_and(|open| open.end == Some(position)) {
            self.close();
        }
        if self.open.is_empty() && self.input.at_end()? {
            return Ok(false);
        }
        self.elements += 1;
        crate::data_set::check_count(self.elements, self.limits)?;
        let inner = self.open.last();
        let (written, bound) = inner.map_or((self.written, None), |open| (open.written, open.end));
        let is_delimited = inner.is_some_and(|open| open.end.is_none());
        let header = ElementHeader::read(&mut self.input, written)?;
        let end = self.input.position().saturating_add(header.len.unwrap_or(0));
        if bound.is_some_and(|bound| end > bound) {
            let what = "an element that reaches past the sequence or item around it";
            return Err(ObjectError::Malformed { what, offset: header.offset });
        }
        match header.tag {
            ITEM_DELIMITER | SEQUENCE_DELIMITER => {
                if is_delimited {
                    self.close();
                }
            }
            ITEM => {
                self.put_header(ITEM, None, u32::MAX);
                self.open(&header, true, written)?;
            }
            // Zeros that fill the last block of a file are no part of its data set.
            Tag(0, 0) if self.open.is_empty() && header.len == Some(0) => return Ok(false),
            _ => self.element(&header, written)?,
        }
        Ok(true)
    }

    fn element(&mut self, header: &ElementHeader, written: Encoding) -> Result<(), ObjectError> {
        let inside = match (header.len, header.vr) {
            (_, VR::SQ) => Some(written),
            // A sequence that somebody did not know [PS3.5 6.2.2 note].
            (None, VR::UN) => Some(Encoding::ImplicitLittle),
            (None, _) if written == Encoding::ImplicitLittle => Some(written),
            (None, _) => {
                let what = "pixel data in fragments against the transfer syntax";
                return Err(ObjectError::Malformed { what, offset: header.offset });
            }
            (Some(_), _) => None,
        };
        if let Some(inside) = inside {
            self.put_header(header.tag, Some(VR::SQ), u32::MAX);
            return self.open(header, false, inside);
        }
        let len = header.len.unwrap_or(0);
        // A group length counts bytes that are written otherwise now; it is retired [PS3.5 7.2].
        if header.tag.element() == 0 {
            return self.input.skip(len, WHAT);
        }
        let vr = if written == Encoding::ImplicitLittle { self.vr_of(header) } else { header.vr };
        self.put_header(header.tag, Some(vr), u32::try_from(len).unwrap_or(u32::MAX));
        self.value(header.tag, len)
    }

    fn value(&mut self, tag: Tag, len: u64) -> Result<(), ObjectError> {
        let start = self.input.position();
        if len > INLINE {
            self.input.skip(len, WHAT)?;
            self.end_inline();
            self.parts.push(Part::Stored(start..start.saturating_add(len)));
            return Ok(());
        }
        self.inline_total = self.inline_total.saturating_add(len).saturating_add(12);
        if self.inline_total > MAX_INLINE {
            let what = "bytes of short elements of an object that is written anew";
            return Err(ObjectError::LimitExceeded { what, found: self.inline_total, limit: MAX_INLINE });
        }
        let mut value = vec![0; usize::try_from(len).unwrap_or(0)];
        self.input.read_exact(&mut value, WHAT)?;
        if tag == PIXEL_REPRESENTATION && self.open.is_empty() {
            self.is_signed = value.first() == Some(&1);
        }
        self.inline.append(&mut value);
        Ok(())
    }

    /// The VR of an element that was written without one [PS3.5 A.1].
    fn vr_of(&self, header: &ElementHeader) -> VR {
        let entry = StandardDataDictionary.by_tag(header.tag);
        match entry.map(|entry| entry.vr()) {
            Some(VirtualVr::Xs) if self.is_signed => VR::SS,
            _ => header.vr,
        }
    }

    fn open(&mut self, header: &ElementHeader, is_item: bool, written: Encoding) -> Result<(), ObjectError> {
        if self.open.len() >= self.limits.max_depth {
            let (found, limit) = (self.open.len() as u64 + 1, self.limits.max_depth as u64);
            return Err(ObjectError::LimitExceeded { what: "depth of nested sequences", found, limit });
        }
        let end = header.len.map(|len| self.input.position().saturating_add(len));
        self.open.push(Open { is_item, end, written });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.put_header(if open.is_item { ITEM_DELIMITER } else { SEQUENCE_DELIMITER }, None, 0);
        }
    }

    /// Items and delimiters have no VR in any encoding.
    fn put_header(&mut self, tag: Tag, vr: Option<VR>, len: u32) {
        self.inline.extend(tag.group().to_le_bytes());
        self.inline.extend(tag.element().to_le_bytes());
        match vr.filter(|_| self.wanted == Encoding::ExplicitLittle) {
            Some(vr) if has_short_length(vr) && u16::try_from(len).is_ok() => {
                self.inline.extend(vr.to_string().as_bytes());
                self.inline.extend(u16::try_from(len).unwrap_or(0).to_le_bytes());
            }
            // A value too long for its VR's short length is of unknown representation [PS3.5 6.2.2].
            Some(vr) => {
                let vr = if has_short_length(vr) { VR::UN } else { vr };
                self.inline.extend(vr.to_string().as_bytes());
                self.inline.extend([0, 0]);
                self.inline.extend(len.to_le_bytes());
            }
            None => self.inline.extend(len.to_le_bytes()),
        }
    }

    fn end_inline(&mut self) {
        if !self.inline.is_empty() {
            self.parts.push(Part::Inline(std::mem::take(&mut self.inline)));
        }
    }
}

const WHAT: &str = "an element's value";
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{NewAttributes, NewObject};

    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";

    fn object(transfer_syntax: &str) -> Vec<u8> {
        let mut item = NewAttributes::new();
        item.put(0x0008_1150, "UI", "1.2.3").put_sequence(0x0040_a170, vec![NewAttributes::new()]);
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", "2.25.1", transfer_syntax);
        object.attributes().put(0x0010_0010, "PN", "Ærøskøbing^A").put(0x0028_0103, "US", "1");
        object.attributes().put(0x0028_0106, "SS", "-5").put(0x0028_0030, "DS", "0.5\\0.5");
        object.attributes().put_sequence(0x0008_1140, vec![item.clone(), item]);
        let pixels = vec!["4711"; 600].join("\\");
        object.attributes().put(0x7fe0_0010, "OW", &pixels);
        object.to_bytes().unwrap()
    }

    fn gathered(source: &[u8], parts: Vec<Part>) -> Vec<u8> {
        let bytes = |part| match part {
            Part::Inline(bytes) => bytes,
            Part::Stored(range) => source[range.start as usize..range.end as usize].to_vec(),
        };
        parts.into_iter().flat_map(bytes).collect()
    }

    fn converted(source: &[u8], to: &str) -> Vec<u8> {
        let parts = data_set_parts(&source, &TransferSyntax::from_uid(to), &ScanLimits::default()).unwrap();
        assert!(parts.iter().any(|part| matches!(part, Part::Stored(range) if range.end - range.start >= 1200)));
        gathered(source, parts)
    }

    /// The data set as it was written.
    fn data_set_of(file: &[u8]) -> Vec<u8> {
        let len = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
        file[144 + len..].to_vec()
    }

    #[test]
    fn native_data_sets_change_their_encoding_and_nothing_else() {
        for (from, to) in [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (IMPLICIT, IMPLICIT), (EXPLICIT, EXPLICIT)] {
            let converted = converted(&object(from), to);
            let expect = data_set_of(&object(to));
            assert!(converted == expect, "{from} to {to}: {converted:02x?} {expect:02x?}");
        }
    }

    #[test]
    fn a_compressed_object_goes_out_as_stored_or_not_at_all() {
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", "2.25.1", "1.2.840.10008.1.2.4.90");
        object.attributes().put(0x0028_0010, "US", "16");
        let file = object.encapsulate(&[vec![1; 5000]], crate::write::OffsetTable::Basic, 1).unwrap();
        let to = |uid: &str| data_set_parts(&file, &TransferSyntax::from_uid(uid), &ScanLimits::default());
        let parts = to("1.2.840.10008.1.2.4.90").unwrap();
        assert!(matches!(parts.as_slice(), [Part::Stored(range)] if range.end == file.len() as u64));
        assert!(matches!(to(EXPLICIT), Err(OutgoingError::Unconvertible { .. })));
    }

    #[test]
    fn a_value_too_long_for_a_short_length_becomes_one_of_unknown_representation() {
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", "2.25.1", IMPLICIT);
        object.attributes().put(0x0028_3006, "US", &vec!["1"; 40_000].join("\\"));
        object.attributes().put(0x0028_3006 - 4, "US", "1");
        object.attributes().put(0x0018_9073 - 0x9073 + 0x0010, "LO", &"x".repeat(70_000));
        let file = object.to_bytes().unwrap();
        let parts = data_set_parts(&file, &TransferSyntax::from_uid(EXPLICIT), &ScanLimits::default()).unwrap();
        let converted = gathered(&file, parts);
        assert!(converted.windows(12).any(|bytes| bytes == [0x18, 0, 0x10, 0, b'U', b'N', 0, 0, 0x70, 0x11, 1, 0]));
    }

    #[test]
    fn what_is_cut_or_broken_on_disk_is_an_error_and_no_harm() {
        let file = object(IMPLICIT);
        let explicit = TransferSyntax::from_uid(EXPLICIT);
        for len in (0..file.len()).step_by(61) {
            let _whatever = data_set_parts(&file[..len].to_vec(), &explicit, &ScanLimits::default());
        }
        for at in (132..file.len()).step_by(7) {
            let mut broken = file.clone();
            broken[at] ^= 0xff;
            let _whatever = data_set_parts(&broken, &explicit, &ScanLimits::default());
        }
        let few = ScanLimits { max_elements: 3, ..ScanLimits::default() };
        assert!(data_set_parts(&file, &explicit, &few).is_err());
    }
}
