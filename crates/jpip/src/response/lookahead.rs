//! Which bytes of the stored index a response needs next.

use std::ops::Range;

use codestream::TileIndex;
use codestream::annex_i::OpenError;
use codestream::parts::{CHUNK, SparseBytes};

use super::image::{ImageCursor, OpenCodestream};
use super::tile_plan::packets_looked_at;
use super::tiles::TileCursor;
use super::{PlanError, ResponsePlan, Stage};
use crate::view_window::PrecinctRange;

/// What was found missing so far, and how far the search may still go.
struct Search<'a> {
    index: &'a SparseBytes,
    missing: Vec<Range<u64>>,
    /// Bytes that may still be asked for, whole chunks counted.
    bytes_left: u64,
    /// The last chunk that was counted.
    chunk: Option<u64>,
    steps_left: u32,
}

impl ResponsePlan {
    /// The ranges of the index file that must be loaded before [`ResponsePlan::next`] can go on; none when
    /// it can. Ask before every call of `next`, load, and ask again until nothing is missing.
    ///
    /// A long response asks for its index piece by piece, so that memory stays bounded.
    ///
    /// # Errors
    ///
    /// - [`PlanError::Index`] if the index contradicts itself.
    pub fn poll_needs(&mut self, index: &SparseBytes) -> Result<Vec<Range<u64>>, PlanError> {
        if !self.needs_index || self.is_preempted || self.ended {
            return Ok(Vec::new());
        }
        let bytes_left = self.limits.index_ahead;
        let mut search = Search { index, missing: Vec::new(), bytes_left, chunk: None, steps_left: MAX_STEPS };
        if self.stream.is_jpt() {
            self.search_tiles(&mut search)?;
            return Ok(self.needs(search));
        }
        let (first, tile, mut cursor) = match self.stage {
            Stage::Metadata { .. } | Stage::MainHeaders { .. } => (0, Some(0), ImageCursor::default()),
            Stage::TileHeaders { codestream, tile } => (codestream, Some(tile), ImageCursor::default()),
            Stage::Image { codestream, cursor, .. } => (codestream, None, cursor),
            Stage::Tiles { .. } | Stage::LateMetadata { .. } | Stage::Done => return Ok(Vec::new()),
        };
        if let Some(mut tile) = tile {
            for open in self.open.iter().skip(first) {
                search.tile_headers(open, tile)?;
                tile = 0;
            }
        }
        let first = if tile.is_some() { 0 } else { first };
        for open in self.open.iter_mut().skip(first) {
            if open.window.is_some() && search.goes_on() {
                search.packets(open, cursor)?;
            }
            cursor = ImageCursor::default();
        }
        Ok(self.needs(search))
    }

    /// What a search found missing, in order and joined.
    fn needs(&mut self, search: Search<'_>) -> Vec<Range<u64>> {
        let mut missing = search.missing;
        missing.sort_unstable_by_key(|range| range.start);
        missing.dedup_by(|next, kept| {
            let touches = next.start <= kept.end;
            if touches {
                kept.end = kept.end.max(next.end);
            }
            touches
        });
        self.needs_index = !missing.is_empty();
        missing
    }

    /// Walks on over the tiles of a JPT-stream, to the end of the round of the first codestream that is not done.
    fn search_tiles(&mut self, search: &mut Search<'_>) -> Result<(), PlanError> {
        let (first, mut cursor) = match self.stage {
            Stage::Tiles { codestream, cursor, .. } => (codestream, cursor),
            Stage::LateMetadata { .. } | Stage::Done => return Ok(()),
            _ => (0, TileCursor::default()),
        };
        let extended = self.stream.is_extended();
        for open in self.open.iter_mut().skip(first) {
            if open.window.is_some_and(|window| !window.is_empty()) && search.goes_on() {
                search.tiles(open, cursor.tile, extended)?;
            }
            cursor = TileCursor::default();
        }
        Ok(())
    }
}

