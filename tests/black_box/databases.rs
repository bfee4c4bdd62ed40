//! The whole path on the database and the store of a hospital: what runs on the built-in defaults runs on PostgreSQL, and
//! on PostgreSQL and S3 together.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::dicom_in::{ct, data_set};
use crate::house::{Connection, House};
use crate::pictures;
use crate::scu::Scu;

/// The URL of a fresh database; `None` where no server was started for the tests, which CI does not forgive.
pub(crate) fn fresh_database() -> Option<String> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("PRECINCT_TEST_POSTGRES") else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PRECINCT_TEST_POSTGRES names no server");
        println!("skipped: PRECINCT_TEST_POSTGRES names no PostgreSQL server");
        return None;
    };
    let name = format!("black_box_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let made = Command::new("createdb").arg(format!("--maintenance-db={server}")).arg(&name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(format!("{base}/{name}"))
}

/// The endpoint of the S3 server of the tests, with a fresh bucket in it; `None` where there is none.
fn fresh_bucket() -> Option<(String, String)> {
    let Ok(endpoint) = std::env::var("PRECINCT_TEST_S3") else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PRECINCT_TEST_S3 names no server");
        println!("skipped: PRECINCT_TEST_S3 names no S3 server");
        return None;
    };
    let bucket = format!("black-box-{}", std::process::id());
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    // Any signature will do for it; without one a request is taken for that of a browser.
    let signed = [(
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    )];
    let made = Connection::to(address).exchange("PUT", &format!("/{bucket}"), &signed, b"");
    assert_eq!(made.status, 200, "{}", made.text());
    Some((endpoint, bucket))
}

/// Takes objects in by import and by C-STORE, serves them, and finds them again after a restart.
fn whole_path(options: &[&str], variables: &[(&str, &str)]) -> House {
    let house = House::open_as(TempDir::new().unwrap(), options, variables);
    house.import("slide.j2k", &pictures::tiny());
    let mut scu = Scu::associate(house.dicom);
    let sent = data_set(&ct("2.25.10", 1));
    assert_eq!(scu.store("2.25.10", &sent).0, 0);
    assert_eq!(scu.store("2.25.10", &sent).0, 0);
    assert_eq!(scu.store("2.25.10", &data_set(&ct("2.25.10", 2))).0, 0x0111);
    scu.release();
    let served = |house: &House| {
        assert_eq!(house.jpip("target=slide.j2k&fsiz=999,999").end, 1);
        assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
        let file = house.get("/api/v1/instances/2.25.10/file");
        assert_eq!((file.status, data_set(&file.body)), (200, sent.clone()));
        let listed = house.get("/api/v1/targets").json();
        let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["target"].clone()).collect();
        assert_eq!(names, ["slide.j2k", "2.25.10"]);
        assert!(house.get("/readyz").text().starts_with("ready"));
    };
    served(&house);
    house.signal("TERM");
    let (status, folder) = house.wait();
    assert!(status.success());
    let house = House::open_as(folder, options, variables);
    served(&house);
    assert!(!house.data().join("catalog.sqlite").exists());
    assert!(!house.log().contains("postgres://"), "the URL may hold a password");
    house
}

#[test]
fn the_whole_path_runs_on_postgresql() {
    let Some(url) = fresh_database() else { return };
    whole_path(&["--database", &url], &[]);
}

#[test]
fn the_whole_path_runs_on_postgresql_and_s3() {
    let Some(url) = fresh_database() else { return };
    let Some((endpoint, bucket)) = fresh_bucket() else { return };
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "swordfish"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let store = format!("s3://{bucket}/precinct");
    let options = ["--database", &url, "--store", &store];
    let house = whole_path(&options, &variables);
    assert_eq!(std::fs::read_dir(house.data().join("objects")).unwrap().count(), 0, "nothing lies here");
    assert!(!house.log().contains("swordfish"));
    house.signal("TERM");
    let (_, folder) = house.wait();
    let data = folder.path().join("data");
    let checked = crate::house::command()
        .args(["fsck", "--data", data.to_str().unwrap()])
        .args(options)
        .envs(variables)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && words.contains("2 objects checked"), "{words}");
    // What is deleted goes out of the bucket too, and comes again.
    let run = |arguments: &[&str]| {
        let command = [&[arguments[0], "--data", data.to_str().unwrap()], &options[..], &arguments[1..]].concat();
        let output = crate::house::command().args(command).envs(variables).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(run(&["delete", "--confirm", "2.25.10"]).0, Some(0));
    let (status, words) = run(&["fsck", "--prune"]);
    assert!(status == Some(0) && words.contains("2 removed, 0 wrong"), "{words}");
    let house = House::open_as(folder, &options, &variables);
    assert_eq!(house.get("/api/v1/instances/2.25.10").status, 404);
    assert_eq!(house.jpip("target=slide.j2k&fsiz=999,999").end, 1);
    assert_eq!(Scu::associate(house.dicom).store("2.25.10", &data_set(&ct("2.25.10", 2))).0, 0);
    assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
}

#[test]
fn a_database_that_is_not_there_is_told_in_words_without_its_password() {
    let folder = TempDir::new().unwrap();
    let url = "postgres://precinct:swordfish@127.0.0.1:1/precinct";
    let data = folder.path().join("data");
    let options = ["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--database", url, "--data"];
    let output = crate::house::run(&[&options[..], &[data.to_str().unwrap()]].concat());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("catalog"), "{words}");
    assert!(!words.contains("swordfish"), "{words}");
}
