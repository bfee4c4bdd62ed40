//! Reading the stored index of one object, in parts.

mod relaid;

use std::ops::Range;
use std::sync::Arc;

pub use relaid::{Place, Places};

use super::OpenError;
use super::layout::{AFTER_SOP, CONTINUES, SOP_LEN};
use super::private::{self, ComponentTables, HEAD_LEN, Head, Numbers};
use crate::boxes::BoxType;
use crate::extent::{Extent, FrameExtents, Span};
use crate::geometry::{TileGeometry, TileIndex};
use crate::index::{PacketParts, TilePartSpan};
use crate::limits::Limits;
use crate::main_header::MainHeader;
use crate::parts::SparseBytes;
use crate::relayout::Relaid;

/// The stored index of one object.
#[derive(Debug, Clone)]
pub struct FileIndex {
    proxies: u64,
    count: u32,
    object_len: u64,
}

impl FileIndex {
    /// Opens an index file whose length is that of `bytes`; needs its first and its last few bytes.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    /// - [`OpenError::Unusable`] if this is not a whole index file.
    pub fn open(bytes: &SparseBytes) -> Result<Self, OpenError> {
        Self::open_for(bytes, u64::MAX)
    }

    /// As [`FileIndex::open`], for a stored object of `object_len` bytes: no extent may reach past them.
    ///
    /// # Errors
    ///
    /// As [`FileIndex::open`].
    pub fn open_for(bytes: &SparseBytes, object_len: u64) -> Result<Self, OpenError> {
        let mut finder = [0; 24];
        bytes.read(0, &mut finder)?;
        let Some(places) = finder.strip_prefix(b"\0\0\0\x18iptr") else {
            return Err(OpenError::Unusable("it does not begin with an index finder"));
        };
        let mut places = Numbers(places);
        let (at, len) = (places.u64()?, places.u64()?);
        if at.checked_add(len) != Some(bytes.len()) {
            return Err(OpenError::Unusable("the file index is not at its end"));
        }
        let contents = expect_box(bytes, at, *b"fidx")?;
        let count = (contents.end - contents.start) / PROXY_LEN;
        let whole = (contents.end - contents.start).is_multiple_of(PROXY_LEN);
        let count = u32::try_from(count).ok().filter(|_| whole && contents.end == bytes.len());
        let count = count.ok_or(OpenError::Unusable("the file index has an impossible size"))?;
        Ok(Self { proxies: contents.start, count, object_len })
    }

    /// Number of codestreams, those that cannot be served included.
    #[must_use]
    pub const fn codestream_count(&self) -> u32 {
        self.count
    }

    /// Opens the codestream at position `ordinal`, from 0; the work does not depend on how many tiles and
    /// packets it has.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    /// - [`OpenError::Unusable`] if there is no such codestream, it could not be indexed, or the index lies.
    pub fn codestream(&self, ordinal: u32, bytes: &SparseBytes) -> Result<IndexedCodestream, OpenError> {
        if ordinal >= self.count {
            return Err(OpenError::Unusable("there is no such codestream"));
        }
        let mut proxy = [0; 49];
        bytes.read(self.proxies + u64::from(ordinal) * PROXY_LEN, &mut proxy)?;
        let (box_header, rest) = proxy.split_at(8);
        // OOFF and OBH, of no use here; NI 1; IOFF and IBH.
        let (original, rest) = rest.split_at(16);
        let Some((1, pointer)) = rest.split_first().filter(|_| box_header == b"\0\0\0\x31prxy" && original.len() == 16)
        else {
            return Err(OpenError::Unusable("a proxy is not one of ours"));
        };
        let mut pointer = Numbers(pointer);
        let (at, announced) = (pointer.u64()?, pointer.0);
        // One read for nearly every codestream: the parts needed follow each other.
        bytes.require(at..at.saturating_add(USUAL_LEN).min(bytes.len()))?;
        let mut header = [0; 16];
        bytes.read(at, &mut header)?;
        let inside = expect_box(bytes, at, *b"cidx")?;
        if announced != header || inside.end > self.proxies {
            return Err(OpenError::Unusable("a proxy points at something else"));
        }
        let finder = expect_box(bytes, inside.start, *b"cptr")?;
        let extents = self.extents(bytes, finder.clone())?;
        if finder.end >= inside.end {
            return Err(OpenError::Unusable("this codestream could not be indexed"));
        }
        let manifest = expect_box(bytes, finder.end, *b"manf")?;
        let private = expect_box(bytes, manifest.end, *b"uuid")?;
        if private.end > inside.end {
            return Err(OpenError::Unusable("a box reaches out of its superbox"));
        }
        IndexedCodestream::open(bytes, at..inside.end, private, extents)
    }

