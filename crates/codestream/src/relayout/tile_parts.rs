//! Packets in codestream order, cut into tile-parts [15444-1 A.4.2, B.11, B.12].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::precincts::TilePackets;
use super::rope::RopeBuilder;
use super::segments::{self, HeaderSegment};
use super::{INCONSISTENT, Layout, TileParts};
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::TileGeometry;
use crate::index::{IndexedTile, PacketTable, TilePartSpan};
use crate::markers::{Sot, code};
use crate::packets::{EPH_LEN, SOP_LEN};
use crate::progression::PacketSequence;

/// Appends a tile to `out`; gives its index.
pub(super) fn compose(
    geometry: &TileGeometry,
    packets: &TilePackets,
    header: &[HeaderSegment],
    layout: &Layout,
    out: &mut RopeBuilder,
) -> Result<IndexedTile, ParseError> {
    let order = ordered(geometry, packets, layout)?;
    let header_len = header.iter().map(HeaderSegment::len).sum();
    let cuts = cut(&order, header_len, layout);
    let too_many =
        |_many| ParseError::Unsupported { what: "more than 255 tile-parts of a tile (RLCP and RPCL have fewest)" };
    let count = u8::try_from(cuts.len()).map_err(too_many)?;
    let mut tile = IndexedTile {
        tile: geometry.tile(),
        coding: Arc::clone(geometry.shared_coding()),
        tile_parts: Vec::with_capacity(cuts.len()),
        header_segments: Vec::new(),
        packets: Vec::new(),
        packed_headers: None,
        straddling_headers: BTreeMap::new(),
    };
    let mut number = 0u16;
    for (part, cut) in (0..count).zip(cuts) {
        let of_part = order.get(cut).ok_or(INCONSISTENT)?;
        let lengths = if layout.plt { segments::plt(of_part.iter().map(|packet| packet.len))? } else { Vec::new() };
        let own = if part == 0 { header } else { &[] };
        let of_header = || own.iter().chain(&lengths);
        let data: u64 = of_part.iter().map(|packet| packet.len).sum();
        let len = Sot::SEGMENT_LEN + of_header().map(HeaderSegment::len).sum::<u64>() + 2 + data;
        let begin = out.len();
        let psot = u32::try_from(len).map_err(|_long| ParseError::Unsupported { what: "a tile-part of 4 GiB" })?;
        out.inline(&segments::sot(geometry.tile(), psot, part, count)?);
        tile.header_segments.extend(of_header().map(|segment| segment.put(out)));
        out.inline(&code::SOD.to_be_bytes());
        for packet in of_part {
            let at = out.len();
            put_packet(packet, packets, number, layout, out)?;
            number = number.wrapping_add(1);
            let table = table(&mut tile.packets, packet.component);
            if !table.is_some_and(|table| table.insert(packet.entry, Span::new(at, packet.len))) {
                return Err(ParseError::Unsupported { what: "a packet of 4 GiB" });
            }
        }
        tile.tile_parts.push(TilePartSpan { span: Span::new(begin, len), psot_zero: false });
    }
    tile.packets.iter_mut().for_each(PacketTable::finish);
    Ok(tile)
}

impl IndexedTile {
    /// Moves everything by so many bytes towards the end.
    pub(super) fn shift(&mut self, by: u64) {
        let moved = |span: &mut Span| span.offset = span.offset.saturating_add(by);
        self.tile_parts.iter_mut().for_each(|part| moved(&mut part.span));
        self.header_segments.iter_mut().for_each(|segment| moved(&mut segment.span));
        self.packets.iter_mut().for_each(|table| table.shift(by));
    }
}

/// One packet of the tile.
struct Packet {
    entry: u64,
    /// Bytes, with SOP and EPH.
    len: u64,
    component: u16,
    resolution: u8,
}

/// The packets of the tile in the order of its progression.
fn ordered(geometry: &TileGeometry, packets: &TilePackets, layout: &Layout) -> Result<Vec<Packet>, ParseError> {
    let layers = u64::from(geometry.coding().layers);
    let markers = if layout.sop { SOP_LEN } else { 0 } + if layout.eph { EPH_LEN } else { 0 };
    let mut order = Vec::new();
    for id in PacketSequence::new(geometry) {
        let entry = id.sequence * layers + u64::from(id.layer);
        let (header, spans) = packets.get(id.component, entry).ok_or(INCONSISTENT)?;
        let body: u64 = spans.iter().map(|span| span.len).sum();
        let len = (markers + header.len()) as u64 + body;
        order.push(Packet { entry, len, component: id.component, resolution: id.resolution });
    }
    Ok(order)
}

/// The packets of each tile-part; there is one at least.
fn cut(order: &[Packet], header_len: u64, layout: &Layout) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = 0usize;
    // What SOT, SOD and PLT take is far below the difference to 4 GiB; only the first tile-part has the header.
    let mut len = header_len;
    for (at, pair) in order.windows(2).enumerate() {
        let [packet, next] = pair else { break };
        // A packet's length takes five bytes at most in PLT.
        len = len.saturating_add(packet.len).saturating_add(6);
        let by_resolution = layout.tile_parts == TileParts::ByResolution && packet.resolution != next.resolution;
        if by_resolution || len.saturating_add(next.len) > MAX_TILE_PART {
            cuts.push(start..at + 1);
            (start, len) = (at + 1, 0);
        }
    }
    cuts.push(start..order.len());
    cuts
}

fn put_packet(
    packet: &Packet,
    packets: &TilePackets,
    number: u16,
    layout: &Layout,
    out: &mut RopeBuilder,
) -> Result<(), ParseError> {
    let (header, spans) = packets.get(packet.component, packet.entry).ok_or(INCONSISTENT)?;
    if layout.sop {
        out.inline(&[0xFF, 0x91, 0, 4]);
        out.inline(&number.to_be_bytes());
    }
    out.inline(header);
    if layout.eph {
        out.inline(&code::EPH.to_be_bytes());
    }
    spans.iter().for_each(|&span| out.stored(span));
    Ok(())
}

/// The table of a component, made when its first packet comes.
fn table(tables: &mut Vec<PacketTable>, component: u16) -> Option<&mut PacketTable> {
    let at = usize::from(component);
    if tables.len() <= at {
        tables.resize_with(at + 1, PacketTable::default);
    }
    tables.get_mut(at)
}

/// Where a tile-part is ended lest Psot overflow.
const MAX_TILE_PART: u64 = (1 << 32) - (1 << 27);
