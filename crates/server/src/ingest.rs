//! The one way in: received bytes become a stored object and its catalog rows.
//!
//! Bytes before rows, durable before acknowledged: the object is synced under its digest, and the index of a small one
//! with it; then one transaction adds the rows, and for others the index job. A crash in between leaves an object that no row names, never a row without its bytes.
//! A DICOM object that is whole as DICOM is kept whatever its image is; a file of the JP2 family is indexed at once and
//! refused when no codestream in it can be served.

pub(crate) mod content;
mod error;
mod name;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use catalog::{
    Catalog, FileOutcome, InstanceOutcome, NewInstance, NewObject, ObjectKey, ReasonKind, Servable, TargetRow,
};
use codestream::ByteSource as _;
use dicom_bridge::{Attribute, ScanLimits, ScannedObject};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use error::IngestError;
pub use name::{NameError, check_name};

use crate::storage::{CompleteObject, Storage, TempObject};
use crate::worker::derive::{DERIVED_SOP_CLASS, underivable};
use crate::worker::index_object::{IndexFailure, NewIndex, index_dicom, index_file, unservable};
use crate::worker::{self, Worker};
use content::Content;

/// Takes objects in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    storage: Storage,
    catalog: Catalog,
    worker: Worker,
    /// Objects that are taken in at the same time.
    permits: Arc<Semaphore>,
    /// Objects that are read through at the same time.
    readers: Arc<Semaphore>,
    /// DICOM objects up to this size in bytes are indexed while their sender waits.
    index_at_once: u64,
}

/// What came of an object that was taken, or was there already, or came too late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// What came of it.
    pub outcome: Outcome,
    /// What JPIP clients ask for: the SOP Instance UID or the name.
    pub target: String,
    /// SOP Instance UID, for DICOM objects.
    pub sop_instance_uid: Option<String>,
    /// The target identifier, where the object is indexed already.
    pub tid: Option<String>,
}

/// What is said of an object before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// Nothing; the name of an image file, unused for a DICOM object. Which one it is, its first bytes say.
    Name(Option<String>),
    /// An instance of this class, with this UID [PS3.7 9.1.1].
    Instance {
        /// Affected SOP Class UID.
        sop_class_uid: String,
        /// Affected SOP Instance UID.
        sop_instance_uid: String,
    },
    /// An instance of the study with this Study Instance UID [PS3.18 10.5.1].
    OfStudy(String),
}

/// What came of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Inserted,
    /// The name points to it now, and no longer to other bytes.
    Replaced,
    /// The same bytes were there already.
    Duplicate,
    /// Other bytes have that SOP Instance UID and were kept.
    Conflict,
}

/// Objects that are taken in at the same time: enough to keep the disk busy with syncs.
const AT_ONCE: usize = 16;

/// Objects that are read through at the same time, at least: half a million fragments take some 80 MB meanwhile.
const READERS: usize = 4;

/// What reading an object through found.
enum Found {
    Dicom(Box<FoundInstance>),
    File(Box<NewIndex>),
}

/// A DICOM object that was found. The index of a small one comes along, so that it is servable from the transaction on
/// that makes it known.
struct FoundInstance {
    instance: NewInstance,
    servable: Servable,
    index: Option<NewIndex>,
}

/// Objects up to this size in bytes are indexed while their sender waits: it takes a few milliseconds and saves two
/// transactions. Larger ones are left to the worker.
const INDEXED_AT_ONCE: u64 = 8 << 20;

