//! Instances that are deleted: over HTTP and by `precinct delete`, what is served meanwhile, and how their bytes go.

use std::path::Path;

use dicom_bridge::write::{NewObject, OffsetTable};

use crate::dicom_in::{ct, data_set};
use crate::house::{Answer, House, run};
use crate::scu::{CT, JPEG2000, Scu};

fn house_with(uids: &[&str]) -> House {
    let house = House::open();
    let mut scu = Scu::associate(house.dicom);
    for (uid, seed) in uids.iter().zip(1..) {
        assert_eq!(scu.store(uid, &data_set(&ct(uid, seed))).0, 0);
    }
    scu.release();
    house
}

fn delete(house: &House, path: &str, headers: &[(&str, &str)]) -> Answer {
    house.connect().exchange("DELETE", &format!("/api/v1/instances/{path}"), headers, b"")
}

fn command(name: &str, data: &Path, options: &[&str]) -> (i32, String) {
    let output = run(&[&[name, "--data", data.to_str().unwrap()], options].concat());
    let words = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&words).into_owned())
}

fn files(data: &Path) -> [usize; 2] {
    ["objects", "index"].map(|folder| {
        let folders = std::fs::read_dir(data.join(folder)).unwrap();
        folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).count()
    })
}

#[test]
fn a_deletion_is_confirmed_by_the_same_uid_and_asked_for_by_no_page_of_another_site() {
    let house = house_with(&["2.25.10", "2.25.11"]);
    assert_eq!(delete(&house, "2.25.10", &[]).status, 428);
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.11", &[]).status, 400);
    assert_eq!(delete(&house, "2.25.10?confirm=", &[]).status, 400);
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10&force=1", &[]).status, 400);
    let foreign = [("Origin", "https://evil.example")];
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &foreign).status, 403);
    assert_eq!(delete(&house, "2.25.12?confirm=2.25.12", &[]).status, 404);
    assert_eq!(house.get("/api/v1/instances/2.25.10").status, 200, "all of this deleted nothing");
    let answer = delete(&house, "2.25.10?confirm=2.25.10", &[("Origin", "http://localhost:5173")]);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &[]).status, 404, "it is gone");
    let allowed = house.connect().exchange("OPTIONS", "/api/v1/instances/2.25.11", &[], b"");
    assert!(allowed.header("Allow").unwrap().contains("DELETE"));
}

#[test]
fn what_is_deleted_is_served_no_more_by_any_way_and_the_rest_is() {
    let house = house_with(&["2.25.10", "2.25.11"]);
    let (gone, kept, series) = (house.channel("2.25.10"), house.channel("2.25.11"), house.channel("series/2.25.2"));
    for cid in [&gone, &kept, &series] {
        assert!([1, 2].contains(&house.jpip(&format!("cid={cid}&fsiz=16,16&stream=1")).end));
    }
    let tid = house.get("/api/v1/instances/2.25.10").json()["tid"].as_str().unwrap().to_owned();
    assert_eq!(house.jpip(&format!("tid={tid}&fsiz=16,16")).end, 1);
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &[]).status, 204);
    for path in ["/api/v1/instances/2.25.10", "/api/v1/instances/2.25.10/file", "/jpip?target=2.25.10&fsiz=16,16"] {
        assert_eq!(house.get(path).status, 404, "{path}");
    }
    let answer = house.get(&format!("/jpip?tid={tid}&fsiz=16,16"));
    assert_ne!(answer.header("JPIP-tid"), Some(&*tid), "another one is the only target now");
    assert_eq!(house.get(&format!("/jpip?cid={gone}&fsiz=16,16")).status, 503, "its channels are closed");
    assert_eq!(house.get(&format!("/jpip?cid={series}&fsiz=16,16&stream=1")).status, 503);
    assert_eq!(house.jpip(&format!("cid={kept}&fsiz=16,16")).end, 1);
    assert_eq!(house.jpip("target=series/2.25.2&fsiz=16,16&stream=1-").end, 1, "what is left of the series");
    let instances = house.get("/dicom-web/instances").json();
    assert_eq!(instances.as_array().unwrap().len(), 1);
    let study = &house.get("/dicom-web/studies").json()[0];
    assert_eq!(study["00201208"]["Value"][0], 1);
    // The same object again is served again.
    assert_eq!(Scu::associate(house.dicom).store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
}

