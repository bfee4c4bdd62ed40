//! The codestream index: where every header and packet of a codestream lies.

mod announced;
mod budget;
mod findings;
mod packed;
mod packet_table;
mod segments;
mod tile;
mod walk;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use budget::Budget;
use findings::Findings;
use packed::split_by_tile_part;
pub use packet_table::PacketTable;
use segments::list_segments;
use smallvec::SmallVec;
use tile::{Indexer, TilePart, numbered};
pub(crate) use window::Window;

use crate::damage::Damage;
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::{TileGeometry, TileIndex};
use crate::limits::Limits;
use crate::main_header::{MainHeader, MainHeaderBuilder, TileCoding};
use crate::markers::{MarkerSegment, Tlm, code};
use crate::reader::ByteSource;
use crate::tile_part::{self, FoundTilePart};

/// The index of what is whole in a codestream, and what is wrong with the rest.
#[derive(Debug, Clone)]
pub struct Indexed {
    /// Everything that can be served.
    pub index: CodestreamIndex,
    /// Findings, the most telling first kept; see [`Limits::max_damage`].
    pub damage: Vec<Damage>,
}

/// Where the headers and packets of a codestream lie. All spans count from SOC.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CodestreamIndex {
    /// The main header as values.
    pub header: MainHeader,
    /// Bytes from SOC to the first SOT.
    pub main_header_len: u64,
    /// Marker segments of the main header, SOC first.
    pub main_segments: Vec<MarkerSegment>,
    /// Bytes through EOC, or to the end of the data when there is none.
    pub codestream_len: u64,
    /// The tiles that have a tile-part, in tile order.
    pub tiles: Vec<IndexedTile>,
}

/// One tile of a [`CodestreamIndex`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexedTile {
    /// Which tile.
    pub tile: TileIndex,
    /// How it is coded; shared by all tiles without overrides.
    pub coding: Arc<TileCoding>,
    /// Its tile-parts in codestream order.
    pub tile_parts: Vec<TilePartSpan>,
    /// The marker segments of all its tile-part headers, without SOT and SOD.
    pub header_segments: Vec<MarkerSegment>,
    /// Packets of each component; shorter than Csiz when the last components have none.
    ///
    /// With packed packet headers these are the bodies (and SOP) only.
    pub packets: Vec<PacketTable>,
    /// With PPM or PPT: where the packet headers (and EPH) lie, entries as in `packets`.
    pub packed_headers: Option<Vec<PacketTable>>,
    /// Packed headers that straddle marker segments, by component and entry.
    pub straddling_headers: BTreeMap<(u16, u64), SmallVec<[Span; 2]>>,
}

/// Where one tile-part lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePartSpan {
    /// From the SOT marker code to the end of the tile-part, cut to what is there.
    pub span: Span,
    /// Whether Psot is 0, so that the true length must be put in when the tile-part is moved.
    pub psot_zero: bool,
}

/// The parts of one packet in delivery order, header first: one span, or several with packed headers.
///
/// Empty when the packet is absent.
pub type PacketParts = SmallVec<[Span; 2]>;

impl CodestreamIndex {
    /// The tile `tile`; `None` if it has no tile-part.
    #[must_use]
    pub fn tile(&self, tile: TileIndex) -> Option<&IndexedTile> {
        let at = self.tiles.binary_search_by_key(&tile, |indexed| indexed.tile).ok()?;
        self.tiles.get(at)
    }

    /// The geometry of an indexed tile.
    #[must_use]
    pub fn geometry(&self, tile: &IndexedTile) -> TileGeometry {
        TileGeometry::new(self.header.siz(), tile.tile, Arc::clone(&tile.coding))
    }
}

