//! Whole images and windows: right bytes, right order, resuming to the byte.

use std::collections::BTreeMap;

use codestream::geometry::{precinct_address, precinct_id};
use codestream::testkit::{Order, TileParts, TinyCodestream, TruePacket, tiny_codestream};
use codestream::{Limits, MainHeader, TileGeometry, TileIndex};
use jpip::client::{ReassembleOptions, reassemble};
use jpip::data_bin::{BinKey, DataBinClass};
use jpip::message::MessageHeader;
use jpip::view_window::ViewWindow;
use jpip::{CacheModel, CodestreamId, CodestreamSet, EorReason, metadata};
use proptest::prelude::*;

use super::pair::*;

const WHOLE: &str = "fsiz=999999,999999";

/// Codestreams of every kind that matters to delivery.
pub(super) fn kinds() -> Vec<(&'static str, TinyCodestream)> {
    let base = tiny_codestream().size(70, 50);
    let mut kinds = vec![
        ("plain", base.clone()),
        ("layers", base.clone().layers(5).levels(2).precincts(&[(3, 3)])),
        ("tiles", base.clone().tiles(3, 2).components(3).layers(2)),
        ("offset", base.clone().offset(5, 9).tile_size(17, 19).tile_offset(2, 3).precincts(&[(3, 2), (4, 4)])),
        ("420", base.clone().subsampling(&[(1, 1), (2, 2), (2, 2)]).levels(2).precincts(&[(3, 3), (4, 3)])),
        ("sop eph", base.clone().sop().eph().layers(3)),
        ("ppm", base.clone().ppm().eph().sop().tiles(2, 2).layers(2)),
        ("ppt", base.clone().ppt().tiles(2, 1).layers(2)),
        ("comment", base.clone().comment(300).tile_comment(0).tiles(2, 1).plt().tlm()),
        ("tile parts", base.clone().tile_parts(TileParts::ByResolution).interleave().tiles(2, 2)),
        ("psot", base.clone().psot_zero().without_eoc()),
        ("levels", base.clone().components(2).levels(3).component_coding(1, 1, &[(4, 4)]).precincts(&[(3, 3)])),
        ("tile coding", base.clone().tiles(2, 1).tile_coding(1, Order::Rpcl, 4, 2, &[(3, 3), (4, 4)])),
        ("many layers", base.clone().layers(100).levels(1)),
        ("ht", base.clone().ht().layers(2)),
    ];
    for order in Order::ALL {
        kinds.push(("order", base.clone().progression(order).layers(2).levels(2).precincts(&[(3, 3)]).components(2)));
    }
    kinds
}

#[test]
fn a_whole_image_is_every_precinct_and_nothing_else() {
    for (name, kind) in kinds() {
        let server = server(&kind);
        let reply = server.stateless(WHOLE);
        let mut store = new_store();
        assert_eq!(receive(&mut store, &reply.body), Some(EorReason::ImageDone), "{name}");
        assert_eq!(reply.end, EorReason::ImageDone, "{name}");
        server.check_precincts(&store, CodestreamId(0));
        check_growth(&reply.body, &mut BTreeMap::new());
        assert!(store.is_complete(&BinKey::main_header(CodestreamId(0))));
        let tiles = store.bins_of(CodestreamId(0), DataBinClass::TileHeader).count() as u32;
        assert_eq!(tiles, server.built[0].tiles, "{name}");
        let rebuilt = reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap();
        assert_eq!(rebuilt.missing_packets, 0, "{name}");
    }
}

