//! Every change of the catalog as a value: each is one method of [`crate::Catalog`] and happens wholly or not at all.

use crate::key::ObjectKey;
use crate::levels::Levels;
use crate::model::{FileOutcome, IndexFacts, InstanceOutcome, Job, JobKind, NewInstance, NewObject, Reason};

/// What is to be changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    CommitInstance {
        object: NewObject,
        instance: Box<NewInstance>,
        levels: Box<Levels>,
        now: i64,
    },
    DeleteInstance {
        sop_instance_uid: String,
    },
    CommitFile {
        object: NewObject,
        name: String,
        now: i64,
    },
    SetIndexed {
        key: ObjectKey,
        facts: IndexFacts,
    },
    /// The first object is served from the other from now on, which is durable and was made of it.
    SetDerived {
        key: ObjectKey,
        derived: ObjectKey,
        size: u64,
        facts: IndexFacts,
    },
    SetUnservable {
        key: ObjectKey,
        reason: Reason,
    },
    QueueIndex {
        key: ObjectKey,
    },
    QueueDerivations,
    RetryJob {
        id: i64,
    },
    ClaimJobs {
        kind: JobKind,
        node: String,
        limit: u32,
        now: i64,
    },
    ReleaseJob {
        id: i64,
    },
    ReleaseClaimed {
        node: String,
    },
    RequeueClaimed {
        node: String,
    },
    RequeueStale {
        claimed_before: i64,
    },
    GiveUpJobs {
        attempts: u32,
        reason: Reason,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Instance(InstanceOutcome),
    File(FileOutcome),
    Deleted(Option<ObjectKey>),
    Jobs(Vec<Job>),
    /// Number of rows changed.
    Changed(u64),
}
