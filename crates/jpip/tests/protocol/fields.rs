//! Fields that change what comes back: types, metadata, preferences, echoes.

use bytes::Bytes;
use codestream::jp2::{Area, Composition, Instruction, Orientation};
use codestream::testkit::tiny_codestream;
use jpip::data_bin::DataBinClass;
use jpip::metadata::{Colour, ImagePresentation, for_frames, raw_codestream};
use jpip::{CacheModel, CodestreamSet, EorReason, MetadataBin, MetadataBins, NamedRegion, Part, RequestError};

use super::pair::*;

fn refused(query: &str) -> RequestError {
    let server = server(&tiny_codestream());
    server.plan(query, &CacheModel::new(&server.limits)).err().unwrap()
}

#[test]
fn what_is_not_served_is_named() {
    for field in ["subtarget", "upload", "sendto", "abandon", "barrier"] {
        let value = match field {
            "subtarget" => "0-9",
            "barrier" => "1",
            _ => "image/jp2",
        };
        let error = refused(&format!("fsiz=9,9&{field}={value}"));
        assert!(matches!(error, RequestError::Unsupported { field: named } if named == field));
        assert_eq!(error.family(), codestream::Family::Unsupported);
    }
    assert_eq!(refused("type=raw,image/jpeg"), RequestError::UnsupportedMediaType);
    let error = refused("pref=fullwindow/r,color-icc:1/r,meta:orig/r");
    assert_eq!(error, RequestError::RequiredPreference { set: "color-icc:1/r".into() });
}

#[test]
fn what_is_ignored_changes_nothing() {
    let server = server(&tiny_codestream());
    let plain = server.stateless("fsiz=16,16").body;
    for extra in [
        "twait=1",
        "srate=3",
        "drate=1",
        "csf=density:1",
        "cap=cd.8",
        "pref=color-icc",
        "context=jpxl<0-0>",
        "stream=0",
        "wait=yes",
        "type=image/jpp-stream",
        "handled",
        "tpmodel=0.0",
        "nonsense=%zz",
        "roi=island",
        "context=mj2t<1>",
    ] {
        assert_eq!(server.stateless(&format!("fsiz=16,16&{extra}")).body, plain, "{extra}");
    }
}

#[test]
fn d_2_headers_say_what_was_done_otherwise() {
    let server = server(&tiny_codestream().size(100, 60).levels(2));
    let reply = server.stateless("fsiz=60,40&qid=7&quality=50&align=yes&roi=x&handled&layers=9&context=jpxl<0-3>");
    for (name, value) in [
        ("JPIP-tid", Some("tid-1")),
        ("JPIP-qid", Some("7")),
        ("JPIP-fsiz", Some("50,30")),
        ("JPIP-roff", Some("0,0")),
        ("JPIP-rsiz", Some("50,30")),
        ("JPIP-quality", Some("100")),
        ("JPIP-align", None),
        ("JPIP-roi", Some("roi=no-roi")),
        ("JPIP-layers", Some("1")),
        ("JPIP-context", Some("jpxl<0-3>=0")),
        ("JPIP-handled", Some(jpip::response::HANDLED)),
        ("JPIP-stream", None),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    assert_eq!(reply.plan.content_type(), "image/jpp-stream");
}

/// Bin 0 with a placeholder each for an XML box and a superbox.
fn with_boxes() -> Server {
    let bin = |id, box_type: Option<[u8; 4]>, text: &'static [u8]| MetadataBin {
        id,
        box_type,
        parts: vec![Part::Inline(Bytes::from_static(text))],
        box_ends: Vec::new(),
    };
    let bins = vec![
        bin(0, None, b"signature and such"),
        bin(2, Some(*b"uuid"), b"sixteen bytes or so"),
        bin(3, Some(*b"asoc"), b"children"),
        bin(1, Some(*b"xml "), b"<?xml version=\"1.0\"?><a/>"),
    ];
    server_of(&[tiny_codestream()], CodestreamSet::File, MetadataBins::of(bins))
}

