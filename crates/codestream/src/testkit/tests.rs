use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::damage::Damage;
use crate::geometry::TileIndex;
use crate::index::index_codestream;
use crate::limits::Limits;

/// Every byte after the main header belongs to one tile-part, and of its data to one packet.
fn check(built: &Built) {
    let mut at = built.main_header_len;
    for part in &built.tile_parts {
        assert_eq!(part.span.offset, at);
        at = part.span.end();
        let mut packet_bytes: Vec<Span> = built
            .packets
            .iter()
            .map(|packet| packet.in_place)
            .filter(|span| part.data.offset <= span.offset && span.end() <= part.data.end())
            .filter(|span| span.len > 0)
            .collect();
        packet_bytes.sort();
        let mut covered = part.data.offset;
        for span in packet_bytes {
            assert_eq!(span.offset, covered);
            covered = span.end();
        }
        assert_eq!(covered, part.data.end());
    }
    assert!(at + 2 >= built.bytes.len() as u64);
    let mut counts: HashMap<(u32, u16, u64), u16> = HashMap::new();
    for packet in &built.packets {
        let next = counts.entry((packet.tile, packet.component, packet.sequence)).or_default();
        assert_eq!(packet.layer, *next, "layers of a precinct come in order");
        *next += 1;
    }
}

#[test]
fn packets_cover_the_data_in_every_order() {
    for order in Order::ALL {
        let like = tiny_codestream().size(37, 29).offset(3, 5).tile_size(20, 17).tile_offset(1, 2);
        let like = like.subsampling(&[(1, 1), (2, 1), (2, 2)]).levels(2).layers(3).precincts(&[(2, 3), (4, 3)]);
        check(&like.progression(order).sop().eph().plt().tlm().build_with_truth());
    }
}

#[test]
fn packed_headers_are_found_where_they_are_said_to_be() {
    let plain = tiny_codestream().size(40, 30).levels(2).layers(2).precincts(&[(3, 3)]).eph();
    let truth = plain.build_with_truth();
    let parts = plain.tile_parts(TileParts::ByResolution).packed_segment(7);
    for packed in [parts.clone().ppm(), parts.ppt()] {
        let built = packed.build_with_truth();
        check(&built);
        let bytes = |built: &Built, span: &Span| built.bytes[span.offset as usize..span.end() as usize].to_vec();
        assert!(built.packets.iter().any(|packet| packet.packed_header.len() > 1), "headers straddle");
        for (expected, packet) in truth.packets.iter().zip(&built.packets) {
            let mut joined: Vec<u8> = packet.packed_header.iter().flat_map(|span| bytes(&built, span)).collect();
            joined.extend(bytes(&built, &packet.in_place));
            assert_eq!(joined, bytes(&truth, &expected.in_place));
        }
    }
}

#[test]
fn a_split_progression_reaches_every_packet_once() {
    let like = tiny_codestream().size(33, 33).levels(3).layers(2).components(2).precincts(&[(3, 3)]);
    let whole = like.clone().build_with_truth();
    let split = like.poc_split(2, Order::Cprl, Order::Rlcp).build_with_truth();
    check(&split);
    assert_eq!(whole.packets.len(), split.packets.len());
}

