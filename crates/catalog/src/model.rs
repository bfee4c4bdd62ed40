//! The values that go into the catalog and come out of it; never rows, never SQL.

use std::fmt;

use crate::key::{IndexKey, ObjectKey};

/// A stored object that is about to be catalogued; its bytes are durable already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// SHA-256 of the bytes.
    pub key: ObjectKey,
    /// Length in bytes.
    pub size: u64,
    /// Media type of the stored bytes.
    pub media_type: String,
    /// What is known about serving it.
    pub servable: Servable,
}

/// What is known about serving an object when it is catalogued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servable {
    /// It may be: an index job is queued with the row.
    ToIndex,
    /// It may be by another object that is to be made of it: a job for that is queued with the row.
    ToDerive,
    /// It is: the index is durable already.
    Indexed(IndexFacts),
    /// It is not, and no work will change that.
    Not(Reason),
}

/// What indexing an object found out; the index object is durable already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFacts {
    /// Version of the index form.
    pub version: u32,
    /// Length of the index object in bytes.
    pub size: u64,
    /// Number of codestreams that can be asked for.
    pub codestreams: u32,
    /// Width of the first codestream in reference-grid samples.
    pub width: u32,
    /// Height of the first codestream in reference-grid samples.
    pub height: u32,
    /// Media type of the stored bytes, where indexing learns more than was known before.
    pub media_type: Option<String>,
    /// JPIP target identifier, 32 hex digits.
    pub tid: String,
    /// How the logical target is presented, as JSON of the server's own making.
    pub presentation: String,
    /// What is damaged, in words.
    pub damage: Option<String>,
}

/// The DICOM side of an instance that is about to be catalogued. UIDs and codes come without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewInstance {
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: Option<String>,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: Option<String>,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: String,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: String,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Patient ID (0010,0020).
    pub patient_id: Option<String>,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Rows (0028,0010).
    pub rows: Option<u32>,
    /// Columns (0028,0011).
    pub columns: Option<u32>,
    /// Number of Frames (0028,0008), 1 for an image without it.
    pub number_of_frames: Option<u32>,
    /// Further attributes, as JSON.
    pub attributes: String,
}

/// What came of committing an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceOutcome {
    /// It is new.
    Inserted,
    /// The same bytes were there already.
    Duplicate,
    /// Other bytes have that SOP Instance UID; they were kept, nothing was changed.
    Conflict,
}

/// What came of committing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// The name is new.
    Inserted,
    /// The name pointed to other bytes and points to these now.
    Replaced,
    /// The name pointed to these bytes already.
    Duplicate,
}

/// Whether a target can be asked for by JPIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Work that may make it servable is queued or running.
    Stored,
    /// Every frame can be asked for.
    Indexed,
    /// It cannot be served, and no work is due.
    Unservable,
}

/// What sort of thing a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A SOP Instance, named by its UID.
    Instance,
    /// An imported file, named by its name.
    File,
    /// The instances of a series, named `series/<Series Instance UID>`.
    Series,
}

/// Why an object is unservable: one of five words, and an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The word that programs look at.
    pub kind: ReasonKind,
    /// The words that people read; no attribute of a patient.
    pub words: String,
}

/// The words that programs look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonKind {
    /// There is nothing to see in it.
    NoPixelData,
    /// Its pixels are not compressed with JPEG 2000.
    NotJpeg2000,
    /// No codestream of it is whole enough to serve.
    Damaged,
    /// It uses something that is not done here.
    Unsupported,
    /// The work failed for a reason outside the object.
    Failed,
}

/// A target as JPIP and the listing see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// The name: a SOP Instance UID or the name of a file.
    pub target: String,
    /// What it is.
    pub kind: TargetKind,
    /// The stored object.
    pub object_key: ObjectKey,
    /// Length of the stored object in bytes.
    pub object_size: u64,
    /// SOP Instance UID, for instances.
    pub sop_instance_uid: Option<String>,
    /// Media type of the stored object.
    pub media_type: String,
    /// Whether it can be asked for.
    pub state: State,
    /// Why it cannot be served, or what of it is damaged.
    pub reason: Option<String>,
    /// What is served; present exactly when `state` is [`State::Indexed`].
    pub index: Option<IndexRow>,
}

/// A series as the listing of series sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Its instances, ordered by Instance Number and SOP Instance UID.
    pub instances: Vec<TargetRow>,
}

/// The index that is served of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Where it lies.
    pub key: IndexKey,
    /// Its length in bytes.
    pub size: u64,
    /// Number of codestreams that can be asked for.
    pub codestreams: u32,
    /// Width of the first codestream in reference-grid samples.
    pub width: u32,
    /// Height of the first codestream in reference-grid samples.
    pub height: u32,
    /// JPIP target identifier, 32 hex digits.
    pub tid: String,
    /// How the logical target is presented, as JSON of the server's own making.
    pub presentation: String,
}

