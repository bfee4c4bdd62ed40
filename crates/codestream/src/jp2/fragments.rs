//! Fragment tables: a codestream in pieces [15444-2 M.11.3, M.11.4].

use crate::boxes::{BoxBudget, BoxReader, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::limits::Limits;
use crate::reader::ByteSource;

/// The fragments of one codestream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FragmentTable {
    /// Fragments inside this file, in codestream order.
    pub(super) extents: Vec<Extent>,
    /// Whether a fragment lies in another file or resource; then there are no extents.
    pub(super) elsewhere: bool,
    /// Whether fragments were cut or left out because the file ends before them.
    pub(super) cut: bool,
}

/// Reads the fragment list inside a fragment table box whose contents are given.
pub(super) fn read(
    source: &dyn ByteSource,
    budget: &BoxBudget,
    limits: &Limits,
    contents: Extent,
    depth: u16,
) -> Result<FragmentTable, ParseError> {
    for child in BoxReader::children(source, budget, contents, depth)? {
        let child = child?;
        if &child.box_type == b"flst" {
            return read_list(source, limits, child.contents);
        }
    }
    Err(ParseError::Malformed { what: "a fragment table without a fragment list", offset: contents.offset })
}

fn read_list(source: &dyn ByteSource, limits: &Limits, contents: Extent) -> Result<FragmentTable, ParseError> {
    // NF (2 bytes), then NF entries of OFF (8), LEN (4), DR (2).
    let bytes = read_contents(source, contents, 2 + u64::from(u16::MAX) * ENTRY_LEN as u64)?;
    let Some((&[n0, n1], entries)) = bytes.split_first_chunk() else {
        return Err(ParseError::Truncated { what: "a fragment list", offset: contents.end() });
    };
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    if count > limits.max_fragments {
        let (found, limit) = (count as u64, limits.max_fragments as u64);
        return Err(ParseError::LimitExceeded { what: "number of fragments", found, limit });
    }
    let (entries, _) = entries.as_chunks::<ENTRY_LEN>();
    if entries.len() < count {
        return Err(ParseError::Truncated { what: "a fragment list", offset: contents.end() });
    }
    let mut table = FragmentTable::default();
    for &[o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, d0, d1] in entries.iter().take(count) {
        if [d0, d1] != [0, 0] {
            return Ok(FragmentTable { extents: Vec::new(), elsewhere: true, cut: false });
        }
        let offset = u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let len = u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
        let there = source.len().saturating_sub(offset).min(len);
        if there > 0 && !table.cut {
            table.extents.push(Extent::new(offset, there));
        }
        // What follows a gap cannot be told from what belongs into it.
        table.cut |= there < len;
    }
    Ok(table)
}

const ENTRY_LEN: usize = 14;
