//! Where the packets of one tile-component lie, in 12 bytes each.

use crate::extent::Span;

/// Packets of one tile-component; entry `s × layers + l` is layer `l` of the precinct with sequence number `s`.
///
/// Entries are held densely when most of them can be present, and as a sorted list otherwise, so that a
/// few packets at the end of a huge announced table cost no more than themselves.
#[derive(Debug, Clone, Default)]
pub struct PacketTable {
    entries: Entries,
    len: u64,
}

#[derive(Debug, Clone)]
enum Entries {
    Dense(Vec<Entry>),
    /// Sorted by entry number once the table is finished.
    Sparse(Vec<(u64, Entry)>),
}

/// A span; packed to 4-byte alignment, so that a table of millions stays small. Length 0: absent.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, packed(4))]
struct Entry {
    offset: u64,
    len: u32,
}

impl Default for Entries {
    fn default() -> Self {
        Self::Dense(Vec::new())
    }
}

impl PacketTable {
    /// A table whose packets may be few among many.
    pub(super) const fn sparse() -> Self {
        Self { entries: Entries::Sparse(Vec::new()), len: 0 }
    }

    /// Puts a packet in; `false` if it is too long to be one or the entry too far for this machine.
    pub(crate) fn insert(&mut self, entry: u64, span: Span) -> bool {
        let (Ok(at), Ok(len)) = (usize::try_from(entry), u32::try_from(span.len)) else { return false };
        if len == 0 {
            return true;
        }
        let value = Entry { offset: span.offset, len };
        match &mut self.entries {
            Entries::Dense(entries) => {
                if entries.len() <= at {
                    entries.resize(at + 1, Entry::default());
                }
                if let Some(slot) = entries.get_mut(at) {
                    *slot = value;
                }
            }
            Entries::Sparse(entries) => entries.push((entry, value)),
        }
        self.len = self.len.max(entry + 1);
        true
    }

    /// Moves every packet by so many bytes towards the end.
    pub(crate) fn shift(&mut self, by: u64) {
        let moved = |entry: &mut Entry| {
            if entry.len > 0 {
                entry.offset = { entry.offset }.saturating_add(by);
            }
        };
        match &mut self.entries {
            Entries::Dense(entries) => entries.iter_mut().for_each(moved),
            Entries::Sparse(entries) => entries.iter_mut().for_each(|(_, entry)| moved(entry)),
        }
    }

    /// To be called when all packets are in.
    pub(crate) fn finish(&mut self) {
        match &mut self.entries {
            Entries::Dense(entries) => entries.shrink_to_fit(),
            Entries::Sparse(entries) => {
                entries.sort_unstable_by_key(|(number, _)| *number);
                entries.shrink_to_fit();
            }
        }
    }

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

    /// The span of an entry; `None` when the packet is absent or has no byte here.
    #[must_use]
    pub fn get(&self, entry: u64) -> Option<Span> {
        let found = match &self.entries {
            Entries::Dense(entries) => *entries.get(usize::try_from(entry).ok()?)?,
            Entries::Sparse(entries) => {
                entries.get(entries.binary_search_by_key(&entry, |(number, _)| *number).ok()?)?.1
            }
        };
        (found.len > 0).then_some(Span::new(found.offset, u64::from(found.len)))
    }

    /// Entries `0..len()` in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Span>> + '_ {
        (0..self.len).map(|entry| self.get(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_the_same() {
        assert_eq!(size_of::<Entry>(), 12);
        let mut tables = [PacketTable::default(), PacketTable::sparse()];
        for table in &mut tables {
            for (entry, offset) in [(9, 100), (2, u64::MAX - 50), (4, 3)] {
                assert!(table.insert(entry, Span::new(offset, entry)));
            }
            assert!(table.insert(20, Span::new(7, 0)));
            assert!(!table.insert(5, Span::new(0, 1 << 32)));
            table.finish();
            assert_eq!(table.len(), 10);
            assert_eq!(table.get(2), Some(Span::new(u64::MAX - 50, 2)));
            assert_eq!(table.get(3), None);
            assert_eq!(table.get(u64::MAX), None);
            assert_eq!(table.iter().flatten().count(), 3);
        }
    }
}
