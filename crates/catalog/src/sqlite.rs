//! The catalog in one SQLite file: WAL, `synchronous = FULL`, one writer, several readers.
//!
//! A commit is on the disk when it is answered: in WAL mode with `synchronous = FULL` SQLite syncs the log at every
//! commit, so neither `kill -9` nor a power cut takes back what was acknowledged.

pub(crate) mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::CatalogError;
use crate::group::Writer;
use crate::line::{Address, Held, Line};
use crate::readers::Readers;

/// Readers at the same time; SQLite reads are short, more would only queue on the page cache.
const READERS: u32 = 4;

/// How long one statement waits for another process (a backup, somebody's shell) before it fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the catalog, makes it if there is none, and brings it to the schema of this program.
pub(crate) async fn open(path: &Path) -> Result<(Readers, Writer), CatalogError> {
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
    let options = options.create_if_missing(false);
    // What a savepoint notes would otherwise go to a file of its own for every transaction.
    let to_write = options.clone().pragma("temp_store", "memory");
    sqlx::raw_sql("PRAGMA temp_store = memory").execute(&mut connection).await?;
    let writer = Writer::start(Line::new(Held::Sqlite(connection), Address::Sqlite(to_write)));
    let readers = SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(LOCK_PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(options.pragma("query_only", "on"));
    Ok((Readers::Sqlite(readers), writer))
}

/// The schema of the catalog in a file that exists; 0 if it has none. Changes nothing.
pub(crate) async fn schema_of(path: &Path) -> Result<i64, CatalogError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(LOCK_PATIENCE);
    let mut connection = options.disable_statement_logging().connect().await?;
    let found = schema::applied(&mut connection).await;
    connection.close().await?;
    found
}

/// The file that a `sqlite:` URL names.
pub(crate) fn path_of_url(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| PathBuf::from(path))
}
