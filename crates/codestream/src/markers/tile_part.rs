//! SOT: start of a tile-part [15444-1 A.4.2].

use super::Fields;
use crate::error::ParseError;

/// Start of a tile-part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sot {
    /// Isot: tile, from 0.
    pub tile: u16,
    /// Psot: bytes from the SOT marker code to the end of the tile-part; 0 means up to EOC.
    pub len: u32,
    /// TPsot: number of this tile-part in its tile, from 0.
    pub part: u8,
    /// TNsot: tile-parts of the tile; 0 means not said here.
    pub parts: u8,
}

impl Sot {
    /// Bytes of the whole marker segment.
    pub const SEGMENT_LEN: u64 = 12;

    /// Parses the payload of a SOT segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is too short.
    pub fn parse(payload: &[u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "SOT");
        Ok(Self { tile: fields.u16()?, len: fields.u32()?, part: fields.u8()?, parts: fields.u8()? })
    }
}
