//! Packet headers that PPM or PPT have moved out of the packets [15444-1 A.7.4, A.7.5].

use std::io;

use smallvec::SmallVec;

use super::budget::Budget;
use super::window::Window;
use crate::extent::Span;
use crate::packets::{EPH_LEN, HeaderBytes, Stop};

/// The packed headers of one tile, joined: spans in reading order and a cursor.
#[derive(Debug, Default)]
pub(super) struct PackedHeaders {
    spans: Vec<Span>,
    at: usize,
    /// Bytes of the current span that have been taken.
    taken: u64,
}

/// A position in [`PackedHeaders`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedMark {
    at: usize,
    taken: u64,
}

impl PackedHeaders {
    pub(super) fn extend(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.spans.extend(spans.into_iter().filter(|span| span.len > 0));
    }

    /// Bytes of all headers together.
    pub(super) fn len(&self) -> u64 {
        self.spans.iter().map(|span| span.len).sum()
    }

    pub(super) const fn mark(&self) -> PackedMark {
        PackedMark { at: self.at, taken: self.taken }
    }

    /// Whether all headers have been taken.
    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.spans.len()
    }

    /// Where the next byte lies.
    pub(super) fn offset(&self) -> Option<u64> {
        self.spans.get(self.at).map(|span| span.offset + self.taken)
    }

    /// What was taken since `mark`, neighbours joined.
    pub(super) fn since(&self, mark: PackedMark) -> SmallVec<[Span; 2]> {
        let mut pieces: SmallVec<[Span; 2]> = SmallVec::new();
        let until = self.at + usize::from(self.taken > 0);
        for (at, span) in self.spans.iter().enumerate().take(until).skip(mark.at) {
            let from = if at == mark.at { mark.taken } else { 0 };
            let to = if at == self.at { self.taken } else { span.len };
            match pieces.last_mut() {
                Some(last) if last.end() == span.offset + from => last.len += to - from,
                _ if to > from => pieces.push(Span::new(span.offset + from, to - from)),
                _ => {}
            }
        }
        pieces
    }

    fn next(&mut self, window: &mut Window<'_>) -> io::Result<Option<u8>> {
        let Some(offset) = self.offset() else { return Ok(None) };
        let byte = window.byte(offset)?;
        self.taken += 1;
        if self.spans.get(self.at).is_none_or(|span| self.taken >= span.len) {
            (self.at, self.taken) = (self.at + 1, 0);
        }
        Ok(byte)
    }

    /// Passes an EPH marker if there is one; says whether there was.
    pub(super) fn skip_eph(&mut self, window: &mut Window<'_>) -> io::Result<bool> {
        let before = self.mark();
        let mut found = [0; EPH_LEN];
        for byte in &mut found {
            match self.next(window)? {
                Some(next) => *byte = next,
                None => break,
            }
        }
        if found == [0xFF, 0x92] {
            return Ok(true);
        }
        (self.at, self.taken) = (before.at, before.taken);
        Ok(false)
    }
}

/// [`PackedHeaders`] as the bytes of one packet header.
pub(super) struct PackedBytes<'a, 's> {
    pub(super) headers: &'a mut PackedHeaders,
    pub(super) window: &'a mut Window<'s>,
    pub(super) budget: &'a mut Budget,
    pub(super) left: usize,
}

impl HeaderBytes for PackedBytes<'_, '_> {
    fn byte(&mut self) -> Result<u8, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Malformed("packet header too long"))?;
        self.headers.next(self.window).map_err(Stop::Source)?.ok_or(Stop::End)
    }

    fn visit(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.visit(code_blocks)
    }

    fn hold(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.hold(code_blocks)
    }
}

/// Cuts joined marker segment data into the pieces of each tile-part: a length of `N` bytes, then the piece.
///
/// PPM has lengths of four bytes, PLM of one; both length and piece may straddle segments. The result ends
/// early when the data do.
pub(super) fn split_by_tile_part<const N: usize>(
    data: &[Span],
    tile_parts: usize,
    window: &mut Window<'_>,
) -> io::Result<Vec<SmallVec<[Span; 1]>>> {
    let mut all = PackedHeaders::default();
    all.extend(data.iter().copied());
    let mut pieces = Vec::new();
    while pieces.len() < tile_parts && !all.is_at_end() {
        let mut len = 0u64;
        for _ in 0..N {
            let Some(byte) = all.next(window)? else { return Ok(pieces) };
            len = (len << 8) | u64::from(byte);
        }
        let mut piece = SmallVec::new();
        while len > 0 {
            let Some(span) = all.spans.get(all.at) else { break };
            let taken = len.min(span.len - all.taken);
            piece.push(Span::new(span.offset + all.taken, taken));
            len -= taken;
            all.taken += taken;
            if all.taken >= span.len {
                (all.at, all.taken) = (all.at + 1, 0);
            }
        }
        pieces.push(piece);
    }
    Ok(pieces)
}
