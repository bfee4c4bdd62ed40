//! Encapsulated pixel data as they lie: items with fragments [PS3.5 A.4].

use codestream::Extent;

use crate::element::{ElementHeader, Encoding, ITEM, SEQUENCE_DELIMITER};
use crate::elements::check_count;
use crate::error::ObjectError;
use crate::input::Input;
use crate::limits::ScanLimits;

/// The items of one encapsulated value.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Basic Offset Table: offsets of frames' first items, from the first item behind the table.
    pub(crate) basic_offsets: Vec<u32>,
    pub(crate) fragments: Vec<Fragment>,
}

/// One fragment.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Its bytes, without the item header.
    pub(crate) extent: Extent,
    /// Offset of its item header as offset tables count it.
    pub(crate) table_offset: u64,
    /// Its first bytes, zero where it has none.
    pub(crate) head: [u8; HEAD],
}

/// Enough to recognise a codestream or a JP2 signature box.
pub(crate) const HEAD: usize = 12;

/// Reads items up to the sequence delimiter, which must be there.
pub(crate) fn read_fragments(
    input: &mut dyn Input,
    encoding: Encoding,
    limits: &ScanLimits,
    elements: &mut u64,
) -> Result<Fragments, ObjectError> {
    let mut found = Fragments::default();
    let Some(len) = next_item(input, encoding, limits, elements)? else { return Ok(found) };
    let entries = len / 4;
    if entries > limits.max_fragments {
        let (what, limit) = ("entries of the basic offset table", limits.max_fragments);
        // A length that the object cannot hold is a fault of the object, not of its size.
        input.skip(len, "the basic offset table")?;
        return Err(ObjectError::LimitExceeded { what, found: entries, limit });
    }
    for _ in 0..entries {
        let mut entry = [0; 4];
        input.read_exact(&mut entry, "the basic offset table")?;
        found.basic_offsets.push(encoding.u32(entry));
    }
    input.skip(len % 4, "the basic offset table")?;

    input.expect_sparse_reads(true);
    let first = input.position();
    loop {
        let item = input.position();
        let Some(len) = next_item(input, encoding, limits, elements)? else { break };
        let count = found.fragments.len() as u64 + 1;
        if count > limits.max_fragments {
            let what = "fragments of the pixel data";
            return Err(ObjectError::LimitExceeded { what, found: count, limit: limits.max_fragments });
        }
        let extent = Extent::new(input.position(), len);
        let mut head = [0; HEAD];
        let known = usize::try_from(len).unwrap_or(HEAD).min(HEAD);
        input.read_exact(head.get_mut(..known).unwrap_or_default(), "a fragment")?;
        input.skip(len - known as u64, "a fragment")?;
        found.fragments.push(Fragment { extent, table_offset: item - first, head });
    }
    input.expect_sparse_reads(false);
    Ok(found)
}

/// Length of the next item; `None` at the sequence delimiter.
fn next_item(
    input: &mut dyn Input,
    encoding: Encoding,
    limits: &ScanLimits,
    elements: &mut u64,
) -> Result<Option<u64>, ObjectError> {
    *elements += 1;
    check_count(*elements, limits)?;
    let header = ElementHeader::read(input, encoding)?;
    let malformed = |what| ObjectError::Malformed { what, offset: header.offset };
    match (header.tag, header.len) {
        (ITEM, Some(len)) => Ok(Some(len)),
        (ITEM, None) => Err(malformed("a fragment of undefined length")),
        (SEQUENCE_DELIMITER, Some(0)) => Ok(None),
        _ => Err(malformed("something other than a fragment in encapsulated pixel data")),
    }
}
