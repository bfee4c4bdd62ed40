//! The writer's way to its database: a connection that is made anew when it is of no more use, and transactions on it.

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use crate::apply::{apply, apply_as_new};
use crate::change::{Answer, Change};
use crate::connection::{Connection, patiently};
use crate::error::CatalogError;
use crate::failure::{Failure, Remedy};
use crate::postgres;
use crate::query::PerDatabase;

/// The way to the database.
pub(crate) struct Line {
    /// Away after a failure.
    held: Option<Held>,
    address: Address,
}

/// How a connection is made.
pub(crate) enum Address {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// A connection of one's own.
pub(crate) enum Held {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Begins a transaction and its first change: a way to the database and back is worth saving. On PostgreSQL a change that
/// comes second must see what came first when it is applied again.
const BEGIN: PerDatabase = PerDatabase {
    sqlite: "BEGIN IMMEDIATE; SAVEPOINT change",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SAVEPOINT change",
};
/// Between two changes; after one that was taken back, its savepoint is still there.
const NEXT: &str = "RELEASE SAVEPOINT change; SAVEPOINT change";
const TAKE_BACK: &str = "ROLLBACK TO SAVEPOINT change";
const COMMIT: &str = "COMMIT";

/// How often a change is applied: as new, and twice after a look at what there is, which another node may outdate once.
const APPLICATIONS: u32 = 3;

impl Line {
    /// A line that begins with `held`; others are made to `address`.
    pub(crate) const fn new(held: Held, address: Address) -> Self {
        Self { held: Some(held), address }
    }

    /// Makes the changes in one transaction, in this order. A transaction that failed takes its connection with it: on
    /// a full medium SQLite may have ended it by itself, and a server ends what it lost.
    pub(crate) async fn try_group(&mut self, changes: &[Change]) -> Result<Vec<Result<Answer, CatalogError>>, Failure> {
        let mut held = match self.held.take() {
            Some(held) => held,
            None => self.address.connect().await.map_err(Failure::without_remedy)?,
        };
        let outcomes = try_group(&mut held.lend(), changes).await;
        match &outcomes {
            Ok(_) => self.held = Some(held),
            Err(_) => held.abandon().await,
        }
        outcomes
    }

    /// Lets go of the database.
    pub(crate) async fn close(self) -> Result<(), CatalogError> {
        match self.held {
            Some(held) => held.close().await,
            None => Ok(()),
        }
    }
}

impl Address {
    async fn connect(&self) -> Result<Held, Failure> {
        match self {
            Self::Sqlite(options) => Ok(Held::Sqlite(options.connect().await?)),
            Self::Postgres(options) => postgres::connect_to_write(options).await.map(Held::Postgres),
        }
    }
}

impl Held {
    const fn lend(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }

    async fn close(self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.close().await?),
            Self::Postgres(connection) => Ok(patiently(connection.close()).await?),
        }
    }

    /// Closes after a failure: what closing has to say, the error has said.
    async fn abandon(self) {
        let _ = match self {
            Self::Sqlite(connection) => connection.close().await,
            // Without a farewell, which a server that is gone would never take: it rolls back what is open all the same.
            Self::Postgres(connection) => connection.close_hard().await,
        };
    }
}

async fn try_group(
    connection: &mut Connection<'_>,
    changes: &[Change],
) -> Result<Vec<Result<Answer, CatalogError>>, Failure> {
    connection.control(connection.text_of(&BEGIN)).await?;
    let mut outcomes = Vec::with_capacity(changes.len());
    for (position, change) in changes.iter().enumerate() {
        if position > 0 {
            connection.control(NEXT).await?;
        }
        match apply_saved(connection, change).await {
            Err(failure) if ends_the_transaction(&failure) => return Err(failure),
            outcome => outcomes.push(outcome.map_err(CatalogError::from)),
        }
    }
    // From here on nobody knows whether the changes were made; who asked for them may ask again.
    connection.control(COMMIT).await.map_err(Failure::without_remedy)?;
    Ok(outcomes)
}

/// Applies a change behind a savepoint: one that fails leaves no trace and does not take the others with it.
async fn apply_saved(connection: &mut Connection<'_>, change: &Change) -> Result<Answer, Failure> {
    let mut applied = 0;
    loop {
        let outcome = match applied {
            0 => apply_as_new(connection, change).await,
            _ => apply(connection, change).await,
        };
        applied += 1;
        match outcome {
            Err(failure) if !ends_the_transaction(&failure) => {
                connection.control(TAKE_BACK).await?;
                if failure.remedy != Remedy::ApplyAgain || applied == APPLICATIONS {
                    return Err(failure);
                }
            }
            outcome => return outcome,
        }
    }
}

/// A full or failing medium may have ended the whole transaction by itself: so does this.
fn ends_the_transaction(failure: &Failure) -> bool {
    matches!(failure.remedy, Remedy::BeginAgain | Remedy::ConnectAgain)
        || matches!(failure.error, CatalogError::Full | CatalogError::Broken { .. })
}
