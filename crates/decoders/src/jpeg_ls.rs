//! JPEG-LS [14495-1], lossless and near-lossless.

mod bits;
mod contexts;
mod markers;
mod scan;

use crate::{Error, Frame, checked_samples};
use markers::Reader;

/// Decodes a frame.
///
/// # Errors
///
/// - [`Error::Malformed`] if it breaks the standard or ends too early.
/// - [`Error::Unsupported`] for mapping tables, sub-sampled components and point transforms.
/// - [`Error::LimitExceeded`] if it has more samples than the limit.
pub fn decode(bytes: &[u8], limit: u64) -> Result<Frame, Error> {
    let mut reader = Reader::new(bytes)?;
    let header = reader.frame_header()?;
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    checked_samples(width, height, header.components.len(), limit)?;
    let mut components: Vec<Vec<i32>> = vec![Vec::new(); header.components.len()];
    while components.iter().any(Vec::is_empty) {
        let scan = reader.scan_header(&header)?;
        let (planes, end) = scan::decode(&reader, &header, &scan)?;
        reader.at = end;
        for (plane, &place) in planes.into_iter().zip(&scan.components) {
            match components.get_mut(place) {
                Some(component) if component.is_empty() => *component = plane,
                _ => return Err(Error::Malformed("a component that comes in two JPEG-LS scans")),
            }
        }
    }
    Ok(Frame { width, height, precision: header.precision, says_rgb: None, components })
}
