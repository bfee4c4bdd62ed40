//! Damaged codestreams: every prefix and every single-byte change of small ones [faults A4, A5].
//!
//! Nothing may panic (overflow checks are on in this profile), and what is indexed must lie inside the
//! tile-parts that are there.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test changes its own inputs and may panic"
)]

use codestream::relayout::{Precincts, RopeSource};
use codestream::testkit::{Order, TileParts, TinyCodestream, tiny_codestream};
use codestream::{Indexed, Layout, Limits, index_codestream, relayout};

/// Codestreams that between them use every marker segment that is read.
fn small_ones() -> Vec<TinyCodestream> {
    let many = tiny_codestream().size(40, 36).offset(3, 1).tiles(2, 2).subsampling(&[(1, 1), (2, 1)]).levels(2);
    let many = many.precincts(&[(2, 3), (4, 3)]).layers(2).tile_parts(TileParts::ByResolution);
    vec![
        tiny_codestream(),
        many.clone().rpcl().sop().eph().plt().tlm().interleave(),
        many.clone().ppm().packed_segment(23).poc_split(1, Order::Pcrl, Order::Rlcp),
        many.ppt().cprl().component_coding(1, 1, &[(3, 3)]).tile_coding(2, Order::Lrcp, 3, 1, &[(3, 2)]).psot_zero(),
        tiny_codestream().size(33, 17).levels(2).layers(3).ht().eph(),
        tiny_codestream().size(33, 17).levels(3).layers(2).style(0xC5).psot_zero().without_eoc(),
    ]
}

#[test]
fn every_prefix_is_survived() {
    for tiny in small_ones() {
        let bytes = tiny.build();
        for len in 0..bytes.len() {
            examine(&bytes[..len]);
            lay_out(&bytes[..len]);
        }
    }
}

#[test]
fn every_changed_byte_is_survived() {
    for tiny in small_ones() {
        let mut bytes = tiny.build();
        for at in 0..bytes.len() {
            let before = bytes[at];
            for value in [0x00, 0xFF, before ^ 0x01, before ^ 0x80, before.wrapping_add(1)] {
                bytes[at] = value;
                examine(&bytes);
            }
            bytes[at] = before ^ 0x01;
            lay_out(&bytes);
            bytes[at] = before;
        }
    }
}

#[test]
fn random_bytes_after_a_good_main_header_are_survived() {
    let mut state = 1u64;
    for tiny in small_ones() {
        let built = tiny.build_with_truth();
        let start = built.tile_parts[0].data.offset as usize;
        for _ in 0..200 {
            let mut bytes = built.bytes.clone();
            for byte in &mut bytes[start..] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 56) as u8;
            }
            examine(&bytes);
        }
    }
}

fn examine(bytes: &[u8]) {
    let Ok(Indexed { index, damage }) = index_codestream(&bytes, &Limits::default()) else { return };
    assert!(damage.len() <= Limits::default().max_damage + 1);
    assert!(index.codestream_len <= bytes.len() as u64);
    for tile in &index.tiles {
        for part in &tile.tile_parts {
            assert!(part.span.end() <= bytes.len() as u64);
        }
        for span in tile.packets.iter().flat_map(|table| table.iter().flatten()) {
            let inside =
                |part: &codestream::TilePartSpan| part.span.offset < span.offset && span.end() <= part.span.end();
            assert!(tile.tile_parts.iter().any(inside), "{span:?} outside the tile-parts");
        }
        for span in tile.packed_headers.iter().flatten().flat_map(|table| table.iter().flatten()) {
            assert!(span.end() <= bytes.len() as u64);
        }
    }
}

/// Whatever can be laid out anew at all is then indexed as it was promised.
fn lay_out(bytes: &[u8]) {
    // Small limits, because a changed size may announce millions of code-blocks that are then looked at.
    let limits = Limits { max_packets: 1 << 14, max_code_blocks: 1 << 14, ..Limits::default() };
    let Ok(indexed) = index_codestream(&bytes, &limits) else { return };
    let precincts = Precincts::Wanted([(3, 4)].into_iter().collect());
    let layout = Layout { precincts, sop: true, plt: true, tlm: true, ..Layout::default() };
    let Ok(relaid) = relayout(&bytes, &indexed, &layout, &limits) else { return };
    let source = RopeSource::new(&relaid.bytes, bytes);
    let found = index_codestream(&source, &Limits::default()).unwrap().index;
    assert_eq!(found.main_segments, relaid.index.main_segments);
    for (found, ours) in found.tiles.iter().zip(&relaid.index.tiles) {
        assert_eq!(found.tile_parts, ours.tile_parts);
        assert!(found.packets.iter().zip(&ours.packets).all(|(found, ours)| found.iter().eq(ours.iter())));
    }
}
