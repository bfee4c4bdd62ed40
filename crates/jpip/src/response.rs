//! A response: which messages answer a request, one batch after the other [15444-9 D, digest 14].
//!
//! A plan is fed with what the server has opened and loaded, and gives out message heads with the places of
//! the bodies. It holds counters and ranges, never a list of packets. Nothing is noted in a cache model until
//! [`ResponsePlan::commit`]; dropping the plan is the abort.
//!
//! ```text
//! new ─► codestreams() ─► open(..) each ─►┬─► poll_needs() empty? ─► next() ─┬─► end: commit()
//!                                         └── load what is missing ◄─────────┘
//! ```

mod acceptance;
mod batch;
mod headers;
mod image;
mod lookahead;
mod quality;
mod steps;
mod tile_plan;
mod tiles;
mod wanted_metadata;

use std::sync::Arc;

use codestream::Family;
use codestream::annex_i::{IndexedCodestream, OpenError};
use codestream::parts::SparseBytes;
use rangemap::RangeInclusiveSet;
use thiserror::Error;

use self::acceptance::check_context;
pub use self::acceptance::check_supported;
use self::batch::MessageWriter;
pub use self::batch::{Batch, Piece};
pub use self::headers::HANDLED;
use self::image::{ImageCursor, OpenCodestream};
use self::quality::LayerLimits;
use self::steps::Step;
use self::tiles::TileCursor;
use self::wanted_metadata::{WantedBin, wanted_metadata};
use crate::cache_model::{CacheModel, Held, NeededTileParts, speaks_of_another_version};
use crate::data_bin::{BinKey, CodestreamId};
use crate::limits::Limits;
use crate::message::EorReason;
use crate::request::Request;
use crate::request::error::RequestError;
use crate::request::return_type::StreamType;
use crate::selection::requested_codestreams;
use crate::target::{LogicalTarget, MetadataBin};
use crate::view_window::ViewWindow;
use crate::view_window::placement::{AskedWindow, Placement};

/// Why a response cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The stored index contradicts itself; the object must be indexed again.
    #[error("the index is unusable: {what}")]
    Index {
        /// What is wrong with it.
        what: &'static str,
    },
    /// [`ResponsePlan::next`] was called although [`ResponsePlan::poll_needs`] still names something.
    #[error("bytes of the index are missing")]
    NotPolled,
}

impl PlanError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::Unavailable
    }
}

/// The answer to one request on its way out.
#[derive(Debug, Clone)]
pub struct ResponsePlan {
    request: Request,
    target: Arc<LogicalTarget>,
    limits: Limits,
    stream: StreamType,
    layer_limits: LayerLimits,
    /// The codestreams asked for that exist.
    ids: Vec<CodestreamId>,
    is_cut: bool,
    context: Option<String>,
    placements: Vec<(CodestreamId, Placement)>,
    /// Whether the window is that of a region which `roi` names.
    has_region: bool,
    components: Option<Arc<RangeInclusiveSet<u64>>>,
    need: Option<CacheModel>,
    needed_tile_parts: Option<NeededTileParts>,
    /// Metadata-bins sent before and after the image.
    early_metadata: Vec<WantedBin>,
    late_metadata: Vec<WantedBin>,
    open: Vec<OpenCodestream>,
    opened_or_refused: usize,
    stage: Stage,
    writer: MessageWriter,
    delivered: CacheModel,
    /// Whether image data are noted in `delivered`, or metadata alone.
    keeps_record: bool,
    /// Whether batches tell their length alone.
    only_measures: bool,
    needs_index: bool,
    is_preempted: bool,
    is_len_too_small: bool,
    /// Whether `quality` kept something back.
    is_quality_cut: bool,
    ended: bool,
}

/// Where the response stands. `codestream` counts among the open ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Metadata {
        n: usize,
        sent: u64,
    },
    MainHeaders {
        codestream: usize,
        sent: u64,
    },
    TileHeaders {
        codestream: usize,
        tile: u32,
    },
    /// `sent` bytes of the current precinct's data-bin have gone out in this response.
    Image {
        codestream: usize,
        cursor: ImageCursor,
        sent: u64,
    },
    /// The same for the current tile's data-bin; in JPT-streams.
    Tiles {
        codestream: usize,
        cursor: TileCursor,
        sent: u64,
    },
    LateMetadata {
        n: usize,
        sent: u64,
    },
    Done,
}

