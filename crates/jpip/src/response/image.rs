//! Where a response stands in the image data of one codestream, and which bytes of a precinct come next.
//!
//! The order makes every prefix of the response useful: quality layers outermost, then resolution levels
//! from the lowest, then components, then tiles and precincts by position. It is walked by counters; what a
//! tile-component contributes is worked out when the walk comes to it and kept while there is room.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use codestream::annex_i::{IndexedCodestream, OpenError};
use codestream::parts::SparseBytes;
use codestream::{Span, TileIndex};
use rangemap::RangeInclusiveSet;
use smallvec::SmallVec;

use super::tile_plan::{PartialPlan, TilePlan};
use crate::data_bin::CodestreamId;
use crate::target::Part;
use crate::view_window::{PrecinctRange, TileRange, ViewWindow};

/// A codestream that takes part in a response.
#[derive(Debug, Clone)]
pub(super) struct OpenCodestream {
    pub(super) id: CodestreamId,
    pub(super) codestream: Arc<IndexedCodestream>,
    /// The window, if image data are wanted.
    pub(super) window: Option<ViewWindow>,
    /// The tiles whose headers are sent.
    pub(super) tiles: TileRange,
    /// Components wanted; all if absent.
    pub(super) components: Option<Arc<RangeInclusiveSet<u64>>>,
    windows: HashMap<(u32, u16), Arc<ComponentWindow>>,
    /// What the window needs of tiles, by their numbers; in JPT-streams.
    pub(super) plans: HashMap<u32, Arc<TilePlan>>,
    pub(super) partial_plan: Option<PartialPlan>,
}

/// What the window needs of one tile-component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ComponentWindow {
    pub(super) layers: u16,
    pub(super) ranges: SmallVec<[PrecinctRange; 8]>,
}

/// Position in the walk over one codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ImageCursor {
    pub(super) slot: u16,
    pub(super) resolution: u8,
    pub(super) component: u16,
    /// Number within the window's tile range.
    pub(super) tile: u32,
    /// Number within the precinct range.
    pub(super) precinct: u64,
    /// Highest resolution level and number of slots met so far; final once the first sweep over the tiles is.
    top_resolution: u8,
    slots: u16,
    /// Slot and position from which on precincts are delivered with all of their layers.
    whole_from: Option<(u16, Position)>,
}

/// Resolution level, component, tile and precinct: where a sweep over the codestream stands.
type Position = (u8, u16, u32, u64);

/// The bytes that one step of the walk delivers of one precinct data-bin.
#[derive(Debug, Clone, Default)]
pub(super) struct PrecinctSlice {
    /// Where in the data-bin the parts begin.
    pub(super) start: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// Whether the data-bin ends there.
    pub(super) ends: bool,
    pub(super) parts: SmallVec<[Part; 2]>,
    /// Ends of all packets up to there.
    pub(super) layer_ends: SmallVec<[u64; 4]>,
}

impl OpenCodestream {
    pub(super) fn new(
        id: CodestreamId,
        codestream: Arc<IndexedCodestream>,
        window: Option<ViewWindow>,
        components: Option<Arc<RangeInclusiveSet<u64>>>,
    ) -> Self {
        let siz = codestream.header().siz();
        let tiles = window.as_ref().map_or_else(|| TileRange::all(siz), |window| window.tiles(siz));
        let (windows, plans) = (HashMap::new(), HashMap::new());
        Self { id, codestream, window, tiles, components, windows, plans, partial_plan: None }
    }

    /// Whether the whole image is wanted, at full size and with all components.
    pub(super) fn is_whole(&self) -> bool {
        let siz = self.codestream.header().siz();
        let last = u64::from(siz.component_count()).saturating_sub(1);
        self.window.is_some_and(|window| window.is_whole(siz))
            && self.components.as_ref().is_none_or(|wanted| wanted.gaps(&(0..=last)).next().is_none())
    }

    /// The `n`-th tile whose header is sent, if the window really meets it.
    pub(super) fn tile(&self, n: u32) -> Option<TileIndex> {
        let tile = self.tiles.tile(n)?;
        let meets = |window: &ViewWindow| window.meets(self.codestream.header().siz(), tile);
        self.window.as_ref().is_none_or(meets).then_some(tile)
    }

    pub(super) fn wants_component(&self, component: u16) -> bool {
        self.components.as_ref().is_none_or(|wanted| wanted.contains(&u64::from(component)))
    }

