//! Each bound of the protocol core, from the outside.

use std::collections::BTreeMap;

use codestream::testkit::{Order, tiny_codestream};
use jpip::limits::Limits;
use jpip::{BinKey, CacheModel, CodestreamId, CodestreamSet, EorReason, Request, RequestError, metadata};

use super::pair::*;

#[test]
fn messages_are_not_longer_than_a_chunk() {
    let mut server = server(&tiny_codestream().size(200, 200).levels(1).layers(3));
    server.limits.max_message = 50;
    let reply = server.stateless("fsiz=200,200");
    assert!(reply.messages().iter().all(|m| m.len <= 50));
    check_growth(&reply.body, &mut BTreeMap::new());
    let mut store = new_store();
    receive(&mut store, &reply.body);
    server.check_precincts(&store, CodestreamId(0));
}

#[test]
fn a_response_beyond_the_servers_limit_ends_with_7_and_progress() {
    let mut server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(3, 3)]));
    server.limits.max_response = 200;
    let mut model = CacheModel::new(&server.limits);
    let mut store = new_store();
    for round in 0.. {
        assert!(round < 100);
        let (body, end) = server.in_session("fsiz=64,64&len=99999999", &mut model);
        assert!(body.len() <= 203);
        receive(&mut store, &body);
        if end == EorReason::ImageDone {
            break;
        }
        assert_eq!(end, EorReason::ResponseLimit);
        assert!(body.len() > 100, "never 7 without progress");
    }
    server.check_precincts(&store, CodestreamId(0));
    let (_, end) = server.in_session("fsiz=64,64&len=10&model=-P*", &mut model);
    assert_eq!(end, EorReason::ByteLimit);
}

#[test]
fn codestreams_beyond_the_limit_are_left_out_and_named() {
    let frames: Vec<_> = (0..5).map(|seed| tiny_codestream().seed(seed)).collect();
    let mut server = server_of(&frames, CodestreamSet::File, metadata::raw_codestream());
    server.limits.max_codestreams = 3;
    let reply = server.stateless("stream=0-&fsiz=16,16");
    assert_eq!(reply.header("JPIP-stream"), Some("0-2"));
    assert_eq!(reply.end, EorReason::WindowDone);
}

#[test]
fn the_index_is_asked_for_in_bounded_pieces() {
    let mut server =
        server(&tiny_codestream().size(600, 600).levels(1).precincts(&[(3, 3)]).code_block(2, 2).layers(2));
    server.limits.index_ahead = 4096;
    let reply = server.stateless("fsiz=600,600");
    let mut store = new_store();
    receive(&mut store, &reply.body);
    server.check_precincts(&store, CodestreamId(0));
}

#[test]
fn a_plan_that_was_not_polled_says_so() {
    use codestream::SparseBytes;
    use jpip::{PlanError, ResponsePlan};

    let server = server(&tiny_codestream());
    let request = Request::parse(b"fsiz=16,16", None).unwrap();
    let mut plan = ResponsePlan::new(&request, server.target.clone(), &server.limits).unwrap();
    let mut index = SparseBytes::new(server.index_len());
    server.open_all(&mut plan, &mut index);
    let model = CacheModel::new(&server.limits);
    assert_eq!(plan.next(&model, &index, 100).err(), Some(PlanError::NotPolled));
}

#[test]
fn a_need_beyond_the_limits_is_refused_rather_than_shortened() {
    let server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(4, 4)]));
    let need = |count: usize| {
        let list: Vec<_> = (0..count).map(|n| format!("t0r{n}p0")).collect();
        server.plan(&format!("fsiz=64,64&need={}", list.join(",")), &CacheModel::new(&server.limits))
    };
    let most = server.limits.max_model_rules;
    assert_eq!(need(most).unwrap().messages().len(), 3, "three levels, one precinct each");
    let error = need(most + 1).err().unwrap();
    assert_eq!(error, RequestError::LimitExceeded { field: "need", limit: most });
}

#[test]
fn a_model_that_is_full_forgets_precincts_before_headers() {
    let mut server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(3, 3)]).layers(3).empty_packets(0));
    server.limits.max_model_entries = 20;
    let mut model = CacheModel::new(&server.limits);
    let (_, end) = server.in_session("fsiz=64,64", &mut model);
    assert_eq!(end, EorReason::ImageDone, "all of it was sent, whatever the model can hold");
}

#[test]
fn a_window_of_more_precincts_than_the_model_holds_is_delivered_all_the_same() {
    let mut server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(3, 3)]).layers(3).empty_packets(0));
    server.limits.max_model_entries = 40;
    let mut model = CacheModel::new(&server.limits);
    let (mut store, mut held) = (new_store(), BTreeMap::new());
    for round in 0.. {
        assert!(round < 200, "no progress");
        let (body, end) = server.in_session("fsiz=64,64&len=700", &mut model);
        check_growth(&body, &mut held);
        receive(&mut store, &body);
        assert!(model.entries() <= 40);
        if end != EorReason::ByteLimit {
            break;
        }
    }
    server.check_precincts(&store, CodestreamId(0));
}

#[test]
fn a_response_that_fills_the_model_repeats_nothing_and_misses_nothing() {
    for most in 8..90 {
        for tiles in [1, 2] {
            let codestream =
                tiny_codestream().size(64, 64).tiles(tiles, 1).components(2).levels(2).precincts(&[(4, 4)]);
            let mut server = server(&codestream.layers(4).tile_coding(0, Order::Rpcl, 3, 1, &[(4, 4)]));
            server.limits.max_model_entries = most;
            let mut store = new_store();
            let (body, end) = server.in_session("fsiz=64,64", &mut CacheModel::new(&server.limits));
            check_growth(&body, &mut BTreeMap::new());
            receive(&mut store, &body);
            server.check_precincts(&store, CodestreamId(0));
            assert_eq!(end, EorReason::ImageDone, "{most} {tiles}");
        }
    }
}

