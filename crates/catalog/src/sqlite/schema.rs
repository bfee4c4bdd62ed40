//! Migrations: applied in order, never to a newer schema, never without a copy of what was there.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use sqlx::{Row as _, SqliteConnection};

use crate::connection::Connection;
use crate::error::CatalogError;
use crate::levels;
use crate::migrate;

/// The migrations that this program holds.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// Applies what is missing; copies the file first if it holds an older schema.
///
/// A migration is one transaction, so an interrupted one leaves the older schema, and the next start does it again.
pub(crate) async fn bring_up_to_date(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &Migrator,
) -> Result<(), CatalogError> {
    let known = migrate::newest(migrations);
    let found = applied(connection).await?;
    if found > known {
        return Err(CatalogError::NewerSchema { found, known });
    }
    if found > 0 && found < known {
        keep_copy(connection, path, found).await?;
        tracing::info!(schema.from = found, schema.to = known, "migrating the catalog");
    }
    migrate::run(connection, migrations).await?;
    if known >= levels::SCHEMA {
        levels::fill(&mut Connection::Sqlite(connection)).await?;
    }
    Ok(())
}

/// The newest migration that the database has seen, 0 for a new database.
pub(crate) async fn applied(connection: &mut SqliteConnection) -> Result<i64, CatalogError> {
    let table = sqlx::query("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'");
    if table.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? == 0 {
        return Ok(0);
    }
    let newest = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations");
    Ok(newest.fetch_one(connection).await?.try_get(0)?)
}

/// Writes `<catalog>.schema-<n>`: whole and durable before the first migration begins. One that is there comes from a
/// start that did not get through, or from before somebody went back to it: this one knows as much or more.
async fn keep_copy(connection: &mut SqliteConnection, path: &Path, schema: i64) -> Result<(), CatalogError> {
    let copy = with_suffix(path, &format!(".schema-{schema}"));
    let unfinished = with_suffix(&copy, ".unfinished");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(copy_failed(&error)),
        _ => {}
    }
    sqlx::query("VACUUM INTO $1").bind(unfinished.to_string_lossy().into_owned()).execute(connection).await?;
    let finish = || {
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, &copy)?;
        let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    };
    finish().map_err(|error| copy_failed(&error))
}

fn copy_failed(error: &io::Error) -> CatalogError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CatalogError::Full,
        _ => CatalogError::Database { detail: format!("copying the catalog before its migration: {error}") },
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use sqlx::migrate::{Migration, MigrationType};
    use sqlx::{Connection as _, SqlSafeStr as _};

    use super::*;

    fn migrations(texts: &[&'static str]) -> Migrator {
        let all = texts.iter().zip(1..).map(|(&text, number)| {
            Migration::new(number, "test".into(), MigrationType::Simple, text.into_sql_str(), false)
        });
        Migrator::with_migrations(all.collect())
    }

    async fn connect(path: &Path) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap()
    }

    #[tokio::test]
    async fn an_older_schema_is_migrated_after_a_copy_and_a_newer_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let old = migrations(&["CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7)"]);
        let new = migrations(&["CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7)", "DROP TABLE a"]);

        let mut connection = connect(&path).await;
        bring_up_to_date(&mut connection, &path, &old).await.unwrap();
        assert!(!folder.path().join("catalog.sqlite.schema-1").exists(), "a new database needs no copy");
        bring_up_to_date(&mut connection, &path, &new).await.unwrap();

        let mut copy = connect(&folder.path().join("catalog.sqlite.schema-1")).await;
        let kept = sqlx::query("SELECT x FROM a").fetch_one(&mut copy).await.unwrap();
        assert_eq!(kept.get::<i64, _>(0), 7);

        // Somebody went back to the copy, worked on with the old program, and comes to the new one once more.
        connection.close().await.unwrap();
        copy.close().await.unwrap();
        std::fs::copy(folder.path().join("catalog.sqlite.schema-1"), &path).unwrap();
        let mut connection = connect(&path).await;
        sqlx::query("INSERT INTO a VALUES (8)").execute(&mut connection).await.unwrap();
        bring_up_to_date(&mut connection, &path, &new).await.unwrap();
        let mut copy = connect(&folder.path().join("catalog.sqlite.schema-1")).await;
        let kept = sqlx::query("SELECT COUNT(*) FROM a").fetch_one(&mut copy).await.unwrap();
        assert_eq!(kept.get::<i64, _>(0), 2);

        let refused = bring_up_to_date(&mut connection, &path, &old).await.unwrap_err();
        assert_eq!(refused, CatalogError::NewerSchema { found: 2, known: 1 });
        assert!(refused.to_string().contains("newer program"));
    }

    #[tokio::test]
    async fn files_of_schema_1_are_indexed_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let mut connection = connect(&path).await;
        let first = Migrator::with_migrations(MIGRATIONS.iter().take(1).cloned().collect());
        bring_up_to_date(&mut connection, &path, &first).await.unwrap();
        sqlx::query(
            "INSERT INTO objects VALUES ('a', 1, 'image/jpx', 'indexed', NULL, 't', 1),
                ('b', 1, 'application/dicom', 'indexed', NULL, 'u', 1), ('c', 1, 'image/jp2', 'unservable', 'x', NULL, NULL),
                ('d', 1, 'image/jp2', 'stored', NULL, NULL, NULL);
            INSERT INTO jobs (kind, object_key) VALUES ('index', 'd')",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        bring_up_to_date(&mut connection, &path, &MIGRATIONS).await.unwrap();
        let states = sqlx::query("SELECT state FROM objects ORDER BY key").fetch_all(&mut connection).await.unwrap();
        let states: Vec<String> = states.iter().map(|row| row.get(0)).collect();
        assert_eq!(states, ["stored", "indexed", "unservable", "stored"]);
        let jobs =
            sqlx::query("SELECT object_key FROM jobs ORDER BY object_key").fetch_all(&mut connection).await.unwrap();
        assert_eq!(jobs.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), ["a", "d"]);
    }

    #[tokio::test]
    async fn a_migration_that_was_changed_afterwards_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let mut connection = connect(&path).await;
        bring_up_to_date(&mut connection, &path, &migrations(&["CREATE TABLE a (x)"])).await.unwrap();
        let refused = bring_up_to_date(&mut connection, &path, &migrations(&["CREATE TABLE b (x)"])).await;
        assert_eq!(refused, Err(CatalogError::ForeignSchema { version: 1 }));
    }

    #[test]
    fn both_sets_of_migrations_have_the_same_names() {
        let names = |database: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(database);
            let entries = std::fs::read_dir(folder).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("sqlite"), names("postgres"));
    }
}
