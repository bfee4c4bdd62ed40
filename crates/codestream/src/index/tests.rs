use super::*;
use crate::testkit::{Built, Order, TileParts, TinyCodestream, tiny_codestream};

fn index(bytes: &[u8]) -> Indexed {
    index_codestream(&bytes, &Limits::default()).unwrap()
}

/// One tile of 8 packets in three tile-parts.
fn parts() -> TinyCodestream {
    tiny_codestream().size(64, 64).levels(3).layers(2).tile_parts(TileParts::ByResolution)
}

fn found(index: &CodestreamIndex) -> usize {
    index.tiles.iter().flat_map(|tile| &tile.packets).map(|table| table.iter().flatten().count()).sum()
}

/// Puts `value` over the bytes at `at`.
fn patch(built: &Built, at: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = built.bytes.clone();
    let at = at as usize;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn a_truncated_stream_gives_what_is_whole_and_one_reason() {
    let built = tiny_codestream().size(64, 64).levels(3).layers(2).build_with_truth();
    for len in built.main_header_len as usize + 14..built.bytes.len() - 2 {
        let indexed = index(&built.bytes[..len]);
        let whole: Vec<_> = built.packets.iter().filter(|p| p.in_place.end() <= len as u64).collect();
        assert_eq!(found(&indexed.index), whole.len(), "{len}");
        for packet in whole {
            let spans = indexed.index.tiles[0].packet(packet.component, packet.sequence, packet.layer);
            assert_eq!(spans.as_slice(), [packet.in_place]);
        }
        assert_eq!(indexed.index.codestream_len, len as u64);
        let missing = built.packets.len() - found(&indexed.index);
        let expected = Damage::MissingPackets { tile: 0, missing: missing as u64 };
        assert!(missing == 0 || indexed.damage.contains(&expected), "{len}: {:?}", indexed.damage);
    }
    for len in 0..built.main_header_len as usize {
        assert!(index_codestream(&built.bytes[..len].to_vec(), &Limits::default()).is_err());
    }
}

#[test]
fn a_missing_eoc_is_damage_and_padding_after_eoc_is_not() {
    let built = parts().build();
    let end = built.len() as u64;
    let cut = built[..built.len() - 2].to_vec();
    assert_eq!(index(&cut).damage, [Damage::MissingEoc { offset: end - 2 }]);
    let padded = [built.clone(), vec![0]].concat();
    let indexed = index(&padded);
    assert_eq!((indexed.damage, indexed.index.codestream_len), (vec![], end));
}

#[test]
fn psot_zero_ends_before_eoc_also_with_padding_or_garbage_after_it() {
    let built = parts().psot_zero().build_with_truth();
    let last = built.tile_parts.last().unwrap().span;
    for tail in [&[][..], &[0], &[0; 100], b"garbage"] {
        let bytes = [built.bytes.as_slice(), tail].concat();
        let indexed = index(&bytes);
        assert_eq!(indexed.damage.iter().filter(|d| !matches!(d, Damage::MissingEoc { .. })).count(), 0);
        let part = *indexed.index.tiles[0].tile_parts.last().unwrap();
        assert_eq!((part.span, part.psot_zero), (last, true), "{tail:?}");
        assert_eq!(indexed.index.codestream_len, built.bytes.len() as u64);
    }
}

#[test]
fn psot_zero_in_the_middle_is_damage() {
    let built = parts().build_with_truth();
    let first = &built.tile_parts[0];
    let indexed = index(&patch(&built, first.span.offset + 6, &[0; 4]));
    assert!(found(&indexed.index) >= 2, "what comes before is served");
    assert!(!indexed.damage.is_empty());
}

#[test]
fn psot_past_the_end_of_the_data_still_finds_every_packet() {
    let built = tiny_codestream().build_with_truth();
    let indexed = index(&patch(&built, built.tile_parts[0].span.offset + 6, &[0x7F, 0, 0, 0]));
    assert_eq!(found(&indexed.index), built.packets.len());
    assert_eq!(indexed.index.tiles[0].tile_parts[0].span, built.tile_parts[0].span);
    assert_eq!(indexed.index.codestream_len, built.bytes.len() as u64);
    assert!(matches!(indexed.damage[..], [Damage::Irregular { .. }]), "{:?}", indexed.damage);
}

#[test]
fn sot_of_a_tile_that_does_not_exist_is_passed_over() {
    let built = tiny_codestream().size(32, 32).tiles(2, 2).build_with_truth();
    let indexed = index(&patch(&built, built.tile_parts[1].span.offset + 4, &[0, 9]));
    assert_eq!(indexed.index.tiles.len(), 3);
    assert!(indexed.index.tile(TileIndex(1)).is_none());
    assert!(matches!(indexed.damage[0], Damage::Irregular { .. }));
}

#[test]
fn tile_parts_out_of_order_or_of_changing_number_are_named() {
    let built = parts().build_with_truth();
    let second = built.tile_parts[1].span.offset;
    for (at, value) in [(second + 10, 7), (second + 11, 9)] {
        let indexed = index(&patch(&built, at, &[value]));
        assert_eq!(found(&indexed.index), built.packets.len());
        assert!(matches!(indexed.damage[..], [Damage::Irregular { .. }]), "{:?}", indexed.damage);
    }
}

#[test]
fn a_7_3_a_lying_plt_is_damage_and_never_believed() {
    let built = parts().plt().build_with_truth();
    let plt = built.tile_parts[1].segments.iter().find(|(marker, _)| *marker == code::PLT).unwrap().1;
    for (at, value) in [(plt.offset + 5, &[0x7F][..]), (plt.end() - 1, &[0x80]), (plt.offset + 2, &[0xFF, 0xFF])] {
        let indexed = index(&patch(&built, at, value));
        let disagrees = |d: &Damage| matches!(d, Damage::PacketLengthsDisagree { tile: 0, .. });
        if value.len() == 1 {
            assert_eq!(found(&indexed.index), built.packets.len());
            assert!(indexed.damage.iter().any(disagrees), "{:?}", indexed.damage);
        }
    }
}

#[test]
fn a_7_1_a_tlm_that_disagrees_is_damage() {
    let built = parts().tlm().build_with_truth();
    assert_eq!(index(&built.bytes).damage, []);
    let segments = index(&built.bytes).index.main_segments;
    let tlm = segments.iter().find(|segment| segment.marker == code::TLM).unwrap().span;
    let indexed = index(&patch(&built, tlm.end() - 1, &[0xEE]));
    let last = built.tile_parts.last().unwrap().span.offset;
    assert_eq!(indexed.damage, [Damage::TilePartLengthsDisagree { offset: last }]);
    assert_eq!(found(&indexed.index), built.packets.len());
}

#[test]
fn a_8_1_wrong_sop_numbers_are_named_once_and_harmless() {
    let built = parts().sop().eph().build_with_truth();
    let mut bytes = built.bytes.clone();
    for packet in &built.packets {
        bytes[packet.in_place.offset as usize + 5] ^= 0x55;
    }
    let indexed = index(&bytes);
    assert_eq!(found(&indexed.index), built.packets.len());
    assert!(matches!(indexed.damage[..], [Damage::Irregular { .. }]));
}

#[test]
fn a_7_4_missing_packed_headers_leave_the_rest_served() {
    let built = parts().ppm().packed_segment(9).build_with_truth();
    let ppm = index(&built.bytes).index.main_segments;
    let last = ppm.iter().rfind(|segment| segment.marker == code::PPM).unwrap().span;
    let mut bytes = built.bytes.clone();
    bytes.drain(last.offset as usize..last.end() as usize);
    let indexed = index(&bytes);
    assert!(found(&indexed.index) < built.packets.len());
    assert!(!indexed.damage.is_empty());
}

#[test]
fn a_6_tile_codings_are_shared_and_follow_precedence() {
    let like = tiny_codestream().size(40, 40).tiles(2, 2).components(2).levels(2);
    let built = like
        .component_coding(1, 3, &[(3, 3)])
        .tile_coding(1, Order::Rpcl, 2, 1, &[(4, 4)])
        .tile_coding(2, Order::Rpcl, 2, 1, &[(4, 4)])
        .tile_component_coding(3, 0, 0, &[(2, 2)])
        .build();
    let indexed = index(&built);
    assert_eq!(indexed.damage, []);
    let tile = |n| &indexed.index.tile(TileIndex(n)).unwrap().coding;
    assert!(Arc::ptr_eq(tile(0), indexed.index.header.coding()));
    assert!(Arc::ptr_eq(tile(1), tile(2)));
    let levels = |n: u32| [tile(n).component(0).levels, tile(n).component(1).levels];
    assert_eq!(levels(0), [2, 3]);
    assert_eq!(levels(1), [1, 1], "tile COD overrides main COC");
    assert_eq!(levels(3), [0, 3], "tile COC overrides main COD, main COC stays");
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let built = tiny_codestream().size(64, 64).tiles(8, 8).build_with_truth();
    let mut bytes = built.bytes.clone();
    for part in &built.tile_parts {
        bytes[part.span.offset as usize + 10] = 3;
    }
    let indexed = index_codestream(&bytes, &Limits { max_damage: 10, ..Limits::default() }).unwrap();
    assert_eq!(indexed.damage.len(), 11);
    assert_eq!(indexed.damage[10], Damage::More { count: 54 });
}

#[test]
fn each_limit_refuses() {
    let bytes = tiny_codestream().size(64, 64).tiles(2, 2).levels(2).layers(3).build();
    let refused = |limits: Limits| {
        let error = index_codestream(&bytes, &limits).unwrap_err();
        assert!(matches!(error, ParseError::LimitExceeded { .. }), "{error}");
    };
    refused(Limits { max_tiles: 3, ..Limits::default() });
    refused(Limits { max_packets: 35, ..Limits::default() });
    refused(Limits { max_header: 20, ..Limits::default() });
    refused(Limits { max_code_blocks: 5, ..Limits::default() });
    let short_headers = Limits { max_packet_header: 1, ..Limits::default() };
    let indexed = index_codestream(&bytes, &short_headers).unwrap();
    assert!(indexed.damage.iter().any(|damage| matches!(damage, Damage::BadPacketHeader { .. })));
}

/// A codestream of one tile with this COD payload and this data after SOD.
fn bare(side: u32, tile: u32, components: u16, cod: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0x4F, 0xFF, 0x51];
    bytes.extend((38 + 3 * components).to_be_bytes());
    bytes.extend([0, 0]);
    [side, side, 0, 0, tile, tile, 0, 0].iter().for_each(|v| bytes.extend(v.to_be_bytes()));
    bytes.extend(components.to_be_bytes());
    (0..components).for_each(|_| bytes.extend([7, 1, 1]));
    bytes.extend([0xFF, 0x52]);
    bytes.extend((cod.len() as u16 + 2).to_be_bytes());
    bytes.extend(cod);
    bytes.extend([0xFF, 0x5C, 0, 4, 0x40, 0x40]);
    bytes.extend([0xFF, 0x90, 0, 10, 0, 0]);
    bytes.extend((data.len() as u32 + 14).to_be_bytes());
    bytes.extend([0, 1, 0xFF, 0x93]);
    bytes.extend(data);
    bytes.extend([0xFF, 0xD9]);
    bytes
}

