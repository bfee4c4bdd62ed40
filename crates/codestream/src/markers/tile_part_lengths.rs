//! TLM: lengths of the tile-parts, in the main header [15444-1 A.7.1].

use super::Fields;
use crate::error::ParseError;

/// One TLM segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tlm {
    /// Ztlm: order among the TLM segments.
    pub index: u8,
    /// Tile-parts in codestream order.
    pub entries: Vec<TlmEntry>,
}

/// What TLM says of one tile-part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlmEntry {
    /// The tile; `None` when tile-parts are in tile order, one for each tile.
    pub tile: Option<u16>,
    /// Bytes from SOT to the end of the tile-part.
    pub len: u32,
}

impl Tlm {
    /// Parses the payload of a TLM segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the last entry is incomplete.
    /// - [`ParseError::Malformed`] for a reserved size of the tile index.
    pub fn parse(payload: &[u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "TLM");
        let (index, stlm) = (fields.u8()?, fields.u8()?);
        let (tile_bytes, long) = ((stlm >> 4) & 3, stlm & 0x40 != 0);
        if tile_bytes == 3 {
            return Err(fields.malformed("TLM: reserved size of the tile index"));
        }
        let mut entries = Vec::new();
        while !fields.is_empty() {
            let tile = match tile_bytes {
                0 => None,
                1 => Some(u16::from(fields.u8()?)),
                _ => Some(fields.u16()?),
            };
            let len = if long { fields.u32()? } else { u32::from(fields.u16()?) };
            entries.push(TlmEntry { tile, len });
        }
        Ok(Self { index, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_7_1_all_sizes_of_the_fields() {
        let tlm = |bytes: &[u8]| Tlm::parse(bytes, 0).map(|t| t.entries);
        let entry = |tile, len| TlmEntry { tile, len };
        assert_eq!(tlm(&[0, 0, 1, 2, 0, 9]).unwrap(), [entry(None, 258), entry(None, 9)]);
        assert_eq!(tlm(&[0, 0x50, 3, 0, 0, 1, 0]).unwrap(), [entry(Some(3), 256)]);
        assert_eq!(tlm(&[0, 0x20, 1, 0, 0, 7]).unwrap(), [entry(Some(256), 7)]);
        assert!(tlm(&[0, 0x30, 1]).is_err());
        assert!(tlm(&[0, 0x40, 1]).is_err());
    }
}