impl IndexedTile {
    /// Where a packet lies: its header, if that is packed away, and what is in place.
    pub(crate) fn packet_places(
        &self,
        component: u16,
        sequence: u64,
        layer: u16,
    ) -> (Option<SmallVec<[Span; 2]>>, Option<Span>) {
        let entry = sequence.saturating_mul(u64::from(self.coding.layers)).saturating_add(u64::from(layer));
        let find = |tables: &[PacketTable]| tables.get(usize::from(component)).and_then(|table| table.get(entry));
        let headers = self.packed_headers.as_deref().map(|tables| {
            let straddling = self.straddling_headers.get(&(component, entry)).cloned();
            straddling.unwrap_or_else(|| find(tables).into_iter().collect())
        });
        (headers, find(&self.packets))
    }

    /// The parts of packet `sequence × layers + layer` of a component.
    #[must_use]
    pub fn packet(&self, component: u16, sequence: u64, layer: u16) -> PacketParts {
        let mut parts = PacketParts::new();
        let entry = sequence.saturating_mul(u64::from(self.coding.layers)).saturating_add(u64::from(layer));
        let find = |tables: &[PacketTable]| tables.get(usize::from(component)).and_then(|table| table.get(entry));
        if let Some(headers) = &self.packed_headers {
            if let Some(straddling) = self.straddling_headers.get(&(component, entry)) {
                parts.extend_from_slice(straddling);
            }
            parts.extend(find(headers));
        }
        parts.extend(find(&self.packets));
        parts
    }
}

/// Indexes the codestream that begins at the first byte of `source`.
///
/// Packet lengths come from packet headers alone; bodies are never read. Memory grows with what is found.
///
/// # Errors
///
/// Nothing can be served, because:
/// - [`ParseError::Malformed`], [`ParseError::Truncated`]: the main header is not whole or has no tile-part after it.
/// - [`ParseError::Unsupported`]: the coding is not that of 15444-1 or 15444-15.
/// - [`ParseError::LimitExceeded`]: more is announced than `limits` allow or the bytes can hold.
/// - [`ParseError::Source`]: the medium failed.
pub fn index_codestream(source: &dyn ByteSource, limits: &Limits) -> Result<Indexed, ParseError> {
    let mut window = Window::new(source);
    let (header, main_segments, main_header_len) = read_main_header(&mut window, limits)?;
    let found = tile_part::scan(&mut window, main_header_len, header.siz().tile_count(), limits.max_damage)?;
    if !found.parts.iter().any(|part| part.exists) {
        return Err(ParseError::Truncated { what: "the first tile-part", offset: main_header_len });
    }
    if header.siz().tile_count() > limits.max_tiles {
        let (found, limit) = (u64::from(header.siz().tile_count()), u64::from(limits.max_tiles));
        return Err(ParseError::LimitExceeded { what: "tiles", found, limit });
    }
    let mut findings = Findings::new(limits.max_damage);
    found.damage.into_iter().for_each(|damage| findings.add(damage));
    compare_tile_part_lengths(&mut window, &main_segments, &found.parts, &mut findings)?;

    let ppm = numbered(&mut window, &main_segments, code::PPM)?;
    let plm = numbered(&mut window, &main_segments, code::PLM)?;
    let count = found.parts.len();
    let mut packed = split_by_tile_part::<4>(&ppm, count, &mut window)?.into_iter();
    let mut lengths = split_by_tile_part::<1>(&plm, count, &mut window)?.into_iter();
    let mut parts: Vec<TilePart> = Vec::with_capacity(count);
    for found in found.parts {
        // The pieces belong to the tile-parts as they come, also to one that is passed over.
        let packed = packed.next().unwrap_or_default().into_vec();
        let lengths = lengths.next().unwrap_or_default().into_vec();
        if found.exists {
            parts.push(TilePart { found, packed: (!ppm.is_empty()).then_some(packed), lengths });
        }
    }
    // Stable, so that the tile-parts of a tile stay in codestream order.
    parts.sort_by_key(|part| part.found.tile);

    let mut indexer = Indexer {
        header: &header,
        limits,
        lengths_window: Window::new(source),
        window,
        budget: Budget::new(limits, source.len()),
        findings,
        codings: BTreeMap::new(),
    };
    let mut tiles = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while let Some(first) = parts.next() {
        let tile = first.found.tile;
        let mut of_tile = vec![first];
        while let Some(part) = parts.next_if(|part| part.found.tile == tile) {
            of_tile.push(part);
        }
        tiles.extend(indexer.index_tile(of_tile)?);
    }
    if tiles.len() as u64 != u64::from(header.siz().tile_count()) {
        let what = "some tiles have no tile-part";
        indexer.findings.add(Damage::Irregular { what, offset: found.codestream_len });
    }
    let damage = indexer.findings.into_vec();
    let codestream_len = codestream_len(found.codestream_len, &tiles, source)?;
    Ok(Indexed { index: CodestreamIndex { header, main_header_len, main_segments, codestream_len, tiles }, damage })
}

