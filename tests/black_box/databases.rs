//! The whole path on the database of a hospital: what runs on the built-in defaults runs on PostgreSQL too.

use std::process::Command;

use crate::house::House;
use crate::pictures;
use crate::scu::Scu;

/// The URL of a fresh database; `None` where no server was started for the tests, which CI does not forgive.
fn fresh_database() -> Option<String> {
    let Ok(server) = std::env::var("PRECINCT_TEST_POSTGRES") else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PRECINCT_TEST_POSTGRES names no server");
        println!("skipped: PRECINCT_TEST_POSTGRES names no PostgreSQL server");
        return None;
    };
    let name = format!("black_box_{}", std::process::id());
    let made = Command::new("createdb").arg(format!("--maintenance-db={server}")).arg(&name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(format!("{base}/{name}"))
}

#[test]
fn the_whole_path_runs_on_postgresql() {
    let Some(url) = fresh_database() else { return };
    let options = ["--database", url.as_str()];
    let house = House::open_with(&options);
    let image = pictures::tiny();
    house.import("slide.j2k", &image);
    let mut scu = Scu::associate(house.dicom);
    let sent = crate::dicom_in::data_set(&crate::dicom_in::ct("2.25.10", 1));
    assert_eq!(scu.store("2.25.10", &sent).0, 0);
    assert_eq!(scu.store("2.25.10", &sent).0, 0);
    let other = crate::dicom_in::data_set(&crate::dicom_in::ct("2.25.10", 2));
    assert_eq!(scu.store("2.25.10", &other).0, 0x0111);
    scu.release();
    let served = |house: &House| {
        assert_eq!(house.jpip("target=slide.j2k&fsiz=999,999").end, 1);
        assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
        let listed = house.get("/api/v1/targets").json();
        let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["target"].clone()).collect();
        assert_eq!(names, ["slide.j2k", "2.25.10"]);
        assert!(house.get("/readyz").text().starts_with("ready"));
    };
    served(&house);
    assert!(!house.data().join("catalog.sqlite").exists());
    // Another start on the same database and store.
    house.signal("TERM");
    let (status, folder) = house.wait();
    assert!(status.success());
    let house = House::open_in(folder, &options);
    served(&house);
    assert!(!house.log().contains(&url), "the URL may hold a password");
}

#[test]
fn a_database_that_is_not_there_is_told_in_words_without_its_password() {
    let folder = tempfile::TempDir::new().unwrap();
    let url = "postgres://precinct:swordfish@127.0.0.1:1/precinct";
    let data = folder.path().join("data");
    let options = ["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--database", url, "--data"];
    let output = crate::house::run(&[&options[..], &[data.to_str().unwrap()]].concat());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("catalog"), "{words}");
    assert!(!words.contains("swordfish"), "{words}");
}