impl Search<'_> {
    const fn goes_on(&self) -> bool {
        self.bytes_left > 0 && self.steps_left > 0
    }

    fn tile_headers(&mut self, open: &OpenCodestream, mut n: u32) -> Result<(), PlanError> {
        while n < open.tiles.len() && self.goes_on() {
            self.steps_left -= 1;
            if let Some(tile) = open.tile(n) {
                self.note(open.codestream.tile(tile, self.index).map(|_| ()))?;
            }
            n += 1;
        }
        Ok(())
    }

    /// Walks on from `cursor` in the order of delivery, one sweep over all resolution levels.
    fn packets(&mut self, open: &mut OpenCodestream, mut cursor: ImageCursor) -> Result<(), PlanError> {
        let components = open.codestream.header().siz().component_count();
        let slot = cursor.slot;
        while self.goes_on() {
            self.steps_left -= 1;
            let mut goes_on =
                if open.wants_component(cursor.component) { None } else { Some(cursor.next_component(components)) };
            if goes_on.is_none() {
                if let Some(tile) = open.tile(cursor.tile) {
                    match open.component_window(tile, cursor.component, self.index) {
                        Ok(window) => {
                            cursor.note(&window);
                            if let Some(range) = window.range(cursor.resolution) {
                                self.rows(open, tile, &cursor, range, window.layers)?;
                            }
                        }
                        Err(error) => self.note(Err(error))?,
                    }
                }
                goes_on = Some(cursor.next_tile(open.tiles.len(), components));
            }
            if goes_on != Some(true) || cursor.slot != slot {
                break;
            }
        }
        Ok(())
    }

    fn tiles(&mut self, open: &mut OpenCodestream, first: u32, extended: bool) -> Result<(), PlanError> {
        // Of the first tile one component is asked for in any case, so that the walk goes on.
        let mut is_first = true;
        for n in first..open.tiles.len() {
            if !self.goes_on() {
                break;
            }
            self.steps_left -= 1;
            let Some(tile) = open.tile(n).filter(|tile| !open.plans.contains_key(&tile.0)) else { continue };
            let next = tile.0.saturating_add(1);
            self.want(open.codestream.tile_part_range(tile.0..next))?;
            let (view, parts) =
                match (open.codestream.tile(tile, self.index), open.codestream.tile_parts(tile, self.index)) {
                    (Ok(view), Ok(parts)) => (view, parts),
                    (view, parts) => {
                        self.note(view.map(|_| ()))?;
                        self.note(parts.map(|_| ()))?;
                        continue;
                    }
                };
            if parts.len() <= 1 {
                continue;
            }
            let begun = open.partial_plan.as_ref().filter(|partial| partial.tile == tile);
            let begun = begun.map_or(0, |partial| partial.next_component);
            for component in begun..open.codestream.header().siz().component_count() {
                if !self.goes_on() && !is_first {
                    break;
                }
                is_first = false;
                self.steps_left = self.steps_left.saturating_sub(1);
                let window = match open.component_window(tile, component, self.index) {
                    Ok(window) => window,
                    Err(error) => {
                        self.note(Err(error))?;
                        continue;
                    }
                };
                let ranges = if open.wants_component(component) { window.ranges.as_slice() } else { &[] };
                for range in packets_looked_at(&open.codestream, &view.geometry, component, (ranges, extended)) {
                    self.want(range)?;
                }
            }
        }
        Ok(())
    }

    /// Counts a range of the index and notes what of it is missing.
    fn want(&mut self, range: Range<u64>) -> Result<(), PlanError> {
        self.count(&range);
        let found = self.index.require(range).map_err(OpenError::from);
        self.note(found)
    }

    fn rows(
        &mut self,
        open: &OpenCodestream,
        tile: TileIndex,
        cursor: &ImageCursor,
        range: &PrecinctRange,
        layers: u16,
    ) -> Result<(), PlanError> {
        let wide = u64::from(range.columns.1.saturating_sub(range.columns.0)).max(1);
        let first_row = u64::from(range.rows.0).saturating_add(cursor.precinct / wide);
        let mut row = u32::try_from(first_row).unwrap_or(u32::MAX);
        let is_full_width = range.columns == (0, range.wide);
        while row < range.rows.1 && self.goes_on() {
            self.steps_left -= 1;
            // Rows that span the whole level follow each other without a gap.
            let last_row = if is_full_width { range.rows.1 - 1 } else { row };
            let first = range.sequence(range.columns.0, row);
            let end = range.sequence(range.columns.1.saturating_sub(1), last_row).saturating_add(1);
            let packets = open.codestream.packet_range(tile, cursor.component, first..end, layers);
            let headers = open.codestream.packet_header_range(tile, cursor.component, first..end, layers);
            for mut wanted in [Some(packets), headers].into_iter().flatten() {
                wanted.end = wanted.end.min(wanted.start.saturating_add(self.bytes_left));
                self.count(&wanted);
                let found = self.index.require(wanted).map_err(OpenError::from);
                self.note(found)?;
            }
            row = last_row + 1;
        }
        Ok(())
    }

    /// Counts what loading a range costs: rows of a window often lie in one chunk, or each in another.
    fn count(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut first, last) = (range.start / CHUNK, (range.end - 1) / CHUNK);
        if self.chunk == Some(first) {
            first += 1;
        }
        self.chunk = Some(last);
        self.bytes_left = self.bytes_left.saturating_sub((last + 1).saturating_sub(first).saturating_mul(CHUNK));
    }

    fn note(&mut self, result: Result<(), OpenError>) -> Result<(), PlanError> {
        match result {
            Ok(()) => Ok(()),
            Err(OpenError::NotLoaded(missing)) => {
                self.missing.extend(missing.ranges);
                Ok(())
            }
            Err(OpenError::Unusable(what)) => Err(PlanError::Index { what }),
        }
    }
}

/// Tiles, tile-components and precinct rows looked at in one search.
const MAX_STEPS: u32 = 1 << 16;
