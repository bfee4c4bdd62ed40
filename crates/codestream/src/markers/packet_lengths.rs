//! PLT and PLM: announced packet lengths [15444-1 A.7.2, A.7.3]. They are compared, never believed.

use super::Fields;
use crate::error::ParseError;

/// One PLT segment of a tile-part header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plt<'a> {
    /// Zplt: order among the PLT segments of the tile-part.
    pub index: u8,
    /// Lengths, see [`PacketLengths`].
    pub lengths: &'a [u8],
}

impl<'a> Plt<'a> {
    /// Parses the payload of a PLT segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is empty.
    pub fn parse(payload: &'a [u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "PLT");
        Ok(Self { index: fields.u8()?, lengths: fields.rest() })
    }
}

/// One PLM segment of the main header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plm<'a> {
    /// Zplm: order among the PLM segments.
    pub index: u8,
    /// For each tile-part in codestream order: one byte with the number of bytes, then that many bytes of lengths.
    pub entries: &'a [u8],
}

impl<'a> Plm<'a> {
    /// Parses the payload of a PLM segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is empty.
    pub fn parse(payload: &'a [u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "PLM");
        Ok(Self { index: fields.u8()?, entries: fields.rest() })
    }
}

/// The lengths that groups of seven bits encode, most significant first; the top bit says that more follow.
///
/// Bytes may be added while lengths are taken, so that a length may straddle two segments.
/// A length beyond 64 bits saturates and so agrees with no packet.
#[derive(Debug, Clone, Default)]
pub struct PacketLengths {
    value: u64,
}

impl PacketLengths {
    /// Adds one byte; gives a length when it was the last byte of one.
    pub fn push(&mut self, byte: u8) -> Option<u64> {
        let shifted = if self.value >> 57 == 0 { self.value << 7 } else { u64::MAX };
        self.value = shifted | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            return None;
        }
        Some(std::mem::take(&mut self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_7_3_lengths_in_groups_of_seven_bits() {
        let mut lengths = PacketLengths::default();
        let found: Vec<u64> = [0x05, 0x81, 0x00, 0xFF, 0x7F].iter().filter_map(|&b| lengths.push(b)).collect();
        assert_eq!(found, [5, 128, 16_383]);
        let long = std::iter::repeat_n(0xFFu8, 1000).chain([0x7F]).filter_map(|b| lengths.push(b)).last();
        assert_eq!(long, Some(u64::MAX));
        assert_eq!(lengths.push(7), Some(7));
    }
}