#[test]
fn tile_parts_are_interleaved_when_asked() {
    let like = tiny_codestream().size(32, 32).tiles(2, 2).levels(2).tile_parts(TileParts::ByResolution);
    let built = like.interleave().psot_zero().without_eoc().build_with_truth();
    check(&built);
    let tiles: Vec<_> = built.tile_parts.iter().map(|part| part.tile).collect();
    assert_eq!(tiles, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    assert!(built.tile_parts[11].psot_zero);
}

/// A tile origin left of the image, but with a tile that reaches into it.
fn first_tile(origin: u32, size: u32, count: u32) -> u32 {
    let tile = size.div_ceil(count.min(size));
    (origin / 2).max((origin + 1).saturating_sub(tile))
}

/// Everything that can be chosen, chosen independently.
fn anything() -> impl Strategy<Value = TinyCodestream> {
    let grid = (1u32..50, 1u32..50, 0u32..9, 0u32..9, 1u32..4, 1u32..4);
    let coding = (0u8..4, 1u16..5, 0usize..5, prop::collection::vec((1u8..4, 1u8..3), 1..4));
    let blocks = (2u8..5, 2u8..5, prop::sample::select(vec![0u8, 1, 4, 5, 2 | 8 | 32, 0x40]), 0usize..4);
    let extras = (0u8..3, 1usize..40, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let cuts = (0u8..4, 0u8..4, 0u8..5, 0u32..5, any::<u64>());
    (grid, coding, blocks, extras, cuts).prop_map(|(grid, coding, blocks, extras, cuts)| {
        let (width, height, x, y, across, down) = grid;
        let (levels, layers, order, sampling) = coding;
        let (xcb, ycb, style, precincts) = blocks;
        let (packed, segment, sop, eph, plt, tlm) = extras;
        let (parts, changes, overrides, empty, seed) = cuts;
        let order = Order::ALL[order];
        let other = Order::ALL[(seed % 5) as usize];
        let precincts = [&[][..], &[(3, 3)], &[(1, 2), (2, 2)], &[(4, 2), (3, 4), (2, 3)]][precincts];
        let mut tiny = tiny_codestream()
            .size(width, height)
            .offset(x, y)
            .tiles(across.min(width), down.min(height))
            .tile_offset(first_tile(x, width, across), first_tile(y, height, down))
            .subsampling(&sampling)
            .levels(levels)
            .layers(layers)
            .precincts(precincts)
            .progression(order)
            .code_block(xcb, ycb)
            .style(style)
            .packed_segment(segment)
            .empty_packets(empty)
            .seed(seed);
        tiny = match packed {
            0 => tiny,
            1 => tiny.ppm(),
            _ => tiny.ppt(),
        };
        tiny = match parts {
            0 => tiny,
            1 => tiny.tile_parts(TileParts::ByResolution).interleave(),
            2 => tiny.tile_parts(TileParts::ByLayer).psot_zero(),
            _ => tiny.tile_parts(TileParts::Every(5)).interleave().psot_zero().without_eoc(),
        };
        tiny = match overrides {
            0 => tiny.component_coding(0, levels + 1, &[(2, 2)]),
            1 => tiny.tile_coding(0, other, 3, 2, &[(3, 2)]),
            2 => tiny.tile_component_coding(0, 0, 1, &[(2, 1)]),
            _ => tiny,
        };
        tiny = match changes {
            0 => tiny.poc_split(1, order, other),
            1 => {
                let all = Poc {
                    resolution_start: 0,
                    component_start: 0,
                    layer_end: 1,
                    resolution_end: 33,
                    component_end: sampling.len() as u16,
                    order: other,
                };
                tiny.tile_poc(0, &[all, Poc { layer_end: 10, order, ..all }])
            }
            _ => tiny,
        };
        if sop {
            tiny = tiny.sop();
        }
        if eph {
            tiny = tiny.eph();
        }
        if plt {
            tiny = tiny.plt();
        }
        if tlm {
            tiny = tiny.tlm();
        }
        tiny
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The index against the truth of a builder that shares no code with it.
    #[test]
    fn the_index_finds_every_packet_where_the_builder_put_it(tiny in anything()) {
        let built = tiny.build_with_truth();
        check(&built);
        let indexed = index_codestream(&built.bytes, &Limits::default()).unwrap();
        let no_eoc = Damage::MissingEoc { offset: built.bytes.len() as u64 };
        let expected = if built.bytes.ends_with(&[0xFF, 0xD9]) { vec![] } else { vec![no_eoc] };
        prop_assert_eq!(indexed.damage, expected);
        let index = indexed.index;
        prop_assert_eq!(index.main_header_len, built.main_header_len);
        prop_assert_eq!(index.codestream_len, built.bytes.len() as u64);
        prop_assert_eq!(index.tiles.len(), built.tiles as usize);
        for packet in &built.packets {
            let tile = index.tile(TileIndex(packet.tile)).unwrap();
            let found = tile.packet(packet.component, packet.sequence, packet.layer).to_vec();
            let mut expected = packet.packed_header.clone();
            expected.extend([packet.in_place].iter().filter(|span| span.len > 0));
            prop_assert_eq!(found, expected, "{:?}", packet);
        }
        for tile in &index.tiles {
            let of_tile = built.tile_parts.iter().filter(|part| part.tile == tile.tile.0);
            let expected: Vec<_> = of_tile.clone().map(|part| (part.span, part.psot_zero)).collect();
            let found: Vec<_> = tile.tile_parts.iter().map(|part| (part.span, part.psot_zero)).collect();
            prop_assert_eq!(found, expected);
            let expected: Vec<_> = of_tile.flat_map(|part| part.segments.clone()).collect();
            let found: Vec<_> = tile.header_segments.iter().map(|segment| (segment.marker, segment.span)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