    /// What the window needs of a tile-component.
    pub(super) fn component_window(
        &mut self,
        tile: TileIndex,
        component: u16,
        index: &SparseBytes,
    ) -> Result<Arc<ComponentWindow>, OpenError> {
        if let Some(known) = self.windows.get(&(tile.0, component)) {
            return Ok(Arc::clone(known));
        }
        let geometry = self.codestream.tile(tile, index)?.geometry;
        let mut ranges = SmallVec::new();
        if let (Some(window), Some(part), Some(sampling)) =
            (&self.window, geometry.component(component), geometry.sampling(component))
        {
            ranges = window.precincts(&part, sampling);
        }
        let found = Arc::new(ComponentWindow { layers: geometry.coding().layers, ranges });
        if self.windows.len() >= MAX_WINDOWS {
            self.windows.clear();
        }
        self.windows.insert((tile.0, component), Arc::clone(&found));
        Ok(found)
    }

    /// Forgets what was worked out, when the walk has left the codestream.
    pub(super) fn release(&mut self) {
        self.windows = HashMap::new();
        self.plans = HashMap::new();
        self.partial_plan = None;
    }
}

impl ComponentWindow {
    pub(super) fn range(&self, resolution: u8) -> Option<&PrecinctRange> {
        self.ranges.iter().find(|range| range.resolution == resolution)
    }
}

impl ImageCursor {
    /// Notes what a tile-component has, so that the walk knows how far it goes.
    pub(super) fn note(&mut self, window: &ComponentWindow) {
        let top = window.ranges.iter().map(|range| range.resolution).max().unwrap_or(0);
        self.top_resolution = self.top_resolution.max(top);
        if !window.ranges.is_empty() {
            self.slots = self.slots.max(slot_count(window.layers));
        }
    }

    /// From here on, each precinct goes out with all the layers that are left of it.
    pub(super) fn deliver_whole(&mut self) {
        if self.whole_from.is_none() {
            self.whole_from = Some((self.slot, self.position()));
        }
    }

    /// The layers that the present visit delivers of a precinct that has so many.
    pub(super) fn layers(&self, layers: u16) -> Range<u16> {
        let of_slot = slot_layers(layers, self.slot);
        let Some((slot, position)) = self.whole_from.filter(|_| !of_slot.is_empty()) else { return of_slot };
        // What came before the change in its sweep is completed in the next one.
        let last_visit = if self.position() < position { slot.saturating_add(1) } else { slot };
        match self.slot.cmp(&last_visit) {
            Ordering::Less => of_slot,
            Ordering::Equal => of_slot.start..layers,
            Ordering::Greater => 0..0,
        }
    }

    const fn position(&self) -> Position {
        (self.resolution, self.component, self.tile, self.precinct)
    }

    /// On to the next tile of the sweep; false when the codestream is done.
    pub(super) fn next_tile(&mut self, tiles: u32, components: u16) -> bool {
        self.precinct = 0;
        self.tile += 1;
        if self.tile < tiles {
            return true;
        }
        self.tile = 0;
        self.next_component(components)
    }

    /// On to the next component; false when the codestream is done.
    pub(super) fn next_component(&mut self, components: u16) -> bool {
        (self.tile, self.precinct) = (0, 0);
        self.component += 1;
        if self.component < components {
            return true;
        }
        self.component = 0;
        self.resolution += 1;
        if self.resolution <= self.top_resolution {
            return true;
        }
        self.resolution = 0;
        self.slot += 1;
        self.slot < self.slots
    }
}

/// The packets that one visit of a precinct delivers: the layers `wanted` of `layers`, at most `max_layers`.
///
/// A packet so short that a message head would cost as much goes out with the one before it. `None` if the
/// visit brings nothing of this precinct. An absent packet ends the data-bin, whatever comes after it.
pub(super) fn precinct_slice(
    layers: u16,
    wanted: Range<u16>,
    max_layers: u16,
    packet: impl Fn(u16) -> Result<SmallVec<[Span; 2]>, OpenError>,
) -> Result<Option<PrecinctSlice>, OpenError> {
    let is_first = wanted.start == 0;
    let limit = layers.min(max_layers);
    if wanted.is_empty() || wanted.start >= limit {
        return Ok(None);
    }
    let mut slice = PrecinctSlice::default();
    let mut at = 0u64;
    let mut began = false;
    let mut layer = 0u16;
    loop {
        let spans = if layer < layers { packet(layer)? } else { SmallVec::new() };
        if spans.is_empty() {
            slice.ends = true;
            break;
        }
        if layer >= limit {
            break;
        }
        let len: u64 = spans.iter().map(|span| span.len).sum();
        let is_carried = layer > 0 && len <= CARRIED;
        if layer >= wanted.end && !is_carried {
            break;
        }
        let is_inside = if is_first { true } else { layer >= wanted.start && (began || !is_carried) };
        if is_inside {
            if !began {
                (slice.start, began) = (at, true);
            }
            slice.parts.extend(spans.into_iter().map(Part::Span));
        }
        at = at.saturating_add(len);
        slice.layer_ends.push(at);
        layer += 1;
    }
    // The end of an empty data-bin is told once, at the first visit.
    if !began && !is_first {
        return Ok(None);
    }
    slice.end = at;
    Ok(Some(slice))
}