impl Ingest {
    /// A way in to this store and catalog; index jobs are announced to the worker.
    #[must_use]
    pub fn new(storage: Storage, catalog: Catalog, worker: Worker) -> Self {
        let readers = thread::available_parallelism().map_or(READERS, NonZero::get).max(READERS);
        let (permits, readers) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(readers)));
        Self { storage, catalog, worker, permits, readers, index_at_once: INDEXED_AT_ONCE }
    }

    /// The same, but with another limit in bytes up to which DICOM objects are indexed while their sender waits.
    #[must_use]
    pub fn indexing_at_once(mut self, limit: u64) -> Self {
        self.index_at_once = limit;
        self
    }

    /// Takes a received object in; it is durable when this returns. `name` is the name of an image file and unused for
    /// a DICOM object.
    ///
    /// # Errors
    ///
    /// Nothing is known of the object afterwards if it fails; see [`IngestError`].
    pub async fn ingest(&self, temp: TempObject, name: Option<&str>) -> Result<Ingested, IngestError> {
        self.ingest_then(temp, Announced::Name(name.map(str::to_owned)), || {}).await
    }

    /// As [`Ingest::ingest`]; `known` is called once the catalog knows the object. From the object's turn on this goes
    /// to its end even if nobody waits for it any more: what is committed must not go unnoticed.
    ///
    /// # Errors
    ///
    /// As [`Ingest::ingest`].
    pub async fn ingest_then(
        &self,
        temp: TempObject,
        announced: Announced,
        known: impl FnOnce() + Send + 'static,
    ) -> Result<Ingested, IngestError> {
        // Never closed: an error cannot be.
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let (ingest, runtime) = (self.clone(), Handle::current());
        // All of it on one thread: what is only ever done one step after the other gains nothing from being handed on.
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let ingested = ingest.take(&runtime, temp, announced)?;
            known();
            Ok(ingested)
        });
        work.await?
    }

    /// Blocking; the catalog is waited for through `runtime`.
    fn take(&self, runtime: &Handle, temp: TempObject, announced: Announced) -> Result<Ingested, IngestError> {
        let reader = runtime.block_on(self.readers.acquire());
        let (object, found) = self.read_through(temp, &announced)?;
        drop(reader);
        match (found, announced) {
            (Found::Dicom(found), _) => self.take_instance(runtime, object, *found),
            (Found::File(index), Announced::Name(Some(name))) => self.take_file(runtime, object, *index, &name),
            (Found::File(_), _) => Err(NameError::Missing.into()),
        }
    }

    fn take_instance(
        &self,
        runtime: &Handle,
        object: CompleteObject,
        FoundInstance { instance, servable, index }: FoundInstance,
    ) -> Result<Ingested, IngestError> {
        let uid = instance.sop_instance_uid.clone();
        let answer = |outcome, tid| {
            let (target, sop_instance_uid) = (uid.clone(), Some(uid.clone()));
            Ok(Ingested { outcome, target, sop_instance_uid, tid })
        };
        // Looked up before anything is stored: a conflict leaves no object behind. The commit looks again.
        let there = runtime.block_on(self.catalog.target(&uid))?;
        if let Some(there) = &there
            && there.object_key != object.key()
        {
            // The same data set in a file that another program has written around it is the same object.
            return if self.is_same_instance(there.object_key, &object) {
                answer(Outcome::Duplicate, tid_of(there))
            } else {
                answer(Outcome::Conflict, None)
            };
        }
        let (key, size) = (object.key(), object.len());
        // What is there already keeps the index that it has.
        let servable = self.store(runtime, object, servable, index.filter(|_| there.is_none()))?;
        let tid = match &servable {
            Servable::Indexed(facts) => Some(facts.tid.clone()),
            _ => None,
        };
        let new = NewObject { key, size, media_type: "application/dicom".to_owned(), servable };
        match runtime.block_on(self.catalog.commit_instance(new, instance))? {
            InstanceOutcome::Inserted => {
                if tid.is_none() {
                    self.worker.wake();
                }
                answer(Outcome::Inserted, tid)
            }
            InstanceOutcome::Duplicate => {
                // One whose indexing had failed is tried again.
                self.worker.wake();
                let tid = runtime.block_on(self.catalog.target(&uid))?.as_ref().and_then(tid_of);
                answer(Outcome::Duplicate, tid)
            }
            InstanceOutcome::Conflict => answer(Outcome::Conflict, None),
        }
    }

    /// Stores the object and its index, at the same time: each waits for the medium. An index that cannot be stored is
    /// made again by the worker.
    fn store(
        &self,
        runtime: &Handle,
        object: CompleteObject,
        servable: Servable,
        index: Option<NewIndex>,
    ) -> Result<Servable, IngestError> {
        let Some(index) = index else {
            self.storage.put(object)?;
            return Ok(servable);
        };
        let (storage, key) = (self.storage.clone(), object.key());
        let indexed = runtime.spawn_blocking(move || worker::store(&storage, key, index));
        self.storage.put(object)?;
        match runtime.block_on(indexed)? {
            Ok(facts) => Ok(Servable::Indexed(facts)),
            Err(error) => {
                tracing::warn!(object.key = %key, %error, "an index could not be stored with its object");
                Ok(servable)
            }
        }
    }

    /// Whether a stored object and one that is on its way are the same but for their File Meta Information. One that
    /// cannot be read now is taken for another: its sender is told of a conflict, and nothing is lost.
    fn is_same_instance(&self, stored: ObjectKey, object: &CompleteObject) -> bool {
        let Ok(stored) = self.storage.open_object(&stored) else { return false };
        dicom_bridge::holds_same_data_set(&*stored, object, &ScanLimits::default()).unwrap_or(false)
    }

    /// Reads the object through: what it is, whether it is whole, and for image files their index. Blocking.
    fn read_through(&self, temp: TempObject, announced: &Announced) -> Result<(CompleteObject, Found), IngestError> {
        let object = temp.complete()?;
        let found = match Content::of(&object).map_err(crate::storage::StorageError::from)? {
            None => return Err(IngestError::NotAnImage),
            Some(Content::Dicom) => {
                let scanned = dicom_bridge::scan(&object, &ScanLimits::default())?;
                if scanned.attributes.sop_class_uid == DERIVED_SOP_CLASS {
                    return Err(IngestError::Derived);
                }
                if let Announced::Instance { sop_class_uid, sop_instance_uid } = announced
                    && (sop_class_uid, sop_instance_uid)
                        != (&scanned.attributes.sop_class_uid, &scanned.attributes.sop_instance_uid)
                {
                    return Err(IngestError::NotAsAnnounced);
                }
                if let Announced::OfStudy(study) = announced
                    && scanned.attributes.study_instance_uid.as_ref() != Some(study)
                {
                    return Err(IngestError::NotAsAnnounced);
                }
                let (servable, index) = self.servable_at_once(&object, &scanned);
                Found::Dicom(Box::new(FoundInstance { instance: new_instance(&scanned), servable, index }))
            }
            Some(content) => {
                let Announced::Name(Some(name)) = announced else { return Err(NameError::Missing.into()) };
                check_name(name)?;
                let index =
                    index_file(&self.storage, object.key(), &object, content).map_err(|failure| match failure {
                        IndexFailure::Object(reason) => IngestError::NoCodestream(reason),
                        IndexFailure::Store(error) | IndexFailure::Write(error) => error.into(),
                    })?;
                Found::File(Box::new(index))
            }
        };
        Ok((object, found))
    }

    /// What can be said of serving a DICOM object at once, and its index if it is within the limit. Whatever goes wrong here is no
    /// reason to refuse the object: the worker tries again, or says what is wrong with it.
    fn servable_at_once(&self, object: &CompleteObject, scanned: &ScannedObject) -> (Servable, Option<NewIndex>) {
        match unservable(scanned) {
            Some(reason) if reason.kind == ReasonKind::NotJpeg2000 && self.worker.derives() => {
                return (underivable(scanned).map_or(Servable::ToDerive, Servable::Not), None);
            }
            Some(reason) => return (Servable::Not(reason), None),
            None => {}
        }
        if object.len() > self.index_at_once {
            return (Servable::ToIndex, None);
        }
        let index = AssertUnwindSafe(|| index_dicom(&self.storage, object.key(), object, scanned));
        match catch_unwind(index) {
            Ok(Ok(index)) => (Servable::ToIndex, Some(index)),
            Ok(Err(IndexFailure::Object(reason))) => (Servable::Not(reason), None),
            Ok(Err(IndexFailure::Store(_) | IndexFailure::Write(_))) | Err(_) => (Servable::ToIndex, None),
        }
    }

    fn take_file(
        &self,
        runtime: &Handle,
        object: CompleteObject,
        index: NewIndex,
        name: &str,
    ) -> Result<Ingested, IngestError> {
        let (key, size) = (object.key(), object.len());
        self.storage.put(object)?;
        let facts = worker::store(&self.storage, key, index)?;
        let tid = facts.tid.clone();
        let media_type = facts.media_type.clone().unwrap_or_else(|| "image/jp2".to_owned());
        let new = NewObject { key, size, media_type, servable: Servable::Indexed(facts) };
        let outcome = match runtime.block_on(self.catalog.commit_file(new, name))? {
            FileOutcome::Inserted => Outcome::Inserted,
            FileOutcome::Replaced => Outcome::Replaced,
            FileOutcome::Duplicate => Outcome::Duplicate,
        };
        Ok(Ingested { outcome, target: name.to_owned(), sop_instance_uid: None, tid: Some(tid) })
    }
}

