//! Background work: indexing what was stored, one job an object, bounded, resumed after a crash.
//!
//! A job is a row that is written in the transaction that makes its object known and deleted in the one that says what
//! became of it, so that a crash at any moment leaves the job in the queue; doing it twice gives the same index under
//! the same key. A JPIP request that comes before the index stands does the work itself, once for all that wait.

pub mod apart;
pub mod derive;
mod findings;
pub(crate) mod index_object;
pub mod presentation;
mod single_flight;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use catalog::{Catalog, CatalogError, IndexFacts, IndexKey, JobKind, ObjectKey, Reason, ReasonKind, State, TargetRow};
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::storage::{Storage, StorageError};
use derive::{Derive, Derived, Deriver};
use index_object::{IndexFailure, NewIndex, index_stored};
use single_flight::{Flight, SingleFlight};

/// Why an index could not be made now.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object cannot be indexed.
    #[error("the object cannot be indexed: {0}")]
    Object(Reason),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Makes indexes; cheap to clone.
#[derive(Debug, Clone)]
pub struct Worker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    storage: Storage,
    catalog: Catalog,
    /// The node that jobs are claimed for: the same after a restart, and nobody else's.
    node: String,
    /// What is indexed takes milliseconds, what is derived may take minutes: neither waits for the other.
    indexing: Turns,
    deriving: Turns,
    single: SingleFlight,
    stopping: CancellationToken,
    put_off: AtomicBool,
    /// Who makes objects that others are served from, if that is wanted.
    deriver: Option<Deriver>,
}

/// Work of one kind.
#[derive(Debug)]
struct Turns {
    /// Objects worked on at the same time, by jobs and by requests together.
    permits: Arc<Semaphore>,
    due: Notify,
}

/// A job begun this often without an end takes the process with it, or something like it.
const ATTEMPTS: u32 = 3;

/// How often a failing disk is asked again for one object.
const READS: u32 = 3;
const READ_AGAIN: Duration = Duration::from_millis(200);

/// How long to wait before work that the store or the catalog refused is tried again.
const BACK_OFF: Duration = Duration::from_secs(5);

/// A claim this old is of a node that will not come back: no object takes so long to index. And how often to look.
const STALE: Duration = Duration::from_secs(2 * 60 * 60);
const STALE_LOOK: Duration = Duration::from_secs(5 * 60);

/// How long who asks for an object waits for its work to be done.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the queue is looked at without being told to.
const LOOK: Duration = Duration::from_secs(30);

impl Worker {
    /// A worker on this store and catalog, which claims jobs for `node`; nothing runs before [`Worker::start`].
    #[must_use]
    pub fn new(storage: Storage, catalog: Catalog, node: &str) -> Self {
        let turns = || Turns { permits: Arc::new(Semaphore::new(parallel())), due: Notify::new() };
        let inner = Inner {
            storage,
            catalog,
            node: node.to_owned(),
            indexing: turns(),
            deriving: turns(),
            single: SingleFlight::default(),
            stopping: CancellationToken::new(),
            put_off: AtomicBool::new(false),
            deriver: None,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same, but one that also makes objects of which others are served. For a worker that nobody has a copy of.
    #[must_use]
    pub fn deriving(mut self, deriver: Deriver) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.deriver = Some(deriver).filter(|deriver| deriver.kind != Derive::Off);
        }
        self
    }

    /// Whether something is made of pixel data that is not JPEG 2000.
    #[must_use]
    pub fn derives(&self) -> bool {
        self.inner.deriver.is_some()
    }

    /// Takes up what an earlier process left behind, and then works until [`Worker::stop`].
    pub fn start(&self) -> JoinHandle<()> {
        let worker = self.clone();
        tokio::spawn(async move {
            if let Err(error) = worker.take_up().await {
                tracing::error!(%error, "jobs of an earlier run could not be taken up");
            }
            tokio::join!(worker.run(JobKind::Index), worker.run(JobKind::Derive));
        })
    }

