//! The catalog in one SQLite file: WAL, `synchronous = FULL`, one writer, several readers.
//!
//! A commit is on the disk when it is answered: in WAL mode with `synchronous = FULL` SQLite syncs the log at every
//! commit, so neither `kill -9` nor a power cut takes back what was acknowledged.

mod apply;
mod group;
mod read;
mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};

use crate::error::CatalogError;
use crate::sqlite::group::Writer;

/// A catalog in a SQLite file.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    readers: SqlitePool,
    writer: Writer,
}

/// Readers at the same time; SQLite reads are short, more would only queue on the page cache.
const READERS: u32 = 4;

/// How long one statement waits for another process (a backup, somebody's shell) before it fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

impl Sqlite {
    /// Opens the catalog, makes it if there is none, and brings it to the schema of this program.
    pub(crate) async fn open(path: &Path) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(LOCK_PATIENCE)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        schema::bring_up_to_date(&mut connection, path, &schema::MIGRATIONS).await?;
        let writer = Writer::start(connection, options.clone().create_if_missing(false));
        let readers = SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(LOCK_PATIENCE)
            .test_before_acquire(false)
            .connect_lazy_with(options.create_if_missing(false).pragma("query_only", "on"));
        Ok(Self { readers, writer })
    }

    /// Makes what is queued durable and lets go of the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }
}

/// The file that a `sqlite:` URL names.
pub(crate) fn path_of_url(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| PathBuf::from(path))
}

pub(crate) use schema::schema_version;
