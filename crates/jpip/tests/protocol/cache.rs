//! Cache models: what the client has is not sent, what it lacks is.

use std::collections::BTreeMap;

use codestream::testkit::tiny_codestream;
use jpip::data_bin::{BinKey, DataBinClass};
use jpip::{CacheModel, CodestreamId, EorReason};
use proptest::prelude::*;

use super::pair::*;

fn precincts(reply: &Reply) -> Vec<u64> {
    let mut ids: Vec<u64> =
        reply.messages().iter().filter(|m| m.class == DataBinClass::Precinct).map(|m| m.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[test]
fn c_8_1_implicit_descriptors_and_layers() {
    let server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(4, 4)]).layers(3).empty_packets(0));
    let all = precincts(&server.stateless("fsiz=64,64"));
    // Level 0 has one precinct, level 1 has 2 x 2, level 2 has 4 x 4.
    assert_eq!(all.len(), 21);
    let with = |model: &str| precincts(&server.stateless(&format!("fsiz=64,64&model={model}")));
    assert_eq!(with("r2"), [0, 1, 2, 3, 4]);
    assert_eq!(with("r1p0-1"), all.iter().copied().filter(|id| ![1, 2].contains(id)).collect::<Vec<_>>());
    assert_eq!(with("P*"), [0; 0]);
    assert_eq!(with("P*,-t0r0"), [0]);
    let built = &server.built[0];
    let first_two: u64 = built.packets.iter().filter(|p| p.sequence == 3 && p.layer < 2).map(|p| p.in_place.len).sum();
    let reply = server.stateless("fsiz=64,64&model=P3:L2");
    let message = reply.messages().into_iter().find(|m| m.id == 3 && m.class == DataBinClass::Precinct).unwrap();
    assert_eq!(message.offset, first_two);
    assert!(message.complete);
}

#[test]
fn c_8_2_need_limits_the_response() {
    let server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(4, 4)]).layers(2).empty_packets(0));
    let reply = server.stateless("fsiz=64,64&need=Hm,P3,P5:7,P900");
    let messages = reply.messages();
    assert_eq!(reply.end, EorReason::WindowDone);
    assert!(messages.iter().all(|m| matches!(m.class, DataBinClass::MainHeader | DataBinClass::Precinct)));
    assert_eq!(precincts(&reply), [3, 5]);
    let of_5: u64 = messages.iter().filter(|m| m.class == DataBinClass::Precinct && m.id == 5).map(|m| m.len).sum();
    assert_eq!(of_5, 7);
    assert_eq!(precincts(&server.stateless("fsiz=16,16&need=r0-9")), [0], "only what the window needs too");
    assert_eq!(precincts(&server.stateless("need=P3-4,M0")), [3, 4], "without a window the list by itself");
    let built = &server.built[0];
    let first: u64 = built.packets.iter().filter(|p| p.sequence == 3 && p.layer < 1).map(|p| p.in_place.len).sum();
    let reply = server.stateless("need=P3:L1");
    assert_eq!(reply.messages()[0].len, first);
    assert!(!reply.messages()[0].complete);
}

#[test]
fn a_request_about_another_version_is_answered_in_full() {
    let server = server(&tiny_codestream());
    let full = server.stateless("fsiz=16,16").body;
    assert_eq!(server.stateless("fsiz=16,16&tid=old&model=P*,Hm,H*,M0").body, full);
    assert_eq!(server.stateless("fsiz=16,16&tid=old&need=P0").body, full);
    let reply = server.stateless("fsiz=16,16&tid=tid-1&model=P*,Hm,H*,M0");
    assert_eq!(reply.body, [0, 1, 0]);
    assert_eq!(reply.header("JPIP-tid"), Some("tid-1"));
}

#[test]
fn an_aborted_response_is_not_in_the_model() {
    let server = server(&tiny_codestream().layers(2));
    let model = CacheModel::new(&server.limits);
    let first = server.plan("fsiz=16,16", &model).unwrap();
    drop(first.plan);
    assert_eq!(model.entries(), 0);
    assert_eq!(server.plan("fsiz=16,16", &model).unwrap().body, first.body);
}

