//! Where the packets of one tile-component lie, in 12 bytes each.

use crate::extent::Span;

/// Packets of one tile-component; entry `s × layers + l` is layer `l` of the precinct with sequence number `s`.
///
/// Entries are held densely when most of them can be present, and as a sorted list otherwise, so that a
/// few packets at the end of a huge announced table cost no more than themselves.
#[derive(Debug, Clone, Default)]
pub struct PacketTable {
    dense: Vec<Entry>,
    /// Sorted by entry number once the table is finished.
    sparse: Vec<(u64, Entry)>,
    len: u64,
}

/// A span; packed to 4-byte alignment, so that a table of millions stays small. Length 0: absent.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, packed(4))]
struct Entry {
    offset: u64,
    len: u32,
}

impl PacketTable {
    /// One past the last entry that is present.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether no packet is present.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The span of an entry; `None` when the packet is absent or empty here.
    #[must_use]
    pub fn get(&self, entry: u64) -> Option<Span> {
        let found = if self.sparse.is_empty() {
            *self.dense.get(usize::try_from(entry).ok()?)?
        } else {
            let at = self.sparse.binary_search_by_key(&entry, |(number, _)| *number).ok()?;
            self.sparse.get(at)?.1
        };
        (found.len > 0).then_some(Span::new(found.offset, u64::from(found.len)))
    }

    /// Entries `0..len()` in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Span>> + '_ {
        (0..self.len).map(|entry| self.get(entry))
    }
}
