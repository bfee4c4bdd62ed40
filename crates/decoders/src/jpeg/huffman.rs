//! Huffman tables [10918-1 C, F.2.2.3].

use super::bits::Bits;
use crate::Error;

/// For each 16 bits that may come, the symbol that they begin with and the length of its code; 0 where there is none.
pub(super) struct HuffmanTable {
    codes: Vec<u16>,
}

impl HuffmanTable {
    /// The table with so many codes of each length, and these symbols.
    pub(super) fn new(lengths: &[u8], symbols: &[u8]) -> Result<Self, Error> {
        const WRONG: Error = Error::Malformed("a Huffman table that is none");
        let mut codes = Vec::with_capacity(1 << 16);
        let mut symbols = symbols.iter();
        for (&count, len) in lengths.iter().zip(1u16..=16) {
            for symbol in symbols.by_ref().take(usize::from(count)) {
                let end = codes.len() + (1 << (16 - len));
                if end > 1 << 16 {
                    return Err(WRONG);
                }
                codes.resize(end, len << 8 | u16::from(*symbol));
            }
        }
        codes.resize(1 << 16, 0);
        Ok(Self { codes })
    }

    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u32, Error> {
        let found = self.codes.get(usize::from(bits.peek16())).copied().unwrap_or_default();
        if found == 0 {
            return Err(Error::Malformed("a Huffman code that is none"));
        }
        bits.take(u32::from(found >> 8))?;
        Ok(u32::from(found & 0xff))
    }
}
