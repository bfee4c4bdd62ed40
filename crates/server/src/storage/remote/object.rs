//! One object of a bucket, open for reading.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use catalog::ObjectKey;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;

use super::bucket::Bucket;
use super::chunks::CHUNK;
use super::threads::Threads;
use crate::storage::StorageError;
use crate::storage::file::Hole;

/// An object or index in a bucket. Its length is that which the server told when it was opened.
#[derive(Debug)]
pub(in crate::storage) struct RemoteObject {
    bucket: Arc<Bucket>,
    threads: Arc<Threads>,
    path: Path,
    key: ObjectKey,
    len: u64,
    /// Names it among the chunks; one that is opened again has another.
    number: u64,
    /// The chunk that comes next if the object is read from front to back.
    next_chunk: AtomicU64,
}

impl RemoteObject {
    pub(super) fn new(bucket: Arc<Bucket>, threads: Arc<Threads>, path: Path, key: ObjectKey, len: u64) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        Self { bucket, threads, path, key, len, number, next_chunk: AtomicU64::new(u64::MAX) }
    }

    pub(in crate::storage) const fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of each range, in the order asked.
    pub(in crate::storage) async fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let mut total = 0usize;
        let mut holes = Vec::with_capacity(ranges.len());
        for range in ranges {
            // Checked before anything is made as long as they say.
            if range.start > range.end || range.end > self.len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
            let end = total.checked_add(len).ok_or(io::ErrorKind::OutOfMemory)?;
            holes.push(Hole { at: total..end, offset: range.start });
            total = end;
        }
        let mut bytes = self.fill(BytesMut::zeroed(total), &holes).await?;
        Ok(holes.iter().map(|hole| bytes.split_to(hole.at.len()).freeze()).collect())
    }

    pub(in crate::storage) fn read_blocking(self: &Arc<Self>, ranges: Vec<Range<u64>>) -> io::Result<Vec<Bytes>> {
        let object = Arc::clone(self);
        self.threads.wait(async move { object.read(&ranges).await })
    }

    /// Fills the holes of `buffer`, which stand in ascending order and apart.
    pub(in crate::storage) async fn fill(&self, mut buffer: BytesMut, holes: &[Hole]) -> io::Result<BytesMut> {
        let runs = runs(holes, buffer.len(), self.len)?;
        let mut read = stream::iter(runs)
            .map(|run| async { Ok::<_, io::Error>((self.get(run.range.clone()).await?, run)) })
            .buffer_unordered(AT_A_TIME);
        while let Some((bytes, run)) = read.try_next().await? {
            for part in &run.parts {
                let from = usize::try_from(part.offset - run.range.start).map_err(io::Error::other)?;
                let from = from.checked_add(part.at.len()).and_then(|end| bytes.get(from..end));
                let (Some(from), Some(to)) = (from, buffer.get_mut(part.at.clone())) else {
                    return Err(io::ErrorKind::InvalidInput.into());
                };
                to.copy_from_slice(from);
            }
        }
        drop(read);
        Ok(buffer)
    }

    /// The whole object, front to back.
    ///
    /// It is asked for in pieces, so that a slow reader holds no connection to the store, and two pieces at most.
    pub(super) fn stream(self: &Arc<Self>) -> BoxStream<'static, Result<Bytes, StorageError>> {
        let object = Arc::clone(self);
        let pieces = (0..self.len.div_ceil(CHUNK)).map(move |chunk| object.chunk_range(chunk));
        let object = Arc::clone(self);
        let read = stream::iter(pieces).map(move |piece| {
            let object = Arc::clone(&object);
            async move { object.get(piece).await.map_err(StorageError::from) }
        });
        read.buffered(2).boxed()
    }

    /// Fills a prefix of `buf` from `offset`, as a source of bytes does. Blocking.
    ///
    /// Whole chunks are fetched and kept for a while: an indexer reads a few bytes here and the next some bytes further
    /// on. Once it has come to a second chunk, several are fetched at a time.
    pub(in crate::storage) fn read_at(self: &Arc<Self>, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.len || buf.is_empty() {
            return Ok(0);
        }
        let chunk = offset / CHUNK;
        let bytes = match self.bucket.chunks.get((self.number, chunk)) {
            Some(bytes) => bytes,
            None => self.load(chunk)?,
        };
        let start = usize::try_from(offset % CHUNK).map_err(io::Error::other)?;
        let rest = bytes.get(start..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn load(self: &Arc<Self>, chunk: u64) -> io::Result<Bytes> {
        let goes_on = chunk == self.next_chunk.load(Ordering::Relaxed);
        let end = chunk.saturating_add(if goes_on { AHEAD } else { 1 }).min(self.len.div_ceil(CHUNK));
        let object = Arc::clone(self);
        let fetched = self.threads.wait(async move {
            let parts = (chunk..end).map(|chunk| object.get_in_place(object.chunk_range(chunk)));
            futures_util::future::try_join_all(parts).await
        })?;
        for (chunk, bytes) in (chunk..end).zip(&fetched) {
            self.bucket.chunks.insert((self.number, chunk), bytes.clone());
        }
        self.next_chunk.store(end, Ordering::Relaxed);
        fetched.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn chunk_range(&self, chunk: u64) -> Range<u64> {
        let start = chunk.saturating_mul(CHUNK);
        start..start.saturating_add(CHUNK).min(self.len)
    }

    async fn get(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (bucket, path, key) = (Arc::clone(&self.bucket), self.path.clone(), self.key);
        self.threads.run(async move { bucket.get(&path, range, &key).await }).await
    }

    /// As [`RemoteObject::get`], for who runs on the store's threads already.
    async fn get_in_place(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.bucket.get(&self.path, range, &self.key).await
    }
}

/// What one request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    range: Range<u64>,
    /// Where its bytes belong.
    parts: Vec<Hole>,
}

/// The holes gathered into runs, each of [`MOST_RUN`] bytes at most; neighbours share one.
///
/// # Errors
///
/// - [`io::ErrorKind::UnexpectedEof`] if a hole reaches past `len`.
/// - [`io::ErrorKind::InvalidInput`] if the holes are not in order or not inside the buffer.
fn runs(holes: &[Hole], buffer: usize, len: u64) -> io::Result<Vec<Run>> {
    let mut filled = 0;
    for hole in holes {
        if hole.at.start < filled || hole.at.end < hole.at.start || hole.at.end > buffer {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        filled = hole.at.end;
        if hole.offset.checked_add(hole.at.len() as u64).is_none_or(|end| end > len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut sorted: Vec<_> = holes.iter().filter(|hole| !hole.at.is_empty()).cloned().collect();
    sorted.sort_by_key(|hole| hole.offset);
    let mut runs: Vec<Run> = Vec::new();
    for mut hole in sorted {
        while !hole.at.is_empty() {
            let cut = hole.at.start + hole.at.len().min(MOST_RUN as usize);
            let part = Hole { at: hole.at.start..cut, offset: hole.offset };
            let range = part.offset..part.offset + part.at.len() as u64;
            hole = Hole { at: cut..hole.at.end, offset: range.end };
            match runs.last_mut().filter(|run| run.takes(&range)) {
                Some(run) => {
                    run.range.end = run.range.end.max(range.end);
                    run.parts.push(part);
                }
                None => runs.push(Run { range, parts: vec![part] }),
            }
        }
    }
    Ok(runs)
}

impl Run {
    fn takes(&self, next: &Range<u64>) -> bool {
        // A hole that was cut may have left a run that begins behind the next hole.
        next.start >= self.range.start
            && next.start <= self.range.end.saturating_add(GAP)
            && next.end - self.range.start <= MOST_RUN
    }
}

/// A gap of so many bytes comes sooner than the answer to another request.
const GAP: u64 = 64 * 1024;

/// Bytes of one request.
const MOST_RUN: u64 = 2 << 20;

/// Requests of one reader under way at a time.
const AT_A_TIME: usize = 8;

/// Chunks that are fetched at a time once an object is read from front to back.
const AHEAD: u64 = 4;

#[cfg(test)]
mod tests;
