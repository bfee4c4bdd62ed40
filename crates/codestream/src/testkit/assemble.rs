//! Marker segments and tile-parts around the packets [15444-1 Annex A].

use std::collections::BTreeMap;

use super::layout::{self, PacketName, Tile};
use super::packet_writer::{Dice, PrecinctWriter};
use super::{Built, Coding, ComponentCoding, Packed, Poc, TileParts, TinyCodestream, TruePacket, TrueTilePart};
use crate::extent::Span;

struct Packet {
    name: PacketName,
    sequence: u64,
    sop: Vec<u8>,
    header: Vec<u8>,
    body: Vec<u8>,
}

struct Part {
    tile: u32,
    number: u8,
    of: u8,
    packets: Vec<Packet>,
}

/// Remembers where the bytes of a joined run of packet headers ended up.
#[derive(Default)]
struct PackedRun {
    bytes: Vec<u8>,
    /// Codestream offset of each byte, once known.
    places: Vec<u64>,
}

pub(super) fn build(wanted: &TinyCodestream) -> Built {
    let (across, down) = layout::tile_grid(wanted);
    let mut parts = Vec::new();
    for number in 0..across * down {
        parts.push(tile_parts(wanted, number));
    }
    let parts = ordered(parts, wanted.interleave);

    let mut out = main_header(wanted);
    let main_packed = if wanted.packed == Packed::Ppm { Some(write_ppm(wanted, &parts, &mut out)) } else { None };
    let tlm_at = wanted.tlm.then(|| write_empty_tlm(parts.len(), &mut out));
    let main_header_len = out.len() as u64;

    let mut packets = Vec::new();
    let mut truths = Vec::new();
    let mut main_places = main_packed.map(|run| run.places.into_iter());
    let last = parts.len() - 1;
    // OpenJPEG wants Zppt to go on over the tile-parts of a tile.
    let mut next_zppt = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        let begin = out.len();
        marker(&mut out, 0xFF90, &[]);
        out.extend_from_slice(&10u16.to_be_bytes());
        out.extend_from_slice(&(part.tile as u16).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[part.number, part.of]);
        let mut segments = Vec::new();
        let zppt = next_zppt.entry(part.tile).or_insert(0u8);
        let mut places = tile_part_header(wanted, part, zppt, &mut out, &mut segments).into_iter();
        out.extend_from_slice(&[0xFF, 0x93]);
        let data = out.len();
        for packet in &part.packets {
            let begin = out.len();
            out.extend_from_slice(&packet.sop);
            let mut packed = Vec::new();
            match wanted.packed {
                Packed::InPlace => out.extend_from_slice(&packet.header),
                Packed::Ppt => packed = spans(places.by_ref().take(packet.header.len())),
                Packed::Ppm => {
                    let places = main_places.as_mut().expect("PPM was written");
                    packed = spans(places.by_ref().take(packet.header.len()));
                }
            }
            out.extend_from_slice(&packet.body);
            let (layer, resolution, component, _) = packet.name;
            packets.push(TruePacket {
                tile: part.tile,
                component,
                resolution,
                sequence: packet.sequence,
                layer,
                packed_header: packed,
                in_place: Span::new(begin as u64, (out.len() - begin) as u64),
            });
        }
        let psot_zero = wanted.psot_zero && at == last;
        let len = (out.len() - begin) as u32;
        if !psot_zero {
            out[begin + 6..begin + 10].copy_from_slice(&len.to_be_bytes());
        }
        if let Some(tlm) = tlm_at {
            let entry = tlm + at * 6;
            out[entry..entry + 2].copy_from_slice(&(part.tile as u16).to_be_bytes());
            out[entry + 2..entry + 6].copy_from_slice(&len.to_be_bytes());
        }
        truths.push(TrueTilePart {
            tile: part.tile,
            span: Span::new(begin as u64, u64::from(len)),
            data: Span::new(data as u64, (out.len() - data) as u64),
            psot_zero,
            segments,
        });
    }
    if wanted.eoc {
        out.extend_from_slice(&[0xFF, 0xD9]);
    }
    packets.sort_by_key(|packet| packet.tile);
    Built { bytes: out, main_header_len, tiles: across * down, packets, tile_parts: truths }
}

