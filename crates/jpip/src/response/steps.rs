//! One step of a response: the next message, if there is room for it.

use std::sync::Arc;

use codestream::annex_i::{IndexedCodestream, OpenError};
use codestream::geometry::precinct_id;
use codestream::parts::SparseBytes;
use codestream::{Span, TileIndex};
use smallvec::SmallVec;

use super::batch::{Batch, Body, Sent};
use super::image::{ImageCursor, PrecinctSlice, all_layer_ends, precinct_slice};
use super::tiles::TileCursor;
use super::wanted_metadata::WantedBin;
use super::{ResponsePlan, Stage};
use crate::cache_model::{CacheModel, Held, PrecinctPlace};
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::dialect;
use crate::request::return_type::StreamType;
use crate::target::Part;

/// What one step did.
pub(super) enum Step {
    /// On to the next step.
    On,
    /// The byte limit is reached, or would be by the next message.
    Full,
    /// Nothing is left to send.
    Done,
}

impl ResponsePlan {
    /// Sends one message, or a run of them from one resolution level while the batch is below `budget` bytes.
    pub(super) fn step(
        &mut self,
        model: &CacheModel,
        index: &SparseBytes,
        batch: &mut Batch,
        budget: u64,
    ) -> Result<Step, OpenError> {
        match self.stage {
            Stage::Metadata { n, sent } => {
                let Some(&wanted) = self.early_metadata.get(n) else {
                    self.stage = Stage::MainHeaders { codestream: 0, sent: 0 };
                    return Ok(Step::On);
                };
                let (step, sent) = self.metadata(wanted, sent, model, batch);
                self.stage = match sent {
                    Some(sent) => Stage::Metadata { n, sent },
                    None => Stage::Metadata { n: n + 1, sent: 0 },
                };
                Ok(step)
            }
            Stage::MainHeaders { codestream, sent } => Ok(self.main_header(codestream, sent, model, batch)),
            Stage::TileHeaders { codestream, tile } => self.tile_header(codestream, tile, model, index, batch),
            Stage::Image { codestream, cursor, sent } => {
                self.image(codestream, (cursor, sent), model, index, (batch, budget))
            }
            Stage::Tiles { codestream, cursor, sent } => self.tiles(codestream, (cursor, sent), model, index, batch),
            Stage::LateMetadata { n, sent } => {
                let Some(&wanted) = self.late_metadata.get(n) else {
                    self.stage = Stage::Done;
                    return Ok(Step::On);
                };
                let (step, sent) = self.metadata(wanted, sent, model, batch);
                self.stage = match sent {
                    Some(sent) => Stage::LateMetadata { n, sent },
                    None => Stage::LateMetadata { n: n + 1, sent: 0 },
                };
                Ok(step)
            }
            Stage::Done => Ok(Step::Done),
        }
    }

    fn metadata(&mut self, wanted: WantedBin, sent: u64, model: &CacheModel, batch: &mut Batch) -> (Step, Option<u64>) {
        let target = Arc::clone(&self.target);
        let Some(bin) = target.metadata.bins.get(wanted.position) else { return (Step::On, None) };
        let key = BinKey::metadata(bin.id);
        // One message for the whole data-bin, because deployed clients take it so; only a very long one is cut.
        let len = bin.len();
        let max = if len <= MAX_WHOLE_METADATA { len } else { self.limits.max_message };
        let whole = Whole {
            key,
            len,
            wanted: wanted.bytes,
            parts: &bin.parts,
            max,
            divisible: false,
            boundaries: &bin.box_ends,
        };
        self.whole_bin(&whole, sent, model, batch)
    }

