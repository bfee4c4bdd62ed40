//! The forms in which an instance goes out, and what becomes of a JPIP Referenced object that comes in.

use std::net::TcpListener;

use codestream::testkit::tiny_codestream;
use dicom_bridge::write::OffsetTable;
use dicom_bridge::{PixelData, ScanLimits, ScannedObject, scan};

use crate::house::{Answer, House, run};
use crate::pictures;
use crate::wado::{SERIES, STUDY, ask, parts};

const UID: &str = "1.2.826.0.1.3680043.10.99.70";
const OTHER: &str = "1.2.826.0.1.3680043.10.99.71";

fn instance(house: &House, uid: &str, syntaxes: &[&str]) -> Answer {
    let accept: Vec<_> =
        syntaxes.iter().map(|last| format!("application/dicom; transfer-syntax=1.2.840.10008.1.2{last}")).collect();
    ask(house, &format!("{SERIES}/instances/{uid}"), &[("Accept", &accept.join(", "))])
}

fn scanned(answer: &Answer) -> ScannedObject {
    assert_eq!(answer.status, 200, "{}", answer.text());
    scan(&answer.body, &ScanLimits::default()).unwrap()
}

/// What `fetch` makes of a URL, as gray values.
fn fetched(house: &House, url: &str) -> Vec<u8> {
    let out = house.folder().join("out.raw");
    let done = run(&["fetch", url, "-o", out.to_str().unwrap()]);
    assert!(done.status.success(), "{url}: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(out).unwrap()
}

fn decoded(codestream: &[u8]) -> Vec<u8> {
    let image = openjpeg::decode(codestream, &openjpeg::DecodeParameters::default()).unwrap();
    image.components[0].samples.iter().map(|sample| u8::try_from(*sample).unwrap()).collect()
}

#[test]
fn the_url_of_a_referenced_object_leads_to_its_frames() {
    let house = House::open();
    let frames: Vec<_> = (0..20).map(pictures::gray).collect();
    let object = pictures::object(UID, "1.2.840.10008.1.2.4.90", frames.len());
    house.import("", &object.encapsulate(&frames, OffsetTable::Extended, 1).unwrap());
    for last in [".4.94", ".4.95"] {
        let answer = instance(&house, UID, &[last]);
        let syntax = format!("1.2.840.10008.1.2{last}");
        let content_type = format!("application/dicom; transfer-syntax={syntax}");
        assert_eq!(answer.header("Content-Type"), Some(content_type.as_str()));
        let found = scanned(&answer);
        assert_eq!((found.transfer_syntax.uid(), found.attributes.sop_instance_uid.as_str()), (syntax.as_str(), UID));
        assert!(matches!(found.pixel_data, PixelData::None));
        let url = found.attributes.pixel_data_provider_url.unwrap();
        assert_eq!(url, format!("{}/jpip?target={UID}", house.url()));
        assert!(fetched(&house, &url) == decoded(&frames[0]), "as it stands");
        let extended = format!("{url}&fsiz=16,16&stream=17");
        assert!(fetched(&house, &extended) == decoded(&frames[16]), "as a viewer extends it");
    }
    let both = parts(&ask(
        &house,
        STUDY,
        &[("Accept", "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.94")],
    ));
    assert_eq!(both[0].0.field("content-type"), Some("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.94"));
    // Media get what is stored, whatever went out before.
    let file = house.get(&format!("/api/v1/instances/{UID}/file"));
    assert!(matches!(scanned(&file).pixel_data, PixelData::Encapsulated { frames, .. } if frames.len() == 20));
}

#[test]
fn what_cannot_be_referred_to_goes_out_as_it_is_stored_or_not_at_all() {
    let house = House::open();
    let mut rgb = pictures::object(UID, "1.2.840.10008.1.2.4.90", 1);
    rgb.attributes().put(0x0028_0002, "US", "3").put(0x0028_0004, "CS", "RGB").put(0x0028_0006, "US", "0");
    let rgb = rgb.encapsulate(&[tiny_codestream().components(3).build()], OffsetTable::Empty, 1).unwrap();
    house.import("", &rgb);
    house.import("", &pictures::report(OTHER));
    for uid in [UID, OTHER] {
        assert_eq!(instance(&house, uid, &[".4.94", ".4.204"]).status, 406);
    }
    assert!(instance(&house, UID, &[".4.94", ".4.90"]).body == rgb);
    // One that is HTJ2K is another kind of target.
    let ht = pictures::object("1.2.826.0.1.3680043.10.99.72", "1.2.840.10008.1.2.4.202", 1);
    let ht = ht.encapsulate(&[tiny_codestream().ht().build()], OffsetTable::Empty, 1).unwrap();
    house.import("", &ht);
    let uid = "1.2.826.0.1.3680043.10.99.72";
    assert_eq!(instance(&house, uid, &[".4.94"]).status, 406);
    assert_eq!(scanned(&instance(&house, uid, &[".4.204"])).transfer_syntax.uid(), "1.2.840.10008.1.2.4.204");
}

#[test]
fn c18_a_referenced_object_that_comes_in_is_kept_and_its_url_is_nobodys_business() {
    let house = House::open();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jpip?target=1", stranger.local_addr().unwrap());
    let mut object = pictures::object(UID, "1.2.840.10008.1.2.4.94", 20);
    object.attributes().put(0x0028_7fe0, "UR", &url);
    let stored = object.to_bytes().unwrap();
    house.import("", &stored);
    let item = house.get(&format!("/api/v1/instances/{UID}")).json();
    assert_eq!(item["transfer_syntax_uid"], "1.2.840.10008.1.2.4.94");
    assert_eq!(item["state"], "unservable");
    assert!(instance(&house, UID, &[".4.94"]).body == stored);
    assert_eq!(instance(&house, UID, &[".1", "", ".4.90", ".4.95"]).status, 406);
    assert_eq!(house.get(&format!("/jpip?target={UID}&fsiz=16,16&stream=17")).status, 501);
    let metadata = house.get(&format!("{SERIES}/instances/{UID}/metadata")).json();
    assert_eq!(metadata[0]["00287FE0"]["Value"][0], url.as_str());
    for path in ["frames/1", "bulkdata/7FE00010"] {
        assert_ne!(house.get(&format!("{SERIES}/instances/{UID}/{path}")).status, 200, "{path}");
    }
    let nobody = stranger.accept().map(|(_, address)| address);
    assert_eq!(nobody.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the URL was fetched");
}
