//! What a window needs of one tile data-bin: so many of its tile-parts, from the first [15444-9 A.3.5].
//!
//! A tile-part is needed when it, or one after it, holds a packet of a precinct that the window needs. Within one
//! resolution level of one component the last packet of a rectangle of precincts is in every progression order that of
//! its lower right precinct in its last layer, also where progressions change; so one look into the index tells how
//! far a level reaches, however many packets it has.

use std::ops::Range;
use std::sync::Arc;

use codestream::annex_i::{IndexedCodestream, OpenError, PacketParts};
use codestream::parts::SparseBytes;
use codestream::{TileGeometry, TileIndex, TilePartSpan};

use super::image::OpenCodestream;
use super::quality::LayerLimits;
use crate::view_window::PrecinctRange;

/// The tile-parts of one tile and how many of them are needed.
#[derive(Debug, Clone, Default)]
pub(super) struct TilePlan {
    /// All of them, in codestream order.
    pub(super) parts: Vec<TilePartSpan>,
    /// How many are sent, from the first.
    pub(super) needed: usize,
    /// How many would be sent if it were not for `quality`.
    pub(super) without_quality: usize,
    /// For class 5: the number that goes with each tile-part.
    aux: Vec<u64>,
}

/// What shapes the plans of one response.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileWants {
    pub(super) layers: LayerLimits,
    /// Whether messages carry Aux.
    pub(super) extended: bool,
}

/// A plan of which some components have been looked at.
#[derive(Debug, Clone)]
pub(super) struct PartialPlan {
    pub(super) tile: TileIndex,
    pub(super) next_component: u16,
    plan: TilePlan,
    /// For each number of discarded levels: how many tile-parts hold what is left then.
    reach: Vec<usize>,
}

impl TilePlan {
    /// Where tile-part `part` begins in the data-bin, and the length of the data-bin for one behind the last.
    pub(super) fn start_of(&self, part: usize) -> u64 {
        self.parts.iter().take(part).fold(0, |sum, part| sum.saturating_add(part.span.len))
    }

    /// Aux of the messages of a tile-part: a reader that discards fewer resolution levels than this needs them. What
    /// the standard means by it is not certain; this is how OpenJPIP reads it (digest 1.3), 1 for what only the
    /// full resolution needs.
    pub(super) fn aux(&self, part: usize) -> u64 {
        self.aux.get(part).copied().unwrap_or(1)
    }

    /// Number of tile-parts up to the one that holds a packet; all where that cannot be told, because the packet is
    /// absent, or is an empty one whose header lies in the main header.
    fn reach(&self, packet: &PacketParts) -> usize {
        let holds = |part: &TilePartSpan, offset| part.span.offset <= offset && offset < part.span.end();
        let found = packet.last().and_then(|last| self.parts.iter().position(|part| holds(part, last.offset)));
        found.map_or(self.parts.len(), |at| at + 1)
    }
}

impl OpenCodestream {
    /// The plan of a tile that the window meets, worked out now or before.
    ///
    /// # Errors
    ///
    /// As [`IndexedCodestream::packet`]; what was found before something is missing is kept.
    pub(super) fn tile_plan(
        &mut self,
        tile: TileIndex,
        wants: TileWants,
        index: &SparseBytes,
    ) -> Result<Arc<TilePlan>, OpenError> {
        if let Some(known) = self.plans.get(&tile.0) {
            return Ok(Arc::clone(known));
        }
        let view = self.codestream.tile(tile, index)?;
        let mut partial = match self.partial_plan.take().filter(|partial| partial.tile == tile) {
            Some(partial) => partial,
            None => {
                let plan = TilePlan { parts: self.codestream.tile_parts(tile, index)?, ..TilePlan::default() };
                // A tile of fewer levels than others shows its lowest one to whoever discards more.
                let own = view.geometry.coding().max_decomposition_levels();
                let levels = usize::from(own.max(self.codestream.header().max_decomposition_levels()));
                PartialPlan { tile, next_component: 0, plan, reach: vec![0; levels + 1] }
            }
        };
        let components = self.codestream.header().siz().component_count();
        while partial.next_component < components && !partial.is_settled(wants) {
            if let Err(error) = self.note_component(&mut partial, &view.geometry, wants, index) {
                self.partial_plan = Some(partial);
                return Err(error);
            }
            partial.next_component += 1;
        }
        let layers = view.geometry.coding().layers;
        let plan = Arc::new(partial.finish(self.is_whole(), layers, wants));
        if self.plans.len() >= MAX_PLANS {
            self.plans.clear();
        }
        self.plans.insert(tile.0, Arc::clone(&plan));
        Ok(plan)
    }

