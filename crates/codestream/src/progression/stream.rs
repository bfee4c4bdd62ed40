//! The packets of one resolution level of one component, and where its precincts begin.

use super::PacketId;
use crate::geometry::{ResolutionLevel, TileGeometry};
use crate::rect::floor_shift;

/// One resolution level of one component that has precincts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) component: u16,
    pub(super) resolution: u8,
    /// First layer that no volume has given out yet.
    pub(super) next_layer: u16,
    pub(super) wide: u32,
    pub(super) high: u32,
    first_sequence: u64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// Where precinct columns or rows begin on the reference grid [15444-1 B.12.1.3].
///
/// A precinct comes at the reference grid point of its upper left corner; one that the tile's edge cuts
/// comes at that edge. Corners inside the tile are multiples of `step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    first: u32,
    /// Number of the first precinct on the precinct grid.
    number: u64,
    /// Distance of precincts, in reference grid samples.
    step: u64,
}

/// The streams of a tile, by component, then by resolution level.
pub(super) fn streams(geometry: &TileGeometry) -> Vec<Stream> {
    let mut streams = Vec::new();
    for component in 0..geometry.component_count() {
        let (Some(tile_component), Some(sampling)) = (geometry.component(component), geometry.sampling(component))
        else {
            continue;
        };
        for level in tile_component.resolutions.iter().filter(|level| level.precinct_count() > 0) {
            let discarded = tile_component.levels - level.level;
            streams.push(Stream::new(geometry, component, sampling, level, discarded));
        }
    }
    streams
}

impl Stream {
    fn new(
        geometry: &TileGeometry,
        component: u16,
        (xrsiz, yrsiz): (u8, u8),
        level: &ResolutionLevel,
        discarded: u8,
    ) -> Self {
        let tile = geometry.rect();
        Self {
            component,
            resolution: level.level,
            next_layer: 0,
            wide: level.precincts_wide,
            high: level.precincts_high,
            first_sequence: level.first_sequence,
            x: Axis::new(tile.x0, level.rect.x0, level.ppx, xrsiz, discarded),
            y: Axis::new(tile.y0, level.rect.y0, level.ppy, yrsiz, discarded),
        }
    }

    pub(super) fn packet(&self, px: u32, py: u32, layer: u16) -> PacketId {
        let inside = u64::from(py).saturating_mul(u64::from(self.wide)).saturating_add(u64::from(px));
        PacketId {
            layer,
            resolution: self.resolution,
            component: self.component,
            px,
            py,
            sequence: self.first_sequence.saturating_add(inside),
        }
    }
}

impl Axis {
    fn new(tile_start: u32, level_start: u32, exponent: u8, sampling: u8, discarded: u8) -> Self {
        // At most 8 + 15 + 32 bits.
        let step = u64::from(sampling) << (u32::from(exponent) + u32::from(discarded));
        let number = u64::from(floor_shift(level_start, u32::from(exponent)));
        let cut = number << exponent != u64::from(level_start);
        let first = if cut { tile_start } else { position(number, step) };
        Self { first, number, step }
    }

    /// Where precinct `index` of the level begins.
    pub(super) fn position(&self, index: u32) -> u32 {
        if index == 0 { self.first } else { position(self.number + u64::from(index), self.step) }
    }
}

/// Corners of precincts that exist lie inside the tile, so 32 bits hold them.
fn position(number: u64, step: u64) -> u32 {
    u32::try_from(number.saturating_mul(step)).unwrap_or(u32::MAX)
}
