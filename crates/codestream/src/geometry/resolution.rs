//! Resolution levels, their sub-bands, precincts and code-blocks [15444-1 B.5-B.7].

use smallvec::SmallVec;

use crate::markers::ComponentCoding;
use crate::rect::{BandGrid, ComponentGrid, Rect, ResolutionGrid, ceil_shift, floor_shift};

/// Which filters made a sub-band: first letter horizontal, second vertical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// Low-pass both ways; only at resolution level 0.
    LL,
    /// High-pass horizontally.
    HL,
    /// High-pass vertically.
    LH,
    /// High-pass both ways.
    HH,
}

/// One sub-band of a resolution level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subband {
    /// Which one.
    pub orientation: Orientation,
    /// The tile-component's samples of it.
    pub rect: Rect<BandGrid>,
}

/// One resolution level of a tile-component.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResolutionLevel {
    /// Its number; 0 is the lowest.
    pub level: u8,
    /// The tile-component's samples at this level.
    pub rect: Rect<ResolutionGrid>,
    /// Binary logarithm of the precinct width, in samples of this level.
    pub ppx: u8,
    /// Binary logarithm of the precinct height.
    pub ppy: u8,
    /// Precincts in a row; 0 for an empty level.
    pub precincts_wide: u32,
    /// Precincts in a column; 0 for an empty level.
    pub precincts_high: u32,
    /// Sequence number of its first precinct in the tile-component [15444-9 A.3.2.1].
    pub first_sequence: u64,
    /// LL at level 0, else HL, LH, HH in the order of their code-blocks in a packet.
    pub bands: SmallVec<[Subband; 3]>,
    /// Binary logarithm of the largest code-block width in a sub-band of this level.
    xcb: u8,
    ycb: u8,
}

/// The code-blocks of one precinct in one sub-band, counted on the sub-band's code-block grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeBlockGrid {
    /// Code-blocks in a row.
    pub wide: u32,
    /// Code-blocks in a column.
    pub high: u32,
    /// Grid column of the first.
    pub first_x: u32,
    /// Grid row of the first.
    pub first_y: u32,
}

impl ResolutionLevel {
    /// Level `level` of the tile-component with samples `component`.
    pub(super) fn new(
        component: Rect<ComponentGrid>,
        coding: &ComponentCoding,
        level: u8,
        first_sequence: u64,
    ) -> Self {
        let shift = u32::from(coding.levels.saturating_sub(level));
        let rect = Rect::<ResolutionGrid>::new(
            ceil_shift(component.x0, shift),
            ceil_shift(component.y0, shift),
            ceil_shift(component.x1, shift),
            ceil_shift(component.y1, shift),
        );
        let (ppx, ppy) = coding.precinct_exponents(level);
        let along = |from: u32, to: u32, exponent: u8| {
            ceil_shift(to, u32::from(exponent)) - floor_shift(from, u32::from(exponent))
        };
        let (mut wide, mut high) = (0, 0);
        if !rect.is_empty() {
            (wide, high) = (along(rect.x0, rect.x1, ppx), along(rect.y0, rect.y1, ppy));
        }
        let orientations: &[Orientation] =
            if level == 0 { &[Orientation::LL] } else { &[Orientation::HL, Orientation::LH, Orientation::HH] };
        let bands = orientations.iter().map(|&o| Subband::new(component, coding.levels, level, o)).collect();
        let halved = u8::from(level > 0);
        Self {
            level,
            rect,
            ppx,
            ppy,
            precincts_wide: wide,
            precincts_high: high,
            first_sequence,
            bands,
            xcb: coding.xcb.min(ppx.saturating_sub(halved)),
            ycb: coding.ycb.min(ppy.saturating_sub(halved)),
        }
    }

    /// Precincts of this level; saturates.
    #[must_use]
    pub fn precinct_count(&self) -> u64 {
        u64::from(self.precincts_wide).saturating_mul(u64::from(self.precincts_high))
    }

