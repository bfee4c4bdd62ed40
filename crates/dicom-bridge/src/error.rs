//! Why an object is refused as a whole.

use std::io;

use codestream::Family;
use thiserror::Error;

/// The bytes cannot be kept as a DICOM object.
///
/// Offsets are in bytes from the start of the object, or from the start of the inflated data set where
/// the transfer syntax is a deflated one. No message holds an attribute's value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Neither the prefix of a Part 10 file nor a File Meta Information group where one belongs.
    #[error("not a DICOM Part 10 file: neither preamble and prefix nor file meta information")]
    NotDicom,
    /// The object ends inside `what`.
    #[error("the object ends inside {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where `what` begins.
        offset: u64,
    },
    /// The bytes at `offset` break the standard.
    #[error("{what} at byte {offset}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// An attribute that identifies the object is absent or empty.
    #[error("{attribute} is missing")]
    Missing {
        /// Keyword of the attribute.
        attribute: &'static str,
    },
    /// A unique identifier breaks the rules of [PS3.5 9.1].
    #[error("{attribute} is not a valid UID: {why}")]
    InvalidUid {
        /// Keyword of the attribute.
        attribute: &'static str,
        /// Which rule.
        why: &'static str,
    },
    /// An attribute that identifies the object stands there twice, with different values.
    #[error("{attribute} is given twice, with different values")]
    Ambiguous {
        /// Keyword of the attribute.
        attribute: &'static str,
    },
    /// Legal, refused for safety.
    #[error("{what}: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// What is counted.
        what: &'static str,
        /// How many were announced or found.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The medium failed.
    #[error("reading failed: {0}")]
    Source(#[from] io::Error),
}

impl ObjectError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::NotDicom
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::InvalidUid { .. }
            | Self::Ambiguous { .. } => Family::Malformed,
            Self::LimitExceeded { .. } => Family::LimitExceeded,
            Self::Source(_) => Family::Unavailable,
        }
    }
}
