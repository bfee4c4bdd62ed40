//! The attributes that the catalog keeps, out of the short values of a data set.

use std::fmt;

use dicom_core::{Tag, VR};

use crate::data_set::{DataSet, RawValue};
use crate::element::Encoding;
use crate::error::ObjectError;
use crate::text::CharacterSet;
use crate::uid::parse_uid;
use crate::value::{Number, PADDING, decode_text, text_values};

/// Attributes of the outermost level of one object.
///
/// Text is UTF-8 without padding. An attribute that is absent, empty or not what its definition says is
/// `None`; only those that identify the object are required. `Debug` shows no value of a patient.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// SOP Instance UID (0008,0018), a valid UID.
    pub sop_instance_uid: String,
    /// SOP Class UID (0008,0016), or Media Storage SOP Class UID where that is absent.
    pub sop_class_uid: String,
    /// Series Instance UID (0020,000E), a valid UID.
    pub series_instance_uid: Option<String>,
    /// Study Instance UID (0020,000D), a valid UID.
    pub study_instance_uid: Option<String>,
    /// Patient ID (0010,0020).
    pub patient_id: Option<String>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Rows (0028,0010), at most 65535.
    pub rows: Option<u32>,
    /// Columns (0028,0011), at most 65535.
    pub columns: Option<u32>,
    /// Number of Frames (0028,0008) as declared, 1 if absent or not a number above 0. It may be any
    /// number: the frames of [`crate::PixelData::Encapsulated`] are those that exist.
    pub number_of_frames: u32,
    /// Samples per Pixel (0028,0002).
    pub samples_per_pixel: Option<u16>,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: Option<u16>,
    /// Bits Stored (0028,0101).
    pub bits_stored: Option<u16>,
    /// Pixel Representation (0028,0103): 0 unsigned, 1 signed.
    pub pixel_representation: Option<u16>,
    /// Planar Configuration (0028,0006).
    pub planar_configuration: Option<u16>,
    /// Photometric Interpretation (0028,0004).
    pub photometric_interpretation: Option<String>,
    /// Pixel Data Provider URL (0028,7FE0). A stranger's: never to be fetched.
    pub pixel_data_provider_url: Option<String>,
    /// All short public attributes, those above included, by ascending tag, with what describes the object inside
    /// sequences. The character set is not among them: all text here is UTF-8.
    pub listed: Vec<Attribute>,
    declared_frames: Option<u32>,
}

/// One attribute with its values as DICOM JSON would show them [PS3.18 F.2].
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Group in the upper, element in the lower 16 bits.
    pub tag: u32,
    /// Value representation, two letters.
    pub vr: &'static str,
    /// The values in order; numbers in decimal, tags as eight hex digits. An empty value is an empty string.
    pub values: Vec<String>,
    /// The items of a sequence, each its attributes by ascending tag.
    pub items: Vec<Vec<Self>>,
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributes")
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("number_of_frames", &self.number_of_frames)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:08X}) {}", self.tag, self.vr)
    }
}

impl Attributes {
    pub(crate) fn interpret(data_set: &DataSet, meta_sop_class: Option<String>) -> Result<Self, ObjectError> {
        let values = Values {
            data_set,
            character_set: character_set(&data_set.values).unwrap_or_else(|| CharacterSet::from_value(b"")),
        };
        let uid = |tag, attribute| values.uid(tag, attribute);
        let missing = |attribute| ObjectError::Missing { attribute };
        let sop_instance_uid = uid(Tag(0x0008, 0x0018), "SOPInstanceUID")?.ok_or(missing("SOPInstanceUID"))?;
        let sop_class_uid =
            uid(Tag(0x0008, 0x0016), "SOPClassUID")?.or(meta_sop_class).ok_or(missing("SOPClassUID"))?;
        let number = |element| values.integer(Tag(0x0028, element));
        let small = |element| number(element).and_then(|value| u16::try_from(value).ok());
        let declared_frames = number(0x0008).and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        Ok(Self {
            sop_instance_uid,
            sop_class_uid,
            series_instance_uid: uid(Tag(0x0020, 0x000e), "SeriesInstanceUID")?,
            study_instance_uid: uid(Tag(0x0020, 0x000d), "StudyInstanceUID")?,
            patient_id: values.text(Tag(0x0010, 0x0020)),
            modality: values.text(Tag(0x0008, 0x0060)),
            instance_number: values.integer(Tag(0x0020, 0x0013)),
            rows: small(0x0010).map(u32::from),
            columns: small(0x0011).map(u32::from),
            number_of_frames: declared_frames.unwrap_or(1),
            samples_per_pixel: small(0x0002),
            bits_allocated: small(0x0100),
            bits_stored: small(0x0101),
            pixel_representation: small(0x0103),
            planar_configuration: small(0x0006),
            photometric_interpretation: values.text(Tag(0x0028, 0x0004)),
            pixel_data_provider_url: values.text(Tag(0x0028, 0x7fe0)),
            listed: list(&data_set.values, &values.character_set, data_set.encoding),
            declared_frames,
        })
    }

