//! A decodable codestream out of whatever data-bins of a JPP-stream or JPT-stream have arrived.
//!
//! Decoders refuse codestreams with holes, so every packet that is missing is written as an empty one: the
//! decoder then knows nothing of that precinct and layer, and the result is well formed at every moment.

mod precinct_packets;
mod tiles;

use std::collections::BTreeMap;
use std::sync::Arc;

use codestream::geometry::precinct_address;
use codestream::markers::code;
use codestream::{
    IndexedTile, Limits, MainHeader, PacketId, PacketSequence, ParseError, Span, TileCoding, TileGeometry, TileIndex,
};
use thiserror::Error;

use self::precinct_packets::TilePackets;
pub(super) use self::precinct_packets::packet_ends;
pub(super) use self::tiles::{ArrivedTiles, arrived_tiles};
use super::store::{DataBin, DataBinStore};
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::dialect::tile_header_segments;

/// What reassembly may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassembleOptions {
    /// Bounds on what the headers announce.
    pub limits: Limits,
    /// Length of the result in bytes. Each missing packet takes at least one, so this bounds the work as well.
    pub max_len: u64,
}

impl Default for ReassembleOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), max_len: 2 << 30 }
    }
}

/// A codestream put together from data-bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassembled {
    /// The codestream, SOC to EOC.
    pub codestream: Vec<u8>,
    /// Packets that had arrived.
    pub packets: u64,
    /// Packets that were written as empty ones, within the tiles that were written.
    pub missing_packets: u64,
    /// Tiles that were written.
    pub tiles: u32,
}

/// Why there is no codestream.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReassembleError {
    /// The main header has not arrived, or not all of it.
    #[error("the main header of codestream {} has not arrived", .0.0)]
    NoMainHeader(CodestreamId),
    /// A header breaks the standard or the limits.
    #[error(transparent)]
    Header(#[from] ParseError),
    /// A tile is longer than a tile-part can say [15444-1 A.4.2], or the codestream is longer than was allowed.
    #[error("the codestream would be longer than {0} bytes")]
    TooLong(u64),
}

/// Puts together a codestream that a decoder of whole codestreams takes, from what `store` holds.
///
/// The main header and the tile headers stand as they came, but for marker segments that speak of lengths and
/// places in the original. Each tile of which something arrived is one tile-part, its packets in the
/// codestream's own progression; other tiles are left out. A precinct data-bin that ends inside a packet
/// counts up to the last whole one; so does a tile data-bin. Tile data-bins, where there are any, are all that
/// counts.
///
/// The result is a function of the data-bins alone, not of the order in which they came.
///
/// # Errors
///
/// - [`ReassembleError::NoMainHeader`] if the main header data-bin is not complete.
/// - [`ReassembleError::Header`] if the main header cannot be read.
/// - [`ReassembleError::TooLong`] if the result would exceed `options`.
pub fn reassemble(
    store: &DataBinStore,
    codestream: CodestreamId,
    options: &ReassembleOptions,
) -> Result<Reassembled, ReassembleError> {
    let main = store.bin(&BinKey::main_header(codestream)).filter(|bin| bin.is_complete());
    let main = main.ok_or(ReassembleError::NoMainHeader(codestream))?.prefix();
    let (header, segments) = MainHeader::parse(&main, &options.limits)?;
    let mut out = Output { bytes: Vec::new(), max_len: options.max_len };
    for segment in segments.iter().filter(|segment| !speaks_of_places(segment.marker)) {
        out.append(part(&main, segment.span))?;
    }

    let mut reassembled = Reassembled { codestream: Vec::new(), packets: 0, missing_packets: 0, tiles: 0 };
    if store.bins_of(codestream, DataBinClass::Tile).next().is_some() {
        let limits = (&options.limits, options.max_len);
        match arrived_tiles(store, codestream, (&main, &header, &segments), limits)? {
            Some(arrived) => write_arrived_tiles(&arrived, &mut out, &mut reassembled)?,
            None => {
                // As below: something to decode, though nothing of it has arrived.
                let geometry = TileGeometry::new(header.siz(), TileIndex(0), Arc::clone(header.coding()));
                let start = out.begin_tile_part(0)?;
                out.append(&code::SOD.to_be_bytes())?;
                append_packets(&geometry, &mut out, &mut reassembled, |_, _| Ok(false))?;
                out.set_tile_part_length(start)?;
            }
        }
        out.append(&code::EOC.to_be_bytes())?;
        reassembled.codestream = out.bytes;
        return Ok(reassembled);
    }
    let tiles = precincts_by_tile(store, codestream, &header);
    for (tile, precincts) in &tiles {
        write_tile(*tile, precincts, &header, (store, codestream), options, &mut out, &mut reassembled)?;
    }
    if reassembled.tiles == 0
        && let Some(tile) = first_tile_with_header(store, codestream, &header)
    {
        // A codestream without any tile-part is refused by decoders; one tile of empty packets is not.
        write_tile(tile, &[], &header, (store, codestream), options, &mut out, &mut reassembled)?;
    }
    out.append(&code::EOC.to_be_bytes())?;
    reassembled.codestream = out.bytes;
    Ok(reassembled)
}