/// An instance as the instance listing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: Option<String>,
    /// Study Instance UID.
    pub study_instance_uid: Option<String>,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// Transfer Syntax UID of the stored bytes.
    pub transfer_syntax_uid: String,
    /// Modality.
    pub modality: Option<String>,
    /// Instance Number.
    pub instance_number: Option<i64>,
    /// Rows.
    pub rows: Option<u32>,
    /// Columns.
    pub columns: Option<u32>,
    /// Number of frames.
    pub number_of_frames: Option<u32>,
    /// The stored object.
    pub object_key: ObjectKey,
    /// Length of the stored object in bytes.
    pub object_size: u64,
    /// Whether it can be asked for.
    pub state: State,
    /// Why it cannot be served, or what of it is damaged.
    pub reason: Option<String>,
    /// JPIP target identifier, once indexed.
    pub tid: Option<String>,
}

/// A stored object as a check of the whole store sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRow {
    /// Where its bytes lie.
    pub key: ObjectKey,
    /// Their length in bytes.
    pub size: u64,
    /// Whether it can be asked for.
    pub state: State,
    /// Whether others are served from it, of which it was made.
    pub is_derived: bool,
    /// The index that is served, its own or that of what was made of it; an object that is [`State::Indexed`] without one is one that the catalog has lost the
    /// index of.
    pub index: Option<ServedIndex>,
}

/// Where the index of an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedIndex {
    /// Where its bytes lie.
    pub key: IndexKey,
    /// Their length in bytes.
    pub size: u64,
}

/// One page of a listing, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to ask with for the rows after these; `None` at the end.
    pub next: Option<String>,
}

/// Which instances are wanted; a field that is there must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceFilter {
    /// Study Instance UID.
    pub study_instance_uid: Option<String>,
    /// Series Instance UID.
    pub series_instance_uid: Option<String>,
    /// SOP Instance UID.
    pub sop_instance_uid: Option<String>,
    /// Modality.
    pub modality: Option<String>,
    /// Patient ID.
    pub patient_id: Option<String>,
}

/// The answer to "which is the only target there is?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlyTarget {
    /// There is none.
    None,
    /// There is one.
    One(Box<TargetRow>),
    /// There are several.
    Several,
}

/// Work that is due, claimed by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Number of the job.
    pub id: i64,
    /// What is to be done.
    pub kind: JobKind,
    /// The object that it is to be done with.
    pub object_key: ObjectKey,
    /// Length of that object in bytes.
    pub object_size: u64,
    /// How often it was begun, this time included.
    pub attempts: u32,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Index the codestreams of an object.
    Index,
    /// Make the object that another is served from, because its own pixel data is not JPEG 2000.
    Derive,
}

/// A job as the listing of jobs sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Number of the job.
    pub id: i64,
    /// What is to be done.
    pub kind: JobKind,
    /// The object that it is to be done with.
    pub object_key: ObjectKey,
    /// Length of that object in bytes.
    pub object_size: u64,
    /// The name under which that object came first; none if it has been deleted.
    pub target: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// How far it is.
    pub state: JobState,
    /// Why it failed.
    pub reason: Option<String>,
}

/// How far a job is; one that is done is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// A node works on it.
    Running,
    /// It came to nothing, and is not tried again by itself.
    Failed,
}

/// How much there is, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Targets of kind instance.
    pub instances: u64,
    /// Targets of kind file.
    pub files: u64,
    /// Jobs, queued or running.
    pub jobs: u64,
    /// Jobs that failed.
    pub failed_jobs: u64,
}

impl Reason {
    /// A reason from its word and its explanation.
    pub fn new(kind: ReasonKind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.words)
    }
}

impl ReasonKind {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPixelData => "no-pixel-data",
            Self::NotJpeg2000 => "not-jpeg2000",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
        }
    }
}

impl State {
    /// The word in the listing and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Indexed => "indexed",
            Self::Unservable => "unservable",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Stored, Self::Indexed, Self::Unservable].into_iter().find(|state| state.as_str() == text)
    }
}

impl TargetKind {
    /// The word in the listing and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::File => "file",
            Self::Series => "series",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Instance, Self::File, Self::Series].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl JobState {
    /// The word in the listing.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
        }
    }
}

impl JobKind {
    /// The word in the listing and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Derive => "derive",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Index, Self::Derive].into_iter().find(|kind| kind.as_str() == text)
    }
}
