//! View-windows: from a requested frame size and region to tiles and precincts [15444-9 C.4].
//!
//! Everything is interval arithmetic: a window is a rectangle of tiles, and in each tile-component a
//! rectangle of precincts for each resolution level. No loop runs over samples or precincts.

pub mod placement;
mod support;

use codestream::markers::Siz;
use codestream::{Rect, TileComponent, TileIndex};
use smallvec::SmallVec;

use crate::request::window::{FrameSize, Rounding, SamplePair};

/// Coordinates of the reference grid divided by a power of two, rounded up: the image at a reduced size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReducedGrid {}

/// A view-window mapped onto one codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewWindow {
    /// Resolution levels left out: 0 is full size.
    pub discard_levels: u8,
    /// Width and height of the image at that size.
    pub frame: (u32, u32),
    /// Upper left corner of the region in that frame.
    pub offset: (u32, u32),
    /// Width and height of the region; both 0 if nothing is inside.
    pub size: (u32, u32),
    /// The region on the reduced reference grid.
    pub region: Rect<ReducedGrid>,
}

/// A rectangle of the tile grid, both ends half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileRange {
    /// First column and one past the last.
    pub columns: (u32, u32),
    /// First row and one past the last.
    pub rows: (u32, u32),
    across: u32,
}

/// The precincts of one resolution level that a window needs: a rectangle, both ends half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrecinctRange {
    /// Resolution level, 0 = lowest.
    pub resolution: u8,
    /// First column and one past the last.
    pub columns: (u32, u32),
    /// First row and one past the last.
    pub rows: (u32, u32),
    /// Precincts in a whole row of the level.
    pub wide: u32,
    /// Sequence number of the level's first precinct.
    pub first_sequence: u64,
}

impl ViewWindow {
    /// The window that `fsiz`, `roff` and `rsiz` ask for, on a codestream that can leave out up to
    /// `max_discard` resolution levels [15444-9 C.4.2-C.4.4].
    #[must_use]
    pub fn map(
        fsiz: FrameSize,
        roff: Option<SamplePair>,
        rsiz: Option<SamplePair>,
        siz: &Siz,
        max_discard: u8,
    ) -> Self {
        let discard_levels = choose_discard_levels(fsiz, siz, max_discard);
        let frame = siz.reduced_size(discard_levels);
        let roff = roff.unwrap_or(SamplePair { x: 0, y: 0 });
        let (x, width) = map_interval(roff.x, rsiz.map(|size| size.x), fsiz.width, frame.0);
        let (y, height) = map_interval(roff.y, rsiz.map(|size| size.y), fsiz.height, frame.1);
        let size = if width == 0 || height == 0 { (0, 0) } else { (width, height) };
        Self::new(discard_levels, (x, y), size, siz)
    }

    /// The whole image at full size.
    #[must_use]
    pub fn whole(siz: &Siz) -> Self {
        Self::new(0, (0, 0), siz.reduced_size(0), siz)
    }

    fn new(discard_levels: u8, offset: (u32, u32), size: (u32, u32), siz: &Siz) -> Self {
        let x0 = ceil_shift(siz.xosiz, discard_levels).saturating_add(offset.0);
        let y0 = ceil_shift(siz.yosiz, discard_levels).saturating_add(offset.1);
        let region = Rect::new(x0, y0, x0.saturating_add(size.0), y0.saturating_add(size.1));
        Self { discard_levels, frame: siz.reduced_size(discard_levels), offset, size, region }
    }

    /// Whether no sample is inside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// Whether the window is the whole image at full size.
    #[must_use]
    pub fn is_whole(&self, siz: &Siz) -> bool {
        *self == Self::whole(siz)
    }

