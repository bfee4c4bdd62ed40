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

mod batch;
mod headers;
mod image;
mod lookahead;

use std::sync::Arc;

use codestream::annex_i::{IndexedCodestream, OpenError};
use codestream::boxes::tree::is_superbox;
use codestream::geometry::precinct_id;
use codestream::parts::SparseBytes;
use codestream::{Family, TileIndex};
use rangemap::RangeInclusiveSet;
use thiserror::Error;

pub use self::batch::{Batch, Piece};
use self::batch::{Body, MessageWriter, Sent};
pub use self::headers::HANDLED;
use self::image::{ComponentWindow, ImageCursor, OpenCodestream, PrecinctSlice, all_layer_ends, precinct_slice};
use crate::cache_model::{CacheModel, Held, PrecinctPlace, speaks_of_another_version};
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::limits::Limits;
use crate::message::EorReason;
use crate::request::Request;
use crate::request::error::RequestError;
use crate::request::return_type::ReturnType;
use crate::selection::requested_codestreams;
use crate::target::{LogicalTarget, MetadataBin, Part};
use crate::view_window::ViewWindow;

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
#[derive(Debug)]
pub struct ResponsePlan {
    request: Request,
    target: Arc<LogicalTarget>,
    limits: Limits,
    extended: bool,
    /// The codestreams asked for that exist.
    ids: Vec<CodestreamId>,
    is_cut: bool,
    context: Option<String>,
    components: Option<Arc<RangeInclusiveSet<u64>>>,
    need: Option<CacheModel>,
    /// Positions of metadata-bins sent before and after the image.
    early_metadata: Vec<usize>,
    late_metadata: Vec<usize>,
    open: Vec<OpenCodestream>,
    opened_or_refused: usize,
    stage: Stage,
    writer: MessageWriter,
    delivered: CacheModel,
    needs_index: bool,
    is_preempted: bool,
    is_len_too_small: bool,
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
    LateMetadata {
        n: usize,
        sent: u64,
    },
    Done,
}

/// What one step did.
enum Step {
    /// On to the next step.
    On,
    /// The byte limit is reached, or would be by the next message.
    Full,
    /// Nothing is left to send.
    Done,
}