    fn main_header(&mut self, n: usize, sent: u64, model: &CacheModel, batch: &mut Batch) -> Step {
        let Some(open) = self.open.get(n) else {
            self.stage = if self.stream.is_jpt() {
                Stage::Tiles { codestream: 0, cursor: TileCursor::default(), sent: 0 }
            } else {
                Stage::TileHeaders { codestream: 0, tile: 0 }
            };
            return Step::On;
        };
        let key = BinKey::main_header(open.id);
        let codestream = &open.codestream;
        let header = if self.stream.is_jpt() { codestream.jpt_main_header() } else { codestream.jpp_main_header() };
        let parts: Vec<Part> = header.iter().copied().map(Part::Span).collect();
        let len = parts.iter().map(Part::len).sum();
        let whole = Whole {
            key,
            len,
            wanted: u64::MAX,
            parts: &parts,
            max: self.limits.max_message,
            divisible: true,
            boundaries: &[],
        };
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
                let header = open.codestream.tile(number, index)?.header.into_iter().map(Part::Span);
                let parts: Vec<Part> = match self.stream {
                    StreamType::OpenJpip => dialect::tile_header(number, header).collect(),
                    StreamType::Jpp { .. } | StreamType::Jpt { .. } => header.collect(),
                };
                let len = parts.iter().map(Part::len).sum();
                // A header longer than a message is so rare that it goes out whole.
                let whole = Whole {
                    key,
                    len,
                    wanted: u64::MAX,
                    parts: &parts,
                    max: u64::MAX,
                    divisible: true,
                    boundaries: &[],
                };
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
        let mut end = bin.len.min(bin.wanted);
        if let Some(need) = &self.need {
            let (wanted, _) = need.held(&bin.key).resolve(bin.len, |_| 0);
            end = end.min(wanted);
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
            boundaries: bin.boundaries,
            tile_aux: 0,
            max: bin.max,
            divisible: bin.divisible,
        };
        self.write(&bin.key, &body, batch)
    }

    /// Writes one message and notes what it delivers.
    pub(super) fn write(&mut self, key: &BinKey, body: &Body<'_>, batch: &mut Batch) -> (Step, Option<u64>) {
        let outcome = self.writer.write(body, batch);
        let (bytes, step) = match outcome {
            Sent::NoRoom => return (Step::Full, Some(body.offset)),
            Sent::Bytes(bytes) => (bytes, Step::On),
            Sent::LastBytes(bytes) => (bytes, Step::Full),
        };
        let end = body.offset.saturating_add(bytes);
        let is_all = bytes == body.len;
        // Chosen tile-parts may leave a gap before them, which a record cannot tell; they are never committed.
        let keeps_record = self.keeps_record && self.needed_tile_parts.is_none();
        if keeps_record || key.class == DataBinClass::Metadata {
            self.delivered.record(key, end, body.ends && is_all);
        }
        (step, (!is_all).then_some(end))
    }

