//! Copying many small spans that jump to and fro, with few reads.

use std::io::{self, Write};

use crate::extent::Span;
use crate::reader::ByteSource;

/// Reads a source in pages and keeps some: a new packet takes its code-blocks from a few places, each of which is
/// walked through in order.
pub(super) struct Copier<'s> {
    source: &'s dyn ByteSource,
    source_len: u64,
    /// The page at `number % SLOTS`.
    slots: Vec<Option<Page>>,
}

struct Page {
    number: u64,
    bytes: Vec<u8>,
}

impl<'s> Copier<'s> {
    pub(super) fn new(source: &'s dyn ByteSource) -> Self {
        let slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        Self { source, source_len: source.len(), slots }
    }

    /// Writes the bytes of `span` to `out`.
    ///
    /// # Errors
    ///
    /// Whatever reading and writing report; [`io::ErrorKind::UnexpectedEof`] past the end.
    pub(super) fn copy(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()> {
        let mut at = span.offset;
        let end = span.end();
        while at < end {
            let number = at / PAGE;
            let page = self.page(number)?;
            let start = number.saturating_mul(PAGE);
            let from = usize::try_from(at - start).map_err(io::Error::other)?;
            let to = usize::try_from(end.min(start.saturating_add(PAGE)) - start).map_err(io::Error::other)?;
            out.write_all(page.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?)?;
            at = start.saturating_add(PAGE);
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> io::Result<&[u8]> {
        let (source, start) = (self.source, number.saturating_mul(PAGE));
        let len = self.source_len.saturating_sub(start).min(PAGE);
        let slot = usize::try_from(number % (SLOTS as u64)).map_err(io::Error::other)?;
        let slot = self.slots.get_mut(slot).ok_or(io::ErrorKind::UnexpectedEof)?;
        let page = slot.get_or_insert_with(|| Page { number: u64::MAX, bytes: Vec::new() });
        if page.number != number {
            page.number = u64::MAX;
            page.bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            source.read_exact_at(start, &mut page.bytes)?;
            page.number = number;
        }
        Ok(&page.bytes)
    }
}

/// Bytes of a page.
const PAGE: u64 = 128 * 1024;
/// Pages that are kept, 8 MiB together.
const SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_across_pages_and_back_are_the_source_s() {
        let source: Vec<u8> = (0..3 * PAGE + 77).map(|at| ((at * 31) >> 3) as u8).collect();
        let mut copier = Copier::new(&source);
        for (offset, len) in [(PAGE - 1, 2), (0, 5), (PAGE / 2, 2 * PAGE), (3 * PAGE + 70, 7), (9, 0), (PAGE, PAGE)] {
            let mut out = Vec::new();
            copier.copy(Span::new(offset, len), &mut out).unwrap();
            assert_eq!(out, source[offset as usize..(offset + len) as usize]);
        }
        assert!(copier.copy(Span::new(3 * PAGE + 70, 8), &mut Vec::new()).is_err());
        assert!(copier.copy(Span::new(u64::MAX - 3, 3), &mut Vec::new()).is_err());
    }
}
