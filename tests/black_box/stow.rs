//! STOW-RS as its clients see it: what is stored, what is not and why, bodies that are not what they say.

use serde_json::{Value, json};

use crate::house::{Answer, House};
use crate::pictures;
use crate::wado::{SERIES, STUDY, ask};

const ONE: &str = "1.2.826.0.1.3680043.10.99.81";
const TWO: &str = "1.2.826.0.1.3680043.10.99.82";
const RELATED: &str = "multipart/related; type=\"application/dicom\"; boundary=BORDER";
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";

fn body(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"\r\n--BORDER\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(part);
    }
    body.extend_from_slice(b"\r\n--BORDER--\r\n");
    body
}

fn post(house: &House, path: &str, content_type: &str, body: &[u8]) -> Answer {
    house.connect().exchange("POST", path, &[("Content-Type", content_type)], body)
}

fn store(house: &House, parts: &[&[u8]]) -> Answer {
    post(house, "/dicom-web/studies", RELATED, &body(parts))
}

/// The instances of a sequence of the answer, with the value of one more attribute.
fn told(answer: &Answer, sequence: &str, further: &str) -> Vec<(String, Value)> {
    let json = answer.json();
    let items = json[sequence]["Value"].as_array().cloned().unwrap_or_default();
    let uid = |item: &Value| item["00081155"]["Value"][0].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (uid(item), item[further]["Value"][0].clone())).collect()
}

fn failures(answer: &Answer) -> Vec<(String, Value)> {
    told(answer, "00081198", "00081197")
}

#[test]
fn what_is_stored_is_named_and_can_be_retrieved() {
    let house = House::open();
    let (one, two) = (pictures::dicom(ONE, 2), pictures::report(TWO));
    let answer = store(&house, &[&one, &two]);
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/dicom+json")));
    let url = |uid: &str| format!("{}{SERIES}/instances/{uid}", house.url());
    assert_eq!(
        told(&answer, "00081199", "00081190"),
        [(ONE.to_owned(), json!(url(ONE))), (TWO.to_owned(), json!(url(TWO)))]
    );
    let said = answer.json();
    assert_eq!(said["00081190"], json!({"vr": "UR", "Value": [format!("{}{STUDY}", house.url())]}));
    assert_eq!(said["00081199"]["Value"][0]["00081150"], json!({"vr": "UI", "Value": [CLASS]}));
    assert!(said.get("00081198").is_none());
    let stored = ask(&house, &format!("{SERIES}/instances/{ONE}"), &[("Accept", "application/dicom")]);
    assert!(stored.body == one);
    assert_eq!(house.get(&format!("/jpip?target={ONE}")).status, 200, "and it is a JPIP target");

    assert_eq!(store(&house, &[&one]).status, 200, "the same again");
    let single = post(&house, STUDY, "application/dicom", &pictures::dicom("1.2.826.0.1.3680043.10.99.83", 1));
    assert_eq!(single.status, 200, "{}", single.text());
    let quoted = "multipart/related; boundary=\"BORDER\"; type=application/dicom";
    assert_eq!(post(&house, "/dicom-web/studies", quoted, &body(&[&two])).status, 200);
    let accept = [("Content-Type", RELATED), ("Accept", "application/dicom+xml")];
    let xml = house.connect().exchange("POST", "/dicom-web/studies", &accept, &body(&[&two]));
    assert_eq!((xml.status, xml.header("Content-Type")), (200, Some("application/dicom+xml")));
    assert!(xml.text().contains("keyword=\"ReferencedSOPSequence\""));
}

