//! Native pixel data [PS3.5 8.1, PS3.3 C.7.6.3.1]: samples as they lie, in little-endian order.

use crate::{Error, Frame, checked_samples};

/// How the samples of a native frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Samples of a pixel.
    pub components: usize,
    /// Bits Allocated: 1, or 8 to 32 in whole bytes.
    pub bits_allocated: u16,
    /// Planar Configuration 1: each component by itself.
    pub planar: bool,
    /// `YBR_FULL_422` [PS3.3 C.7.6.3.1.2]: of two pixels in a row two luminances, then the colour differences of both.
    pub halved: bool,
}

impl Layout {
    /// Bits of a whole frame; `None` beyond what can be counted.
    #[must_use]
    pub fn frame_bits(&self, width: u32, height: u32) -> Option<u64> {
        let pixels = u64::from(width).checked_mul(u64::from(height))?;
        let samples = if self.halved { pixels.checked_mul(2)? } else { pixels.checked_mul(self.components as u64)? };
        samples.checked_mul(u64::from(self.bits_allocated))
    }
}

/// Unpacks a frame that begins `first_bit` bits into `bytes`.
///
/// # Errors
///
/// - [`Error`] if there are not as many bytes as the frame needs, it has more samples than the limit, or the layout is
///   none that exists.
pub fn decode(
    bytes: &[u8],
    first_bit: u32,
    (width, height): (u32, u32),
    layout: &Layout,
    limit: u64,
) -> Result<Frame, Error> {
    let each = checked_samples(width, height, layout.components, limit)?;
    let bits = layout.frame_bits(width, height).and_then(|bits| bits.checked_add(u64::from(first_bit)));
    if bits.is_none_or(|bits| bits.div_ceil(8) > bytes.len() as u64) {
        return Err(Error::Malformed("the pixel data are shorter than their frames"));
    }
    let samples: Box<dyn Iterator<Item = i32> + '_> = match layout.bits_allocated {
        1 => Box::new(bits_of(bytes, first_bit)),
        bits @ (8 | 16 | 24 | 32) => Box::new(bytes.chunks_exact(usize::from(bits / 8)).map(little_endian)),
        _ => return Err(Error::Unsupported("a number of allocated bits other than 1, 8, 16, 24 and 32")),
    };
    let components = match layout {
        Layout { halved: true, components: 3, planar: false, bits_allocated: 8 } => doubled(samples, width, each)?,
        Layout { halved: true, .. } => return Err(Error::Unsupported("this form of YBR_FULL_422")),
        Layout { planar: true, components, .. } => {
            let all: Vec<i32> = samples.take(each * components).collect();
            all.chunks_exact(each).map(<[i32]>::to_vec).collect()
        }
        Layout { components, .. } => {
            let mut planes = vec![Vec::with_capacity(each); *components];
            let mut samples = samples.take(each * components);
            for _ in 0..each {
                planes.iter_mut().zip(&mut samples).for_each(|(plane, sample)| plane.push(sample));
            }
            planes
        }
    };
    let precision = u8::try_from(layout.bits_allocated).unwrap_or(32);
    Ok(Frame { width, height, precision, says_rgb: None, components })
}

/// The colour differences of two pixels stand for both.
fn doubled(mut samples: impl Iterator<Item = i32>, width: u32, each: usize) -> Result<Vec<Vec<i32>>, Error> {
    if !width.is_multiple_of(2) {
        return Err(Error::Unsupported("YBR_FULL_422 with an odd number of columns"));
    }
    let mut planes: Vec<_> = (0..3).map(|_| Vec::with_capacity(each)).collect();
    for _ in 0..each / 2 {
        let [Some(first), Some(second), Some(blue), Some(red)] = [(); 4].map(|()| samples.next()) else { break };
        let values = [[first, second], [blue, blue], [red, red]];
        planes.iter_mut().zip(values).for_each(|(plane, pair)| plane.extend(pair));
    }
    Ok(planes)
}

/// Samples of one bit, the first in the least significant bit [PS3.5 8.1.1].
fn bits_of(bytes: &[u8], first_bit: u32) -> impl Iterator<Item = i32> + '_ {
    let bits = bytes.iter().flat_map(|&byte| (0..8).map(move |bit| i32::from(byte >> bit & 1)));
    bits.skip(first_bit as usize)
}

fn little_endian(bytes: &[u8]) -> i32 {
    bytes.iter().rev().fold(0, |number: i32, &byte| number.wrapping_shl(8) | i32::from(byte))
}