fn tile_parts(wanted: &TinyCodestream, number: u32) -> Vec<Part> {
    let tile: Tile = layout::tile(wanted, number);
    let mut dice = Dice::new(wanted.seed ^ u64::from(number) << 32);
    let mut writers: Vec<Vec<Vec<PrecinctWriter>>> = tile
        .components
        .iter()
        .map(|levels| {
            // Two guard bits and the exponent of QCD.
            let bit_planes = 2 + u32::from(wanted.precision) + 2 - 1;
            let writer = |bands: &Vec<_>, dice: &mut Dice| {
                PrecinctWriter::new(bands, tile.layers, wanted.style, bit_planes, dice)
            };
            levels.iter().map(|r| r.precincts.iter().map(|bands| writer(bands, &mut dice)).collect()).collect()
        })
        .collect();
    let mut parts: Vec<Vec<Packet>> = vec![Vec::new()];
    let mut previous: Option<PacketName> = None;
    for (count, name) in tile.packets().into_iter().enumerate() {
        let (l, r, c, k) = name;
        let cut = previous.is_some_and(|(old_l, old_r, _, _)| match wanted.tile_parts {
            TileParts::One => false,
            TileParts::ByResolution => old_r != r,
            TileParts::ByLayer => old_l != l,
            TileParts::Every(packets) => count % packets == 0,
        });
        if cut && parts.len() < 255 {
            parts.push(Vec::new());
        }
        previous = Some(name);
        let empty = wanted.empty_packets > 0 && dice.below(wanted.empty_packets) == 0;
        let writer = &mut writers[usize::from(c)][usize::from(r)][k as usize];
        let (mut header, body) = writer.packet(l, empty, &mut dice);
        if wanted.eph {
            header.extend_from_slice(&[0xFF, 0x92]);
        }
        let mut sop = Vec::new();
        if wanted.sop {
            marker(&mut sop, 0xFF91, &(count as u16).to_be_bytes());
        }
        let sequence = tile.sequence(r, c, k);
        parts.last_mut().expect("never empty").push(Packet { name, sequence, sop, header, body });
    }
    let of = parts.len() as u8;
    let numbered = parts.into_iter().enumerate();
    numbered.map(|(at, packets)| Part { tile: number, number: at as u8, of, packets }).collect()
}

fn ordered(tiles: Vec<Vec<Part>>, interleave: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = tiles.into_iter().flatten().collect();
    if interleave {
        parts.sort_by_key(|part| part.number);
    }
    parts
}

fn main_header(wanted: &TinyCodestream) -> Vec<u8> {
    let mut out = vec![0xFF, 0x4F];
    let ht = wanted.style & 0x40 != 0;
    let mut siz = if ht { 0x4000u16 } else { 0 }.to_be_bytes().to_vec();
    let (tx, ty, tw, th) = layout::tile_frame(wanted);
    let (x, y) = wanted.offset;
    for number in [x + wanted.size.0, y + wanted.size.1, x, y, tw, th, tx, ty] {
        siz.extend_from_slice(&number.to_be_bytes());
    }
    siz.extend_from_slice(&(wanted.subsampling.len() as u16).to_be_bytes());
    for &(xr, yr) in &wanted.subsampling {
        siz.extend_from_slice(&[wanted.precision - 1, xr, yr]);
    }
    marker(&mut out, 0xFF51, &siz);
    if ht {
        marker(&mut out, 0xFF50, &[0, 2, 0, 0, 0, 0]);
    }
    marker(&mut out, 0xFF52, &cod(wanted, &wanted.base));
    for (component, coding) in &wanted.coc {
        marker(&mut out, 0xFF53, &coc(wanted, *component, coding));
    }
    marker(&mut out, 0xFF5C, &qcd(wanted));
    if !wanted.base.poc.is_empty() {
        marker(&mut out, 0xFF5F, &poc(wanted, &wanted.base.poc));
    }
    if let Some(len) = wanted.comment {
        marker(&mut out, 0xFF64, &[&[0, 1], vec![b'.'; len].as_slice()].concat());
    }
    out
}