    /// The tiles that may hold samples of the window; [`Self::meets`] decides on each.
    #[must_use]
    pub fn tiles(&self, siz: &Siz) -> TileRange {
        let across = siz.tiles_across();
        if self.is_empty() {
            return TileRange { columns: (0, 0), rows: (0, 0), across };
        }
        // A sub-sampled component's sample may lie to the left of, or above, the region that it covers.
        let step_x = siz.components.iter().map(|c| c.xrsiz).max().unwrap_or(1);
        let step_y = siz.components.iter().map(|c| c.yrsiz).max().unwrap_or(1);
        let columns = |from: u32, to: u32, step: u8, origin: u32, size: u32, count: u32| {
            let back = u64::from(step).saturating_sub(1);
            let position = |x: u64| (x << self.discard_levels).saturating_sub(u64::from(origin));
            let first = position(u64::from(from).saturating_sub(back)) / u64::from(size.max(1));
            let last = position(u64::from(to).saturating_sub(1)) / u64::from(size.max(1));
            let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).min(count);
            (narrow(first), narrow(last.saturating_add(1)))
        };
        TileRange {
            columns: columns(self.region.x0, self.region.x1, step_x, siz.xtosiz, siz.xtsiz, across),
            rows: columns(self.region.y0, self.region.y1, step_y, siz.ytosiz, siz.ytsiz, siz.tiles_down()),
            across,
        }
    }

    /// Whether a tile holds samples of the window, of the image or of one of its components.
    #[must_use]
    pub fn meets(&self, siz: &Siz, tile: TileIndex) -> bool {
        let area = siz.tile_rect(tile);
        let shift = self.discard_levels;
        let inside = |from: u32, to: u32, lo: u32, hi: u32, step: u8| {
            let (first, last) = (scale(from, step, false), scale(to, step, true));
            let divisor = u64::from(step.max(1));
            let low = ceil_div_shift(lo, divisor, shift).max(first);
            let high = ceil_div_shift(hi, divisor, shift).min(last);
            low < high
        };
        let region = self.region;
        let touches = |x_step: u8, y_step: u8| {
            inside(region.x0, region.x1, area.x0, area.x1, x_step)
                && inside(region.y0, region.y1, area.y0, area.y1, y_step)
        };
        if self.is_empty() {
            return false;
        }
        touches(1, 1) || siz.components.iter().any(|c| (c.xrsiz > 1 || c.yrsiz > 1) && touches(c.xrsiz, c.yrsiz))
    }

    /// The precincts of a tile-component that the window needs, the lowest resolution level first; levels
    /// without any are left out. `sampling` is the component's sample distance,
    /// horizontally and vertically.
    #[must_use]
    pub fn precincts(&self, component: &TileComponent, sampling: (u8, u8)) -> SmallVec<[PrecinctRange; 8]> {
        let mut found = SmallVec::new();
        let discarded = self.discard_levels.min(component.levels);
        let top = component.levels - discarded;
        let Some(resolution) = component.resolution(top) else { return found };
        // A component with fewer levels than are left out stays at its lowest one, which is finer than the
        // window's grid.
        let finer = self.discard_levels - discarded;
        let needed = |from: u32, to: u32, step: u8, bounds: (u32, u32)| {
            let step = u64::from(step.max(1));
            let first = (u64::from(from) << finer) / step;
            let last = (u64::from(to) << finer).div_ceil(step);
            (first.max(u64::from(bounds.0)), last.min(u64::from(bounds.1)))
        };
        let rect = resolution.rect;
        let x = needed(self.region.x0, self.region.x1, sampling.0, (rect.x0, rect.x1));
        let y = needed(self.region.y0, self.region.y1, sampling.1, (rect.y0, rect.y1));
        if x.0 >= x.1 || y.0 >= y.1 || self.is_empty() {
            return found;
        }
        let columns = support::horizontal(component, top, x);
        let rows = support::vertical(component, top, y);
        for ((level, columns), rows) in component.resolutions.iter().zip(columns).zip(rows) {
            if columns.0 < columns.1 && rows.0 < rows.1 {
                found.push(PrecinctRange {
                    resolution: level.level,
                    columns,
                    rows,
                    wide: level.precincts_wide,
                    first_sequence: level.first_sequence,
                });
            }
        }
        found
    }
}

impl TileRange {
    /// All tiles of the grid.
    #[must_use]
    pub fn all(siz: &Siz) -> Self {
        let across = siz.tiles_across();
        Self { columns: (0, across), rows: (0, siz.tiles_down()), across }
    }

    /// Number of tiles.
    #[must_use]
    pub const fn len(&self) -> u32 {
        let wide = self.columns.1.saturating_sub(self.columns.0);
        wide.saturating_mul(self.rows.1.saturating_sub(self.rows.0))
    }

