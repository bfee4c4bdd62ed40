use std::collections::BTreeMap;

use smallvec::smallvec;

use super::*;
use crate::index::{IndexedTile, index_codestream};
use crate::testkit::{Order, TileParts as Cut, TinyCodestream, tiny_codestream};

/// What a codestream holds of one code-block: zero bit-planes, then each contribution.
type Held = (u8, Vec<(u16, u16, Vec<(u8, u32)>, Vec<u8>)>);

/// Tile, component, resolution level, sub-band, column and row.
type Place = (u32, u16, u8, usize, u32, u32);

/// Everything that no layout may change, taken from the bytes.
fn code_blocks(bytes: &[u8]) -> BTreeMap<Place, Held> {
    let limits = Limits::default();
    let index = index_codestream(&bytes, &limits).unwrap().index;
    let mut input = Input { window: Window::new(&bytes), budget: Budget::new(&limits, 1 << 20), limits: &limits };
    let mut found = BTreeMap::new();
    for tile in &index.tiles {
        let geometry = index.geometry(tile);
        let blocks = Blocks::read(tile, &geometry, &mut input).unwrap();
        for component in 0..geometry.component_count() {
            for level in &geometry.component(component).unwrap().resolutions {
                for (number, band) in level.bands.iter().enumerate() {
                    let grid = level.all_code_blocks(band);
                    let all = blocks.band(component, level.level, number).unwrap();
                    for (x, y) in (0..grid.high).flat_map(|y| (0..grid.wide).map(move |x| (x, y))) {
                        let (x, y) = (grid.first_x + x, grid.first_y + y);
                        let block = blocks.block(all, x, y).unwrap();
                        let mut held: Held = (block.zero_planes, Vec::new());
                        let mut next = block.first;
                        while let Some(one) = blocks.contribution(next) {
                            let segments = blocks.segments(one).iter().map(|s| (s.extra_bits, s.len)).collect();
                            let span = one.span().offset as usize..one.span().end() as usize;
                            held.1.push((one.layer, one.passes, segments, bytes[span].to_vec()));
                            next = one.next;
                        }
                        found.insert((tile.tile.0, component, level.level, number, x, y), held);
                    }
                }
            }
        }
    }
    found
}

fn lay_out(bytes: &[u8], layout: &Layout) -> (Vec<u8>, Relaid) {
    let indexed = index_codestream(&bytes, &Limits::default()).unwrap();
    assert!(!indexed.damage.iter().any(Damage::loses_packets), "{:?}", indexed.damage);
    let relaid = relayout(&bytes, &indexed, layout, &Limits::default()).unwrap();
    let mut out = Vec::new();
    relaid.bytes.write_to(&bytes, &mut out).unwrap();
    (out, relaid)
}

/// That the index that came with the bytes is the one that they have.
fn same_index(bytes: &[u8], ours: &CodestreamIndex) {
    let found = index_codestream(&bytes, &Limits::default()).unwrap();
    assert_eq!(found.damage, []);
    let found = found.index;
    assert_eq!((found.main_header_len, found.codestream_len), (ours.main_header_len, ours.codestream_len));
    assert_eq!(found.main_segments, ours.main_segments);
    assert_eq!(found.tiles.len(), ours.tiles.len());
    for (found, ours) in found.tiles.iter().zip(&ours.tiles) {
        assert_eq!((found.tile, &found.tile_parts), (ours.tile, &ours.tile_parts));
        assert_eq!(found.header_segments, ours.header_segments);
        let spans = |tile: &IndexedTile| tile.packets.iter().map(|t| t.iter().collect::<Vec<_>>()).collect::<Vec<_>>();
        assert_eq!(spans(found), spans(ours));
        assert!(ours.packed_headers.is_none());
    }
}

fn check(tiny: &TinyCodestream, layout: &Layout) {
    let bytes = tiny.build();
    let (out, relaid) = lay_out(&bytes, layout);
    same_index(&out, &relaid.index);
    assert_eq!(code_blocks(&bytes), code_blocks(&out), "{layout:?} {tiny:?}");
    let (again, _) = lay_out(&out, layout);
    assert!(again == out, "the same layout once more changes bytes: {layout:?} {tiny:?}");
}

