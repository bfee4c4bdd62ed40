//! A PostgreSQL database of a test's own, on the server that `PRECINCT_TEST_POSTGRES` names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A database that nobody else uses.
pub(crate) struct PostgresDatabase {
    /// URL of the server's maintenance database.
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// A new one without tables; `None`, and a line that says so, where there is no server to test with.
    pub(crate) async fn fresh() -> Option<Self> {
        Self::of_encoding("UTF8").await
    }

    /// As above, in an encoding.
    pub(crate) async fn of_encoding(encoding: &str) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = match std::env::var("PRECINCT_TEST_POSTGRES") {
            Ok(server) if !server.is_empty() => server,
            _ => {
                let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "CI=true and no PostgreSQL: PRECINCT_TEST_POSTGRES must hold the URL of a server");
                println!("skipped: no PostgreSQL server in PRECINCT_TEST_POSTGRES");
                return None;
            }
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("precinct_test_{}_{}_{since}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        database.on_server("CREATE DATABASE", &format!(" TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'")).await;
        Some(database)
    }

    /// What a catalog is opened with.
    pub(crate) fn url(&self) -> String {
        let (path, query) = self.server.split_once('?').map_or((&*self.server, ""), |(path, query)| (path, query));
        let (server, _) = path.rsplit_once('/').unwrap();
        format!("{server}/{}?{query}", self.name)
    }

    /// Somebody else's connection.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Runs statements on a connection that comes and goes.
    pub(crate) async fn run(&self, statements: &'static str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ends all connections to it, as a restart of the server would; returns their number.
    pub(crate) async fn end_connections(&self) -> usize {
        let mut maintenance = PgConnection::connect(&self.server).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        let ended = sqlx::query(end).bind(&self.name).fetch_all(&mut maintenance).await.unwrap();
        maintenance.close().await.unwrap();
        ended.len()
    }

    /// Sets a default for the connections to come.
    pub(crate) async fn set(&self, setting: &str) {
        self.on_server("ALTER DATABASE", &format!(" SET {setting}")).await;
    }

    /// Lets go of it.
    pub(crate) async fn remove(self) {
        self.on_server("DROP DATABASE", " WITH (FORCE)").await;
    }

    async fn on_server(&self, command: &str, rest: &str) {
        let mut maintenance = PgConnection::connect(&self.server).await.unwrap();
        let statement = AssertSqlSafe(format!("{command} {}{rest}", self.name));
        maintenance.execute(statement).await.unwrap();
        maintenance.close().await.unwrap();
    }
}
