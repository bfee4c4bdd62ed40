//! The codestream index: where every header and packet of a codestream lies.

mod packet_table;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use packet_table::PacketTable;
use smallvec::SmallVec;

use crate::damage::Damage;
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::{TileGeometry, TileIndex};
use crate::limits::Limits;
use crate::main_header::{MainHeader, TileCoding};
use crate::markers::MarkerSegment;
use crate::reader::ByteSource;

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
/// - [`ParseError::Malformed`], [`ParseError::Truncated`]: the main header or the first tile-part is not whole.
/// - [`ParseError::Unsupported`]: the coding is not that of 15444-1 or 15444-15.
/// - [`ParseError::LimitExceeded`]: more is announced than `limits` allow or the bytes can hold.
/// - [`ParseError::Source`]: the medium failed.
pub fn index_codestream(_source: &dyn ByteSource, _limits: &Limits) -> Result<Indexed, ParseError> {
    Err(ParseError::Unsupported { what: "codestream" })
}
