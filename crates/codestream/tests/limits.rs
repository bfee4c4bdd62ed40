//! Each field of [`Limits`]: what just fits is taken, one more gets the documented answer.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use codestream::boxes::tree::box_tree;
use codestream::jp2::Jp2File;
use codestream::testkit::{TinyCodestream, tiny_codestream};
use codestream::{Damage, Limits, MainHeader, ParseError, index_codestream};

/// Checks that `most` is enough and one less is refused with these numbers.
#[track_caller]
fn check(tiny: &TinyCodestream, most: u64, limits: impl Fn(u64) -> Limits) {
    let bytes = tiny.build();
    assert_eq!(index_codestream(&bytes, &limits(most)).unwrap().damage, []);
    match index_codestream(&bytes, &limits(most - 1)).unwrap_err() {
        ParseError::LimitExceeded { limit, found, .. } => assert_eq!((limit, found), (most - 1, most)),
        error => panic!("{error}"),
    }
}

const SIGNATURE_BOX: &[u8] = b"\0\0\0\x0cjP  \r\n\x87\n";

fn boxed(box_type: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    let len = u32::try_from(contents.len() + 8).unwrap();
    [&len.to_be_bytes()[..], box_type, contents].concat()
}

#[test]
fn max_tiles_is_kept() {
    let tiny = tiny_codestream().size(64, 64).tiles(2, 2);
    check(&tiny, 4, |most| Limits { max_tiles: u32::try_from(most).unwrap(), ..Limits::default() });
}

#[test]
fn max_packets_is_kept() {
    let tiny = tiny_codestream().size(64, 64).levels(2).layers(3);
    check(&tiny, 9, |max_packets| Limits { max_packets, ..Limits::default() });
}

#[test]
fn max_code_blocks_is_kept() {
    let tiny = tiny_codestream().size(64, 64).levels(0).code_block(2, 2);
    check(&tiny, 256, |max_code_blocks| Limits { max_code_blocks, ..Limits::default() });
}

#[test]
fn max_packet_header_is_kept() {
    let tiny = tiny_codestream().size(64, 64).levels(2).ppt();
    let built = tiny.build_with_truth();
    let header_len = |packet: &codestream::testkit::TruePacket| packet.packed_header.iter().map(|s| s.len).sum::<u64>();
    let longest = usize::try_from(built.packets.iter().map(header_len).max().unwrap()).unwrap();
    for bytes in [built.bytes, tiny_codestream().size(64, 64).levels(2).build()] {
        let damage = |max_packet_header| {
            index_codestream(&bytes, &Limits { max_packet_header, ..Limits::default() }).unwrap().damage
        };
        assert_eq!(damage(longest), []);
        let is_bad_header = |found: &Damage| matches!(found, Damage::BadPacketHeader { .. });
        assert!(damage(longest - 1).iter().any(is_bad_header), "{longest}");
    }
}

#[test]
fn max_header_is_kept() {
    let built = tiny_codestream().build_with_truth();
    let len = built.main_header_len;
    check(&tiny_codestream(), len - 2, |max_header| Limits { max_header, ..Limits::default() });
    let header = &built.bytes[..usize::try_from(len).unwrap()];
    let parse = |max_header| MainHeader::parse(header, &Limits { max_header, ..Limits::default() });
    assert!(parse(len).is_ok());
    assert!(matches!(parse(len - 1), Err(ParseError::LimitExceeded { .. })));
}

#[test]
fn max_boxes_is_kept() {
    let bytes = [SIGNATURE_BOX, &boxed(b"asoc", &boxed(b"xml ", b"")), &boxed(b"jp2c", b"abc")].concat();
    let tree = |max_boxes| box_tree(&bytes, &Limits { max_boxes, ..Limits::default() }).unwrap();
    assert_eq!((tree(4).0.len(), tree(4).1.len()), (4, 0));
    assert_eq!((tree(3).0.len(), tree(3).1.len()), (3, 1));
    let parse = |max_boxes| Jp2File::parse(&bytes, &Limits { max_boxes, ..Limits::default() });
    assert!(parse(3).is_ok(), "three at the top");
    assert!(matches!(parse(2), Err(ParseError::LimitExceeded { limit: 2, .. })));
}

#[test]
fn max_box_depth_is_kept() {
    let bytes = boxed(b"asoc", &boxed(b"asoc", &boxed(b"xml ", b"")));
    let tree = |max_box_depth| box_tree(&bytes, &Limits { max_box_depth, ..Limits::default() }).unwrap();
    assert_eq!((tree(2).0.len(), tree(2).1), (3, vec![]));
    let (boxes, damage) = tree(1);
    assert_eq!(boxes.len(), 2);
    assert!(matches!(damage[..], [Damage::Irregular { what: "boxes nested too deeply", .. }]), "{damage:?}");
}

#[test]
fn max_fragments_is_kept() {
    let entry = [&[0; 8][..], &1u32.to_be_bytes(), &[0; 2]].concat();
    let list = boxed(b"ftbl", &boxed(b"flst", &[&[0, 20][..], &entry.repeat(20)].concat()));
    let bytes = [SIGNATURE_BOX, &list].concat();
    let refusals =
        |max_fragments| Jp2File::parse(&bytes, &Limits { max_fragments, ..Limits::default() }).unwrap().refusals.len();
    assert_eq!((refusals(20), refusals(19)), (0, 1));
}

#[test]
fn max_damage_is_kept() {
    let built = tiny_codestream().size(32, 32).tiles(4, 4).build_with_truth();
    let mut bytes = built.bytes;
    for part in &built.tile_parts {
        bytes[usize::try_from(part.span.offset).unwrap() + 10] = 3;
    }
    let damage = |max_damage| index_codestream(&bytes, &Limits { max_damage, ..Limits::default() }).unwrap().damage;
    assert!(matches!(damage(16)[..], [.., Damage::Irregular { .. }]));
    assert_eq!((damage(16).len(), damage(15).len()), (16, 16));
    assert_eq!(damage(15)[15], Damage::More { count: 1 });
}
