//! Why a request is refused.

use codestream::Family;
use thiserror::Error;

/// A request that is not served. The text is short and holds nothing that the peer sent but field names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The value of a known field breaks the grammar.
    #[error("{field}: {what}")]
    Malformed {
        /// Field name as the standard prints it.
        field: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Fields that exclude one another, or one that needs another.
    #[error("{first} {relation} {second}")]
    Combination {
        /// The field that is there.
        first: &'static str,
        /// How the two relate, as in "needs".
        relation: &'static str,
        /// The other field.
        second: &'static str,
    },
    /// A field or feature that is recognised and not done here.
    #[error("{field} is not supported")]
    Unsupported {
        /// Field name.
        field: &'static str,
    },
    /// None of the media types of `type` can be returned.
    #[error("none of the requested return types is available")]
    UnsupportedMediaType,
    /// A preference marked as required cannot be met; the set goes into `JPIP-pref` verbatim.
    #[error("a required preference is not supported")]
    RequiredPreference {
        /// The failing preference set as it was sent.
        set: String,
    },
    /// More than the limits allow.
    #[error("{field}: more than {limit} items")]
    LimitExceeded {
        /// Field name.
        field: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl RequestError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Malformed { .. } | Self::Combination { .. } => Family::Malformed,
            Self::Unsupported { .. } | Self::UnsupportedMediaType | Self::RequiredPreference { .. } => {
                Family::Unsupported
            }
            Self::LimitExceeded { .. } => Family::LimitExceeded,
        }
    }

    pub(crate) const fn malformed(field: &'static str, what: &'static str) -> Self {
        Self::Malformed { field, what }
    }
}
