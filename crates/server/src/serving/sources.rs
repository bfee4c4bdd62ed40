//! Where the bytes of a response come from: the opened objects of its target, their indexes, their codestreams.
//!
//! A target of one object reads its index where it lies. A series has an index for each object; for the protocol core
//! they lie side by side in one space, each in a slot of its own.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::Range,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use codestream::{
    CHUNK, Extent, SparseBytes,
    annex_i::{IndexedCodestream, Place},
};
use jpip::{
    CodestreamId,
    request::return_type::StreamType,
    response::{Batch, Piece, ResponsePlan},
};

use super::{
    index_cache::{IndexCache, IndexCacheError, OpenObject},
    target::OpenTarget,
};
use crate::storage::{Hole, StorageError};

/// Bytes of a slot: no index is that long.
const SLOT: u64 = 1 << 40;

/// Codestreams that are opened before others get their turn.
const TURN: usize = 64;

/// The opened objects and codestreams of one response.
pub(crate) struct Sources {
    indexes: Arc<IndexCache>,
    /// What the response is a stream of, by which codestreams are presented.
    stream: StreamType,
    /// Whether there are several objects, whose indexes are slots of one space.
    side_by_side: bool,
    /// By slot. Of a target of one object the metadata lie in it, too.
    objects: Vec<Arc<OpenObject>>,
    /// The slot of each member of the target that was opened.
    slots: HashMap<usize, usize>,
    codestreams: HashMap<CodestreamId, (usize, Arc<IndexedCodestream>)>,
}

