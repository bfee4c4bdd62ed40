//! Storage commitment [PS3.4 J.3]: what a peer wants to be sure of, and what it is told.

use thiserror::Error;

use super::Request;
use super::identifier::read_data_set;
use crate::attributes::Attribute;
use crate::error::ObjectError;
use crate::uid::parse_uid;
use crate::write::{NewAttributes, WriteError};

/// The instances for which a peer wants somebody to be responsible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRequest {
    /// Transaction UID (0008,1195), by which the peer knows the report.
    pub transaction_uid: String,
    /// What is in the Referenced SOP Sequence (0008,1199).
    pub instances: Vec<ReferencedInstance>,
}

/// An instance as a peer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedInstance {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class_uid: String,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance_uid: String,
}

/// Why an instance is not committed [PS3.3 C.14.1.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// Something failed here, or the instance is none to be kept.
    ProcessingFailure,
    /// It is not here.
    NoSuchInstance,
    /// It is of another class than the peer says.
    ClassInstanceConflict,
}

/// Why a request for commitment was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// The data set cannot be read.
    #[error("the action information cannot be read: {0}")]
    Object(#[from] ObjectError),
    /// It has no Transaction UID, or names no instance.
    #[error("the action information has no {0}")]
    Missing(&'static str),
}

impl FailureReason {
    const fn code(self) -> u16 {
        match self {
            Self::ProcessingFailure => 0x0110,
            Self::NoSuchInstance => 0x0112,
            Self::ClassInstanceConflict => 0x0119,
        }
    }
}

impl CommitmentRequest {
    /// Reads the data set of an N-ACTION.
    ///
    /// # Errors
    ///
    /// - [`CommitmentError::Object`] if it is not whole, or has a UID that is none.
    /// - [`CommitmentError::Missing`] if it has no Transaction UID or no instance.
    pub fn parse(request: &Request) -> Result<Self, CommitmentError> {
        let attributes = read_data_set(request)?;
        let transaction_uid = uid(&attributes, 0x0008_1195, "TransactionUID")?;
        let items = attributes.iter().find(|attribute| attribute.tag == 0x0008_1199);
        let items = items.map(|sequence| sequence.items.as_slice()).unwrap_or_default();
        let instances = items
            .iter()
            .map(|item| {
                Ok(ReferencedInstance {
                    sop_class_uid: uid(item, 0x0008_1150, "ReferencedSOPClassUID")?,
                    sop_instance_uid: uid(item, 0x0008_1155, "ReferencedSOPInstanceUID")?,
                })
            })
            .collect::<Result<Vec<_>, CommitmentError>>()?;
        if instances.is_empty() {
            return Err(CommitmentError::Missing("ReferencedSOPSequence"));
        }
        Ok(Self { transaction_uid, instances })
    }
}

/// What became of a request for commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentReport {
    /// That of the request.
    pub transaction_uid: String,
    /// By which title the instances can be retrieved.
    pub retrieve_ae_title: String,
    /// Those that are whole and durable.
    pub committed: Vec<ReferencedInstance>,
    /// Those that are not.
    pub failed: Vec<(ReferencedInstance, FailureReason)>,
}

impl CommitmentReport {
    /// Event Type ID: 1 if all are committed, 2 if some are not.
    #[must_use]
    pub const fn event_type(&self) -> u16 {
        if self.failed.is_empty() { 1 } else { 2 }
    }

