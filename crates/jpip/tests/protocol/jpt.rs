//! JPT-streams: tile data-bins whole and in part, in classes 4 and 5.

use std::collections::BTreeMap;

use codestream::testkit::{Order, TileParts, TinyCodestream, TrueTilePart, tiny_codestream};
use codestream::{TileGeometry, TileIndex};
use jpip::client::{DataBinStore, ReassembleOptions, WindowNeeds, reassemble, window_complete};
use jpip::data_bin::{BinKey, DataBinClass};
use jpip::request::range::UintRange;
use jpip::request::window::{FrameSize, Rounding};
use jpip::view_window::ViewWindow;
use jpip::{CacheModel, CodestreamId, EorReason};
use proptest::prelude::*;

use super::delivery::{header, is_astray, kinds};
use super::pair::*;

const WHOLE: &str = "type=jpt-stream&fsiz=999999,999999";

/// OpenJPIP's recommended layout in small: RPCL, one tile-part for each resolution level, several tiles.
fn recommended() -> TinyCodestream {
    tiny_codestream()
        .size(64, 48)
        .tiles(2, 2)
        .levels(3)
        .rpcl()
        .tile_parts(TileParts::ByResolution)
        .empty_packets(0)
        .components(3)
}

/// The tile-parts of a tile, in order.
fn tile_parts(server: &Server, tile: u32) -> Vec<&TrueTilePart> {
    server.built[0].tile_parts.iter().filter(|part| part.tile == tile).collect()
}

/// The bytes of a tile-part as they must be delivered.
fn delivered(server: &Server, part: &TrueTilePart) -> Vec<u8> {
    let mut bytes = server.built[0].bytes[part.span.offset as usize..part.span.end() as usize].to_vec();
    if part.psot_zero {
        let len = bytes.len() as u32;
        bytes[6..10].copy_from_slice(&len.to_be_bytes());
    }
    bytes
}

/// The tile data-bins as they must be.
fn tile_bins(server: &Server) -> BTreeMap<u64, Vec<u8>> {
    let tiles = 0..server.built[0].tiles;
    let bin = |tile| tile_parts(server, tile).into_iter().flat_map(|part| delivered(server, part)).collect();
    tiles.map(|tile| (u64::from(tile), bin(tile))).collect()
}

/// Ends of the tile-parts of a tile within its data-bin.
fn ends(server: &Server, tile: u32) -> Vec<u64> {
    let lengths = tile_parts(server, tile).into_iter().map(|part| part.span.len);
    lengths
        .scan(0, |end, len| {
            *end += len;
            Some(*end)
        })
        .collect()
}