/// A precinct data-bin and which precinct it is.
type TilePrecinct<'a> = (u16, u64, &'a DataBin);

/// The precinct data-bins of which something is here, by tile.
fn precincts_by_tile<'a>(
    store: &'a DataBinStore,
    codestream: CodestreamId,
    header: &MainHeader,
) -> BTreeMap<TileIndex, Vec<TilePrecinct<'a>>> {
    let mut tiles = BTreeMap::<TileIndex, Vec<_>>::new();
    for (id, bin) in store.bins_of(codestream, DataBinClass::Precinct).filter(|(_, bin)| bin.prefix_len() > 0) {
        if let Some(address) = precinct_address(header.siz(), id) {
            tiles.entry(address.tile).or_default().push((address.component, address.sequence, bin));
        }
    }
    tiles
}

fn first_tile_with_header(store: &DataBinStore, codestream: CodestreamId, header: &MainHeader) -> Option<TileIndex> {
    let mut tiles = store.bins_of(codestream, DataBinClass::TileHeader).filter(|(_, bin)| bin.is_complete());
    let tile = tiles.find_map(|(id, _)| u32::try_from(id).ok())?;
    (tile < header.siz().tile_count()).then_some(TileIndex(tile))
}

/// Appends one tile as one tile-part; nothing if its header has not arrived or cannot be read, for then its
/// coding is unknown, and the other tiles are worth having.
fn write_tile(
    tile: TileIndex,
    precincts: &[TilePrecinct<'_>],
    header: &MainHeader,
    (store, codestream): (&DataBinStore, CodestreamId),
    options: &ReassembleOptions,
    out: &mut Output,
    reassembled: &mut Reassembled,
) -> Result<(), ReassembleError> {
    let Some(bin) = store.bin(&BinKey::tile_header(codestream, tile.0)).filter(|bin| bin.is_complete()) else {
        return Ok(());
    };
    let tile_header = bin.prefix();
    let tile_header = tile_header_segments(&tile_header);
    let Ok(coding) = header.tile_coding(tile_header) else { return Ok(()) };
    let geometry = TileGeometry::new(header.siz(), tile, coding);
    let Ok(isot) = u16::try_from(tile.0) else { return Ok(()) };
    let start = out.begin_tile_part(isot)?;
    append_tile_header(tile_header, out)?;
    out.append(&code::SOD.to_be_bytes())?;
    let packets = TilePackets::read(&geometry, precincts, &options.limits);
    append_packets(&geometry, out, reassembled, |packet, out| {
        let found = packets.packet(packet.component, packet.sequence, packet.layer);
        found.map(|bytes| out.append(bytes)).transpose().map(|found| found.is_some())
    })?;
    out.set_tile_part_length(start)
}

/// Appends the tiles of a JPT-stream, each as one tile-part.
fn write_arrived_tiles(
    arrived: &ArrivedTiles,
    out: &mut Output,
    reassembled: &mut Reassembled,
) -> Result<(), ReassembleError> {
    for tile in &arrived.index.tiles {
        let Ok(isot) = u16::try_from(tile.tile.0) else { continue };
        let start = out.begin_tile_part(isot)?;
        for segment in tile.header_segments.iter().filter(|segment| !speaks_of_places(segment.marker)) {
            out.append(part(&arrived.bytes, segment.span))?;
        }
        out.append(&code::SOD.to_be_bytes())?;
        append_packets(&arrived.index.geometry(tile), out, reassembled, |packet, out| {
            append_arrived_packet(arrived, tile, packet, out)
        })?;
        out.set_tile_part_length(start)?;
    }
    Ok(())
}

/// Appends a packet with its header before its body, wherever that was; false if it has not arrived.
fn append_arrived_packet(
    arrived: &ArrivedTiles,
    tile: &IndexedTile,
    packet: &PacketId,
    out: &mut Output,
) -> Result<bool, ReassembleError> {
    let mut spans = tile.packet(packet.component, packet.sequence, packet.layer);
    // Where headers are packed, SOP stands before the body alone, and comes before both.
    if tile.packed_headers.is_some()
        && let Some(body) = spans.last_mut().filter(|_| tile.coding.sop)
        && part(&arrived.bytes, *body).starts_with(&code::SOP.to_be_bytes())
    {
        let sop = Span::new(body.offset, SOP_LEN.min(body.len));
        *body = Span::new(sop.end(), body.len - sop.len);
        spans.insert(0, sop);
    }
    for span in &spans {
        out.append(part(&arrived.bytes, *span))?;
    }
    Ok(!spans.is_empty())
}

/// Appends all packets of a tile in the codestream's own progression; `append` says whether it had the packet.
fn append_packets(
    geometry: &TileGeometry,
    out: &mut Output,
    reassembled: &mut Reassembled,
    mut append: impl FnMut(&PacketId, &mut Output) -> Result<bool, ReassembleError>,
) -> Result<(), ReassembleError> {
    let empty = empty_packet(geometry.coding());
    for packet in PacketSequence::new(geometry) {
        if append(&packet, out)? {
            reassembled.packets += 1;
        } else {
            out.append(empty)?;
            reassembled.missing_packets += 1;
        }
    }
    reassembled.tiles += 1;
    Ok(())
}

/// Appends the tile header's marker segments that still hold.
fn append_tile_header(tile_header: &[u8], out: &mut Output) -> Result<(), ReassembleError> {
    let mut rest = tile_header;
    while let [m0, m1, l0, l1, ..] = *rest {
        let len = usize::from(u16::from_be_bytes([l0, l1])) + 2;
        let Some((segment, after)) = rest.split_at_checked(len) else { break };
        if !speaks_of_places(u16::from_be_bytes([m0, m1])) {
            out.append(segment)?;
        }
        rest = after;
    }
    Ok(())
}

/// Whether a marker segment tells lengths or holds packet headers of the original codestream, which no longer
/// hold for packets that stand elsewhere and have their headers with them.
const fn speaks_of_places(marker: u16) -> bool {
    matches!(marker, code::TLM | code::PLM | code::PLT | code::PPM | code::PPT)
}

/// A packet that says that it holds nothing [15444-1 B.10.3]; it never carries SOP, which is optional.
const fn empty_packet(coding: &TileCoding) -> &'static [u8] {
    if coding.eph { &[0x00, 0xFF, 0x92] } else { &[0x00] }
}

