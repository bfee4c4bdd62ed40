//! The one writer: changes that come at the same time share one transaction and one sync of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::change::{Answer, Change};
use crate::error::CatalogError;
use crate::sqlite::apply::apply;

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

/// Changes that wait; who comes later waits outside.
const QUEUE: usize = 1024;

impl Writer {
    pub(crate) fn start(connection: SqliteConnection) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let broken = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(connection, waiting, Arc::clone(&broken)));
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

async fn run(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Queued>, broken: Arc<AtomicBool>) {
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
        let outcomes = commit_group(&mut connection, &changes, &broken).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Who no longer waits has the change all the same.
            let _ = answer.send(outcome);
        }
    }
    waiting.close();
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "closing the catalog failed");
    }
}

/// Applies the changes in one transaction; one that fails does not take the others with it.
async fn commit_group(connection: &mut SqliteConnection, changes: &[Change], broken: &AtomicBool) -> Vec<Outcome> {
    let all = |error: &CatalogError| changes.iter().map(|_| Err(error.clone())).collect();
    if broken.load(Ordering::Acquire) {
        return all(&CatalogError::Broken { detail: "an earlier change could not be made durable".to_owned() });
    }
    match try_group(connection, changes).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            if let CatalogError::Broken { detail } = &error {
                // After a failed sync nobody knows which pages are on the disk, and a second sync may lie.
                broken.store(true, Ordering::Release);
                tracing::error!(detail, "the catalog's medium failed, no change is taken until a restart");
            }
            all(&error)
        }
    }
}

async fn try_group(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Outcome>, CatalogError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let mut savepoint = transaction.begin().await?;
        let outcome = apply(&mut savepoint, change).await;
        match &outcome {
            Ok(_) => savepoint.commit().await?,
            // A full or failing medium may have ended the whole transaction: so does this.
            Err(CatalogError::Full | CatalogError::Broken { .. }) => return outcome.map(|_| Vec::new()),
            Err(_) => savepoint.rollback().await?,
        }
        outcomes.push(outcome);
    }
    transaction.commit().await?;
    Ok(outcomes)
}