    /// Whether there is no tile.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `n`-th tile in raster order, from 0.
    #[must_use]
    pub fn tile(&self, n: u32) -> Option<TileIndex> {
        if n >= self.len() {
            return None;
        }
        let wide = self.columns.1 - self.columns.0;
        let (column, row) = (self.columns.0 + n % wide, self.rows.0 + n / wide);
        row.checked_mul(self.across)?.checked_add(column).map(TileIndex)
    }
}

impl PrecinctRange {
    /// Number of precincts.
    #[must_use]
    pub fn len(&self) -> u64 {
        let wide = u64::from(self.columns.1.saturating_sub(self.columns.0));
        wide * u64::from(self.rows.1.saturating_sub(self.rows.0))
    }

    /// Whether there is no precinct.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sequence number of the precinct in column `px`, row `py` of the level.
    #[must_use]
    pub fn sequence(&self, px: u32, py: u32) -> u64 {
        let inside = u64::from(py).saturating_mul(u64::from(self.wide)).saturating_add(u64::from(px));
        self.first_sequence.saturating_add(inside)
    }

    /// The `n`-th precinct in raster order, from 0: its sequence number.
    #[must_use]
    pub fn nth_sequence(&self, n: u64) -> Option<u64> {
        if n >= self.len() {
            return None;
        }
        let wide = u64::from(self.columns.1 - self.columns.0);
        let px = u64::from(self.columns.0) + n % wide;
        let py = u64::from(self.rows.0) + n / wide;
        Some(self.sequence(u32::try_from(px).ok()?, u32::try_from(py).ok()?))
    }
}

/// The three ways to round a requested frame size [15444-9 C.4.2]. Sizes at which nothing is left of the
/// image are not available.
fn choose_discard_levels(fsiz: FrameSize, siz: &Siz, max_discard: u8) -> u8 {
    let size = |discard: u8| siz.reduced_size(discard);
    let is_image = |discard: &u8| {
        let (width, height) = size(*discard);
        width > 0 && height > 0
    };
    let smallest = (0..=max_discard).rev().find(is_image).unwrap_or(0);
    let mut available = 0..=smallest;
    match fsiz.rounding {
        Rounding::Down => available
            .find(|&discard| {
                let (width, height) = size(discard);
                width <= fsiz.width && height <= fsiz.height
            })
            .unwrap_or(smallest),
        Rounding::Up => available
            .rev()
            .find(|&discard| {
                let (width, height) = size(discard);
                width >= fsiz.width && height >= fsiz.height
            })
            .unwrap_or(0),
        Rounding::Closest => {
            let wanted = u64::from(fsiz.width) * u64::from(fsiz.height);
            let distance = |discard: &u8| {
                let (width, height) = size(*discard);
                (u64::from(width) * u64::from(height)).abs_diff(wanted)
            };
            // The first of equals is the larger image.
            available.min_by_key(distance).unwrap_or(0)
        }
    }
}

/// One direction of the region: from the requested frame of `requested` samples to one of `available`.
fn map_interval(offset: u32, size: Option<u32>, requested: u32, available: u32) -> (u32, u32) {
    let (requested, available) = (u64::from(requested.max(1)), u64::from(available));
    let first = (u64::from(offset) * available / requested).min(available);
    if u64::from(offset) >= requested || size == Some(0) {
        return (u32::try_from(first).unwrap_or(u32::MAX), 0);
    }
    let end = match size {
        None => available,
        Some(size) => {
            let end = u128::from(offset) + u128::from(size);
            let scaled = (end * u128::from(available)).div_ceil(u128::from(requested));
            u64::try_from(scaled).unwrap_or(u64::MAX).min(available)
        }
    };
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (narrow(first), narrow(end.saturating_sub(first)))
}

fn ceil_shift(value: u32, shift: u8) -> u32 {
    codestream::rect::ceil_shift(value, u32::from(shift))
}

/// `value / step`, rounded down for the start of an interval and up for its end.
fn scale(value: u32, step: u8, up: bool) -> u64 {
    let step = u64::from(step.max(1));
    if up { u64::from(value).div_ceil(step) } else { u64::from(value) / step }
}

/// `ceil(ceil(value / divisor) / 2^shift)`.
fn ceil_div_shift(value: u32, divisor: u64, shift: u8) -> u64 {
    let whole = u64::from(value).div_ceil(divisor.max(1));
    whole.div_ceil(1u64 << shift.min(63))
}

#[cfg(test)]
mod tests;
