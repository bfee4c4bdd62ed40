use std::sync::Arc;

use super::*;
use crate::markers::Cod;
use crate::rect::Rect;

/// A packet header from bits written as text; blanks are for the eye. Stuffs as B.10.1 says.
fn header(bits: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut byte, mut room) = (0u8, 8);
    for bit in bits.chars().filter(|c| !c.is_whitespace()) {
        if room == 0 {
            bytes.push(byte);
            (byte, room) = (0, if byte == 0xFF { 7 } else { 8 });
        }
        room -= 1;
        byte |= u8::from(bit == '1') << room;
    }
    bytes.push(byte);
    if byte == 0xFF {
        bytes.push(0);
    }
    bytes
}

/// The only precinct of a tile-component with `wide` × `high` code-blocks of 4 × 4 samples.
fn precinct(wide: u32, high: u32, style: u8) -> PrecinctState {
    let coding = Cod::parse(&[0, 0, 0, 9, 0, 0, 0, 0, style, 1], 0).unwrap().component;
    let component = TileComponent::new(Rect::new(0, 0, 4 * wide, 4 * high), Arc::new(coding));
    PrecinctState::new(&component, &component.resolutions[0], 0, 0, &component.coding)
}

fn check(state: &mut PrecinctState, layer: u16, bits: &str, body: u64) {
    let bytes = header(bits);
    let whole = PacketRead::Complete { header_len: bytes.len(), body_len: body };
    // Whatever is missing, the state stays as it was.
    for cut in 0..bytes.len() {
        assert_eq!(state.read_header(layer, &bytes[..cut], PacketMarkers::default()).unwrap(), PacketRead::NeedMore);
    }
    let with_body: Vec<u8> = bytes.iter().copied().chain([0xAA; 3]).collect();
    assert_eq!(state.read_header(layer, &with_body, PacketMarkers::default()).unwrap(), whole, "{bits}");
}

#[test]
fn b_10_7_lengths_follow_lblock_and_the_number_of_passes() {
    let mut state = precinct(1, 1, 0);
    // Not empty, included, 2 zero bit-planes, 1 pass, Lblock 3, 5 bytes.
    check(&mut state, 0, "1 1 001 0 0 101", 5);
    check(&mut state, 1, "0", 0);
    check(&mut state, 2, "1 0", 0);
    // 2 passes, Lblock 4, so 5 bits.
    check(&mut state, 3, "1 1 10 10 10001", 17);
    // 37 + 3 passes: 5 more bits.
    check(&mut state, 4, "1 1 1111 11111 0000011 0 000000111", 7);
}

#[test]
fn b_10_6_all_codewords_for_passes() {
    for (bits, passes) in [("0", 1), ("10", 2), ("1100", 3), ("1110", 5), ("1111 00000", 6), ("1111 11110", 36)] {
        let mut state = precinct(1, 1, 0x04);
        let lengths = "001".repeat(passes);
        check(&mut state, 0, &format!("1 1 1 {bits} 0 {lengths}"), passes as u64);
    }
}

#[test]
fn d_4_2_bypass_cuts_segments_after_ten_passes_then_two_and_one() {
    let mut state = precinct(1, 1, 0x01);
    // 14 passes: 10 (6 bits), 2 raw (4 bits), 1 cleanup (3), 1 of the next 2 raw (3).
    check(&mut state, 0, "1 1 1 1111 01000 0 100000 1000 100 100", 32 + 8 + 4 + 4);
    // The second of the raw passes, then cleanup, then two raw ones.
    check(&mut state, 1, "1 1 1101 0 001 010 0011", 1 + 2 + 3);
    // Both styles together: each pass on its own.
    let mut state = precinct(1, 1, 0x05);
    check(&mut state, 0, "1 1 1 1100 0 001 010 011", 6);
}

#[test]
fn b_10_2_tag_trees_keep_what_earlier_packets_said() {
    let mut state = precinct(3, 2, 0);
    // Root: layer 0 or later... 1 (0); left node: 0; leaf (0,0): layer 0 not yet (0 → 1), leaf (1,0) included.
    // Order: root 1, node 1, leaf(0,0) 0; leaf(1,0) 1, planes root 1, node 1, leaf 1, pass 0, Lblock 0, length 001;
    // node(1,0) 0 → leaf (2,0) out; leaf (0,1) 0; leaf (1,1) 0; leaf (2,1) out without a bit.
    check(&mut state, 0, "1 1 1 0  1 111 0 0 001  0  0 0", 1);
    // Layer 1: leaf (0,0) included: known at 1; planes: root and node known, leaf 1.
    // leaf (1,0) was included: one bit. node (1,0) at 1: 1; leaf (2,0): 0. Second row: 0, 0 and 0.
    check(&mut state, 1, "1 1 1 0 0 010  0  1 0  0 0 0", 2);
}

#[test]
fn b_10_2_the_root_alone_says_that_nothing_is_included() {
    let mut state = precinct(200, 100, 0);
    for layer in 0..100 {
        check(&mut state, layer, "1 0", 0);
    }
    assert_eq!(state.code_blocks_held(), 20_000);
    let mut state = precinct(200, 100, 0);
    check(&mut state, 0, "0", 0);
    assert_eq!(state.code_blocks_held(), 0, "an empty packet takes no memory");
}

