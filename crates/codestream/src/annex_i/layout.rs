//! The tables of one codestream: their sizes before a byte is written, and their bytes.

use std::io::Write;

use smallvec::SmallVec;

use super::IndexError;
use super::tables::{
    ArrayShape, Cells, box_header, box_len, header_len, mhix_len, tile_header_len, tile_segments, write_mhix,
};
use crate::boxes::BoxType;
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::TileIndex;
use crate::index::{CodestreamIndex, IndexedTile, PacketTable};
use crate::reader::ByteSource;

/// The shapes of all tables of one codestream.
pub(super) struct Layout<'a> {
    pub(super) index: &'a CodestreamIndex,
    pub(super) rows: u32,
    pub(super) tile_parts: ArrayShape,
    pub(super) packets: Vec<ArrayShape>,
    /// With packed packet headers.
    pub(super) headers: Option<Vec<ArrayShape>>,
    pub(super) tile_headers: bool,
}

impl<'a> Layout<'a> {
    /// Plans the tables.
    ///
    /// # Errors
    ///
    /// - [`IndexError::LimitExceeded`] if dense tables would hold far more cells than there are entries.
    pub(super) fn new(index: &'a CodestreamIndex, codestream_len: u64) -> Result<Self, IndexError> {
        let wide = codestream_len.max(index.codestream_len) > u64::from(u32::MAX);
        let rows = index.tiles.last().map_or(0, |last| last.tile.0.saturating_add(1));
        let shape = |columns| ArrayShape { wide, auxiliary: false, columns, rows: u64::from(rows) };
        let tiles = &index.tiles;
        let most_parts = tiles.iter().map(|tile| tile.tile_parts.len() as u64).max().unwrap_or(0);
        let tile_parts = ArrayShape { auxiliary: most_parts > 1, ..shape(most_parts) };
        let components = index.header.siz().component_count();
        let mut packets = vec![0u64; usize::from(components)];
        let mut headers = packets.clone();
        let mut packed = false;
        let mut entries = 0u64;
        for tile in tiles {
            entries = entries.saturating_add(tile.tile_parts.len() as u64);
            for (columns, table) in packets.iter_mut().zip(&tile.packets) {
                *columns = (*columns).max(table.len());
                entries = entries.saturating_add(table.len());
            }
            let Some(tables) = &tile.packed_headers else { continue };
            packed = true;
            for (columns, table) in headers.iter_mut().zip(tables) {
                *columns = (*columns).max(table.len());
                entries = entries.saturating_add(table.len());
            }
            for &(component, entry) in tile.straddling_headers.keys() {
                if let Some(columns) = headers.get_mut(usize::from(component)) {
                    *columns = (*columns).max(entry.saturating_add(1));
                }
            }
        }
        let packets: Vec<ArrayShape> = packets.into_iter().map(shape).collect();
        let headers: Option<Vec<ArrayShape>> = packed.then(|| headers.into_iter().map(shape).collect());
        let shapes = packets.iter().chain(headers.iter().flatten()).chain([&tile_parts]);
        let cells = shapes.fold(0u64, |sum, shape| sum.saturating_add(shape.cells()));
        // Dense tables suit tiles that are alike. A codestream can be made to announce one rich tile among
        // thousands of empty ones; its tables may not be the larger the less there is in it.
        let limit = entries.saturating_mul(MAX_CELLS_PER_ENTRY).saturating_add(FREE_CELLS);
        if cells > limit {
            return Err(IndexError::LimitExceeded { what: "cells of the index tables", found: cells, limit });
        }
        let tile_headers = tiles.iter().any(|tile| !tile.header_segments.is_empty());
        Ok(Self { index, rows, tile_parts, packets, headers, tile_headers })
    }