    fn note_component(
        &mut self,
        partial: &mut PartialPlan,
        geometry: &TileGeometry,
        wants: TileWants,
        index: &SparseBytes,
    ) -> Result<(), OpenError> {
        let (tile, component) = (partial.tile, partial.next_component);
        let layers = geometry.coding().layers;
        let codestream = Arc::clone(&self.codestream);
        let parts_count = partial.plan.parts.len();
        let reach = |plan: &TilePlan, sequence: u64, count: u16| -> Result<usize, OpenError> {
            let Some(layer) = count.checked_sub(1) else { return Ok(0) };
            // Where there is one tile-part, there is nothing to look up.
            if parts_count <= 1 {
                return Ok(parts_count);
            }
            Ok(plan.reach(&codestream.packet(tile, component, entry(sequence, layers, layer), index)?))
        };
        if self.wants_component(component) {
            let window = self.component_window(tile, component, index)?;
            for sequence in window.ranges.iter().filter_map(last_sequence) {
                let plan = &partial.plan;
                let (wanted, asked) = (wants.layers.wanted(layers), wants.layers.asked(layers));
                let needed = reach(plan, sequence, wanted)?;
                let without_quality = if asked == wanted { needed } else { reach(plan, sequence, asked)? };
                partial.plan.needed = partial.plan.needed.max(needed);
                partial.plan.without_quality = partial.plan.without_quality.max(without_quality);
            }
        }
        if wants.extended
            && let Some(part) = geometry.component(component)
        {
            for level in part.resolutions.iter().filter(|level| level.precinct_count() > 0) {
                let last = level.first_sequence.saturating_add(level.precinct_count() - 1);
                let found = reach(&partial.plan, last, layers)?;
                // The lowest level is there however many are discarded.
                let most = partial.reach.len().saturating_sub(1);
                let discarded = if level.level == 0 { most } else { usize::from(part.levels - level.level).min(most) };
                if let Some(reach) = partial.reach.get_mut(discarded) {
                    *reach = found.max(*reach);
                }
            }
        }
        Ok(())
    }
}

impl PartialPlan {
    /// Whether looking further changes nothing.
    fn is_settled(&self, wants: TileWants) -> bool {
        !self.plan.parts.is_empty() && self.plan.needed == self.plan.parts.len() && !wants.extended
    }

    fn finish(self, is_whole: bool, layers: u16, wants: TileWants) -> TilePlan {
        let mut plan = self.plan;
        // Tile-parts behind the last packet belong to the whole image all the same.
        if is_whole && wants.layers.wanted(layers) == layers {
            plan.needed = plan.parts.len();
        }
        plan.without_quality = plan.without_quality.max(plan.needed);
        if wants.extended {
            let needs = |part: usize| self.reach.iter().rposition(|&reach| reach > part).unwrap_or(0) as u64 + 1;
            plan.aux = (0..plan.parts.len()).map(needs).collect();
        }
        plan
    }
}

/// The index ranges of the packets that planning the component looks at.
pub(super) fn packets_looked_at(
    codestream: &IndexedCodestream,
    geometry: &TileGeometry,
    component: u16,
    (ranges, extended): (&[PrecinctRange], bool),
) -> Vec<Range<u64>> {
    let mut sequences: Vec<u64> = ranges.iter().filter_map(last_sequence).collect();
    if extended && let Some(part) = geometry.component(component) {
        let counted = part.resolutions.iter().filter(|level| level.precinct_count() > 0);
        sequences.extend(counted.map(|level| level.first_sequence.saturating_add(level.precinct_count() - 1)));
    }
    let (tile, layers) = (geometry.tile(), geometry.coding().layers);
    let mut found = Vec::new();
    for sequence in sequences {
        let precinct = sequence..sequence.saturating_add(1);
        found.push(codestream.packet_range(tile, component, precinct.clone(), layers));
        found.extend(codestream.packet_header_range(tile, component, precinct, layers));
    }
    found
}

/// Sequence number of the lower right precinct.
fn last_sequence(range: &PrecinctRange) -> Option<u64> {
    range.nth_sequence(range.len().checked_sub(1)?)
}

const fn entry(sequence: u64, layers: u16, layer: u16) -> u64 {
    sequence.saturating_mul(layers as u64).saturating_add(layer as u64)
}

/// Tiles whose plans are kept.
const MAX_PLANS: usize = 1024;