#[test]
fn what_the_bytes_cannot_hold_is_refused_before_it_costs_anything() {
    let limits = Limits::default();
    let is_limit = |bytes: Vec<u8>| matches!(index_codestream(&bytes, &limits), Err(ParseError::LimitExceeded { .. }));
    for order in 0..5 {
        // 60000² with precincts of 2 × 2; 2^32 - 1 squared with the largest precincts; 65535 layers of both.
        let tiny = [1, order, 0, 1, 0, 5, 0, 0, 0, 1, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11];
        assert!(is_limit(bare(60_000, 60_000, 3, &tiny, &[0; 100])));
        let huge = [0, order, 0, 1, 0, 5, 4, 4, 0, 1];
        assert!(is_limit(bare(u32::MAX, u32::MAX, 1, &huge, &[0; 100])));
        let layers = [0, order, 0xFF, 0xFF, 0, 32, 4, 4, 0, 1];
        assert!(is_limit(bare(8, 8, 16_384, &layers, &[0; 100])));
    }
}

#[test]
fn tables_for_the_last_of_many_components_are_counted() {
    // Every tile has one packet, that of component 16383, which POC puts first.
    let (count, tiles) = (16_384u16, 100u16);
    let cod = [0, 0, 0, 1, 0, 0, 4, 4, 0, 1];
    let mut bytes = bare(10, 1, count, &cod, &[0]);
    let first = bytes.len() - 17;
    bytes.truncate(first);
    let poc = [0, 0x3F, 0xFF, 0, 1, 33, 0x40, 0, 0, 0, 0, 0, 0, 1, 33, 0x40, 0, 0];
    bytes.extend([0xFF, 0x5F, 0, 2 + poc.len() as u8]);
    bytes.extend(poc);
    for tile in 0..tiles {
        bytes.extend([0xFF, 0x90, 0, 10]);
        bytes.extend(tile.to_be_bytes());
        bytes.extend([0, 0, 0, 15, 0, 1, 0xFF, 0x93, 0]);
    }
    let error = index_codestream(&bytes, &Limits::default()).unwrap_err();
    assert!(matches!(error, ParseError::LimitExceeded { what: "packet tables", .. }), "{error}");
}

