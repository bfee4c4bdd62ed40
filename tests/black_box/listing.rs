//! `/api/v1`: import, targets and instances as other programs rely on them.

use std::time::{Duration, Instant};

use codestream::testkit::tiny_codestream;
use serde_json::{Value, json};

use crate::house::{House, PRECINCT, run};
use crate::pictures;

const TARGET_KEYS: [&str; 11] = [
    "codestreams",
    "height",
    "jpip_url",
    "kind",
    "media_type",
    "reason",
    "sop_instance_uid",
    "state",
    "target",
    "tid",
    "width",
];
const INSTANCE_KEYS: [&str; 13] = [
    "columns",
    "jpip_url",
    "modality",
    "number_of_frames",
    "reason",
    "rows",
    "series_instance_uid",
    "sop_class_uid",
    "sop_instance_uid",
    "state",
    "study_instance_uid",
    "tid",
    "transfer_syntax_uid",
];

fn keys(item: &Value) -> Vec<&str> {
    item.as_object().unwrap().keys().map(String::as_str).collect()
}

fn items(house: &House, path: &str) -> Vec<Value> {
    let answer = house.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

#[test]
fn import_answers_by_what_became_of_the_file() {
    let house = House::open();
    let uid = "1.2.826.0.1.3680043.10.99.7";
    let inserted = house.post("/api/v1/import", &pictures::dicom(uid, 2));
    assert_eq!(inserted.status, 201);
    let said = inserted.json();
    assert_eq!(
        (&said["outcome"], &said["target"], &said["sop_instance_uid"]),
        (&json!("inserted"), &json!(uid), &json!(uid))
    );
    let again = house.post("/api/v1/import", &pictures::dicom(uid, 2));
    assert_eq!((again.status, &again.json()["outcome"]), (200, &json!("duplicate")));
    let conflict = house.post("/api/v1/import", &pictures::dicom(uid, 3));
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(
        items(&house, &format!("/api/v1/instances?SOPInstanceUID={uid}"))[0]["number_of_frames"],
        2,
        "the first is kept"
    );

    let file = house.post("/api/v1/import?name=a/b.j2k", &pictures::tiny());
    assert_eq!((file.status, &file.json()["target"]), (201, &json!("a/b.j2k")));
    assert_eq!(file.json()["sop_instance_uid"], Value::Null);
    let tid = house.get("/jpip?target=a/b.j2k").header("JPIP-tid").unwrap().to_owned();
    let replaced = house.post("/api/v1/import?name=a/b.j2k", &pictures::precincts());
    assert_eq!((replaced.status, &replaced.json()["outcome"]), (201, &json!("replaced")));
    assert_ne!(house.get("/jpip?target=a/b.j2k").header("JPIP-tid"), Some(tid.as_str()), "other bytes, another tid");
    assert_eq!(house.post("/api/v1/import?name=a/b.j2k", &pictures::precincts()).status, 200);

    for (what, bytes) in [("text", &b"no image at all"[..]), ("nothing", b""), ("soc", b"\xff\x4f")] {
        let refused = house.post("/api/v1/import?name=x.j2k", bytes);
        assert_eq!(refused.status, 422, "{what}");
        assert!(refused.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
    }
    assert_eq!(house.post("/api/v1/import", &pictures::tiny()).status, 400, "a file needs a name");
}

#[test]
fn what_a_sender_that_has_gone_left_behind_is_served_as_it_is_listed() {
    let house = House::open();
    house.import("x.j2k", &pictures::tiny());
    let tid = || house.get("/jpip?target=x.j2k").header("JPIP-tid").unwrap().to_owned();
    for round in 0..40u64 {
        let bytes = tiny_codestream().seed(100 + round).build();
        let before = tid();
        let mut sender = house.connect();
        sender.send(
            format!(
                "POST /api/v1/import?name=x.j2k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            )
            .as_bytes(),
        );
        sender.send(&bytes);
        std::thread::sleep(Duration::from_micros(300 * round));
        drop(sender);
        // It may or may not have been taken; what is listed is served in any case.
        let listed = || items(&house, "/api/v1/targets")[0]["tid"].as_str().unwrap().to_owned();
        let begun = Instant::now();
        while listed() == before && begun.elapsed() < Duration::from_millis(100) {}
        while tid() != listed() {
            assert!(begun.elapsed() < Duration::from_secs(2), "round {round}: the old bytes are served");
        }
    }
}

#[test]
fn targets_are_listed_with_their_state() {
    let house = House::open();
    let uid = "1.2.826.0.1.3680043.10.99.8";
    house.import("a.jp2", &pictures::jp2());
    house.import("", &pictures::dicom(uid, 3));
    house.import("", &pictures::report("1.2.826.0.1.3680043.10.99.9"));
    let all = items(&house, "/api/v1/targets");
    for item in &all {
        assert_eq!(keys(item), TARGET_KEYS);
    }
    let find = |name: &str| all.iter().find(|item| item["target"] == name).unwrap().clone();
    let file = find("a.jp2");
    let url = format!("{}/jpip?target=a.jp2", house.url());
    assert_eq!(file["kind"], "file");
    assert_eq!((&file["width"], &file["height"], &file["codestreams"]), (&json!(256), &json!(256), &json!(1)));
    assert_eq!((&file["state"], &file["reason"], &file["jpip_url"]), (&json!("indexed"), &Value::Null, &json!(url)));
    assert_eq!(file["media_type"], "image/jp2");
    assert_eq!(file["tid"].as_str().unwrap().len(), 32);
    assert_eq!(find(uid)["codestreams"], 3);
    let report = find("1.2.826.0.1.3680043.10.99.9");
    assert_eq!(report["state"], "unservable");
    assert!(report["reason"].as_str().unwrap().starts_with("no-pixel-data"), "{report}");
    let refused = house.get("/jpip?target=1.2.826.0.1.3680043.10.99.9");
    assert_eq!(refused.status, 501);
    assert!(refused.text().contains("no-pixel-data"));

    assert!(items(&house, "/api/v1/targets?kind=file").iter().all(|item| item["kind"] == "file"));
    assert!(items(&house, "/api/v1/targets?kind=instance").iter().all(|item| item["kind"] == "instance"));
    for bad in ["kind=cat", "limit=0", "limit=1001", "limit=x", "cursor=%21", "unknown=1", "limit=1&limit=2"] {
        assert_eq!(house.get(&format!("/api/v1/targets?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn instances_are_listed_in_order_of_arrival_page_by_page() {
    let house = House::open();
    let uid = |n: usize| format!("1.2.826.0.1.3680043.10.98.{n}");
    for n in [5, 2, 9, 1, 7] {
        house.post("/api/v1/import", &pictures::dicom(&uid(n), 1));
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/instances?limit=2".to_owned();
    loop {
        let page = house.get(&path).json();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(keys(item), INSTANCE_KEYS);
            seen.push(item["sop_instance_uid"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{next}");
        path = format!("/api/v1/instances?limit=2&cursor={next}");
    }
    assert_eq!(seen, [5, 2, 9, 1, 7].map(uid));
    let count = |query: &str| items(&house, &format!("/api/v1/instances?{query}")).len();
    assert_eq!(count("Modality=OT"), 5);
    assert_eq!(count("Modality=CT"), 0);
    assert_eq!(count(&format!("PatientID={}", pictures::CANARY_ID)), 5);
    assert_eq!(count("StudyInstanceUID=1.2.826.0.1.3680043.10.99.1&SeriesInstanceUID=1.2.826.0.1.3680043.10.99.2"), 5);
    assert_eq!(count(&format!("SOPInstanceUID={}", uid(9))), 1);
    assert_eq!(house.get("/api/v1/instances?PatientName=x").status, 400);

    let one = house.get(&format!("/api/v1/instances/{}", uid(2)));
    assert_eq!((one.status, &one.json()["rows"]), (200, &json!(16)));
    for unknown in ["1.2.3", "..", "%2e%2e%2fx", "%00", "%ff"] {
        let answer = house.get(&format!("/api/v1/instances/{unknown}"));
        assert_eq!(answer.status, 404, "{unknown}");
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{unknown}");
    }
    let file = house.get(&format!("/api/v1/instances/{}/file", uid(2)));
    assert_eq!(file.header("Content-Type"), Some("application/dicom"));
    assert_eq!(file.body, pictures::dicom(&uid(2), 1), "byte for byte as it came");
}

#[test]
fn machines_are_answered() {
    let house = House::open();
    assert_eq!(house.get("/healthz").status, 200);
    assert_eq!(house.get("/readyz").status, 200);
    house.import("a.j2k", &pictures::tiny());
    let metrics = house.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("precinct_"), "{}", metrics.text());
    assert!(!metrics.text().contains("a.j2k"));
    let page = house.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("Content-Type").unwrap().starts_with("text/html"));
    assert!(page.text().contains("a.j2k"));
}

#[test]
fn the_page_escapes_what_it_shows() {
    let house = House::open();
    house.import("%3Cscript%3Ealert(1)%3C%2Fscript%3E.j2k", &pictures::tiny());
    let page = house.get("/");
    assert!(!page.text().contains("<script>alert"));
    let policy = page.header("Content-Security-Policy").expect("a content security policy");
    assert!(!policy.contains("unsafe-inline") || policy.contains("script-src"), "{policy}");
}

#[test]
fn import_to_a_running_server() {
    let house = House::open();
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/one.j2k"), pictures::tiny()).unwrap();
    std::fs::write(folder.path().join("two.dcm"), pictures::dicom("1.2.826.0.1.3680043.10.97.1", 1)).unwrap();
    std::fs::write(folder.path().join("note.txt"), "passed over").unwrap();
    let path = folder.path().to_str().unwrap();
    let done = run(&["import", "--to", &house.url(), path]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(house.get("/jpip?target=sub/one.j2k&fsiz=16,16").status, 200);
    assert_eq!(house.get("/jpip?target=1.2.826.0.1.3680043.10.97.1&fsiz=16,16").status, 200);
    assert_eq!(items(&house, "/api/v1/targets?kind=file").len(), 1);
    assert_eq!(run(&["import", "--to", &house.url(), path]).status.code(), Some(0), "all there already");
    std::fs::write(folder.path().join("broken.j2k"), b"\xff\x4f\xff\x51\0\0").unwrap();
    let partly = run(&["import", "--to", &house.url(), path]);
    assert_eq!(partly.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&partly.stderr).contains("broken.j2k"));
    assert!(PRECINCT.ends_with("precinct"));
}