fn check_tiles(server: &Server, store: &DataBinStore) {
    let expected = tile_bins(server);
    let mut seen = 0;
    for (tile, bin) in store.bins_of(CodestreamId(0), DataBinClass::Tile) {
        assert!(bin.is_complete(), "tile {tile}");
        assert_eq!(bin.prefix(), expected[&tile].as_slice(), "tile {tile}");
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}

/// Prefix of each tile's data-bin in a store.
fn prefixes(store: &DataBinStore) -> BTreeMap<u64, u64> {
    store.bins_of(CodestreamId(0), DataBinClass::Tile).map(|(tile, bin)| (tile, bin.prefix_len())).collect()
}

#[test]
fn a_3_5_a_whole_image_is_every_tile_and_the_main_header_verbatim() {
    for (name, kind) in kinds() {
        let server = server(&kind);
        let reply = server.stateless(WHOLE);
        assert_eq!(reply.plan.content_type(), "image/jpt-stream");
        let mut store = new_store();
        assert_eq!(receive(&mut store, &reply.body), Some(EorReason::ImageDone), "{name}");
        check_growth(&reply.body, &mut BTreeMap::new());
        check_tiles(&server, &store);
        let built = &server.built[0];
        let main = store.bin(&BinKey::main_header(CodestreamId(0))).unwrap();
        assert!(main.is_complete());
        assert_eq!(main.prefix(), &built.bytes[..built.main_header_len as usize], "{name}");
        let classes: Vec<u8> = reply.messages().iter().map(|m| m.class.number()).collect();
        assert_eq!(classes[..2], [8, 6]);
        assert!(classes[2..].iter().all(|&class| class == 4), "{name}");
    }
}

#[test]
fn without_a_window_headers_come_alone() {
    let server = server(&recommended());
    let reply = server.stateless("type=jpt-stream&stream=0");
    assert_eq!(reply.end, EorReason::WindowDone);
    assert_eq!(reply.messages().iter().map(|m| m.class.number()).collect::<Vec<_>>(), [8, 6]);
    let reply = server.stateless("type=jpt-stream&fsiz=64,48&rsiz=0,9");
    assert_eq!(reply.end, EorReason::WindowDone);
    assert!(prefixes_of(&reply).is_empty());
}

fn prefixes_of(reply: &Reply) -> BTreeMap<u64, u64> {
    let mut store = new_store();
    receive(&mut store, &reply.body);
    prefixes(&store)
}

#[test]
fn c_4_2_tile_parts_come_up_to_the_resolution_that_is_needed() {
    let server = server(&recommended());
    for (level, size) in [(0usize, "8,6"), (1, "16,12"), (2, "32,24"), (3, "64,48")] {
        let reply = server.stateless(&format!("type=jpt-stream&fsiz={size}"));
        let expected = (0..4).map(|tile| (u64::from(tile), ends(&server, tile)[level])).collect();
        assert_eq!(prefixes_of(&reply), expected, "{size}");
        assert_eq!(reply.end, if level == 3 { EorReason::ImageDone } else { EorReason::WindowDone });
    }
    let one_tile = server.stateless("type=jpt-stream&fsiz=16,12&roff=9,0&rsiz=2,2");
    assert_eq!(prefixes_of(&one_tile).into_keys().collect::<Vec<_>>(), [1]);
}

#[test]
fn tile_parts_go_out_by_turns_so_that_every_prefix_shows_the_whole_window() {
    let server = server(&recommended());
    let reply = server.stateless(WHOLE);
    let tiles: Vec<u64> = reply.messages()[2..].iter().map(|m| m.id).collect();
    assert_eq!(tiles, [[0, 1, 2, 3]; 4].concat());
}

#[test]
fn a_2_extended_messages_say_how_many_resolutions_may_be_discarded() {
    // As OpenJPIP reads it: a message is needed by whoever discards fewer levels than Aux says.
    let server = server(&recommended());
    let reply = server.stateless("type=jpt-stream;ttype=ext&fsiz=64,48");
    assert_eq!(reply.plan.content_type(), "image/jpt-stream;ttype=ext");
    let aux: Vec<u64> =
        reply.messages().iter().filter(|m| m.class == DataBinClass::ExtendedTile).map(|m| m.aux).collect();
    assert_eq!(aux, [[4; 4], [3; 4], [2; 4], [1; 4]].concat());
    let mut store = new_store();
    receive(&mut store, &reply.body);
    check_tiles(&server, &store);
    // Layers first: every tile-part but those of the last layer's highest level holds something of each level.
    let layered =
        super::pair::server(&tiny_codestream().size(32, 32).levels(2).layers(2).tile_parts(TileParts::ByLayer));
    let reply = layered.stateless("type=jpt-stream;ttype=ext&fsiz=32,32");
    let aux: Vec<u64> =
        reply.messages().iter().filter(|m| m.class == DataBinClass::ExtendedTile).map(|m| m.aux).collect();
    assert_eq!(aux, [3, 3]);
    // A tile of one level among tiles of three: those who discard three need its lowest level all the same.
    let uneven = super::pair::server(&recommended().tile_coding(0, Order::Rpcl, 1, 1, &[]));
    let reply = uneven.stateless("type=jpt-stream;ttype=ext&fsiz=64,48");
    let of_tile_0 = reply.messages().into_iter().filter(|m| m.class == DataBinClass::ExtendedTile && m.id == 0);
    assert_eq!(of_tile_0.map(|m| m.aux).collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn limited_requests_add_up_to_the_same_tiles() {
    for (name, kind) in kinds() {
        let server = server(&kind);
        for len in [90, 257, 5000] {
            let mut model = CacheModel::new(&server.limits);
            let (mut store, mut held) = (new_store(), BTreeMap::new());
            for round in 0.. {
                assert!(round < 20_000, "{name}: no progress");
                let (body, end) = server.in_session(&format!("{WHOLE}&len={len}"), &mut model);
                assert!(body.len() <= len + 3);
                check_growth(&body, &mut held);
                assert_eq!(receive(&mut store, &body), Some(end));
                if end != EorReason::ByteLimit {
                    assert_eq!(end, EorReason::ImageDone, "{name}");
                    break;
                }
            }
            check_tiles(&server, &store);
            let (body, _) = server.in_session(WHOLE, &mut model);
            assert_eq!(body, [0, 1, 0], "{name}: nothing is new");
        }
        let (mut store, mut held) = (new_store(), BTreeMap::new());
        for round in 0.. {
            assert!(round < 2000, "{name}: no progress");
            let reply = server.stateless(&format!("{WHOLE}&len=300&model={}", store.model()));
            check_growth(&reply.body, &mut held);
            receive(&mut store, &reply.body);
            if reply.end != EorReason::ByteLimit {
                break;
            }
        }
        check_tiles(&server, &store);
    }
}

#[test]
fn messages_of_tiles_are_not_longer_than_a_chunk() {
    let mut server = server(&recommended());
    server.limits.max_message = 50;
    let reply = server.stateless(WHOLE);
    assert!(reply.messages().iter().all(|m| m.len <= 50));
    let mut store = new_store();
    receive(&mut store, &reply.body);
    check_tiles(&server, &store);
}

#[test]
fn c_8_1_tiles_and_tile_parts_that_the_client_has_are_not_sent() {
    let server = server(&recommended());
    let all = |tile: u32| (u64::from(tile), *ends(&server, tile).last().unwrap());
    let offsets = |query: &str| -> BTreeMap<u64, u64> {
        let mut first = BTreeMap::new();
        for message in server.stateless(&format!("{WHOLE}&{query}")).messages() {
            if message.class == DataBinClass::Tile && message.len > 0 {
                first.entry(message.id).or_insert(message.offset);
            }
        }
        first
    };
    let end = |tile: u32, parts: usize| ends(&server, tile)[parts - 1];
    assert_eq!(offsets("model=T1,T2:7,T*:3"), BTreeMap::from([(0, 3), (2, 7), (3, 3)]));
    assert_eq!(offsets("model=Hm,T*"), BTreeMap::new());
    assert_eq!(offsets("tpmodel=0.0,0.1,2.0-2.3"), BTreeMap::from([(0, end(0, 2)), (1, 0), (3, 0)]));
    assert_eq!(offsets("tpmodel=[0],0.0-3.0"), (0..4).map(|tile| (u64::from(tile), end(tile, 1))).collect());
    // A tile-part after a gap is not believed: the model knows beginnings of data-bins alone.
    assert_eq!(offsets("tpmodel=1.1")[&1], 0);
    assert_eq!(offsets("tpmodel=[7],0.0-3.3").len(), 4, "another codestream");
    assert_eq!(offsets("model=T*&tpmodel=-2.3,-3.1-3.2"), BTreeMap::from([(2, end(2, 3)), (3, end(3, 1))]));
    assert_eq!(offsets("model=T*&tpmodel=-1.2-3.0"), BTreeMap::from([(1, end(1, 2)), (2, 0), (3, 0)]));
    assert_eq!(all(0).1, end(0, 4));
}

#[test]
fn c_8_2_need_and_tpneed_choose_tiles_and_tile_parts() {
    let server = server(&recommended());
    let got = |query: &str| -> Vec<(u8, u64, u64, u64)> {
        let reply = server.stateless(&format!("type=jpt-stream&{query}"));
        reply.messages().iter().map(|m| (m.class.number(), m.id, m.offset, m.len)).collect()
    };
    let end = |tile: u32, parts: usize| ends(&server, tile)[parts - 1];
    assert_eq!(got("need=T2:9"), [(4, 2, 0, 9)]);
    let main = server.built[0].main_header_len;
    assert_eq!(got("need=Hm,M0&tpneed=3.0")[1..], [(6, 0, 0, main), (4, 3, 0, end(3, 1))]);
    assert_eq!(got("tpneed=1.1"), [(4, 1, end(1, 1), end(1, 2) - end(1, 1))]);
    assert_eq!(got("fsiz=8,6&tpneed=0.0-1.3"), [(4, 0, 0, end(0, 1)), (4, 1, 0, end(1, 1))], "within the window");
    assert_eq!(got("need=P*"), []);
    assert_eq!(got("tpneed=[1]0.0"), [], "another codestream");
    // In a JPP-stream there are no tile-parts.
    assert_eq!(server.stateless("tpneed=0.0&fsiz=64,48").body, [0, 2, 0]);
    assert_eq!(server.stateless("tpneed=0.0&fsiz=64,48&need=Hm").messages().len(), 1);
}

#[test]
fn layers_bound_the_tile_parts_where_these_follow_the_layers() {
    let server = server(&tiny_codestream().size(40, 40).levels(2).layers(4).tile_parts(TileParts::ByLayer).tiles(2, 1));
    for layers in 1..=5usize {
        let reply = server.stateless(&format!("{WHOLE}&layers={layers}"));
        let expected = (0..2).map(|tile| (u64::from(tile), ends(&server, tile)[layers.min(4) - 1])).collect();
        assert_eq!(prefixes_of(&reply), expected, "{layers}");
    }
    assert!(prefixes_of(&server.stateless(&format!("{WHOLE}&layers=0"))).is_empty());
}

#[test]
fn comps_bound_the_tile_parts_where_these_follow_the_components() {
    let server = server(&tiny_codestream().size(40, 40).components(3).cprl().tile_parts(TileParts::Every(1)).levels(0));
    let reply = server.stateless(&format!("{WHOLE}&comps=0-1"));
    assert_eq!(prefixes_of(&reply), BTreeMap::from([(0, ends(&server, 0)[1])]));
    assert_eq!(reply.end, EorReason::WindowDone);
}

#[test]
fn a_client_knows_when_the_tiles_of_its_window_are_there() {
    let server = server(&recommended().layers(2));
    let header = header(&server);
    let at = |width, height| {
        ViewWindow::map(
            FrameSize { width, height, rounding: Rounding::Down },
            None,
            None,
            header.siz(),
            header.max_decomposition_levels(),
        )
    };
    let limits = codestream::Limits::default();
    let complete = |store: &DataBinStore, window: &ViewWindow, needs: &WindowNeeds<'_>| {
        window_complete(store, CodestreamId(0), window, needs, &limits).unwrap()
    };
    let mut store = new_store();
    receive(&mut store, &server.stateless("type=jpt-stream&fsiz=16,12").body);
    let all = WindowNeeds::default();
    assert!(complete(&store, &at(16, 12), &all) && complete(&store, &at(8, 6), &all));
    assert!(!complete(&store, &at(32, 24), &all));
    let whole = server.stateless(WHOLE).body;
    let mut cut = new_store();
    receive(&mut cut, &whole[..whole.len() - 10]);
    assert!(!complete(&cut, &at(64, 48), &all));
    assert!(complete(&cut, &at(64, 48), &WindowNeeds { components: &[UintRange::single(0)], layers: Some(1) }));
}

#[test]
fn the_two_stream_types_have_target_identifiers_of_their_own() {
    let server = server(&recommended());
    let jpp = server.stateless("fsiz=8,6").header("JPIP-tid").unwrap().to_owned();
    let jpt = server.stateless("fsiz=8,6&type=jpt-stream").header("JPIP-tid").unwrap().to_owned();
    assert_ne!(jpp, jpt, "their main headers may differ");
    let tiles = |query: &str| prefixes_of(&server.stateless(&format!("{WHOLE}&{query}"))).len();
    assert_eq!(tiles(&format!("tid={jpp}&model=T*")), 4, "a model of other data-bins");
    assert_eq!(tiles(&format!("tid={jpt}&model=T*")), 0);
}

#[test]
fn the_index_of_many_tiles_is_asked_for_in_bounded_pieces() {
    let mut server = server(&recommended().size(128, 96).tiles(16, 12).layers(3).precincts(&[(2, 2)]).code_block(2, 2));
    assert!(server.index_len() > 1 << 16, "many chunks");
    server.limits.index_ahead = 1;
    for types in ["jpt-stream", "jpt-stream;ttype=ext"] {
        let reply = server.stateless(&format!("type={types}&fsiz=128,96"));
        let mut store = new_store();
        receive(&mut store, &reply.body);
        check_tiles(&server, &store);
    }
}

#[test]
fn a_model_that_fills_up_takes_tiles_whole() {
    let mut server = server(&recommended().tiles(8, 6).size(64, 48));
    server.limits.max_model_entries = 30;
    let mut model = CacheModel::new(&server.limits);
    let (mut store, mut held) = (new_store(), BTreeMap::new());
    for round in 0.. {
        assert!(round < 200, "no progress");
        let (body, end) = server.in_session("type=jpt-stream&fsiz=8,6&len=2000", &mut model);
        check_growth(&body, &mut held);
        receive(&mut store, &body);
        assert!(model.entries() <= 30);
        if end != EorReason::ByteLimit {
            break;
        }
    }
    let expected = tile_bins(&server);
    assert_eq!(prefixes(&store).len(), expected.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the window, each tile comes up to the last tile-part that holds a packet of a needed precinct.
    #[test]
    fn windows_deliver_the_tile_parts_that_hold_their_packets(
        kind in 0usize..20, fx in 1u32..100, fy in 1u32..80, ox in 0u32..60, oy in 0u32..60, sx in 1u32..60, sy in 1u32..60,
        cut in 0usize..5, layers in prop::option::of(1u16..4),
    ) {
        let (name, kind) = kinds().swap_remove(kind);
        let policy = [TileParts::One, TileParts::ByResolution, TileParts::ByLayer, TileParts::Every(2), TileParts::Every(5)];
        let kind = kind.tile_parts(policy[cut]);
        let server = server(&kind);
        let limit = layers.map(|layers| format!("&layers={layers}")).unwrap_or_default();
        let reply = server.stateless(&format!("type=jpt-stream&fsiz={fx},{fy}&roff={ox},{oy}&rsiz={sx},{sy}{limit}"));
        let whole = reply.plan.request().fsiz.is_some() && reply.end == EorReason::ImageDone;
        let expected = if whole {
            (0..server.built[0].tiles).map(|tile| (u64::from(tile), *ends(&server, tile).last().unwrap())).collect()
        } else {
            needed(&server, &reply, layers.unwrap_or(u16::MAX))
        };
        let got = prefixes_of(&reply);
        if name == "ppm" {
            prop_assert!(expected.iter().all(|(tile, end)| got[tile] >= *end), "{:?} {:?}", got, expected);
        } else {
            prop_assert_eq!(got, expected, "{}", name);
        }
    }

    /// A response may be cut at any byte: what arrived is the beginning of each tile, and can be decoded.
    #[test]
    fn a_response_cut_anywhere_becomes_a_codestream(kind in 0usize..20, cut in 0.0f64..1.0) {
        let (_, kind) = kinds().swap_remove(kind);
        let server = server(&kind);
        let body = server.stateless(WHOLE).body;
        let cut = (body.len() as f64 * cut) as usize;
        let mut store = new_store();
        receive(&mut store, &body[..cut]);
        let expected = tile_bins(&server);
        for (tile, bin) in store.bins_of(CodestreamId(0), DataBinClass::Tile) {
            prop_assert!(expected[&tile].starts_with(&bin.prefix()));
        }
        if store.bins_of(CodestreamId(0), DataBinClass::Tile).next().is_some() {
            let rebuilt = reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap();
            let indexed = codestream::index_codestream(&rebuilt.codestream, &codestream::Limits::default()).unwrap();
            prop_assert!(indexed.damage.iter().all(|damage| damage.to_string().contains("tiles")), "{:?}", indexed.damage);
        }
    }
}

/// How far each tile is needed, by looking at every packet there is.
fn needed(server: &Server, reply: &Reply, layers: u16) -> BTreeMap<u64, u64> {
    let built = &server.built[0];
    let header = header(server);
    let request = reply.plan.request();
    let levels = header.max_decomposition_levels();
    let window = ViewWindow::map(request.fsiz.unwrap(), request.roff, request.rsiz, header.siz(), levels);
    let mut found = BTreeMap::new();
    for tile in (0..built.tiles).map(TileIndex).filter(|&tile| window.meets(header.siz(), tile)) {
        let parts = tile_parts(server, tile.0);
        let coding = |segments: &[(u16, codestream::Span)]| -> Vec<u8> {
            let own = segments.iter().filter(|(marker, _)| [0xFF52, 0xFF53, 0xFF5F].contains(marker));
            own.flat_map(|(_, span)| built.bytes[span.offset as usize..span.end() as usize].to_vec()).collect()
        };
        let geometry = TileGeometry::new(header.siz(), tile, header.tile_coding(&coding(&parts[0].segments)).unwrap());
        let mut wanted = Vec::new();
        for component in 0..header.siz().component_count() {
            let part = geometry.component(component).unwrap();
            for range in window.precincts(&part, geometry.sampling(component).unwrap()) {
                wanted.extend((0..range.len()).map(|n| (component, range.nth_sequence(n).unwrap())));
            }
        }
        let of_tile = built.packets.iter().filter(|p| p.tile == tile.0 && p.layer < layers);
        let last = of_tile
            .filter(|p| wanted.contains(&(p.component, p.sequence)))
            .filter_map(|p| {
                // A packet without a body whose header is in PPM lies in no tile-part in particular.
                let at = if p.in_place.len > 0 { p.in_place } else { *p.packed_header.last()? };
                parts.iter().position(|part| part.span.offset <= at.offset && at.end() <= part.span.end())
            })
            .max();
        if let Some(last) = last {
            found.insert(u64::from(tile.0), ends(server, tile.0)[last]);
        }
    }
    found
}

#[test]
fn every_order_finds_its_last_packet() {
    for order in Order::ALL {
        for tile_parts in [TileParts::Every(1), TileParts::Every(3)] {
            let codestream = tiny_codestream().size(60, 44).levels(2).layers(3).components(2).precincts(&[(3, 3)]);
            let server = server(&codestream.progression(order).tile_parts(tile_parts).tiles(2, 1));
            for window in ["fsiz=30,22", "fsiz=60,44&roff=5,5&rsiz=3,3&layers=2", "fsiz=15,11&layers=1"] {
                let reply = server.stateless(&format!("type=jpt-stream&{window}"));
                let layers = reply.plan.request().layers.map_or(u16::MAX, |layers| layers as u16);
                assert_eq!(prefixes_of(&reply), needed(&server, &reply, layers), "{order:?} {window}");
            }
        }
    }
}

#[test]
fn c_7_1_aligned_messages_end_at_tile_parts_and_boxes() {
    let server = server(&recommended());
    for len in (200..6000).step_by(190) {
        for message in server.stateless(&format!("{WHOLE}&align=yes&len={len}")).messages() {
            if message.class == DataBinClass::Tile {
                assert!(!is_astray(&message, &ends(&server, message.id as u32)), "len={len}");
            }
        }
    }
    // The boxes of metadata-bin 0: 12, 20, 45 bytes, and a placeholder.
    let image = jpip::metadata::ImagePresentation {
        width: 9,
        height: 9,
        components: vec![(8, false)],
        colour: jpip::metadata::Colour::Grey,
        frames: 1,
        htj2k: false,
    };
    let metadata = jpip::metadata::for_frames(&image);
    let box_ends = metadata.bins[0].box_ends.clone();
    assert_eq!(box_ends, [12, 32, 77, metadata.bins[0].len()]);
    let frames = [tiny_codestream()];
    let server = server_of(&frames, jpip::CodestreamSet::Frames, metadata);
    let mut lengths = Vec::new();
    for len in 6..90 {
        // A few bytes hold no message at all.
        if let Some(first) = server.stateless(&format!("align=yes&len={len}")).messages().first() {
            assert!(!is_astray(first, &box_ends), "len={len}");
            lengths.push(first.len);
        }
    }
    assert!(lengths.contains(&12) && lengths.contains(&32) && lengths.contains(&77), "{lengths:?}");
}
