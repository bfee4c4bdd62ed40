//! Why there is no codestream.

use codestream::{Family, ParseError, RelayoutError};
use thiserror::Error as ThisError;

/// Why an image was not encoded.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Image and parameters contradict themselves or each other.
    #[error("cannot encode: {0}")]
    Parameters(&'static str),
    /// The image is legal, but the encoder cannot express it.
    #[error("{what} cannot be encoded")]
    Unsupported {
        /// What it cannot do.
        what: &'static str,
    },
    /// More samples than the limits allow.
    #[error("samples: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// How many there are.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The encoder gave up.
    #[error("the encoder failed: {0}")]
    Encoder(String),
    /// What the encoder wrote is not the image: nothing of it is given away.
    #[error("the encoder's result is not the image that was given: {0}")]
    Wrong(String),
    /// The result cannot be laid out as wanted.
    #[error("the wanted layout cannot be made: {0}")]
    Layout(#[source] RelayoutError),
}

impl Error {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Parameters(_) => Family::Malformed,
            Self::Unsupported { .. } => Family::Unsupported,
            Self::LimitExceeded { .. } => Family::LimitExceeded,
            Self::Encoder(_) | Self::Wrong(_) => Family::Unavailable,
            Self::Layout(error) => error.family(),
        }
    }
}

impl From<openjpeg::Error> for Error {
    fn from(error: openjpeg::Error) -> Self {
        match error {
            openjpeg::Error::Parameters(what) => Self::Parameters(what),
            openjpeg::Error::LimitExceeded { found, limit, .. } => Self::LimitExceeded { found, limit },
            other => Self::Encoder(other.to_string()),
        }
    }
}

/// A codestream of our own encoders that cannot be indexed.
pub(crate) fn unreadable(error: ParseError) -> Error {
    match error.family() {
        Family::LimitExceeded => Error::Layout(error.into()),
        _ => Error::Wrong(error.to_string()),
    }
}
