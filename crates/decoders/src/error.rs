//! Why there are no samples.

use thiserror::Error as ThisError;

/// Why a frame was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The bytes break the standard, or end too early.
    #[error("{0}")]
    Malformed(&'static str),
    /// The bytes are legal, but this is not done here.
    #[error("{0} is not decoded here")]
    Unsupported(&'static str),
    /// More samples than the limit allows; nothing was allocated.
    #[error("samples: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// How many there are.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
}