#[test]
fn a_3_the_order_of_a_response_is_metadata_headers_layers_resolutions() {
    let server = server(&tiny_codestream().size(64, 64).tiles(2, 1).layers(3).levels(2).components(2).empty_packets(0));
    let reply = server.stateless(WHOLE);
    let messages = reply.messages();
    let classes: Vec<u8> = messages.iter().map(|m| m.class.number()).collect();
    assert_eq!(classes[..4], [8, 6, 2, 2]);
    assert!(classes[4..].iter().all(|&class| class == 0));
    assert_eq!(&reply.body[..5], [0x70, 8, 0, 0, 0], "metadata-bin 0, empty and complete, comes first");
    let packets = &server.built[0].packets;
    let places: Vec<_> = messages[4..]
        .iter()
        .map(|message| {
            let address = precinct_address(header(&server).siz(), message.id).unwrap();
            let same = |p: &&TruePacket| {
                (p.tile, p.component, p.sequence) == (address.tile.0, address.component, address.sequence)
            };
            let mut bin: Vec<&TruePacket> = packets.iter().filter(same).collect();
            bin.sort_by_key(|packet| packet.layer);
            let before = |end: &u64| *end <= message.offset;
            let ends = bin.iter().scan(0, |end, packet| {
                *end += packet.in_place.len;
                Some(*end)
            });
            // One precinct at each resolution level, so that the sequence number is the level.
            (ends.filter(before).count(), address.sequence, address.component, address.tile.0)
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(places.len() > 2 * 2 * 3, "several layers");
}

/// The parsed main header of the first frame.
pub(super) fn header(server: &Server) -> MainHeader {
    let built = &server.built[0];
    MainHeader::parse(&built.bytes[..built.main_header_len as usize], &Limits::default()).unwrap().0
}

#[test]
fn a_request_without_a_window_gives_headers() {
    let server = server(&tiny_codestream().size(64, 64).tiles(4, 4));
    let reply = server.stateless("type=jpp-stream&stream=0&qid=1");
    assert_eq!(reply.end, EorReason::WindowDone);
    let classes: Vec<u8> = reply.messages().iter().map(|m| m.class.number()).collect();
    assert_eq!(classes[..2], [8, 6]);
    assert_eq!(classes[2..], [2; 16]);
    assert_eq!(reply.header("JPIP-qid"), Some("1"));
    assert_eq!(reply.header("JPIP-fsiz"), None);
}

#[test]
fn an_empty_window_gives_headers_and_eor_2() {
    let server = server(&tiny_codestream().size(64, 64));
    for window in ["fsiz=64,64&rsiz=0,9", "fsiz=64,64&roff=64,0", "fsiz=64,64&roff=9,99999999999&rsiz=1,1"] {
        let reply = server.stateless(window);
        assert_eq!(reply.end, EorReason::WindowDone, "{window}");
        assert!(reply.messages().iter().all(|m| m.class != DataBinClass::Precinct));
        assert_eq!(reply.header("JPIP-rsiz"), Some("0,0"));
    }
}

#[test]
fn e9_len_counts_message_headers_and_not_the_end() {
    for (name, kind) in kinds() {
        let server = server(&kind);
        let whole = server.stateless(WHOLE).body;
        for len in (0..200).chain([whole.len() - 4, whole.len() - 3, whole.len(), usize::MAX]) {
            let reply = server.stateless(&format!("{WHOLE}&len={len}"));
            let sent = reply.body.len() - 3;
            assert!(sent <= len, "{name} len={len}: {sent}");
            let expected = if len >= whole.len() - 3 { EorReason::ImageDone } else { EorReason::ByteLimit };
            assert_eq!(reply.end, expected, "{name} len={len}");
            assert_eq!(reply.header("JPIP-len").is_some(), sent == 0 && len > 0 && expected == EorReason::ByteLimit);
        }
    }
}

/// Whether a message goes past one of these ends and ends at none of them.
pub(super) fn is_astray(message: &MessageHeader, ends: &[u64]) -> bool {
    let end = message.offset + message.len;
    ends.iter().any(|&at| message.offset < at && at < end) && !ends.contains(&end)
}

/// Ends of the packets of a precinct within its data-bin.
fn packet_ends(server: &Server, id: u64) -> Vec<u64> {
    let address = precinct_address(header(server).siz(), id).unwrap();
    let place = (address.tile.0, address.component, address.sequence);
    let mut packets: Vec<&TruePacket> =
        server.built[0].packets.iter().filter(|p| (p.tile, p.component, p.sequence) == place).collect();
    packets.sort_by_key(|packet| packet.layer);
    let end = packets.iter().scan(0, |end, packet| {
        *end += packet.in_place.len;
        Some(*end)
    });
    end.collect()
}

#[test]
fn c_7_1_aligned_messages_end_at_packets() {
    for (name, kind) in kinds() {
        // Packets whose headers lie elsewhere are longer in the data-bin than in place.
        if ["ppm", "ppt"].contains(&name) {
            continue;
        }
        let server = server(&kind);
        let ends: BTreeMap<u64, Vec<u64>> = (server.stateless(WHOLE).messages().iter())
            .filter(|message| message.class == DataBinClass::Precinct)
            .map(|message| (message.id, packet_ends(&server, message.id)))
            .collect();
        let astray = |align: &str| {
            let mut found = 0;
            for len in (40..400).step_by(7) {
                let mut model = CacheModel::new(&server.limits);
                let mut store = new_store();
                for _round in 0..2000 {
                    let (body, end) = server.in_session(&format!("{WHOLE}&len={len}&align={align}"), &mut model);
                    assert!(body.len() - 3 <= len, "{name}");
                    receive(&mut store, &body);
                    let sent = messages(&body);
                    let precincts = sent.iter().filter(|message| message.class == DataBinClass::Precinct);
                    found += precincts.filter(|message| is_astray(message, &ends[&message.id])).count();
                    if end == EorReason::ImageDone {
                        break;
                    }
                }
                server.check_precincts(&store, CodestreamId(0));
            }
            found
        };
        assert_eq!(astray("yes"), 0, "{name}");
        if name == "layers" {
            assert!(astray("no") > 0, "without it some are");
        }
    }
    let reply = server(&tiny_codestream().layers(4)).stateless("fsiz=16,16&align=yes");
    assert_eq!((reply.header("JPIP-align"), reply.header("JPIP-layers")), (None, Some("4")));
    let reply = server(&tiny_codestream().layers(4)).stateless("fsiz=16,16&align=yes&layers=2");
    assert_eq!(reply.header("JPIP-layers"), Some("2"));
}

#[test]
fn limited_requests_add_up_to_the_same_bytes() {
    for (name, kind) in kinds() {
        let server = server(&kind);
        for len in [64, 100, 257, 5000] {
            let mut model = CacheModel::new(&server.limits);
            let (mut store, mut held) = (new_store(), BTreeMap::new());
            for round in 0.. {
                assert!(round < 20_000, "{name}: no progress");
                let (body, end) = server.in_session(&format!("{WHOLE}&len={len}"), &mut model);
                check_growth(&body, &mut held);
                assert_eq!(receive(&mut store, &body), Some(end));
                if end != EorReason::ByteLimit {
                    assert_eq!(end, EorReason::ImageDone);
                    break;
                }
            }
            server.check_precincts(&store, CodestreamId(0));
            let (body, end) = server.in_session(WHOLE, &mut model);
            assert_eq!((body.as_slice(), end), (&[0, 1, 0][..], EorReason::ImageDone), "{name}: nothing is new");
        }
    }
}

#[test]
fn stateless_requests_with_a_model_add_up_too() {
    for (name, kind) in kinds() {
        let server = server(&kind);
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
        server.check_precincts(&store, CodestreamId(0));
    }
}

#[test]
fn layers_cut_precincts_at_packets() {
    let server =
        server(&tiny_codestream().size(64, 64).layers(4).levels(2).precincts(&[(4, 4)]).sop().empty_packets(3));
    let bins = server.true_bins(0);
    let built = &server.built[0];
    for layers in 0..6u16 {
        let reply = server.stateless(&format!("{WHOLE}&layers={layers}"));
        let mut store = new_store();
        receive(&mut store, &reply.body);
        for (&id, whole) in &bins {
            // One tile, one component: the identifier is the sequence number.
            let lengths = built.packets.iter().filter(|p| p.sequence == id && p.layer < layers).map(|p| p.in_place.len);
            let expected = lengths.sum::<u64>() as usize;
            let bin = store.bin(&BinKey::precinct(CodestreamId(0), id));
            let got = bin.map(|bin| bin.prefix().into_owned()).unwrap_or_default();
            assert_eq!(got, whole[..expected], "layers={layers} precinct {id}");
            assert_eq!(bin.is_some_and(|bin| bin.is_complete()), layers >= 4);
        }
        assert_eq!(reply.header("JPIP-layers"), (layers > 4).then_some("4"));
    }
}

#[test]
fn comps_choose_components() {
    let server = server(&tiny_codestream().size(32, 32).components(4));
    let reply = server.stateless(&format!("{WHOLE}&comps=1,3-9"));
    let components: std::collections::BTreeSet<u64> =
        reply.messages().iter().filter(|m| m.class == DataBinClass::Precinct).map(|m| m.id % 4).collect();
    assert_eq!(components.into_iter().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(reply.end, EorReason::WindowDone);
    assert_eq!(server.stateless(&format!("{WHOLE}&comps=0-")).end, EorReason::ImageDone);
}

#[test]
fn extended_precinct_messages_say_how_many_layers_are_whole() {
    let server = server(&tiny_codestream().size(64, 64).layers(3).levels(1).empty_packets(0));
    let reply = server.stateless(&format!("{WHOLE}&type=jpp-stream;ptype=ext"));
    assert_eq!(reply.plan.content_type(), "image/jpp-stream;ptype=ext");
    let mut store = new_store();
    receive(&mut store, &reply.body);
    server.check_precincts(&store, CodestreamId(0));
    let layers: Vec<u64> =
        reply.messages().iter().filter(|m| m.class == DataBinClass::ExtendedPrecinct).map(|m| m.aux).collect();
    assert_eq!(layers, [1, 1, 2, 2, 3, 3]);
    // Also where a message ends inside a packet.
    for len in (100..reply.body.len()).step_by(7) {
        let cut = server.stateless(&format!("{WHOLE}&type=jpp-stream;ptype=ext&len={len}"));
        for message in cut.messages().iter().filter(|m| m.class == DataBinClass::ExtendedPrecinct) {
            let mut of_precinct: Vec<_> = server.built[0].packets.iter().filter(|p| p.sequence == message.id).collect();
            of_precinct.sort_by_key(|packet| packet.layer);
            let ends = of_precinct.iter().scan(0, |end, packet| {
                *end += packet.in_place.len;
                Some(*end)
            });
            let whole = ends.filter(|end| *end <= message.offset + message.len).count();
            assert_eq!(message.aux, whole as u64, "len={len} {message:?}");
        }
    }
}

#[test]
fn several_codestreams_keep_their_numbers() {
    let frames = [tiny_codestream().seed(1), tiny_codestream().seed(2), tiny_codestream().seed(3)];
    let server = server_of(&frames, CodestreamSet::Frames, metadata::raw_codestream());
    let reply = server.stateless(&format!("{WHOLE}&stream=1-"));
    let mut store = new_store();
    receive(&mut store, &reply.body);
    assert_eq!(reply.end, EorReason::ImageDone);
    for id in 1..=3 {
        server.check_precincts(&store, CodestreamId(id));
    }
    assert!(store.bin(&BinKey::main_header(CodestreamId(0))).is_none());
    let alias = server.stateless(WHOLE);
    let mut store = new_store();
    receive(&mut store, &alias.body);
    server.check_precincts(&store, CodestreamId(0));
    assert_eq!(alias.end, EorReason::WindowDone, "two frames are missing");
    let cut = server.stateless(&format!("{WHOLE}&stream=2-9"));
    assert_eq!(cut.header("JPIP-stream"), Some("2-3"));
}

#[test]
fn many_tiny_precincts_cost_little_more_than_their_bytes() {
    let server = server(&tiny_codestream().size(512, 512).levels(0).precincts(&[(3, 3)]).code_block(2, 2));
    let reply = server.stateless(WHOLE);
    let payload: usize = server.true_bins(0).values().map(Vec::len).sum();
    let bins = server.true_bins(0).len();
    assert_eq!(bins, 4096);
    let headers = server.built[0].main_header_len as usize;
    assert!(reply.body.len() <= payload + headers + 5 * bins, "{} for {payload}", reply.body.len());
}

#[test]
fn an_absent_tile_is_signalled_complete_and_empty() {
    // The tile-parts of the last tile are cut off; the rest is served as it is.
    let whole = tiny_codestream().size(32, 16).tiles(2, 1).without_eoc();
    let server = server(&whole);
    let reply = server.stateless(WHOLE);
    assert!(reply.messages().iter().all(|m| m.class != DataBinClass::Precinct || m.complete));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the window, exactly the precincts that the geometry names arrive, whole.
    #[test]
    fn windows_deliver_the_selected_precincts(
        kind in 0usize..20, fx in 1u32..100, fy in 1u32..80, ox in 0u32..60, oy in 0u32..60, sx in 1u32..60, sy in 1u32..60,
        mode in 0usize..3, step in 1usize..50,
    ) {
        let (name, kind) = kinds().swap_remove(kind);
        let server = server(&kind);
        let mode = ["round-down", "round-up", "closest"][mode];
        let reply = server.stateless(&format!("fsiz={fx},{fy},{mode}&roff={ox},{oy}&rsiz={sx},{sy}"));
        let mut store = new_store();
        receive_in(&mut store, &reply.body, step);
        let expected = server.true_bins(0);
        let mut sent: Vec<u64> = Vec::new();
        for (id, bin) in store.bins_of(CodestreamId(0), DataBinClass::Precinct) {
            prop_assert!(bin.is_complete(), "{}", name);
            prop_assert_eq!(&*bin.prefix(), expected[&id].as_slice());
            sent.push(id);
        }
        let mut wanted: Vec<u64> = selected(&server, &reply);
        wanted.sort_unstable();
        prop_assert_eq!(sent, wanted);
    }

    /// A response may be cut at any byte; what arrived is a prefix of what would have come.
    #[test]
    fn a_response_cut_anywhere_leaves_a_usable_cache(kind in 0usize..20, cut in 0.0f64..1.0) {
        let (_, kind) = kinds().swap_remove(kind);
        let server = server(&kind);
        let body = server.stateless(WHOLE).body;
        let cut = (body.len() as f64 * cut) as usize;
        let mut store = new_store();
        receive(&mut store, &body[..cut]);
        let expected = server.true_bins(0);
        for (id, bin) in store.bins_of(CodestreamId(0), DataBinClass::Precinct) {
            prop_assert!(expected[&id].starts_with(&bin.prefix()));
        }
        let rest = server.stateless(&format!("{WHOLE}&model={}", store.model()));
        receive(&mut store, &rest.body);
        server.check_precincts(&store, CodestreamId(0));
        prop_assert!(rest.body.len() < body.len() - cut + 60, "{} {} {}", rest.body.len(), body.len(), cut);
    }
}

/// The precincts of a reply's window, worked out tile by tile from the geometry.
fn selected(server: &Server, reply: &Reply) -> Vec<u64> {
    let built = &server.built[0];
    let header = header(server);
    let request = reply.plan.request();
    let window = ViewWindow::map(
        request.fsiz.unwrap(),
        request.roff,
        request.rsiz,
        header.siz(),
        header.max_decomposition_levels(),
    );
    let mut found = Vec::new();
    for tile in (0..built.tiles).map(TileIndex).filter(|&tile| window.meets(header.siz(), tile)) {
        let part = built.tile_parts.iter().find(|part| part.tile == tile.0).unwrap();
        let overrides: Vec<u8> = part
            .segments
            .iter()
            .filter(|(marker, _)| [0xFF52, 0xFF53, 0xFF5F].contains(marker))
            .flat_map(|(_, span)| built.bytes[span.offset as usize..span.end() as usize].to_vec())
            .collect();
        let geometry = TileGeometry::new(header.siz(), tile, header.tile_coding(&overrides).unwrap());
        for component in 0..header.siz().component_count() {
            let part = geometry.component(component).unwrap();
            for range in window.precincts(&part, geometry.sampling(component).unwrap()) {
                for n in 0..range.len() {
                    let sequence = range.nth_sequence(n).unwrap();
                    found.push(precinct_id(header.siz(), tile, component, sequence).unwrap());
                }
            }
        }
    }
    found
}
