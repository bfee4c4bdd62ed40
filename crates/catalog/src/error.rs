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
    /// The URL names a database that this program cannot use.
    #[error("database URL not understood: only sqlite is built in")]
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
    /// The database is locked by somebody else; nothing was changed.
    #[error("the catalog is locked")]
    Busy,
    /// The medium failed while a change was made durable; no further change is taken until a restart.
    #[error("the catalog's medium failed, no change is taken until a restart: {detail}")]
    Broken {
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
            | Self::Database { .. }
            | Self::Closed => Family::Unavailable,
        }
    }
}

/// SQLite's primary result codes (the low byte of the extended ones).
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(refused) = &error {
            let code = refused.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
            match code & 0xff {
                SQLITE_BUSY | SQLITE_LOCKED => return Self::Busy,
                SQLITE_FULL => return Self::Full,
                SQLITE_IOERR => return Self::Broken { detail: refused.message().to_owned() },
                _ => {}
            }
        }
        match error {
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Busy,
            other => Self::Database { detail: other.to_string() },
        }
    }
}
