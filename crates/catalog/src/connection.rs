//! One statement on either database: the same text, the same values in, the same rows out.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{PgConnection, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqliteConnection};

use crate::error::CatalogError;
use crate::failure::Failure;
use crate::query::PerDatabase;

/// A connection to either database, lent for some statements.
#[derive(Debug)]
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// A value that takes the place of `$n`; `None` is NULL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    Integer(Option<i64>),
    Text(Option<&'v str>),
}

/// A row that was found.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// How long a server may be silent about one statement before its connection counts as lost. A server that went away
/// without a word (failover, a cut cable) is noticed by nothing else; it is well above the patience with locks.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(30);

impl Connection<'_> {
    /// The words for this database.
    pub(crate) const fn text_of(&self, text: &PerDatabase) -> &'static str {
        match self {
            Self::Sqlite(_) => text.sqlite,
            Self::Postgres(_) => text.postgres,
        }
    }

    /// All rows that answer the question.
    pub(crate) async fn all(&mut self, text: impl SqlSafeStr, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let text = text.into_sql_str();
        match self {
            Self::Sqlite(connection) => {
                let rows = sqlite_query(text, values).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(connection) => {
                let rows = patiently(postgres_query(text, values).fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row that answers the question, if there is one.
    pub(crate) async fn optional(
        &mut self,
        text: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, Failure> {
        Ok(self.all(text, values).await?.into_iter().next())
    }

    /// The row that answers a question which always has one.
    pub(crate) async fn one(&mut self, text: impl SqlSafeStr, values: &[Value<'_>]) -> Result<Row, Failure> {
        self.optional(text, values).await?.ok_or_else(|| Failure::from(sqlx::Error::RowNotFound))
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(crate) async fn execute(&mut self, text: impl SqlSafeStr, values: &[Value<'_>]) -> Result<u64, Failure> {
        let text = text.into_sql_str();
        match self {
            Self::Sqlite(connection) => {
                Ok(sqlite_query(text, values).execute(&mut **connection).await?.rows_affected())
            }
            Self::Postgres(connection) => {
                let executed = patiently(postgres_query(text, values).execute(&mut **connection)).await?;
                Ok(executed.rows_affected())
            }
        }
    }

    /// Runs statements without values, in one round trip: the brackets around a transaction, settings.
    pub(crate) async fn control(&mut self, text: &'static str) -> Result<(), Failure> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(text).execute(&mut **connection).await?;
            }
            Self::Postgres(connection) => {
                patiently(sqlx::raw_sql(text).execute(&mut **connection)).await?;
            }
        }
        Ok(())
    }
}

/// Waits for what a server does, not for ever.
pub(crate) async fn patiently<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(STATEMENT_PATIENCE, statement).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::lost("the server does not answer")),
    }
}

fn sqlite_query<'v>(text: SqlStr, values: &[Value<'v>]) -> Query<'v, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(text), |query, value| match *value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}

fn postgres_query<'v>(text: SqlStr, values: &[Value<'v>]) -> Query<'v, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(text), |query, value| match *value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(without_nul)),
    })
}

/// PostgreSQL takes no U+0000 in a text, hostile attributes hold some: there they are U+FFFD, in rows and in questions.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

impl Row {
    /// An integer that is never NULL.
    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, CatalogError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// An integer, `None` for NULL.
    pub(crate) fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CatalogError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A text that is never NULL.
    pub(crate) fn text(&self, column: &'static str) -> Result<&str, CatalogError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A text, `None` for NULL.
    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<&str>, CatalogError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(Some(value.into()))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<Option<u32>> for Value<'_> {
    fn from(value: Option<u32>) -> Self {
        Self::Integer(value.map(Into::into))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(value: Option<&'v str>) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v Option<String>> for Value<'v> {
    fn from(value: &'v Option<String>) -> Self {
        Self::Text(value.as_deref())
    }
}