fn wanted(sizes: &[(u8, u8)]) -> Precincts {
    Precincts::Wanted(sizes.into())
}

fn layouts() -> Vec<Layout> {
    let orders = [
        ProgressionOrder::Lrcp,
        ProgressionOrder::Rlcp,
        ProgressionOrder::Rpcl,
        ProgressionOrder::Pcrl,
        ProgressionOrder::Cprl,
    ];
    let mut all = vec![Layout::default()];
    for (number, &order) in orders.iter().enumerate() {
        let base = Layout { progression: Some(order), ..Layout::default() };
        all.push(Layout { precincts: wanted(&[(3, 4)]), sop: number % 2 == 0, eph: number % 3 == 0, ..base.clone() });
        all.push(Layout { precincts: wanted(&[(4, 4), (3, 3)]), plt: true, tlm: true, ..base });
    }
    let by_resolution = Layout { tile_parts: TileParts::ByResolution, plt: true, tlm: true, ..Layout::default() };
    all.push(Layout { progression: Some(ProgressionOrder::Rpcl), precincts: wanted(&[(15, 15)]), ..by_resolution });
    all
}

fn small_ones() -> Vec<TinyCodestream> {
    let base = tiny_codestream().size(61, 45).offset(3, 1).levels(3).code_block(2, 3);
    let many = base.clone().tiles(2, 2).subsampling(&[(1, 1), (2, 1)]).layers(3);
    let own = many.clone().component_coding(1, 1, &[(3, 3)]).tile_coding(2, Order::Lrcp, 2, 1, &[(3, 2)]);
    vec![
        tiny_codestream(),
        base.clone(),
        base.clone().precincts(&[(3, 3), (4, 5)]).layers(2),
        // Precincts that cut code-blocks.
        base.clone().code_block(5, 5).precincts(&[(2, 3), (4, 3)]).layers(2),
        many.clone().rpcl().sop().eph().plt().tlm().tile_parts(Cut::ByResolution).interleave(),
        many.clone().ppm().packed_segment(23).poc_split(1, Order::Pcrl, Order::Rlcp),
        many.clone().ppm().sop().eph().packed_segment(7),
        many.clone().ppt().cprl().psot_zero(),
        own.clone().tile_component_coding(3, 0, 2, &[(4, 4)]).tile_comment(1).comment(20),
        own.pcrl().tile_parts(Cut::Every(3)).without_eoc(),
        base.clone().layers(20).empty_packets(2),
        base.clone().layers(4).style(1).seed(3),
        base.clone().layers(4).style(4).seed(4),
        base.clone().layers(4).style(5).seed(5),
        base.clone().layers(3).ht().eph().seed(6),
        base.clone().levels(0).layers(2),
        tiny_codestream().size(20, 20).components(257).levels(1).code_block(2, 2).component_coding(256, 2, &[]),
        tiny_codestream().size(3, 70).levels(6).code_block(2, 2).layers(2),
    ]
}

#[test]
fn every_layout_keeps_every_code_block() {
    for tiny in small_ones() {
        for layout in layouts() {
            check(&tiny, &layout);
        }
    }
}

#[test]
fn there_and_back_is_the_same_but_for_what_encoders_are_free_in() {
    // The builder writes an empty packet and a packet without contributions as we do only if it is told to.
    let tiny = tiny_codestream().size(61, 45).levels(3).code_block(2, 2).precincts(&[(3, 3)]).rpcl().empty_packets(0);
    let bytes = tiny.build();
    let (there, _) = lay_out(&bytes, &Layout { precincts: wanted(&[(15, 15)]), sop: true, ..Layout::default() });
    assert!(there != bytes);
    let (back, _) = lay_out(&there, &Layout { precincts: wanted(&[(3, 3)]), ..Layout::default() });
    let header = |bytes: &[u8]| index_codestream(&bytes, &Limits::default()).unwrap().index.main_header_len as usize;
    assert_eq!(bytes[..header(&bytes)], back[..header(&back)]);
    assert_eq!(code_blocks(&bytes), code_blocks(&back));
}

