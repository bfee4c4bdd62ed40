//! Why an object was not taken in.

use catalog::{CatalogError, Reason, ReasonKind};
use codestream::Family;
use dicom_bridge::ObjectError;
use thiserror::Error;

use crate::ingest::NameError;
use crate::storage::StorageError;

/// Why an object was not taken in; nothing of it is known afterwards. No message holds an attribute's value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The first bytes are those of no kind of file that is taken.
    #[error("neither DICOM nor JPEG 2000")]
    NotAnImage,
    /// The name of an image file breaks the rules, or there is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is not whole as a DICOM object.
    #[error("damaged DICOM object: {0}")]
    Object(#[from] ObjectError),
    /// The data set is of another instance than the request that brought it.
    #[error("the data set is not the instance that was announced")]
    NotAsAnnounced,
    /// It was derived from another by this program.
    #[error("an object that was derived from another")]
    Derived,
    /// No codestream in the file can be served.
    #[error("{0}")]
    NoCodestream(Reason),
    /// The store failed or refused; see [`StorageError::Full`] and [`StorageError::TooLarge`].
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Reading the object stopped: a mistake of ours, or the server is ending.
    #[error("reading the object stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

impl IngestError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::NotAnImage | Self::Name(_) | Self::NotAsAnnounced | Self::Derived => Family::Malformed,
            Self::Object(error) => error.family(),
            Self::NoCodestream(reason) => match reason.kind {
                ReasonKind::Unsupported => Family::Unsupported,
                _ => Family::Malformed,
            },
            Self::Storage(error) => error.family(),
            Self::Catalog(_) | Self::Stopped(_) => Family::Unavailable,
        }
    }

    /// Whether there was no room for it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Full) | Self::Catalog(CatalogError::Full))
    }
}
