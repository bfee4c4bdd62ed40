//! Why an image could not be decoded or encoded.

use thiserror::Error;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are neither a codestream nor a JP2 file.
    #[error("neither a JPEG 2000 codestream nor a JP2 file")]
    NotJpeg2000,
    /// The start of the codestream is broken before OpenJPEG was asked.
    #[error("malformed codestream: {0}")]
    Malformed(&'static str),
    /// The header announces more than the caller allows.
    #[error("{what}: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// What is counted.
        what: &'static str,
        /// How many were announced.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The area does not meet the image.
    #[error("the area lies outside the image")]
    EmptyArea,
    /// OpenJPEG refused; its messages, joined.
    #[error("OpenJPEG cannot {action}: {messages}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// What it said, or "no reason given".
        messages: String,
    },
    /// The image or the parameters handed to the encoder contradict themselves.
    #[error("cannot encode: {0}")]
    Parameters(&'static str),
}