    fn extents(&self, bytes: &SparseBytes, finder: Range<u64>) -> Result<FrameExtents, OpenError> {
        let mut contents = [0; 20];
        bytes.read(finder.start, &mut contents)?;
        let (kind, places) = contents.split_at(4);
        let mut places = Numbers(places);
        let (at, len) = (places.u64()?, places.u64()?);
        let mut extents = Vec::new();
        match kind {
            [0, 1, 0, 0] => extents.push(Extent::new(at, len)),
            [0, 0, 0, 1] => {
                let list = bytes.range(expect_box(bytes, at, *b"flst")?)?;
                let (entries, rest) = list.get(2..).unwrap_or_default().as_chunks::<14>();
                let count = list.first_chunk::<2>().map(|count| usize::from(u16::from_be_bytes(*count)));
                if count != Some(entries.len()) || !rest.is_empty() {
                    return Err(OpenError::Unusable("a fragment list has another size than it says"));
                }
                for entry in entries {
                    let mut entry = Numbers(entry);
                    let (offset, len) = (entry.u64()?, u64::from(entry.u32()?));
                    if entry.0 != [0, 1] {
                        return Err(OpenError::Unusable("a fragment of another object"));
                    }
                    extents.push(Extent::new(offset, len));
                }
            }
            _ => return Err(OpenError::Unusable("a codestream of another object")),
        }
        let extents = FrameExtents::new(extents, self.object_len);
        let extents = extents.map_err(|_why| OpenError::Unusable("a codestream outside the object"))?;
        if extents.len() == len { Ok(extents) } else { Err(OpenError::Unusable("a codestream of another length")) }
    }
}

/// One codestream of a stored index: headers and the places of the tables, not the tables.
#[derive(Debug, Clone)]
pub struct IndexedCodestream {
    header: MainHeader,
    extents: FrameExtents,
    head: Head,
    jpp_main_header: Vec<Span>,
    jpt_main_header: [Span; 1],
    psot_zero: Vec<u64>,
    /// Ordered by the offset of the first piece.
    continued: Vec<(u64, Span)>,
    /// Positions in the index file.
    tables: Vec<ComponentTables>,
    tpix_cells: u64,
    /// Contents of our box in the index file.
    private: Range<u64>,
    /// The layout that is presented, if it is not the stored one; all else here is empty then.
    relaid: Option<Arc<Relaid>>,
}

/// What the main data-bins and precincts of a tile need.
#[derive(Debug, Clone)]
pub struct TileView {
    /// Where its components, resolution levels and precincts lie.
    pub geometry: TileGeometry,
    /// The tile-header data-bin [15444-9 A.3.3]: marker segments without SOT, SOD, PPT and PLT; usually empty.
    pub header: Vec<Span>,
}

impl IndexedCodestream {
    fn open(
        bytes: &SparseBytes,
        whole: Range<u64>,
        private: Range<u64>,
        extents: FrameExtents,
    ) -> Result<Self, OpenError> {
        let head_end = private.start.saturating_add(HEAD_LEN);
        if head_end > private.end {
            return Err(OpenError::Unusable("our box is too short"));
        }
        let head = Head::parse(&bytes.range(private.start..head_end)?)?;
        let end = head_end.saturating_add(head.essentials_len());
        if end > private.end {
            return Err(OpenError::Unusable("our box is shorter than it says"));
        }
        let essentials = head.essentials(&bytes.range(head_end..end)?)?;
        let parsed = MainHeader::parse(&essentials.main_header, &Limits::default());
        let (header, _) = parsed.map_err(|_why| OpenError::Unusable("the main header in it cannot be read"))?;
        let siz = header.siz();
        if head.codestream_len > extents.len()
            || head.main_header_len > head.codestream_len
            || head.rows > siz.tile_count()
            || essentials.components.len() != usize::from(siz.component_count())
            || essentials.jpp_spans.iter().any(|span| span.end() > head.main_header_len)
        {
            return Err(OpenError::Unusable("its numbers contradict each other"));
        }
        // Every table must lie inside this cidx, so that no position computed later leaves it.
        let place = |offset: u64, columns: u64, entry: u64| {
            let len = columns.checked_mul(u64::from(head.rows))?.checked_mul(entry)?;
            let start = whole.start.checked_add(offset)?;
            (start.checked_add(len)? <= whole.end).then_some(start)
        };
        let entry = if head.wide { 16 } else { 8 };
        let outside = OpenError::Unusable("a table outside its box");
        let mut tables = essentials.components;
        for table in &mut tables {
            table.packets = place(table.packets, table.packet_columns, entry).ok_or(outside.clone())?;
            table.headers = place(table.headers, table.header_columns, entry).ok_or(outside.clone())?;
        }
        let parts = entry + if head.tile_part_auxiliary { 4 } else { 0 };
        let tpix_cells = place(head.tpix_cells, u64::from(head.tile_part_columns), parts).ok_or(outside)?;
        Ok(Self {
            header,
            extents,
            jpp_main_header: essentials.jpp_spans,
            jpt_main_header: [Span::new(0, head.main_header_len)],
            psot_zero: essentials.psot_zero,
            continued: essentials.continued,
            tables,
            tpix_cells,
            private,
            head,
            relaid: None,
        })
    }

