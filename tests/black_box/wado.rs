//! WADO-RS as its clients see it: forms, transfer syntaxes, frames, ranges, attributes and what they name.

use codestream::testkit::tiny_codestream;
use dicom_bridge::media_type::MediaType;
use dicom_bridge::multipart::{MultipartEvent, MultipartLimits, MultipartReader, PartHeaders};
use dicom_bridge::write::OffsetTable;
use serde_json::json;

use crate::house::{Answer, House};
use crate::pictures;

pub(crate) const STUDY: &str = "/dicom-web/studies/1.2.826.0.1.3680043.10.99.1";
pub(crate) const SERIES: &str = "/dicom-web/studies/1.2.826.0.1.3680043.10.99.1/series/1.2.826.0.1.3680043.10.99.2";
const UID: &str = "1.2.826.0.1.3680043.10.99.70";

/// What cornerstone3D's loader asks with for frames (dicomImageLoader, wadors/loadImage).
const CORNERSTONE: &str = "multipart/related; type=application/octet-stream; transfer-syntax=*";
/// What OHIF asks with for frames where it is not told otherwise (generateAcceptHeader), with and without quotes.
const OHIF: [&str; 2] =
    ["multipart/related; type=application/octet-stream", "multipart/related; type=\"application/octet-stream\""];
/// What dicomweb-client (JavaScript) asks with for attributes, and OHIF through it.
const OHIF_METADATA: &str = "application/dicom+json";
const DICOM: &str = "multipart/related; type=\"application/dicom\"";

pub(crate) fn ask(house: &House, path: &str, headers: &[(&str, &str)]) -> Answer {
    house.connect().exchange("GET", path, headers, &[])
}

fn accepting(house: &House, path: &str, accept: &str) -> Answer {
    ask(house, path, &[("Accept", accept)])
}

/// The parts of a body of several; their headers and bytes.
pub(crate) fn parts(answer: &Answer) -> Vec<(PartHeaders, Vec<u8>)> {
    let content_type = MediaType::parse(answer.header("Content-Type").unwrap()).unwrap();
    assert_eq!(content_type.essence(), "multipart/related", "{}", answer.text());
    let mut reader =
        MultipartReader::new(content_type.parameter("boundary").unwrap(), MultipartLimits::default()).unwrap();
    reader.push(&answer.body);
    reader.finish();
    let mut parts: Vec<(PartHeaders, Vec<u8>)> = Vec::new();
    loop {
        match reader.poll().unwrap().unwrap() {
            MultipartEvent::Part(headers) => parts.push((headers, Vec::new())),
            MultipartEvent::Data(bytes) => parts.last_mut().unwrap().1.extend_from_slice(&bytes),
            MultipartEvent::PartEnd => {}
            MultipartEvent::End => return parts,
        }
    }
}

/// An object of 16 × 16 pixels of 8 bits in `syntax`, two frames.
fn native(uid: &str, syntax: &str) -> Vec<u8> {
    let mut object = pictures::object(uid, syntax, 2);
    let pixels: Vec<String> = (0..512).map(|n: u32| (n % 251).to_string()).collect();
    object.attributes().put(0x7fe0_0010, "OB", &pixels.join("\\"));
    object.to_bytes().unwrap()
}

fn pixels(frame: usize) -> Vec<u8> {
    (frame * 256..(frame + 1) * 256).map(|n| (n % 251) as u8).collect()
}

#[test]
fn objects_come_as_they_are_stored_one_or_many() {
    let house = House::open();
    let (one, two) = (pictures::dicom(UID, 2), pictures::dicom("1.2.826.0.1.3680043.10.99.71", 3));
    house.import("", &one);
    house.import("", &two);
    for path in [STUDY, SERIES] {
        for accept in [DICOM, "*/*", "multipart/related", &format!("{DICOM}; transfer-syntax=*")] {
            let answer = accepting(&house, path, accept);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let parts = parts(&answer);
            assert_eq!(parts.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [&one, &two], "{path} {accept}");
            let headers = &parts[0].0;
            assert_eq!(
                headers.field("content-type"),
                Some("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90")
            );
            assert_eq!(
                headers.field("content-location"),
                Some(format!("{}{SERIES}/instances/{UID}", house.url()).as_str())
            );
        }
    }
    let instance = format!("{SERIES}/instances/{UID}");
    let single = accepting(&house, &instance, "application/dicom");
    assert_eq!((single.status, single.header("Content-Length")), (200, Some(one.len().to_string().as_str())));
    assert!(single.body == one);
    assert!(parts(&ask(&house, &instance, &[]))[0].1 == one, "a client that says nothing");
    let queried = ask(&house, &format!("{instance}?accept=application/dicom"), &[("Accept", "text/html, */*;q=0.8")]);
    assert!(queried.body == one, "{}", queried.head);

    assert_eq!(accepting(&house, STUDY, "application/dicom").status, 406, "two objects are no single part");
    for accept in ["text/html", "image/jp2", &format!("{DICOM}; transfer-syntax=1.2.840.10008.1.2.1")] {
        assert_eq!(accepting(&house, &instance, accept).status, 406, "{accept}");
    }
    for path in [
        "/dicom-web/studies/1.2.3",
        &format!("{STUDY}/series/1.2.3"),
        &format!("{SERIES}/instances/1.2.3"),
        &format!("/dicom-web/studies/1.2/series/1.3/instances/{UID}"),
        "/dicom-web/studies/%FF",
        "/dicom-web/studies/..%2F..%2Fetc",
    ] {
        assert_eq!(accepting(&house, path, "*/*").status, 404, "{path}");
    }
}

