//! Index files read in parts: 16 KiB chunks that are needed, kept for the next request that needs them.

use std::{
    collections::HashSet,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use catalog::{IndexKey, ObjectKey};
use codestream::{
    ByteSource as _, CHUNK, FrameSource, Limits, ParseError, SparseBytes,
    annex_i::{FileIndex, IndexedCodestream, OpenError},
    relayout::presented,
};
use jpip::request::return_type::StreamType;
use metrics::Counter;
use quick_cache::{Weighter, sync::Cache};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::{
    config::VirtualPrecincts,
    storage::{Storage, StorageError, StoredFile},
    worker::Worker,
};

/// Bytes of chunks that are kept.
const CHUNK_CACHE: u64 = 64 << 20;

/// Opened objects and codestreams that are kept, and what the codestreams may weigh together, in bytes.
const OPEN_OBJECTS: usize = 1024;
const OPEN_CODESTREAMS: usize = 4096;
const CODESTREAM_CACHE: u64 = 128 << 20;

/// What an opened codestream weighs in any layout: its share if as many as may be are kept.
const CODESTREAM: u64 = CODESTREAM_CACHE / OPEN_CODESTREAMS as u64;

/// Why an index gave no answer.
#[derive(Debug, Error)]
pub(crate) enum IndexCacheError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("an index or object could not be read: {0}")]
    Read(#[from] io::Error),
    #[error("an index is unusable: {0}")]
    Unusable(&'static str),
}

/// Opened objects, their indexes, and the index chunks that were needed lately.
pub(crate) struct IndexCache {
    storage: Storage,
    worker: Worker,
    layout: VirtualPrecincts,
    /// Objects whose index was made again by this process; locked while one is.
    mended: Mutex<HashSet<ObjectKey>>,
    objects: Cache<(ObjectKey, IndexKey), Arc<OpenObject>>,
    codestreams: Cache<CodestreamKey, Arc<IndexedCodestream>, ByMemory>,
    chunks: Cache<(u64, u64), Bytes, ByLength>,
    next: AtomicU64,
    chunks_read: Counter,
}

/// A stored object and its index, open for reading.
#[derive(Debug)]
pub(crate) struct OpenObject {
    /// Names the index in the chunk cache.
    number: u64,
    object: Arc<StoredFile>,
    index_file: Arc<StoredFile>,
    index: FileIndex,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<(u64, u64), Bytes> for ByLength {
    fn weight(&self, _key: &(u64, u64), chunk: &Bytes) -> u64 {
        chunk.len() as u64 + 64
    }
}

#[derive(Clone)]
struct ByMemory;

/// An object, a position among its codestreams, and whether it is presented to OpenJPIP's decoder.
type CodestreamKey = (u64, u32, bool);

impl Weighter<CodestreamKey, Arc<IndexedCodestream>> for ByMemory {
    fn weight(&self, _key: &CodestreamKey, codestream: &Arc<IndexedCodestream>) -> u64 {
        codestream.relaid_weight().saturating_add(CODESTREAM)
    }
}

impl OpenObject {
    pub(crate) const fn object(&self) -> &Arc<StoredFile> {
        &self.object
    }

    /// Nothing of the index loaded yet.
    pub(crate) fn nothing_loaded(&self) -> SparseBytes {
        SparseBytes::new(self.index_file.len())
    }
}

impl IndexCache {
    pub(crate) fn new(storage: Storage, worker: Worker, layout: VirtualPrecincts, chunks_read: Counter) -> Self {
        let entries = usize::try_from(CHUNK_CACHE / CHUNK).unwrap_or(4096);
        Self {
            storage,
            worker,
            layout,
            mended: Mutex::default(),
            objects: Cache::new(OPEN_OBJECTS),
            codestreams: Cache::with_weighter(OPEN_CODESTREAMS, CODESTREAM_CACHE, ByMemory),
            chunks: Cache::with_weighter(entries, CHUNK_CACHE, ByLength),
            next: AtomicU64::new(0),
            chunks_read,
        }
    }

    /// The object and its index, opened now or earlier. An index that is gone or cannot be used is made again, once.
    pub(crate) async fn open(&self, object: ObjectKey, index: IndexKey) -> Result<Arc<OpenObject>, IndexCacheError> {
        if let Some(open) = self.objects.get(&(object, index)) {
            return Ok(open);
        }
        let object_file = self.storage.open_object(&object)?;
        match self.open_index(object, index, &object_file).await {
            Err(IndexCacheError::Unusable(_) | IndexCacheError::Storage(StorageError::Missing)) => {
                self.mend(object).await;
                self.open_index(object, index, &object_file).await
            }
            opened => opened,
        }
    }

    /// Makes the index of an object again, unless this process has done so before.
    async fn mend(&self, object: ObjectKey) {
        let mut mended = self.mended.lock().await;
        if !mended.insert(object) {
            return;
        }
        tracing::warn!(object.key = %object, "a stored index cannot be used, and is made again");
        if let Err(error) = self.worker.index_again(object).await {
            tracing::error!(object.key = %object, %error, "an index could not be made again");
        }
    }

    async fn open_index(
        &self,
        object: ObjectKey,
        index: IndexKey,
        object_file: &Arc<StoredFile>,
    ) -> Result<Arc<OpenObject>, IndexCacheError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let index_file = self.storage.open_index(&index)?;
        let mut loaded = SparseBytes::new(index_file.len());
        let file_index = loop {
            match FileIndex::open_for(&loaded, object_file.len()) {
                Ok(opened) => break opened,
                Err(OpenError::NotLoaded(missing)) => {
                    self.load_file(number, &index_file, &missing.ranges, (0, &mut loaded)).await?;
                }
                Err(OpenError::Unusable(reason)) => return Err(IndexCacheError::Unusable(reason)),
            }
        };
        let object_file = Arc::clone(object_file);
        let open = Arc::new(OpenObject { number, object: object_file, index_file, index: file_index });
        self.objects.insert((object, index), Arc::clone(&open));
        Ok(open)
    }

    /// The codestream at position `ordinal` of the object, from 0, opened now or earlier, in the layout in which it is
    /// presented in streams of this type.
    pub(crate) async fn codestream(
        &self,
        open: &OpenObject,
        ordinal: u32,
        stream: StreamType,
        loaded: &mut SparseBytes,
    ) -> Result<Arc<IndexedCodestream>, IndexCacheError> {
        let key = (open.number, ordinal, stream == StreamType::OpenJpip);
        if let Some(codestream) = self.codestreams.get(&key) {
            return Ok(codestream);
        }
        let stored = self.stored(open, ordinal, loaded).await?;
        let codestream = Arc::new(self.presented(open, stored, stream).await?);
        self.codestreams.insert(key, Arc::clone(&codestream));
        Ok(codestream)
    }

    /// The codestream at position `ordinal` of the object, from 0, in the layout in which it is stored.
    pub(crate) async fn stored(
        &self,
        open: &OpenObject,
        ordinal: u32,
        loaded: &mut SparseBytes,
    ) -> Result<IndexedCodestream, IndexCacheError> {
        loop {
            match open.index.codestream(ordinal, loaded) {
                Ok(codestream) => return Ok(codestream),
                Err(OpenError::NotLoaded(missing)) => self.load(open, &missing.ranges, loaded).await?,
                Err(OpenError::Unusable(reason)) => return Err(IndexCacheError::Unusable(reason)),
            }
        }
    }

    /// The codestream with small precincts where it has none and gains by them, or for OpenJPIP's decoder in another
    /// layout that it can read; else as it is stored.
    async fn presented(
        &self,
        open: &OpenObject,
        stored: IndexedCodestream,
        stream: StreamType,
    ) -> Result<IndexedCodestream, IndexCacheError> {
        let (header, is_for_openjpip) = (stored.header(), stream == StreamType::OpenJpip);
        let is_presented = presented::gains(header, stored.len()) || (is_for_openjpip && !presented::is_plain(header));
        if self.layout == VirtualPrecincts::Off || !is_presented {
            return Ok(stored);
        }
        let (object, extents) = (Arc::clone(&open.object), stored.extents().clone());
        let derived = tokio::task::spawn_blocking(move || {
            let frame = FrameSource::new(&*object, &extents);
            let layout = if is_for_openjpip { presented::plain_layout } else { presented::virtual_layout };
            let relaid = layout(&frame, &Limits::default())?;
            Ok::<_, ParseError>(relaid.map(|relaid| IndexedCodestream::relaid(relaid, extents)))
        });
        match derived.await.map_err(io::Error::other)? {
            Ok(relaid) => Ok(relaid.unwrap_or(stored)),
            Err(ParseError::Source(error)) => Err(error.into()),
            Err(error) => Err(io::Error::other(error).into()),
        }
    }

    /// Loads the chunks of the index that `ranges` touch.
    pub(crate) async fn load(
        &self,
        open: &OpenObject,
        ranges: &[Range<u64>],
        loaded: &mut SparseBytes,
    ) -> Result<(), IndexCacheError> {
        self.load_file(open.number, &open.index_file, ranges, (0, loaded)).await
    }

    /// As [`IndexCache::load`], into a space in which the index begins at chunk `first`, and others elsewhere. The space
    /// does not end with it: what its last chunk lacks reads as zeros, which nothing that was opened asks for.
    pub(crate) async fn load_at(
        &self,
        open: &OpenObject,
        ranges: &[Range<u64>],
        first: u64,
        loaded: &mut SparseBytes,
    ) -> Result<(), IndexCacheError> {
        self.load_file(open.number, &open.index_file, ranges, (first, loaded)).await
    }

    async fn load_file(
        &self,
        number: u64,
        file: &Arc<StoredFile>,
        ranges: &[Range<u64>],
        (first, loaded): (u64, &mut SparseBytes),
    ) -> Result<(), IndexCacheError> {
        let mut put = |chunk: u64, bytes: Bytes| {
            let place = first.saturating_add(chunk);
            if loaded.insert(place, bytes.clone()) {
                return true;
            }
            let is_last = chunk.saturating_mul(CHUNK).saturating_add(bytes.len() as u64) == file.len();
            is_last && loaded.insert(place, padded(&bytes))
        };
        let mut wanted = Vec::new();
        for range in ranges {
            for chunk in range.start / CHUNK..range.end.min(file.len()).div_ceil(CHUNK) {
                match self.chunks.get(&(number, chunk)) {
                    Some(bytes) => {
                        put(chunk, bytes);
                    }
                    None => wanted.push(chunk),
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let parts = wanted.iter().map(|&chunk| {
            let start = chunk.saturating_mul(CHUNK);
            start..start.saturating_add(CHUNK).min(file.len())
        });
        let read = file.read(parts.collect()).await?;
        self.chunks_read.increment(wanted.len() as u64);
        let alone = wanted.len() == 1;
        for (chunk, bytes) in wanted.into_iter().zip(read) {
            // Neighbours are read in one piece; a kept chunk must not keep all of that piece alive.
            let bytes = if alone { bytes } else { Bytes::copy_from_slice(&bytes) };
            if put(chunk, bytes.clone()) {
                self.chunks.insert((number, chunk), bytes);
            }
        }
        Ok(())
    }
}

/// A whole chunk that begins with these bytes.
fn padded(bytes: &Bytes) -> Bytes {
    let mut chunk = bytes.to_vec();
    chunk.resize(usize::try_from(CHUNK).unwrap_or(chunk.len()), 0);
    chunk.into()
}
