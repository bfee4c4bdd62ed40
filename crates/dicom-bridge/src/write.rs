//! Objects that the project makes itself: the sample study, derived objects, and small ones for tests.
//!
//! Never for received objects: those stay as they came, byte for byte.

use std::io::{self, Write};

use dicom_core::value::{C, DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex as _, TransferSyntaxRegistry};
use thiserror::Error;

use crate::model::{ModelForm, write_data_set};
use crate::outgoing::EXPLICIT_LITTLE;

/// A new object could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A value was put under a VR that is none, or does not read as one.
    #[error("the value of ({tag:08X}) does not suit the value representation {vr}")]
    Value {
        /// Group in the upper, element in the lower 16 bits.
        tag: u32,
        /// The VR it was put under.
        vr: String,
    },
    /// The transfer syntax is not known.
    #[error("unknown transfer syntax")]
    TransferSyntax,
    /// A frame or the sum of them does not fit the offset table that was asked for.
    #[error("the frames do not fit the offset table")]
    OffsetTable,
    /// The library that encodes the data set failed.
    #[error("writing the data set failed: {0}")]
    DataSet(String),
}

/// What stands in the offset tables of the written pixel data [PS3.5 A.4].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetTable {
    /// Nothing: the item is there and empty.
    Empty,
    /// The Basic Offset Table.
    Basic,
    /// The Extended Offset Table and its lengths; the Basic one is empty.
    Extended,
    /// These numbers as Basic Offset Table, true or not.
    Verbatim(Vec<u32>),
    /// These offsets and lengths as Extended Offset Table, true or not.
    ExtendedVerbatim(Vec<u64>, Vec<u64>),
}

/// Elements of a data set or of an item of a sequence.
#[derive(Debug, Clone)]
pub struct NewAttributes {
    object: InMemDicomObject,
    fault: Option<(u32, String)>,
}

impl NewAttributes {
    /// No elements.
    #[must_use]
    pub fn new() -> Self {
        Self { object: InMemDicomObject::new_empty(), fault: None }
    }

    /// Puts one element, in place of an earlier one with this tag (group in the upper 16 bits).
    ///
    /// `value` is text in UTF-8; several values are divided by backslashes, numbers of binary VRs are
    /// decimal, those of AT eight hex digits. What does not fit is reported when the object is written.
    pub fn put(&mut self, tag: u32, vr: &str, value: &str) -> &mut Self {
        match vr.parse::<VR>().ok().and_then(|vr| Some((vr, primitive(vr, value)?))) {
            Some((vr, value)) => {
                self.object.put(DataElement::new(split(tag), vr, value));
            }
            None => self.fault = Some((tag, vr.to_owned())),
        }
        self
    }

    /// Puts one sequence.
    pub fn put_sequence(&mut self, tag: u32, items: Vec<Self>) -> &mut Self {
        self.fault = items.iter().find_map(|item| item.fault.clone()).or_else(|| self.fault.take());
        let items: C<InMemDicomObject> = items.into_iter().map(|item| item.object).collect();
        self.object.put(DataElement::new(split(tag), VR::SQ, DataSetSequence::new(items, Length::UNDEFINED)));
        self
    }

    /// The elements alone, without a file around them: the data set of a message.
    ///
    /// # Errors
    ///
    /// - [`WriteError`] if a value does not suit its VR or the transfer syntax is not known.
    pub fn to_data_set(&self, transfer_syntax_uid: &str) -> Result<Vec<u8>, WriteError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes, transfer_syntax_uid)?;
        Ok(bytes)
    }

    fn write_to(&self, bytes: &mut Vec<u8>, transfer_syntax_uid: &str) -> Result<(), WriteError> {
        if let Some((tag, vr)) = &self.fault {
            return Err(WriteError::Value { tag: *tag, vr: vr.clone() });
        }
        let transfer_syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).ok_or(WriteError::TransferSyntax)?;
        let written = self.object.write_dataset_with_ts(bytes, transfer_syntax);
        written.map_err(|error| WriteError::DataSet(error.to_string()))
    }
}

impl NewAttributes {
    /// As DICOM JSON or XML, in which what is sent in answer to a request is written.
    ///
    /// # Errors
    ///
    /// - [`WriteError`] if a value does not suit its VR.
    pub fn to_model(&self, form: ModelForm) -> Result<Vec<u8>, WriteError> {
        if let Some((tag, vr)) = &self.fault {
            return Err(WriteError::Value { tag: *tag, vr: vr.clone() });
        }
        let failed = |error: &dyn std::fmt::Display| WriteError::DataSet(error.to_string());
        let transfer_syntax = TransferSyntaxRegistry.get(EXPLICIT_LITTLE).ok_or(WriteError::TransferSyntax)?;
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        self.object.write_dataset_with_ts(&mut bytes, transfer_syntax).map_err(|error| failed(&error))?;
        write_data_set(&bytes, form, &mut out).map_err(|error| failed(&error))?;
        Ok(out)
    }
}

