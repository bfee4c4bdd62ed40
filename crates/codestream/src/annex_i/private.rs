//! Our own box in each `cidx`: what opening a codestream needs, in one place.
//!
//! ```text
//! 16  uuid
//! 60  head: version, flags, lengths, shape of tpix, counts of what follows
//!     components × (cells of ppix, NMAX[, cells of phix, NMAX])    positions from the start of cidx
//!     spans of the main header without PPM, PLM and TLM            offset, length
//!     tile-parts with Psot 0                                       offset
//!     packet headers that go on in another marker segment          first offset, offset, length
//!     SOC SIZ CAP COD COC POC QCD of the main header               as in the codestream
//!   only if a tile-part header holds a marker segment:
//!     tiles × (where, spans, overrides length)                     "where" from the end of this table
//!     for each tile: spans of its header without PPT and PLT, then its COD COC POC as in the codestream
//! ```
//!
//! All but the last two is read when a codestream is opened; its size does not grow with the number of
//! tiles or packets.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use super::layout::{Layout, header_pieces};
use super::tables::{Cells, box_header};
use super::{IndexError, OpenError};
use crate::error::ParseError;
use crate::extent::Span;
use crate::index::{IndexedTile, TilePartSpan};
use crate::main_header::TileCoding;
use crate::markers::{MarkerSegment, code};
use crate::reader::ByteSource;

/// Names our box.
pub(super) const UUID: [u8; 16] =
    [0x5d, 0x0e, 0x93, 0x4a, 0x21, 0x7c, 0x4f, 0x18, 0x9b, 0x66, 0xd1, 0x3e, 0x07, 0xa2, 0xc8, 0x54];

/// Changes whenever the meaning of a stored index does; older ones are made anew.
pub(super) const VERSION: u32 = 1;

/// Bytes of uuid and head.
pub(super) const HEAD_LEN: u64 = 76;

const WIDE: u32 = 1;
const TILE_PART_AUXILIARY: u32 = 2;
const PACKED: u32 = 4;
const TILE_HEADERS: u32 = 8;

const TILE_RECORD: u64 = 16;
const CONTINUED_RECORD: u64 = 20;

/// The box, ready to be written.
pub(super) struct PrivateBox<'a> {
    layout: &'a Layout<'a>,
    jpp_spans: Vec<Span>,
    psot_zero: Vec<u64>,
    continued: Vec<(u64, Span)>,
    copied: Vec<Span>,
}

/// Where the tables lie, from the start of `cidx`.
pub(super) struct Places {
    pub(super) tpix_cells: u64,
    pub(super) ppix: u64,
    pub(super) phix: u64,
}