#[test]
fn a_tag_tree_bomb_is_stopped() {
    // 2^15 × 2^15 samples in code-blocks of 4 × 4: 50 million in the last precinct, announced by a few bits.
    let cod = [0, 0, 0xFF, 0xFF, 0, 1, 0, 0, 0, 1];
    let bytes = bare(1 << 15, 1 << 15, 1, &cod, &[0x80; 4000]);
    let error = index_codestream(&bytes, &Limits::default()).unwrap_err();
    assert!(matches!(error, ParseError::LimitExceeded { .. }), "{error}");
}

#[test]
fn blank_images_and_many_layers_are_no_bombs() {
    // 65535 empty layers of one precinct: one byte each.
    let cod = [0, 0, 0xFF, 0xFF, 0, 0, 4, 4, 0, 1];
    let indexed = index(&bare(64, 64, 1, &cod, &[0; 65_535]));
    assert_eq!((indexed.damage, found(&indexed.index)), (vec![], 65_535));
    // 16384 components.
    let cod = [0, 4, 0, 1, 0, 1, 4, 4, 0, 1];
    let indexed = index(&bare(8, 8, 16_384, &cod, &[0; 32_768]));
    assert_eq!((indexed.damage, found(&indexed.index)), (vec![], 32_768));
    // A packet of a 32768² blank image says with one bit that nothing is included.
    let cod = [0, 0, 0, 1, 0, 0, 4, 4, 0, 1];
    let indexed = index(&bare(1 << 15, 1 << 15, 1, &cod, &[0x80]));
    assert_eq!((indexed.damage, found(&indexed.index)), (vec![], 1));
}
