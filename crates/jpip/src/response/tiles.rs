//! The walk of a JPT-stream over the tiles of a window.
//!
//! The tiles take turns: the first tile-part of each, then the second of each. Where tile-parts follow the resolution
//! levels or the layers, every prefix of the response shows the whole window, ever better; where a tile has but one,
//! the tiles come one by one. Tile-parts go out whole, because a reader of tiles counts on it; they are cut only by
//! the bounds of messages and of the response.

use bytes::Bytes;
use codestream::annex_i::OpenError;
use codestream::parts::SparseBytes;
use codestream::{TileIndex, TilePartSpan};
use smallvec::SmallVec;

use super::batch::{Batch, Body};
use super::steps::Step;
use super::tile_plan::{TilePlan, TileWants};
use super::{ResponsePlan, Stage};
use crate::cache_model::{CacheModel, Held};
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::target::Part;

/// Position in the walk over one codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TileCursor {
    /// Number of the tile-part whose turn it is.
    pub(super) round: usize,
    /// Number within the window's tile range.
    pub(super) tile: u32,
    /// Most tile-parts needed of a tile met so far; final once the first round is.
    rounds: usize,
}

impl TileCursor {
    /// On to the next tile; false when the codestream is done.
    fn next_tile(&mut self, tiles: u32) -> bool {
        self.tile += 1;
        if self.tile < tiles {
            return true;
        }
        self.tile = 0;
        self.round += 1;
        self.round < self.rounds
    }
}

impl ResponsePlan {
    pub(super) const fn tile_wants(&self) -> TileWants {
        TileWants { layers: self.layer_limits, extended: self.stream.is_extended() }
    }

    /// Sends what the present turn brings of one tile, one message of it.
    pub(super) fn tiles(
        &mut self,
        n: usize,
        (mut cursor, sent): (TileCursor, u64),
        model: &CacheModel,
        index: &SparseBytes,
        batch: &mut Batch,
    ) -> Result<Step, OpenError> {
        let wants = self.tile_wants();
        let Some(open) = self.open.get_mut(n).filter(|open| open.window.is_some_and(|window| !window.is_empty()))
        else {
            self.stage = if n < self.open.len() {
                Stage::Tiles { codestream: n + 1, cursor: TileCursor::default(), sent: 0 }
            } else {
                Stage::LateMetadata { n: 0, sent: 0 }
            };
            return Ok(Step::On);
        };
        let (id, count) = (open.id, open.tiles.len());
        let mut step = Step::On;
        if let Some(tile) = open.tile(cursor.tile) {
            let plan = open.tile_plan(tile, wants, index)?;
            cursor.rounds = cursor.rounds.max(plan.needed);
            self.is_quality_cut |= plan.needed < plan.without_quality;
            let rest;
            (step, rest) = self.tile_part(id, tile, &plan, (cursor.round, sent), model, batch);
            if let Some(sent) = rest {
                self.stage = Stage::Tiles { codestream: n, cursor, sent };
                return Ok(step);
            }
        }
        self.stage = if cursor.next_tile(count) {
            Stage::Tiles { codestream: n, cursor, sent: 0 }
        } else {
            if let Some(open) = self.open.get_mut(n) {
                open.release();
            }
            Stage::Tiles { codestream: n + 1, cursor: TileCursor::default(), sent: 0 }
        };
        Ok(step)
    }

    /// Sends what is missing of one tile-part. Returns the bytes of the data-bin that have gone out while some are
    /// left for another message.
    fn tile_part(
        &mut self,
        id: CodestreamId,
        tile: TileIndex,
        plan: &TilePlan,
        (part, sent): (usize, u64),
        model: &CacheModel,
        batch: &mut Batch,
    ) -> (Step, Option<u64>) {
        let nothing = (Step::On, None);
        // A tile without any tile-part is told to be empty, once.
        let is_absent = plan.parts.is_empty() && part == 0;
        if part >= plan.needed && !is_absent {
            return nothing;
        }
        let key = BinKey::tile(id, tile.0);
        // When the cache model is nearly full, tiles go out to their end: completed ones take up next to nothing.
        let until = if self.is_record_filling(model) { plan.parts.len() } else { part + 1 };
        let part_end = |parts: u32| plan.start_of(usize::try_from(parts).unwrap_or(usize::MAX));
        let (begin, total) = (plan.start_of(part), plan.start_of(usize::MAX));
        let mut end = plan.start_of(until);
        if let Some(need) = &self.need {
            let number = u32::try_from(part).unwrap_or(u32::MAX);
            if !self.needed_tile_parts.as_ref().is_some_and(|needed| needed.has(id, tile.0, number)) {
                let listed = need.held(&key);
                if listed.is_nothing() {
                    return nothing;
                }
                end = end.min(listed.resolve(total, part_end).0);
            }
        }
        let (held, mut complete) = model.held(&key).resolve(total, part_end);
        complete |= self.delivered.held(&key) == Held::Complete;
        let start = begin.max(held).max(sent);
        let ends = end == total;
        if complete || start > end || (start == end && !ends) {
            return nothing;
        }
        let parts: Vec<Part> = plan.parts.get(part..until).unwrap_or_default().iter().flat_map(whole_part).collect();
        let extended = self.stream.is_extended();
        let boundaries: SmallVec<[u64; 1]> = (part + 1..=until).map(|part| plan.start_of(part)).collect();
        let body = Body {
            class: if extended { DataBinClass::ExtendedTile } else { DataBinClass::Tile },
            codestream: id,
            id: key.id,
            offset: start,
            len: end - start,
            ends,
            parts: &parts,
            parts_offset: begin,
            layer_ends: &[],
            boundaries: &boundaries,
            tile_aux: plan.aux(part),
            max: self.limits.max_message,
            divisible: true,
        };
        self.write(&key, &body, batch)
    }
}

/// A tile-part as it is delivered: as it lies, but with its length where Psot is 0, for a client joins tiles in any
/// order [15444-1 A.4.2].
fn whole_part(part: &TilePartSpan) -> impl Iterator<Item = Part> {
    let span = part.span;
    let length = u32::try_from(span.len).ok().filter(|_| part.psot_zero && span.len >= PSOT.1);
    let cut = |from: u64, to: u64| Part::Span(codestream::Span::new(span.offset.saturating_add(from), to - from));
    let parts = match length {
        None => [Some(Part::Span(span)), None, None],
        Some(length) => {
            let inline = Part::Inline(Bytes::copy_from_slice(&length.to_be_bytes()));
            [Some(cut(0, PSOT.0)), Some(inline), Some(cut(PSOT.1, span.len))]
        }
    };
    parts.into_iter().flatten()
}

/// Where Psot begins and ends, from the start of its SOT marker segment.
const PSOT: (u64, u64) = (6, 10);
