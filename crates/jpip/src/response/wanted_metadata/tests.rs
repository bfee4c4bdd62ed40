use codestream::Limits;
use codestream::jp2::{Jp2File, MetadataTree};
use codestream::testkit::files::{boxed, jpx_file};

use super::*;
use crate::metadata::for_file;

/// Two codestreams of 100 by 100. Bins: 1 asoc about codestream 1, 2 the asoc in it about a region, 3 its XML, 4 the
/// XML about codestream 1, 5 an XML about everything, 6 a uuid of 5000 bytes about a label.
fn target() -> MetadataBins {
    let text = |word: &str| boxed(*b"xml ", format!("<?xml version=\"1.0\"?><{word}/>").as_bytes());
    let list = boxed(*b"nlst", &[1, 0, 0, 1]);
    let mut region = vec![1, 1, 0, 0];
    [50u32, 60, 10, 10].iter().for_each(|number| region.extend(number.to_be_bytes()));
    let about_region = boxed(*b"asoc", &[boxed(*b"roid", &region), boxed(*b"lbl ", b"spot"), text("spot")].concat());
    let labelled = boxed(*b"asoc", &[boxed(*b"lbl ", b"x"), boxed(*b"uuid", &[7; 5000])].concat());
    let boxes = [boxed(*b"asoc", &[list, about_region, text("second")].concat()), text("all"), labelled];
    let mut file = jpx_file(&[vec![0; 50], vec![0; 50]]);
    file.extend(boxes.concat());
    let parsed = Jp2File::parse(&file, &Limits::default()).unwrap();
    let mut metadata = for_file(&parsed, &MetadataTree::read(&file, &parsed, &Limits::default()).unwrap());
    metadata.picture = Some((100, 100));
    metadata
}

/// Ids of the bins wanted before and after the image, with their limits where there are any.
fn wanted(query: &str, ids: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let (early, late) = limited(query, ids);
    let strip = |bins: Limited| bins.into_iter().map(|(id, _)| id).collect();
    (strip(early), strip(late))
}

/// Id and bytes of each bin.
type Limited = Vec<(u64, u64)>;

fn limited(query: &str, ids: &[u64]) -> (Limited, Limited) {
    let target = target();
    let request = Request::parse(query.as_bytes(), None).unwrap();
    let ids: Vec<_> = ids.iter().copied().map(CodestreamId).collect();
    let (early, late) = wanted_metadata(&request, &target, &ids, false);
    let describe = |bins: Vec<WantedBin>| bins.iter().map(|bin| (target.bins[bin.position].id, bin.bytes)).collect();
    (describe(early), describe(late))
}

#[test]
fn the_bins_are_those_that_the_tests_speak_of() {
    let kinds: Vec<_> = target().bins.iter().filter_map(|bin| Some((bin.id, bin.box_type?))).collect();
    let (xml, asoc) = (*b"xml ", *b"asoc");
    assert_eq!(kinds, [(1, asoc), (2, asoc), (6, asoc), (7, *b"uuid"), (3, xml), (4, xml), (5, xml)]);
    assert_eq!(target().region("spot").unwrap().area, Area { x: 50, y: 60, width: 10, height: 10 });
}

#[test]
fn c_5_2_a_box_comes_with_what_leads_to_it() {
    assert_eq!(wanted("fsiz=9,9", &[0]), (vec![0], vec![]));
    assert_eq!(wanted("metareq=[uuid]", &[0]), (vec![0], vec![6, 7]));
    assert_eq!(wanted("metareq=[xml_/a]", &[0]), (vec![0], vec![1, 2, 3, 4, 5]));
    assert_eq!(wanted("metareq=[xml_/a]!!", &[0]), (vec![0, 1, 2, 3, 4, 5], vec![]));
    assert_eq!(wanted("metareq=[*]!!", &[0]), (vec![0, 1, 2, 6, 7, 3, 4, 5], vec![]));
    assert_eq!(wanted("metareq=[none]", &[0]), (vec![0], vec![]));
}

#[test]
fn c_5_2_priority_is_that_of_the_boxes_that_have_it() {
    assert_eq!(wanted("metareq=[xml_/a;uuid!]", &[0]), (vec![0, 6, 7], vec![1, 2, 3, 4, 5]));
    assert_eq!(wanted("metareq=[xml_/g!;uuid]", &[0]), (vec![0, 5], vec![6, 7]));
}

