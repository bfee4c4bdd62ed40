//! Samples as they come out of a decoder and go into an encoder.

use crate::error::Error;

/// An image: components on one reference grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Width in reference-grid samples, at the decoded resolution.
    pub width: u32,
    /// Height in reference-grid samples, at the decoded resolution.
    pub height: u32,
    /// Left edge on the reference grid, at the decoded resolution.
    pub x0: u32,
    /// Upper edge on the reference grid, at the decoded resolution.
    pub y0: u32,
    /// The components in codestream order.
    pub components: Vec<Component>,
}

/// One component of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Samples in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Reference-grid samples from one sample to the next in a row (`XRsiz`).
    pub dx: u32,
    /// Reference-grid samples from one row to the next (`YRsiz`).
    pub dy: u32,
    /// Bits of a sample, the sign included.
    pub precision: u8,
    /// Whether samples may be negative.
    pub signed: bool,
    /// The samples, row by row, `width * height` of them.
    pub samples: Vec<i32>,
}

impl Image {
    /// An image whose components all have its size, from interleaved samples (`c0 c1 … c0 c1 …`).
    ///
    /// `None` when the number of samples is not `width * height * components`.
    #[must_use]
    pub fn from_interleaved(
        width: u32,
        height: u32,
        components: u16,
        depth: (u8, bool),
        samples: &[i32],
    ) -> Option<Self> {
        let (precision, signed) = depth;
        let each = usize::try_from(u64::from(width) * u64::from(height)).ok()?;
        let count = usize::from(components);
        if count == 0 || each.checked_mul(count)? != samples.len() {
            return None;
        }
        let plane = |c: usize| samples.iter().skip(c).step_by(count).copied().collect();
        let component = |c| Component { width, height, dx: 1, dy: 1, precision, signed, samples: plane(c) };
        Some(Self { width, height, x0: 0, y0: 0, components: (0..count).map(component).collect() })
    }

    /// Checks that the components are what their spacing, depth and sign say; returns the right and the lower edge on
    /// the reference grid, outside.
    ///
    /// # Errors
    ///
    /// [`Error::Parameters`] says what contradicts itself.
    pub fn check(&self) -> Result<(u32, u32), Error> {
        let (Some(x1), Some(y1)) = (self.x0.checked_add(self.width), self.y0.checked_add(self.height)) else {
            return Err(Error::Parameters("the image reaches past the reference grid"));
        };
        if self.width == 0 || self.height == 0 || self.components.is_empty() || self.components.len() > 16_384 {
            return Err(Error::Parameters("the image is empty or has more than 16384 components"));
        }
        for component in &self.components {
            if component.dx == 0 || component.dy == 0 || !(1..=31).contains(&component.precision) {
                return Err(Error::Parameters("a component has no spacing, or not 1 to 31 bits"));
            }
            let width = x1.div_ceil(component.dx) - self.x0.div_ceil(component.dx);
            let height = y1.div_ceil(component.dy) - self.y0.div_ceil(component.dy);
            let fits = u64::from(width) * u64::from(height) == component.samples.len() as u64;
            if (component.width, component.height) != (width, height) || !fits {
                return Err(Error::Parameters("a component has not the size that its spacing gives"));
            }
            let bits = u32::from(component.precision);
            let range = if component.signed { -(1i64 << (bits - 1))..1i64 << (bits - 1) } else { 0..1i64 << bits };
            if component.samples.iter().any(|&sample| !range.contains(&i64::from(sample))) {
                return Err(Error::Parameters("a sample does not fit its component's depth"));
            }
        }
        Ok((x1, y1))
    }
}
