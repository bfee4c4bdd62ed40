//! The scan of one object: from its first byte to a verified end.

use codestream::{ByteSource, FrameExtents};
use dicom_core::{Tag, VR};

use crate::attributes::Attributes;
use crate::data_set::{DataSet, RawPixelData};
use crate::element::Encoding;
use crate::elements::Elements;
use crate::error::ObjectError;
use crate::file_meta::FileMeta;
use crate::frames::{Claims, find_frames};
use crate::input::{InflatedInput, Input, ObjectInput};
use crate::limits::ScanLimits;
use crate::stored_value::StoredValue;
use crate::transfer_syntax::TransferSyntax;

/// An object that is whole as DICOM, whatever its codestreams hold.
#[derive(Debug)]
pub struct ScannedObject {
    /// How it is encoded.
    pub transfer_syntax: TransferSyntax,
    /// What the catalog keeps.
    pub attributes: Attributes,
    /// Where its frames lie.
    pub pixel_data: PixelData,
    /// Where Palette Color Lookup Table Data lie, by tag (group in the upper 16 bits).
    pub palette: Vec<(u32, StoredValue)>,
}

/// The pixel data of the outermost level; those inside sequences (icons) do not count.
#[derive(Debug)]
pub enum PixelData {
    /// None: documents, presentation states, JPIP Referenced objects.
    None,
    /// One value, not encapsulated; this includes Float and Double Float Pixel Data.
    Native(StoredValue),
    /// Frames in fragments.
    Encapsulated {
        /// Frame 1 first. Each may hold a bare codestream or, in some real objects, a whole JP2 file, and
        /// ends with the pad byte if it has one.
        frames: Vec<FrameExtents>,
        /// What was found wrong and put right: offset tables, numbers that do not agree. No patient data.
        notes: Vec<String>,
    },
    /// There are some, of which no frame can be made; the reason in words.
    Unusable(String),
}

/// Reads a DICOM file from end to end without loading pixel data.
///
/// The whole data set is checked: every length against what is around it and against the end of the
/// object, every delimiter, so that an object cut anywhere is refused. Codestreams are not looked into.
/// Work and memory grow with the number of elements and fragments, not with the object's size.
///
/// # Errors
///
/// - [`ObjectError::NotDicom`] if there is neither prefix nor File Meta Information.
/// - [`ObjectError::Truncated`] if the object ends before it should.
/// - [`ObjectError::Malformed`] if it cannot be read as its transfer syntax says.
/// - [`ObjectError::Missing`], [`ObjectError::InvalidUid`], [`ObjectError::Ambiguous`] if it cannot be identified.
/// - [`ObjectError::LimitExceeded`] if it has more of something than `limits` allow.
/// - [`ObjectError::Source`] if `source` fails.
pub fn scan(source: &dyn ByteSource, limits: &ScanLimits) -> Result<ScannedObject, ObjectError> {
    let (meta, data_set, in_object) = with_elements(source, limits, |meta, elements| {
        let data_set = DataSet::walk(elements, limits)?;
        Ok((meta.clone(), data_set, elements.is_object_space()))
    })?;
    let FileMeta { transfer_syntax, sop_class_uid, .. } = meta;
    let attributes = Attributes::interpret(&data_set, sop_class_uid)?;
    let pixel_data = match &data_set.pixel_data {
        RawPixelData::None => PixelData::None,
        RawPixelData::Native(_) if transfer_syntax.is_encapsulated() => {
            PixelData::Unusable("the pixel data are not encapsulated, as the transfer syntax requires".to_owned())
        }
        RawPixelData::Native(value) => PixelData::Native(value.clone()),
        RawPixelData::Fragments(_) if transfer_syntax.is_known() && !transfer_syntax.is_encapsulated() => {
            PixelData::Unusable("the pixel data are encapsulated, against the transfer syntax".to_owned())
        }
        RawPixelData::Fragments(_) if !in_object => {
            PixelData::Unusable("the pixel data are encapsulated inside a deflated data set".to_owned())
        }
        RawPixelData::Fragments(fragments) => {
            let claims = Claims {
                fragments,
                extended_offsets: &data_set.extended_offsets,
                extended_lengths: &data_set.extended_lengths,
                number_of_frames: attributes.declared_frames(),
                transfer_syntax: &transfer_syntax,
                object_len: source.len(),
            };
            match find_frames(&claims) {
                Ok(found) => PixelData::Encapsulated { frames: found.frames, notes: found.notes },
                Err(reason) => PixelData::Unusable(reason),
            }
        }
    };
    let number = |tag: Tag| u32::from(tag.group()) << 16 | u32::from(tag.element());
    let palette = data_set.palette.iter().map(|(tag, value)| (number(*tag), value.clone())).collect();
    Ok(ScannedObject { transfer_syntax, attributes, pixel_data, palette })
}