#[test]
fn a_forgetful_model_only_sends_twice() {
    let mut server = server(&tiny_codestream().size(64, 64).levels(1).precincts(&[(3, 3)]).components(3).tiles(2, 2));
    server.limits.max_model_entries = 10;
    let mut model = CacheModel::new(&server.limits);
    let mut store = new_store();
    for window in ["fsiz=64,64&rsiz=20,20", "fsiz=64,64&roff=30,30&rsiz=9,9", "fsiz=64,64"] {
        let (body, _) = server.in_session(window, &mut model);
        receive(&mut store, &body);
        assert!(model.entries() <= 10);
    }
    server.check_precincts(&store, CodestreamId(0));
}

#[test]
fn mset_keeps_what_it_names_and_what_is_served() {
    let frames = [tiny_codestream(), tiny_codestream().seed(2), tiny_codestream().seed(3)];
    let server = server_of(&frames, jpip::CodestreamSet::File, jpip::metadata::raw_codestream());
    let mut model = CacheModel::new(&server.limits);
    server.in_session("stream=0-2&fsiz=16,16", &mut model);
    let reply = server.plan("stream=1&mset=0&fsiz=16,16", &model).unwrap();
    assert_eq!(reply.header("JPIP-mset"), Some("0-1"));
    reply.plan.commit(&mut model);
    let held = |id| !model.held(&BinKey::main_header(CodestreamId(id))).is_nothing();
    assert_eq!([held(0), held(1), held(2)], [true, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    /// A session of random windows, limits, lost responses and forgotten data-bins: the server never believes
    /// that the client holds what it does not, never sends a byte twice unless it must, and once nothing is
    /// lost any more the client gets everything.
    #[test]
    fn the_two_models_never_disagree(
        steps in prop::collection::vec(
            (1u32..80, 0u32..60, 0u32..60, 1u32..60, prop::option::of(0u64..900), 0u8..10, prop::option::of(0u64..40)),
            1..12,
        ),
        layers in 1u16..4, tiles in 1u32..3,
    ) {
        let server = server(&tiny_codestream().size(60, 60).tiles(tiles, tiles).layers(layers).levels(2).precincts(&[(3, 3)]));
        let mut model = CacheModel::new(&server.limits);
        let mut store = new_store();
        for (f, x, y, size, len, fate, forget) in steps {
            let mut query = format!("fsiz={f},{f},closest&roff={x},{y}&rsiz={size},{size}");
            if let Some(len) = len {
                query += &format!("&len={len}");
            }
            if let Some(id) = forget {
                // The client's cache drops a data-bin and says so; here it still has it, which harms nothing.
                query += &format!("&model=-P{id}");
            }
            let request = jpip::Request::parse(query.as_bytes(), None).unwrap();
            model.apply(&request, &server.target);
            let reply = server.plan(&query, &model).unwrap();
            if fate > 1 {
                receive(&mut store, &reply.body);
                reply.plan.commit(&mut model);
            } else {
                // The connection broke: some of it arrived, the server notes nothing.
                receive(&mut store, &reply.body[..reply.body.len() * usize::from(fate) / 2]);
            }
            // Never over-estimated.
            for (key, bin) in store.bins().map(|(key, bin)| (*key, bin.clone())).collect::<Vec<_>>() {
                let (held, complete) = model.held(&key).resolve(u64::MAX, |_| 0);
                prop_assert!(complete || held <= bin.prefix_len(), "{:?}", key);
                prop_assert!(!complete || bin.is_complete(), "{:?}", key);
            }
        }
        let (body, end) = server.in_session("fsiz=60,60", &mut model);
        receive(&mut store, &body);
        prop_assert_eq!(end, EorReason::ImageDone);
        server.check_precincts(&store, CodestreamId(0));
    }

    /// Windows of one session, nothing lost: no byte comes twice.
    #[test]
    fn no_byte_comes_twice_in_a_session(
        windows in prop::collection::vec((1u32..80, 0u32..60, 0u32..60, 1u32..60, prop::option::of(20u64..900)), 1..10),
    ) {
        let server = server(&tiny_codestream().size(60, 60).layers(3).levels(2).precincts(&[(3, 3)]).components(2));
        let mut model = CacheModel::new(&server.limits);
        let mut held = BTreeMap::new();
        for (f, x, y, size, len) in windows {
            let len = len.map(|len| format!("&len={len}")).unwrap_or_default();
            let query = format!("fsiz={f},{f},round-up&roff={x},{y}&rsiz={size},{size}{len}");
            let (body, _) = server.in_session(&query, &mut model);
            check_growth(&body, &mut held);
        }
    }
}
