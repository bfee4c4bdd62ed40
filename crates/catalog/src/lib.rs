//! SQL: what exists, in which state, and the jobs that are due.
//!
//! Does: one method per question and one per change; a change is one transaction, durable when it is answered, and
//! changes that come at the same time share one sync of the disk. The database is one SQLite file for one node, or
//! PostgreSQL for one or several: the same text per question but for what `query` shows side by side, two sets of
//! migrations of the same numbers, one contract suite that runs on both.
//!
//! Never: holds bytes of an object, makes up a value, says a patient's attribute in an error or a log, hands out a row,
//! a connection or a transaction. A row never comes before its bytes: callers make those durable first.

mod apply;
mod change;
mod connection;
mod cursor;
mod delete;
mod derived;
mod error;
mod failure;
mod find;
mod group;
mod key;
mod levels;
mod line;
mod migrate;
mod model;
mod postgres;
mod query;
mod read;
mod readers;
mod rows;
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use error::{CatalogError, Family};
pub use find::{
    Answers, Found, FoundInstance, FoundSeries, FoundStudy, KeptAttributes, Level, Match, Query, Search, Want,
};
pub use key::{IndexKey, ObjectKey};
pub use model::{
    Counts, FileOutcome, IndexFacts, IndexRow, InstanceFilter, InstanceOutcome, InstanceRow, Job, JobKind, JobRow,
    JobState, NewInstance, NewObject, ObjectRow, OnlyTarget, Page, Reason, ReasonKind, SeriesRow, Servable,
    ServedIndex, State, TargetKind, TargetRow,
};

use tokio::sync::Semaphore;

use change::{Answer, Change};
use group::Writer;
use levels::Levels;
use readers::Readers;

/// The newest schema that this program knows.
#[must_use]
pub fn schema_version() -> i64 {
    migrate::newest(&sqlite::schema::MIGRATIONS)
}

/// The catalog; cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    readers: Readers,
    writer: Writer,
    /// Places for searches: one may look at every row, and those who store and serve need readers, too.
    searches: Arc<Semaphore>,
}

/// Searches at the same time.
const SEARCHES: usize = 2;

impl Catalog {
    /// Opens the catalog that the URL names, makes its tables if there are none and migrates an older one. Needs a Tokio
    /// runtime, on which the writing task runs until [`Catalog::close`].
    ///
    /// `sqlite:PATH` is a file, copied before it is migrated. `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`
    /// (or `postgresql://`) is a database that exists already and that only catalogs of this kind use; nothing is copied
    /// before a migration there: back it up with `pg_dump`. Over a network say `sslmode=verify-full`: without it the
    /// connection is encrypted if the server can, but the server may be anybody.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::NewerSchema`], [`CatalogError::ForeignSchema`] if this program must not touch it.
    /// - [`CatalogError::UnknownDatabase`] if the URL names no database that is built in.
    /// - Others if the database fails.
    pub async fn open(url: &str) -> Result<Self, CatalogError> {
        let (readers, writer) = if let Some(path) = sqlite::path_of_url(url) {
            sqlite::open(&path).await?
        } else {
            let options = postgres::options_of_url(url).ok_or(CatalogError::UnknownDatabase)?;
            postgres::open(options).await?
        };
        Ok(Self { readers, writer, searches: Arc::new(Semaphore::new(SEARCHES)) })
    }

    /// The schema of the catalog that the URL names, 0 for a database without one; a file must exist. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Catalog::open`], but for schemas that this program does not know.
    pub async fn schema_of(url: &str) -> Result<i64, CatalogError> {
        if let Some(path) = sqlite::path_of_url(url) {
            return sqlite::schema_of(&path).await;
        }
        postgres::schema_of(&postgres::options_of_url(url).ok_or(CatalogError::UnknownDatabase)?).await
    }