/// Ends of the packets of a whole precinct data-bin, of which the last is its length.
pub(super) fn all_layer_ends(
    layers: u16,
    packet: impl Fn(u16) -> Result<SmallVec<[Span; 2]>, OpenError>,
) -> Result<Vec<u64>, OpenError> {
    let mut ends = Vec::new();
    let mut at = 0u64;
    for layer in 0..layers {
        let spans = packet(layer)?;
        if spans.is_empty() {
            break;
        }
        at = at.saturating_add(spans.iter().map(|span| span.len).sum());
        ends.push(at);
    }
    Ok(ends)
}

/// Steps in which the layers of a tile are delivered.
const fn slot_count(layers: u16) -> u16 {
    if layers < MAX_SLOTS { layers } else { MAX_SLOTS }
}

/// The layers of one step: one each, or as even a division as there is.
fn slot_layers(layers: u16, slot: u16) -> Range<u16> {
    let slots = u32::from(slot_count(layers));
    if u32::from(slot) >= slots {
        return 0..0;
    }
    let bound = |n: u32| u16::try_from(n * u32::from(layers) / slots).unwrap_or(u16::MAX);
    bound(u32::from(slot))..bound(u32::from(slot) + 1)
}

/// Steps at most, so that a bin of many layers is not scanned from its start for each of them.
const MAX_SLOTS: u16 = 32;

/// Length in bytes up to which a packet is carried along by the one before it.
const CARRIED: u64 = 8;

/// Tile-components whose windows are kept.
const MAX_WINDOWS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// A bin with packets of these lengths, 0 for an absent one, delivered slot by slot.
    fn slices(lengths: &[u64], max_layers: u16) -> Vec<(u64, u64, bool)> {
        let layers = lengths.len() as u16;
        let starts: Vec<u64> = lengths.iter().scan(0, |at, len| Some(std::mem::replace(at, *at + len))).collect();
        let packet = |layer: u16| {
            let (at, len) = (starts[usize::from(layer)], lengths[usize::from(layer)]);
            Ok(if len == 0 { SmallVec::new() } else { SmallVec::from_slice(&[Span::new(at, len)]) })
        };
        let mut found = Vec::new();
        for slot in 0..slot_count(layers) {
            if let Some(slice) = precinct_slice(layers, slot_layers(layers, slot), max_layers, packet).unwrap() {
                let len: u64 = slice.parts.iter().map(Part::len).sum();
                assert_eq!(len, slice.end - slice.start);
                found.push((slice.start, slice.end, slice.ends));
            }
        }
        found
    }

    #[test]
    fn each_layer_goes_out_once_and_short_packets_ride_along() {
        assert_eq!(slices(&[20], 9), [(0, 20, true)]);
        assert_eq!(slices(&[20, 30], 9), [(0, 20, false), (20, 50, true)]);
        assert_eq!(slices(&[20, 1, 30, 1, 1], 9), [(0, 21, false), (21, 53, true)]);
        assert_eq!(slices(&[1, 1, 1], 9), [(0, 3, true)]);
        assert_eq!(slices(&[20, 30, 40], 2), [(0, 20, false), (20, 50, false)]);
        assert_eq!(slices(&[20, 1, 40], 1), [(0, 20, false)]);
        assert_eq!(slices(&[20, 40], 0), []);
    }

    #[test]
    fn an_absent_packet_ends_the_data_bin() {
        assert_eq!(slices(&[20, 0, 40], 9), [(0, 20, true)]);
        assert_eq!(slices(&[0, 30], 9), [(0, 0, true)]);
        assert_eq!(slices(&[20, 0], 1), [(0, 20, true)]);
    }

    #[test]
    fn many_layers_go_out_in_a_few_steps() {
        let found = slices(&[10; 1000], 1000);
        assert_eq!(found.len(), 32);
        assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(found.last(), Some(&(9680, 10_000, true)));
    }
}