#[test]
fn b_7_a_precinct_holds_whole_code_blocks_or_stays() {
    let coding = |block: (u8, u8), sizes: [u8; 2]| {
        let cod = [1, 0, 0, 1, 0, 1, block.0 - 2, block.1 - 2, 0, 1, sizes[0], sizes[1]];
        crate::markers::Cod::parse(&cod, 0).unwrap().component
    };
    let usual = coding((6, 6), [0xFF, 0xFF]);
    assert_eq!(wanted(&[(7, 7)]).exponents(&usual, 1), (7, 7));
    assert_eq!(wanted(&[(7, 7)]).exponents(&usual, 0), (7, 7));
    assert_eq!(wanted(&[(8, 9), (3, 4)]).exponents(&usual, 1), (8, 9));
    assert_eq!(wanted(&[(8, 9), (3, 4)]).exponents(&usual, 0), (6, 6));
    assert_eq!(wanted(&[(3, 9)]).exponents(&usual, 1), (7, 9));
    // 2^6 in the sub-band at level 1 is a whole code-block of 2^6, 2^5 is not.
    let cut = coding((6, 5), [0x66, 0x67]);
    assert_eq!(wanted(&[(9, 9)]).exponents(&cut, 1), (9, 9));
    let cut = coding((6, 5), [0x55, 0x66]);
    assert_eq!(wanted(&[(9, 9)]).exponents(&cut, 1), (6, 9));
    assert_eq!(wanted(&[(9, 9)]).exponents(&cut, 0), (5, 9));
    assert_eq!(Precincts::Keep.exponents(&cut, 0), (5, 5));
}

#[test]
fn one_tile_part_for_each_resolution_level() {
    let bytes = tiny_codestream().size(64, 64).levels(3).components(3).layers(2).build();
    let layout = Layout { tile_parts: TileParts::ByResolution, ..Layout::default() };
    let rpcl = Layout { progression: Some(ProgressionOrder::Rpcl), ..layout.clone() };
    let (out, relaid) = lay_out(&bytes, &rpcl);
    assert_eq!(relaid.index.tiles[0].tile_parts.len(), 4);
    for (number, part) in relaid.index.tiles[0].tile_parts.iter().enumerate() {
        let sot = &out[part.span.offset as usize..][..12];
        assert_eq!((usize::from(sot[10]), sot[11]), (number, 4));
    }
    // Layer by layer the levels come again.
    assert_eq!(lay_out(&bytes, &layout).1.index.tiles[0].tile_parts.len(), 8);
}

#[test]
fn damaged_or_mixed_codestreams_are_refused() {
    let bytes = tiny_codestream().size(64, 64).build();
    let limits = Limits::default();
    let refused = |bytes: &[u8]| {
        let indexed = index_codestream(&bytes, &limits).unwrap();
        relayout(&bytes, &indexed, &Layout::default(), &limits).unwrap_err()
    };
    let cut = bytes[..bytes.len() - 9].to_vec();
    assert!(matches!(refused(&cut), RelayoutError::Damaged(_)));
    // The builder cannot write the packet headers of mixed code-blocks; the coding style alone decides.
    let mixed = tiny_codestream().style(0xC0).build();
    let indexed = Indexed { damage: Vec::new(), ..index_codestream(&mixed, &limits).unwrap() };
    let refused = relayout(&mixed, &indexed, &Layout::default(), &limits).unwrap_err();
    assert_eq!(refused.family(), Family::Unsupported);
}

#[test]
fn the_index_of_other_bytes_is_found_out() {
    let bytes = tiny_codestream().size(64, 64).levels(2).build();
    let other = tiny_codestream().size(64, 64).levels(2).seed(9).build();
    let indexed = index_codestream(&other, &Limits::default()).unwrap();
    assert!(relayout(&bytes, &indexed, &Layout::default(), &Limits::default()).is_err());
}

#[test]
fn wanted_sizes_are_counted_from_the_highest_level() {
    let precincts = Precincts::Wanted(smallvec![(9, 9), (8, 8)]);
    let coding = crate::markers::Cod::parse(&[0, 0, 0, 1, 0, 3, 2, 2, 0, 1], 0).unwrap().component;
    let sizes: Vec<_> = (0..4).rev().map(|level| precincts.exponents(&coding, level)).collect();
    assert_eq!(sizes, [(9, 9), (8, 8), (8, 8), (8, 8)]);
}