impl<'a> PrivateBox<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        let index = layout.index;
        let dropped = |segment: &&MarkerSegment| matches!(segment.marker, code::PPM | code::PLM | code::TLM);
        let dropped = index.main_segments.iter().filter(dropped).map(|segment| segment.span);
        let parts = index.tiles.iter().flat_map(|tile| &tile.tile_parts);
        let mut continued = Vec::new();
        for tile in &index.tiles {
            for &(component, entry) in tile.straddling_headers.keys() {
                let pieces = header_pieces(tile, component, entry);
                if let Some((first, more)) = pieces.split_first() {
                    continued.extend(more.iter().map(|&piece| (first.offset, piece)));
                }
            }
        }
        // Stable, so that the pieces of one header stay in order.
        continued.sort_by_key(|&(first, _)| first);
        let mut quantization = false;
        let copied = index.main_segments.iter().filter(|segment| match segment.marker {
            code::SOC | code::SIZ | code::CAP | code::COD | code::COC | code::POC => true,
            code::QCD => !std::mem::replace(&mut quantization, true),
            _ => false,
        });
        Self {
            layout,
            jpp_spans: without(Span::new(0, index.main_header_len), dropped),
            psot_zero: parts.filter(|part| part.psot_zero).map(|part| part.span.offset).collect(),
            continued,
            copied: copied.map(|segment| segment.span).collect(),
        }
    }

    pub(super) fn contents_len(&self) -> u64 {
        let per_component = if self.layout.headers.is_some() { 32 } else { 16 };
        let mut len = HEAD_LEN
            .saturating_add((self.layout.packets.len() as u64).saturating_mul(per_component))
            .saturating_add((self.jpp_spans.len() as u64).saturating_mul(16))
            .saturating_add((self.psot_zero.len() as u64).saturating_mul(8))
            .saturating_add((self.continued.len() as u64).saturating_mul(CONTINUED_RECORD))
            .saturating_add(total(&self.copied));
        if self.layout.tile_headers {
            len = len.saturating_add(u64::from(self.layout.rows).saturating_mul(TILE_RECORD));
            for tile in &self.layout.index.tiles {
                let (spans, overrides) = self.tile_header(tile);
                len = len.saturating_add((spans.len() as u64).saturating_mul(16)).saturating_add(total(&overrides));
            }
        }
        len
    }

    pub(super) fn write<W: Write>(
        &self,
        out: &mut W,
        places: &Places,
        codestream: &dyn ByteSource,
    ) -> Result<(), IndexError> {
        let layout = self.layout;
        let mut cells = Cells::new(out);
        cells.bytes.extend(box_header(*b"uuid", self.contents_len()));
        cells.bytes.extend_from_slice(&UUID);
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = flag(layout.tile_parts.wide, WIDE)
            | flag(layout.tile_parts.auxiliary, TILE_PART_AUXILIARY)
            | flag(layout.headers.is_some(), PACKED)
            | flag(layout.tile_headers, TILE_HEADERS);
        let bytes = &mut cells.bytes;
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&layout.index.codestream_len.to_be_bytes());
        bytes.extend_from_slice(&layout.index.main_header_len.to_be_bytes());
        bytes.extend_from_slice(&layout.rows.to_be_bytes());
        put_count(bytes, layout.tile_parts.columns)?;
        bytes.extend_from_slice(&places.tpix_cells.to_be_bytes());
        put_count(bytes, layout.packets.len() as u64)?;
        put_count(bytes, self.jpp_spans.len() as u64)?;
        put_count(bytes, self.psot_zero.len() as u64)?;
        put_count(bytes, self.continued.len() as u64)?;
        put_count(bytes, total(&self.copied))?;
        let headers = layout.headers.as_deref().unwrap_or_default();
        let mut header_cells = Layout::array_cells(headers).zip(headers);
        for (cells_at, shape) in Layout::array_cells(&layout.packets).zip(&layout.packets) {
            bytes.extend_from_slice(&places.ppix.saturating_add(cells_at).to_be_bytes());
            bytes.extend_from_slice(&shape.columns.to_be_bytes());
            if let Some((cells_at, shape)) = header_cells.next() {
                bytes.extend_from_slice(&places.phix.saturating_add(cells_at).to_be_bytes());
                bytes.extend_from_slice(&shape.columns.to_be_bytes());
            }
        }
        put_spans(bytes, &self.jpp_spans);
        for offset in &self.psot_zero {
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        for (first, piece) in &self.continued {
            bytes.extend_from_slice(&first.to_be_bytes());
            bytes.extend_from_slice(&piece.offset.to_be_bytes());
            put_count(bytes, piece.len)?;
        }
        copy(&mut cells, codestream, &self.copied)?;
        if layout.tile_headers {
            self.write_tile_headers(&mut cells, codestream)?;
        }
        Ok(cells.flush()?)
    }

    fn tile_header(&self, tile: &IndexedTile) -> (Vec<Span>, Vec<Span>) {
        tile_header(tile, self.layout.index.header.coding())
    }

    fn write_tile_headers<W: Write>(
        &self,
        cells: &mut Cells<'_, W>,
        codestream: &dyn ByteSource,
    ) -> Result<(), IndexError> {
        let mut next = 0u64;
        for tile in self.layout.tiles() {
            let (spans, overrides) = tile.map(|tile| self.tile_header(tile)).unwrap_or_default();
            cells.bytes.extend_from_slice(&next.to_be_bytes());
            put_count(&mut cells.bytes, spans.len() as u64)?;
            put_count(&mut cells.bytes, total(&overrides))?;
            cells.pace()?;
            next = next.saturating_add((spans.len() as u64).saturating_mul(16)).saturating_add(total(&overrides));
        }
        for tile in self.layout.tiles().flatten() {
            let (spans, overrides) = self.tile_header(tile);
            put_spans(&mut cells.bytes, &spans);
            cells.pace()?;
            copy(cells, codestream, &overrides)?;
        }
        Ok(())
    }
}

