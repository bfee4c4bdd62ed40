//! Checks the index inside a file against the one made from the codestream itself.

use crate::boxes::{BoxBudget, BoxHeader, BoxReader, BoxType, read_contents};
use crate::error::ParseError;
use crate::extent::{Extent, FrameExtents, Span};
use crate::geometry::TileIndex;
use crate::index::CodestreamIndex;
use crate::jp2::Jp2File;
use crate::limits::Limits;
use crate::reader::ByteSource;

/// How a foreign codestream index compares with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// No `cidx` of the file belongs to this codestream.
    Absent,
    /// Every entry of its header, tile-part and packet tables is right.
    Agrees,
    /// An entry is wrong.
    Disagrees {
        /// The table: `mhix`, `tpix` or `ppix`.
        table: BoxType,
        /// Component (`ppix`) or 0.
        component: u16,
        /// Tile (`tpix`, `ppix`) or 0.
        tile: u32,
        /// Entry in its row.
        entry: u64,
    },
    /// A table is missing or has an impossible shape.
    Unreadable(BoxType),
}

/// Compares the index boxes that `file` holds for one of its codestreams with `index`.
///
/// # Errors
///
/// - [`ParseError`] if the boxes of the index cannot be read.
pub fn compare(
    source: &dyn ByteSource,
    file: &Jp2File,
    extents: &FrameExtents,
    index: &CodestreamIndex,
    limits: &Limits,
) -> Result<Comparison, ParseError> {
    let budget = BoxBudget::new(limits);
    for top in file.boxes.iter().filter(|top| &top.header.box_type == b"cidx") {
        let mut children = BoxReader::children(source, &budget, top.header.contents, 1)?;
        let Some(finder) = children.next().transpose()? else { continue };
        if &finder.box_type != b"cptr" || finder.contents.len != 20 {
            continue;
        }
        let place = numbers(&read_contents(source, Extent::new(finder.contents.offset + 4, 16), 16)?);
        let [Some(whole), None] = [extents.extents().first(), extents.extents().get(1)] else { continue };
        if place != Some((whole.offset, whole.len)) {
            continue;
        }
        let tables: Vec<BoxHeader> = children.collect::<Result<_, _>>()?;
        return Check { source, budget: &budget, index }.tables(&tables);
    }
    Ok(Comparison::Absent)
}

struct Check<'a> {
    source: &'a dyn ByteSource,
    budget: &'a BoxBudget,
    index: &'a CodestreamIndex,
}

/// A fragment array of any version.
struct Array {
    cells: u64,
    columns: u64,
    rows: u64,
    /// Bytes of each number, and of the auxiliary one.
    width: u64,
    auxiliary: u64,
}