/// Opens the data set of a file and lets `work` walk through it.
pub(crate) fn with_elements<T>(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    work: impl FnOnce(&FileMeta, &mut Elements<'_>) -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    let meta = FileMeta::read(source, limits)?;
    let encoding = encoding_at(source, meta.data_set_offset, &meta.transfer_syntax)?;
    let mut plain;
    let mut inflated;
    let input: &mut dyn Input = if meta.transfer_syntax.is_deflated() {
        inflated = InflatedInput::new(source, meta.data_set_offset, limits);
        &mut inflated
    } else {
        plain = ObjectInput::new(source, meta.data_set_offset);
        &mut plain
    };
    work(&meta, &mut Elements::new(input, encoding, limits))
}

/// Whether two files hold the same data set in the same transfer syntax, byte for byte, whatever their File Meta
/// Information says besides: an object keeps its identity when another program writes the file around it.
///
/// # Errors
///
/// - [`ObjectError`] if the File Meta Information of either cannot be read, or a source fails.
pub fn holds_same_data_set(
    one: &dyn ByteSource,
    other: &dyn ByteSource,
    limits: &ScanLimits,
) -> Result<bool, ObjectError> {
    let (a, b) = (FileMeta::read(one, limits)?, FileMeta::read(other, limits)?);
    let len = |source: &dyn ByteSource, meta: &FileMeta| source.len().saturating_sub(meta.data_set_offset);
    if a.transfer_syntax != b.transfer_syntax || len(one, &a) != len(other, &b) {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (ObjectInput::new(one, a.data_set_offset), ObjectInput::new(other, b.data_set_offset));
    let (mut left, mut buffers) = (len(one, &a), [[0; COMPARED]; 2]);
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(COMPARED).min(COMPARED);
        let [mine, yours] = buffers.each_mut().map(|buffer| buffer.get_mut(..size).unwrap_or_default());
        ours.read_exact(mine, "the data set")?;
        theirs.read_exact(yours, "the data set")?;
        if mine != yours {
            return Ok(false);
        }
        left -= size as u64;
    }
    Ok(true)
}

/// Bytes of two data sets that are compared at a time.
const COMPARED: usize = 16 * 1024;

/// How the elements at `offset` are written.
///
/// Objects whose File Meta Information says implicit and whose elements carry VRs exist, and an unknown
/// transfer syntax says nothing: the first element decides. No first element has a length that looks
/// like a VR, that is more than 16 000 bytes.
pub(crate) fn encoding_at(
    source: &dyn ByteSource,
    offset: u64,
    transfer_syntax: &TransferSyntax,
) -> Result<Encoding, ObjectError> {
    if transfer_syntax.is_big_endian() {
        return Ok(Encoding::ExplicitBig);
    }
    if transfer_syntax.is_implicit() == Some(false) {
        return Ok(Encoding::ExplicitLittle);
    }
    let mut vr = [0; 2];
    ObjectInput::new(source, offset.saturating_add(4)).read_exact(&mut vr, "the first element")?;
    Ok(if VR::from_binary(vr).is_some() { Encoding::ExplicitLittle } else { Encoding::ImplicitLittle })
}
