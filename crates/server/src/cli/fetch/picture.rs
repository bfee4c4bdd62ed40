//! The window as samples: decoded, cut to the region, component by component.

use codestream::markers::Siz;
use openjpeg::{Component, DecodeParameters, Rect};

use super::region::Region;

/// The samples of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Left and upper edge on the reduced reference grid.
    origin: (u32, u32),
    components: Vec<Placed>,
}

/// A component with its place on its own reduced grid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    component: Component,
    x0: u32,
    y0: u32,
}

/// One plane of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) precision: u8,
    pub(super) signed: bool,
    pub(super) samples: Vec<i32>,
}

/// Decodes the region of a reassembled codestream.
///
/// # Errors
///
/// What the decoder refuses.
pub(super) fn decode(codestream: &[u8], siz: &Siz, region: &Region) -> anyhow::Result<Picture> {
    let area = area(siz, region);
    let parameters =
        DecodeParameters { reduce: region.discard_levels, area: Some(area), ..DecodeParameters::default() };
    let image = openjpeg::decode(codestream, &parameters)?;
    let shift = u32::from(region.discard_levels);
    let place = |component: Component| {
        let x0 = codestream::rect::ceil_shift(area.x0.div_ceil(component.dx.max(1)), shift);
        let y0 = codestream::rect::ceil_shift(area.y0.div_ceil(component.dy.max(1)), shift);
        Placed { component, x0, y0 }
    };
    Ok(Picture {
        width: region.x1 - region.x0,
        height: region.y1 - region.y0,
        origin: (region.x0, region.y0),
        components: image.components.into_iter().map(place).collect(),
    })
}

/// The region on the full-size reference grid, with the samples of sub-sampled components that cover its edges.
fn area(siz: &Siz, region: &Region) -> Rect {
    let columns = || siz.components.iter().map(|component| u32::from(component.xrsiz.max(1)));
    let rows = || siz.components.iter().map(|component| u32::from(component.yrsiz.max(1)));
    let full = |edge: u32| {
        let edge = u64::from(edge) << region.discard_levels.min(32);
        u32::try_from(edge).unwrap_or(u32::MAX)
    };
    let first = |edge: u32, steps: &mut dyn Iterator<Item = u32>| {
        full(steps.map(|step| edge - edge % step).min().unwrap_or(edge))
    };
    // OpenJPEG fails for an area in which a component has no sample, so the end moves as far as the widest step.
    let last =
        |edge: u32, steps: &mut dyn Iterator<Item = u32>| full(edge.saturating_add(steps.max().unwrap_or(1) - 1));
    Rect {
        x0: first(region.x0, &mut columns()).max(siz.xosiz),
        y0: first(region.y0, &mut rows()).max(siz.yosiz),
        x1: last(region.x1, &mut columns()).min(siz.xsiz),
        y1: last(region.y1, &mut rows()).min(siz.ysiz),
    }
}

impl Picture {
    pub(super) fn component_count(&self) -> usize {
        self.components.len()
    }

    /// Bits of the deepest component.
    pub(super) fn precision(&self) -> u8 {
        self.components.iter().map(|placed| placed.component.precision).max().unwrap_or(0)
    }

    /// The components at the size of the window; samples of sub-sampled ones are repeated over what they cover.
    pub(super) fn full_planes(&self) -> Vec<Plane> {
        let plane = |placed: &Placed| {
            let columns = covering(self.origin.0, self.width, placed.component.dx, placed.x0, placed.component.width);
            let rows = covering(self.origin.1, self.height, placed.component.dy, placed.y0, placed.component.height);
            placed.plane(&columns, &rows)
        };
        self.components.iter().map(plane).collect()
    }

    /// The components at their own sizes: the samples that cover the window.
    pub(super) fn own_planes(&self) -> Vec<Plane> {
        let plane = |placed: &Placed| {
            let mut columns =
                covering(self.origin.0, self.width, placed.component.dx, placed.x0, placed.component.width);
            let mut rows =
                covering(self.origin.1, self.height, placed.component.dy, placed.y0, placed.component.height);
            columns.dedup();
            rows.dedup();
            placed.plane(&columns, &rows)
        };
        self.components.iter().map(plane).collect()
    }
}

impl Placed {
    fn plane(&self, columns: &[usize], rows: &[usize]) -> Plane {
        let stride = self.component.width as usize;
        let mut samples = Vec::with_capacity(columns.len() * rows.len());
        for row in rows {
            let row = self.component.samples.get(row * stride..(row + 1) * stride).unwrap_or_default();
            samples.extend(columns.iter().map(|&column| row.get(column).copied().unwrap_or_default()));
        }
        Plane {
            width: u32::try_from(columns.len()).unwrap_or(u32::MAX),
            height: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            precision: self.component.precision,
            signed: self.component.signed,
            samples,
        }
    }
}

/// For each of `len` grid positions from `from`, which of a component's `count` samples, the first of which is
/// number `first`, covers it.
fn covering(from: u32, len: u32, step: u32, first: u32, count: u32) -> Vec<usize> {
    let last = count.saturating_sub(1);
    let sample = |position: u32| (position / step.max(1)).saturating_sub(first).min(last) as usize;
    (from..from.saturating_add(len)).map(sample).collect()
}

#[cfg(test)]
mod tests;
