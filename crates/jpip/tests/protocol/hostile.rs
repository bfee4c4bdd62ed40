//! Requests that would cost a server more than they cost their sender. Each of these ran for minutes or longer before
//! it was bounded; now each is a matter of milliseconds, so that running to the end is the proof.

use jpip::{
    BinKey, CacheModel, CodestreamId, CodestreamSet, Limits, LogicalTarget, MetadataBin, MetadataBins, Request,
    ResponsePlan, metadata,
};

fn many_codestreams() -> LogicalTarget {
    LogicalTarget { tid: "t".into(), codestreams: CodestreamSet::Frames(100_000), metadata: metadata::raw_codestream() }
}

fn model_of(text: &str) -> CacheModel {
    let request = Request::parse(b"", Some(text.as_bytes())).unwrap();
    CacheModel::for_stateless(&request, &many_codestreams(), &Limits::default())
}

fn main_header(model: &CacheModel, id: u64) -> bool {
    !model.held(&BinKey::main_header(CodestreamId(id))).is_nothing()
}

#[test]
fn qualifiers_that_alternate_are_not_expanded_for_ever() {
    let model = model_of(&format!("model=[7]Hm,{}", "[0-]Hm,[2-]Hm,".repeat(490_000)));
    assert!(main_header(&model, 7) && main_header(&model, 3));
}

#[test]
fn a_long_qualifier_is_not_compared_for_each_descriptor() {
    let long = "0;".repeat(2_000_000) + "9";
    let model = model_of(&format!("model=[{long}]{}", "Hm,".repeat(990_000)));
    assert!(main_header(&model, 0));
}

#[test]
fn what_is_taken_away_of_many_codestreams_is_bounded_too() {
    let long = "0;".repeat(1_000_000) + "200000";
    let model = model_of(&format!("model=[1-]Hm,[{long}]{}", "-Hm,".repeat(900_000)));
    assert!(main_header(&model, 7), "the others are kept");
    let model = model_of(&format!("stream=0-&model=Hm,[1-]Hm,{}", "-Hm,".repeat(900_000)));
    assert!(!main_header(&model, 7), "beyond the limit everything is forgotten");
}

#[test]
fn ranges_of_data_bins_do_not_visit_every_entry() {
    let mut text = String::from("model=");
    for id in 0..450_000 {
        text += &format!("P{}:5,", 10 + 2 * id);
    }
    text += &"P0-1,-P2-3,".repeat(250_000);
    let model = model_of(&text);
    let precinct = |id| model.held(&BinKey::precinct(CodestreamId(0), id)).resolve(50, |_| 0);
    assert_eq!([precinct(0), precinct(2), precinct(12)], [(50, true), (0, false), (5, false)]);
}

#[test]
fn a_body_of_separators_is_read_once() {
    let text = "&".repeat(8 << 20) + &"x&".repeat(4 << 20) + "len=5";
    assert_eq!(Request::parse(b"", Some(text.as_bytes())).unwrap().len, Some(5));
}

#[test]
fn a_long_metareq_is_not_held_against_each_metadata_bin() {
    use std::sync::Arc;

    let bin = |id| MetadataBin { id, box_type: (id > 0).then_some(*b"uuid"), ..MetadataBin::default() };
    let bins = (0..65_536).map(bin).collect();
    let target = Arc::new(LogicalTarget { metadata: MetadataBins::of(bins), ..many_codestreams() });
    let group = format!("[{}]", vec!["xml_"; 64].join(";"));
    let text = format!("metareq={}!!", vec![group; 64].join(","));
    let request = Request::parse(b"", Some(text.as_bytes())).unwrap();
    for _ in 0..200 {
        assert!(ResponsePlan::new(&request, Arc::clone(&target), &Limits::default()).is_ok());
    }
}