#[test]
fn each_object_that_is_refused_is_told_with_its_reason() {
    let house = House::open();
    let one = pictures::dicom(ONE, 2);
    house.import("", &one);
    let conflict = store(&house, &[&pictures::dicom(ONE, 3), &pictures::dicom(TWO, 1)]);
    assert_eq!(conflict.status, 202);
    assert_eq!(failures(&conflict), [(ONE.to_owned(), json!(0x0111))]);
    assert_eq!(told(&conflict, "00081199", "00081155")[0].0, TWO);
    let kept = ask(&house, &format!("{SERIES}/instances/{ONE}"), &[("Accept", "application/dicom")]);
    assert!(kept.body == one, "the first is kept");

    let other = post(
        &house,
        "/dicom-web/studies/1.2.3",
        RELATED,
        &body(&[&pictures::dicom("1.2.826.0.1.3680043.10.99.84", 1)]),
    );
    assert_eq!(other.status, 409);
    assert_eq!(failures(&other), [("1.2.826.0.1.3680043.10.99.84".to_owned(), json!(0xA900))]);
    assert_eq!(house.get("/api/v1/instances/1.2.826.0.1.3680043.10.99.84").status, 404);
    assert_eq!(post(&house, "/dicom-web/studies/..%2F1", RELATED, &body(&[&one])).status, 400);

    let cut = &one[..one.len() - 20];
    let damaged = store(&house, &[cut, b"junk", b"", &pictures::jp2()]);
    assert_eq!(damaged.status, 409, "{}", damaged.text());
    assert_eq!(failures(&damaged), [(ONE.to_owned(), json!(0xC000))]);
    assert_eq!(told(&damaged, "0008119A", "00081197").len(), 3, "of these nobody knows what they are");

    let wrong_part = b"--BORDER\r\nContent-Type: image/jp2\r\n\r\nx\r\n--BORDER--";
    assert_eq!(post(&house, "/dicom-web/studies", RELATED, wrong_part).status, 409);
}

#[test]
fn bodies_that_are_not_what_they_say_are_refused() {
    let mut house = House::open();
    let one = pictures::dicom(ONE, 1);
    let whole = body(&[&one]);
    for (content_type, status) in [
        ("application/json", 415),
        ("multipart/related; type=\"image/jp2\"; boundary=BORDER", 415),
        ("multipart/form-data; boundary=BORDER", 415),
        ("nonsense", 415),
        ("multipart/related; type=\"application/dicom\"", 400),
        ("multipart/related; type=\"application/dicom\"; boundary=\"a;b\"", 400),
        ("multipart/related; type=\"application/dicom\"; boundary=OTHER", 400),
    ] {
        let answer = post(&house, "/dicom-web/studies", content_type, &whole);
        assert_eq!(answer.status, status, "{content_type}: {}", answer.text());
    }
    assert_eq!(house.post("/dicom-web/studies", &whole).status, 415, "no content type");
    for empty in [&b""[..], b"--BORDER--", b"--BORDER\r\n"] {
        assert_eq!(post(&house, "/dicom-web/studies", RELATED, empty).status, 400);
    }
    let accept = [("Content-Type", RELATED), ("Accept", "text/html")];
    assert_eq!(house.connect().exchange("POST", "/dicom-web/studies", &accept, &whole).status, 406);
    let long = [b"--BORDER\r\nA: ", &[b'x'; 20_000][..], b"\r\n\r\n\r\n--BORDER--"].concat();
    assert_eq!(post(&house, "/dicom-web/studies", RELATED, &long).status, 413);
    assert_eq!(house.get(&format!("/api/v1/instances/{ONE}")).status, 404, "nothing of all this was stored");

    // The first part is whole, the second is cut off.
    let broken = [&whole[..whole.len() - 4], b"\r\nContent-Type: application/dicom\r\n\r\nABC"].concat();
    let answer = post(&house, "/dicom-web/studies", RELATED, &broken);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(told(&answer, "00081199", "00081155")[0].0, ONE);
    assert_eq!(told(&answer, "0008119A", "00081197")[0].1, json!(0xC000));
    assert!(house.is_alive());
}

#[test]
fn pages_of_other_sites_store_nothing() {
    let house = House::open();
    let headers = [("Content-Type", RELATED), ("Origin", "https://evil.example")];
    let answer = house.connect().exchange("POST", "/dicom-web/studies", &headers, &body(&[&pictures::dicom(ONE, 1)]));
    assert_eq!(answer.status, 403);
    assert_eq!(house.get(&format!("/api/v1/instances/{ONE}")).status, 404);
    assert!(!house.log().contains("Canary"), "no patient in the log");
}