#[test]
fn b_10_1_a_header_that_ends_with_ff_has_one_more_byte() {
    // 6 zero bit-planes, Lblock 8, so that the last eight bits are one whole byte.
    let bits = "1 1 0000001 0 111110 11111111";
    assert_eq!(header(bits)[2..], [0xFF, 0]);
    check(&mut precinct(1, 1, 0), 0, bits, 255);
}

#[test]
fn b_9_a_precinct_without_code_blocks_has_packets_of_one_bit() {
    let mut state = precinct(0, 0, 0);
    check(&mut state, 0, "0", 0);
    check(&mut state, 1, "1", 0);
}

#[test]
fn a_8_sop_and_eph_count_to_the_header_and_may_be_absent() {
    let markers = PacketMarkers { sop: true, eph: true };
    let plain = header("1 1 1 0 0 011");
    let (sop, eph) = ([0xFF, 0x91, 0, 4, 0, 0], [0xFF, 0x92]);
    for (with_sop, with_eph) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut bytes = Vec::new();
        bytes.extend(sop.iter().filter(|_| with_sop));
        bytes.extend(&plain);
        bytes.extend(eph.iter().filter(|_| with_eph));
        let header_len = bytes.len();
        bytes.extend([1, 2, 3]);
        for len in 0..bytes.len() {
            let read = precinct(1, 1, 0).read_header(0, &bytes[..len], markers).unwrap();
            let needed = header_len + usize::from(!with_eph);
            let expected =
                if len < needed { PacketRead::NeedMore } else { PacketRead::Complete { header_len, body_len: 3 } };
            assert_eq!(read, expected, "{with_sop} {with_eph} {len}");
        }
    }
}

#[test]
fn part_15_b_3_one_ht_set() {
    // Cleanup only; cleanup and SigProp; cleanup, then SigProp and MagRef together (one bit more).
    check(&mut precinct(1, 1, 0x40), 0, "1 1 1 0 0 101", 5);
    check(&mut precinct(1, 1, 0x40), 0, "1 1 1 10 0 101 010", 7);
    check(&mut precinct(1, 1, 0x40), 0, "1 1 1 1100 0 101 0111", 12);
}

#[test]
fn part_15_b_3_refinement_in_later_layers() {
    let mut state = precinct(1, 1, 0x40);
    check(&mut state, 0, "1 1 1 0 0 101", 5);
    // SigProp alone, then MagRef and the cleanup of the next set, then SigProp and MagRef of that one.
    check(&mut state, 1, "1 1 0 0 011", 3);
    check(&mut state, 2, "1 1 10 0 001 010", 3);
    check(&mut state, 3, "1 1 10 0 0110", 6);
}

#[test]
fn part_15_b_3_placeholder_passes_have_no_bytes() {
    // Four passes: three placeholders and the cleanup share one length of 3 + 2 bits.
    check(&mut precinct(1, 1, 0x40), 0, "1 1 1 1101 0 00110", 6);
    let mut state = precinct(1, 1, 0x40);
    // Three passes with length 0: cleanup field of 3 bits, extended to 3 + 1.
    check(&mut state, 0, "1 1 1 1100 0 000 0", 0);
    check(&mut state, 1, "1 1 0 0 100", 4);
    let bytes = header("1 1 1 1100 0 000 1");
    let mut state = precinct(1, 1, 0x40);
    assert!(state.read_header(0, &bytes, PacketMarkers::default()).is_err());
}

#[test]
fn part_15_b_3_mixed_blocks_are_told_apart_by_the_first_length() {
    // Lblock still 3: a Part 1 block, whose 3 passes share 3 + 1 bits.
    let mut state = precinct(1, 1, 0xC0);
    check(&mut state, 0, "1 1 1 1100 0 010 1", 5);
    check(&mut state, 1, "1 1 1100 0 0011", 3);
    // Lblock 4 and the top bit 0: HT; 3 bits would not do.
    let mut state = precinct(1, 1, 0xC0);
    check(&mut state, 0, "1 1 1 1100 10 0101 00011", 8);
    // Lblock 4 and the top bit 1: Part 1.
    let mut state = precinct(1, 1, 0xC0);
    check(&mut state, 0, "1 1 1 1100 10 1001 1", 19);
}

#[test]
fn lengths_beyond_32_bits_and_endless_zero_bit_planes_are_refused() {
    let endless_lblock = header(&format!("1 1 1 0 {}", "1".repeat(40)));
    assert!(precinct(1, 1, 0).read_header(0, &endless_lblock, PacketMarkers::default()).is_err());
    let endless_planes = header(&format!("1 1 {}", "0".repeat(300)));
    assert!(precinct(1, 1, 0).read_header(0, &endless_planes, PacketMarkers::default()).is_err());
    let too_wide = header(&format!("1 1 1 10 {} 0 {}", "1".repeat(29), "0".repeat(33)));
    assert!(precinct(1, 1, 0).read_header(0, &too_wide, PacketMarkers::default()).is_err());
}
