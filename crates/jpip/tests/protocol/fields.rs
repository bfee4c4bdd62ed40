//! Fields that change what comes back: types, metadata, preferences, echoes.

use bytes::Bytes;
use codestream::testkit::tiny_codestream;
use jpip::data_bin::DataBinClass;
use jpip::metadata::{Colour, ImagePresentation, for_frames};
use jpip::{CacheModel, CodestreamSet, EorReason, MetadataBin, MetadataBins, Part, RequestError};

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
        ("JPIP-align", Some("no")),
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
    };
    let bins = vec![
        bin(0, None, b"signature and such"),
        bin(2, Some(*b"uuid"), b"sixteen bytes or so"),
        bin(3, Some(*b"asoc"), b"children"),
        bin(1, Some(*b"xml "), b"<?xml version=\"1.0\"?><a/>"),
    ];
    server_of(&[tiny_codestream()], CodestreamSet::File, MetadataBins { bins })
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
    assert_eq!(metadata("metareq=[xml_]"), [0, 3, 1]);
    assert_eq!(metadata("metareq=[uuid]R2"), [0, 2]);
    assert_eq!(metadata("metareq=[jp2h]D0"), [0, 3]);
    let reply = server.stateless("fsiz=16,16&metareq=[*]!!");
    assert!(reply.messages().iter().all(|m| m.class == DataBinClass::Metadata), "no image data");
    assert_eq!(reply.header("JPIP-fsiz"), None);
    let reply = server.stateless("fsiz=16,16&metareq=[xml_]");
    let last = reply.messages().pop().unwrap();
    assert_eq!((last.class, last.id, last.offset, last.complete), (DataBinClass::Metadata, 1, 0, true));
    let early = server.stateless("fsiz=16,16&metareq=[xml_!]");
    assert_eq!(early.messages()[2].id, 1, "before the image");
    assert_eq!(server.stateless("fsiz=16,16").end, EorReason::WindowDone, "metadata are missing");
    assert_eq!(server.stateless("fsiz=16,16&metareq=[*]").end, EorReason::ImageDone);
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