    /// Makes what was asked for durable and lets go of the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Catalogues an instance, its object and, where needed, the index job.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn commit_instance(
        &self,
        object: NewObject,
        instance: NewInstance,
    ) -> Result<InstanceOutcome, CatalogError> {
        let (levels, instance) = (Box::new(Levels::of(&instance)), Box::new(instance));
        match self.make(Change::CommitInstance { object, instance, levels, now: now() }).await? {
            Answer::Instance(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes an instance out of the catalog; `None` if there is none of this UID, else the key of its object, whose bytes
    /// stay where they are. Work that is under way with it ends without a trace.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn delete_instance(&self, sop_instance_uid: &str) -> Result<Option<ObjectKey>, CatalogError> {
        match self.make(Change::DeleteInstance { sop_instance_uid: sop_instance_uid.to_owned() }).await? {
            Answer::Deleted(key) => Ok(key),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a name point to an object; `name` keeps the rules for names of imported files.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn commit_file(&self, object: NewObject, name: &str) -> Result<FileOutcome, CatalogError> {
        match self.make(Change::CommitFile { object, name: name.to_owned(), now: now() }).await? {
            Answer::File(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes an object servable and ends its index job.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::NoSuchObject`] if it is not catalogued. Nothing was changed if it fails.
    pub async fn set_indexed(&self, key: ObjectKey, facts: IndexFacts) -> Result<(), CatalogError> {
        self.make(Change::SetIndexed { key, facts }).await.map(drop)
    }

    /// Serves an object from now on from `derived`, an object of `size` bytes that was made of it and that is durable with
    /// its index, and ends its job.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::NoSuchObject`] if it is not catalogued. Nothing was changed if it fails.
    pub async fn set_derived(
        &self,
        key: ObjectKey,
        derived: ObjectKey,
        size: u64,
        facts: IndexFacts,
    ) -> Result<(), CatalogError> {
        self.make(Change::SetDerived { key, derived, size, facts }).await.map(drop)
    }

    /// Queues all that is unservable for not being JPEG 2000 to have something made of it that can be served; returns
    /// how much that is.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn queue_derivations(&self) -> Result<u64, CatalogError> {
        self.changed(Change::QueueDerivations).await
    }

    /// Puts a job that failed back into the queue; `false` if there is no such job.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn retry_job(&self, id: i64) -> Result<bool, CatalogError> {
        Ok(self.changed(Change::RetryJob { id }).await? > 0)
    }

    /// Says that an object cannot be served, and that its job failed for that reason; one that is served already stays so.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn set_unservable(&self, key: ObjectKey, reason: Reason) -> Result<(), CatalogError> {
        self.make(Change::SetUnservable { key, reason }).await.map(drop)
    }

    /// Puts an object whose index is missing back into the queue: it is [`State::Stored`] with a job, and the catalog
    /// forgets the index that was served. `false` if there is no such object or if it is unservable, which stays.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn queue_index(&self, key: ObjectKey) -> Result<bool, CatalogError> {
        Ok(self.changed(Change::QueueIndex { key }).await? > 0)
    }

    /// Claims the oldest queued jobs, `limit` at most, for this node.
    ///
    /// # Errors
    ///
    /// Nothing was claimed if it fails.
    pub async fn claim_jobs(&self, kind: JobKind, node: &str, limit: u32) -> Result<Vec<Job>, CatalogError> {
        match self.make(Change::ClaimJobs { kind, node: node.to_owned(), limit, now: now() }).await? {
            Answer::Jobs(jobs) => Ok(jobs),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a claimed job back into the queue as if it had not been begun: what kept it from being done lies outside
    /// of it. A job that is done goes with [`Catalog::set_indexed`] or [`Catalog::set_unservable`].
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn release_job(&self, id: i64) -> Result<(), CatalogError> {
        self.make(Change::ReleaseJob { id }).await.map(drop)
    }

    /// As [`Catalog::release_job`], for all that this node has claimed and none of which it works on; returns their
    /// number.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn release_claimed(&self, node: &str) -> Result<u64, CatalogError> {
        self.changed(Change::ReleaseClaimed { node: node.to_owned() }).await
    }

    /// Puts back into the queue what was claimed `older_than` ago or earlier, by any node: what a node had claimed that
    /// never came back. It counts as begun; returns the number of jobs.
    ///
    /// The age is by the clocks of the nodes, and the work of a node that is only slow is done twice, which is safe:
    /// choose an age well above the longest work.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn requeue_stale(&self, older_than: Duration) -> Result<u64, CatalogError> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        self.changed(Change::RequeueStale { claimed_before: now().saturating_sub(age) }).await
    }

    /// Puts all that this node had claimed back into the queue, as after a crash; returns their number.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn requeue_claimed(&self, node: &str) -> Result<u64, CatalogError> {
        self.changed(Change::RequeueClaimed { node: node.to_owned() }).await
    }

    /// Gives up the queued jobs that were begun `attempts` times or more: their objects become unservable for
    /// `reason`. Returns their number; 1000 at most go at once.
    ///
    /// # Errors
    ///
    /// Nothing was changed if it fails.
    pub async fn give_up_jobs(&self, attempts: u32, reason: Reason) -> Result<u64, CatalogError> {
        self.changed(Change::GiveUpJobs { attempts, reason }).await
    }

    /// The target of this name: a SOP Instance UID or the name of a file.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn target(&self, name: &str) -> Result<Option<TargetRow>, CatalogError> {
        // No name holds it, and PostgreSQL knows no such text.
        if name.contains('\0') {
            return Ok(None);
        }
        self.readers.target(name).await
    }

    /// The target with this identifier.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn target_of_tid(&self, tid: &str) -> Result<Option<TargetRow>, CatalogError> {
        if tid.contains('\0') {
            return Ok(None);
        }
        self.readers.target_of_tid(tid).await
    }

    /// Series with their instances, in the order in which the first instance of each arrived, after the cursor of an
    /// earlier page: `limit` series at most, and fewer if they would have more than `most` instances together. A series
    /// that has more of them alone is there with `most` and one.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::BadCursor`] if the cursor was not handed out.
    pub async fn list_series(
        &self,
        limit: u32,
        most: u32,
        cursor: Option<&str>,
    ) -> Result<Page<SeriesRow>, CatalogError> {
        self.readers.list_series(limit, most, cursor).await
    }

    /// The state of a stored object, `None` if it is not catalogued.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn object_state(&self, key: ObjectKey) -> Result<Option<State>, CatalogError> {
        self.readers.object_state(key).await
    }

    /// Whether a row names this index.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn has_index(&self, key: IndexKey) -> Result<bool, CatalogError> {
        self.readers.has_index(key).await
    }

    /// The only target that a request without a name can mean; instances without an image do not count.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn only_target(&self) -> Result<OnlyTarget, CatalogError> {
        self.readers.only_target().await
    }

    /// The instances of a series, `limit` at most, ordered by Instance Number and SOP Instance UID.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn series_targets(&self, series_uid: &str, limit: u32) -> Result<Vec<TargetRow>, CatalogError> {
        self.readers.series_targets(series_uid, limit).await
    }

    /// Targets in order of arrival, `limit` at most, after the cursor of an earlier page.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::BadCursor`] if the cursor was not handed out.
    pub async fn list_targets(
        &self,
        kind: Option<TargetKind>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<TargetRow>, CatalogError> {
        self.readers.list_targets(kind, limit, cursor).await
    }

    /// Instances in order of arrival, `limit` at most, after the cursor of an earlier page.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::BadCursor`] if the cursor was not handed out.
    pub async fn list_instances(
        &self,
        filter: &InstanceFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<InstanceRow>, CatalogError> {
        self.readers.list_instances(filter, limit, cursor).await
    }

    /// Stored objects in the order of their keys, `limit` at most, after the last of an earlier page.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn list_objects(&self, after: Option<ObjectKey>, limit: u32) -> Result<Vec<ObjectRow>, CatalogError> {
        self.readers.list_objects(after, limit).await
    }

    /// The instance with this SOP Instance UID.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn instance(&self, sop_instance_uid: &str) -> Result<Option<InstanceRow>, CatalogError> {
        let filter =
            InstanceFilter { sop_instance_uid: Some(sop_instance_uid.to_owned()), ..InstanceFilter::default() };
        Ok(self.list_instances(&filter, 1, None).await?.items.pop())
    }

    /// What matches a query, in order of arrival.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn find(&self, query: &Query) -> Result<Answers, CatalogError> {
        // Never closed: an error cannot be.
        let _place = self.searches.acquire().await;
        self.readers.find(query).await
    }

    /// What is searched for, in order of arrival, `limit` at most, after the cursor of an earlier page.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::BadCursor`] if the cursor was not handed out.
    pub async fn search(&self, search: Search, limit: u32, cursor: Option<&str>) -> Result<Page<Found>, CatalogError> {
        let _place = self.searches.acquire().await;
        self.readers.search(search, limit, cursor).await
    }

    /// Jobs in the order in which they were queued, `limit` at most, after the cursor of an earlier page.
    ///
    /// # Errors
    ///
    /// - [`CatalogError::BadCursor`] if the cursor was not handed out.
    pub async fn list_jobs(
        &self,
        state: Option<JobState>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<JobRow>, CatalogError> {
        self.readers.list_jobs(state, limit, cursor).await
    }

    /// What an object is served from in its place, if it is.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn derived_of(&self, key: ObjectKey) -> Result<Option<ObjectKey>, CatalogError> {
        self.readers.derived_of(key).await
    }

    /// Whether such a job of an object is queued or running.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn has_job(&self, kind: JobKind, key: ObjectKey) -> Result<bool, CatalogError> {
        self.readers.has_job(kind, key).await
    }

    /// How much there is.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn counts(&self) -> Result<Counts, CatalogError> {
        self.readers.counts().await
    }

    /// Whether questions are answered.
    ///
    /// # Errors
    ///
    /// If they are not.
    pub async fn ping(&self) -> Result<(), CatalogError> {
        self.readers.ping().await
    }

    /// Whether changes are taken: `false` after the medium failed to make one durable.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        self.writer.is_healthy()
    }

    async fn make(&self, change: Change) -> Result<Answer, CatalogError> {
        self.writer.make(change).await
    }

    async fn changed(&self, change: Change) -> Result<u64, CatalogError> {
        match self.make(change).await? {
            Answer::Changed(rows) => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }
}

/// Milliseconds since 1970 UTC; 0 if the clock stands before that.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The answer to another change: cannot happen, and must not take the process with it if it does.
fn unexpected(answer: &Answer) -> CatalogError {
    let kind = match answer {
        Answer::Instance(_) => "instance",
        Answer::File(_) => "file",
        Answer::Deleted(_) => "deleted",
        Answer::Jobs(_) => "jobs",
        Answer::Changed(_) => "changed",
    };
    CatalogError::Database { detail: format!("the answer to another change: {kind}") }
}