impl ResponsePlan {
    /// Plans the answer to `request` from `target`.
    ///
    /// # Errors
    ///
    /// - [`RequestError::Unsupported`] for fields that are not served.
    /// - [`RequestError::UnsupportedMediaType`] if `type` excludes JPP-streams.
    /// - [`RequestError::RequiredPreference`] if a preference marked `/r` cannot be met.
    pub fn new(request: &Request, target: Arc<LogicalTarget>, limits: &Limits) -> Result<Self, RequestError> {
        check_supported(request)?;
        let extended = negotiate(request)?;
        let mut request = request.clone();
        let codestreams = requested_codestreams(&request, &target.codestreams, limits);
        let mut need = None;
        if let Some(descriptors) = request.need.take()
            && !speaks_of_another_version(&request, &target)
        {
            need = Some(CacheModel::of_need(&descriptors, &request, &target, limits));
        }
        // The model was applied before; a long one need not be kept.
        request.model = None;
        let (early_metadata, late_metadata) = wanted_metadata(&request, &target, need.is_some());
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
            extended,
            ids,
            is_cut: codestreams.cut,
            context: codestreams.context,
            components,
            need,
            early_metadata,
            late_metadata,
            open: Vec::new(),
            opened_or_refused: 0,
            stage: Stage::Metadata { n: 0, sent: 0 },
            writer: MessageWriter::new(limit),
            delivered: CacheModel::new(limits),
            needs_index: true,
            is_preempted: false,
            is_len_too_small: false,
            ended: false,
            request,
        })
    }

    /// The request that is answered, without its `model` and `need`.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The codestreams that the caller opens, or declines with [`ResponsePlan::without`], before the first
    /// [`ResponsePlan::poll_needs`]. Empty when only metadata are asked for.
    #[must_use]
    pub fn codestreams(&self) -> &[CodestreamId] {
        &self.ids
    }

    /// Hands over a codestream. They are delivered in the order in which they are opened.
    pub fn open(&mut self, id: CodestreamId, codestream: Arc<IndexedCodestream>) {
        let siz = codestream.header().siz();
        let window = match (self.request.fsiz, &self.need) {
            (Some(fsiz), _) => {
                let max_discard = codestream.header().max_decomposition_levels();
                Some(ViewWindow::map(fsiz, self.request.roff, self.request.rsiz, siz, max_discard))
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
        let mut batch = Batch::default();
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
            match self.step(model, index, &mut batch) {
                Ok(Step::On) => {}
                Ok(Step::Full) => {
                    let by_request = self.request.len.is_some_and(|len| len <= self.limits.max_response);
                    self.is_len_too_small = by_request && self.writer.is_untouched() && self.request.len != Some(0);
                    let reason = if by_request { EorReason::ByteLimit } else { EorReason::ResponseLimit };
                    return Ok(self.end(batch, reason));
                }
                Ok(Step::Done) => {
                    let all = self.is_everything(model);
                    let reason = if all { EorReason::ImageDone } else { EorReason::WindowDone };
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

    /// Sends at most one message.
    fn step(&mut self, model: &CacheModel, index: &SparseBytes, batch: &mut Batch) -> Result<Step, OpenError> {
        match self.stage {
            Stage::Metadata { n, sent } => {
                let Some(&position) = self.early_metadata.get(n) else {
                    self.stage = Stage::MainHeaders { codestream: 0, sent: 0 };
                    return Ok(Step::On);
                };
                let (step, sent) = self.metadata(position, sent, model, batch);
                self.stage = match sent {
                    Some(sent) => Stage::Metadata { n, sent },
                    None => Stage::Metadata { n: n + 1, sent: 0 },
                };
                Ok(step)
            }
            Stage::MainHeaders { codestream, sent } => Ok(self.main_header(codestream, sent, model, batch)),
            Stage::TileHeaders { codestream, tile } => self.tile_header(codestream, tile, model, index, batch),
            Stage::Image { codestream, cursor, sent } => self.image(codestream, cursor, sent, model, index, batch),
            Stage::LateMetadata { n, sent } => {
                let Some(&position) = self.late_metadata.get(n) else {
                    self.stage = Stage::Done;
                    return Ok(Step::On);
                };
                let (step, sent) = self.metadata(position, sent, model, batch);
                self.stage = match sent {
                    Some(sent) => Stage::LateMetadata { n, sent },
                    None => Stage::LateMetadata { n: n + 1, sent: 0 },
                };
                Ok(step)
            }
            Stage::Done => Ok(Step::Done),
        }
    }

    fn metadata(&mut self, n: usize, sent: u64, model: &CacheModel, batch: &mut Batch) -> (Step, Option<u64>) {
        let target = Arc::clone(&self.target);
        let Some(bin) = target.metadata.bins.get(n) else { return (Step::On, None) };
        let key = BinKey::metadata(bin.id);
        // One message for the whole data-bin, because deployed clients take it so; only a very long one is cut.
        let len = bin.len();
        let max = if len <= MAX_WHOLE_METADATA { len } else { self.limits.max_message };
        let whole = Whole { key, len, parts: &bin.parts, max, divisible: false };
        self.whole_bin(&whole, sent, model, batch)
    }

    fn main_header(&mut self, n: usize, sent: u64, model: &CacheModel, batch: &mut Batch) -> Step {
        let Some(open) = self.open.get(n) else {
            self.stage = Stage::TileHeaders { codestream: 0, tile: 0 };
            return Step::On;
        };
        let key = BinKey::main_header(open.id);
        let parts: Vec<Part> = open.codestream.jpp_main_header().iter().copied().map(Part::Span).collect();
        let len = parts.iter().map(Part::len).sum();
        let whole = Whole { key, len, parts: &parts, max: self.limits.max_message, divisible: true };
        let (step, sent) = self.whole_bin(&whole, sent, model, batch);
        self.stage = match sent {
            Some(sent) => Stage::MainHeaders { codestream: n, sent },
            None => Stage::MainHeaders { codestream: n + 1, sent: 0 },
        };
        step
    }

    fn tile_header(
        &mut self,
        n: usize,
        tile: u32,
        model: &CacheModel,
        index: &SparseBytes,
        batch: &mut Batch,
    ) -> Result<Step, OpenError> {
        let Some(open) = self.open.get(n) else {
            self.stage = Stage::Image { codestream: 0, cursor: ImageCursor::default(), sent: 0 };
            return Ok(Step::On);
        };
        if tile >= open.tiles.len() {
            self.stage = Stage::TileHeaders { codestream: n + 1, tile: 0 };
            return Ok(Step::On);
        }
        let mut step = Step::On;
        if let Some(number) = open.tile(tile) {
            let key = BinKey::tile_header(open.id, number.0);
            if !self.is_settled(&key, model) {
                let parts: Vec<Part> =
                    open.codestream.tile(number, index)?.header.into_iter().map(Part::Span).collect();
                let len = parts.iter().map(Part::len).sum();
                // A header longer than a message is so rare that it goes out whole.
                let whole = Whole { key, len, parts: &parts, max: u64::MAX, divisible: true };
                let (outcome, rest) = self.whole_bin(&whole, 0, model, batch);
                if rest.is_some() {
                    return Ok(outcome);
                }
                step = outcome;
            }
        }
        self.stage = Stage::TileHeaders { codestream: n, tile: tile + 1 };
        Ok(step)
    }

    /// Whether a data-bin need not be looked at: it is not asked for, or wholly held.
    fn is_settled(&self, key: &BinKey, model: &CacheModel) -> bool {
        let unwanted = self.need.as_ref().is_some_and(|need| need.held(key).is_nothing());
        unwanted || model.held(key) == Held::Complete
    }

    /// Sends what is missing of a data-bin that is no precinct. Returns the bytes sent so far while some are
    /// left for another message.
    fn whole_bin(&mut self, bin: &Whole<'_>, sent: u64, model: &CacheModel, batch: &mut Batch) -> (Step, Option<u64>) {
        let mut end = bin.len;
        if let Some(need) = &self.need {
            let (wanted, _) = need.held(&bin.key).resolve(bin.len, |_| 0);
            end = wanted;
            if need.held(&bin.key).is_nothing() {
                return (Step::On, None);
            }
        }
        let (held, complete) = model.held(&bin.key).resolve(bin.len, |_| 0);
        let start = held.max(sent);
        let ends = end == bin.len;
        if complete || start > end || (start == end && !ends) {
            return (Step::On, None);
        }
        let body = Body {
            class: bin.key.class,
            codestream: bin.key.codestream,
            id: bin.key.id,
            offset: start,
            len: end - start,
            ends,
            parts: bin.parts,
            parts_offset: 0,
            layer_ends: &[],
            max: bin.max,
            divisible: bin.divisible,
        };
        self.write(&bin.key, &body, batch)
    }

    /// Writes one message and notes what it delivers.
    fn write(&mut self, key: &BinKey, body: &Body<'_>, batch: &mut Batch) -> (Step, Option<u64>) {
        let outcome = self.writer.write(body, batch);
        let (bytes, step) = match outcome {
            Sent::NoRoom => return (Step::Full, Some(body.offset)),
            Sent::Bytes(bytes) => (bytes, Step::On),
            Sent::LastBytes(bytes) => (bytes, Step::Full),
        };
        let end = body.offset.saturating_add(bytes);
        let is_all = bytes == body.len;
        self.delivered.record(key, end, body.ends && is_all);
        (step, (!is_all).then_some(end))
    }

    fn image(
        &mut self,
        n: usize,
        mut cursor: ImageCursor,
        sent: u64,
        model: &CacheModel,
        index: &SparseBytes,
        batch: &mut Batch,
    ) -> Result<Step, OpenError> {
        let Some(open) = self.open.get_mut(n).filter(|open| open.window.is_some_and(|window| !window.is_empty()))
        else {
            self.stage = if n < self.open.len() {
                Stage::Image { codestream: n + 1, cursor: ImageCursor::default(), sent: 0 }
            } else {
                Stage::LateMetadata { n: 0, sent: 0 }
            };
            return Ok(Step::On);
        };
        let components = open.codestream.header().siz().component_count();
        if !open.wants_component(cursor.component) {
            let goes_on = cursor.next_component(components);
            self.leave_or_stay(n, cursor, goes_on);
            return Ok(Step::On);
        }
        let tile = open.tile(cursor.tile);
        let window = match tile {
            Some(tile) => Some((tile, open.component_window(tile, cursor.component, index)?)),
            None => None,
        };
        if let Some((tile, window)) = window {
            cursor.note(&window);
            let sequence = window.range(cursor.resolution).and_then(|range| range.nth_sequence(cursor.precinct));
            if let Some(sequence) = sequence {
                let at = Precinct { tile, sequence, cursor, window: &window, sent };
                let (step, rest) = self.precinct(n, &at, model, index, batch)?;
                let sent = match rest {
                    Some(sent) => sent,
                    None => {
                        cursor.precinct += 1;
                        0
                    }
                };
                self.stage = Stage::Image { codestream: n, cursor, sent };
                return Ok(step);
            }
        }
        let goes_on = match self.open.get(n) {
            Some(open) => cursor.next_tile(open.tiles.len(), components),
            None => false,
        };
        self.leave_or_stay(n, cursor, goes_on);
        Ok(Step::On)
    }

    fn leave_or_stay(&mut self, n: usize, cursor: ImageCursor, goes_on: bool) {
        if goes_on {
            self.stage = Stage::Image { codestream: n, cursor, sent: 0 };
            return;
        }
        if let Some(open) = self.open.get_mut(n) {
            open.release();
        }
        self.stage = Stage::Image { codestream: n + 1, cursor: ImageCursor::default(), sent: 0 };
    }

    /// Sends what the current slot holds of one precinct, one message of it.
    fn precinct(
        &mut self,
        n: usize,
        at: &Precinct<'_>,
        model: &CacheModel,
        index: &SparseBytes,
        batch: &mut Batch,
    ) -> Result<(Step, Option<u64>), OpenError> {
        let nothing = Ok((Step::On, None));
        let Some(open) = self.open.get(n) else { return nothing };
        let codestream = Arc::clone(&open.codestream);
        let (component, layers) = (at.cursor.component, at.window.layers);
        let Some(id) = precinct_id(codestream.header().siz(), at.tile, component, at.sequence) else { return nothing };
        let key = BinKey::precinct(open.id, id);
        let place = at.place();
        let wanted = self.need.as_ref().map(|need| need.held_precinct(&key, &place));
        if wanted.as_ref().is_some_and(Held::is_nothing) {
            return nothing;
        }
        let held =
            if model.knows_no_precinct(key.codestream) { Held::Nothing } else { model.held_precinct(&key, &place) };
        if held == Held::Complete {
            return nothing;
        }
        let first = at.sequence.saturating_mul(u64::from(layers));
        let packet = |layer: u16| codestream.packet(at.tile, component, first + u64::from(layer), index);
        let max_layers = self.request.layers.map_or(u16::MAX, |max| u16::try_from(max).unwrap_or(u16::MAX));
        let Some(mut slice) = precinct_slice(layers, at.cursor.slot, max_layers, packet)? else { return nothing };
        let speaks_of_layers =
            matches!(held, Held::Statements(_)) || wanted.as_ref().is_some_and(|w| *w != Held::Complete);
        let (mut bytes, mut complete) = (0, false);
        if speaks_of_layers {
            let ends = all_layer_ends(layers, packet)?;
            let total = ends.last().copied().unwrap_or(0);
            let end_of = |layers: u32| {
                let last = usize::try_from(layers).unwrap_or(usize::MAX).min(ends.len()).checked_sub(1);
                last.and_then(|last| ends.get(last)).copied().unwrap_or(0)
            };
            (bytes, complete) = held.resolve(total, end_of);
            if let Some(wanted) = wanted {
                let (limit, _) = wanted.resolve(total, end_of);
                slice.ends = slice.ends && limit >= slice.end;
                slice.end = slice.end.min(limit);
            }
        } else if let Held::Prefix(prefix) = held {
            bytes = prefix;
        }
        let start = slice.start.max(bytes).max(at.sent);
        if complete || start > slice.end || (start == slice.end && !slice.ends) {
            return nothing;
        }
        let PrecinctSlice { end, ends, parts, layer_ends, start: parts_offset } = slice;
        let class = if self.extended { DataBinClass::ExtendedPrecinct } else { DataBinClass::Precinct };
        let body = Body {
            class,
            codestream: key.codestream,
            id,
            offset: start,
            len: end - start,
            ends,
            parts: &parts,
            parts_offset,
            layer_ends: &layer_ends,
            max: self.limits.max_message,
            divisible: true,
        };
        Ok(self.write(&key, &body, batch))
    }

    /// Whether the client now holds all of the target: the window was everything, and so is the metadata.
    fn is_everything(&self, model: &CacheModel) -> bool {
        let set = &self.target.codestreams;
        let mut ordinals: Vec<u32> = self.open.iter().filter_map(|open| set.ordinal(open.id)).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        let whole = |open: &OpenCodestream| {
            let header = open.codestream.header();
            let count = u64::from(header.siz().component_count());
            open.window.is_some_and(|window| window.is_whole(header.siz()))
                && self
                    .components
                    .as_ref()
                    .is_none_or(|wanted| wanted.gaps(&(0..=count.saturating_sub(1))).next().is_none())
        };
        let has_bin = |bin: &MetadataBin| {
            let key = BinKey::metadata(bin.id);
            model.held(&key) == Held::Complete || self.delivered.held(&key) == Held::Complete
        };
        self.request.fsiz.is_some()
            && self.need.is_none()
            && self.request.layers.is_none()
            && u32::try_from(ordinals.len()) == Ok(set.count())
            && self.open.iter().all(whole)
            && self.target.metadata.bins.iter().all(has_bin)
    }
}

/// A data-bin that goes out as a whole, if it can.
struct Whole<'a> {
    key: BinKey,
    len: u64,
    parts: &'a [Part],
    max: u64,
    divisible: bool,
}

/// One precinct of the walk.
struct Precinct<'a> {
    tile: TileIndex,
    sequence: u64,
    cursor: ImageCursor,
    window: &'a ComponentWindow,
    sent: u64,
}

impl Precinct<'_> {
    fn place(&self) -> PrecinctPlace {
        let first = self.window.range(self.cursor.resolution).map_or(0, |range| range.first_sequence);
        PrecinctPlace {
            tile: u64::from(self.tile.0),
            component: u64::from(self.cursor.component),
            resolution: u64::from(self.cursor.resolution),
            position: self.sequence.saturating_sub(first),
        }
    }
}

/// Refuses the fields that are recognised and not served.
fn check_supported(request: &Request) -> Result<(), RequestError> {
    for (is_there, field) in [
        (request.subtarget.is_some(), "subtarget"),
        (request.upload.is_some(), "upload"),
        (request.sendto.is_some(), "sendto"),
        (!request.abandon.is_empty(), "abandon"),
        (request.barrier.is_some(), "barrier"),
        (!request.tpneed.is_empty(), "tpneed"),
    ] {
        if is_there {
            return Err(RequestError::Unsupported { field });
        }
    }
    match request.pref.iter().find(|set| set.required && !set.is_met()) {
        Some(set) => Err(RequestError::RequiredPreference { set: format!("{}/r", set.text) }),
        None => Ok(()),
    }
}

/// Whether precinct messages carry Aux, from the first type that can be returned.
fn negotiate(request: &Request) -> Result<bool, RequestError> {
    if request.types.is_empty() {
        return Ok(false);
    }
    let offered = request.types.iter().find_map(|wanted| match wanted {
        ReturnType::JppStream { extended } => Some(*extended),
        _ => None,
    });
    offered.ok_or(RequestError::UnsupportedMediaType)
}

/// The metadata-bins wanted, before the image and after it. Bin 0 always comes first; the order is that of
/// the target, in which the XML boxes are last.
fn wanted_metadata(request: &Request, target: &LogicalTarget, by_need: bool) -> (Vec<usize>, Vec<usize>) {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for (n, bin) in target.metadata.bins.iter().enumerate() {
        if bin.id == 0 || (by_need && request.metareq.is_none()) {
            early.push(n);
            continue;
        }
        let (Some(wanted), Some(box_type)) = (&request.metareq, bin.box_type) else { continue };
        // A superbox may hold boxes of any type, and its contents are not looked into here.
        let matches = wanted.wants(box_type, 0, 0)
            || wanted.groups.iter().any(|group| group.root == bin.id || (group.root == 0 && is_superbox(box_type)));
        if !matches {
            continue;
        }
        let has_priority = wanted.groups.iter().flat_map(|group| &group.boxes).any(|boxes| boxes.priority);
        if wanted.metadata_only || has_priority { early.push(n) } else { late.push(n) }
    }
    (early, late)
}

/// Metadata-bins up to this length in bytes go out in one message (clients.md 16).
const MAX_WHOLE_METADATA: u64 = 65_535;

/// Steps of one call of [`ResponsePlan::next`]; most of them send something.
const MAX_STEPS: u32 = 1 << 16;