fn part(bytes: &[u8], span: Span) -> &[u8] {
    let range = usize::try_from(span.offset).ok().zip(usize::try_from(span.end()).ok());
    range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
}

/// The codestream so far.
struct Output {
    bytes: Vec<u8>,
    max_len: u64,
}

impl Output {
    fn append(&mut self, bytes: &[u8]) -> Result<(), ReassembleError> {
        if self.bytes.len() as u64 + bytes.len() as u64 > self.max_len {
            return Err(ReassembleError::TooLong(self.max_len));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Begins a tile-part that is the only one of its tile; its length is put in later. Returns where it begins.
    fn begin_tile_part(&mut self, isot: u16) -> Result<usize, ReassembleError> {
        let start = self.bytes.len();
        self.append(&code::SOT.to_be_bytes())?;
        self.append(&[0, 10])?;
        self.append(&isot.to_be_bytes())?;
        self.append(&[0; 4])?;
        self.append(&[0, 1])?;
        Ok(start)
    }

    /// Patches Psot of the tile-part that begins at `start` and ends here.
    fn set_tile_part_length(&mut self, start: usize) -> Result<(), ReassembleError> {
        let len = self.bytes.len() - start;
        let psot = u32::try_from(len).map_err(|_err| ReassembleError::TooLong(u64::from(u32::MAX)))?;
        if let Some(field) = self.bytes.get_mut(start + 6..start + 10) {
            field.copy_from_slice(&psot.to_be_bytes());
        }
        Ok(())
    }
}

/// Bytes of an SOP marker segment.
const SOP_LEN: u64 = 6;