#[test]
fn c_5_2_metareq_chooses_metadata() {
    let server = with_boxes();
    let metadata = |query: &str| -> Vec<u64> {
        let reply = server.stateless(query);
        let wanted = |m: &&jpip::message::MessageHeader| m.class == DataBinClass::Metadata;
        reply.messages().iter().filter(wanted).map(|m| m.id).collect()
    };
    assert_eq!(metadata("fsiz=16,16"), [0]);
    assert_eq!(metadata("metareq=[*]!!"), [0, 2, 3, 1]);
    assert_eq!(metadata("metareq=[xml_]"), [0, 1]);
    assert_eq!(metadata("metareq=[uuid]R2"), [0], "nothing is below that bin");
    assert_eq!(metadata("metareq=[jp2h]D0"), [0]);
    let reply = server.stateless("fsiz=16,16&metareq=[*]!!");
    assert!(reply.messages().iter().all(|m| m.class == DataBinClass::Metadata), "no image data");
    assert_eq!(reply.header("JPIP-fsiz"), None);
    let reply = server.stateless("fsiz=16,16&metareq=[xml_]");
    let last = reply.messages().pop().unwrap();
    assert_eq!((last.class, last.id, last.offset, last.complete), (DataBinClass::Metadata, 1, 0, true));
    let early = server.stateless("fsiz=16,16&metareq=[xml_!]");
    assert_eq!(early.messages()[1].id, 1, "before the image");
    assert_eq!(server.stateless("fsiz=16,16").end, EorReason::WindowDone, "metadata are missing");
    assert_eq!(server.stateless("fsiz=16,16&metareq=[*]").end, EorReason::ImageDone);
}

#[test]
fn c_5_2_a_limit_cuts_a_box_and_the_rest_comes_when_it_is_asked_for() {
    let server = with_boxes();
    let mut model = CacheModel::new(&server.limits);
    let ask = |query: &str, model: &mut CacheModel| -> Vec<_> {
        let (body, _) = server.in_session(query, model);
        messages(&body).iter().map(|m| (m.id, m.offset, m.len, m.complete)).collect()
    };
    assert_eq!(ask("metareq=[xml_:5]!!", &mut model), [(0, 0, 18, true), (1, 0, 5, false)]);
    assert_eq!(ask("metareq=[xml_:5]!!", &mut model), []);
    assert_eq!(ask("metareq=[xml_:0]!!", &mut model), []);
    assert_eq!(ask("metareq=[xml_]!!", &mut model), [(1, 5, 20, true)]);
}

/// An image of 100 by 60 with two regions.
fn with_regions() -> Server {
    let area = |x, y, width, height| Area { x, y, width, height };
    let named = |name: &str, area| NamedRegion { name: name.into(), area };
    let mut metadata = raw_codestream();
    metadata.picture = Some((100, 60));
    metadata.regions = vec![named("spot", area(30, 20, 10, 8)), named("a b;c", area(0, 0, 100, 60))];
    server_of(&[tiny_codestream().size(100, 60).levels(2)], CodestreamSet::File, metadata)
}

#[test]
fn c_4_8_a_named_region_is_a_window_at_full_size() {
    let server = with_regions();
    let asked = server.stateless("fsiz=100,60&roff=30,20&rsiz=10,8");
    for query in ["roi=spot", "roi=spot&fsiz=10,10", "roi=spot&fsiz=50,30&roff=1,1&rsiz=2,2"] {
        let reply = server.stateless(query);
        assert_eq!(reply.body, asked.body, "{query}");
        assert_eq!(reply.header("JPIP-roi"), Some("roi=spot;fsiz=100,60;roff=30,20;rsiz=10,8"));
        assert_eq!(reply.header("JPIP-fsiz"), Some("100,60"));
        assert_eq!(reply.header("JPIP-roff"), Some("30,20"));
        assert_eq!(reply.header("JPIP-rsiz"), Some("10,8"));
    }
    assert_eq!(
        server.stateless("roi=a%20b;c").header("JPIP-roi"),
        Some("roi=a%20b%3Bc;fsiz=100,60;roff=0,0;rsiz=100,60")
    );
    assert_eq!(server.stateless("roi=spot&metareq=[*]!!").header("JPIP-roi").unwrap().split(';').count(), 4);
}

#[test]
fn c_4_8_a_region_of_no_known_name_changes_nothing() {
    let server = with_regions();
    for (query, plain) in [("roi=dynamic&fsiz=50,30", "fsiz=50,30"), ("roi=Spot", "")] {
        let reply = server.stateless(query);
        assert_eq!(reply.body, server.stateless(plain).body);
        assert_eq!(reply.header("JPIP-roi"), Some("roi=no-roi"));
    }
}