    /// Every tile of the tables' rows, `None` where there is no tile-part.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Option<&'a IndexedTile>> + use<'a> {
        let mut tiles = self.index.tiles.iter().peekable();
        (0..self.rows).map(move |row| tiles.next_if(|tile| tile.tile == TileIndex(row)))
    }

    pub(super) fn mhix_len(&self) -> u64 {
        mhix_len(self.index.main_segments.iter().copied())
    }

    pub(super) fn write_mhix<W: Write>(&self, out: &mut W) -> Result<(), IndexError> {
        write_mhix(out, self.index.main_header_len, self.index.main_segments.iter().copied())
    }

    pub(super) const fn tpix_len(&self) -> u64 {
        box_len(self.tile_parts.contents_len())
    }

    pub(super) fn write_tpix<W: Write>(&self, out: &mut W) -> Result<(), IndexError> {
        let shape = self.tile_parts;
        let mut cells = Cells::new(out);
        cells.bytes.extend(box_header(*b"tpix", self.tpix_len()));
        cells.bytes.extend(shape.head()?);
        for tile in self.tiles() {
            let parts = tile.map_or(&[][..], |tile| &tile.tile_parts);
            for (number, part) in (1u32..).zip(parts) {
                shape.put(&mut cells.bytes, part.span.offset)?;
                shape.put(&mut cells.bytes, part.span.len)?;
                if shape.auxiliary {
                    // As OpenJPEG 1.5 writes it: resolution levels there after this tile-part.
                    let alone = tile.filter(|_| parts.len() == 1).map(|tile| tile.coding.max_decomposition_levels());
                    let auxiliary = alone.map_or(number, |levels| u32::from(levels) + 1);
                    cells.bytes.extend_from_slice(&auxiliary.to_be_bytes());
                }
                cells.pace()?;
            }
            let missing = shape.columns.saturating_sub(parts.len() as u64);
            cells.zeros(missing.saturating_mul(shape.entry_len()))?;
        }
        Ok(cells.flush()?)
    }

    pub(super) fn thix_len(&self) -> u64 {
        let boxes = self.tiles().map(|tile| box_len(mhix_len(tile_segments(tile))));
        let manifest = u64::from(self.rows).saturating_mul(8);
        boxes.fold(box_len(manifest), u64::saturating_add)
    }

    pub(super) fn write_thix<W: Write>(&self, out: &mut W) -> Result<(), IndexError> {
        let mut cells = Cells::new(out);
        cells.bytes.extend(box_header(*b"thix", self.thix_len()));
        cells.bytes.extend(box_header(*b"manf", u64::from(self.rows).saturating_mul(8)));
        for tile in self.tiles() {
            cells.bytes.extend(box_header(*b"mhix", mhix_len(tile_segments(tile))));
            cells.pace()?;
        }
        for tile in self.tiles() {
            write_mhix(&mut cells.bytes, tile_header_len(tile), tile_segments(tile))?;
            cells.pace()?;
        }
        Ok(cells.flush()?)
    }

    /// Contents of `ppix` or `phix` with these tables.
    pub(super) fn array_box_len(shapes: &[ArrayShape]) -> u64 {
        let manifest: u64 = shapes.iter().map(|shape| header_len(shape.contents_len())).sum();
        shapes.iter().map(|shape| box_len(shape.contents_len())).fold(box_len(manifest), u64::saturating_add)
    }

    /// Where the cells of each table begin, counted from the first byte of the `ppix` or `phix` box.
    pub(super) fn array_cells(shapes: &[ArrayShape]) -> impl Iterator<Item = u64> + '_ {
        let manifest: u64 = shapes.iter().map(|shape| header_len(shape.contents_len())).sum();
        let mut next = header_len(Self::array_box_len(shapes)).saturating_add(box_len(manifest));
        shapes.iter().map(move |shape| {
            let begin = next;
            next = next.saturating_add(box_len(shape.contents_len()));
            begin.saturating_add(header_len(shape.contents_len())).saturating_add(shape.head_len())
        })
    }

    pub(super) fn write_ppix<W: Write>(&self, out: &mut W) -> Result<(), IndexError> {
        write_arrays(out, *b"ppix", &self.packets, |component, shape, cells| {
            self.each_row(
                component,
                shape,
                cells,
                |tile| tile.packets.as_slice(),
                |cells, _, _, span| {
                    shape.put(&mut cells.bytes, span.offset)?;
                    shape.put(&mut cells.bytes, span.len)
                },
            )
        })
    }

    /// Writes `phix`; reads two bytes of every packet of tiles that may use SOP.
    pub(super) fn write_phix<W: Write>(&self, out: &mut W, codestream: &dyn ByteSource) -> Result<(), IndexError> {
        let shapes = self.headers.as_deref().unwrap_or_default();
        write_arrays(out, *b"phix", shapes, |component, shape, cells| {
            for tile in self.tiles() {
                for entry in 0..shape.columns {
                    let pieces = tile.map(|tile| header_pieces(tile, component, entry)).unwrap_or_default();
                    let Some((tile, first)) = tile.zip(pieces.first()) else {
                        cells.zeros(shape.entry_len())?;
                        continue;
                    };
                    let unit = if shape.wide { 1u64 << 32 } else { 1 };
                    let mut len = first.len;
                    if len >= u64::from(CONTINUES) {
                        return Err(IndexError::Inconsistent { what: "a packet header of 1 GiB" });
                    }
                    if pieces.len() > 1 {
                        len |= u64::from(CONTINUES) * unit;
                    }
                    if tile.coding.sop && begins_with_sop(codestream, body(tile, component, entry))? {
                        len |= u64::from(AFTER_SOP) * unit;
                    }
                    shape.put(&mut cells.bytes, first.offset)?;
                    shape.put(&mut cells.bytes, len)?;
                    cells.pace()?;
                }
            }
            Ok(())
        })
    }

    fn each_row<W: Write>(
        &self,
        component: u16,
        shape: ArrayShape,
        cells: &mut Cells<'_, W>,
        tables: impl Fn(&IndexedTile) -> &[PacketTable],
        mut put: impl FnMut(&mut Cells<'_, W>, &IndexedTile, u64, Span) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        for tile in self.tiles() {
            let mut written = 0u64;
            if let Some((tile, table)) = tile.and_then(|t| Some((t, tables(t).get(usize::from(component))?))) {
                for (entry, span) in (0u64..).zip(table.iter()) {
                    match span {
                        Some(span) => put(cells, tile, entry, span)?,
                        None => cells.zeros(shape.entry_len())?,
                    }
                    cells.pace()?;
                }
                written = table.len();
            }
            cells.zeros(shape.columns.saturating_sub(written).saturating_mul(shape.entry_len()))?;
        }
        Ok(())
    }
}