#[test]
fn what_was_told_to_be_stored_survives_a_crash() {
    let house = House::open();
    let objects: Vec<Vec<u8>> = (0..30).map(|n| pictures::dicom(&format!("{ONE}.{n}"), 1)).collect();
    let parts: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
    let answer = store(&house, &parts);
    assert_eq!(answer.status, 200);
    let names: Vec<String> = told(&answer, "00081199", "00081155").into_iter().map(|(uid, _)| uid).collect();
    assert_eq!(names, (0..30).map(|n| format!("{ONE}.{n}")).collect::<Vec<_>>(), "in the order in which they came");
    let house = House::open_in(house.kill(), &[]);
    for (n, object) in objects.iter().enumerate() {
        let stored = ask(&house, &format!("{SERIES}/instances/{ONE}.{n}"), &[("Accept", "application/dicom")]);
        assert!(stored.body == *object, "{n}");
    }
}

const DESCRIBED: &str = "multipart/related; type=\"application/dicom+json\"; boundary=BORDER";

/// A description, and parts of bulk data with their media types, all under one location.
fn described(json: &Value, bulk: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = format!("--BORDER\r\nContent-Type: application/dicom+json\r\n\r\n{json}").into_bytes();
    for (media_type, bytes) in bulk {
        let head = format!("\r\n--BORDER\r\nContent-Type: {media_type}\r\nContent-Location: bulk/1\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
    }
    body.extend_from_slice(b"\r\n--BORDER--");
    body
}

/// What is given out as attributes and frames comes in again as the same object under another UID.
#[test]
fn objects_that_are_described_are_stored() {
    let house = House::open();
    house.import("", &pictures::dicom(ONE, 2));
    let instance = |uid: &str| format!("{SERIES}/instances/{uid}");
    let mut json = house.get(&format!("{}/metadata", instance(ONE))).json();
    json[0]["00080018"]["Value"][0] = json!(TWO);
    json[0]["7FE00010"]["BulkDataURI"] = json!("bulk/1");
    let frame = |uid: &str, n: u64| {
        let accept = [("Accept", "image/jp2")];
        ask(&house, &format!("{}/frames/{n}", instance(uid)), &accept).body
    };
    let (first, second) = (frame(ONE, 1), frame(ONE, 2));
    let jp2 = "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90";
    let parts = [(jp2, first.as_slice()), (jp2, second.as_slice())];
    let answer = post(&house, STUDY, DESCRIBED, &described(&json, &parts));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(told(&answer, "00081199", "00081155")[0].0, TWO);
    assert!(frame(TWO, 1) == first && frame(TWO, 2) == second);
    let again = house.get(&format!("{}/metadata", instance(TWO))).json();
    let mut expected = json.clone();
    expected[0]["7FE00010"]["BulkDataURI"] = json!(format!("{}{}/bulkdata/7FE00010", house.url(), instance(TWO)));
    assert_eq!(again, expected);
    assert_eq!(house.get(&format!("/jpip?target={TWO}")).status, 200, "and it is a JPIP target");

    let absent = post(&house, STUDY, DESCRIBED, &described(&json, &[]));
    assert_eq!((absent.status, failures(&absent)), (409, vec![(TWO.to_owned(), json!(0xC000))]));
    let nobody = post(&house, STUDY, DESCRIBED, &described(&json!([{}]), &[]));
    assert_eq!((nobody.status, told(&nobody, "0008119A", "00081197").len()), (409, 1));
    let nonsense = post(&house, STUDY, DESCRIBED, &described(&json!("x"), &[]));
    assert_eq!(nonsense.status, 400);
    let many = vec![("application/octet-stream", &b""[..]); 257];
    assert_eq!(post(&house, STUDY, DESCRIBED, &described(&json, &many)).status, 413);
    let large = json!(["x".repeat(17 << 20)]);
    assert_eq!(post(&house, STUDY, DESCRIBED, &described(&large, &[])).status, 413);
}