    /// The same codestream for a byte space in which its index file does not begin at 0 but at `base`: several index
    /// files beside each other in one space. `None` if that space would not reach so far.
    #[must_use]
    pub fn based_at(&self, base: u64) -> Option<Self> {
        let mut moved = self.clone();
        for table in &mut moved.tables {
            table.packets = table.packets.checked_add(base)?;
            table.headers = table.headers.checked_add(base)?;
        }
        moved.tpix_cells = moved.tpix_cells.checked_add(base)?;
        moved.private = self.private.start.checked_add(base)?..self.private.end.checked_add(base)?;
        Some(moved)
    }

    /// The main header as values.
    #[must_use]
    pub const fn header(&self) -> &MainHeader {
        &self.header
    }

    /// Where the codestream lies in its stored object.
    #[must_use]
    pub const fn extents(&self) -> &FrameExtents {
        &self.extents
    }

    /// Bytes through EOC, or to the end of what is whole.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a codestream that was indexed holds at least its main header")]
    pub const fn len(&self) -> u64 {
        self.head.codestream_len
    }

    /// The main-header data-bin of a JPP-stream: without PPM, PLM and TLM.
    #[must_use]
    pub fn jpp_main_header(&self) -> &[Span] {
        &self.jpp_main_header
    }

    /// The main-header data-bin of a JPT-stream: as it stands.
    #[must_use]
    pub const fn jpt_main_header(&self) -> &[Span] {
        &self.jpt_main_header
    }

    /// Whether packet headers lie in PPM or PPT marker segments, so that entries have a twin.
    #[must_use]
    pub const fn has_packed_headers(&self) -> bool {
        self.head.packed
    }

    /// Bytes of the index file that [`IndexedCodestream::tile_parts`] of these tiles read.
    #[must_use]
    pub fn tile_part_range(&self, tiles: Range<u32>) -> Range<u64> {
        let row = self.tile_part_entry() * u64::from(self.head.tile_part_columns);
        let at = |tile: u32| self.tpix_cells + row * u64::from(tile.min(self.head.rows));
        at(tiles.start)..at(tiles.end.max(tiles.start))
    }

