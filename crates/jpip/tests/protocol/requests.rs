//! Requests as the client half writes them and the server half reads them.

use jpip::client::RequestBuilder;
use jpip::request::channel::CloseList;
use jpip::request::window::{Rounding, SamplePair};
use jpip::{CacheModel, Request};
use proptest::prelude::*;

use super::pair::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is built is what is parsed.
    #[test]
    fn parsing_undoes_building(
        target in "[^\\p{Cc}]{0,40}", tid in "[!-~]{1,60}", fx in 1u32.., fy in 1u32.., roff in any::<(u32, u32)>(),
        rsiz in any::<(u32, u32)>(), rounding in 0usize..3, len in any::<u64>(), layers in any::<u32>(),
        streams in prop::collection::vec((0u64..99, prop::option::of(0u64..99), 1u64..5), 1..5), qid in any::<u64>(),
        cids in prop::collection::vec("[a-z0-9]{1,9}[.][0-9a-f]{32}", 1..4),
    ) {
        let mut builder = RequestBuilder::new();
        let names = ["round-down", "round-up", "closest"];
        let sampled = |&(first, more, factor): &(u64, Option<u64>, u64)| match more {
            Some(more) => format!("{first}-{}:{factor}", first + more + 1),
            None => format!("{first}-"),
        };
        builder
            .set("target", &target)
            .set("tid", &tid)
            .set("fsiz", &format!("{fx},{fy},{}", names[rounding]))
            .set_pair("roff", roff)
            .set_pair("rsiz", rsiz)
            .set("len", &len.to_string())
            .set("layers", &layers.to_string())
            .set("stream", &streams.iter().map(sampled).collect::<Vec<_>>().join(","))
            .set("qid", &qid.to_string())
            .set("cclose", &cids.join(","))
            .set("context", "jpxl<0-3>[s1i2]")
            .set("metareq", "[xml_;asoc/w!]R0D3!!");
        let query = builder.to_query();
        // However the fields are split over the URL and the body, the request is the same.
        let (head, tail) = query.split_once('&').unwrap();
        let request = Request::parse(query.as_bytes(), None).unwrap();
        prop_assert_eq!(&Request::parse(head.as_bytes(), Some(tail.as_bytes())).unwrap(), &request);
        prop_assert_eq!(request.target, Some(target));
        prop_assert_eq!(request.tid, Some(tid));
        let fsiz = request.fsiz.unwrap();
        prop_assert_eq!((fsiz.width, fsiz.height), (fx, fy));
        prop_assert_eq!(fsiz.rounding, [Rounding::Down, Rounding::Up, Rounding::Closest][rounding]);
        prop_assert_eq!(request.roff, Some(SamplePair { x: roff.0, y: roff.1 }));
        prop_assert_eq!(request.rsiz, Some(SamplePair { x: rsiz.0, y: rsiz.1 }));
        prop_assert_eq!((request.len, request.layers, request.qid), (Some(len), Some(layers), Some(qid)));
        prop_assert_eq!(request.stream.len(), streams.len());
        for (got, (first, more, factor)) in request.stream.iter().zip(streams) {
            prop_assert_eq!((got.range.first, got.range.last), (first, more.map(|more| first + more + 1)));
            prop_assert_eq!(got.factor, if more.is_some() { factor } else { 1 });
        }
        prop_assert_eq!(request.cclose, Some(CloseList::Channels(cids)));
        prop_assert_eq!(request.context.len(), 1);
        prop_assert!(request.metareq.unwrap().metadata_only);
    }

    /// A client's own statement of its cache reads back as what it holds.
    #[test]
    fn the_model_that_a_client_states_is_what_it_holds(bins in prop::collection::btree_map((0u64..3, 0u64..50), (0u64..9, any::<bool>()), 0..40)) {
        use codestream::testkit::tiny_codestream;
        use jpip::{BinKey, CodestreamId, CodestreamSet, metadata};

        let frames = [tiny_codestream(), tiny_codestream(), tiny_codestream()];
        let server = server_of(&frames, CodestreamSet::File, metadata::raw_codestream());
        let mut store = new_store();
        for (&(codestream, id), &(len, complete)) in &bins {
            let key = BinKey::precinct(CodestreamId(codestream), id);
            store.insert(key, 0, &vec![7; len as usize], complete).unwrap();
        }
        let query = format!("model={}", store.model());
        let request = Request::parse(query.as_bytes(), None).unwrap();
        let model = CacheModel::for_stateless(&request, &server.target, &server.limits);
        for codestream in 0..3 {
            for id in 0..50 {
                let (len, complete) = bins.get(&(codestream, id)).copied().unwrap_or_default();
                let held = model.held(&BinKey::precinct(CodestreamId(codestream), id));
                let expected = if complete { (1000, true) } else { (len, false) };
                prop_assert_eq!(held.resolve(1000, |_| 0), expected);
            }
        }
    }

    /// Whatever a peer sends is answered or refused, within bounds.
    #[test]
    fn any_text_is_read_or_refused(
        text in prop::collection::vec(prop_oneof![
            Just("model=".to_owned()), Just("need=".to_owned()), Just("&".to_owned()), Just("fsiz=9,9".to_owned()),
            Just("[*]".to_owned()), Just("metareq=".to_owned()), Just("stream=".to_owned()), Just("0-".to_owned()),
            Just("t*r0:L3,-P*".to_owned()), Just("context=jpxl<".to_owned()), Just("len=9".to_owned()), "\\PC{0,6}",
            "[0-9,;:*\\[\\]-]{0,12}",
        ], 0..12),
        raw in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let server = server(&codestream::testkit::tiny_codestream());
        let text = text.concat();
        let _ = Request::parse(&raw, Some(text.as_bytes()));
        if let Ok(request) = Request::parse(text.as_bytes(), None) {
            let model = CacheModel::for_stateless(&request, &server.target, &server.limits);
            let _ = server.plan(&text, &model);
        }
    }
}
