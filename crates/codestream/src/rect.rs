//! Rectangles that know their coordinate space, and the two roundings of grid coordinates.
//!
//! The spaces are those of [15444-1 B.1-B.9]: the reference grid, a component's samples, the samples of
//! one resolution level of a tile-component, and the samples of one of its sub-bands.

use std::marker::PhantomData;

/// Coordinates of the reference grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceGrid {}

/// Samples of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ComponentGrid {}

/// Samples of one resolution level of a tile-component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResolutionGrid {}

/// Samples of one sub-band of a tile-component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BandGrid {}

/// A half-open rectangle `x0..x1`, `y0..y1` in the coordinates of `S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect<S> {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// One past the last column; exclusive.
    pub x1: u32,
    /// One past the last row; exclusive.
    pub y1: u32,
    space: PhantomData<S>,
}

impl<S> Rect<S> {
    /// The rectangle `x0..x1`, `y0..y1`; empty when an end does not exceed its start.
    #[must_use]
    pub const fn new(x0: u32, y0: u32, x1: u32, y1: u32) -> Self {
        Self { x0, y0, x1, y1, space: PhantomData }
    }

    /// Number of columns.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.x1.saturating_sub(self.x0)
    }

    /// Number of rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.y1.saturating_sub(self.y0)
    }

    /// Whether there is no sample inside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    /// Whether the sample at column `x`, row `y` is inside.
    #[must_use]
    pub const fn contains(&self, x: u32, y: u32) -> bool {
        self.x0 <= x && x < self.x1 && self.y0 <= y && y < self.y1
    }

    /// The samples that are in both; empty when there are none.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (x0, y0) = (self.x0.max(other.x0), self.y0.max(other.y0));
        Self::new(x0, y0, self.x1.min(other.x1).max(x0), self.y1.min(other.y1).max(y0))
    }
}

/// `ceil(value / divisor)`; a divisor of 0 counts as 1.
#[must_use]
pub const fn ceil_div(value: u32, divisor: u32) -> u32 {
    let divisor = if divisor == 0 { 1 } else { divisor };
    value.div_ceil(divisor)
}

/// `ceil(value / 2^shift)`, for any shift.
#[must_use]
pub const fn ceil_shift(value: u32, shift: u32) -> u32 {
    if shift >= u32::BITS {
        return (value != 0) as u32;
    }
    let whole = value >> shift;
    if whole << shift == value { whole } else { whole + 1 }
}

/// `floor(value / 2^shift)`, for any shift.
#[must_use]
pub const fn floor_shift(value: u32, shift: u32) -> u32 {
    if shift >= u32::BITS { 0 } else { value >> shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersections_are_never_inside_out() {
        let a = Rect::<ReferenceGrid>::new(0, 0, 10, 10);
        assert_eq!(a.intersect(&Rect::new(5, 6, 20, 20)), Rect::new(5, 6, 10, 10));
        let apart = a.intersect(&Rect::new(20, 20, 30, 30));
        assert!(apart.is_empty());
        assert_eq!((apart.width(), apart.height()), (0, 0));
        assert!(a.contains(9, 0) && !a.contains(10, 0));
    }

    #[test]
    fn roundings_hold_at_the_ends_of_32_bits() {
        assert_eq!(ceil_shift(u32::MAX, 1), 1 << 31);
        assert_eq!(ceil_shift(u32::MAX, 40), 1);
        assert_eq!(ceil_shift(0, 40), 0);
        assert_eq!(ceil_shift(5, 2), 2);
        assert_eq!(floor_shift(5, 32), 0);
        assert_eq!(ceil_div(u32::MAX, 255), u32::MAX / 255);
        assert_eq!(ceil_div(7, 0), 7);
    }
}