impl ResponsePlan {
    /// Plans the answer to `request` from `target`.
    ///
    /// # Errors
    ///
    /// - [`RequestError::Unsupported`] for fields that are not served.
    /// - [`RequestError::LimitExceeded`] if `need` or `tpneed` is more than the limits allow.
    /// - [`RequestError::UnsupportedMediaType`] if `type` excludes JPP-streams and JPT-streams.
    /// - [`RequestError::RequiredPreference`] if a preference marked `/r` cannot be met.
    pub fn new(request: &Request, target: Arc<LogicalTarget>, limits: &Limits) -> Result<Self, RequestError> {
        check_supported(request)?;
        let stream = request.stream_type()?;
        check_context(request, &target)?;
        let mut request = request.clone();
        let has_region = request.take_region(&target.metadata);
        let codestreams = requested_codestreams(&request, &target, limits);
        let (mut need, mut needed_tile_parts) = (None, None);
        let (bins, tile_parts) = (request.need.take(), std::mem::take(&mut request.tpneed));
        if !speaks_of_another_version(&request, &target) {
            if let Some(descriptors) = bins {
                need = Some(CacheModel::of_need(&descriptors, &request, &target, limits)?);
            }
            if !tile_parts.is_empty() {
                let needed = NeededTileParts::new(&tile_parts, &request, &target, limits);
                let too_many = RequestError::LimitExceeded { field: "tpneed", limit: limits.max_model_edits };
                needed_tile_parts = Some(needed.ok_or(too_many)?);
                // Nothing but these, unless `need` lists more.
                need.get_or_insert_with(|| CacheModel::new(limits));
            }
        }
        // The model was applied before; a long one need not be kept.
        request.model = None;
        request.tpmodel = Vec::new();
        let (early_metadata, late_metadata) =
            wanted_metadata(&request, &target.metadata, &codestreams.ids, need.is_some());
        let mut components = None;
        if !request.comps.is_empty() {
            let mut wanted = RangeInclusiveSet::new();
            for range in &request.comps {
                wanted.insert(range.first..=range.last.unwrap_or(u64::MAX));
            }
            components = Some(Arc::new(wanted));
        }
        let metadata_only = request.metareq.as_ref().is_some_and(|wanted| wanted.metadata_only);
        let ids = if metadata_only { Vec::new() } else { codestreams.ids };
        let limit = request.len.unwrap_or(u64::MAX).min(limits.max_response);
        Ok(Self {
            target,
            limits: *limits,
            stream,
            layer_limits: LayerLimits::of(&request),
            ids,
            is_cut: codestreams.cut,
            context: codestreams.context,
            placements: codestreams.placements,
            has_region,
            components,
            need,
            needed_tile_parts,
            early_metadata,
            late_metadata,
            open: Vec::new(),
            opened_or_refused: 0,
            stage: Stage::Metadata { n: 0, sent: 0 },
            writer: MessageWriter::new(limit, request.align),
            delivered: CacheModel::new(limits),
            keeps_record: true,
            only_measures: false,
            needs_index: true,
            is_preempted: false,
            is_len_too_small: false,
            is_quality_cut: false,
            ended: false,
            request,
        })
    }

    /// The request that is answered, without its `model` and `need`; a region that `roi` names is its window.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// What the response is a stream of. Codestreams of the dialect may be opened in a layout of their own.
    #[must_use]
    pub const fn stream(&self) -> StreamType {
        self.stream
    }

    /// The codestreams that the caller opens, or declines with [`ResponsePlan::without`], before the first
    /// [`ResponsePlan::poll_needs`]. Empty when only metadata are asked for.
    #[must_use]
    pub fn codestreams(&self) -> &[CodestreamId] {
        &self.ids
    }

    /// Says that the response will never be committed, because no cache model outlives the request: what image
    /// data go out is then not noted.
    pub fn never_commit(&mut self) {
        self.keeps_record = false;
    }

    /// From now on [`Batch::body_len`] is right and nothing else is in a batch: for the length of a long response.
    pub const fn only_measure(&mut self) {
        self.only_measures = true;
    }

    /// Hands over a codestream. They are delivered in the order in which they are opened.
    pub fn open(&mut self, id: CodestreamId, codestream: Arc<IndexedCodestream>) {
        let siz = codestream.header().siz();
        let window = match (self.request.fsiz, &self.need) {
            (Some(fsiz), _) => {
                let max_discard = codestream.header().max_decomposition_levels();
                let mut asked = AskedWindow { fsiz, roff: self.request.roff, rsiz: self.request.rsiz };
                if let Some((_, placement)) = self.placements.iter().find(|(placed, _)| *placed == id) {
                    asked = placement.on_layer(&asked, siz.reduced_size(0));
                }
                Some(ViewWindow::map(asked.fsiz, asked.roff, asked.rsiz, siz, max_discard))
            }
            // Without a window, `need` by itself says what to send [15444-9 C.8.2].
            (None, Some(_)) => Some(ViewWindow::whole(siz)),
            (None, None) => None,
        };
        self.open.push(OpenCodestream::new(id, codestream, window, self.components.clone()));
        self.opened_or_refused += 1;
    }

