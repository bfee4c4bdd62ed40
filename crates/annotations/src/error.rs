//! Why a document is not read.

use thiserror::Error;

/// A document that is not read. The text holds nothing of the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// It is not XML.
    #[error("malformed XML at byte {offset}: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where reading stopped, in bytes from the start of the document.
        offset: u64,
    },
    /// It may be XML, but of a kind that is not read here.
    #[error("{what} is not read")]
    Unsupported {
        /// What it uses.
        what: &'static str,
    },
    /// There is more of something than the limits allow.
    #[error("more than {limit} {what}")]
    LimitExceeded {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}
