//! The one writer: changes that come at the same time share one transaction and one sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::change::{Answer, Change};
use crate::error::CatalogError;
use crate::failure::{Failure, Remedy};
use crate::line::Line;

/// Hands changes to the task that owns the writing connection.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Queued>,
    broken: Arc<AtomicBool>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Debug)]
enum Queued {
    Change(Box<Change>, oneshot::Sender<Outcome>),
    Close,
}

type Outcome = Result<Answer, CatalogError>;

/// Changes in one transaction at most; more would only make the first of them wait longer.
const GROUP: usize = 128;

/// How often a transaction is begun before its changes fail. Of those that are in each other's way one gets through each
/// time, and a connection that was lost is followed by a new one or by none.
const TRIES: u32 = 5;

/// Changes that wait; who comes later waits outside.
const QUEUE: usize = 1024;

impl Writer {
    /// Writes through `line`.
    pub(crate) fn start(line: Line) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let broken = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(line, waiting, Arc::clone(&broken)));
        Self { queue, broken, task: Arc::new(Mutex::new(Some(task))) }
    }

    /// Makes the change; it is durable when this returns.
    pub(crate) async fn make(&self, change: Change) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let queued = Queued::Change(Box::new(change), answer);
        self.queue.send(queued).await.ok().ok_or(CatalogError::Closed)?;
        answered.await.ok().ok_or(CatalogError::Closed)?
    }

    /// Whether changes are still taken.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.broken.load(Ordering::Acquire) && !self.queue.is_closed()
    }

    /// Finishes what is queued and closes the connection.
    pub(crate) async fn close(&self) {
        let task = self.task.lock().await.take();
        if let Some(task) = task {
            let _ = self.queue.send(Queued::Close).await;
            let _ = task.await;
        }
    }
}

async fn run(mut line: Line, mut waiting: mpsc::Receiver<Queued>, broken: Arc<AtomicBool>) {
    let mut received = Vec::with_capacity(GROUP);
    let mut closing = false;
    while !closing && waiting.recv_many(&mut received, GROUP).await > 0 {
        let mut changes = Vec::with_capacity(received.len());
        let mut answers = Vec::with_capacity(received.len());
        for queued in received.drain(..) {
            match queued {
                Queued::Change(change, answer) => {
                    changes.push(*change);
                    answers.push(answer);
                }
                Queued::Close => closing = true,
            }
        }
        if changes.is_empty() {
            continue;
        }
        let outcomes = commit_group(&mut line, &changes, &broken).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Who no longer waits has the change all the same.
            let _ = answer.send(outcome);
        }
    }
    waiting.close();
    if let Err(error) = line.close().await {
        tracing::warn!(%error, "closing the catalog failed");
    }
}

/// Makes the changes in one transaction. Where another node's transaction was in the way they go one by one: alone, a
/// change hardly holds what the other waits for, whereas two groups could give way to each other for ever.
async fn commit_group(line: &mut Line, changes: &[Change], broken: &AtomicBool) -> Vec<Outcome> {
    match commit_together(line, changes, broken).await {
        Ok(outcomes) => outcomes,
        Err(Failure { remedy: Remedy::BeginAgain, .. }) if changes.len() > 1 => {
            let mut outcomes = Vec::with_capacity(changes.len());
            for change in changes.chunks(1) {
                match commit_together(line, change, broken).await {
                    Ok(alone) => outcomes.extend(alone),
                    Err(failure) => outcomes.push(Err(failure.error)),
                }
            }
            outcomes
        }
        Err(failure) => changes.iter().map(|_| Err(failure.error.clone())).collect(),
    }
}

/// Makes the changes in one transaction, which is begun again if the server went away or gave up a lone change.
async fn commit_together(line: &mut Line, changes: &[Change], broken: &AtomicBool) -> Result<Vec<Outcome>, Failure> {
    if broken.load(Ordering::Acquire) {
        let detail = "an earlier change could not be made durable".to_owned();
        return Err(CatalogError::Broken { detail }.into());
    }
    let mut tried = 1;
    loop {
        let failure = match line.try_group(changes).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(failure) => failure,
        };
        if let CatalogError::Broken { detail } = &failure.error {
            // After a failed sync nobody knows which pages are on the disk, and a second sync may lie.
            broken.store(true, Ordering::Release);
            tracing::error!(detail, "the catalog's medium failed, no change is taken until a restart");
        }
        let again = match failure.remedy {
            Remedy::ConnectAgain => true,
            Remedy::BeginAgain => changes.len() == 1,
            Remedy::ApplyAgain | Remedy::None => false,
        };
        if !again || tried == TRIES {
            return Err(failure);
        }
        tracing::debug!(error = %failure.error, tried, "a transaction of the catalog is begun again");
        tried += 1;
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::key::ObjectKey;
    use crate::line::{Address, Held};
    use crate::model::{FileOutcome, IndexFacts, NewObject, Servable};
    use crate::sqlite::schema;

    fn file(n: u8, media_type: &str) -> Change {
        let facts = IndexFacts {
            version: 1,
            size: 1,
            codestreams: 1,
            width: 1,
            height: 1,
            media_type: None,
            tid: "0".repeat(32),
            presentation: "{}".to_owned(),
            damage: None,
        };
        let servable = Servable::Indexed(facts);
        let object = NewObject { key: ObjectKey::new([n; 32]), size: 1, media_type: media_type.to_owned(), servable };
        Change::CommitFile { object, name: format!("{n}.j2k"), now: 0 }
    }

    #[tokio::test]
    async fn f3_a_full_medium_refuses_what_does_not_fit_and_nothing_after_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        schema::bring_up_to_date(&mut connection, &path, &schema::MIGRATIONS).await.unwrap();
        // The first connection finds no more room than there is now, the next one finds some.
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
        let writer = Writer::start(Line::new(Held::Sqlite(connection), Address::Sqlite(options)));
        let large = "x".repeat(100_000);
        assert_eq!(writer.make(file(1, &large)).await.unwrap_err(), CatalogError::Full);
        assert!(writer.is_healthy());
        for n in [1, 2] {
            let made = writer.make(file(n, &large)).await;
            assert!(matches!(made, Ok(Answer::File(FileOutcome::Inserted))), "{made:?}");
        }
        writer.close().await;
    }
}