#[test]
fn native_objects_are_written_anew_for_whom_names_no_syntax() {
    let house = House::open();
    let explicit = native(UID, "1.2.840.10008.1.2.1");
    let implicit = native("1.2.826.0.1.3680043.10.99.71", "1.2.840.10008.1.2");
    house.import("", &explicit);
    house.import("", &implicit);
    let parts = parts(&accepting(&house, STUDY, DICOM));
    assert!(parts[0].1 == explicit, "stored so already");
    assert_eq!(parts[1].0.field("content-type"), Some("application/dicom; transfer-syntax=1.2.840.10008.1.2.1"));
    let anew = dicom_bridge::scan(&parts[1].1, &dicom_bridge::ScanLimits::default()).unwrap();
    assert_eq!(anew.transfer_syntax.uid(), "1.2.840.10008.1.2.1");
    assert_eq!(anew.attributes.sop_instance_uid, "1.2.826.0.1.3680043.10.99.71");
    let stored = accepting(
        &house,
        &format!("{SERIES}/instances/1.2.826.0.1.3680043.10.99.71"),
        "application/dicom; transfer-syntax=*",
    );
    assert!(stored.body == implicit);
    house.import("", &pictures::dicom("1.2.826.0.1.3680043.10.99.72", 1));
    let some = accepting(&house, STUDY, &format!("{DICOM}; transfer-syntax=1.2.840.10008.1.2"));
    assert_eq!(some.status, 206, "the compressed one cannot be had in this syntax");
}

#[test]
fn frames_are_codestreams_as_they_lie() {
    let house = House::open();
    house.import("", &pictures::dicom(UID, 3));
    let frame = |n: u64| tiny_codestream().seed(n + 6).build();
    let padded = |n: u64| {
        let mut bytes = frame(n);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    };
    let frames = format!("{SERIES}/instances/{UID}/frames");
    for accept in [CORNERSTONE, OHIF[0], OHIF[1]] {
        let answer = accepting(&house, &format!("{frames}/2"), accept);
        let parts = parts(&answer);
        assert_eq!(parts.len(), 1);
        assert!(parts[0].1 == padded(2), "{accept}");
        let content_type = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90";
        assert_eq!(parts[0].0.field("content-type"), Some(content_type), "{accept}");
    }
    let several = parts(&accepting(&house, &format!("{frames}/3,1"), "multipart/related; type=\"image/jp2\""));
    assert!(several[0].1 == padded(3) && several[1].1 == padded(1));
    assert_eq!(several[0].0.field("content-type"), Some("image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"));
    assert!(several[1].0.field("content-location").unwrap().ends_with("/frames/1"));

    let single = accepting(&house, &format!("{frames}/1"), "image/jp2");
    assert!(single.body == padded(1));
    assert_eq!(single.header("Accept-Ranges"), Some("bytes"));
    assert_eq!(accepting(&house, &format!("{frames}/1,2"), "image/jp2").status, 406);
    for accept in ["image/jphc", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91", "application/dicom"] {
        assert_eq!(accepting(&house, &format!("{frames}/1"), accept).status, 406, "{accept}");
    }
    for (list, status) in [("4", 404), ("1,4", 404), ("0", 400), ("a", 400), ("1,", 400), ("1%2C2", 200)] {
        assert_eq!(accepting(&house, &format!("{frames}/{list}"), "*/*").status, status, "{list}");
    }
}

