//! Chunks of objects that indexers are reading: those used last, of all objects together.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Names an opened object and, from 0, one of its chunks.
pub(super) type ChunkName = (u64, u64);

/// Bytes of a chunk; the last of an object may have fewer.
pub(super) const CHUNK: u64 = 1 << 20;

/// Chunks that are kept: a dozen indexers with what they read ahead.
const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The one used last in front.
    kept: Mutex<VecDeque<(ChunkName, Bytes)>>,
}

impl Chunks {
    pub(super) fn get(&self, name: ChunkName) -> Option<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(found, _)| *found == name)?;
        if at > 0
            && let Some(found) = kept.remove(at)
        {
            kept.push_front(found);
        }
        kept.front().map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn insert(&self, name: ChunkName, bytes: Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(found, _)| *found != name);
        kept.truncate(KEPT - 1);
        kept.push_front((name, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunk_that_was_not_used_for_longest_goes() {
        let chunks = Chunks::default();
        for n in 0..KEPT as u64 {
            chunks.insert((0, n), Bytes::from(vec![n as u8]));
        }
        assert_eq!(chunks.get((0, 0)).unwrap(), [0u8][..]);
        chunks.insert((1, 0), Bytes::from_static(b"x"));
        assert!(chunks.get((0, 1)).is_none());
        assert_eq!((chunks.get((0, 0)).unwrap(), chunks.get((1, 0)).unwrap()), (vec![0].into(), "x".into()));
        assert_eq!(chunks.kept.lock().unwrap().len(), KEPT);
    }
}