#[test]
fn c_5_2_roots_and_depths() {
    assert_eq!(wanted("metareq=[xml_/a]D0", &[0]).1, [5]);
    assert_eq!(wanted("metareq=[xml_/a]D1", &[0]).1, [1, 4, 5]);
    assert_eq!(wanted("metareq=[xml_/a]D2", &[0]).1, [1, 2, 3, 4, 5]);
    assert_eq!(wanted("metareq=[xml_/a]R1", &[0]).1, [1, 2, 3, 4]);
    assert_eq!(wanted("metareq=[xml_/a]R1D0", &[0]).1, [1, 4]);
    assert_eq!(wanted("metareq=[xml_/a]R2", &[0]).1, [1, 2, 3]);
    assert_eq!(wanted("metareq=[xml_/a]R5,[uuid]R6D0", &[0]).1, [6, 7]);
    assert_eq!(wanted("metareq=[*/a]R99", &[0]).1, [0; 0]);
}

#[test]
fn c_5_2_limits_cut_contents_and_recursion_brings_them() {
    let most = u64::MAX;
    assert_eq!(limited("metareq=[xml_:4/g]", &[0]).1, [(5, 4)]);
    assert_eq!(limited("metareq=[xml_:0/g]", &[0]).1, [(5, 0)]);
    assert_eq!(limited("metareq=[xml_:4/g;*/g]D0", &[0]).1, [(6, most), (5, most)]);
    assert_eq!(
        limited("metareq=[asoc/a]D0", &[0]).1,
        [(1, most), (6, most)],
        "their boxes, not those of the bins in them"
    );
    assert_eq!(limited("metareq=[asoc:9/a]D0", &[0]).1, [(1, 9), (6, 9)]);
    assert_eq!(limited("metareq=[asoc:r/a]D0", &[0]).1.len(), 6);
    assert_eq!(limited("metareq=[asoc:r/g]", &[0]).1, [(6, most), (7, most)]);
}

#[test]
fn c_5_2_qualifiers_choose_by_what_boxes_are_about() {
    let with = |scope: &str, window: &str, ids: &[u64]| wanted(&format!("metareq=[xml_{scope}]{window}"), ids).1;
    let (spot, apart) = ("&fsiz=50,50&roff=25,30&rsiz=2,2", "&fsiz=50,50&roff=0,0&rsiz=25,30");
    assert_eq!(with("/g", spot, &[1]), [5]);
    assert_eq!(with("/s", spot, &[1]), [1, 4]);
    assert_eq!(with("/s", spot, &[0]), [0; 0]);
    assert_eq!(with("/w", spot, &[1]), [1, 2, 3]);
    assert_eq!(with("/w", apart, &[1]), [0; 0]);
    assert_eq!(with("/w", spot, &[0]), [0; 0], "of another codestream");
    assert_eq!(with("", spot, &[1]), [1, 2, 3, 4, 5]);
    assert_eq!(with("", apart, &[1]), [1, 4, 5]);
    assert_eq!(with("", spot, &[0]), [5]);
    assert_eq!(with("/a", apart, &[0]), [1, 2, 3, 4, 5]);
    assert_eq!(with("", "", &[0]), [5], "without a qualifier it is /wsg, without a window too");
    assert_eq!(with("", "", &[1]), [1, 2, 3, 4, 5], "without a window, every region is met");
    assert_eq!(with("/s", "", &[0]), [0; 0]);
    assert_eq!(with("/s", "&context=jpxl<1>", &[0]), [0; 0], "layers are not codestreams where nlst names codestreams");
}

#[test]
fn c_5_2_metadata_alone_are_those_of_all_codestreams() {
    let of = |query: &str| wanted(&format!("{query}&stream=0"), &[0]).0;
    assert_eq!(of("metareq=[xml_]!!"), [0, 1, 2, 3, 4, 5], "no codestream is asked for, so none is left out");
    assert_eq!(of("metareq=[xml_/wsg]!!"), of("metareq=[xml_]!!"), "the usual scope, said or not");
    assert_eq!(of("metareq=[xml_/sg]!!"), [0, 5]);
    assert_eq!(of("metareq=[xml_]!!&fsiz=9,9"), [0, 5], "with a window, what is about it");
}

#[test]
fn a_long_metareq_costs_no_more_for_each_box() {
    let bin = |id| crate::MetadataBin { id, box_type: (id > 0).then_some(*b"uuid"), ..crate::MetadataBin::default() };
    let target = MetadataBins::of((0..65_536).map(bin).collect());
    let group = format!("[{}]", (0..64).map(|n| format!("uuid:{n}")).collect::<Vec<_>>().join(";"));
    let text = format!("metareq={}!!", vec![group; 64].join(","));
    let request = Request::parse(b"", Some(text.as_bytes())).unwrap();
    for _ in 0..10 {
        assert_eq!(wanted_metadata(&request, &target, &[], false).0.len(), 65_536);
    }
}