#[test]
fn c_4_7_a_window_on_a_composed_picture_is_one_on_the_layer() {
    let mut metadata = raw_codestream();
    let place = Instruction { offset: (50, 10), ..Instruction::default() };
    let turned = Instruction { orientation: Orientation { mirrored: false, quarter_turns: 2 }, ..place };
    metadata.composition = Some(Composition { width: 200, height: 120, sets: vec![vec![place, turned]] });
    let server = server_of(&[tiny_codestream().size(100, 60).levels(2)], CodestreamSet::File, metadata);
    for (context, window) in [
        ("jpxl<0>[s0i0]", "fsiz=100,60&roff=10,10&rsiz=30,8"),
        ("jpxl<0>[s0i1]", "fsiz=100,60&roff=60,42&rsiz=30,8"),
        ("jpxl<0>[s0i2]", "fsiz=200,120&roff=60,20&rsiz=30,8"),
    ] {
        let placed = server.stateless(&format!("fsiz=200,120&roff=60,20&rsiz=30,8&context={context}"));
        assert_eq!(placed.body, server.stateless(window).body, "{context}");
        assert_eq!(placed.header("JPIP-context").unwrap(), format!("{context}=0"));
        let is_placed = !context.contains("i2");
        assert_eq!(placed.header("JPIP-fsiz") == Some("200,120"), is_placed, "counted on the picture");
        assert_eq!(placed.header("JPIP-roff") == Some("60,20"), is_placed);
    }
}

#[test]
fn c_4_7_contexts_of_another_kind_are_refused_where_they_would_choose() {
    let frames = [tiny_codestream(), tiny_codestream().seed(4)];
    let server = server_of(&frames, CodestreamSet::File, raw_codestream());
    for context in ["mj2t<1>", "mj2t<1+now>[movie]", "jpmp<3>", "mj2t<1>,jpmp<1>"] {
        let query = format!("fsiz=16,16&context={context}");
        let error = server.plan(&query, &CacheModel::new(&server.limits)).err().unwrap();
        assert_eq!(error, RequestError::Unsupported { field: "context" });
        for chosen in ["&stream=1", ",jpxl<1>"] {
            let query = format!("{query}{chosen}");
            let reply = server.stateless(&query);
            assert!(reply.messages().iter().skip(1).all(|m| m.codestream.0 == 1), "{query}");
            assert_eq!(reply.header("JPIP-context").is_some(), chosen.starts_with(','));
        }
    }
}

#[test]
fn a_metadata_bin_is_not_split_while_it_may_come_whole() {
    let server = with_boxes();
    let mut model = CacheModel::new(&server.limits);
    let (first, end) = server.in_session("metareq=[*]!!&len=40", &mut model);
    assert_eq!(end, EorReason::ByteLimit);
    assert_eq!(messages(&first).iter().map(|m| m.id).collect::<Vec<_>>(), [0]);
    let (second, _) = server.in_session("metareq=[*]!!&len=30", &mut model);
    assert_eq!(messages(&second).iter().map(|m| (m.id, m.complete)).collect::<Vec<_>>(), [(2, true)]);
    let (third, _) = server.in_session("metareq=[*]!!&len=9", &mut model);
    assert_eq!(messages(&third).iter().map(|m| (m.id, m.complete)).collect::<Vec<_>>(), [(3, false)]);
}

#[test]
fn dicom_frames_come_with_a_file_around_them() {
    let image = ImagePresentation {
        width: 16,
        height: 16,
        components: vec![(8, false)],
        colour: Colour::Grey,
        frames: 2,
        htj2k: false,
    };
    let server = server_of(&[tiny_codestream(), tiny_codestream().seed(4)], CodestreamSet::Frames, for_frames(&image));
    let reply = server.stateless("stream=1-2&fsiz=16,16");
    let first = reply.messages()[0];
    assert!(first.complete && first.class == DataBinClass::Metadata && first.offset == 0);
    assert_eq!(reply.end, EorReason::ImageDone);
}

#[test]
fn the_widest_range_of_codestreams_is_a_number_like_others() {
    let server = server(&tiny_codestream());
    let reply = server.stateless("fsiz=16,16&stream=0-18446744073709551615,0-18446744073709551614:1");
    assert_eq!(reply.header("JPIP-stream"), Some("0"));
}
