//! Why a codestream or a file cannot be used at all.

use std::io;

use thiserror::Error;

/// What kind of failure it is; the server alone turns a family into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The bytes break the standard.
    Malformed,
    /// Legal, but not done here.
    Unsupported,
    /// Legal, refused for safety.
    LimitExceeded,
    /// The medium failed.
    Unavailable,
}

/// Nothing of the input can be served.
///
/// Offsets are in bytes, counted from the start of what was parsed (codestream or file).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes at `offset` break the standard.
    #[error("{what} at byte {offset}")]
    Malformed {
        /// What is wrong, in words without a full stop.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// The data end at `offset`, inside `what`.
    #[error("the data end inside {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where the data end.
        offset: u64,
    },
    /// Legal, but not done here.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// More than the limits allow.
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

impl ParseError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Malformed { .. } | Self::Truncated { .. } => Family::Malformed,
            Self::Unsupported { .. } => Family::Unsupported,
            Self::LimitExceeded { .. } => Family::LimitExceeded,
            Self::Source(_) => Family::Unavailable,
        }
    }
}
