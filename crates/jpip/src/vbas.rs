//! Variable-length byte-aligned segments: how JPIP writes numbers [15444-9 A.2.1].

use thiserror::Error;

/// Longest form that is accepted; a 64-bit value needs no more.
pub const MAX_VBAS_LEN: usize = 10;

/// Why a variable-length number was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VbasError {
    /// More than [`MAX_VBAS_LEN`] bytes carry the continuation bit.
    #[error("a variable-length number is longer than {MAX_VBAS_LEN} bytes")]
    TooLong,
    /// The value does not fit 64 bits.
    #[error("a variable-length number does not fit 64 bits")]
    Overflow,
}

/// Appends `value`: seven bits a byte, most significant group first, no leading zero groups.
pub fn encode_vbas(value: u64, out: &mut Vec<u8>) {
    for group in (0..vbas_len(value)).rev() {
        let continuation = if group == 0 { 0 } else { 0x80 };
        out.push(low_seven_bits(value >> (7 * group)) | continuation);
    }
}

/// Number of bytes that [`encode_vbas`] writes for `value`, 1 to 10.
#[must_use]
pub const fn vbas_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// The number at the start of `bytes` and the bytes it takes, or `None` when they end inside it.
///
/// Leading zero groups are accepted.
///
/// # Errors
///
/// - [`VbasError::TooLong`] if it has more than [`MAX_VBAS_LEN`] bytes.
/// - [`VbasError::Overflow`] if the value does not fit 64 bits.
pub fn decode_vbas(bytes: &[u8]) -> Result<Option<(u64, usize)>, VbasError> {
    continue_vbas(0, bytes)
}

/// As [`decode_vbas`], with `value` holding the bits read before `bytes` (the low bits of a Bin-ID's first byte).
pub(crate) fn continue_vbas(mut value: u64, bytes: &[u8]) -> Result<Option<(u64, usize)>, VbasError> {
    for (index, &byte) in bytes.iter().enumerate() {
        if index == MAX_VBAS_LEN {
            return Err(VbasError::TooLong);
        }
        if value > u64::MAX >> 7 {
            return Err(VbasError::Overflow);
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= MAX_VBAS_LEN {
        return Err(VbasError::TooLong);
    }
    Ok(None)
}

/// The seven least significant bits.
pub(crate) const fn low_seven_bits(value: u64) -> u8 {
    let [.., lowest] = value.to_be_bytes();
    lowest & 0x7F
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_2_1_numbers_are_written_as_in_the_vectors() {
        let rows: [(u64, &[u8]); 9] = [
            (0, &[0]),
            (1, &[1]),
            (127, &[0x7F]),
            (128, &[0x81, 0]),
            (300, &[0x82, 0x2C]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x81, 0x80, 0]),
            (1 << 32, &[0x90, 0x80, 0x80, 0x80, 0]),
            (u64::MAX, &[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ];
        for (value, expect) in rows {
            let mut out = Vec::new();
            encode_vbas(value, &mut out);
            assert_eq!(out, expect, "{value}");
            assert_eq!(vbas_len(value), expect.len());
            assert_eq!(decode_vbas(&out), Ok(Some((value, expect.len()))));
        }
    }

    #[test]
    fn leading_zero_groups_are_read_and_overlong_numbers_refused() {
        assert_eq!(decode_vbas(&[0x80, 0x80, 0x05, 0xFF]), Ok(Some((5, 3))));
        assert_eq!(decode_vbas(&[0x80; 10]), Err(VbasError::TooLong));
        assert_eq!(decode_vbas(&[0x80; 11]), Err(VbasError::TooLong));
        assert_eq!(decode_vbas(&[0xFF; 10]), Err(VbasError::Overflow));
        assert_eq!(decode_vbas(&[]), Ok(None));
        assert_eq!(decode_vbas(&[0x80]), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, tail in prop::collection::vec(any::<u8>(), 0..4)) {
            let mut out = Vec::new();
            encode_vbas(value, &mut out);
            let len = out.len();
            for cut in 0..len {
                prop_assert_eq!(decode_vbas(&out[..cut]), Ok(None));
            }
            out.extend(tail);
            prop_assert_eq!(decode_vbas(&out), Ok(Some((value, len))));
        }
    }
}
