//! Forward reading of small pieces far apart: a buffer whose size follows the distance of the reads.

use std::io;

use crate::extent::Span;
use crate::reader::ByteSource;

/// A small buffer over a source. Packet headers are a few bytes each with bodies between them, so it reads
/// little at a time while bodies are long, and more once pieces follow each other closely.
pub(crate) struct Window<'s> {
    source: &'s dyn ByteSource,
    source_len: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    want: usize,
}

impl<'s> Window<'s> {
    pub(crate) fn new(source: &'s dyn ByteSource) -> Self {
        let buffer = Vec::new();
        Self { source, source_len: source.len(), buffer, start: 0, filled: 0, want: SMALLEST }
    }

    /// Bytes of the source.
    pub(crate) const fn source_len(&self) -> u64 {
        self.source_len
    }

    /// The byte at `offset`; `None` past the end.
    #[inline]
    pub(crate) fn byte(&mut self, offset: u64) -> io::Result<Option<u8>> {
        if let Some(byte) = self.held(offset) {
            return Ok(Some(byte));
        }
        self.load(offset)?;
        Ok(self.held(offset))
    }

    /// The `N` bytes at `offset`; `None` if the source ends first.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        for (at, byte) in (offset..).zip(bytes.iter_mut()) {
            let Some(found) = self.byte(at)? else { return Ok(None) };
            *byte = found;
        }
        Ok(Some(bytes))
    }

    /// The bytes of `span`, past the buffer; the caller has checked that the source has them.
    pub(crate) fn bytes(&self, span: Span) -> io::Result<Vec<u8>> {
        let len = usize::try_from(span.len).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.source.read_exact_at(span.offset, &mut bytes)?;
        Ok(bytes)
    }

    #[inline]
    fn held(&self, offset: u64) -> Option<u8> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        if at < self.filled { self.buffer.get(at).copied() } else { None }
    }

    #[cold]
    fn load(&mut self, offset: u64) -> io::Result<()> {
        let end = self.start.saturating_add(self.filled as u64);
        let near = offset >= end && offset - end < self.want as u64;
        self.want = if near { (self.want * 2).min(LARGEST) } else { (self.want / 2).max(SMALLEST) };
        if self.buffer.len() < self.want {
            self.buffer.resize(self.want, 0);
        }
        self.start = offset;
        self.filled = 0;
        let buffer = self.buffer.get_mut(..self.want).unwrap_or_default();
        // A frame of several fragments gives one fragment a call; more comes with the next miss.
        self.filled = self.source.read_at(offset, buffer)?.min(buffer.len());
        Ok(())
    }
}

const SMALLEST: usize = 512;
const LARGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_byte_in_any_order_is_the_source_s() {
        let source: Vec<u8> = (0..100_000u32).map(|v| v.wrapping_mul(31) as u8).collect();
        let mut window = Window::new(&source);
        let offsets = (0..3000).chain((0..100_000).step_by(777)).chain([99_999, 5, 99_990, 512, 511]);
        for offset in offsets {
            assert_eq!(window.byte(offset).unwrap(), Some(source[offset as usize]));
        }
        assert_eq!(window.byte(100_000).unwrap(), None);
        assert_eq!(window.byte(u64::MAX).unwrap(), None);
        assert_eq!(window.array::<4>(99_998).unwrap(), None);
        assert_eq!(window.bytes(Span::new(3, 2)).unwrap(), source[3..5]);
    }
}