impl Default for NewAttributes {
    fn default() -> Self {
        Self::new()
    }
}

/// An object in the making.
#[derive(Debug, Clone)]
pub struct NewObject {
    sop_class_uid: String,
    sop_instance_uid: String,
    transfer_syntax_uid: String,
    attributes: NewAttributes,
}

impl NewObject {
    /// An object with nothing but these identifiers.
    #[must_use]
    pub fn new(sop_class_uid: &str, sop_instance_uid: &str, transfer_syntax_uid: &str) -> Self {
        let mut attributes = NewAttributes::new();
        attributes.put(0x0008_0005, "CS", "ISO_IR 192").put(0x0008_0016, "UI", sop_class_uid).put(
            0x0008_0018,
            "UI",
            sop_instance_uid,
        );
        Self {
            sop_class_uid: sop_class_uid.to_owned(),
            sop_instance_uid: sop_instance_uid.to_owned(),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
            attributes,
        }
    }

    /// The elements of the data set, to be added to.
    pub const fn attributes(&mut self) -> &mut NewAttributes {
        &mut self.attributes
    }

    /// The whole file without pixel data, or with those that were put as an ordinary element.
    ///
    /// # Errors
    ///
    /// - [`WriteError`] if a value does not suit its VR or the transfer syntax is not known.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WriteError> {
        self.write(&self.attributes)
    }

    /// The whole file with `frames` encapsulated, each in up to `fragments_per_frame` fragments of even length.
    ///
    /// # Errors
    ///
    /// - [`WriteError`] as above, or if the frames are too long for the offset table, or an Extended Offset
    ///   Table is asked for with several fragments a frame, which the standard forbids.
    pub fn encapsulate(
        &self,
        frames: &[Vec<u8>],
        offset_table: OffsetTable,
        fragments_per_frame: usize,
    ) -> Result<Vec<u8>, WriteError> {
        let mut fragments: Vec<Vec<u8>> = Vec::new();
        let mut offsets = Vec::with_capacity(frames.len());
        let mut position = 0u64;
        for frame in frames {
            offsets.push(position);
            let size = frame.len().div_ceil(fragments_per_frame.max(1)).next_multiple_of(2).max(2);
            for piece in frame.chunks(size) {
                let mut fragment = piece.to_vec();
                if !fragment.len().is_multiple_of(2) {
                    fragment.push(0);
                }
                position += 8 + fragment.len() as u64;
                fragments.push(fragment);
            }
        }
        let lens = frames.iter().map(|frame| frame.len() as u64).collect();
        let narrow = |offsets: Vec<u64>| offsets.into_iter().map(|offset| u32::try_from(offset).ok()).collect();
        let (basic, extended) = match offset_table {
            OffsetTable::Empty => (Vec::new(), None),
            OffsetTable::Basic => (Option::ok_or(narrow(offsets), WriteError::OffsetTable)?, None),
            OffsetTable::Extended if fragments.len() == frames.len() => (Vec::new(), Some((offsets, lens))),
            OffsetTable::Extended => return Err(WriteError::OffsetTable),
            OffsetTable::Verbatim(offsets) => (offsets, None),
            OffsetTable::ExtendedVerbatim(offsets, lens) => (Vec::new(), Some((offsets, lens))),
        };
        let mut attributes = self.attributes.clone();
        let object = &mut attributes.object;
        if let Some((offsets, lens)) = extended {
            object.put(DataElement::new(Tag(0x7fe0, 0x0001), VR::OV, PrimitiveValue::U64(offsets.into())));
            object.put(DataElement::new(Tag(0x7fe0, 0x0002), VR::OV, PrimitiveValue::U64(lens.into())));
        }
        let pixel_data = PixelFragmentSequence::new(basic, fragments);
        object.put(DataElement::new(Tag(0x7fe0, 0x0010), VR::OB, pixel_data));
        self.write(&attributes)
    }

    fn write(&self, attributes: &NewAttributes) -> Result<Vec<u8>, WriteError> {
        let mut bytes = file_head(&self.sop_class_uid, &self.sop_instance_uid, &self.transfer_syntax_uid)?;
        attributes.write_to(&mut bytes, &self.transfer_syntax_uid)?;
        Ok(bytes)
    }
}