/// The tile-header data-bin of a tile, and the segments that change its coding.
fn tile_header(tile: &IndexedTile, shared: &Arc<TileCoding>) -> (Vec<Span>, Vec<Span>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut overrides = Vec::new();
    // A tile whose overrides could not be read has the shared coding; they would stop the reader too.
    let own_coding = !Arc::ptr_eq(&tile.coding, shared);
    for segment in &tile.header_segments {
        if matches!(segment.marker, code::SOT | code::SOD | code::PPT | code::PLT) {
            continue;
        }
        match spans.last_mut() {
            Some(last) if last.end() == segment.span.offset => last.len = last.len.saturating_add(segment.span.len),
            _ => spans.push(segment.span),
        }
        if own_coding && matches!(segment.marker, code::COD | code::COC | code::POC) {
            overrides.push(segment.span);
        }
    }
    (spans, overrides)
}

/// `whole` less the given spans, which are ascending.
fn without(whole: Span, dropped: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut kept = Vec::new();
    let mut at = whole.offset;
    for gap in dropped {
        if gap.offset > at {
            kept.push(Span::new(at, gap.offset - at));
        }
        at = at.max(gap.end());
    }
    if whole.end() > at {
        kept.push(Span::new(at, whole.end() - at));
    }
    kept
}

fn total(spans: &[Span]) -> u64 {
    spans.iter().fold(0, |sum, span| sum.saturating_add(span.len))
}

fn put_count(bytes: &mut Vec<u8>, count: u64) -> Result<(), IndexError> {
    let narrow = u32::try_from(count);
    let too_many = |_| IndexError::LimitExceeded { what: "a count", found: count, limit: u64::from(u32::MAX) };
    bytes.extend_from_slice(&narrow.map_err(too_many)?.to_be_bytes());
    Ok(())
}

fn put_spans(bytes: &mut Vec<u8>, spans: &[Span]) {
    for span in spans {
        bytes.extend_from_slice(&span.offset.to_be_bytes());
        bytes.extend_from_slice(&span.len.to_be_bytes());
    }
}

fn copy<W: Write>(cells: &mut Cells<'_, W>, codestream: &dyn ByteSource, spans: &[Span]) -> Result<(), IndexError> {
    for span in spans {
        // A marker segment has 65537 bytes at most.
        let len = u16::try_from(span.len.saturating_sub(2));
        let len = len.map_err(|_why| IndexError::Inconsistent { what: "a marker segment above 65537 bytes" })?;
        let mut segment = vec![0; usize::from(len) + 2];
        codestream.read_exact_at(span.offset, &mut segment).map_err(ParseError::Source)?;
        cells.bytes.extend_from_slice(&segment);
        cells.pace()?;
    }
    Ok(())
}

/// The fixed part, as read back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) wide: bool,
    pub(super) tile_part_auxiliary: bool,
    pub(super) packed: bool,
    pub(super) tile_headers: bool,
    pub(super) codestream_len: u64,
    pub(super) main_header_len: u64,
    pub(super) rows: u32,
    pub(super) tile_part_columns: u32,
    pub(super) tpix_cells: u64,
    components: u32,
    jpp_spans: u32,
    psot_zero: u32,
    continued: u32,
    copied: u32,
}

/// The part that opening reads.
#[derive(Debug, Clone)]
pub(super) struct Essentials {
    pub(super) components: Vec<ComponentTables>,
    pub(super) jpp_spans: Vec<Span>,
    pub(super) psot_zero: Vec<u64>,
    /// Ordered by the offset of the header's first piece.
    pub(super) continued: Vec<(u64, Span)>,
    pub(super) main_header: Vec<u8>,
}

/// Where the tables of one component lie, from the start of `cidx`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ComponentTables {
    pub(super) packets: u64,
    pub(super) packet_columns: u64,
    pub(super) headers: u64,
    pub(super) header_columns: u64,
}

