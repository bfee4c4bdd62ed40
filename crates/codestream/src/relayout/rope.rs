//! The bytes of a codestream as pieces: new ones, and spans of a stored codestream.

use std::io::{self, Write};

use bytes::Bytes;

use super::copy::Copier;
use crate::extent::{ExtentError, Span};
use crate::reader::ByteSource;

/// A codestream made of new bytes and of spans of a stored one; a piece costs 16 bytes, its bytes nothing.
#[derive(Debug, Clone)]
pub struct Rope {
    pieces: Box<[Piece]>,
    inline: Bytes,
    len: u64,
}

/// A run of bytes of a [`Rope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RopePart {
    /// These.
    Inline(Bytes),
    /// Bytes of the stored codestream.
    Stored(Span),
}

/// Where a piece begins in the rope and where its bytes lie; it ends where the next begins.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u64,
    /// Offset in the stored codestream, or, with [`INLINE`] set, among the new bytes.
    place: u64,
}

impl Rope {
    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (size_of_val::<[Piece]>(&self.pieces) as u64).saturating_add(self.inline.len() as u64)
    }

    /// Bytes that are not in the stored codestream.
    #[must_use]
    pub const fn inline_len(&self) -> u64 {
        self.inline.len() as u64
    }

    /// What `span`, which counts from the start of the rope, is made of, in order.
    ///
    /// # Errors
    ///
    /// - [`ExtentError::OutsideFrame`] if the span is not wholly inside.
    pub fn parts(&self, span: Span) -> Result<impl Iterator<Item = RopePart> + '_, ExtentError> {
        let outside = ExtentError::OutsideFrame { offset: span.offset, len: span.len, frame_len: self.len };
        let end = span.offset.checked_add(span.len).filter(|&end| end <= self.len).ok_or(outside)?;
        let first = self.pieces.partition_point(|piece| piece.start <= span.offset).saturating_sub(1);
        let mut at = span.offset;
        let mut number = first;
        Ok(std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let piece = self.pieces.get(number)?;
            let piece_end = self.pieces.get(number + 1).map_or(self.len, |next| next.start);
            let (skip, len) = (at - piece.start, piece_end.min(end) - at);
            number += 1;
            at += len;
            let place = (piece.place & !INLINE).saturating_add(skip);
            if piece.place & INLINE == 0 {
                return Some(RopePart::Stored(Span::new(place, len)));
            }
            let from = usize::try_from(place).ok()?;
            let to = from.checked_add(usize::try_from(len).ok()?).filter(|&to| to <= self.inline.len())?;
            Some(RopePart::Inline(self.inline.slice(from..to)))
        }))
    }

    /// Writes all bytes; `source` is the stored codestream.
    ///
    /// # Errors
    ///
    /// Whatever reading and writing report.
    pub fn write_to(&self, source: &dyn ByteSource, out: &mut dyn Write) -> io::Result<()> {
        let mut copier = Copier::new(source);
        for part in self.parts(Span::new(0, self.len)).map_err(io::Error::other)? {
            match part {
                RopePart::Inline(bytes) => out.write_all(&bytes)?,
                RopePart::Stored(span) => copier.copy(span, out)?,
            }
        }
        Ok(())
    }
}

/// A [`Rope`] and the stored codestream under it, read as one codestream.
#[derive(Debug, Clone, Copy)]
pub struct RopeSource<'a, S: ?Sized> {
    rope: &'a Rope,
    stored: &'a S,
}

impl<'a, S: ByteSource + ?Sized> RopeSource<'a, S> {
    /// The codestream that `rope` makes of `stored`.
    pub const fn new(rope: &'a Rope, stored: &'a S) -> Self {
        Self { rope, stored }
    }
}

impl<S: ByteSource + ?Sized> ByteSource for RopeSource<'_, S> {
    fn len(&self) -> u64 {
        self.rope.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.rope.len.saturating_sub(offset);
        let span = Span::new(offset.min(self.rope.len), left.min(buf.len() as u64));
        let mut filled = 0usize;
        for part in self.rope.parts(span).map_err(io::Error::other)? {
            match part {
                RopePart::Inline(bytes) => {
                    let to = buf.get_mut(filled..filled + bytes.len()).unwrap_or_default();
                    to.copy_from_slice(bytes.get(..to.len()).unwrap_or_default());
                    filled += to.len();
                }
                RopePart::Stored(stored) => {
                    let len = usize::try_from(stored.len).map_err(io::Error::other)?;
                    let to = buf.get_mut(filled..filled + len).unwrap_or_default();
                    self.stored.read_exact_at(stored.offset, to)?;
                    filled += to.len();
                }
            }
        }
        Ok(filled)
    }
}