    /// Says that a job was queued.
    pub fn wake(&self) {
        self.inner.indexing.due.notify_one();
        self.inner.deriving.due.notify_one();
    }

    /// Whether a job had to be put off since the start, for a reason outside of its object.
    #[must_use]
    pub fn has_put_off(&self) -> bool {
        self.inner.put_off.load(Ordering::Acquire)
    }

    /// Begins no more work and waits for what is being indexed; what is being derived is given up. Jobs that are not done
    /// stay in the queue.
    pub async fn stop(&self) {
        self.inner.stopping.cancel();
        self.wake();
        let all = u32::try_from(parallel()).unwrap_or(1);
        for Turns { permits, .. } in [&self.inner.indexing, &self.inner.deriving] {
            if let Ok(permits) = permits.acquire_many(all).await {
                permits.forget();
            }
            permits.close();
        }
        // Those that were put off, or never got their turn: an orderly end must not count as one of their attempts.
        if let Err(error) = self.inner.catalog.release_claimed(&self.inner.node).await {
            tracing::error!(%error, "jobs wait for the next start");
        }
    }

    /// The target as it is once indexing has been tried: indexed or unservable, or as it was if that takes long. Who asks while the index is being made
    /// waits for it; the work goes on if the asker goes away.
    ///
    /// # Errors
    ///
    /// If the store or the catalog fails; the target stays as it was.
    pub async fn ensure_indexed(&self, target: &TargetRow) -> Result<TargetRow, WorkError> {
        if target.state != State::Stored {
            return Ok(target.clone());
        }
        let (worker, key) = (self.clone(), target.object_key);
        let mut work = tokio::spawn(async move { worker.index(key).await });
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            done.ok().ok_or(WorkError::Stopping)??;
        }
        let row = self.inner.catalog.target(&target.target).await?;
        Ok(row.unwrap_or_else(|| target.clone()))
    }

    /// Makes the index of an object again whose stored one is gone or cannot be used. The work goes on if the asker goes
    /// away.
    ///
    /// # Errors
    ///
    /// If the object cannot be indexed now, or the store or the catalog fails; the object stays as it was.
    pub async fn index_again(&self, key: ObjectKey) -> Result<(), WorkError> {
        // An object that is served from another has none of its own.
        let key = self.inner.catalog.derived_of(key).await?.unwrap_or(key);
        let worker = self.clone();
        let work = tokio::spawn(async move {
            let _flight = worker.inner.single.take(key).await;
            let permit = Arc::clone(&worker.inner.indexing.permits).acquire_owned().await;
            let _permit = permit.ok().ok_or(WorkError::Stopping)?;
            match worker.index_and_store(key).await {
                Ok(facts) => Ok(worker.inner.catalog.set_indexed(key, facts).await?),
                Err(IndexFailure::Object(reason)) => Err(WorkError::Object(reason)),
                Err(IndexFailure::Write(error) | IndexFailure::Store(error)) => Err(error.into()),
            }
        });
        work.await.ok().ok_or(WorkError::Stopping)?
    }

    async fn run(&self, kind: JobKind) {
        if kind == JobKind::Derive && !self.derives() {
            return;
        }
        let turns = self.turns(kind);
        let mut looked_for_stale = Instant::now();
        while let Ok(permit) = Arc::clone(&turns.permits).acquire_owned().await {
            if self.inner.stopping.is_cancelled() {
                return;
            }
            match self.begin_jobs(kind, permit).await {
                Ok(0) => {
                    if looked_for_stale.elapsed() >= STALE_LOOK {
                        looked_for_stale = Instant::now();
                        self.take_over().await;
                    }
                    drop(tokio::time::timeout(LOOK, turns.due.notified()).await);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "jobs cannot be claimed");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn take_up(&self) -> Result<(), CatalogError> {
        let left = self.inner.catalog.requeue_claimed(&self.inner.node).await?;
        if left > 0 {
            tracing::info!(jobs = left, "taking up jobs that an earlier run did not end");
        }
        if self.derives() {
            let queued = self.inner.catalog.queue_derivations().await?;
            if queued > 0 {
                tracing::info!(jobs = queued, "objects that are not JPEG 2000 are queued to be made interactive");
            }
        }
        let words = format!("the work was begun {ATTEMPTS} times and never came to an end");
        let given_up = self.inner.catalog.give_up_jobs(ATTEMPTS, Reason::new(ReasonKind::Failed, words)).await?;
        if given_up > 0 {
            tracing::error!(jobs = given_up, "jobs that never came to an end were given up");
        }
        Ok(())
    }

    /// Takes over what nodes that never came back had claimed.
    async fn take_over(&self) {
        match self.inner.catalog.requeue_stale(STALE).await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "jobs that another node began long ago are taken over"),
            Err(error) => tracing::error!(%error, "stale jobs could not be taken over"),
        }
    }

    /// Begins as many jobs as there is room for, the given permit included; returns how many.
    async fn begin_jobs(&self, kind: JobKind, first: OwnedSemaphorePermit) -> Result<usize, CatalogError> {
        let mut permits = vec![first];
        while let Ok(permit) = Arc::clone(&self.turns(kind).permits).try_acquire_owned() {
            permits.push(permit);
        }
        let limit = u32::try_from(permits.len()).unwrap_or(1);
        let jobs = self.inner.catalog.claim_jobs(kind, &self.inner.node, limit).await?;
        let begun = jobs.len();
        for (job, permit) in jobs.into_iter().zip(permits) {
            let worker = self.clone();
            tokio::spawn(async move {
                if let Err(error) = worker.index_with(job.object_key, permit).await
                    && !worker.inner.stopping.is_cancelled()
                {
                    tracing::error!(object.key = %job.object_key, %error, "a job is put off");
                    worker.inner.put_off.store(true, Ordering::Release);
                    tokio::time::sleep(BACK_OFF).await;
                    if let Err(error) = worker.inner.catalog.release_job(job.id).await {
                        tracing::error!(object.key = %job.object_key, %error, "a job waits for the next start");
                    }
                    worker.wake();
                }
            });
        }
        Ok(begun)
    }

    /// Indexes an object for a job that was claimed with a permit. Nobody waits for a flight with a permit in the hand:
    /// the holder of the flight may need one.
    async fn index_with(&self, key: ObjectKey, permit: OwnedSemaphorePermit) -> Result<(), WorkError> {
        if let Some(flight) = self.inner.single.try_take(key) {
            return self.index_in_flight(key, permit, flight).await;
        }
        drop(permit);
        self.index(key).await
    }

    /// Indexes an object for a request: in turn with the jobs, but before those that have not been claimed. Many that
    /// wait for one object take up one permit.
    async fn index(&self, key: ObjectKey) -> Result<(), WorkError> {
        let flight = self.inner.single.take(key).await;
        if self.inner.catalog.object_state(key).await? != Some(State::Stored) {
            return Ok(());
        }
        let is_derived = self.inner.catalog.has_job(JobKind::Derive, key).await?;
        let turns = self.turns(if is_derived { JobKind::Derive } else { JobKind::Index });
        let permit = Arc::clone(&turns.permits).acquire_owned().await.ok().ok_or(WorkError::Stopping)?;
        self.index_in_flight(key, permit, flight).await
    }

    async fn index_in_flight(
        &self,
        key: ObjectKey,
        // Held until the outcome is in the catalog: who stops the worker waits for that.
        _permit: OwnedSemaphorePermit,
        _flight: Flight,
    ) -> Result<(), WorkError> {
        if self.inner.catalog.object_state(key).await? != Some(State::Stored) {
            return Ok(());
        }
        let began = Instant::now();
        if self.inner.catalog.has_job(JobKind::Derive, key).await? {
            return self.derive(key).await;
        }
        let outcome = self.index_and_store(key).await;
        match outcome {
            Ok(facts) => {
                let (codestreams, size) = (facts.codestreams, facts.size);
                let damage = facts.damage.clone();
                self.inner.catalog.set_indexed(key, facts).await?;
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(object.key = %key, codestreams, index.size_bytes = size, duration_ms, damage, "indexed");
                Ok(())
            }
            Err(failure) => self.give_up(key, failure).await,
        }
    }

    /// Makes the object that another is served from.
    async fn derive(&self, key: ObjectKey) -> Result<(), WorkError> {
        let Some(deriver) = &self.inner.deriver else {
            let reason = Reason::new(ReasonKind::NotJpeg2000, "nothing is made of such objects here");
            return Ok(self.inner.catalog.set_unservable(key, reason).await?);
        };
        let began = Instant::now();
        let derived = tokio::select! {
            derived = derive::derive(&self.inner.storage, deriver, key) => derived,
            () = self.inner.stopping.cancelled() => return Err(WorkError::Stopping),
        };
        match derived {
            Ok(Derived { key: derived, size, facts }) => {
                let codestreams = facts.codestreams;
                self.inner.catalog.set_derived(key, derived, size, facts).await?;
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(object.key = %key, derived.key = %derived, codestreams, duration_ms, "derived");
                Ok(())
            }
            Err(failure) => self.give_up(key, failure).await,
        }
    }

    fn turns(&self, kind: JobKind) -> &Turns {
        match kind {
            JobKind::Index => &self.inner.indexing,
            JobKind::Derive => &self.inner.deriving,
        }
    }

    /// Says what became of an object whose work failed.
    async fn give_up(&self, key: ObjectKey, failure: IndexFailure) -> Result<(), WorkError> {
        match failure {
            IndexFailure::Object(reason) => {
                tracing::warn!(object.key = %key, %reason, "not servable");
                Ok(self.inner.catalog.set_unservable(key, reason).await?)
            }
            // Says nothing of this object.
            IndexFailure::Write(error) => Err(error.into()),
            IndexFailure::Store(error) if error.is_of_the_process() => Err(error.into()),
            IndexFailure::Store(error) => {
                tracing::error!(object.key = %key, %error, "the stored bytes cannot be read");
                let reason = Reason::new(ReasonKind::Failed, "the stored bytes cannot be read");
                Ok(self.inner.catalog.set_unservable(key, reason).await?)
            }
        }
    }

    async fn index_and_store(&self, key: ObjectKey) -> Result<IndexFacts, IndexFailure> {
        let mut tried = 1;
        loop {
            let storage = self.inner.storage.clone();
            let work = move || {
                let index = index_stored(&storage, key)?;
                store(&storage, key, index).map_err(IndexFailure::Write)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Err(IndexFailure::Store(StorageError::Io(_)) | IndexFailure::Write(StorageError::Io(_))))
                    if tried < READS =>
                {
                    tried += 1;
                    tokio::time::sleep(READ_AGAIN).await;
                }
                Ok(outcome) => return outcome,
                Err(error) => {
                    // A panic is a mistake of ours in reading this object: it must not be tried for ever.
                    tracing::error!(object.key = %key, %error, "indexing stopped");
                    let words = "the indexer stopped over this object";
                    return Err(IndexFailure::Object(Reason::new(ReasonKind::Failed, words)));
                }
            }
        }
    }
}

/// Objects of one kind that are worked on at the same time.
fn parallel() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Stores a new index; returns its facts, complete. Blocking.
pub(crate) fn store(storage: &Storage, key: ObjectKey, index: NewIndex) -> Result<IndexFacts, StorageError> {
    let NewIndex { bytes, mut facts } = index;
    facts.size = storage.put_index(IndexKey { object: key, version: facts.version }, bytes)?;
    Ok(facts)
}