    /// Declines a codestream that cannot be opened; the response goes on with the others.
    pub fn without(&mut self, id: CodestreamId) {
        self.open.retain(|open| open.id != id);
        self.opened_or_refused += 1;
    }

    /// From now on the response only ends: a newer request of the channel took over.
    pub fn preempt(&mut self) {
        self.is_preempted = true;
    }

    /// The next messages, about `budget` bytes of them; the last batch says so in [`Batch::end`].
    ///
    /// A batch may be empty without being the last, when a long stretch of the window is in the model
    /// already or index bytes are missing.
    ///
    /// # Errors
    ///
    /// - [`PlanError::NotPolled`] if [`ResponsePlan::poll_needs`] was not asked until nothing was missing.
    /// - [`PlanError::Index`] if the index contradicts itself.
    pub fn next(&mut self, model: &CacheModel, index: &SparseBytes, budget: usize) -> Result<Batch, PlanError> {
        let mut batch = Batch { only_measures: self.only_measures, ..Batch::default() };
        if self.ended {
            return Ok(batch);
        }
        if self.is_preempted {
            return Ok(self.end(batch, EorReason::WindowChange));
        }
        if self.needs_index && !self.open.is_empty() {
            return Err(PlanError::NotPolled);
        }
        let mut steps = 0u32;
        while batch.body_len < budget as u64 && steps < MAX_STEPS {
            steps += 1;
            match self.step(model, index, &mut batch, budget as u64) {
                Ok(Step::On) => {}
                Ok(Step::Full) => {
                    let by_request = self.request.len.is_some_and(|len| len <= self.limits.max_response);
                    self.is_len_too_small = by_request && self.writer.is_untouched() && self.request.len != Some(0);
                    let reason = if by_request { EorReason::ByteLimit } else { EorReason::ResponseLimit };
                    return Ok(self.end(batch, reason));
                }
                Ok(Step::Done) => {
                    let reason = if self.is_quality_cut {
                        EorReason::QualityLimit
                    } else if self.is_everything(model) {
                        EorReason::ImageDone
                    } else {
                        EorReason::WindowDone
                    };
                    return Ok(self.end(batch, reason));
                }
                Err(OpenError::NotLoaded(_)) => {
                    self.needs_index = true;
                    break;
                }
                Err(OpenError::Unusable(what)) => return Err(PlanError::Index { what }),
            }
        }
        Ok(batch)
    }

    /// Notes what was handed out as held by the client. Call it when the client has it; dropping the plan
    /// instead notes nothing.
    pub fn commit(self, model: &mut CacheModel) {
        model.absorb(&self.delivered);
        if !self.request.mset.is_empty() {
            let limit = self.ids.len().saturating_add(headers::MAX_MODEL_SET);
            let mut kept = self.target.codestreams.expand(&self.request.mset, limit);
            kept.extend(&self.ids);
            model.keep_only(&kept);
        }
    }

    fn end(&mut self, mut batch: Batch, reason: EorReason) -> Batch {
        batch.push_end(reason);
        self.ended = true;
        batch
    }

    /// Whether the client now holds all of the target: the window was everything, and so is the metadata.
    fn is_everything(&self, model: &CacheModel) -> bool {
        let set = &self.target.codestreams;
        let mut ordinals: Vec<u32> = self.open.iter().filter_map(|open| set.ordinal(open.id)).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        let has_bin = |bin: &MetadataBin| {
            let key = BinKey::metadata(bin.id);
            model.held(&key) == Held::Complete || self.delivered.held(&key) == Held::Complete
        };
        self.request.fsiz.is_some()
            && self.need.is_none()
            && self.request.layers.is_none()
            && u32::try_from(ordinals.len()) == Ok(set.count())
            && self.open.iter().all(OpenCodestream::is_whole)
            && self.target.metadata.bins.iter().all(has_bin)
    }
}

/// Steps of one call of [`ResponsePlan::next`]; most of them send something.
const MAX_STEPS: u32 = 1 << 10;
