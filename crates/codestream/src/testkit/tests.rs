use std::collections::HashMap;

use super::*;

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
