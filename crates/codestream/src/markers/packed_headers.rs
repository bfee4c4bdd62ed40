//! PPM and PPT: packet headers moved into the main or a tile-part header [15444-1 A.7.4, A.7.5].

use super::Fields;
use crate::error::ParseError;

/// One PPM segment of the main header.
///
/// Joined in the order of `index`, the data of all PPM segments are, for each tile-part in codestream
/// order, four bytes with a length and that many bytes of packet headers. Either may straddle segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ppm<'a> {
    /// Zppm: order among the PPM segments.
    pub index: u8,
    /// Lengths and packet headers.
    pub data: &'a [u8],
}

impl<'a> Ppm<'a> {
    /// Parses the payload of a PPM segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is empty.
    pub fn parse(payload: &'a [u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "PPM");
        Ok(Self { index: fields.u8()?, data: fields.rest() })
    }
}

/// One PPT segment of a tile-part header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ppt<'a> {
    /// Zppt: order among the PPT segments of the tile-part.
    pub index: u8,
    /// Packet headers.
    pub data: &'a [u8],
}

impl<'a> Ppt<'a> {
    /// Parses the payload of a PPT segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is empty.
    pub fn parse(payload: &'a [u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "PPT");
        Ok(Self { index: fields.u8()?, data: fields.rest() })
    }
}
