//! A byte space of which only some chunks are in memory.
//!
//! An index file is read in parts: whoever needs bytes that are not there is told which, loads them and
//! asks again. Nothing here does the loading.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Bytes of one chunk; chunk `n` holds the bytes `n * CHUNK..(n + 1) * CHUNK`, the last one fewer.
pub const CHUNK: u64 = 16 * 1024;

/// The loaded chunks of a byte space of known length.
#[derive(Debug, Clone, Default)]
pub struct SparseBytes {
    len: u64,
    chunks: BTreeMap<u64, Bytes>,
}

/// What must be loaded before a call can succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} byte ranges are not loaded", ranges.len())]
pub struct NotLoaded {
    /// Ascending, disjoint, beginning and ending on chunk boundaries (or at the end of the space).
    /// Empty when the bytes lie past the end, so that no loading can help.
    pub ranges: Vec<Range<u64>>,
}

impl SparseBytes {
    /// A space of `len` bytes, none of them loaded.
    #[must_use]
    pub const fn new(len: u64) -> Self {
        Self { len, chunks: BTreeMap::new() }
    }

    /// A space that is wholly loaded.
    #[must_use]
    pub fn loaded(bytes: Bytes) -> Self {
        let mut whole = Self::new(bytes.len() as u64);
        whole.insert_range(0, bytes);
        whole
    }

    /// Puts chunk number `chunk` in place; returns whether it was taken.
    ///
    /// Surplus bytes are cut off. A chunk past the end or with too few bytes is not taken.
    pub fn insert(&mut self, chunk: u64, mut bytes: Bytes) -> bool {
        let Some(start) = chunk.checked_mul(CHUNK).filter(|&start| start < self.len) else { return false };
        let Ok(wanted) = usize::try_from((self.len - start).min(CHUNK)) else { return false };
        if bytes.len() < wanted {
            return false;
        }
        bytes.truncate(wanted);
        self.chunks.insert(chunk, bytes);
        true
    }

    /// Puts in place every chunk that `bytes`, lying at `offset`, holds wholly.
    pub fn insert_range(&mut self, offset: u64, mut bytes: Bytes) {
        let mut chunk = offset.div_ceil(CHUNK);
        let skip = usize::try_from(chunk.saturating_mul(CHUNK) - offset).unwrap_or(usize::MAX);
        if skip > bytes.len() {
            return;
        }
        drop(bytes.split_to(skip));
        while !bytes.is_empty() {
            let take = usize::try_from(CHUNK).unwrap_or(usize::MAX).min(bytes.len());
            self.insert(chunk, bytes.split_to(take));
            chunk += 1;
        }
    }

    /// Number of bytes of the space, loaded or not.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the space holds no byte at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in memory.
    #[must_use]
    pub fn loaded_len(&self) -> u64 {
        self.chunks.values().map(|chunk| chunk.len() as u64).sum()
    }

    /// Whether all bytes of `range` are loaded; false when it reaches past the end.
    #[must_use]
    pub fn has(&self, range: Range<u64>) -> bool {
        self.require(range).is_ok()
    }

