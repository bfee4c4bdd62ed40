//! Migrations: applied in order, never to a newer schema. Nothing is copied before them: back up with `pg_dump`.

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use crate::connection::Connection;
use crate::error::CatalogError;
use crate::levels;
use crate::migrate;

/// The migrations that this program holds.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Applies what is missing.
///
/// A migration is one transaction, so an interrupted one leaves the older schema, and the next start does it again.
pub(crate) async fn bring_up_to_date(connection: &mut PgConnection, migrations: &Migrator) -> Result<(), CatalogError> {
    // What is there already is nothing to be told of at every start.
    Connection::Postgres(connection).control("SET client_min_messages = warning").await?;
    let known = migrate::newest(migrations);
    let found = applied(&mut Connection::Postgres(connection)).await?;
    if found > known {
        return Err(CatalogError::NewerSchema { found, known });
    }
    if found > 0 && found < known {
        tracing::info!(schema.from = found, schema.to = known, "migrating the catalog");
    }
    migrate::run(connection, migrations).await?;
    if known >= levels::SCHEMA {
        levels::fill(&mut Connection::Postgres(connection)).await?;
    }
    Ok(())
}

/// The newest migration that the database has seen, 0 for a new database.
pub(crate) async fn applied(connection: &mut Connection<'_>) -> Result<i64, CatalogError> {
    let table = "SELECT CAST(to_regclass('_sqlx_migrations') AS TEXT) AS name";
    if connection.one(table, &[]).await?.optional_text("name")?.is_none() {
        return Ok(0);
    }
    connection.one("SELECT COALESCE(MAX(version), 0) AS newest FROM _sqlx_migrations", &[]).await?.integer("newest")
}