/// Writes an object whose pixel data comes piece by piece, one fragment a frame; the Basic Offset Table is empty.
#[derive(Debug)]
pub struct FragmentWriter<W> {
    out: W,
}

impl<W: Write> FragmentWriter<W> {
    /// Writes everything before the first fragment. Of the object's elements none may come behind Pixel Data, and its
    /// transfer syntax is one with explicit VRs in little-endian order.
    ///
    /// # Errors
    ///
    /// If the object cannot be written.
    pub fn begin(object: NewObject, mut out: W) -> io::Result<Self> {
        out.write_all(&object.to_bytes().map_err(io::Error::other)?)?;
        // (7FE0,0010) OB of undefined length, and the empty table.
        out.write_all(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0")?;
        Ok(Self { out })
    }

    /// Writes one frame.
    ///
    /// # Errors
    ///
    /// If it is too long for a fragment, or cannot be written.
    pub fn fragment(&mut self, frame: &[u8]) -> io::Result<()> {
        let len = u32::try_from(frame.len().next_multiple_of(2)).map_err(io::Error::other)?;
        self.out.write_all(b"\xfe\xff\0\xe0")?;
        self.out.write_all(&len.to_le_bytes())?;
        self.out.write_all(frame)?;
        self.out.write_all(if frame.len().is_multiple_of(2) { b"" } else { b"\0" })
    }

    /// Writes the end.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\xfe\xff\xdd\xe0\0\0\0\0")?;
        self.out.flush()
    }
}

/// Preamble, prefix and File Meta Information of a file that holds such a data set [PS3.10 7.1]. The same three UIDs
/// always give the same bytes, so that a data set which is sent again makes the same file again.
///
/// # Errors
///
/// - [`WriteError::DataSet`] if a UID cannot be written.
pub fn file_head(
    sop_class_uid: &str,
    sop_instance_uid: &str,
    transfer_syntax_uid: &str,
) -> Result<Vec<u8>, WriteError> {
    let failed = |error: &dyn std::fmt::Display| WriteError::DataSet(error.to_string());
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(sop_class_uid)
        .media_storage_sop_instance_uid(sop_instance_uid)
        .transfer_syntax(transfer_syntax_uid)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME)
        .build()
        .map_err(|error| failed(&error))?;
    let mut bytes = vec![0; 128];
    bytes.extend_from_slice(b"DICM");
    meta.write(&mut bytes).map_err(|error| failed(&error))?;
    bytes.flush().map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// What writers of this project call themselves.
pub(crate) const IMPLEMENTATION_VERSION_NAME: &str = "PRECINCT";

/// Of the project, derived from a UUID [PS3.5 B.2].
pub(crate) const IMPLEMENTATION_CLASS_UID: &str = "2.25.221396437086253473263168453706120914209";

fn split(tag: u32) -> Tag {
    let [g0, g1, e0, e1] = tag.to_be_bytes();
    Tag(u16::from_be_bytes([g0, g1]), u16::from_be_bytes([e0, e1]))
}

/// The value that `text` spells; `None` if it does not spell one.
fn primitive(vr: VR, text: &str) -> Option<PrimitiveValue> {
    fn numbers<T: std::str::FromStr>(text: &str) -> Option<C<T>> {
        text.split('\\').filter(|number| !number.is_empty()).map(|number| number.parse().ok()).collect()
    }
    Some(match vr {
        VR::US => PrimitiveValue::U16(numbers(text)?),
        VR::SS => PrimitiveValue::I16(numbers(text)?),
        VR::UL => PrimitiveValue::U32(numbers(text)?),
        VR::SL => PrimitiveValue::I32(numbers(text)?),
        VR::FL => PrimitiveValue::F32(numbers(text)?),
        VR::FD => PrimitiveValue::F64(numbers(text)?),
        VR::OB => PrimitiveValue::U8(numbers(text)?),
        VR::OW => PrimitiveValue::U16(numbers(text)?),
        VR::AT => {
            let tags = text.split('\\').map(|tag| u32::from_str_radix(tag, 16).ok().map(split));
            PrimitiveValue::Tags(tags.collect::<Option<_>>()?)
        }
        VR::SQ | VR::UN | VR::OD | VR::OF | VR::OL | VR::OV | VR::SV | VR::UV => return None,
        VR::LT | VR::ST | VR::UT | VR::UR => PrimitiveValue::Str(text.to_owned()),
        _ if text.is_empty() => PrimitiveValue::Empty,
        _ => PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()),
    })
}
