//! Tiles, resolution levels, sub-bands, precincts and code-blocks on their grids [15444-1 B.2-B.9], and
//! the numbers that JPIP gives to precincts [15444-9 A.3.2.1].
//!
//! Everything here is arithmetic on SIZ and COD; nothing is allocated in proportion to what is announced.

mod precinct_id;
mod resolution;

use std::sync::Arc;

pub use precinct_id::{PrecinctAddress, precinct_address, precinct_id};
pub use resolution::{CodeBlockGrid, Orientation, ResolutionLevel, Subband};
use smallvec::SmallVec;

use crate::main_header::TileCoding;
use crate::markers::{ComponentCoding, Siz, SizComponent};
use crate::rect::{ComponentGrid, Rect, ReferenceGrid, ceil_div};

/// A tile in raster order of the tile grid, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileIndex(pub u32);

/// One tile on the reference grid.
#[derive(Debug, Clone)]
pub struct TileGeometry {
    tile: TileIndex,
    rect: Rect<ReferenceGrid>,
    coding: Arc<TileCoding>,
    components: Arc<[SizComponent]>,
}

impl TileGeometry {
    /// The tile `tile` of `siz` with its coding; empty if there is no such tile.
    #[must_use]
    pub fn new(siz: &Siz, tile: TileIndex, coding: Arc<TileCoding>) -> Self {
        Self { tile, rect: siz.tile_rect(tile), coding, components: Arc::clone(&siz.components) }
    }

    /// Which tile this is.
    #[must_use]
    pub const fn tile(&self) -> TileIndex {
        self.tile
    }

    /// The tile's area on the reference grid.
    #[must_use]
    pub const fn rect(&self) -> Rect<ReferenceGrid> {
        self.rect
    }

    /// How the tile is coded.
    #[must_use]
    pub fn coding(&self) -> &TileCoding {
        &self.coding
    }

    /// How the tile is coded, to be kept.
    pub(crate) const fn shared_coding(&self) -> &Arc<TileCoding> {
        &self.coding
    }

    /// Csiz.
    #[must_use]
    pub fn component_count(&self) -> u16 {
        u16::try_from(self.components.len()).unwrap_or(Siz::MAX_COMPONENTS)
    }

    /// Horizontal and vertical sample distance of a component.
    #[must_use]
    pub fn sampling(&self, component: u16) -> Option<(u8, u8)> {
        self.components.get(usize::from(component)).map(|c| (c.xrsiz, c.yrsiz))
    }

    /// One component of the tile; computed by each call, so keep it.
    #[must_use]
    pub fn component(&self, component: u16) -> Option<TileComponent> {
        let (xrsiz, yrsiz) = self.sampling(component)?;
        let (dx, dy, area) = (u32::from(xrsiz), u32::from(yrsiz), self.rect);
        let rect =
            Rect::new(ceil_div(area.x0, dx), ceil_div(area.y0, dy), ceil_div(area.x1, dx), ceil_div(area.y1, dy));
        Some(TileComponent::new(rect, Arc::clone(self.coding.component(component))))
    }
}

/// One component of one tile.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TileComponent {
    /// The tile's samples of the component.
    pub rect: Rect<ComponentGrid>,
    /// Decomposition levels `N_L`.
    pub levels: u8,
    /// Resolution levels, lowest (LL) first, `levels + 1` of them.
    pub resolutions: SmallVec<[ResolutionLevel; 8]>,
    /// How it is coded.
    pub coding: Arc<ComponentCoding>,
}

impl TileComponent {
    /// The tile-component with samples `rect`.
    #[must_use]
    pub fn new(rect: Rect<ComponentGrid>, coding: Arc<ComponentCoding>) -> Self {
        let mut resolutions = SmallVec::new();
        let mut first_sequence = 0u64;
        for level in 0..=coding.levels {
            let resolution = ResolutionLevel::new(rect, &coding, level, first_sequence);
            first_sequence = first_sequence.saturating_add(resolution.precinct_count());
            resolutions.push(resolution);
        }
        Self { rect, levels: coding.levels, resolutions, coding }
    }

    /// Precincts over all resolution levels; saturates.
    #[must_use]
    pub fn precinct_count(&self) -> u64 {
        self.resolutions.last().map_or(0, |last| last.first_sequence.saturating_add(last.precinct_count()))
    }

    /// The resolution level `level`, 0 being the lowest.
    #[must_use]
    pub fn resolution(&self, level: u8) -> Option<&ResolutionLevel> {
        self.resolutions.get(usize::from(level))
    }

    /// Resolution level, column and row of the precinct with sequence number `sequence`.
    #[must_use]
    pub fn precinct(&self, sequence: u64) -> Option<(&ResolutionLevel, u32, u32)> {
        let after = self.resolutions.partition_point(|level| level.first_sequence <= sequence);
        let level = self.resolutions.get(after.checked_sub(1)?)?;
        let inside = sequence - level.first_sequence;
        if inside >= level.precinct_count() {
            return None;
        }
        let wide = u64::from(level.precincts_wide);
        let (px, py) = (inside % wide, inside / wide);
        Some((level, u32::try_from(px).ok()?, u32::try_from(py).ok()?))
    }
}

#[cfg(test)]
mod tests;
