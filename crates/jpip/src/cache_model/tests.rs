use super::*;
use crate::metadata;

fn target(codestreams: CodestreamSet) -> LogicalTarget {
    LogicalTarget { tid: "t".into(), codestreams, metadata: metadata::raw_codestream() }
}

fn model(query: &str) -> CacheModel {
    let request = Request::parse(query.as_bytes(), None).unwrap();
    CacheModel::for_stateless(&request, &target(CodestreamSet::File(4)), &Limits::default())
}

fn precinct(id: u64) -> BinKey {
    BinKey::precinct(CodestreamId(0), id)
}

/// Precinct `id` at resolution `id`, of ten bytes in each of five layers.
fn held(model: &CacheModel, id: u64) -> (u64, bool) {
    let place = PrecinctPlace { tile: 0, component: 0, resolution: id, position: 0 };
    model.held_precinct(&precinct(id), &place).resolve(50, |layers| u64::from(layers) * 10)
}

#[test]
fn c_8_1_descriptors_apply_from_left_to_right() {
    for (text, id, expected) in [
        ("P5", 5, (50, true)),
        ("P5", 6, (0, false)),
        ("P5:20", 5, (20, false)),
        ("P5:20,P5:10", 5, (20, false)),
        ("P5:L2", 5, (20, false)),
        ("P5:L9", 5, (50, false)),
        ("P5:25,P5:L2", 5, (25, false)),
        ("P5,-P5", 5, (0, false)),
        ("-P5,P5", 5, (50, true)),
        ("P5,-P5:7", 5, (7, false)),
        ("P5,-P5:99", 5, (50, true)),
        ("P5:5,-P5:7", 5, (5, false)),
        ("P5,-P5:L1", 5, (10, false)),
        ("P5,-P5:L1,P5:12", 5, (12, false)),
        ("P*", 5, (50, true)),
        ("P*,-P5", 5, (0, false)),
        ("P*,-P5", 6, (50, true)),
        ("P*:30", 5, (30, false)),
        ("P3-5:L3,-P4", 4, (0, false)),
        ("P3-5:L3,-P4", 5, (30, false)),
        ("P3-5:L3,-P4,P4:3", 4, (3, false)),
        ("P*,-P*,P7", 5, (0, false)),
        ("r5", 5, (50, true)),
        ("r5", 4, (0, false)),
        ("t0c*r0-4p*", 4, (50, true)),
        ("t1", 4, (0, false)),
        ("r5:L2", 5, (20, false)),
        ("r5,-P5:12", 5, (12, false)),
        ("P*,-r3", 3, (0, false)),
        ("P*,-r3", 2, (50, true)),
        ("P*,-r0-9:L2,P3", 3, (50, true)),
        ("P*,-r0-9:L2,P3", 4, (20, false)),
        ("[1]P*,[0]P2", 5, (0, false)),
        ("[0-]P*", 5, (50, true)),
        ("[7]P*", 5, (0, false)),
    ] {
        assert_eq!(held(&model(&format!("model={text}")), id), expected, "{text}");
    }
}

#[test]
fn headers_and_metadata() {
    let model = model("model=Hm,Ht1,M0:7,[2]Hm");
    let id = CodestreamId;
    assert_eq!(model.held(&BinKey::main_header(id(0))), Held::Complete);
    assert_eq!(model.held(&BinKey::main_header(id(1))), Held::Nothing);
    assert_eq!(model.held(&BinKey::main_header(id(2))), Held::Complete);
    assert_eq!(model.held(&BinKey::tile_header(id(0), 1)), Held::Complete);
    assert_eq!(model.held(&BinKey::tile_header(id(0), 2)), Held::Nothing);
    assert_eq!(model.held(&BinKey::metadata(0)), Held::Prefix(7));
}