    /// Whether a tile has any tile-part.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    pub fn tile_exists(&self, tile: TileIndex, bytes: &SparseBytes) -> Result<bool, OpenError> {
        if let Some(relaid) = &self.relaid {
            return Ok(relaid.index.tile(tile).is_some());
        }
        if tile.0 >= self.head.rows || self.head.tile_part_columns == 0 {
            return Ok(false);
        }
        let at = self.tile_part_range(tile.0..tile.0).start;
        Ok(self.entry(bytes, at)?.1 > 0)
    }

    /// The tile-parts of a tile in codestream order; none if it has none.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    /// - [`OpenError::Unusable`] if a tile-part is not inside the codestream.
    pub fn tile_parts(&self, tile: TileIndex, bytes: &SparseBytes) -> Result<Vec<TilePartSpan>, OpenError> {
        if let Some(relaid) = &self.relaid {
            return Ok(relaid.index.tile(tile).map(|tile| tile.tile_parts.clone()).unwrap_or_default());
        }
        let mut parts = Vec::new();
        if tile.0 >= self.head.rows {
            return Ok(parts);
        }
        let range = self.tile_part_range(tile.0..tile.0.saturating_add(1));
        bytes.require(range.clone())?;
        let mut at = range.start;
        while at < range.end {
            let (offset, len) = self.entry(bytes, at)?;
            if len == 0 {
                break;
            }
            let span = self.inside(Span::new(offset, len))?;
            parts.push(private::tile_part(span, &self.psot_zero));
            at += self.tile_part_entry();
        }
        Ok(parts)
    }

    /// Geometry and header of a tile; costs one small read only if some tile's header holds marker segments.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    /// - [`OpenError::Unusable`] if there is no such tile or the index lies.
    pub fn tile(&self, tile: TileIndex, bytes: &SparseBytes) -> Result<TileView, OpenError> {
        if let Some(relaid) = &self.relaid {
            return relaid::tile(relaid, tile);
        }
        let siz = self.header.siz();
        if tile.0 >= siz.tile_count() {
            return Err(OpenError::Unusable("there is no such tile"));
        }
        let mut coding = Arc::clone(self.header.coding());
        let mut header = Vec::new();
        if self.head.tile_headers && tile.0 < self.head.rows {
            let record = bytes.range(self.in_private(self.head.tile_record(tile.0))?)?;
            let (data, spans) = self.head.tile_data(&record)?;
            let data = bytes.range(self.in_private(data)?)?;
            let (spans, overrides) = private::split_tile_data(&data, spans)?;
            for &span in &spans {
                self.inside(span)?;
            }
            if !overrides.is_empty() {
                let own = self.header.tile_coding(overrides);
                coding = own.map_err(|_why| OpenError::Unusable("a tile header in it cannot be read"))?;
            }
            header = spans;
        }
        Ok(TileView { geometry: TileGeometry::new(siz, tile, coding), header })
    }

    /// Bytes of the index file with the entries of these precincts (sequence numbers, end exclusive).
    #[must_use]
    pub fn packet_range(
        &self,
        tile: TileIndex,
        component: u16,
        precincts: Range<u64>,
        layers_of_tile: u16,
    ) -> Range<u64> {
        self.rows_of(tile, component, precincts, layers_of_tile, |table| (table.packets, table.packet_columns))
    }

    /// The same for the packed packet headers; `None` if there are none.
    #[must_use]
    pub fn packet_header_range(
        &self,
        tile: TileIndex,
        component: u16,
        precincts: Range<u64>,
        layers_of_tile: u16,
    ) -> Option<Range<u64>> {
        let headers = |table: &ComponentTables| (table.headers, table.header_columns);
        self.head.packed.then(|| self.rows_of(tile, component, precincts, layers_of_tile, headers))
    }

    /// The parts of a packet in delivery order; `entry` is sequence number × layers of the tile + layer.
    ///
    /// One span; with packed headers also the pieces of the header before it, and an SOP before those.
    /// Empty if the packet is absent.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotLoaded`] with what must be loaded before the call can succeed.
    /// - [`OpenError::Unusable`] if a part is not inside the codestream.
    pub fn packet(
        &self,
        tile: TileIndex,
        component: u16,
        entry: u64,
        bytes: &SparseBytes,
    ) -> Result<PacketParts, OpenError> {
        if let Some(relaid) = &self.relaid {
            return Ok(relaid::packet(relaid, tile, component, entry));
        }
        let mut parts = PacketParts::new();
        let Some(table) = self.tables.get(usize::from(component)).filter(|_| tile.0 < self.head.rows) else {
            return Ok(parts);
        };
        let mut body = Span::default();
        if entry < table.packet_columns {
            let at = self.cell(table.packets, table.packet_columns, tile, entry);
            let (offset, len) = self.entry(bytes, at)?;
            body = Span::new(offset, len);
        }
        if self.head.packed && entry < table.header_columns {
            let at = self.cell(table.headers, table.header_columns, tile, entry);
            let (offset, marked_len) = self.entry(bytes, at)?;
            let shift = if self.head.wide { 32 } else { 0 };
            let flags = marked_len >> shift;
            let len = marked_len & !(u64::from(AFTER_SOP | CONTINUES) << shift);
            if flags & u64::from(AFTER_SOP) != 0 {
                if body.len < SOP_LEN {
                    return Err(OpenError::Unusable("an SOP that is not there"));
                }
                parts.push(self.inside(Span::new(body.offset, SOP_LEN))?);
                body = Span::new(body.offset.saturating_add(SOP_LEN), body.len - SOP_LEN);
            }
            if len > 0 {
                parts.push(self.inside(Span::new(offset, len))?);
            }
            if flags & u64::from(CONTINUES) != 0 {
                let first = self.continued.partition_point(|&(key, _)| key < offset);
                let more = self.continued.iter().skip(first).take_while(|&&(key, _)| key == offset);
                for &(_, piece) in more {
                    parts.push(self.inside(piece)?);
                }
            }
        }
        if body.len > 0 {
            parts.push(self.inside(body)?);
        }
        Ok(parts)
    }

    fn rows_of(
        &self,
        tile: TileIndex,
        component: u16,
        precincts: Range<u64>,
        layers: u16,
        of: impl Fn(&ComponentTables) -> (u64, u64),
    ) -> Range<u64> {
        let Some(table) = self.tables.get(usize::from(component)).filter(|_| tile.0 < self.head.rows) else {
            return 0..0;
        };
        let (cells, columns) = of(table);
        let entry = |precinct: u64| precinct.saturating_mul(u64::from(layers)).min(columns);
        let start = self.cell(cells, columns, tile, entry(precincts.start));
        let end = self.cell(cells, columns, tile, entry(precincts.end.max(precincts.start)));
        start..end
    }

    /// Position of a cell; the whole table was checked to lie inside the file.
    const fn cell(&self, cells: u64, columns: u64, tile: TileIndex, entry: u64) -> u64 {
        let width = if self.head.wide { 16 } else { 8 };
        let number = (tile.0 as u64).saturating_mul(columns).saturating_add(entry);
        cells.saturating_add(number.saturating_mul(width))
    }

    const fn tile_part_entry(&self) -> u64 {
        let numbers = if self.head.wide { 16 } else { 8 };
        if self.head.tile_part_auxiliary { numbers + 4 } else { numbers }
    }

    fn entry(&self, bytes: &SparseBytes, at: u64) -> Result<(u64, u64), OpenError> {
        if self.head.wide {
            let mut entry = [0; 16];
            bytes.read(at, &mut entry)?;
            let mut numbers = Numbers(&entry);
            return Ok((numbers.u64()?, numbers.u64()?));
        }
        let mut entry = [0; 8];
        bytes.read(at, &mut entry)?;
        let mut numbers = Numbers(&entry);
        Ok((u64::from(numbers.u32()?), u64::from(numbers.u32()?)))
    }

    /// `range` of our box as positions in the index file.
    fn in_private(&self, range: Range<u64>) -> Result<Range<u64>, OpenError> {
        let start = self.private.start.saturating_add(range.start);
        let end = self.private.start.saturating_add(range.end);
        if end > self.private.end {
            return Err(OpenError::Unusable("a tile header outside our box"));
        }
        Ok(start..end)
    }

    const fn inside(&self, span: Span) -> Result<Span, OpenError> {
        if span.offset > self.head.codestream_len || span.len > self.head.codestream_len - span.offset {
            return Err(OpenError::Unusable("an entry outside the codestream"));
        }
        Ok(span)
    }
}

/// The contents of the box at `at`, which must be of this type and inside the file.
fn expect_box(bytes: &SparseBytes, at: u64, box_type: BoxType) -> Result<Range<u64>, OpenError> {
    let mut header = [0; 8];
    bytes.read(at, &mut header)?;
    let (lbox, name) = header.split_at(4);
    if name != box_type {
        return Err(OpenError::Unusable("a box of another type"));
    }
    let mut len = Numbers(lbox).u32().map(u64::from)?;
    let mut header_len = 8;
    if len == 1 {
        let mut xlbox = [0; 8];
        bytes.read(at.saturating_add(8), &mut xlbox)?;
        (len, header_len) = (u64::from_be_bytes(xlbox), 16);
    }
    let end = at.checked_add(len).filter(|&end| len >= header_len && end <= bytes.len());
    let end = end.ok_or(OpenError::Unusable("a box of impossible length"))?;
    Ok(at + header_len..end)
}

/// Bytes of a proxy box.
const PROXY_LEN: u64 = 49;

/// Bytes of a `cidx` that opening usually reads.
const USUAL_LEN: u64 = 2048;
