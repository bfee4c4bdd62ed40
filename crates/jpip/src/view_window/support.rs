//! Which precincts the samples of a region depend on [15444-1 F.3].
//!
//! The synthesis filters are separable, so each direction is worked out by itself. Two needs are joined for
//! each resolution level: the exact support of the wavelet, and the region widened by [`MARGIN`] samples in
//! the level's own grid, which deployed clients compute by themselves and wait for (clients.md 13).

use codestream::TileComponent;
use codestream::geometry::Orientation;
use codestream::markers::Wavelet;
use smallvec::SmallVec;

/// Precinct columns or rows of each resolution level, lowest first: first, and one past the last.
pub(super) type PrecinctIntervals = SmallVec<[(u32, u32); 8]>;

/// Precinct columns needed for the samples `x` (half open) of resolution level `top`.
pub(super) fn horizontal(component: &TileComponent, top: u8, x: (u64, u64)) -> PrecinctIntervals {
    let axis: SmallVec<[LevelAxis; 8]> = component
        .resolutions
        .iter()
        .map(|level| {
            let band =
                |wanted| level.bands.iter().find(|band| band.orientation == wanted).map(|b| (b.rect.x0, b.rect.x1));
            LevelAxis {
                samples: (level.rect.x0, level.rect.x1),
                low: band(Orientation::LH),
                high: band(Orientation::HL),
                exponent: level.ppx,
                precincts: level.precincts_wide,
            }
        })
        .collect();
    intervals(&axis, top, x, component.coding.wavelet)
}

/// Precinct rows needed for the samples `y` (half open) of resolution level `top`.
pub(super) fn vertical(component: &TileComponent, top: u8, y: (u64, u64)) -> PrecinctIntervals {
    let axis: SmallVec<[LevelAxis; 8]> = component
        .resolutions
        .iter()
        .map(|level| {
            let band =
                |wanted| level.bands.iter().find(|band| band.orientation == wanted).map(|b| (b.rect.y0, b.rect.y1));
            LevelAxis {
                samples: (level.rect.y0, level.rect.y1),
                low: band(Orientation::HL),
                high: band(Orientation::LH),
                exponent: level.ppy,
                precincts: level.precincts_high,
            }
        })
        .collect();
    intervals(&axis, top, y, component.coding.wavelet)
}

/// One direction of one resolution level.
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelAxis {
    /// Samples of the level.
    pub(super) samples: (u32, u32),
    /// Samples of the sub-band that is low-pass in this direction; none at the lowest level.
    pub(super) low: Option<(u32, u32)>,
    /// Samples of the sub-band that is high-pass in this direction.
    pub(super) high: Option<(u32, u32)>,
    /// Binary logarithm of the precinct size.
    pub(super) exponent: u8,
    /// Number of precincts.
    pub(super) precincts: u32,
}

pub(super) fn intervals(axis: &[LevelAxis], top: u8, wanted: (u64, u64), wavelet: Wavelet) -> PrecinctIntervals {
    let mut found: PrecinctIntervals = SmallVec::from_elem((0, 0), axis.len().min(usize::from(top) + 1));
    // Samples of the current level that the levels above depend on; empty once nothing is left of it.
    let mut support = wanted;
    for (depth, (level, slot)) in axis.iter().zip(&mut found).rev().enumerate() {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX).min(63);
        let region = (wanted.0 >> depth, wanted.1.div_ceil(1 << depth));
        let widened = clip((region.0.saturating_sub(MARGIN), region.1 + MARGIN), level.samples);
        let mut cells = level.cells(widened, level.exponent);
        match (level.low, level.high) {
            (Some(low), Some(high)) => {
                let (needed_low, needed_high) = if support.0 < support.1 {
                    let (low_part, high_part) = dependencies(support, wavelet);
                    (clip(low_part, low), clip(high_part, high))
                } else {
                    ((0, 0), (0, 0))
                };
                let halved = level.exponent.saturating_sub(1);
                cells = join(cells, join(level.cells(needed_low, halved), level.cells(needed_high, halved)));
                support = needed_low;
            }
            _ => cells = join(cells, level.cells(clip(support, level.samples), level.exponent)),
        }
        *slot = cells;
    }
    found
}

impl LevelAxis {
    /// Precincts that hold the half-open interval of band samples, whose precincts measure `2^exponent`.
    fn cells(&self, samples: (u64, u64), exponent: u8) -> (u32, u32) {
        if samples.0 >= samples.1 {
            return (0, 0);
        }
        let origin = u64::from(self.samples.0) >> self.exponent;
        let cell = |sample: u64| (sample >> exponent).saturating_sub(origin);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).min(self.precincts);
        (narrow(cell(samples.0)), narrow(cell(samples.1 - 1) + 1))
    }
}

/// The low-pass and high-pass coefficients that samples `u.0..u.1` depend on, half open, before clipping.
fn dependencies(u: (u64, u64), wavelet: Wavelet) -> ((u64, u64), (u64, u64)) {
    let (first, last) = (u.0 / 2, u.1 / 2);
    match wavelet {
        Wavelet::Reversible53 => ((first, last + 1), (first.saturating_sub(1), last + 1)),
        Wavelet::Irreversible97 => ((first.saturating_sub(1), last + 2), (first.saturating_sub(2), last + 2)),
    }
}

fn clip(interval: (u64, u64), bounds: (u32, u32)) -> (u64, u64) {
    (interval.0.max(u64::from(bounds.0)), interval.1.min(u64::from(bounds.1)))
}

/// The smallest interval that holds both; an empty one does not count.
fn join(a: (u32, u32), b: (u32, u32)) -> (u32, u32) {
    match (a.0 < a.1, b.0 < b.1) {
        (true, true) => (a.0.min(b.0), a.1.max(b.1)),
        (true, false) => a,
        _ => b,
    }
}

/// Samples on each side of the region, at every resolution level.
const MARGIN: u64 = 4;

#[cfg(test)]
mod tests;
