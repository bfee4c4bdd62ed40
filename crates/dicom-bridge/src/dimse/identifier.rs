//! The identifier of a query or a retrieval [PS3.4 C.4], out of the data set of its request.

use thiserror::Error;

use super::{MAX_DATA_SET, Request, Root};
use crate::attributes::{Attribute, list_attributes};
use crate::data_set::DataSet;
use crate::element::Encoding;
use crate::elements::Elements;
use crate::error::ObjectError;
use crate::input::ObjectInput;
use crate::limits::ScanLimits;
use crate::uid::parse_uid;

/// The level of the hierarchy at which something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// PATIENT, of the patient root only.
    Patient,
    /// STUDY.
    Study,
    /// SERIES.
    Series,
    /// IMAGE.
    Image,
}

/// What is asked for, at which level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// Query/Retrieve Level (0008,0052).
    pub level: Level,
    /// The other keys, by ascending tag: text in UTF-8, without values where everything matches.
    pub keys: Vec<Attribute>,
}

/// What is to be retrieved: the instances that agree with each list that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retrieval {
    /// Patient ID.
    pub patient_id: Option<String>,
    /// Study Instance UIDs.
    pub studies: Vec<String>,
    /// Series Instance UIDs.
    pub series: Vec<String>,
    /// SOP Instance UIDs.
    pub instances: Vec<String>,
}