fn tile_part_header(
    wanted: &TinyCodestream,
    part: &Part,
    zppt: &mut u8,
    out: &mut Vec<u8>,
    segments: &mut Vec<(u16, Span)>,
) -> Vec<u64> {
    let mut put = |out: &mut Vec<u8>, code: u16, payload: &[u8]| {
        let begin = out.len();
        marker(out, code, payload);
        segments.push((code, Span::new(begin as u64, (out.len() - begin) as u64)));
    };
    if part.number == 0 {
        if let Some((_, own)) = wanted.tile_coding.iter().find(|(tile, _)| *tile == part.tile) {
            put(out, 0xFF52, &cod(wanted, own));
        }
        for (_, component, own) in wanted.tile_coc.iter().filter(|(tile, _, _)| *tile == part.tile) {
            put(out, 0xFF53, &coc(wanted, *component, own));
        }
        if let Some((_, changes)) = wanted.tile_poc.iter().find(|(tile, _)| *tile == part.tile) {
            put(out, 0xFF5F, &poc(wanted, changes));
        }
    }
    if wanted.tile_comment == Some(part.tile) {
        put(out, 0xFF64, b"\0\x01tile");
    }
    if wanted.plt {
        let mut lengths = Vec::new();
        for packet in &part.packets {
            let in_place = if wanted.packed == Packed::InPlace { packet.header.len() } else { 0 };
            lengths.push(packet_length(packet.sop.len() + in_place + packet.body.len()));
        }
        // Lengths are kept whole within a segment.
        for (z, some) in lengths.chunks(100).enumerate() {
            put(out, 0xFF58, &[&[z as u8], some.concat().as_slice()].concat());
        }
    }
    let mut places = Vec::new();
    if wanted.packed == Packed::Ppt {
        let joined: Vec<u8> = part.packets.iter().flat_map(|packet| packet.header.clone()).collect();
        let most = if usize::from(*zppt) + 8 * usize::from(part.of - part.number) < 256 { 8 } else { 1 };
        let step = wanted.packed_segment.max(joined.len().div_ceil(most));
        for some in joined.chunks(step.max(1)) {
            let first = out.len() as u64 + 5;
            put(out, 0xFF61, &[&[*zppt], some].concat());
            *zppt = zppt.wrapping_add(1);
            places.extend(first..first + some.len() as u64);
        }
    }
    places
}

/// Nppm and headers of each tile-part in turn, cut into segments at will but never inside an Nppm.
fn write_ppm(wanted: &TinyCodestream, parts: &[Part], out: &mut Vec<u8>) -> PackedRun {
    // (byte, whether it belongs to a packet header, whether a segment may begin here)
    let mut joined: Vec<(u8, bool, bool)> = Vec::new();
    for part in parts {
        let len: usize = part.packets.iter().map(|packet| packet.header.len()).sum();
        let number = (len as u32).to_be_bytes();
        joined.extend(number.iter().enumerate().map(|(at, &byte)| (byte, false, at == 0)));
        joined.extend(part.packets.iter().flat_map(|packet| packet.header.iter().map(|&byte| (byte, true, true))));
    }
    let step = wanted.packed_segment.max(joined.len().div_ceil(200)).max(4);
    let mut run = PackedRun::default();
    let mut rest = joined.as_slice();
    let mut z = 0u8;
    while !rest.is_empty() {
        let mut take = step.min(rest.len());
        while take < rest.len() && !rest[take].2 {
            take += 1;
        }
        let (some, left) = rest.split_at(take);
        let first = out.len() as u64 + 5;
        let bytes: Vec<u8> = some.iter().map(|&(byte, _, _)| byte).collect();
        marker(out, 0xFF60, &[&[z], bytes.as_slice()].concat());
        let of_headers = some.iter().enumerate().filter(|(_, (_, header, _))| *header);
        run.places.extend(of_headers.map(|(at, _)| first + at as u64));
        run.bytes.extend_from_slice(&bytes);
        rest = left;
        z += 1;
    }
    run
}