/// The pieces of a packed packet header, in order.
pub(super) fn header_pieces(tile: &IndexedTile, component: u16, entry: u64) -> SmallVec<[Span; 2]> {
    let mut pieces = SmallVec::new();
    let Some(tables) = &tile.packed_headers else { return pieces };
    if let Some(straddling) = tile.straddling_headers.get(&(component, entry)) {
        pieces.extend_from_slice(straddling);
    }
    pieces.extend(tables.get(usize::from(component)).and_then(|table| table.get(entry)));
    pieces
}

fn body(tile: &IndexedTile, component: u16, entry: u64) -> Option<Span> {
    tile.packets.get(usize::from(component))?.get(entry)
}

fn begins_with_sop(codestream: &dyn ByteSource, body: Option<Span>) -> Result<bool, IndexError> {
    let Some(body) = body.filter(|body| body.len >= SOP_LEN) else { return Ok(false) };
    let mut start = [0; 2];
    codestream.read_exact_at(body.offset, &mut start).map_err(ParseError::Source)?;
    Ok(start == [0xFF, 0x91])
}

fn write_arrays<W: Write>(
    out: &mut W,
    box_type: BoxType,
    shapes: &[ArrayShape],
    mut table: impl FnMut(u16, ArrayShape, &mut Cells<'_, W>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut cells = Cells::new(out);
    cells.bytes.extend(box_header(box_type, Layout::array_box_len(shapes)));
    let manifest = shapes.iter().map(|shape| header_len(shape.contents_len())).sum();
    cells.bytes.extend(box_header(*b"manf", manifest));
    for shape in shapes {
        cells.bytes.extend(box_header(*b"faix", shape.contents_len()));
    }
    for (component, &shape) in (0u16..).zip(shapes) {
        cells.bytes.extend(shape.head()?);
        table(component, shape, &mut cells)?;
    }
    Ok(cells.flush()?)
}

/// Bytes of an SOP marker segment.
pub(super) const SOP_LEN: u64 = 6;

/// Bit of the upper LEN half of a `phix` entry: the packet in place begins with an SOP marker segment.
pub(super) const AFTER_SOP: u32 = 1 << 31;

/// Bit of the upper LEN half of a `phix` entry: the header goes on in another marker segment.
pub(super) const CONTINUES: u32 = 1 << 30;

/// Cells that tables may have for each entry that is there.
const MAX_CELLS_PER_ENTRY: u64 = 16;

/// Cells that tables may have in any case.
const FREE_CELLS: u64 = 1 << 20;
