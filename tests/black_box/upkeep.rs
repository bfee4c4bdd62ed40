//! `precinct fsck` and `precinct doctor` as an operator runs them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::dicom_in::{ct, data_set};
use crate::house::{House, run};
use crate::scu::Scu;

fn fsck(data: &Path, options: &[&str]) -> (i32, String) {
    let output = run(&[&["fsck", "--data", data.to_str().unwrap()], options].concat());
    let words = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&words).into_owned())
}

/// What `doctor` says of something, and its exit status.
fn doctor(options: &[&str], about: &str) -> (i32, String) {
    let free = |option: &'static str| if options.contains(&option) { vec![] } else { vec![option, "127.0.0.1:0"] };
    let output = run(&[&["doctor"], &free("--http")[..], &free("--dicom"), options].concat());
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = words.lines().find(|line| line[4..].trim_start().starts_with(about)).unwrap_or_default();
    (output.status.code().unwrap(), line.to_owned())
}

#[test]
fn fsck_finds_what_is_wrong_mends_what_it_can_and_says_so_by_its_status() {
    let house = House::open();
    for n in 1..=3 {
        let uid = format!("2.25.{n}");
        assert_eq!(Scu::associate(house.dicom).store(&uid, &data_set(&ct(&uid, n))).0, 0);
    }
    let data = house.data();
    let (status, words) = fsck(&data, &[]);
    assert!(status == 2 && words.contains("in use"), "a running server holds the directory: {status} {words}");
    house.signal("TERM");
    let (_, folder) = house.wait();
    assert_eq!(fsck(&data, &[]), (0, fsck(&data, &[]).1));
    let index = data.join("index");
    for entry in fs::read_dir(&index).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let (status, words) = fsck(&data, &[]);
    assert!(status == 1 && words.contains("its index is missing: --repair can"), "{status} {words}");
    let (status, words) = fsck(&data, &["--repair"]);
    assert!(status == 0 && words.contains("3 put right, 0 wrong"), "{status} {words}");
    assert_eq!(fsck(&data, &[]).0, 0);
    let house = House::open_in(folder, &[]);
    assert_eq!(house.jpip("target=2.25.2&fsiz=16,16").end, 1);
}

#[test]
fn doctor_names_what_is_wrong_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let (status, line) = doctor(&["--data", data], "data directory");
    assert!(status == 0 && line.starts_with("ok") && line.contains("does not exist yet"), "{status} {line}");
    assert!(!folder.path().join("data").exists());

    let house = House::open();
    let running = house.data();
    let (status, line) = doctor(&["--data", running.to_str().unwrap()], "data directory");
    assert!(status == 0 && line.contains("running precinct"), "{status} {line}");
    let taken = house.address.to_string();
    let (status, line) = doctor(&["--data", data, "--http", &taken], "http");
    assert!(status == 1 && line.starts_with("BAD"), "{status} {line}");
    let (status, line) = doctor(&["--data", data, "--database", "postgres://u:swordfish@127.0.0.1:1/d"], "database");
    assert!(status == 1 && line.starts_with("BAD") && !line.contains("swordfish"), "{status} {line}");
    let (status, line) = doctor(&["--data", data, "--dicom", "0.0.0.0:0"], "settings");
    assert!(status == 1 && line.contains("--dicom-allow"), "{status} {line}");
    let (status, line) = doctor(&["--data", data, "--dicom", "0.0.0.0:0", "--insecure"], "access");
    assert!(status == 0 && line.starts_with("look"), "{status} {line}");
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/VERSION"), "99\n").unwrap();
    let (status, line) = doctor(&["--data", data], "data directory");
    assert!(status == 1 && line.contains("newer program"), "{status} {line}");
}