#[test]
fn without_a_qualifier_the_codestreams_of_the_request_are_meant() {
    let request = Request::parse(b"stream=2-3&model=Hm", None).unwrap();
    let model = CacheModel::for_stateless(&request, &target(CodestreamSet::File(4)), &Limits::default());
    assert!(model.held(&BinKey::main_header(CodestreamId(0))).is_nothing());
    assert_eq!(model.held(&BinKey::main_header(CodestreamId(3))), Held::Complete);
}

#[test]
fn a_request_about_another_version_changes_nothing() {
    assert!(held(&model("model=P5&tid=other"), 5) == (0, false));
    assert!(held(&model("model=P5&tid=0"), 5) == (50, true));
    assert!(held(&model("model=P5&tid=t"), 5) == (50, true));
}

#[test]
fn frames_wildcards_leave_number_0_alone() {
    let request = Request::parse(b"model=[0-]P*,[0-1]Hm", None).unwrap();
    let model = CacheModel::for_stateless(&request, &target(CodestreamSet::Frames(2)), &Limits::default());
    let place = PrecinctPlace { tile: 0, component: 0, resolution: 0, position: 0 };
    assert!(model.held_precinct(&BinKey::precinct(CodestreamId(0), 1), &place).is_nothing());
    assert_eq!(model.held_precinct(&BinKey::precinct(CodestreamId(1), 1), &place), Held::Complete);
    assert_eq!(model.held(&BinKey::main_header(CodestreamId(0))), Held::Complete);
}

#[test]
fn recording_grows_and_absorbing_adds() {
    let mut delivered = CacheModel::new(&Limits::default());
    delivered.record(&precinct(1), 10, false);
    delivered.record(&precinct(1), 30, false);
    delivered.record(&precinct(2), 50, true);
    let mut model = CacheModel::new(&Limits::default());
    model.record(&precinct(1), 20, false);
    model.absorb(&delivered);
    assert_eq!(held(&model, 1), (30, false));
    assert_eq!(held(&model, 2), (50, true));
    model.record(&precinct(1), 50, true);
    assert_eq!(held(&model, 1), (50, true));
    model.keep_only(&[CodestreamId(3)]);
    assert_eq!((held(&model, 1), model.entries()), ((0, false), 0));
}

#[test]
fn complete_neighbours_are_one_entry() {
    let mut model = CacheModel::new(&Limits::default());
    for id in 0..10_000 {
        model.record(&precinct(id), 1, true);
    }
    assert_eq!(model.entries(), 2);
}

#[test]
fn the_model_is_bounded_and_forgets() {
    let limits = Limits { max_model_entries: 100, ..Limits::default() };
    let mut model = CacheModel::new(&limits);
    for codestream in 0..50 {
        for id in 0..20 {
            model.record(&BinKey::precinct(CodestreamId(codestream), 2 * id), 1, true);
            assert!(model.entries() <= 200);
        }
    }
    assert!(model.entries() <= 100);
    let place = PrecinctPlace { tile: 0, component: 0, resolution: 0, position: 0 };
    assert_eq!(model.held_precinct(&BinKey::precinct(CodestreamId(49), 38), &place), Held::Complete);
    assert!(model.held_precinct(&BinKey::precinct(CodestreamId(0), 0), &place).is_nothing());
}

#[test]
fn rules_are_bounded_and_never_over_estimate() {
    let many: Vec<String> = (0..300).map(|n| format!("r{n}:L1")).collect();
    let model_text = format!("model={},P299", many.join(","));
    assert_eq!(held(&model(&model_text), 255), (10, false));
    assert_eq!(held(&model(&model_text), 256), (0, false), "an addition beyond the limit is passed over");
    let text = format!("model=P*,{},-r7", many.join(","));
    assert_eq!(held(&model(&text), 6), (0, false), "taking away beyond the limit forgets all");
}

#[test]
fn e11_a_million_descriptors() {
    let text = vec!["P1"; 500_000].join(",") + ",[0-99999999]" + &vec!["-P2,P3:4"; 100_000].join(",");
    let model = model(&format!("model={text}"));
    assert_eq!(held(&model, 1), (50, true));
    assert_eq!(held(&model, 3), (4, false));
}