#[test]
fn a_single_frame_is_given_in_ranges() {
    let house = House::open();
    house.import("", &pictures::dicom(UID, 1));
    let path = format!("{SERIES}/instances/{UID}/frames/1");
    let whole = accepting(&house, &path, "image/jp2");
    let (len, tag) = (whole.body.len(), whole.header("ETag").unwrap());
    let part = ask(&house, &path, &[("Accept", "image/jp2"), ("Range", "bytes=10-19"), ("If-Range", tag)]);
    assert_eq!((part.status, part.header("Content-Range")), (206, Some(format!("bytes 10-19/{len}").as_str())));
    assert!(part.body == whole.body[10..20]);
    let changed = ask(&house, &path, &[("Accept", "image/jp2"), ("Range", "bytes=10-19"), ("If-Range", "\"x\"")]);
    assert_eq!((changed.status, changed.body.len()), (200, len));
    let behind = ask(&house, &path, &[("Accept", "image/jp2"), ("Range", &format!("bytes={len}-"))]);
    assert_eq!((behind.status, behind.header("Content-Range")), (416, Some(format!("bytes */{len}").as_str())));
    let multipart = ask(&house, &path, &[("Accept", CORNERSTONE), ("Range", "bytes=10-19")]);
    assert_eq!(multipart.status, 200, "a body of several parts has no ranges");
}

#[test]
fn native_frames_are_cut_out_by_their_size() {
    let house = House::open();
    let (big, deflated) = ("1.2.826.0.1.3680043.10.99.71", "1.2.826.0.1.3680043.10.99.72");
    house.import("", &native(UID, "1.2.840.10008.1.2.1"));
    house.import("", &native(big, "1.2.840.10008.1.2.2"));
    house.import("", &native(deflated, "1.2.840.10008.1.2.1.99"));
    for uid in [UID, big, deflated] {
        let frames = format!("{SERIES}/instances/{uid}/frames");
        for accept in [
            CORNERSTONE,
            OHIF[0],
            "*/*",
            "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1",
        ] {
            let both = parts(&accepting(&house, &format!("{frames}/1,2"), accept));
            assert!(both[0].1 == pixels(0) && both[1].1 == pixels(1), "{uid} {accept}");
            let content_type = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";
            assert_eq!(both[0].0.field("content-type"), Some(content_type));
        }
        assert!(accepting(&house, &format!("{frames}/2"), "application/octet-stream").body == pixels(1));
        assert_eq!(accepting(&house, &format!("{frames}/3"), "*/*").status, 404);
        let value =
            accepting(&house, &format!("{SERIES}/instances/{uid}/bulkdata/7FE00010"), "application/octet-stream");
        assert!(value.body == [pixels(0), pixels(1)].concat(), "{uid}");
    }
}

/// Frames of single bits follow each other without a gap: 3 × 3 pixels are nine bits.
#[test]
fn frames_of_bits_begin_anywhere() {
    let house = House::open();
    let mut object = pictures::object(UID, "1.2.840.10008.1.2.1", 3);
    let attributes = object.attributes();
    attributes.put(0x0028_0010, "US", "3").put(0x0028_0011, "US", "3").put(0x0028_0100, "US", "1");
    // 1 1111 0000 | 0 1010 1010 | 1 0000 0001, lowest bit first.
    let bits: u32 = 0b1_1111_0000 | 0b0_1010_1010 << 9 | 0b1_0000_0001 << 18;
    let bytes: Vec<String> = bits.to_le_bytes().iter().map(u8::to_string).collect();
    attributes.put(0x7fe0_0010, "OB", &bytes.join("\\"));
    house.import("", &object.to_bytes().unwrap());
    let parts = parts(&accepting(&house, &format!("{SERIES}/instances/{UID}/frames/1,2,3"), "*/*"));
    let nine = |bytes: &[u8]| (u32::from(bytes[0]) | u32::from(bytes[1]) << 8) & 0x1ff;
    assert_eq!(parts.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [2, 2, 2]);
    let frames: Vec<u32> = parts.iter().map(|(_, bytes)| nine(bytes)).collect();
    assert_eq!(frames, [0b1_1111_0000, 0b0_1010_1010, 0b1_0000_0001]);
}

