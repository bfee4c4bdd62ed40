//! What a client holds: bytes of data-bins, merged from messages that come in any order and may repeat.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thiserror::Error;

use super::message_reader::Event;
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};

/// What a store may hold, whatever a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of memory, data and bookkeeping together.
    pub max_memory: u64,
    /// Length of one data-bin in bytes.
    pub max_bin_len: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { max_memory: 4 << 30, max_bin_len: 1 << 40 }
    }
}

/// Why a message could not be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Two messages disagree about a byte of a data-bin.
    #[error("data-bin {bin:?} is contradicted at byte {offset}")]
    Contradiction {
        /// The data-bin.
        bin: BinKey,
        /// A byte in the piece that disagrees.
        offset: u64,
    },
    /// Two messages disagree about where a data-bin ends.
    #[error("data-bin {bin:?} ends at byte {ends}, but was said to reach byte {reaches}")]
    WrongLength {
        /// The data-bin.
        bin: BinKey,
        /// Its length by one message.
        ends: u64,
        /// How far another one reaches.
        reaches: u64,
    },
    /// More than the limits allow.
    #[error("{what}: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
}

/// The data-bins of one logical target, as far as they have arrived.
#[derive(Debug, Clone, Default)]
pub struct DataBinStore {
    bins: BTreeMap<BinKey, DataBin>,
    memory: u64,
    limits: StoreLimits,
}

impl DataBinStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Merges one step of a response; heads and the end of the response change nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`].
    pub fn apply(&mut self, event: &Event<'_>) -> Result<(), StoreError> {
        match *event {
            Event::Body { bin, offset, bytes, complete } => self.insert(bin, offset, bytes, complete),
            Event::Message(_) | Event::EndOfResponse(_) => Ok(()),
        }
    }

    /// Merges `bytes`, which begin at `offset` of the data-bin and, if `complete`, end it.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Contradiction`] if bytes that are already here differ.
    /// - [`StoreError::WrongLength`] if the data-bin would reach past its end or end twice.
    /// - [`StoreError::LimitExceeded`] if the store or the data-bin would become too large; nothing was merged.
    pub fn insert(&mut self, key: BinKey, offset: u64, bytes: &[u8], complete: bool) -> Result<(), StoreError> {
        let end = offset.saturating_add(bytes.len() as u64);
        check_limit("bytes of a data-bin", end, self.limits.max_bin_len)?;
        let cost = BIN_COST + bytes.len() as u64 + SEGMENT_COST;
        check_limit("bytes of memory", self.memory.saturating_add(cost), self.limits.max_memory)?;
        let mut added = 0;
        let bin = self.bins.entry(key).or_insert_with(|| {
            added = BIN_COST;
            DataBin::default()
        });
        let merged = bin.merge(key, offset, bytes, complete);
        self.memory += added + merged?;
        Ok(())
    }

    /// What is here of a data-bin.
    #[must_use]
    pub fn bin(&self, key: &BinKey) -> Option<&DataBin> {
        self.bins.get(key)
    }

    /// Whether all of a data-bin is here.
    #[must_use]
    pub fn is_complete(&self, key: &BinKey) -> bool {
        self.bin(key).is_some_and(DataBin::is_complete)
    }

    /// All data-bins of which anything is known, by codestream, class and identifier.
    pub fn bins(&self) -> impl Iterator<Item = (&BinKey, &DataBin)> {
        self.bins.iter()
    }

    /// The data-bins of one class of one codestream, by identifier.
    pub fn bins_of(&self, codestream: CodestreamId, class: DataBinClass) -> impl Iterator<Item = (u64, &DataBin)> {
        let class = class.plain();
        let range = BinKey { codestream, class, id: 0 }..=BinKey { codestream, class, id: u64::MAX };
        self.bins.range(range).map(|(key, bin)| (key.id, bin))
    }

    /// Bytes of memory that are counted against the limit.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// Value of a `model` field that tells a server what is here, empty when nothing is [15444-9 C.8.1].
    ///
    /// A data-bin counts with the bytes from its beginning up to the first gap.
    #[must_use]
    pub fn model(&self) -> String {
        let mut items = Vec::new();
        let mut qualified = None;
        for (key, bin) in &self.bins {
            if bin.prefix_len() == 0 && !bin.is_complete() {
                continue;
            }
            if qualified != Some(key.codestream) {
                items.push(format!("[{}]", key.codestream.0));
                qualified = Some(key.codestream);
            }
            let letter = match key.class {
                DataBinClass::MainHeader => "Hm".to_owned(),
                DataBinClass::TileHeader => format!("H{}", key.id),
                DataBinClass::Tile | DataBinClass::ExtendedTile => format!("T{}", key.id),
                DataBinClass::Precinct | DataBinClass::ExtendedPrecinct => format!("P{}", key.id),
                DataBinClass::Metadata => format!("M{}", key.id),
            };
            items.push(if bin.is_complete() { letter } else { format!("{letter}:{}", bin.prefix_len()) });
        }
        items.join(",")
    }
}