    /// Says that all bytes of `range` are loaded.
    ///
    /// # Errors
    ///
    /// - [`NotLoaded`] with the chunks that are missing.
    pub fn require(&self, range: Range<u64>) -> Result<(), NotLoaded> {
        if range.start > range.end || range.end > self.len {
            return Err(NotLoaded { ranges: Vec::new() });
        }
        if range.is_empty() {
            return Ok(());
        }
        let wanted = range.start / CHUNK..range.end.div_ceil(CHUNK);
        let mut ranges = Vec::new();
        // Walks the loaded chunks, not the wanted ones: a range may be long and hardly loaded at all.
        let mut next = wanted.start;
        for (&chunk, _) in self.chunks.range(wanted.clone()) {
            if chunk > next {
                ranges.push(next * CHUNK..chunk * CHUNK);
            }
            next = chunk + 1;
        }
        if next < wanted.end {
            ranges.push(next * CHUNK..wanted.end.saturating_mul(CHUNK).min(self.len));
        }
        if ranges.is_empty() { Ok(()) } else { Err(NotLoaded { ranges }) }
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// - [`NotLoaded`] if a byte is not loaded, or past the end (then without ranges).
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), NotLoaded> {
        let end = offset.checked_add(buf.len() as u64).ok_or(NotLoaded { ranges: Vec::new() })?;
        if let Some(piece) = self.slice_of_chunk(offset, buf.len()) {
            buf.copy_from_slice(piece);
            return Ok(());
        }
        self.require(offset..end)?;
        let mut filled = 0usize;
        for (&chunk, bytes) in self.chunks.range(offset / CHUNK..end.div_ceil(CHUNK)) {
            let skip = usize::try_from(offset.saturating_sub(chunk * CHUNK)).unwrap_or(usize::MAX);
            let piece = bytes.get(skip..).unwrap_or_default();
            let to = buf.get_mut(filled..).unwrap_or_default();
            let n = piece.len().min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..n), piece.get(..n)) {
                to.copy_from_slice(from);
            }
            filled += n;
        }
        Ok(())
    }

    /// The bytes of `range`; shared with the chunk when it lies within one, else copied together.
    ///
    /// # Errors
    ///
    /// - [`NotLoaded`] if a byte is not loaded, or past the end (then without ranges).
    pub fn range(&self, range: Range<u64>) -> Result<Bytes, NotLoaded> {
        self.require(range.clone())?;
        let past_end = NotLoaded { ranges: Vec::new() };
        let Ok(len) = usize::try_from(range.end - range.start) else { return Err(past_end) };
        let chunk = range.start / CHUNK;
        if let Some(bytes) = self.chunks.get(&chunk) {
            let from = usize::try_from(range.start - chunk * CHUNK).unwrap_or(usize::MAX);
            if from.checked_add(len).is_some_and(|end| end <= bytes.len()) {
                return Ok(bytes.slice(from..from + len));
            }
        }
        // All of it is in memory already, so the copy is no larger than what the caller loaded.
        let mut joined = BytesMut::zeroed(len);
        self.read(range.start, &mut joined)?;
        Ok(joined.freeze())
    }

    fn slice_of_chunk(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.chunks.get(&(offset / CHUNK))?;
        let from = usize::try_from(offset % CHUNK).ok()?;
        bytes.get(from..from.checked_add(len)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(len: u64) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn missing_chunks_are_named_and_neighbours_joined() {
        let mut sparse = SparseBytes::new(5 * CHUNK + 10);
        assert!(sparse.insert(2, Bytes::from(vec![7; CHUNK as usize])));
        assert_eq!(
            sparse.require(CHUNK + 5..5 * CHUNK + 1).unwrap_err().ranges,
            [CHUNK..2 * CHUNK, 3 * CHUNK..5 * CHUNK + 10],
        );
        assert!(sparse.has(2 * CHUNK..3 * CHUNK));
        assert!(!sparse.has(2 * CHUNK..3 * CHUNK + 1));
        assert!(sparse.has(0..0));
    }

    #[test]
    fn past_the_end_nothing_can_be_loaded() {
        let sparse = SparseBytes::loaded(Bytes::from(space(100)));
        assert_eq!(sparse.require(90..101).unwrap_err().ranges, []);
        assert_eq!(sparse.read(u64::MAX, &mut [0; 2]).unwrap_err().ranges, []);
        let reversed = Range { start: 5, end: 4 };
        assert_eq!(sparse.range(reversed).unwrap_err().ranges, []);
    }

    #[test]
    fn a_chunk_of_the_wrong_size_is_not_taken() {
        let mut sparse = SparseBytes::new(CHUNK + 1);
        assert!(!sparse.insert(0, Bytes::from_static(b"short")));
        assert!(!sparse.insert(2, Bytes::from(vec![0; CHUNK as usize])));
        assert!(!sparse.insert(u64::MAX, Bytes::from(vec![0; CHUNK as usize])));
        assert!(sparse.insert(1, Bytes::from_static(b"surplus")));
        assert_eq!(sparse.range(CHUNK..CHUNK + 1).unwrap(), b"s"[..]);
    }

    proptest! {
        #[test]
        fn loading_what_is_asked_for_always_succeeds(
            len in 0u64..100_000, start in 0u64..100_000, size in 0u64..60_000, before in 0u64..8,
        ) {
            let bytes = space(len);
            let mut sparse = SparseBytes::new(len);
            if let Some(piece) = bytes.chunks(CHUNK as usize).nth(before as usize) {
                sparse.insert(before, Bytes::copy_from_slice(piece));
            }
            let range = start..start + size;
            if let Err(missing) = sparse.require(range.clone()) {
                prop_assert_eq!(missing.ranges.is_empty(), range.end > len);
                for gap in missing.ranges {
                    let piece = Bytes::copy_from_slice(&bytes[gap.start as usize..gap.end as usize]);
                    sparse.insert_range(gap.start, piece);
                }
            }
            if range.end <= len {
                let wanted = &bytes[range.start as usize..range.end as usize];
                prop_assert_eq!(&sparse.range(range.clone()).unwrap()[..], wanted);
                let mut read = vec![0; size as usize];
                sparse.read(start, &mut read).unwrap();
                prop_assert_eq!(&read[..], wanted);
            } else {
                prop_assert!(sparse.range(range).is_err());
            }
        }
    }
}
