//! The connections that questions go through; they never wait for the writer.

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, SqlSafeStr, SqlStr, SqlitePool};

use crate::connection::{Connection, Row, Value};
use crate::error::CatalogError;
use crate::failure::{Failure, Remedy};

/// Connections for questions.
#[derive(Debug, Clone)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Readers {
    /// All rows that answer the question. One whose connection is lost is asked once more on another.
    pub(crate) async fn all(&self, text: impl SqlSafeStr, values: &[Value<'_>]) -> Result<Vec<Row>, CatalogError> {
        let text = text.into_sql_str();
        let answer = match self.ask(text.clone(), values).await {
            Err(Failure { remedy: Remedy::ConnectAgain, .. }) => self.ask(text, values).await,
            answer => answer,
        };
        Ok(answer?)
    }

    /// The first row that answers the question, if there is one.
    pub(crate) async fn optional(
        &self,
        text: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, CatalogError> {
        Ok(self.all(text, values).await?.into_iter().next())
    }

    /// The row that answers a question which always has one.
    pub(crate) async fn one(&self, text: impl SqlSafeStr, values: &[Value<'_>]) -> Result<Row, CatalogError> {
        self.optional(text, values).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Waits for the questions that are being answered and takes no more.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    async fn ask(&self, text: SqlStr, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Sqlite(pool) => {
                let mut lent = pool.acquire().await?;
                Connection::Sqlite(&mut lent).all(text, values).await
            }
            Self::Postgres(pool) => {
                let mut lent = acquire(pool).await?;
                let answer = Connection::Postgres(&mut lent).all(text, values).await;
                if let Err(Failure { remedy: Remedy::ConnectAgain, .. }) = answer {
                    // Back in the pool, the next question would find it.
                    drop(lent.detach());
                }
                answer
            }
        }
    }
}

async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, Failure> {
    pool.acquire().await.map_err(|error| match error {
        // The pool tries to connect for all of its time; asking again would only double that.
        sqlx::Error::PoolTimedOut => Failure::lost("no connection in time").without_remedy(),
        other => Failure::from(other).without_remedy(),
    })
}
