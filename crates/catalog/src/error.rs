//! Why the catalog could not answer.

use thiserror::Error;

/// What kind of failure it is; the server alone turns a family into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The caller's value breaks the rules.
    Malformed,
    /// Legal, but not done here.
    Unsupported,
    /// Legal, refused for safety.
    LimitExceeded,
    /// The database failed.
    Unavailable,
}

/// A question that was not answered or a change that was not made.
///
/// Holds no value of any row: messages may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The database was written by a newer program.
    #[error("the catalog has schema {found}, this program knows schemas up to {known}: use the newer program")]
    NewerSchema {
        /// Schema of the database.
        found: i64,
        /// Newest schema known here.
        known: i64,
    },
    /// A migration that was applied here differs from the one this program holds.
    #[error("schema {version} of the catalog is not the one that this program knows")]
    ForeignSchema {
        /// Number of the migration.
        version: i64,
    },
    /// The URL names a database that this program cannot use, or says of it what this program does not know.
    #[error("database URL not understood: it is sqlite:PATH or postgres://USER@HOST/DATABASE")]
    UnknownDatabase,
    /// The cursor is not one that was handed out.
    #[error("cursor not understood")]
    BadCursor,
    /// No stored object has that key.
    #[error("no stored object has that key")]
    NoSuchObject,
    /// The medium is full; nothing was changed.
    #[error("no space left for the catalog")]
    Full,
    /// The database is locked by somebody else, or its server has too much to do; nothing was changed.
    #[error("the catalog is busy")]
    Busy,
    /// The medium failed while a change was made durable; no further change is taken until a restart.
    #[error("the catalog's medium failed, no change is taken until a restart: {detail}")]
    Broken {
        /// What the database said.
        detail: String,
    },
    /// The database server does not answer, or went away meanwhile. If that was while a change was made durable, nobody
    /// knows whether it was: sent again it is a duplicate at worst.
    #[error("the catalog's server cannot be reached: {detail}")]
    Unreachable {
        /// What was said about it.
        detail: String,
    },
    /// The file holds something that no catalog writes.
    #[error(
        "the catalog is damaged ({detail}): restore it from a backup, or move it away and run `precinct fsck --repair`, \
         which makes another from the stored DICOM objects"
    )]
    Damaged {
        /// What the database said.
        detail: String,
    },
    /// The database failed otherwise.
    #[error("the catalog failed: {detail}")]
    Database {
        /// What the database said.
        detail: String,
    },
    /// The catalog was closed.
    #[error("the catalog is closed")]
    Closed,
}

impl CatalogError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::BadCursor => Family::Malformed,
            Self::NewerSchema { .. } | Self::ForeignSchema { .. } | Self::UnknownDatabase => Family::Unsupported,
            Self::NoSuchObject
            | Self::Full
            | Self::Busy
            | Self::Broken { .. }
            | Self::Damaged { .. }
            | Self::Unreachable { .. }
            | Self::Database { .. }
            | Self::Closed => Family::Unavailable,
        }
    }
}