#[test]
fn bytes_that_are_on_their_way_come_to_their_end() {
    let house = House::open();
    let mut object = NewObject::new(CT, "2.25.10", JPEG2000);
    object.attributes().put(0x0020_000d, "UI", "2.25.1").put(0x0020_000e, "UI", "2.25.2");
    object.attributes().put(0x0028_0010, "US", "16").put(0x0028_0011, "US", "16");
    // More than the buffers of a connection take.
    let frame: Vec<u8> = (0..32 << 20).map(|n: u32| (n >> 8) as u8 ^ n as u8).collect();
    let file = object.encapsulate(&[frame], OffsetTable::Basic, 1).unwrap();
    assert_eq!(house.post("/api/v1/import", &file).status, 201);
    let mut slow = house.connect();
    slow.send(b"GET /api/v1/instances/2.25.10/file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut slow.socket, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &[]).status, 204);
    slow.push_back(&first);
    assert!(slow.answer(false).body == file, "the whole object came");
    assert_eq!(house.get("/api/v1/instances/2.25.10/file").status, 404);
}

#[test]
fn a_crash_after_a_deletion_leaves_bytes_that_fsck_prunes() {
    let house = house_with(&["2.25.10", "2.25.11"]);
    let data = house.data();
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &[]).status, 204);
    let folder = house.kill();
    assert_eq!(files(&data), [2, 2], "the row goes, the bytes stay");
    let (status, words) = command("fsck", &data, &[]);
    assert!(status == 1 && words.contains("no row names this object") && words.contains("--prune"), "{words}");
    assert_eq!(files(&data), [2, 2], "looking removes nothing");
    assert_eq!(command("fsck", &data, &["--prune", "--repair"]).0, 2, "one or the other");
    let (status, words) = command("fsck", &data, &["--prune"]);
    assert!(status == 0 && words.contains("2 removed, 0 wrong"), "{words}");
    assert_eq!(files(&data), [1, 1]);
    assert_eq!(command("fsck", &data, &[]).0, 0);
    let house = House::open_in(folder, &[]);
    assert_eq!(house.get("/api/v1/instances/2.25.10").status, 404);
    assert_eq!(house.jpip("target=2.25.11&fsiz=16,16").end, 1);
    assert_eq!(Scu::associate(house.dicom).store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
}

#[test]
fn what_was_deleted_by_mistake_comes_back_by_repair_until_it_is_pruned() {
    let house = house_with(&["2.25.10", "2.25.11"]);
    let data = house.data();
    assert_eq!(delete(&house, "2.25.10?confirm=2.25.10", &[]).status, 204);
    house.signal("TERM");
    let (_, folder) = house.wait();
    let (status, words) = command("fsck", &data, &["--repair"]);
    assert!(status == 0 && words.contains("1 put right"), "{words}");
    let house = House::open_in(folder, &[]);
    assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
}

#[test]
fn precinct_delete_works_on_a_server_and_on_a_data_directory_that_none_holds() {
    let house = house_with(&["2.25.10", "2.25.11", "2.25.12"]);
    let (data, url) = (house.data(), house.url());
    let to = |options: &[&str]| {
        let output = run(&[&["delete", "--to", &url], options].concat());
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, words) = to(&["2.25.10"]);
    assert!(status == 2 && words.contains("--confirm"), "{words}");
    assert_eq!(command("delete", &data, &["--confirm", "2.25.10"]).0, 2, "a running server holds the directory");
    assert_eq!(house.get("/api/v1/instances/2.25.10").status, 200);
    assert_eq!(to(&["--confirm", "2.25.10"]), (0, String::new()));
    assert_eq!(house.get("/api/v1/instances/2.25.10").status, 404);
    let (status, words) = to(&["--confirm", "2.25.10", "2.25.11"]);
    assert!(status == 1 && words.contains("2.25.10: no such instance"), "{words}");
    assert_eq!(house.get("/api/v1/instances/2.25.11").status, 404, "the others are deleted all the same");
    house.signal("TERM");
    let (_, folder) = house.wait();
    assert_eq!(command("delete", &data, &["--confirm", "2.25.12"]), (0, String::new()));
    let (status, words) = command("fsck", &data, &["--prune"]);
    assert!(status == 2 && words.contains("the catalog is empty"), "{words}");
    assert_eq!(command("delete", &folder.path().join("nowhere"), &["--confirm", "1"]).0, 2);
    assert!(!folder.path().join("nowhere").exists());
    let house = House::open_in(folder, &[]);
    assert_eq!(house.get("/api/v1/instances").json()["items"].as_array().unwrap().len(), 0);
}
