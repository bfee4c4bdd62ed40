//! Names of targets, and what stands behind them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use catalog::{Catalog, IndexKey, ObjectKey, OnlyTarget, State, TargetRow};
use codestream::{Limits, jp2::Jp2File};
use http::StatusCode;
use jpip::{
    CodestreamId,
    metadata::{self, Colour, ImagePresentation},
    target::{CodestreamSet, LogicalTarget},
};
use quick_cache::sync::Cache;

use crate::{
    config::VirtualPrecincts,
    http::error::JpipRefusal,
    storage::Storage,
    worker::{
        Worker,
        presentation::{self, Form, Presentation},
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
    object: ObjectKey,
    index: IndexKey,
}

impl OpenTarget {
    pub(crate) const fn logical(&self) -> &Arc<LogicalTarget> {
        &self.logical
    }

    pub(crate) const fn object(&self) -> ObjectKey {
        self.object
    }

    pub(crate) const fn index(&self) -> IndexKey {
        self.index
    }

    /// Whether `name` is what this target is called.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    /// Where the codestream stands in the stored index; `None` if there is none of this number.
    pub(crate) fn index_position(&self, id: CodestreamId) -> Option<u32> {
        self.logical.codestreams.ordinal(id)
    }
}

/// Finds targets by name; those asked for lately are kept.
pub(crate) struct Targets {
    catalog: Catalog,
    storage: Storage,
    worker: Worker,
    layout: VirtualPrecincts,
    kept: Cache<String, Arc<OpenTarget>>,
    /// Counts the times that names may have come to mean something else.
    changes: AtomicU64,
}

impl Targets {
    pub(crate) fn new(catalog: Catalog, storage: Storage, worker: Worker, layout: VirtualPrecincts) -> Self {
        Self { catalog, storage, worker, layout, kept: Cache::new(KEPT), changes: AtomicU64::new(0) }
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
            (Form::RawCodestream, _) => (CodestreamSet::File(count), metadata::raw_codestream()),
            (Form::Jp2Family, _) => {
                let file = self.boxes(&row.object_key).await?;
                (CodestreamSet::File(count), metadata::for_file(&file))
            }
            (Form::Frames, Some(image)) => {
                (CodestreamSet::Frames(count), metadata::for_frames(&image_presentation(image, count)))
            }
            (Form::Frames, None) => return Err(JpipRefusal::internal(&"a presentation without its image")),
        };
        let logical = Arc::new(LogicalTarget { tid: self.layout.tid(&index.tid), codestreams, metadata });
        Ok(OpenTarget { name: row.target, logical, object: row.object_key, index: index.key })
    }

    /// The box structure of a stored file.
    async fn boxes(&self, object: &ObjectKey) -> Result<Jp2File, JpipRefusal> {
        let file = self.storage.open_object(object).map_err(|error| JpipRefusal::unavailable(&error))?;
        let parsed = tokio::task::spawn_blocking(move || Jp2File::parse(&*file, &Limits::default())).await;
        parsed.map_err(|error| JpipRefusal::internal(&error))?.map_err(|error| JpipRefusal::internal(&error))
    }
}

fn image_presentation(image: &presentation::Image, frames: u32) -> ImagePresentation {
    ImagePresentation {
        width: image.width,
        height: image.height,
        components: image.components.clone(),
        colour: match image.colour {
            presentation::Colour::Grey => Colour::Grey,
            presentation::Colour::Srgb => Colour::Srgb,
            presentation::Colour::Sycc => Colour::Sycc,
        },
        frames,
        htj2k: image.htj2k,
    }
}

fn not_found(reason: &'static str) -> JpipRefusal {
    JpipRefusal::new(StatusCode::NOT_FOUND, reason)
}
