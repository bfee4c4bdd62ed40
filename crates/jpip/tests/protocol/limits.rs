//! Each bound of the protocol core, from the outside.

use std::collections::BTreeMap;

use codestream::testkit::{Order, tiny_codestream};
use jpip::{CacheModel, CodestreamId, CodestreamSet, EorReason, RequestError, metadata};

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
    use jpip::{PlanError, Request, ResponsePlan};

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
