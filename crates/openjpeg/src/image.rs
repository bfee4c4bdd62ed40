//! Samples as they come out of a decoder and go into an encoder.

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
}
