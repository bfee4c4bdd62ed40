//! Preamble, prefix and File Meta Information [PS3.10 7.1].

use codestream::ByteSource;
use dicom_core::Tag;

use crate::element::{ElementHeader, Encoding};
use crate::error::ObjectError;
use crate::input::{Input as _, ObjectInput};
use crate::limits::ScanLimits;
use crate::transfer_syntax::TransferSyntax;
use crate::uid::parse_uid;

/// Whether an object that begins with `first` claims to be a DICOM file; 136 bytes are enough to tell.
///
/// A file without preamble is recognised by the group length element that must open its File Meta
/// Information; one without either is not, because nothing says how its data set is encoded.
#[must_use]
pub fn is_part10(first: &[u8]) -> bool {
    meta_offset(first).is_some()
}

/// SOP class and instance that a file claims to hold, by its first bytes; `None` if they do not tell both.
#[must_use]
pub fn claimed_instance(first: &[u8]) -> Option<(String, String)> {
    let meta = FileMeta::read(&first, &ScanLimits::default()).ok()?;
    meta.sop_class_uid.zip(meta.sop_instance_uid)
}

/// What the File Meta Information says.
#[derive(Debug, Clone)]
pub(crate) struct FileMeta {
    pub(crate) transfer_syntax: TransferSyntax,
    pub(crate) sop_class_uid: Option<String>,
    pub(crate) sop_instance_uid: Option<String>,
    /// Where the data set begins.
    pub(crate) data_set_offset: u64,
}

const GROUP_LENGTH: Tag = Tag(0x0002, 0x0000);
const MEDIA_STORAGE_SOP_CLASS_UID: Tag = Tag(0x0002, 0x0002);
const MEDIA_STORAGE_SOP_INSTANCE_UID: Tag = Tag(0x0002, 0x0003);
const TRANSFER_SYNTAX_UID: Tag = Tag(0x0002, 0x0010);

impl FileMeta {
    /// Reads the File Meta Information.
    ///
    /// Its end is where the first element of another group stands: group lengths that lie are found in
    /// real files. Only before a deflated data set, which has no elements to look at, the length counts.
    pub(crate) fn read(source: &dyn ByteSource, limits: &ScanLimits) -> Result<Self, ObjectError> {
        const WHAT: &str = "the file meta information";
        let mut first = [0; 136];
        let mut filled = 0;
        while let Some(rest) = first.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match source.read_at(filled as u64, rest)? {
                0 => break,
                read => filled += read,
            }
        }
        let start = meta_offset(first.get(..filled).unwrap_or_default()).ok_or(ObjectError::NotDicom)?;
        let mut input = ObjectInput::new(source, start);
        let mut declared_end = None;
        let mut transfer_syntax: Option<TransferSyntax> = None;
        let (mut sop_class_uid, mut sop_instance_uid) = (None, None);
        let data_set_offset = loop {
            let position = input.position();
            let deflated = transfer_syntax.as_ref().is_some_and(TransferSyntax::is_deflated);
            if input.at_end()? || (deflated && declared_end == Some(position)) {
                break position;
            }
            let header = ElementHeader::read(&mut input, Encoding::ExplicitLittle)?;
            if header.tag.group() != 0x0002 {
                break position;
            }
            let len = header.len.ok_or(ObjectError::Malformed {
                what: "an element of undefined length in the file meta information",
                offset: header.offset,
            })?;
            let found = (input.position() - start).saturating_add(len);
            if found > limits.max_meta_bytes {
                let limit = limits.max_meta_bytes;
                return Err(ObjectError::LimitExceeded { what: "bytes of the file meta information", found, limit });
            }
            match header.tag {
                GROUP_LENGTH if len == 4 => {
                    let mut value = [0; 4];
                    input.read_exact(&mut value, WHAT)?;
                    declared_end = Some(input.position().saturating_add(u64::from(u32::from_le_bytes(value))));
                }
                MEDIA_STORAGE_SOP_CLASS_UID => {
                    let value = read_value(&mut input, len)?;
                    sop_class_uid = parse_uid(&value, "MediaStorageSOPClassUID")?;
                }
                MEDIA_STORAGE_SOP_INSTANCE_UID => {
                    // What it is, the data set says; a wrong one here is passed over.
                    let value = read_value(&mut input, len)?;
                    sop_instance_uid = parse_uid(&value, "MediaStorageSOPInstanceUID").unwrap_or_default();
                }
                TRANSFER_SYNTAX_UID => {
                    let value = read_value(&mut input, len)?;
                    transfer_syntax = parse_uid(&value, "TransferSyntaxUID")?.map(|uid| TransferSyntax::from_uid(&uid));
                }
                _ => input.skip(len, WHAT)?,
            }
        };
        let transfer_syntax = transfer_syntax.ok_or(ObjectError::Missing { attribute: "TransferSyntaxUID" })?;
        Ok(Self { transfer_syntax, sop_class_uid, sop_instance_uid, data_set_offset })
    }
}

/// Whether the object begins with a preamble and the prefix, as every file should.
pub(crate) fn has_preamble(source: &dyn ByteSource) -> Result<bool, ObjectError> {
    let mut prefix = [0; 4];
    let start = 128;
    if source.len() < start + prefix.len() as u64 {
        return Ok(false);
    }
    source.read_exact_at(start, &mut prefix)?;
    Ok(prefix == *b"DICM")
}

/// Offset of the first element of the File Meta Information, if there is one.
fn meta_offset(first: &[u8]) -> Option<u64> {
    if first.get(128..132) == Some(b"DICM") {
        return Some(132);
    }
    first.starts_with(&[0x02, 0x00, 0x00, 0x00, b'U', b'L', 0x04, 0x00]).then_some(0)
}

/// A value of at most the limit of the File Meta Information, which the caller has checked.
fn read_value(input: &mut ObjectInput<'_>, len: u64) -> Result<Vec<u8>, ObjectError> {
    let what = "the file meta information";
    let Ok(len) = usize::try_from(len) else {
        return Err(ObjectError::Truncated { what, offset: input.position() });
    };
    let mut value = vec![0; len];
    input.read_exact(&mut value, what)?;
    Ok(value)
}