    /// The precinct in column `px`, row `py`, in samples of this level.
    #[must_use]
    pub fn precinct_rect(&self, px: u32, py: u32) -> Rect<ResolutionGrid> {
        let (x0, x1) = cell(self.rect.x0, self.ppx, px, self.ppx, (self.rect.x0, self.rect.x1));
        let (y0, y1) = cell(self.rect.y0, self.ppy, py, self.ppy, (self.rect.y0, self.rect.y1));
        Rect::new(x0, y0, x1, y1)
    }

    /// The samples of `band` that the precinct in column `px`, row `py` holds; may be empty.
    #[must_use]
    pub fn precinct_in_band(&self, band: &Subband, px: u32, py: u32) -> Rect<BandGrid> {
        let halved = u8::from(self.level > 0);
        let (wide, high) = (self.ppx.saturating_sub(halved), self.ppy.saturating_sub(halved));
        let (x0, x1) = cell(self.rect.x0, self.ppx, px, wide, (band.rect.x0, band.rect.x1));
        let (y0, y1) = cell(self.rect.y0, self.ppy, py, high, (band.rect.y0, band.rect.y1));
        Rect::new(x0, y0, x1, y1)
    }

    /// All code-blocks of `band`.
    #[must_use]
    pub fn all_code_blocks(&self, band: &Subband) -> CodeBlockGrid {
        self.code_blocks_in(band.rect)
    }

    /// The code-blocks of `band` in the precinct in column `px`, row `py`.
    #[must_use]
    pub fn code_blocks(&self, band: &Subband, px: u32, py: u32) -> CodeBlockGrid {
        self.code_blocks_in(self.precinct_in_band(band, px, py))
    }

    fn code_blocks_in(&self, rect: Rect<BandGrid>) -> CodeBlockGrid {
        let (xcb, ycb) = (u32::from(self.xcb), u32::from(self.ycb));
        let (first_x, first_y) = (floor_shift(rect.x0, xcb), floor_shift(rect.y0, ycb));
        if rect.is_empty() {
            return CodeBlockGrid { wide: 0, high: 0, first_x, first_y };
        }
        let (wide, high) = (ceil_shift(rect.x1, xcb) - first_x, ceil_shift(rect.y1, ycb) - first_y);
        CodeBlockGrid { wide, high, first_x, first_y }
    }
}

impl Subband {
    /// A sub-band of level `level` [15444-1 B-15].
    fn new(component: Rect<ComponentGrid>, levels: u8, level: u8, orientation: Orientation) -> Self {
        let depth = if level == 0 { levels } else { levels.saturating_sub(level) + 1 };
        let (high_x, high_y) = match orientation {
            Orientation::LL => (false, false),
            Orientation::HL => (true, false),
            Orientation::LH => (false, true),
            Orientation::HH => (true, true),
        };
        let at = |value: u32, high: bool| {
            // Beyond 32 bits half a period exceeds every coordinate, so that the difference is 0 or less.
            let half = if high { 1u64.checked_shl(u32::from(depth) - 1).unwrap_or(u64::MAX) } else { 0 };
            let shifted = u64::from(value).saturating_sub(half).div_ceil(1u64 << depth);
            u32::try_from(shifted).unwrap_or(u32::MAX)
        };
        let rect = Rect::new(
            at(component.x0, high_x),
            at(component.y0, high_y),
            at(component.x1, high_x),
            at(component.y1, high_y),
        );
        Self { orientation, rect }
    }
}

/// Cell `index` of a precinct grid, counted from the cell that holds `start`, as an interval inside `clip`.
///
/// The grid has cells of `2^exponent` in the samples of `start` and of `2^size` in those of `clip`.
fn cell(start: u32, exponent: u8, index: u32, size: u8, clip: (u32, u32)) -> (u32, u32) {
    let number = u64::from(floor_shift(start, u32::from(exponent))) + u64::from(index);
    let (from, to) = (number << size, (number + 1) << size);
    let bound = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).clamp(clip.0, clip.1.max(clip.0));
    (bound(from), bound(to))
}
