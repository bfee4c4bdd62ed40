//! What only PostgreSQL does: several nodes on one database, and a server that goes away and comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use catalog::{Catalog, CatalogError, Family, FileOutcome, InstanceOutcome, JobKind, Servable};
use sqlx::{Connection as _, Executor as _, Row as _};

use crate::database::PostgresDatabase;
use crate::{instance, key, object, put};

/// Two nodes on a fresh database.
async fn two_nodes() -> Option<(PostgresDatabase, Catalog, Catalog)> {
    let database = PostgresDatabase::fresh().await?;
    let url = database.url();
    let (first, second) = tokio::join!(Catalog::open(&url), Catalog::open(&url));
    Some((database, first.unwrap(), second.unwrap()))
}

async fn let_go(database: PostgresDatabase, catalogs: &[Catalog]) {
    for catalog in catalogs {
        catalog.close().await;
    }
    database.remove().await;
}

/// Commits 120 instances, every fourth with bytes of this node's own; returns what came of each.
async fn commit_all(catalog: &Catalog, node: u8, backwards: bool) -> Vec<(u8, InstanceOutcome)> {
    let mut numbers: Vec<u8> = (0..120).collect();
    if backwards {
        numbers.reverse();
    }
    let tasks: Vec<_> = numbers
        .into_iter()
        .map(|n| {
            let catalog = catalog.clone();
            let content = if n % 4 == 0 { 120 + 2 * (n / 4) + node } else { n };
            tokio::spawn(async move { (n, put(&catalog, content, &format!("1.{n}")).await) })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_commit_the_same_instances_one_inserts_each() {
    for backwards in [false, true] {
        let Some((database, first, second)) = two_nodes().await else { return };
        let (ours, theirs) = tokio::join!(commit_all(&first, 0, false), commit_all(&second, 1, backwards));
        for (n, outcome) in ours {
            let (_, other) = theirs.iter().find(|(m, _)| *m == n).unwrap();
            let late = if n % 4 == 0 { InstanceOutcome::Conflict } else { InstanceOutcome::Duplicate };
            let pair = [outcome, *other];
            assert!(pair.contains(&InstanceOutcome::Inserted) && pair.contains(&late), "{n}: {pair:?}");
        }
        let counts = first.counts().await.unwrap();
        assert_eq!((counts.instances, counts.jobs), (120, 120), "what came second left nothing");
        let_go(database, &[first, second]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_give_one_name_to_other_bytes_both_are_answered() {
    let Some((database, first, second)) = two_nodes().await else { return };
    for n in 0..20 {
        let name = format!("{n}.jp2");
        let (ours, theirs) = tokio::join!(
            first.commit_file(object(n, Servable::ToIndex), &name),
            second.commit_file(object(100 + n, Servable::ToIndex), &name)
        );
        let mut pair = [ours.unwrap(), theirs.unwrap()];
        pair.sort_by_key(|outcome| *outcome == FileOutcome::Replaced);
        assert_eq!(pair, [FileOutcome::Inserted, FileOutcome::Replaced]);
    }
    let_go(database, &[first, second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_two_nodes_never_overlap() {
    let Some((database, first, second)) = two_nodes().await else { return };
    for n in 0..200 {
        put(&first, n, &format!("1.{n}")).await;
    }
    let claim_all = async |catalog: Catalog, node: &'static str| {
        let mut claimed = Vec::new();
        loop {
            let jobs = catalog.claim_jobs(JobKind::Index, node, 7).await.unwrap();
            assert!(jobs.len() <= 7, "never more than asked for");
            if jobs.is_empty() {
                return claimed;
            }
            claimed.extend(jobs.into_iter().map(|job| job.id));
        }
    };
    let tasks = [
        tokio::spawn(claim_all(first.clone(), "a")),
        tokio::spawn(claim_all(first.clone(), "a")),
        tokio::spawn(claim_all(second.clone(), "b")),
        tokio::spawn(claim_all(second.clone(), "b")),
    ];
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    assert_eq!(claimed.len(), 200);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>().len(), 200, "each was claimed once");
    let (ours, theirs) = (first.requeue_claimed("a").await.unwrap(), first.requeue_claimed("b").await.unwrap());
    assert_eq!(ours + theirs, 200);
    let_go(database, &[first, second]).await;
}

#[tokio::test]
async fn f6_connections_that_ended_between_changes_are_not_noticed() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let catalog = Catalog::open(&database.url()).await.unwrap();
    for n in 0..3 {
        assert_eq!(put(&catalog, n, &format!("1.{n}")).await, InstanceOutcome::Inserted);
        assert!(catalog.target(&format!("1.{n}")).await.unwrap().is_some());
        assert!(database.end_connections().await >= 2, "the writer and a reader");
        assert!(catalog.instance(&format!("1.{n}")).await.unwrap().is_some());
    }
    assert!(catalog.takes_changes());
    let_go(database, &[catalog]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_connections_that_end_during_changes_lose_nothing_that_was_acknowledged() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let database = Arc::new(database);
    let catalog = Catalog::open(&database.url()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let ending = tokio::spawn({
        let (database, done) = (Arc::clone(&database), Arc::clone(&done));
        async move {
            let mut ended = 0;
            while !done.load(Ordering::Relaxed) {
                ended += database.end_connections().await;
            }
            ended
        }
    });
    let (mut acknowledged, mut failed) = (Vec::new(), Vec::new());
    for n in 0..200u8 {
        let uid = format!("1.{n}");
        match catalog.commit_instance(object(n, Servable::ToIndex), instance(&uid)).await {
            Ok(outcome) => {
                assert_eq!(outcome, InstanceOutcome::Inserted);
                acknowledged.push(n);
            }
            Err(error) => {
                assert_eq!(error.family(), Family::Unavailable);
                failed.push(n);
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    assert!(ending.await.unwrap() > 0, "nothing was ended");
    println!("{} changes acknowledged, {} failed", acknowledged.len(), failed.len());

    assert!(catalog.takes_changes());
    for n in acknowledged {
        assert!(catalog.target(&format!("1.{n}")).await.unwrap().is_some(), "{n} was acknowledged");
    }
    for n in failed {
        let again = put(&catalog, n, &format!("1.{n}")).await;
        assert_ne!(again, InstanceOutcome::Conflict, "{n} may have been committed, with these bytes");
    }
    let counts = catalog.counts().await.unwrap();
    assert_eq!((counts.instances, counts.jobs), (200, 200));
    catalog.close().await;
    Arc::into_inner(database).unwrap().remove().await;
}

#[tokio::test]
async fn f6_a_question_whose_connection_ends_meanwhile_is_asked_once_more() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let catalog = Catalog::open(&database.url()).await.unwrap();
    put(&catalog, 1, "1.1").await;
    let mut somebody = database.connect().await;
    let mut waiting = database.connect().await;
    somebody.execute("BEGIN").await.unwrap();
    somebody.execute("LOCK TABLE targets IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let end = async {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query(end).fetch_all(&mut waiting).await.unwrap().is_empty() {}
        somebody.execute("ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(catalog.target("1.1"), end);
    assert!(answer.unwrap().is_some());
    somebody.close().await.unwrap();
    waiting.close().await.unwrap();
    let_go(database, &[catalog]).await;
}

#[tokio::test]
async fn f6_a_commit_of_unknown_outcome_is_told_and_not_repeated() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let catalog = Catalog::open(&database.url()).await.unwrap();
    // The connection ends after the last statement and before the end of COMMIT; a sequence forgets nothing.
    let ends = "CREATE SEQUENCE tries;
        CREATE FUNCTION finish() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM nextval('tries'); PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER finish AFTER INSERT ON targets DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION finish()";
    database.run(ends).await;
    let told = catalog.commit_instance(object(1, Servable::ToIndex), instance("1.1")).await.unwrap_err();
    assert!(matches!(told, CatalogError::Unreachable { .. }), "{told}");
    let mut somebody = database.connect().await;
    let tries = sqlx::query("SELECT last_value FROM tries").fetch_one(&mut somebody).await.unwrap();
    assert_eq!(tries.get::<i64, _>(0), 1);
    somebody.close().await.unwrap();
    database.run("DROP TRIGGER finish ON targets").await;
    assert_eq!(put(&catalog, 1, "1.1").await, InstanceOutcome::Inserted);
    let_go(database, &[catalog]).await;
}

#[tokio::test]
async fn f6_a_server_that_takes_no_changes_is_left_as_soon_as_another_does() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let catalog = Catalog::open(&database.url()).await.unwrap();
    put(&catalog, 1, "1.1").await;
    // As on a primary server that came back as a standby.
    database.set("default_transaction_read_only = on").await;
    database.end_connections().await;
    let refused = catalog.commit_instance(object(2, Servable::ToIndex), instance("1.2")).await.unwrap_err();
    assert!(matches!(refused, CatalogError::Unreachable { .. }), "{refused}");
    assert!(catalog.target("1.1").await.unwrap().is_some(), "questions are answered");
    database.set("default_transaction_read_only = off").await;
    assert_eq!(put(&catalog, 2, "1.2").await, InstanceOutcome::Inserted);
    let_go(database, &[catalog]).await;
}

#[tokio::test]
async fn f6_what_somebody_else_has_locked_is_busy_until_it_is_free() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let catalog = Catalog::open(&database.url()).await.unwrap();
    put(&catalog, 1, "1.1").await;
    let mut somebody = database.connect().await;
    somebody.execute("BEGIN").await.unwrap();
    somebody.execute("LOCK TABLE targets IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (changed, asked) =
        tokio::join!(catalog.commit_instance(object(2, Servable::ToIndex), instance("1.2")), catalog.target("1.1"));
    assert_eq!(changed, Err(CatalogError::Busy));
    assert_eq!(asked, Err(CatalogError::Busy));
    somebody.execute("ROLLBACK").await.unwrap();
    assert_eq!(put(&catalog, 2, "1.2").await, InstanceOutcome::Inserted);
    somebody.close().await.unwrap();
    let_go(database, &[catalog]).await;
}

#[tokio::test]
async fn a_commit_is_durable_when_it_is_answered_whatever_the_server_does_by_itself() {
    for (server, ours) in [("off", "on"), ("remote_write", "remote_write")] {
        let Some(database) = PostgresDatabase::fresh().await else { return };
        database.set(&format!("synchronous_commit = {server}")).await;
        let catalog = Catalog::open(&database.url()).await.unwrap();
        // The writer's settings can be seen from inside of its transactions only.
        let spy = "CREATE TABLE seen (setting TEXT);
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
            CREATE TRIGGER look BEFORE INSERT ON targets FOR EACH ROW EXECUTE FUNCTION look()";
        database.run(spy).await;
        put(&catalog, 1, "1.1").await;
        // And after the connection was made anew.
        database.end_connections().await;
        put(&catalog, 2, "1.2").await;
        let mut somebody = database.connect().await;
        let seen = sqlx::query("SELECT setting FROM seen").fetch_all(&mut somebody).await.unwrap();
        assert_eq!(seen.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), [ours, ours]);
        somebody.close().await.unwrap();
        let_go(database, &[catalog]).await;
    }
}

#[tokio::test]
async fn f13_a_newer_schema_and_a_foreign_one_are_refused() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    Catalog::open(&database.url()).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'from the future', TRUE, '', 0)";
    database.run(newer).await;
    let refused = Catalog::open(&database.url()).await.unwrap_err();
    assert_eq!(refused, CatalogError::NewerSchema { found: 9999, known: catalog::schema_version() });

    database.run("DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    database.run("UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 1").await;
    let refused = Catalog::open(&database.url()).await.unwrap_err();
    assert_eq!(refused, CatalogError::ForeignSchema { version: 1 });
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused_with_words() {
    let Some(database) = PostgresDatabase::of_encoding("LATIN1").await else { return };
    let refused = Catalog::open(&database.url()).await.unwrap_err();
    assert!(refused.to_string().contains("LATIN1"), "{refused}");
    database.remove().await;
}

#[tokio::test]
async fn f18_a_migration_that_was_interrupted_is_done_by_the_next_start() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    // Somebody's table of the same name: the migration fails at its end, and nothing of it stays.
    database.run("CREATE TABLE jobs (x INTEGER)").await;
    let refused = Catalog::open(&database.url()).await.unwrap_err();
    assert!(matches!(refused, CatalogError::Database { .. }), "{refused}");
    database.run("DROP TABLE jobs").await;
    let catalog = Catalog::open(&database.url()).await.unwrap();
    assert_eq!(put(&catalog, 1, "1.1").await, InstanceOutcome::Inserted);
    assert_eq!(catalog.object_state(key(1)).await, Ok(Some(catalog::State::Stored)));
    let_go(database, &[catalog]).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_the_password_stays_unsaid() {
    // Nobody listens on port 1.
    let refused = Catalog::open("postgres://u:s3cret@127.0.0.1:1/x").await.unwrap_err();
    assert!(matches!(refused, CatalogError::Unreachable { .. }), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    let refused = Catalog::open("postgres://u:1?s3cret@127.0.0.1/x").await.unwrap_err();
    assert_eq!(refused, CatalogError::UnknownDatabase);
    let Some(database) = PostgresDatabase::fresh().await else { return };
    let (server, rest) =
        database.url().split_once('@').map(|(_, rest)| ("postgres://postgres", rest.to_owned())).unwrap();
    let catalog = Catalog::open(&format!("{server}:s3cret@{rest}")).await.unwrap();
    assert!(!format!("{catalog:?}").contains("s3cret"));
    let_go(database, &[catalog]).await;
}