/// Checks that a field of three items is taken by limits of three and refused by limits of two.
#[track_caller]
fn check_count(query: &str, limits: impl Fn(usize) -> Limits) {
    let parse = |most| Request::parse_within(query.as_bytes(), None, &limits(most));
    assert!(parse(3).is_ok(), "{query}: {:?}", parse(3));
    assert!(matches!(parse(2), Err(RequestError::LimitExceeded { limit: 2, .. })), "{query}: {:?}", parse(2));
}

#[test]
fn max_list_items_is_kept() {
    for query in [
        "comps=0,1,2",
        "stream=0,1,2",
        "type=jpp-stream,jpt-stream,raw",
        "mset=0,1,2",
        "cclose=a,b,c",
        "tpmodel=0.0,0.1,0.2",
        "tpneed=[0;1;2]0.0",
    ] {
        check_count(query, |max_list_items| Limits { max_list_items, ..Limits::default() });
    }
}

#[test]
fn max_metareq_groups_is_kept() {
    check_count("metareq=[*],[xml_],[*]", |max_metareq_groups| Limits { max_metareq_groups, ..Limits::default() });
}

#[test]
fn max_metareq_properties_is_kept() {
    let limits = |max_metareq_properties| Limits { max_metareq_properties, ..Limits::default() };
    check_count("metareq=[asoc;xml_;uuid]", limits);
}

#[test]
fn max_model_items_is_kept() {
    for query in ["model=P1,P2,P3", "need=P1,P2,P3"] {
        check_count(query, |max_model_items| Limits { max_model_items, ..Limits::default() });
    }
}

#[test]
fn max_model_edits_is_kept() {
    let frames: Vec<_> = (0..4).map(|seed| tiny_codestream().seed(seed)).collect();
    let server = server_of(&frames, CodestreamSet::File, metadata::raw_codestream());
    let request = |query: &str| Request::parse(query.as_bytes(), None).unwrap();
    let model = |max_model_edits| {
        let limits = Limits { max_model_edits, ..Limits::default() };
        let mut model = CacheModel::for_stateless(&request("model=[0-3]Hm"), &server.target, &limits);
        let added = !model.held(&BinKey::main_header(CodestreamId(3))).is_nothing();
        for id in 0..4 {
            model.record(&BinKey::main_header(CodestreamId(id)), 1, true);
            model.record(&BinKey::tile_header(CodestreamId(id), 0), 1, true);
        }
        model.apply(&request("model=[0-3]-Hm"), &server.target);
        (added, !model.held(&BinKey::tile_header(CodestreamId(3), 0)).is_nothing())
    };
    assert_eq!(model(8), (true, true));
    assert_eq!(model(1), (false, false), "additions are passed over, taking away forgets everything");
    let added = |most| model(most).0;
    assert_eq!((added(4), added(3)), (true, false));
}

#[test]
fn index_ahead_is_kept() {
    use codestream::{CHUNK, SparseBytes};
    use jpip::ResponsePlan;

    let tiny = tiny_codestream().size(600, 600).levels(1).precincts(&[(3, 3)]).code_block(2, 2).layers(2);
    let mut server = server(&tiny);
    let mut asked_for = |index_ahead| {
        server.limits.index_ahead = index_ahead;
        let request = Request::parse(b"fsiz=600,600", None).unwrap();
        let mut plan = ResponsePlan::new(&request, server.target.clone(), &server.limits).unwrap();
        let mut index = SparseBytes::new(server.index_len());
        server.open_all(&mut plan, &mut index);
        plan.poll_needs(&index).unwrap().iter().map(|range| range.end - range.start).sum::<u64>()
    };
    let all = asked_for(1 << 30);
    assert!(all > 4 * CHUNK, "{all}");
    let one = asked_for(CHUNK);
    assert!(0 < one && one <= 2 * CHUNK, "{one}: a piece may begin inside a chunk");
}

#[test]
fn max_message_is_kept() {
    let mut server = server(&tiny_codestream().size(200, 200).levels(1));
    let mut longest = |max_message| {
        server.limits.max_message = max_message;
        server.stateless("fsiz=200,200").messages().iter().map(|message| message.len).max()
    };
    assert_eq!((longest(150), longest(151)), (Some(150), Some(151)));
}

#[test]
fn max_codestreams_is_kept() {
    let frames: Vec<_> = (0..3).map(|seed| tiny_codestream().seed(seed)).collect();
    let mut server = server_of(&frames, CodestreamSet::File, metadata::raw_codestream());
    let mut served = |most| {
        server.limits.max_codestreams = most;
        server.stateless("stream=0-2&fsiz=16,16").messages().iter().map(|message| message.key().codestream).max()
    };
    assert_eq!((served(3), served(2)), (Some(CodestreamId(2)), Some(CodestreamId(1))));
}

#[test]
fn max_model_entries_is_kept() {
    let held = |max_model_entries| {
        let mut model = CacheModel::new(&Limits { max_model_entries, ..Limits::default() });
        (0..20).for_each(|id| model.record(&BinKey::main_header(CodestreamId(id)), 1, true));
        let kept = (0..20).filter(|&id| !model.held(&BinKey::main_header(CodestreamId(id))).is_nothing()).count();
        (kept, model.entries())
    };
    let (kept, entries) = held(1000);
    assert_eq!((kept, held(entries)), (20, (20, entries)));
    let (kept, fewer) = held(entries - 1);
    assert!(kept < 20 && fewer < entries, "{kept} {fewer}");
}
