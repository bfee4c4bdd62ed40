//! JPEG [10918-1]: sequential DCT of 8 and 12 bits, and lossless, both by Huffman codes.

mod bits;
mod dct;
mod huffman;
mod lossless;
mod markers;
mod sequential;
mod upsample;

use crate::{Error, Frame};
use markers::{Coding, Reader};

/// Decodes a frame; components of a lower resolution are brought to that of the frame.
///
/// # Errors
///
/// - [`Error::Malformed`] if it breaks the standard or ends too early.
/// - [`Error::Unsupported`] for progressive, hierarchical and arithmetic coding.
/// - [`Error::LimitExceeded`] if it has more samples than the limit.
pub fn decode(bytes: &[u8], limit: u64) -> Result<Frame, Error> {
    let mut reader = Reader::new(bytes)?;
    let header = reader.frame_header()?;
    let components = match header.coding {
        Coding::Sequential => sequential::decode(&mut reader, &header, limit)?,
        Coding::Lossless => lossless::decode(&mut reader, &header, limit)?,
    };
    let says_rgb = if components.len() == 3 { reader.says_rgb() } else { None };
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    Ok(Frame { width, height, precision: header.precision, says_rgb, components })
}
