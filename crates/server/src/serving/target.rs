//! Names of targets, and what stands behind them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use catalog::{Catalog, IndexKey, ObjectKey, OnlyTarget, State, TargetRow};
use http::StatusCode;
use jpip::{
    CodestreamId,
    target::{CodestreamSet, LogicalTarget, MetadataBins, tids_behind},
};
use quick_cache::sync::Cache;

use super::{
    metadata,
    series::{SERIES, Series},
};
use crate::{
    config::VirtualPrecincts,
    http::error::JpipRefusal,
    storage::Storage,
    worker::{
        Worker,
        presentation::{Colour, Form, Presentation},
    },
};

/// Targets that are kept ready; one costs a kilobyte or so.
const KEPT: usize = 4096;

/// Longest name of a target, in bytes.
const MAX_NAME: usize = 255;

/// A target that can be asked for.
#[derive(Debug)]
pub(crate) struct OpenTarget {
    name: String,
    logical: Arc<LogicalTarget>,
    members: Vec<Member>,
    /// Media type of the stored file, where the target is one.
    file_type: Option<String>,
}

/// An object that frames of a target lie in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) object: ObjectKey,
    pub(crate) index: IndexKey,
    /// Position of its first codestream among those of the target.
    pub(crate) first: u32,
    pub(crate) form: Form,
    /// Colour of its first frame, for frames.
    pub(crate) colour: Option<Colour>,
}

impl Member {
    /// The object of this index, which is presented so.
    pub(crate) fn new(index: IndexKey, first: u32, presentation: &Presentation) -> Self {
        let colour = presentation.image.as_ref().map(|image| image.colour);
        Self { object: index.object, index, first, form: presentation.form, colour }
    }
}

impl OpenTarget {
    pub(crate) const fn logical(&self) -> &Arc<LogicalTarget> {
        &self.logical
    }

    /// A target whose codestreams are those of its members, one member after the other.
    pub(crate) const fn new(name: String, logical: Arc<LogicalTarget>, members: Vec<Member>) -> Self {
        Self { name, logical, members, file_type: None }
    }

    /// The media type of the stored file; `None` where the target is not a file but frames.
    pub(crate) fn file_type(&self) -> Option<&str> {
        self.file_type.as_deref()
    }

    /// The objects, in the order of their codestreams; one, but for a series.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether `name` is what this target is called.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    /// Where the codestream lies: the number of the member, the member, and the position in its stored index; `None` if
    /// there is none of this number.
    pub(crate) fn place(&self, id: CodestreamId) -> Option<(usize, &Member, u32)> {
        let ordinal = self.logical.codestreams.ordinal(id)?;
        let number = self.members.partition_point(|member| member.first <= ordinal).checked_sub(1)?;
        let member = self.members.get(number)?;
        Some((number, member, ordinal - member.first))
    }
}

/// Finds targets by name; those asked for lately are kept.
pub(crate) struct Targets {
    catalog: Catalog,
    storage: Storage,
    worker: Worker,
    layout: VirtualPrecincts,
    kept: Cache<String, Arc<OpenTarget>>,
    /// The names of the series that were asked for lately, by target identifier.
    series: Cache<String, String>,
    /// Counts the times that names may have come to mean something else.
    changes: AtomicU64,
}

impl Targets {
    pub(crate) fn new(catalog: Catalog, storage: Storage, worker: Worker, layout: VirtualPrecincts) -> Self {
        let (kept, series) = (Cache::new(KEPT), Cache::new(KEPT));
        Self { catalog, storage, worker, layout, kept, series, changes: AtomicU64::new(0) }
    }

