//! RLE [PS3.5 G]: segments of bytes, one for each byte of a sample, most significant first.

use crate::{Error, Frame, checked_samples};

/// Decodes a frame of `components` samples a pixel, of `bytes_allocated` bytes each.
///
/// # Errors
///
/// - [`Error`] if the segments are not as many and as long as they must be, or hold more samples than the limit.
pub fn decode(
    bytes: &[u8],
    (width, height): (u32, u32),
    components: usize,
    bytes_allocated: usize,
    limit: u64,
) -> Result<Frame, Error> {
    let each = checked_samples(width, height, components, limit)?;
    if !(1..=4).contains(&bytes_allocated) {
        return Err(Error::Unsupported("RLE of samples of more than four bytes"));
    }
    let offsets = header(bytes)?;
    if offsets.len() != components * bytes_allocated {
        return Err(Error::Malformed("the RLE segments are not one for each byte of a sample"));
    }
    let mut planes = vec![vec![0i32; each]; components];
    let ends = offsets.iter().skip(1).copied().chain([bytes.len()]);
    let segments = offsets.iter().copied().zip(ends);
    for (number, (start, end)) in segments.enumerate() {
        let segment = bytes.get(start..end).ok_or(Error::Malformed("an RLE segment that is not inside its frame"))?;
        let plane = planes.get_mut(number / bytes_allocated).ok_or(Error::Malformed("an RLE segment too many"))?;
        unpack(segment, plane)?;
    }
    let precision = u8::try_from(8 * bytes_allocated).unwrap_or(32);
    Ok(Frame { width, height, precision, says_rgb: None, components: planes })
}

/// Where the segments begin [PS3.5 G.5].
fn header(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    let header = bytes.get(..64).ok_or(Error::Malformed("an RLE frame without its header"))?;
    let mut numbers =
        header.chunks_exact(4).filter_map(|number| usize::try_from(u32::from_le_bytes(number.try_into().ok()?)).ok());
    let count = numbers.next().filter(|count| (1..=15).contains(count));
    let count = count.ok_or(Error::Malformed("an RLE header that names no segments, or too many"))?;
    Ok(numbers.take(count).collect())
}

/// Unpacks a segment [PS3.5 G.3.2] as the next byte of each sample; what it holds beyond them is padding.
fn unpack(segment: &[u8], plane: &mut [i32]) -> Result<(), Error> {
    const SHORT: Error = Error::Malformed("an RLE segment that ends too early");
    let put = |sample: &mut i32, byte: u8| *sample = sample.wrapping_shl(8) | i32::from(byte);
    let (mut samples, mut rest) = (plane, segment);
    while !samples.is_empty() {
        let (&head, after) = rest.split_first().ok_or(SHORT)?;
        rest = after;
        let head = i8::from_le_bytes([head]);
        if head == i8::MIN {
            continue;
        }
        let count = usize::from(head.unsigned_abs()) + 1;
        let (now, later) = samples.split_at_mut(count.min(samples.len()));
        samples = later;
        if head < 0 {
            let (&byte, after) = rest.split_first().ok_or(SHORT)?;
            rest = after;
            now.iter_mut().for_each(|sample| put(sample, byte));
        } else {
            let bytes = rest.get(..now.len()).ok_or(SHORT)?;
            now.iter_mut().zip(bytes).for_each(|(sample, &byte)| put(sample, byte));
            rest = rest.get(count..).unwrap_or_default();
        }
    }
    Ok(())
}