/// A [`Rope`] that grows at its end.
#[derive(Debug, Default)]
pub(super) struct RopeBuilder {
    pieces: Vec<Piece>,
    inline: Vec<u8>,
    len: u64,
}

impl RopeBuilder {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Appends new bytes.
    pub(super) fn inline(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // All new bytes follow each other, so those after new bytes go on with the same piece.
        if self.pieces.last().is_none_or(|last| last.place & INLINE == 0) {
            self.pieces.push(Piece { start: self.len, place: self.inline.len() as u64 | INLINE });
        }
        self.inline.extend_from_slice(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
    }

    /// Appends bytes of the stored codestream; neighbours become one piece.
    pub(super) fn stored(&mut self, span: Span) {
        if span.len == 0 {
            return;
        }
        let goes_on = |last: &Piece| last.place & INLINE == 0 && last.place + (self.len - last.start) == span.offset;
        if !self.pieces.last().is_some_and(goes_on) {
            self.pieces.push(Piece { start: self.len, place: span.offset & !INLINE });
        }
        self.len = self.len.saturating_add(span.len);
    }

    /// Appends all of another rope.
    pub(super) fn append(&mut self, other: Self) {
        let new_bytes = self.inline.len() as u64;
        let before = self.len;
        self.pieces.extend(other.pieces.into_iter().map(|piece| Piece {
            start: piece.start.saturating_add(before),
            place: if piece.place & INLINE == 0 { piece.place } else { piece.place.saturating_add(new_bytes) },
        }));
        self.inline.extend_from_slice(&other.inline);
        self.len = self.len.saturating_add(other.len);
    }

    pub(super) fn finish(self) -> Rope {
        Rope { pieces: self.pieces.into(), inline: self.inline.into(), len: self.len }
    }
}

/// Marks the place of a new byte; no codestream is so long that an offset has this bit.
const INLINE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn rope() -> (Rope, Vec<u8>) {
        let stored: Vec<u8> = (0..100).collect();
        let mut tail = RopeBuilder::default();
        tail.inline(b"cd");
        tail.stored(Span::new(50, 3));
        let mut builder = RopeBuilder::default();
        builder.inline(b"a");
        builder.inline(b"b");
        builder.stored(Span::new(10, 2));
        builder.stored(Span::new(12, 2));
        builder.stored(Span::new(20, 1));
        builder.stored(Span::new(5, 0));
        builder.append(tail);
        (builder.finish(), stored)
    }

    #[test]
    fn neighbours_are_one_part_and_both_kinds_alternate() {
        let (rope, _) = rope();
        let parts: Vec<_> = rope.parts(Span::new(0, 12)).unwrap().collect();
        let inline = |bytes: &'static [u8]| RopePart::Inline(Bytes::from_static(bytes));
        let stored = |offset, len| RopePart::Stored(Span::new(offset, len));
        assert_eq!(parts, [inline(b"ab"), stored(10, 4), stored(20, 1), inline(b"cd"), stored(50, 3)]);
        let some: Vec<_> = rope.parts(Span::new(1, 3)).unwrap().collect();
        assert_eq!(some, [inline(b"b"), stored(10, 2)]);
        assert_eq!(rope.parts(Span::new(12, 0)).unwrap().count(), 0);
        for (offset, len) in [(12, 1), (0, 13), (u64::MAX, 2)] {
            assert!(rope.parts(Span::new(offset, len)).is_err());
        }
    }

    #[test]
    fn read_or_written_it_is_the_same_bytes() {
        let (rope, stored) = rope();
        let mut written = Vec::new();
        rope.write_to(&stored, &mut written).unwrap();
        assert_eq!(written, b"ab\x0a\x0b\x0c\x0d\x14cd\x32\x33\x34");
        let source = RopeSource::new(&rope, &stored);
        for start in 0..=written.len() {
            let mut read = vec![0; written.len() - start];
            source.read_exact_at(start as u64, &mut read).unwrap();
            assert_eq!(read, written[start..]);
        }
        assert_eq!(source.read_at(99, &mut [0; 4]).unwrap(), 0);
    }
}