/// A TLM with 16-bit tile numbers and 32-bit lengths, to be filled in; returns where its entries begin.
fn write_empty_tlm(parts: usize, out: &mut Vec<u8>) -> usize {
    assert!(parts <= 10_000, "one TLM segment holds no more");
    let begin = out.len();
    marker(out, 0xFF55, &[vec![0, 0x60], vec![0; parts * 6]].concat());
    begin + 6
}

fn cod(wanted: &TinyCodestream, coding: &Coding) -> Vec<u8> {
    let first = &coding.components[0];
    let flags = u8::from(!first.precincts.is_empty()) | u8::from(wanted.sop) << 1 | u8::from(wanted.eph) << 2;
    let mut payload = vec![flags, coding.order as u8];
    payload.extend_from_slice(&coding.layers.to_be_bytes());
    payload.push(0);
    payload.extend(component_parameters(wanted, first));
    payload
}

fn coc(wanted: &TinyCodestream, component: u16, coding: &ComponentCoding) -> Vec<u8> {
    let mut payload = component_number(wanted, component);
    payload.push(u8::from(!coding.precincts.is_empty()));
    payload.extend(component_parameters(wanted, coding));
    payload
}

fn component_parameters(wanted: &TinyCodestream, coding: &ComponentCoding) -> Vec<u8> {
    let (xcb, ycb) = wanted.code_block;
    let mut payload = vec![coding.levels, xcb - 2, ycb - 2, wanted.style, 1];
    if let Some(last) = coding.precincts.last() {
        let given = coding.precincts.iter().chain(std::iter::repeat(last));
        payload.extend(given.take(usize::from(coding.levels) + 1).map(|&(x, y)| y << 4 | x));
    }
    payload
}

fn component_number(wanted: &TinyCodestream, component: u16) -> Vec<u8> {
    if wanted.subsampling.len() < 257 { vec![component as u8] } else { component.to_be_bytes().to_vec() }
}

/// Reversible, one exponent for each sub-band of the deepest decomposition anywhere.
fn qcd(wanted: &TinyCodestream) -> Vec<u8> {
    let components = wanted.base.components.iter();
    let components = components.chain(wanted.coc.iter().map(|(_, own)| own));
    let components = components.chain(wanted.tile_coding.iter().flat_map(|(_, own)| &own.components));
    let components = components.chain(wanted.tile_coc.iter().map(|(_, _, own)| own));
    let levels = components.map(|own| usize::from(own.levels)).max().unwrap_or(0);
    [vec![2 << 5], vec![(wanted.precision + 2) << 3; 3 * levels + 1]].concat()
}

fn poc(wanted: &TinyCodestream, changes: &[Poc]) -> Vec<u8> {
    let mut payload = Vec::new();
    for change in changes {
        payload.push(change.resolution_start);
        payload.extend(component_number(wanted, change.component_start));
        payload.extend_from_slice(&change.layer_end.to_be_bytes());
        payload.push(change.resolution_end);
        payload.extend(component_number(wanted, change.component_end));
        payload.push(change.order as u8);
    }
    payload
}

/// Groups of seven bits, the high ones first [15444-1 Table A.36].
fn packet_length(len: usize) -> Vec<u8> {
    let mut bytes = vec![(len & 0x7F) as u8];
    let mut rest = len >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// A marker and, unless the payload is empty, its segment.
fn marker(out: &mut Vec<u8>, code: u16, payload: &[u8]) {
    out.extend_from_slice(&code.to_be_bytes());
    if !payload.is_empty() {
        out.extend_from_slice(&(payload.len() as u16 + 2).to_be_bytes());
        out.extend_from_slice(payload);
    }
}

/// Joins ascending byte places to spans.
fn spans(places: impl Iterator<Item = u64>) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for place in places {
        match found.last_mut() {
            Some(last) if last.end() == place => last.len += 1,
            _ => found.push(Span::new(place, 1)),
        }
    }
    found
}