#[test]
fn attributes_name_what_they_leave_out() {
    let house = House::open();
    let mut object = pictures::object(UID, "1.2.840.10008.1.2.4.90", 2);
    object.attributes().put(0x0042_0011, "OB", &["9"; 6000].join("\\"));
    let frames: Vec<Vec<u8>> = (0..2).map(|n| tiny_codestream().seed(n).build()).collect();
    house.import("", &object.encapsulate(&frames, OffsetTable::Empty, 1).unwrap());
    house.import("", &pictures::report("1.2.826.0.1.3680043.10.99.71"));
    let path = format!("{SERIES}/metadata");
    let answer = accepting(&house, &path, OHIF_METADATA);
    assert_eq!(answer.header("Content-Type"), Some("application/dicom+json"));
    let found = answer.json();
    assert_eq!(found.as_array().unwrap().len(), 2);
    let instance = &found[0];
    assert_eq!(instance["00080005"], json!({"vr": "CS", "Value": ["ISO_IR 192"]}));
    assert_eq!(instance["00080018"], json!({"vr": "UI", "Value": [UID]}));
    assert_eq!(instance["00100010"], json!({"vr": "PN", "Value": [{"Alphabetic": pictures::CANARY_NAME}]}));
    assert!(instance.get("00020010").is_none(), "no file meta information");
    for (tag, bytes) in [("00420011", vec![9; 6000]), ("7FE00010", Vec::new())] {
        let uri = instance[tag]["BulkDataURI"].as_str().unwrap();
        let path = uri.strip_prefix(&house.url()).expect("the URI is below the public URL");
        let parts = parts(&ask(&house, path, &[]));
        if tag == "7FE00010" {
            assert_eq!(parts.len(), 2, "compressed pixel data come frame by frame");
            assert_eq!(parts[1].0.field("content-type"), Some("image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"));
        } else {
            assert!(parts[0].1 == bytes);
            assert!(accepting(&house, path, "application/octet-stream").body == bytes);
        }
    }
    for wrong in ["00420012", "42", "00420011/1", "00081140/1/00420011"] {
        assert_eq!(ask(&house, &format!("{SERIES}/instances/{UID}/bulkdata/{wrong}"), &[]).status, 404, "{wrong}");
    }

    for accept in
        ["*/*", "application/json", "multipart/related; type=\"application/dicom+xml\";q=0.1, application/dicom+json"]
    {
        assert_eq!(accepting(&house, &path, accept).json(), found, "{accept}");
    }
    let xml = parts(&accepting(&house, &path, "multipart/related; type=\"application/dicom+xml\""));
    assert_eq!(xml.len(), 2);
    assert!(String::from_utf8(xml[0].1.clone()).unwrap().contains("keyword=\"SOPInstanceUID\""));
    assert_eq!(accepting(&house, &path, "application/dicom").status, 406);
    assert_eq!(accepting(&house, "/dicom-web/studies/1.2.3/metadata", "*/*").status, 404);
}

#[test]
fn urls_are_below_the_public_url() {
    let house = House::open_with(&["--public-url", "https://images.example/pacs"]);
    house.import("", &pictures::dicom(UID, 1));
    let metadata = house.get(&format!("{SERIES}/instances/{UID}/metadata")).json();
    let uri = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
    assert_eq!(uri, format!("https://images.example/pacs{SERIES}/instances/{UID}/bulkdata/7FE00010"));
}

#[test]
fn capabilities_are_told_and_browsers_may_still_ask_whether_they_may_ask() {
    let house = House::open();
    for method in ["GET", "OPTIONS"] {
        let wadl = house.connect().exchange(method, "/dicom-web/", &[], &[]);
        assert_eq!((wadl.status, wadl.header("Content-Type")), (200, Some("application/vnd.sun.wadl+xml")), "{method}");
        assert!(wadl.text().contains(&format!("<resources base=\"{}/dicom-web\">", house.url())));
        let json = house.connect().exchange(method, "/dicom-web", &[("Accept", "application/json")], &[]).json();
        let resources = json["application"]["resources"]["resource"].as_array().unwrap();
        // Whatever is told can be asked for: nothing of it is an unknown path or method.
        for resource in resources {
            let path = resource["@path"].as_str().unwrap();
            let path: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "/1" } else { part })
                .fold("/dicom-web".to_owned(), |path, part| format!("{path}/{}", part.trim_start_matches('/')));
            for asked in resource["method"].as_array().unwrap() {
                let method = asked["@name"].as_str().unwrap();
                let answer = house.connect().exchange(method, &path, &[], &[]);
                let is_known = answer.status != 405 && !answer.text().contains("nothing at this path");
                assert!(is_known, "{method} {path}: {}", answer.text());
            }
        }
    }
    assert_eq!(ask(&house, "/dicom-web/", &[("Accept", "image/jp2")]).status, 406);
    let preflight = [("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "GET")];
    let answer = house.connect().exchange("OPTIONS", "/dicom-web/", &preflight, &[]);
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (204, Some("http://localhost:3000")));
}
