//! Frames that are not JPEG 2000, to samples: native pixel data, RLE [PS3.5 G], JPEG [10918-1] and JPEG-LS [14495-1].
//!
//! Does: gives back exactly the samples that the standards define, or, where those leave a choice (the inverse DCT, the
//! interpolation of colour differences), those of the Independent JPEG Group's decoder, which other readers of DICOM
//! use. Samples are planar and unsigned as they were coded; what they mean is the caller's to know.
//!
//! Never: does I/O, converts colours, allocates by a number that it has not checked against the limit and the bytes
//! that are there, or makes up samples where bytes are missing.

mod error;
mod jpeg;
mod jpeg_ls;
mod native;
mod rle;

pub use error::Error;
pub use jpeg::decode as jpeg;
pub use jpeg_ls::decode as jpeg_ls;
pub use native::{Layout, decode as native};
pub use rle::decode as rle;

/// The samples of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Samples in a row of each component.
    pub width: u32,
    /// Rows of each component.
    pub height: u32,
    /// Bits of a sample, as coded.
    pub precision: u8,
    /// Whether the coded form itself says that its three components are red, green and blue, or luminance and colour
    /// differences; nothing where it does not say.
    pub says_rgb: Option<bool>,
    /// The components, each row by row.
    pub components: Vec<Vec<i32>>,
}

/// Samples of a frame of this size, if they are within the limit.
fn checked_samples(width: u32, height: u32, components: usize, limit: u64) -> Result<usize, Error> {
    if width == 0 || height == 0 || components == 0 {
        return Err(Error::Malformed("a frame without samples"));
    }
    let each = u64::from(width) * u64::from(height);
    let found = each.saturating_mul(components as u64);
    match usize::try_from(each) {
        Ok(each) if found <= limit => Ok(each),
        _ => Err(Error::LimitExceeded { found, limit }),
    }
}

#[cfg(test)]
mod tests;