impl Head {
    /// Reads uuid and head.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let Some(bytes) = bytes.strip_prefix(&UUID) else {
            return Err(OpenError::Unusable("it holds a foreign box where ours belongs"));
        };
        let mut fields = Numbers(bytes);
        if fields.u32()? != VERSION {
            return Err(OpenError::Unusable("it was written by another version"));
        }
        let flags = fields.u32()?;
        Ok(Self {
            wide: flags & WIDE != 0,
            tile_part_auxiliary: flags & TILE_PART_AUXILIARY != 0,
            packed: flags & PACKED != 0,
            tile_headers: flags & TILE_HEADERS != 0,
            codestream_len: fields.u64()?,
            main_header_len: fields.u64()?,
            rows: fields.u32()?,
            tile_part_columns: fields.u32()?,
            tpix_cells: fields.u64()?,
            components: fields.u32()?,
            jpp_spans: fields.u32()?,
            psot_zero: fields.u32()?,
            continued: fields.u32()?,
            copied: fields.u32()?,
        })
    }

    const fn per_component(&self) -> u64 {
        if self.packed { 32 } else { 16 }
    }

    /// Bytes of the essentials, which follow the head. The counts have 32 bits each, so nothing overflows.
    pub(super) fn essentials_len(&self) -> u64 {
        u64::from(self.components) * self.per_component()
            + u64::from(self.jpp_spans) * 16
            + u64::from(self.psot_zero) * 8
            + u64::from(self.continued) * CONTINUED_RECORD
            + u64::from(self.copied)
    }

    /// Reads the essentials from exactly that many bytes.
    pub(super) fn essentials(&self, bytes: &[u8]) -> Result<Essentials, OpenError> {
        let mut fields = Numbers(bytes);
        // The bytes are there, so each count is bounded by them: allocation follows what was loaded.
        let mut components = Vec::new();
        for _ in 0..self.components {
            let mut tables =
                ComponentTables { packets: fields.u64()?, packet_columns: fields.u64()?, ..ComponentTables::default() };
            if self.packed {
                (tables.headers, tables.header_columns) = (fields.u64()?, fields.u64()?);
            }
            components.push(tables);
        }
        let mut jpp_spans = Vec::new();
        for _ in 0..self.jpp_spans {
            jpp_spans.push(fields.span()?);
        }
        let mut psot_zero = Vec::new();
        for _ in 0..self.psot_zero {
            psot_zero.push(fields.u64()?);
        }
        let mut continued = Vec::new();
        for _ in 0..self.continued {
            continued.push((fields.u64()?, Span::new(fields.u64()?, u64::from(fields.u32()?))));
        }
        Ok(Essentials { components, jpp_spans, psot_zero, continued, main_header: fields.0.to_vec() })
    }

    /// Where the record of a tile lies, from the start of the box contents.
    pub(super) fn tile_record(&self, tile: u32) -> Range<u64> {
        let start = HEAD_LEN + self.essentials_len() + u64::from(tile) * TILE_RECORD;
        start..start + TILE_RECORD
    }

    /// Where a tile's spans and overrides lie, from the start of the box contents, and the number of spans.
    pub(super) fn tile_data(&self, record: &[u8]) -> Result<(Range<u64>, u32), OpenError> {
        let mut fields = Numbers(record);
        let (at, spans, overrides) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let start = self.tile_record(self.rows).start.saturating_add(at);
        let len = u64::from(spans) * 16 + u64::from(overrides);
        Ok((start..start.saturating_add(len), spans))
    }
}

/// Splits a tile's data into the spans of its header data-bin and its overrides.
pub(super) fn split_tile_data(bytes: &[u8], spans: u32) -> Result<(Vec<Span>, &[u8]), OpenError> {
    let mut fields = Numbers(bytes);
    let mut found = Vec::new();
    for _ in 0..spans {
        found.push(fields.span()?);
    }
    Ok((found, fields.0))
}

/// Whether a tile-part is among those with Psot 0.
pub(super) fn tile_part(span: Span, psot_zero: &[u64]) -> TilePartSpan {
    TilePartSpan { span, psot_zero: psot_zero.contains(&span.offset) }
}

/// Big-endian numbers, one after the other.
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl Numbers<'_> {
    pub(super) fn u32(&mut self) -> Result<u32, OpenError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, OpenError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn span(&mut self) -> Result<Span, OpenError> {
        Ok(Span::new(self.u64()?, self.u64()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let Some((number, rest)) = self.0.split_first_chunk() else {
            return Err(OpenError::Unusable("a table in it breaks off"));
        };
        self.0 = rest;
        Ok(*number)
    }
}
