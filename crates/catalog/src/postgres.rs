//! The catalog in a PostgreSQL database, which several nodes may share: one writing connection a node, several readers.
//!
//! A commit is durable when it is answered, as far as the server is: `synchronous_commit` is raised from `off`, and what
//! an administrator chose beyond `on` stays. What other nodes write meanwhile is met by constraints, row locks and
//! repetition, see `line`; what a server that went away leaves behind is met by connecting anew.
//!
//! Needs a connection that is its own from one statement to the next: directly to the server, or through a pooler in
//! session mode.
//!
//! A serial is given out before its row is committed: a page of a listing may pass over a row that another node is about
//! to commit, and a listing that begins anew has it.

pub(crate) mod schema;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::connection::Connection;
use crate::error::CatalogError;
use crate::failure::Failure;
use crate::group::Writer;
use crate::line::{Address, Held, Line};
use crate::readers::Readers;

/// Readers at the same time. Every one is a process of the server, whose limit of 100 is shared by all nodes.
const READERS: u32 = 8;

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How the writer's transactions behave: they wait as long for another's lock as on SQLite, and one whose node is cut off
/// from the server holds its own locks no longer than half a minute. The server's signs of life keep an idle connection
/// from being forgotten by what lies between.
const WRITER_SETTINGS: &str =
    "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 60";

/// Questions change nothing, this being the second lock, and wait as long for somebody else's as changes do.
const READER_SETTINGS: &str =
    "SET default_transaction_read_only = on; SET lock_timeout = '5s'; SET tcp_keepalives_idle = 60";

/// Opens the catalog, makes its tables if there are none, and brings it to the schema of this program.
pub(crate) async fn open(options: PgConnectOptions) -> Result<(Readers, Writer), CatalogError> {
    let mut connection = connect(&options).await?;
    refuse_other_encodings(&mut connection).await?;
    schema::bring_up_to_date(&mut connection, &schema::MIGRATIONS).await?;
    warn_of_no_sync(&mut connection).await?;
    prepare_to_write(&mut connection).await?;
    let writer = Writer::start(Line::new(Held::Postgres(connection), Address::Postgres(options.clone())));
    let readers = PgPoolOptions::new()
        .min_connections(0)
        .max_connections(READERS)
        .acquire_timeout(CONNECT_PATIENCE)
        .test_before_acquire(true)
        .after_connect(|connection, _| Box::pin(async { connection.execute(READER_SETTINGS).await.map(drop) }))
        .connect_lazy_with(options);
    Ok((Readers::Postgres(readers), writer))
}

/// The schema of the catalog in the database; 0 if it has none. Changes nothing.
pub(crate) async fn schema_of(options: &PgConnectOptions) -> Result<i64, CatalogError> {
    let mut connection = connect(options).await?;
    refuse_other_encodings(&mut connection).await?;
    let found = schema::applied(&mut Connection::Postgres(&mut connection)).await;
    connection.close().await?;
    found
}

/// A connection whose commits are durable.
pub(crate) async fn connect_to_write(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    let mut connection = connect(options).await?;
    prepare_to_write(&mut connection).await?;
    Ok(connection)
}

/// What a `postgres:` URL says, `None` if it is none or says what is not known here. What is wrong with it stays unsaid,
/// for it may hold a password.
pub(crate) fn options_of_url(url: &str) -> Option<PgConnectOptions> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    // sqlx only warns of a key that it does not know, and logs its value; and a password that holds a bare '?' ends here.
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let keys = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or(pair));
    if !keys.into_iter().all(|key| KNOWN_KEYS.contains(&key) || key.starts_with("options[")) {
        return None;
    }
    let options: PgConnectOptions = url.parse().ok()?;
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("precinct"),
    };
    Some(options.disable_statement_logging())
}

const KNOWN_KEYS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    match tokio::time::timeout(CONNECT_PATIENCE, options.connect()).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Failure::lost("no connection in time")),
    }
}

/// Settings of the session, after any migration: that one waits for locks as long as it takes.
async fn prepare_to_write(connection: &mut PgConnection) -> Result<(), Failure> {
    if setting(connection, "synchronous_commit").await? == "off" {
        Connection::Postgres(connection).control("SET synchronous_commit = on").await?;
    }
    Connection::Postgres(connection).control(WRITER_SETTINGS).await
}

/// In another encoding than UTF-8 some names and attributes could not be written.
async fn refuse_other_encodings(connection: &mut PgConnection) -> Result<(), CatalogError> {
    let encoding = setting(connection, "server_encoding").await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(CatalogError::Database { detail: format!("the database has the encoding {encoding}, UTF8 is needed") })
}

/// A server without `fsync` is for tests; an administrator should know what it means elsewhere.
async fn warn_of_no_sync(connection: &mut PgConnection) -> Result<(), CatalogError> {
    if setting(connection, "fsync").await? == "off" {
        tracing::warn!("the PostgreSQL server runs with fsync off: a power cut may take back what was acknowledged");
    }
    Ok(())
}

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String, Failure> {
    let row = Connection::Postgres(connection).one("SELECT current_setting($1) AS setting", &[name.into()]).await?;
    Ok(row.text("setting")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_understood_or_refused_whole() {
        for url in [
            "postgres://h/db",
            "postgresql://u:p@h:5433/db?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres://u@localhost/db?host=/run/postgresql",
        ] {
            assert!(options_of_url(url).is_some(), "{url}");
        }
        for url in [
            "sqlite:x",
            "postgres:h",
            "postgres://u:p@h/db?pasword=p",
            "postgres://u:1?p@h/db",
            "postgres://u:p#p@h/db",
            "postgres://h/db?sslmode=sometimes",
        ] {
            assert!(options_of_url(url).is_none(), "{url}");
        }
        let options = options_of_url("postgresql://u@h/db").unwrap();
        assert_eq!((options.get_host(), options.get_application_name()), ("h", Some("precinct")));
    }
}
