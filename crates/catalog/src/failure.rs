//! What to do about a statement that failed, beside the [`CatalogError`] that the caller hears in the end.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::error::CatalogError;

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the caller hears if nothing helps.
    pub(crate) error: CatalogError,
    /// What may help.
    pub(crate) remedy: Remedy,
}

/// What may help after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing that is known here.
    None,
    /// A unique value is there already: applied again, the change looks at its row.
    ApplyAgain,
    /// The server gave this transaction up for another one's sake.
    BeginAgain,
    /// The connection is gone, or leads to a server that takes no changes.
    ConnectAgain,
}

impl Failure {
    /// The connection is of no more use.
    pub(crate) fn lost(detail: impl Into<String>) -> Self {
        Self { error: CatalogError::Unreachable { detail: detail.into() }, remedy: Remedy::ConnectAgain }
    }

    /// The same failure where trying again could do the work twice, or would only cost time.
    pub(crate) fn without_remedy(self) -> Self {
        Self { remedy: Remedy::None, ..self }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self { error, remedy: Remedy::None }
    }
}

impl From<Failure> for CatalogError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).error
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) => match refused.try_downcast_ref::<PgDatabaseError>() {
                Some(refused) => of_postgres(refused.code(), refused.message()),
                None => of_sqlite(refused.as_ref()),
            },
            // Only a connection over a socket fails in these ways.
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::lost(error.to_string()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => CatalogError::Closed.into(),
            sqlx::Error::PoolTimedOut => CatalogError::Busy.into(),
            other => CatalogError::Database { detail: other.to_string() }.into(),
        }
    }
}

/// SQLite's primary result codes (the low byte of the extended ones).
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;
/// And two extended ones.
const SQLITE_CONSTRAINT_PRIMARYKEY: u32 = 1555;
const SQLITE_CONSTRAINT_UNIQUE: u32 = 2067;

fn of_sqlite(refused: &dyn DatabaseError) -> Failure {
    let detail = refused.message().to_owned();
    let code = refused.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
    let error = match code & 0xff {
        SQLITE_BUSY | SQLITE_LOCKED => CatalogError::Busy,
        SQLITE_FULL => CatalogError::Full,
        SQLITE_IOERR => CatalogError::Broken { detail },
        SQLITE_CORRUPT | SQLITE_NOTADB => CatalogError::Damaged { detail },
        _ => CatalogError::Database { detail },
    };
    let is_there = matches!(code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY);
    Failure { error, remedy: if is_there { Remedy::ApplyAgain } else { Remedy::None } }
}

/// By SQLSTATE: five letters and digits, of which the first two are the class.
fn of_postgres(code: &str, message: &str) -> Failure {
    let (error, remedy) = match code {
        // unique_violation; serialization_failure, deadlock_detected
        "23505" => (CatalogError::Busy, Remedy::ApplyAgain),
        // foreign_key_violation: a study went while an instance of it came
        "40001" | "40P01" | "23503" => (CatalogError::Busy, Remedy::BeginAgain),
        // disk_full
        "53100" => (CatalogError::Full, Remedy::None),
        // out_of_memory, too_many_connections; lock_not_available (lock_timeout), query_canceled
        "53200" | "53300" | "55P03" | "57014" => (CatalogError::Busy, Remedy::None),
        // cannot_connect_now: the server is starting or stopping
        "57P03" => (CatalogError::Busy, Remedy::ConnectAgain),
        // admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout, idle_in_transaction_session_timeout;
        // read_only_sql_transaction: what was the primary server is a standby now
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25006" => return Failure::lost(message),
        _ if code.starts_with("08") => return Failure::lost(message),
        // The words of these may hold a value of a row.
        _ if code.starts_with("22") || code.starts_with("23") => {
            (CatalogError::Database { detail: format!("a value was refused, SQLSTATE {code}") }, Remedy::None)
        }
        _ => (CatalogError::Database { detail: format!("{message} (SQLSTATE {code})") }, Remedy::None),
    };
    Failure { error, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_says_has_a_remedy_where_there_is_one() {
        for (code, remedy) in [
            ("23505", Remedy::ApplyAgain),
            ("40001", Remedy::BeginAgain),
            ("23503", Remedy::BeginAgain),
            ("40P01", Remedy::BeginAgain),
            ("57P01", Remedy::ConnectAgain),
            ("57P02", Remedy::ConnectAgain),
            ("57P03", Remedy::ConnectAgain),
            ("08006", Remedy::ConnectAgain),
            ("25006", Remedy::ConnectAgain),
            ("53100", Remedy::None),
            ("42P01", Remedy::None),
        ] {
            assert_eq!(of_postgres(code, "words").remedy, remedy, "{code}");
        }
        assert_eq!(of_postgres("53100", "could not extend file").error, CatalogError::Full);
        assert_eq!(of_postgres("53300", "sorry, too many clients already").error, CatalogError::Busy);
        assert_eq!(of_postgres("57P03", "the database system is starting up").error, CatalogError::Busy);
    }

    #[test]
    fn a_refused_value_is_not_repeated() {
        let failure = of_postgres("22P02", "invalid input syntax for type bigint: \"Doe^Jane\"");
        assert!(!failure.error.to_string().contains("Doe"), "{}", failure.error);
    }
}