    /// Number of Frames, `None` if absent or not a number above 0.
    pub(crate) const fn declared_frames(&self) -> Option<u32> {
        self.declared_frames
    }
}

/// All short public attributes, by ascending tag; those without a value have none in the list.
pub(crate) fn list_attributes(data_set: &DataSet) -> Vec<Attribute> {
    let character_set = character_set(&data_set.values).unwrap_or_else(|| CharacterSet::from_value(b""));
    list(&data_set.values, &character_set, data_set.encoding)
}

const SPECIFIC_CHARACTER_SET: Tag = Tag(0x0008, 0x0005);

impl DataSet {
    fn find(&self, tag: Tag) -> impl Iterator<Item = &RawValue> {
        self.values.iter().filter(move |value| value.tag == tag)
    }
}

/// The character set that a data set or an item says it is in.
fn character_set(values: &[RawValue]) -> Option<CharacterSet> {
    let value = values.iter().find(|value| value.tag == SPECIFIC_CHARACTER_SET)?;
    Some(CharacterSet::from_value(value.bytes.as_deref().unwrap_or_default()))
}

struct Values<'a> {
    data_set: &'a DataSet,
    character_set: CharacterSet,
}

impl Values<'_> {
    /// A UID that other objects refer to: two readers must not take two different ones from one object.
    fn uid(&self, tag: Tag, attribute: &'static str) -> Result<Option<String>, ObjectError> {
        let mut found = None;
        for (nth, value) in self.data_set.find(tag).enumerate() {
            let too_long = ObjectError::InvalidUid { attribute, why: "longer than 64 characters" };
            let uid = parse_uid(value.bytes.as_deref().ok_or(too_long)?, attribute)?;
            if nth > 0 && uid != found {
                return Err(ObjectError::Ambiguous { attribute });
            }
            found = uid;
        }
        Ok(found)
    }

    fn text(&self, tag: Tag) -> Option<String> {
        let value = self.data_set.find(tag).next()?;
        let text = decode_text(value.vr, value.bytes.as_deref()?, &self.character_set);
        let text = text.trim_matches(PADDING);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The first number, whatever VR it was given.
    fn integer(&self, tag: Tag) -> Option<i64> {
        let value = self.data_set.find(tag).next()?;
        let bytes = value.bytes.as_deref()?;
        if let Some(kind) = Number::of(value.vr) {
            return kind.decode(bytes, self.data_set.encoding).next()?.parse().ok();
        }
        if matches!(value.vr, VR::UN | VR::OB | VR::OW) {
            let kind = if bytes.len() == 4 { Number::Unsigned(4) } else { Number::Unsigned(2) };
            return kind.decode(bytes, self.data_set.encoding).next()?.parse().ok();
        }
        text_values(value.vr, bytes, &self.character_set).into_iter().next()?.parse().ok()
    }
}

/// The attributes of a data set or an item, by ascending tag.
fn list(values: &[RawValue], around: &CharacterSet, encoding: Encoding) -> Vec<Attribute> {
    let own = character_set(values);
    let character_set = own.as_ref().unwrap_or(around);
    let mut listed = Vec::new();
    for value in values {
        let unwanted = value.tag == SPECIFIC_CHARACTER_SET
            || matches!(value.vr, VR::UN | VR::OB | VR::OW | VR::OF | VR::OD | VR::OL | VR::OV);
        if unwanted {
            continue;
        }
        let items = value.items.iter().map(|item| list(item, character_set, encoding)).collect();
        let values = match (value.bytes.as_deref(), Number::of(value.vr)) {
            (Some(bytes), Some(kind)) => kind.decode(bytes, encoding).collect(),
            (Some(bytes), None) => text_values(value.vr, bytes, character_set),
            (None, _) if value.vr == VR::SQ => Vec::new(),
            (None, _) => continue,
        };
        let tag = u32::from(value.tag.group()) << 16 | u32::from(value.tag.element());
        listed.push(Attribute { tag, vr: value.vr.to_string(), values, items });
    }
    listed.sort_by_key(|attribute| attribute.tag);
    listed.dedup_by_key(|attribute| attribute.tag);
    listed
}