fn tid_of(target: &TargetRow) -> Option<String> {
    target.index.as_ref().map(|index| index.tid.clone())
}

/// What the catalog keeps of an object.
fn new_instance(scanned: &ScannedObject) -> NewInstance {
    let attributes = &scanned.attributes;
    let is_image = !matches!(scanned.pixel_data, dicom_bridge::PixelData::None);
    let frames = match &scanned.pixel_data {
        // Those that exist, not those that were announced.
        dicom_bridge::PixelData::Encapsulated { frames, .. } => u32::try_from(frames.len()).unwrap_or(u32::MAX),
        _ => attributes.number_of_frames,
    };
    NewInstance {
        sop_instance_uid: attributes.sop_instance_uid.clone(),
        series_instance_uid: attributes.series_instance_uid.clone(),
        study_instance_uid: attributes.study_instance_uid.clone(),
        sop_class_uid: attributes.sop_class_uid.clone(),
        transfer_syntax_uid: scanned.transfer_syntax.uid().to_owned(),
        modality: attributes.modality.clone(),
        patient_id: attributes.patient_id.clone(),
        instance_number: attributes.instance_number,
        rows: attributes.rows,
        columns: attributes.columns,
        number_of_frames: is_image.then_some(frames),
        attributes: further_attributes(&attributes.listed).to_string(),
    }
}

/// The listed attributes as one JSON object, `{"00080060":{"vr":"CS","Value":["CT"]},…}`, in the form of DICOM JSON
/// but with every value as text.
fn further_attributes(listed: &[Attribute]) -> serde_json::Value {
    let listed = listed.iter().map(|attribute| {
        let items = attribute.items.iter().map(|item| further_attributes(item));
        let values = attribute.values.iter().map(|value| serde_json::Value::from(value.as_str()));
        let value = serde_json::json!({ "vr": attribute.vr, "Value": items.chain(values).collect::<Vec<_>>() });
        (format!("{:08X}", attribute.tag), value)
    });
    serde_json::Value::Object(listed.collect())
}