/// Reads the main header segment by segment; large ones that say nothing about structure are not loaded.
fn read_main_header(
    window: &mut Window<'_>,
    limits: &Limits,
) -> Result<(MainHeader, Vec<MarkerSegment>, u64), ParseError> {
    match window.array(0)?.map(u16::from_be_bytes) {
        Some(code::SOC) => {}
        Some(_) => return Err(ParseError::Malformed { what: "SOC is missing", offset: 0 }),
        None => return Err(ParseError::Truncated { what: "SOC", offset: window.source_len() }),
    }
    let (rest, end) = list_segments(window, 2, window.source_len(), code::SOT, limits.max_header)?;
    let mut builder = MainHeaderBuilder::default();
    let mut segments = Vec::with_capacity(rest.len() + 1);
    segments.push(MarkerSegment { marker: code::SOC, span: Span::new(0, 2) });
    for segment in rest {
        let reads = MainHeaderBuilder::reads(segment.marker);
        let payload = if reads { window.bytes(segment.payload())? } else { Vec::new() };
        builder.add(segment, &payload)?;
        segments.push(segment);
    }
    Ok((builder.finish(end)?, segments, end))
}

/// Compares TLM, when there is one, with the tile-parts found; the first disagreement is reported.
fn compare_tile_part_lengths(
    window: &mut Window<'_>,
    segments: &[MarkerSegment],
    parts: &[FoundTilePart],
    findings: &mut Findings,
) -> Result<(), ParseError> {
    let mut all = Vec::new();
    for segment in segments.iter().filter(|segment| segment.marker == code::TLM) {
        match Tlm::parse(&window.bytes(segment.payload())?, segment.payload().offset) {
            Ok(tlm) => all.push(tlm),
            Err(_unreadable) => {
                let offset = segment.span.offset;
                findings.add(Damage::Irregular { what: "TLM cannot be read", offset });
                return Ok(());
            }
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    all.sort_by_key(|tlm| tlm.index);
    let mut entries = all.iter().flat_map(|tlm| &tlm.entries);
    for (ordinal, part) in parts.iter().enumerate() {
        let agrees = entries.next().is_some_and(|entry| {
            let tile = entry.tile.map_or(ordinal, usize::from);
            let len = part.psot_zero || part.cut || u64::from(entry.len) == part.span.len;
            tile == usize::from(part.tile) && len
        });
        if !agrees {
            findings.add(Damage::TilePartLengthsDisagree { offset: part.span.offset });
            return Ok(());
        }
    }
    if let (Some(_), Some(last)) = (entries.next(), parts.last())
        && !last.cut
    {
        findings.add(Damage::TilePartLengthsDisagree { offset: last.span.end() });
    }
    Ok(())
}

/// The end of the codestream, taken back when the last tile-part turned out shorter than it announced.
fn codestream_len(scanned: u64, tiles: &[IndexedTile], source: &dyn ByteSource) -> Result<u64, ParseError> {
    let ends = tiles.iter().flat_map(|tile| &tile.tile_parts).map(|part| part.span.end());
    let last = ends.max().unwrap_or(scanned);
    let mut next = [0; 2];
    if last < scanned && scanned - last > 2 && source.read_exact_at(last, &mut next).is_ok() && next == [0xFF, 0xD9] {
        return Ok(last + 2);
    }
    Ok(scanned)
}

#[cfg(test)]
mod tests;