impl Check<'_> {
    fn tables(&self, tables: &[BoxHeader]) -> Result<Comparison, ParseError> {
        let find = |name: &BoxType| tables.iter().find(|table| &table.box_type == name);
        if let Some(header) = find(b"mhix") {
            let found = self.main_header(header)?;
            if found != Comparison::Agrees {
                return Ok(found);
            }
        }
        let Some(tpix) = find(b"tpix") else { return Ok(Comparison::Unreadable(*b"tpix")) };
        let Some(ppix) = find(b"ppix") else { return Ok(Comparison::Unreadable(*b"ppix")) };
        let [array] = self.arrays(tpix)?.try_into().unwrap_or([const { None }]);
        let Some(array) = array else { return Ok(Comparison::Unreadable(*b"tpix")) };
        let found = self.rows(*b"tpix", 0, &array, |tile, entry| {
            let part = usize::try_from(entry).ok().and_then(|at| self.index.tile(tile)?.tile_parts.get(at));
            part.map(|part| part.span)
        })?;
        if found != Comparison::Agrees {
            return Ok(found);
        }
        let arrays = self.arrays(ppix)?;
        if arrays.len() != usize::from(self.index.header.siz().component_count()) {
            return Ok(Comparison::Unreadable(*b"ppix"));
        }
        for (component, array) in (0u16..).zip(&arrays) {
            let Some(array) = array else { return Ok(Comparison::Unreadable(*b"ppix")) };
            let found = self.rows(*b"ppix", component, array, |tile, entry| {
                self.index.tile(tile)?.packets.get(usize::from(component))?.get(entry)
            })?;
            if found != Comparison::Agrees {
                return Ok(found);
            }
        }
        Ok(Comparison::Agrees)
    }

    fn main_header(&self, table: &BoxHeader) -> Result<Comparison, ParseError> {
        let segments = self.index.main_segments.iter().filter(|segment| segment.span.len >= 4);
        let bytes = read_contents(self.source, table.contents, MAX_HEADER_TABLE)?;
        let Some((len, entries)) = bytes.split_first_chunk::<8>() else {
            return Ok(Comparison::Unreadable(*b"mhix"));
        };
        let (entries, rest) = entries.as_chunks::<14>();
        if !rest.is_empty() || u64::from_be_bytes(*len) != self.index.main_header_len {
            return Ok(Comparison::Unreadable(*b"mhix"));
        }
        for (number, (entry, segment)) in (0u64..).zip(entries.iter().zip(segments)) {
            let &[m0, m1, _, _, o0, o1, o2, o3, o4, o5, o6, o7, ..] = entry;
            let offset = u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
            // Some writers point at the marker code, most at the length field behind it.
            let here = offset == segment.span.offset || offset == segment.span.offset.saturating_add(2);
            if u16::from_be_bytes([m0, m1]) != segment.marker || !here {
                return Ok(Comparison::Disagrees { table: *b"mhix", component: 0, tile: 0, entry: number });
            }
        }
        Ok(Comparison::Agrees)
    }

    fn arrays(&self, table: &BoxHeader) -> Result<Vec<Option<Array>>, ParseError> {
        let mut arrays = Vec::new();
        for child in BoxReader::children(self.source, self.budget, table.contents, 2)? {
            let child = child?;
            if &child.box_type == b"faix" {
                arrays.push(self.array(&child)?);
            }
        }
        Ok(arrays)
    }

    fn array(&self, table: &BoxHeader) -> Result<Option<Array>, ParseError> {
        let start = Extent::new(table.contents.offset, table.contents.len.min(17));
        let head = read_contents(self.source, start, 17)?;
        let Some((&version, counts)) = head.split_first().filter(|(version, _)| **version < 4) else {
            return Ok(None);
        };
        let wide = version & 1 != 0;
        let counts = if wide { numbers(counts) } else { narrow_numbers(counts) };
        let Some((columns, rows)) = counts else { return Ok(None) };
        let (width, auxiliary) = (if wide { 8 } else { 4 }, if version & 2 != 0 { 4 } else { 0 });
        let head_len = 1 + 2 * width;
        let cells_len = columns.checked_mul(rows).and_then(|cells| cells.checked_mul(2 * width + auxiliary));
        if cells_len.and_then(|len| len.checked_add(head_len)) != Some(table.contents.len) {
            return Ok(None);
        }
        Ok(Some(Array { cells: table.contents.offset.saturating_add(head_len), columns, rows, width, auxiliary }))
    }

    /// Compares all entries of one array; its length is that of bytes in the file.
    fn rows(
        &self,
        table: BoxType,
        component: u16,
        array: &Array,
        ours: impl Fn(TileIndex, u64) -> Option<Span>,
    ) -> Result<Comparison, ParseError> {
        let cell = 2 * array.width + array.auxiliary;
        let mut buffer = Vec::new();
        let mut at = array.cells;
        let mut left = array.columns.saturating_mul(array.rows);
        let mut number = 0u64;
        while left > 0 {
            let some = left.min(CELLS_AT_ONCE);
            buffer.resize(usize::try_from(some.saturating_mul(cell)).unwrap_or(0), 0);
            self.source.read_exact_at(at, &mut buffer)?;
            for bytes in buffer.chunks_exact(usize::try_from(cell).unwrap_or(1)) {
                let (tile, entry) = (number / array.columns.max(1), number % array.columns.max(1));
                let tile = u32::try_from(tile).unwrap_or(u32::MAX);
                let found = if array.width == 8 { numbers(bytes) } else { narrow_numbers(bytes) };
                let expected = ours(TileIndex(tile), entry).map_or((0, 0), |span| (span.offset, span.len));
                // An absent entry is known by its length.
                let both_absent = expected.1 == 0 && found.is_some_and(|(_, len)| len == 0);
                if found != Some(expected) && !both_absent {
                    return Ok(Comparison::Disagrees { table, component, tile, entry });
                }
                number = number.saturating_add(1);
            }
            at = at.saturating_add(buffer.len() as u64);
            left -= some;
        }
        Ok(Comparison::Agrees)
    }
}

/// The first two 64-bit numbers.
fn numbers(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*rest.first_chunk()?)))
}

/// The first two 32-bit numbers.
fn narrow_numbers(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    Some((u64::from(u32::from_be_bytes(*first)), u64::from(u32::from_be_bytes(*rest.first_chunk()?))))
}

const CELLS_AT_ONCE: u64 = 4096;

const MAX_HEADER_TABLE: u64 = 16 << 20;