impl Sources {
    /// Opens what the plan asks for, and gives it to the plan; one damaged frame does not take the others with it.
    ///
    /// # Errors
    ///
    /// If the store does not answer, or the only object of the target cannot be opened.
    pub(crate) async fn open(
        target: &OpenTarget,
        plan: &mut ResponsePlan,
        indexes: &Arc<IndexCache>,
    ) -> Result<(Self, SparseBytes), IndexCacheError> {
        let mut sources = Self {
            indexes: Arc::clone(indexes),
            stream: plan.stream(),
            side_by_side: target.members().len() != 1,
            objects: Vec::new(),
            slots: HashMap::new(),
            codestreams: HashMap::new(),
        };
        if let [only] = target.members() {
            sources.objects.push(indexes.open(only.object, only.index).await?);
            sources.slots.insert(0, 0);
        }
        let mut loaded = sources.nothing_loaded();
        let ids = plan.codestreams().to_vec();
        for (number, id) in ids.into_iter().enumerate() {
            match sources.codestream(target, id, &mut loaded).await {
                Ok(codestream) => plan.open(id, codestream),
                Err(IndexCacheError::Unusable(_) | IndexCacheError::Storage(StorageError::Missing)) => plan.without(id),
                Err(error) => return Err(error),
            }
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok((sources, loaded))
    }

    /// Whether a codestream was opened.
    pub(crate) fn has_codestreams(&self) -> bool {
        !self.codestreams.is_empty()
    }

    /// The space of the indexes with nothing of it loaded.
    pub(crate) fn nothing_loaded(&self) -> SparseBytes {
        match self.objects.as_slice() {
            [only] if !self.side_by_side => only.nothing_loaded(),
            _ => SparseBytes::new(u64::MAX),
        }
    }

    /// Loads parts of the indexes.
    pub(crate) async fn load(&self, needs: &[Range<u64>], loaded: &mut SparseBytes) -> Result<(), IndexCacheError> {
        if let [only] = self.objects.as_slice()
            && !self.side_by_side
        {
            return self.indexes.load(only, needs, loaded).await;
        }
        let mut by_slot = BTreeMap::<u64, Vec<Range<u64>>>::new();
        for range in needs {
            let slot = range.start / SLOT;
            let base = slot * SLOT;
            by_slot.entry(slot).or_default().push(range.start - base..range.end.saturating_sub(base));
        }
        for (slot, ranges) in by_slot {
            let object = usize::try_from(slot).ok().and_then(|slot| self.objects.get(slot));
            let object = object.ok_or(IndexCacheError::Unusable("a part of an index that was not opened"))?;
            self.indexes.load_at(object, &ranges, slot * (SLOT / CHUNK), loaded).await?;
        }
        Ok(())
    }

    /// Reads the parts of a batch, each located inside its frame, to where they belong between the message heads.
    pub(crate) async fn read(&self, batch: &Batch) -> io::Result<Bytes> {
        let mut body = BytesMut::zeroed(usize::try_from(batch.body_len).map_err(io::Error::other)?);
        let mut at = 0;
        let mut holes = BTreeMap::<usize, Vec<Hole>>::new();
        let mut hole = |slot: usize, extent: Extent, at: &mut usize| -> io::Result<()> {
            let end = usize::try_from(extent.len).ok().and_then(|len| at.checked_add(len));
            let end = end.ok_or_else(|| io::Error::other("a part longer than memory"))?;
            holes.entry(slot).or_default().push(Hole { at: *at..end, offset: extent.offset });
            *at = end;
            Ok(())
        };
        for piece in &batch.pieces {
            match piece {
                Piece::Inline(range) => {
                    let inline = batch.inline.get(range.start as usize..range.end as usize);
                    put(&mut body, inline.ok_or_else(|| io::Error::other("inline bytes out of range"))?, &mut at)?;
                }
                Piece::Codestream { id, span } => {
                    let known = self.codestreams.get(id);
                    let (slot, codestream) =
                        known.ok_or_else(|| io::Error::other("a codestream that was not opened"))?;
                    for place in codestream.locate(*span).map_err(io::Error::other)? {
                        match place {
                            Place::Object(extent) => hole(*slot, extent, &mut at)?,
                            Place::Inline(bytes) => put(&mut body, &bytes, &mut at)?,
                        }
                    }
                }
                Piece::Object(extent) => hole(0, *extent, &mut at)?,
            }
        }
        if at != body.len() {
            return Err(io::Error::other("a batch that is not as long as it says"));
        }
        for (slot, holes) in holes {
            let object = self.objects.get(slot).ok_or_else(|| io::Error::other("an object that was not opened"))?;
            body = object.object().fill(body, holes).await?;
        }
        Ok(body.freeze())
    }

    async fn codestream(
        &mut self,
        target: &OpenTarget,
        id: CodestreamId,
        loaded: &mut SparseBytes,
    ) -> Result<Arc<IndexedCodestream>, IndexCacheError> {
        let (number, member, position) = target.place(id).ok_or(IndexCacheError::Unusable("no such codestream"))?;
        let slot = match self.slots.get(&number) {
            Some(&slot) => slot,
            None => {
                self.objects.push(self.indexes.open(member.object, member.index).await?);
                let slot = self.objects.len() - 1;
                self.slots.insert(number, slot);
                slot
            }
        };
        let object = self.objects.get(slot).ok_or(IndexCacheError::Unusable("an object that was not opened"))?;
        let codestream = if self.side_by_side {
            let mut alone = object.nothing_loaded();
            let codestream = self.indexes.codestream(object, position, self.stream, &mut alone).await?;
            let moved = codestream.based_at((slot as u64).saturating_mul(SLOT));
            Arc::new(moved.ok_or(IndexCacheError::Unusable("too many objects"))?)
        } else {
            self.indexes.codestream(object, position, self.stream, loaded).await?
        };
        self.codestreams.insert(id, (slot, Arc::clone(&codestream)));
        Ok(codestream)
    }
}

/// Puts bytes into their place in a body.
fn put(body: &mut BytesMut, bytes: &[u8], at: &mut usize) -> io::Result<()> {
    let place = at.checked_add(bytes.len()).and_then(|end| body.get_mut(*at..end));
    place.ok_or_else(|| io::Error::other("a batch that is longer than it says"))?.copy_from_slice(bytes);
    *at += bytes.len();
    Ok(())
}