    /// The data set of the report.
    ///
    /// # Errors
    ///
    /// - [`WriteError`] if the transfer syntax is not known.
    pub fn to_data_set(&self, transfer_syntax_uid: &str) -> Result<Vec<u8>, WriteError> {
        let item = |instance: &ReferencedInstance| {
            let mut item = NewAttributes::new();
            item.put(0x0008_1150, "UI", &instance.sop_class_uid).put(0x0008_1155, "UI", &instance.sop_instance_uid);
            item
        };
        let mut report = NewAttributes::new();
        report.put(0x0008_0054, "AE", &self.retrieve_ae_title).put(0x0008_1195, "UI", &self.transaction_uid);
        if !self.committed.is_empty() {
            report.put_sequence(0x0008_1199, self.committed.iter().map(item).collect());
        }
        if !self.failed.is_empty() {
            let failed = |(instance, reason): &(ReferencedInstance, FailureReason)| {
                let mut item = item(instance);
                item.put(0x0008_1197, "US", &reason.code().to_string());
                item
            };
            report.put_sequence(0x0008_1198, self.failed.iter().map(failed).collect());
        }
        report.to_data_set(transfer_syntax_uid)
    }
}

fn uid(attributes: &[Attribute], tag: u32, attribute: &'static str) -> Result<String, CommitmentError> {
    let text = attributes.iter().find(|known| known.tag == tag).and_then(|known| known.values.first());
    let uid = parse_uid(text.map(String::as_bytes).unwrap_or_default(), attribute)?;
    uid.ok_or(CommitmentError::Missing(attribute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::{Command, Service};

    const EXPLICIT: &str = "1.2.840.10008.1.2.1";

    fn instance(number: u32) -> ReferencedInstance {
        ReferencedInstance { sop_class_uid: "1.2.3".into(), sop_instance_uid: format!("2.25.{number}") }
    }

    fn parsed(data_set: Vec<u8>) -> Result<CommitmentRequest, CommitmentError> {
        let (service, command, transfer_syntax_uid) =
            (Service::StorageCommitment, Command::default(), EXPLICIT.to_owned());
        CommitmentRequest::parse(&Request { service, command, data_set, transfer_syntax_uid, context: 1 })
    }

    #[test]
    fn j_3_2_a_request_and_a_report_name_instances_alike() {
        let report = CommitmentReport {
            transaction_uid: "2.25.99".into(),
            retrieve_ae_title: "PRECINCT".into(),
            committed: vec![instance(1), instance(2)],
            failed: Vec::new(),
        };
        assert_eq!(report.event_type(), 1);
        // A report of success has all that a request has.
        let request = parsed(report.to_data_set(EXPLICIT).unwrap()).unwrap();
        assert_eq!(
            request,
            CommitmentRequest { transaction_uid: "2.25.99".into(), instances: report.committed.clone() }
        );
        let failed = vec![(instance(3), FailureReason::ClassInstanceConflict)];
        let report = CommitmentReport { failed, ..report };
        assert_eq!(report.event_type(), 2);
        let data_set = report.to_data_set(EXPLICIT).unwrap();
        assert!(data_set.windows(10).any(|bytes| bytes == [8, 0, 0x97, 0x11, b'U', b'S', 2, 0, 0x19, 1]));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let with = |fill: &dyn Fn(&mut NewAttributes)| {
            let mut attributes = NewAttributes::new();
            fill(&mut attributes);
            parsed(attributes.to_data_set(EXPLICIT).unwrap())
        };
        let nothing = with(&|_| {});
        assert!(matches!(nothing, Err(CommitmentError::Missing("TransactionUID"))));
        let none = with(&|attributes| {
            attributes.put(0x0008_1195, "UI", "1.2");
        });
        assert!(matches!(none, Err(CommitmentError::Missing("ReferencedSOPSequence"))));
        let halfway = with(&|attributes| {
            attributes.put(0x0008_1195, "UI", "1.2").put_sequence(0x0008_1199, vec![NewAttributes::new()]);
        });
        assert!(matches!(halfway, Err(CommitmentError::Missing("ReferencedSOPClassUID"))));
        let nested = [&[0x08, 0, 0x99, 0x11, b'S', b'Q', 0, 0][..], &[255; 4], &[0xfe, 0xff, 0, 0xe0], &[255; 4]];
        assert!(matches!(parsed(nested.concat().repeat(5000)), Err(CommitmentError::Object(_))), "c4");
    }
}
