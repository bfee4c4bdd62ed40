//! Backup and restore as docs/guide.md says: on SQLite while the server runs, on PostgreSQL with `pg_dump`, and from the
//! stored objects alone.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use codestream::testkit::tiny_codestream;
use dicom_bridge::write::{NewObject, OffsetTable};
use serde_json::Value;
use tempfile::TempDir;

use crate::crash::{Acknowledged, digest_of, send_until_it_dies};
use crate::databases::fresh_database;
use crate::dicom_in::{ct, data_set};
use crate::house::{House, run};
use crate::pictures;
use crate::scu::{CT, JPEG2000, Scu};

fn send(house: &House, uids: std::ops::RangeInclusive<u64>) {
    let mut scu = Scu::associate(house.dicom);
    for n in uids {
        let uid = format!("2.25.{n}");
        assert_eq!(scu.store(&uid, &data_set(&ct(&uid, n))).0, 0);
    }
    scu.release();
}

/// All that a listing says and does not depend on the address of the server, in the order of the first member.
fn listed(house: &House, path: &str) -> Vec<Value> {
    let page = house.get(path).json();
    let mut items = page["items"].as_array().unwrap().clone();
    assert!(page["next"].is_null() && !items.is_empty(), "{page}");
    for item in &mut items {
        item.as_object_mut().unwrap().remove("jpip_url");
    }
    items.sort_by_key(ToString::to_string);
    items
}

/// What is stored, level by level, with the bytes of every instance.
fn all_of(house: &House) -> (Vec<Value>, Vec<Option<[u8; 32]>>) {
    let mut all = Vec::new();
    for path in ["studies", "series", "instances"] {
        all.extend(listed(house, &format!("/api/v1/{path}?limit=1000")));
    }
    let uids = all.iter().filter_map(|item| item["sop_instance_uid"].as_str());
    let bytes = uids.map(|uid| digest_of(house, uid)).collect();
    (all, bytes)
}

fn sh(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The files of a data directory that are no catalog.
fn copy_files(from: &Path, to: &Path) {
    sh(Command::new("cp").arg("-r").args(["VERSION", "objects", "index"].map(|name| from.join(name))).arg(to));
}

fn fsck(data: &Path, options: &[&str]) -> (i32, String) {
    let output = run(&[&["fsck", "--data", data.to_str().unwrap()], options].concat());
    let words = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&words).into_owned())
}

#[test]
fn a_backup_of_a_running_server_holds_all_that_was_acknowledged_before() {
    let house = House::open();
    house.import("slide.j2k", &pictures::tiny());
    let (acknowledged, next) = (Acknowledged::default(), Arc::new(AtomicU64::new(1)));
    let sender = {
        let (acknowledged, next, address) = (Arc::clone(&acknowledged), Arc::clone(&next), house.dicom);
        std::thread::spawn(move || send_until_it_dies(address, &acknowledged, &next))
    };
    house.wait_until("some objects", |_| acknowledged.lock().unwrap().len() >= 20);
    let folder = TempDir::new().unwrap();
    let backup = folder.path().join("data");
    std::fs::create_dir(&backup).unwrap();
    let before = acknowledged.lock().unwrap().clone();
    let catalog = backup.join("catalog.sqlite");
    let command = format!(".backup {}", catalog.display());
    sh(Command::new("sqlite3").arg(house.data().join("catalog.sqlite")).arg(command));
    copy_files(&house.data(), &backup);
    drop(house);
    sender.join().unwrap();

    // Objects that came between the two copies have no row, and are taken in by --repair.
    let (status, words) = fsck(&backup, &["--repair"]);
    assert!(status == 0 && words.ends_with("0 wrong\n"), "{words}");
    let restored = House::open_in(folder, &[]);
    for (uid, digest) in before {
        assert_eq!(digest_of(&restored, &uid), Some(digest), "{uid} was acknowledged before the backup");
    }
    assert_eq!(restored.jpip("target=slide.j2k&fsiz=999,999").end, 1, "the catalog knows its name");
    assert_eq!(restored.jpip("target=2.25.1&fsiz=16,16").end, 1);
}

#[test]
fn a_lost_catalog_is_rebuilt_from_the_objects_with_all_its_levels() {
    let house = House::open();
    send(&house, 1..=5);
    let mut other = NewObject::new(CT, "2.25.99", JPEG2000);
    other.attributes().put(0x0020_000d, "UI", "2.25.7").put(0x0020_000e, "UI", "2.25.8").put(0x0008_0060, "CS", "MR");
    other.attributes().put(0x0010_0010, "PN", "Canary^Other").put(0x0028_0010, "US", "16").put(0x0028_0011, "US", "16");
    let other = other.encapsulate(&[tiny_codestream().seed(99).build()], OffsetTable::Basic, 1).unwrap();
    assert_eq!(house.post("/api/v1/import", &other).status, 201);
    let stored = all_of(&house);
    assert_eq!(stored.0.iter().filter(|item| item.get("modalities").is_some()).count(), 2, "two studies");
    house.signal("TERM");
    let (_, folder) = house.wait();
    let data = folder.path().join("data");
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with("catalog.sqlite") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let (status, words) = fsck(&data, &["--repair"]);
    assert!(status == 0 && words.contains("6 put right, 0 wrong"), "{words}");
    let restored = House::open_in(folder, &[]);
    assert_eq!(all_of(&restored), stored);
    assert_eq!(restored.get("/dicom-web/studies?PatientName=canary*").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_postgresql_catalog_comes_back_from_pg_dump() {
    let (Some(url), Some(new)) = (fresh_database(), fresh_database()) else { return };
    let house = House::open_with(&["--database", &url]);
    send(&house, 1..=5);
    house.import("slide.j2k", &pictures::tiny());
    let stored = all_of(&house);
    let folder = TempDir::new().unwrap();
    let dump = folder.path().join("catalog.dump");
    sh(Command::new("pg_dump").args(["--format=custom", "--file"]).arg(&dump).arg(&url));
    let backup = folder.path().join("data");
    std::fs::create_dir(&backup).unwrap();
    copy_files(&house.data(), &backup);
    drop(house);
    sh(Command::new("pg_restore").args(["--no-owner", "--exit-on-error", "--dbname", &new]).arg(&dump));
    let (status, words) = fsck(&backup, &["--database", &new]);
    assert!(status == 0 && words.contains("6 objects checked"), "{words}");
    let restored = House::open_in(folder, &["--database", &new]);
    assert_eq!(all_of(&restored), stored);
    assert_eq!(restored.jpip("target=slide.j2k&fsiz=999,999").end, 1);
    // The serial numbers go on where they stood.
    send(&restored, 6..=7);
    assert_eq!(listed(&restored, "/api/v1/instances?limit=1000").len(), 7);
}