    fn image(
        &mut self,
        n: usize,
        (mut cursor, mut sent): (ImageCursor, u64),
        model: &CacheModel,
        index: &SparseBytes,
        (batch, budget): (&mut Batch, u64),
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
            self.is_quality_cut |= !window.ranges.is_empty() && self.layer_limits.is_cut_by_quality(window.layers);
            // The precincts of one resolution of the tile-component go in one step, or thousands of tiny ones
            // would each be looked up from the top.
            let range = window.range(cursor.resolution);
            let codestream = Arc::clone(&open.codestream);
            let knows_none = model.knows_no_precinct(open.id);
            let source = Source { id: open.id, codestream: &codestream, model, knows_none, index };
            let mut run = 0u32;
            while let Some((range, sequence)) = range.and_then(|r| Some((r, r.nth_sequence(cursor.precinct)?))) {
                if self.is_record_filling(model) {
                    cursor.deliver_whole();
                }
                let at = Precinct {
                    tile,
                    sequence,
                    cursor,
                    first_sequence: range.first_sequence,
                    layers: window.layers,
                    sent,
                };
                let (step, rest) = self.precinct(&source, &at, batch)?;
                sent = match rest {
                    Some(sent) => sent,
                    None => {
                        cursor.precinct += 1;
                        0
                    }
                };
                self.stage = Stage::Image { codestream: n, cursor, sent };
                run += 1;
                if matches!(step, Step::Full) || batch.body_len >= budget || run >= MAX_RUN {
                    return Ok(step);
                }
            }
        }
        let goes_on = match self.open.get(n) {
            Some(open) => cursor.next_tile(open.tiles.len(), components),
            None => false,
        };
        self.leave_or_stay(n, cursor, goes_on);
        Ok(Step::On)
    }

    /// Whether the cache model will soon hold as many partly delivered precincts as it may. A window of more would
    /// be forgotten and sent again for ever; completed precincts take up next to nothing.
    pub(super) const fn is_record_filling(&self, model: &CacheModel) -> bool {
        let most = self.limits.max_model_entries / 4 * 3;
        self.keeps_record && model.entries().saturating_add(self.delivered.entries()) >= most
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
        source: &Source<'_>,
        at: &Precinct,
        batch: &mut Batch,
    ) -> Result<(Step, Option<u64>), OpenError> {
        let nothing = Ok((Step::On, None));
        let Source { id: codestream_id, codestream, model, knows_none, index } = *source;
        let (component, layers) = (at.cursor.component, at.layers);
        let Some(id) = precinct_id(codestream.header().siz(), at.tile, component, at.sequence) else { return nothing };
        let key = BinKey::precinct(codestream_id, id);
        let wanted = self.need.as_ref().map(|need| need.held_precinct(&key, &at.place()));
        if wanted.as_ref().is_some_and(Held::is_nothing) {
            return nothing;
        }
        let held = if knows_none { Held::Nothing } else { model.held_precinct(&key, &at.place()) };
        if held == Held::Complete {
            return nothing;
        }
        let first = at.sequence.saturating_mul(u64::from(layers));
        let packet = |layer: u16| codestream.packet(at.tile, component, first + u64::from(layer), index);
        let max_layers = self.layer_limits.wanted(layers);
        let of_visit = at.cursor.layers(layers);
        if layers == 1 && of_visit == (0..1) && max_layers > 0 && wanted.is_none() && held == Held::Nothing {
            return Ok(self.sole_packet(&key, &packet(0)?, at.sent, batch));
        }
        let Some(mut slice) = precinct_slice(layers, of_visit, max_layers, packet)? else {
            return nothing;
        };
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
        let body = Body {
            offset: start,
            len: end - start,
            ends,
            parts: &parts,
            parts_offset,
            layer_ends: &layer_ends,
            boundaries: &layer_ends,
            ..self.precinct_body(&key)
        };
        Ok(self.write(&key, &body, batch))
    }

    /// Sends a data-bin of one packet, or what is left of it after `sent` bytes: nearly every precinct that there is.
    fn sole_packet(&mut self, key: &BinKey, spans: &[Span], sent: u64, batch: &mut Batch) -> (Step, Option<u64>) {
        let parts: SmallVec<[Part; 1]> = spans.iter().copied().map(Part::Span).collect();
        let end: u64 = spans.iter().map(|span| span.len).sum();
        // An absent packet is no layer that the data-bin holds.
        let layer_ends = if spans.is_empty() { &[][..] } else { &[end] };
        let len = end.saturating_sub(sent);
        let body = Body { offset: sent, len, ends: true, parts: &parts, layer_ends, ..self.precinct_body(key) };
        self.write(key, &body, batch)
    }

    /// A message of a precinct data-bin that holds nothing yet.
    const fn precinct_body(&self, key: &BinKey) -> Body<'static> {
        Body {
            class: if self.stream.is_extended() { DataBinClass::ExtendedPrecinct } else { DataBinClass::Precinct },
            codestream: key.codestream,
            id: key.id,
            offset: 0,
            len: 0,
            ends: false,
            parts: &[],
            parts_offset: 0,
            layer_ends: &[],
            boundaries: &[],
            tile_aux: 0,
            max: self.limits.max_message,
            divisible: true,
        }
    }
}

/// Where the precincts of a walk come from, and what the client holds of them.
#[derive(Clone, Copy)]
struct Source<'a> {
    id: CodestreamId,
    codestream: &'a IndexedCodestream,
    model: &'a CacheModel,
    /// Whether the model knows nothing of this codestream's precincts.
    knows_none: bool,
    index: &'a SparseBytes,
}

/// A data-bin that goes out as a whole, if it can.
struct Whole<'a> {
    key: BinKey,
    len: u64,
    /// Bytes of it that are sent.
    wanted: u64,
    parts: &'a [Part],
    max: u64,
    divisible: bool,
    /// Ends of the top-level boxes of a metadata-bin.
    boundaries: &'a [u64],
}

/// One precinct of the walk.
struct Precinct {
    tile: TileIndex,
    sequence: u64,
    cursor: ImageCursor,
    /// Sequence number of the first precinct of the resolution level.
    first_sequence: u64,
    layers: u16,
    sent: u64,
}

impl Precinct {
    fn place(&self) -> PrecinctPlace {
        PrecinctPlace {
            tile: u64::from(self.tile.0),
            component: u64::from(self.cursor.component),
            resolution: u64::from(self.cursor.resolution),
            position: self.sequence.saturating_sub(self.first_sequence),
        }
    }
}

/// Precincts looked at in one step; a cached window is passed over without a message and must not take long either.
const MAX_RUN: u32 = 256;

/// Metadata-bins up to this length in bytes go out in one message (clients.md 16).
const MAX_WHOLE_METADATA: u64 = 65_535;