/// What is here of one data-bin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataBin {
    /// Runs of bytes by offset; they never overlap but may touch. Joining runs that touch could copy a long
    /// bin once per message, so only the end of a run grows.
    runs: BTreeMap<u64, Vec<u8>>,
    /// Bytes from the beginning up to the first gap.
    prefix: u64,
    /// Length of the whole data-bin, once a message has said it.
    length: Option<u64>,
}

impl DataBin {
    /// Number of bytes from the beginning up to the first gap.
    #[must_use]
    pub const fn prefix_len(&self) -> u64 {
        self.prefix
    }

    /// Length of the whole data-bin, once it is known.
    #[must_use]
    pub const fn len(&self) -> Option<u64> {
        self.length
    }

    /// Whether the data-bin is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == Some(0)
    }

    /// Whether every byte of the data-bin is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.length == Some(self.prefix)
    }

    /// The bytes from the beginning up to the first gap.
    #[must_use]
    pub fn prefix(&self) -> Cow<'_, [u8]> {
        let Some(first) = self.runs.get(&0) else { return Cow::Borrowed(&[]) };
        if first.len() as u64 == self.prefix {
            return Cow::Borrowed(first);
        }
        let runs = self.runs.range(..self.prefix).map(|(_, run)| run.as_slice());
        Cow::Owned(runs.collect::<Vec<_>>().concat())
    }

    /// Bytes that are here, before and after gaps.
    #[must_use]
    pub fn bytes_held(&self) -> u64 {
        self.runs.values().map(|run| run.len() as u64).sum()
    }

    /// Merges a piece and returns the memory it took.
    fn merge(&mut self, bin: BinKey, offset: u64, mut bytes: &[u8], complete: bool) -> Result<u64, StoreError> {
        let end = offset.saturating_add(bytes.len() as u64);
        let held = self.runs.last_key_value().map_or(0, |(start, run)| start.saturating_add(run.len() as u64));
        if let Some(length) = self.length {
            if end > length || (complete && end != length) {
                return Err(StoreError::WrongLength { bin, ends: length.min(end), reaches: length.max(end) });
            }
        } else if complete && held > end {
            return Err(StoreError::WrongLength { bin, ends: end, reaches: held });
        }
        let mut at = offset;
        let mut memory = 0;
        while !bytes.is_empty() {
            let next_start = self.runs.range(at.saturating_add(1)..).next().map_or(u64::MAX, |(&start, _)| start);
            let before = self.runs.range_mut(..=at).next_back();
            // Bytes that are already here, or the run that ends exactly where these begin.
            let reach = before.as_ref().map_or(0, |(start, run)| (*start).saturating_add(run.len() as u64));
            if reach > at {
                let (mine, rest) = split(bytes, reach - at);
                let same = before.is_some_and(|(&start, run)| {
                    let from = usize::try_from(at - start).ok();
                    from.and_then(|from| run.get(from..)?.get(..mine.len())) == Some(mine)
                });
                if !same {
                    return Err(StoreError::Contradiction { bin, offset: at });
                }
                at += mine.len() as u64;
                bytes = rest;
                continue;
            }
            let (mine, rest) = split(bytes, next_start - at);
            match before {
                Some((_, run)) if reach == at => run.extend_from_slice(mine),
                _ => {
                    self.runs.insert(at, mine.to_vec());
                    memory += SEGMENT_COST;
                }
            }
            memory += mine.len() as u64;
            at += mine.len() as u64;
            bytes = rest;
        }
        if complete {
            self.length = Some(end);
        }
        while let Some((start, run)) = self.runs.range(..=self.prefix).next_back() {
            let reach = start.saturating_add(run.len() as u64);
            if reach <= self.prefix {
                break;
            }
            self.prefix = reach;
        }
        Ok(memory)
    }
}

/// The first `len` bytes, or all of them, and the rest.
fn split(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_checked(len).unwrap_or((bytes, &[]))
}

const fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<(), StoreError> {
    if found > limit { Err(StoreError::LimitExceeded { what, found, limit }) } else { Ok(()) }
}

/// Memory that a data-bin takes beside its bytes, about.
const BIN_COST: u64 = 128;

/// Memory that a run of bytes takes beside them, about.
const SEGMENT_COST: u64 = 64;

#[cfg(test)]
mod tests;