    /// Names may mean something else from now on.
    pub(crate) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.kept.clear();
    }

    /// The target of this name; the empty name means the only target there is.
    ///
    /// # Errors
    ///
    /// - 404 if there is none, or, without a name, several.
    /// - 501 if it cannot be served, with the reason.
    /// - 503 if the catalog or the store does not answer.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<OpenTarget>, JpipRefusal> {
        if let Some(uid) = name.strip_prefix(SERIES) {
            return self.find_series(name, uid).await;
        }
        if let Some(open) = self.kept.get(name) {
            return Ok(open);
        }
        let before = self.changes.load(Ordering::Acquire);
        let row = self.row(name).await?;
        let open = Arc::new(self.open(row).await?);
        if self.changes.load(Ordering::Acquire) == before {
            self.kept.insert(name.to_owned(), Arc::clone(&open));
            if self.changes.load(Ordering::Acquire) != before {
                self.kept.remove(name);
            }
        }
        Ok(open)
    }

    /// The target of this name; without a name, the one with this identifier, if there is one [15444-9 C.2.3].
    ///
    /// # Errors
    ///
    /// As [`Targets::find`].
    pub(crate) async fn find_or_known_as(&self, name: &str, tid: Option<&str>) -> Result<Arc<OpenTarget>, JpipRefusal> {
        let Some(tid) = tid.filter(|tid| name.is_empty() && *tid != "0") else { return self.find(name).await };
        for tid in tids_behind(tid) {
            let stored = self.catalog.target_of_tid(&self.layout.tid(&tid)).await;
            let row = stored.map_err(|error| JpipRefusal::unavailable(&error))?;
            if let Some(name) = row.map(|row| row.target).or_else(|| self.series.get(&tid)) {
                return self.find(&name).await;
            }
        }
        self.find(name).await
    }

    /// The series of this UID as one target. Instances may have come since it was asked for last, on this node or on
    /// another, so the catalog is always asked.
    async fn find_series(&self, name: &str, uid: &str) -> Result<Arc<OpenTarget>, JpipRefusal> {
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(not_found("no such target"));
        }
        let series = Series::find(&self.catalog, uid).await?.ok_or_else(|| not_found("no such series"))?;
        let series = series.indexed(&self.worker).await?;
        let tid = self.layout.tid(&series.tid());
        if let Some(open) = self.kept.get(name).filter(|open| open.logical.tid == tid) {
            return Ok(open);
        }
        let open = Arc::new(series.open(name, tid.clone())?);
        self.series.insert(tid, name.to_owned());
        self.kept.insert(name.to_owned(), Arc::clone(&open));
        Ok(open)
    }

    async fn row(&self, name: &str) -> Result<TargetRow, JpipRefusal> {
        let unavailable = |error: catalog::CatalogError| JpipRefusal::unavailable(&error);
        if name.is_empty() {
            return match self.catalog.only_target().await.map_err(unavailable)? {
                OnlyTarget::One(row) => Ok(*row),
                OnlyTarget::None => Err(not_found("no target is stored here")),
                OnlyTarget::Several => {
                    Err(not_found("several targets are stored here: name one, as in /jpip/NAME or target=NAME"))
                }
            };
        }
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(not_found("no such target"));
        }
        self.catalog.target(name).await.map_err(unavailable)?.ok_or_else(|| not_found("no such target"))
    }

    async fn open(&self, row: TargetRow) -> Result<OpenTarget, JpipRefusal> {
        let row = if row.state == State::Stored {
            let indexed = self.worker.ensure_indexed(&row).await;
            indexed.map_err(|error| JpipRefusal::unavailable(&error))?
        } else {
            row
        };
        let Some(index) = row.index else {
            if row.state == State::Stored {
                return Err(JpipRefusal::later("the target is being indexed", 1));
            }
            let reason = row.reason.as_deref().unwrap_or("failed: it cannot be served");
            return Err(JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, reason));
        };
        let presentation =
            Presentation::from_json(&index.presentation).map_err(|error| JpipRefusal::internal(&error))?;
        let count = index.codestreams;
        let (codestreams, metadata) = match (presentation.form, &presentation.image) {
            (Form::RawCodestream, _) => (CodestreamSet::File(count), jpip::metadata::raw_codestream()),
            (Form::Jp2Family, _) => {
                let size = (index.width, index.height);
                (CodestreamSet::File(count), self.boxes(&row.object_key, size).await?)
            }
            (Form::Frames, Some(image)) => (CodestreamSet::Frames(count), metadata::for_frames(image, count)),
            (Form::Frames, None) => return Err(JpipRefusal::internal(&"a presentation without its image")),
        };
        let logical = Arc::new(LogicalTarget { tid: self.layout.tid(&index.tid), codestreams, metadata });
        let member = Member::new(index.key, 0, &presentation);
        let file_type = (presentation.form != Form::Frames).then_some(row.media_type);
        Ok(OpenTarget { file_type, ..OpenTarget::new(row.target, logical, vec![member]) })
    }

    /// The boxes of a stored file, whose image has this size.
    async fn boxes(&self, object: &ObjectKey, size: (u32, u32)) -> Result<MetadataBins, JpipRefusal> {
        let file = self.storage.open_object(object).map_err(|error| JpipRefusal::unavailable(&error))?;
        let read = tokio::task::spawn_blocking(move || metadata::of_file(&*file, size)).await;
        read.map_err(|error| JpipRefusal::internal(&error))?.map_err(|error| JpipRefusal::internal(&error))
    }
}

fn not_found(reason: &'static str) -> JpipRefusal {
    JpipRefusal::new(StatusCode::NOT_FOUND, reason)
}