/// Why an identifier was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// The data set cannot be read.
    #[error("the identifier cannot be read: {0}")]
    Object(#[from] ObjectError),
    /// Query/Retrieve Level is missing, or not one of the information model.
    #[error("the Query/Retrieve Level is none of this model")]
    Level,
    /// The key that a retrieval at this level needs is missing or empty.
    #[error("{0} is missing, which says what to retrieve")]
    Missing(&'static str),
}

impl Level {
    fn of(text: &str, root: Root) -> Option<Self> {
        match text {
            "PATIENT" if root == Root::Patient => Some(Self::Patient),
            "STUDY" => Some(Self::Study),
            "SERIES" => Some(Self::Series),
            "IMAGE" => Some(Self::Image),
            _ => None,
        }
    }

    /// As it is written in Query/Retrieve Level.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }
}

impl Identifier {
    /// Reads the data set of a request.
    ///
    /// # Errors
    ///
    /// - [`IdentifierError::Object`] if it is not whole, or nests too deep, or has a UID that is none.
    /// - [`IdentifierError::Level`] if it does not say at which level, or at one that the model does not have.
    pub fn parse(request: &Request, root: Root) -> Result<Self, IdentifierError> {
        let mut keys = read_data_set(request)?;
        let level = keys.iter().find(|key| key.tag == QUERY_RETRIEVE_LEVEL).and_then(|key| key.values.first());
        let level = level.and_then(|text| Level::of(text, root)).ok_or(IdentifierError::Level)?;
        keys.retain(|key| key.tag != QUERY_RETRIEVE_LEVEL);
        Ok(Self { level, keys })
    }

    /// What a retrieval with this identifier asks for. The key of its level is needed, those above narrow it down.
    ///
    /// # Errors
    ///
    /// - [`IdentifierError::Missing`] if the key of the level is missing or empty.
    /// - [`IdentifierError::Object`] if a UID is none.
    pub fn retrieval(&self) -> Result<Retrieval, IdentifierError> {
        let values = |tag| self.keys.iter().find(|key| key.tag == tag).map_or(&[][..], |key| &key.values);
        let uids = |tag, attribute, level| {
            let mut uids = Vec::new();
            if level <= self.level {
                for text in values(tag) {
                    uids.extend(parse_uid(text.as_bytes(), attribute)?);
                }
            }
            // A list may name one thing often; it is sent once.
            uids.sort_unstable();
            uids.dedup();
            Ok::<_, ObjectError>(uids)
        };
        let retrieval = Retrieval {
            patient_id: values(PATIENT_ID).first().filter(|id| !id.is_empty()).cloned(),
            studies: uids(STUDY_INSTANCE_UID, "StudyInstanceUID", Level::Study)?,
            series: uids(SERIES_INSTANCE_UID, "SeriesInstanceUID", Level::Series)?,
            instances: uids(SOP_INSTANCE_UID, "SOPInstanceUID", Level::Image)?,
        };
        let missing = match self.level {
            Level::Patient => retrieval.patient_id.is_none().then_some("PatientID"),
            Level::Study => retrieval.studies.is_empty().then_some("StudyInstanceUID"),
            Level::Series => retrieval.series.is_empty().then_some("SeriesInstanceUID"),
            Level::Image => retrieval.instances.is_empty().then_some("SOPInstanceUID"),
        };
        missing.map_or(Ok(retrieval), |attribute| Err(IdentifierError::Missing(attribute)))
    }
}

/// The attributes in the short data set of a request.
pub(super) fn read_data_set(request: &Request) -> Result<Vec<Attribute>, ObjectError> {
    let encoding = match request.transfer_syntax_uid.as_str() {
        super::preference::IMPLICIT_LITTLE => Encoding::ImplicitLittle,
        _ => Encoding::ExplicitLittle,
    };
    let limits = ScanLimits {
        max_elements: 100_000,
        max_depth: 16,
        max_fragments: 0,
        max_value_bytes: MAX_DATA_SET as u64,
        max_attribute_bytes: 2 * MAX_DATA_SET,
        max_sequence_bytes: 2 * MAX_DATA_SET,
        ..ScanLimits::default()
    };
    let bytes = request.data_set.as_slice();
    let mut input = ObjectInput::new(&bytes, 0);
    let data_set = DataSet::walk(&mut Elements::new(&mut input, encoding, &limits), &limits)?;
    Ok(list_attributes(&data_set))
}

const QUERY_RETRIEVE_LEVEL: u32 = 0x0008_0052;
const PATIENT_ID: u32 = 0x0010_0020;
const STUDY_INSTANCE_UID: u32 = 0x0020_000d;
const SERIES_INSTANCE_UID: u32 = 0x0020_000e;
const SOP_INSTANCE_UID: u32 = 0x0008_0018;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dimse::{Command, Service};
    use crate::write::NewAttributes;

    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn request(data_set: Vec<u8>, transfer_syntax_uid: &str) -> Request {
        let transfer_syntax_uid = transfer_syntax_uid.to_owned();
        let (service, command) = (Service::Find(Root::Study), Command::default());
        Request { service, command, data_set, transfer_syntax_uid, context: 1 }
    }

    fn parsed(keys: &[(u32, &str, &str)], root: Root) -> Result<Identifier, IdentifierError> {
        let mut attributes = NewAttributes::new();
        for (tag, vr, value) in keys {
            attributes.put(*tag, vr, value);
        }
        let parse = |uid: &str| Identifier::parse(&request(attributes.to_data_set(uid).unwrap(), uid), root);
        let (implicit, explicit) = (parse(IMPLICIT), parse("1.2.840.10008.1.2.1"));
        assert_eq!(implicit.as_ref().ok(), explicit.as_ref().ok());
        implicit
    }

    #[test]
    fn keys_are_read_in_either_encoding() {
        let keys = [
            (0x0008_0005, "CS", "ISO_IR 192"),
            (0x0008_0020, "DA", "20240101-20240103"),
            (0x0008_0052, "CS", "STUDY"),
            (0x0010_0010, "PN", "Wang^小*"),
            (0x0020_000d, "UI", "1.2\\1.3"),
            (0x0020_1208, "IS", ""),
        ];
        let identifier = parsed(&keys, Root::Study).unwrap();
        assert_eq!(identifier.level, Level::Study);
        let found: Vec<_> = identifier.keys.iter().map(|key| (key.tag, key.values.join("|"))).collect();
        let expect = [
            (0x0008_0020, "20240101-20240103"),
            (0x0010_0010, "Wang^小*"),
            (0x0020_000d, "1.2|1.3"),
            (0x0020_1208, ""),
        ];
        assert_eq!(found, expect.map(|(tag, text)| (tag, text.to_owned())));
    }

    #[test]
    fn a_level_is_one_of_the_model() {
        let level = |text: &str, root| parsed(&[(0x0008_0052, "CS", text)], root).map(|identifier| identifier.level);
        assert_eq!(level("PATIENT", Root::Patient).unwrap(), Level::Patient);
        assert_eq!(level("IMAGE", Root::Study).unwrap(), Level::Image);
        assert!(matches!(level("PATIENT", Root::Study), Err(IdentifierError::Level)));
        assert!(matches!(level("", Root::Study), Err(IdentifierError::Level)));
        assert!(matches!(level("FRAME", Root::Patient), Err(IdentifierError::Level)));
        assert!(matches!(parsed(&[], Root::Patient), Err(IdentifierError::Level)));
    }

    #[test]
    fn c_4_2_1_4_a_retrieval_needs_the_key_of_its_level() {
        let retrieval = |level: &str, keys: &[(u32, &str, &str)]| {
            let keys = [&[(0x0008_0052, "CS", level)], keys].concat();
            parsed(&keys, Root::Patient).unwrap().retrieval()
        };
        let uids = |list: &[&str]| list.iter().map(|&uid| uid.to_owned()).collect::<Vec<_>>();
        let found = retrieval("SERIES", &[(0x0020_000d, "UI", "1.2"), (0x0020_000e, "UI", "1.4\\1.3\\1.4")]).unwrap();
        assert_eq!((found.studies, found.series, found.instances), (uids(&["1.2"]), uids(&["1.3", "1.4"]), uids(&[])));
        let below = retrieval("STUDY", &[(0x0020_000d, "UI", "1.2"), (0x0020_000e, "UI", "1.3")]).unwrap();
        assert_eq!((below.studies, below.series), (uids(&["1.2"]), uids(&[])));
        assert_eq!(retrieval("PATIENT", &[(0x0010_0020, "LO", "P 1")]).unwrap().patient_id.as_deref(), Some("P 1"));
        for (level, keys) in [
            ("PATIENT", &[(0x0020_000d, "UI", "1.2")][..]),
            ("STUDY", &[(0x0010_0020, "LO", "P1")]),
            ("STUDY", &[(0x0020_000d, "UI", "")]),
            ("IMAGE", &[(0x0020_000d, "UI", "1.2"), (0x0020_000e, "UI", "1.3")]),
        ] {
            assert!(matches!(retrieval(level, keys), Err(IdentifierError::Missing(_))), "{level}");
        }
        let wrong = retrieval("STUDY", &[(0x0020_000d, "UI", "1.2*")]);
        assert!(matches!(wrong, Err(IdentifierError::Object(ObjectError::InvalidUid { .. }))));
    }

    #[test]
    fn c4_an_identifier_without_end_of_sequences_is_refused() {
        let nested = [&[0x08, 0, 0x40, 0x11, 255, 255, 255, 255][..], &[0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255]];
        let refused = Identifier::parse(&request(nested.concat().repeat(10_000), IMPLICIT), Root::Study);
        assert!(matches!(refused, Err(IdentifierError::Object(ObjectError::LimitExceeded { .. }))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_identifier_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200), implicit: bool) {
            let uid = if implicit { IMPLICIT } else { "1.2.840.10008.1.2.1" };
            if let Ok(identifier) = Identifier::parse(&request(bytes, uid), Root::Patient) {
                let _whatever = identifier.retrieval();
            }
        }
    }
}
