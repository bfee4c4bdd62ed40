//! CAP: extended capabilities, here those of HTJ2K [15444-1 A.5.2, 15444-15 A.3].

use super::Fields;
use crate::error::ParseError;

/// Extended capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cap {
    /// Pcap: bit 31 stands for Part 1's own extension, bit 17 for Part 15.
    pub pcap: u32,
    /// Ccap15, when Part 15 is signalled.
    pub ccap15: Option<u16>,
}

/// Which block coder the code-blocks use [15444-15 A.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeBlockCoding {
    /// Every code-block is HT.
    HtOnly,
    /// Per tile-component all code-blocks are HT or none, as the style says.
    HtDeclared,
    /// Code-blocks of both kinds may be mixed in a tile-component.
    Mixed,
}

impl Cap {
    const PART_15: u32 = 1 << 17;

    /// Parses the payload of a CAP segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if a Ccap that Pcap announces is missing.
    pub fn parse(payload: &[u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "CAP");
        let pcap = fields.u32()?;
        let mut ccap15 = None;
        for bit in (0..u32::BITS).rev().map(|shift| 1u32 << shift).filter(|bit| pcap & bit != 0) {
            let ccap = fields.u16()?;
            if bit == Self::PART_15 {
                ccap15 = Some(ccap);
            }
        }
        Ok(Self { pcap, ccap15 })
    }

    /// Whether HT code-blocks are announced.
    #[must_use]
    pub const fn is_htj2k(&self) -> bool {
        self.pcap & Self::PART_15 != 0
    }

    /// How HT and Part 1 code-blocks are told apart; `None` without Part 15.
    #[must_use]
    pub fn code_block_coding(&self) -> Option<CodeBlockCoding> {
        self.ccap15.map(|ccap| match ccap >> 14 {
            0 | 1 => CodeBlockCoding::HtOnly,
            2 => CodeBlockCoding::HtDeclared,
            _ => CodeBlockCoding::Mixed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_15_a_3_ccap15_is_found_among_others() {
        let cap = Cap::parse(&[0x80, 0x02, 0, 0, 0x12, 0x34, 0xC0, 0x21], 0).unwrap();
        assert!(cap.is_htj2k());
        assert_eq!(cap.ccap15, Some(0xC021));
        assert_eq!(cap.code_block_coding(), Some(CodeBlockCoding::Mixed));
        assert!(Cap::parse(&[0, 2, 0, 0], 0).is_err());
        assert!(!Cap::parse(&[0, 0, 0, 0], 0).unwrap().is_htj2k());
    }
}
