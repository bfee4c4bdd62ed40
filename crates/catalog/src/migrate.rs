//! What migrating is on either database: in order, and refused where this program does not know what is there.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use crate::error::CatalogError;

/// The newest schema among the migrations, 0 if there are none.
pub(crate) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Applies what is missing; on PostgreSQL under an advisory lock, so that of several nodes one does it.
pub(crate) async fn run(connection: &mut impl Migrate, migrations: &Migrator) -> Result<(), CatalogError> {
    let known = newest(migrations);
    migrations.run_direct(None, connection, false).await.map_err(|error| match error {
        // Another node may have been first since we looked.
        MigrateError::VersionMissing(found) if found > known => CatalogError::NewerSchema { found, known },
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            CatalogError::ForeignSchema { version }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => CatalogError::Database { detail: other.to_string() },
    })
}
