//! Objects that arrive by C-STORE: from dcmtk, and from senders that break the rules. Faults C1 to C18 and D1 to D12 of
//! the fault list as a sender can cause them.

use std::fs;
use std::net::Shutdown;
use std::process::Command;

use codestream::testkit::tiny_codestream;
use dicom_bridge::write::{NewObject, OffsetTable};

use crate::house::House;
use crate::scu::{CT, JPEG2000, Scu, item, request, value};

/// A CT image as a file.
pub(crate) fn ct(uid: &str, seed: u64) -> Vec<u8> {
    let mut object = NewObject::new(CT, uid, JPEG2000);
    object.attributes().put(0x0020_000d, "UI", "2.25.1").put(0x0020_000e, "UI", "2.25.2").put(0x0008_0060, "CS", "CT");
    object.attributes().put(0x0010_0010, "PN", "Canary^Cassandra").put(0x0010_0020, "LO", "CANARY-7");
    object.attributes().put(0x0028_0010, "US", "16").put(0x0028_0011, "US", "16");
    object.encapsulate(&[tiny_codestream().seed(seed).build()], OffsetTable::Basic, 1).unwrap()
}

/// The data set of a file: what a sender sends.
pub(crate) fn data_set(file: &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    file[144 + len..].to_vec()
}

fn stored_file(house: &House, uid: &str) -> Option<Vec<u8>> {
    let answer = house.get(&format!("/api/v1/instances/{uid}/file"));
    (answer.status == 200).then_some(answer.body)
}

/// Nothing half received is left, and nothing is stored but `objects` objects.
fn holds(house: &House, objects: usize) {
    assert_eq!(fs::read_dir(house.data().join("tmp")).unwrap().count(), 0, "tmp is empty");
    let folders = fs::read_dir(house.data().join("objects")).unwrap();
    assert_eq!(folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).count(), objects);
}

#[test]
fn echoscu_and_storescu_are_served_and_the_object_is_a_target() {
    let house = House::open();
    let (host, port) = (house.dicom.ip().to_string(), house.dicom.port().to_string());
    let run = |program: &str, options: &[&str]| {
        let output = Command::new(program).args(options).output().unwrap_or_else(|_| panic!("{program} of dcmtk"));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(run("echoscu", &["-aec", "PRECINCT", &host, &port]).0);
    let (accepted, words) = run("echoscu", &["-aec", "SOMEBODY", &host, &port]);
    assert!(!accepted && words.contains("Called AE Title Not Recognized"), "{words}");

    let file = house.folder().join("one.dcm");
    fs::write(&file, ct("2.25.10", 1)).unwrap();
    let path = file.to_str().unwrap();
    for again in 0..2 {
        let (stored, words) = run("storescu", &["-xv", "-aec", "PRECINCT", &host, &port, path]);
        assert!(stored, "{again}: {words}");
    }
    assert_eq!(house.jpip("target=2.25.10&fsiz=16,16").end, 1);
    let kept = stored_file(&house, "2.25.10").unwrap();

    // Other content under the same UID: the first is kept, and the sender is told by a status that stops it.
    fs::write(&file, ct("2.25.10", 2)).unwrap();
    let (stored, words) = run("storescu", &["-v", "-xv", "-aec", "PRECINCT", &host, &port, path]);
    assert!(!stored || words.contains("0x0111"), "{words}");
    assert_eq!(stored_file(&house, "2.25.10").unwrap(), kept);
    holds(&house, 1);
    assert!(!house.log().contains("anary"), "no patient in the log");
}

#[test]
fn what_was_sent_comes_out_byte_for_byte_behind_a_head_that_depends_on_nothing_else() {
    let house = House::open();
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.echo(), 0);
    let sent = data_set(&ct("2.25.10", 1));
    assert_eq!(scu.store("2.25.10", &sent), (0, String::new()));
    let file = stored_file(&house, "2.25.10").unwrap();
    assert_eq!(data_set(&file), sent);
    // Acknowledged is servable: a small object has its index by now.
    let item = house.get("/api/v1/instances/2.25.10").json();
    assert_eq!((item["state"].as_str(), item["transfer_syntax_uid"].as_str()), (Some("indexed"), Some(JPEG2000)));
    scu.release();
    // From another sender, in other pieces: the same object.
    let mut other = Scu::connect(house.dicom);
    other.send(1, &request("PRECINCT", "ELSEWHERE"));
    other.receive().unwrap();
    other.announce("2.25.10");
    for piece in sent.chunks(7) {
        other.data(piece, false);
    }
    other.data(&[], true);
    assert_eq!(other.status().0, 0);
    holds(&house, 1);
    let metrics = house.get("/metrics").text();
    assert!(metrics.contains("precinct_dicom_stored_total 2"), "{metrics}");
}

#[test]
fn c13_c14_same_uid() {
    let house = House::open();
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    assert_eq!(scu.store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    let (status, comment) = scu.store("2.25.10", &data_set(&ct("2.25.10", 2)));
    assert_eq!(status, 0x0111);
    assert!(comment.contains("SOP Instance UID") && comment.len() <= 64, "{comment}");
    assert_eq!(scu.store("2.25.11", &data_set(&ct("2.25.11", 1))).0, 0, "the association goes on");
    scu.release();
    holds(&house, 2);
}

#[test]
fn c_objects_that_are_not_whole_are_refused_and_leave_nothing() {
    let house = House::open();
    let mut scu = Scu::associate(house.dicom);
    let good = data_set(&ct("2.25.10", 1));
    let cut = good.len() - 30;
    let mut fragment_beyond = good.clone();
    let first = good.windows(4).rposition(|bytes| bytes == [0xfe, 0xff, 0x00, 0xe0]).unwrap();
    fragment_beyond[first + 4..first + 8].copy_from_slice(&0x7fff_fffeu32.to_le_bytes());
    let nested = [
        [0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255].as_slice(),
        &[0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255],
    ]
    .concat()
    .repeat(10_000);
    for (name, data_set, status) in [
        ("nothing", Vec::new(), 0xC000),
        ("cut", good[..cut].to_vec(), 0xC000),
        ("cut in an element", good[..13].to_vec(), 0xC000),
        ("random", (0..5000u32).map(|n| ((n * 7919) >> 3) as u8).collect(), 0xC000),
        ("a fragment beyond the end", fragment_beyond, 0xC000),
        ("sequences without end", nested, 0xC000),
        ("another instance", data_set(&ct("2.25.99", 1)), 0xA900),
    ] {
        let (found, comment) = scu.store("2.25.10", &data_set);
        assert_eq!(found, status, "{name}: {comment}");
        assert!(!comment.is_empty() && !comment.contains("anary"), "{name}: {comment}");
    }
    assert_eq!(stored_file(&house, "2.25.10"), None);
    holds(&house, 0);
    assert_eq!(scu.store("2.25.10", &good).0, 0, "the association goes on");
    // Whole as DICOM, broken as an image: kept.
    let mut object = NewObject::new(CT, "2.25.11", JPEG2000);
    object.attributes().put(0x0028_0010, "US", "16");
    let broken = object.encapsulate(&[vec![7; 60]], OffsetTable::Basic, 1).unwrap();
    assert_eq!(scu.store("2.25.11", &data_set(&broken)).0, 0);
    assert_eq!(house.get("/api/v1/instances/2.25.11").json()["state"], "unservable");
    scu.release();
}

#[test]
fn an_object_over_the_limit_is_refused_and_the_next_one_taken() {
    let house = House::open_with(&["--max-import-bytes", "4000"]);
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.store("2.25.10", &vec![0; 300_000]).0, 0xA700);
    assert_eq!(scu.store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    holds(&house, 1);
}

#[test]
fn d3_d4_d11_what_is_no_association_is_broken_off() {
    let mut house = House::open();
    let address = house.dicom;
    let say = |kind: u8, contents: &[u8]| {
        let mut scu = Scu::connect(address);
        scu.send(kind, contents);
        scu
    };
    assert!(say(1, &vec![0; 200_000]).gets_aborted(), "longer than any PDU");
    assert!(say(1, b"").gets_aborted());
    assert!(say(0x47, b"T / HTTP/1.1\r\n\r\n").gets_aborted());
    assert!(say(5, &[0; 4]).gets_aborted(), "a release of nothing");
    // 10,000 user items and 300 contexts of the same few numbers: an answer or an end, and no harm.
    let crowd = [request("PRECINCT", "X"), item(0x50, &item(0x55, b"x").repeat(10_000))].concat();
    let answer = say(1, &crowd).receive().map(|(kind, _)| kind);
    assert!(matches!(answer, Some(2 | 7)), "{answer:?}");
    let context = item(0x20, &[&[3, 0, 0, 0][..], &item(0x30, b"1.2"), &item(0x40, b"1.2.840.10008.1.2")].concat());
    let contexts = [request("PRECINCT", "X"), context.repeat(300)].concat();
    let answer = say(1, &contexts).receive().map(|(kind, _)| kind);
    assert!(matches!(answer, Some(2 | 7)), "{answer:?}");
    let mut scu = Scu::associate(address);
    scu.send(4, &value(9, 3, &[0; 10]));
    assert!(scu.gets_aborted(), "a context that was not accepted");
    assert!(house.is_alive());
    assert_eq!(Scu::associate(address).echo(), 0);
}

#[test]
fn d5_d6_silence_and_slowness_end_after_half_a_minute() {
    let house = House::open();
    let silent = Scu::connect(house.dicom);
    let idle = Scu::associate(house.dicom);
    let mut midway = Scu::associate(house.dicom);
    midway.announce("2.25.10");
    midway.data(&[8; 1000], false);
    let slow = Scu::connect(house.dicom);
    let mut drip = slow.socket.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let bytes = [&[1, 0, 0, 0, 1, 0][..], &request("PRECINCT", "SLOW")].concat();
        for byte in bytes {
            if std::io::Write::write_all(&mut drip, &[byte]).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    });
    for (name, scu) in [("silent", silent), ("idle", idle), ("midway", midway)] {
        assert!(scu.gets_aborted(), "{name}");
    }
    // The one that drips is ended by its first PDU taking too long; it may see that as a reset.
    let mut slow = slow;
    assert!(slow.receive().is_none_or(|(kind, _)| kind == 7));
    drop(slow);
    dripping.join().unwrap();
    holds(&house, 0);
    assert!(house.get("/metrics").text().contains("precinct_dicom_associations 0"));
}

#[test]
fn d7_d8_an_association_that_breaks_leaves_all_or_nothing() {
    let house = House::open();
    let sent = data_set(&ct("2.25.10", 1));
    // In the middle: nothing.
    for how in 0..3 {
        let mut scu = Scu::associate(house.dicom);
        scu.announce("2.25.10");
        scu.data(&sent[..sent.len() / 2], false);
        match how {
            0 => scu.send(7, &[0; 4]),
            1 => scu.socket.shutdown(Shutdown::Write).unwrap(),
            _ => {}
        }
        if how < 2 {
            while scu.receive().is_some() {}
        }
    }
    house.wait_until("the broken associations have ended", |house| {
        house.get("/metrics").text().contains("precinct_dicom_associations 0")
    });
    assert_eq!(stored_file(&house, "2.25.10"), None);
    holds(&house, 0);
    // After the last piece: whole, and sending it again is a success.
    let mut scu = Scu::associate(house.dicom);
    scu.announce("2.25.10");
    scu.data(&sent, true);
    drop(scu);
    house.wait_until("the object is there", |house| stored_file(house, "2.25.10").is_some());
    assert_eq!(Scu::associate(house.dicom).store("2.25.10", &sent).0, 0);
    holds(&house, 1);
}

#[test]
fn d9_opens_without_end_cost_no_memory() {
    let mut house = House::open();
    let open = |count: usize| {
        for n in 0..count {
            let mut scu = Scu::associate(house.dicom);
            if n % 2 == 0 {
                scu.announce("2.25.10");
            }
        }
    };
    open(200);
    house.wait_until("they have ended", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    let before = house.resident();
    open(2000);
    house.wait_until("they have ended", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    let grown = house.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert!(house.is_alive());
}

#[test]
fn more_associations_than_allowed_are_rejected_for_the_moment() {
    let house = House::open_with(&["--max-associations", "2"]);
    let held = [Scu::associate(house.dicom), Scu::associate(house.dicom)];
    let mut third = Scu::connect(house.dicom);
    third.send(1, &request("PRECINCT", "TEST"));
    assert_eq!(third.receive(), Some((3, vec![0, 2, 3, 2])), "transient, local limit exceeded");
    for scu in held {
        scu.release();
    }
    house.wait_until("there is room", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    assert_eq!(Scu::associate(house.dicom).echo(), 0);
}

#[test]
fn sixteen_associations_at_once_stay_small_and_lose_nothing() {
    let house = House::open();
    // 4 MB each, as one native image in an element: not JPEG 2000, stored all the same.
    let large = |uid: &str| {
        let mut object = NewObject::new(CT, uid, JPEG2000);
        object.attributes().put(0x0028_0010, "US", "16");
        let noise: Vec<u8> = (0..4_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        data_set(&object.encapsulate(&[noise], OffsetTable::Basic, 1).unwrap())
    };
    let before = house.resident();
    let peak = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..16)
            .map(|n| {
                let (house, large) = (&house, &large);
                scope.spawn(move || {
                    let mut scu = Scu::associate(house.dicom);
                    for m in 0..2 {
                        let uid = format!("2.25.{}", 100 + n * 2 + m);
                        assert_eq!(scu.store(&uid, &large(&uid)).0, 0, "{uid}");
                    }
                    scu.release();
                })
            })
            .collect();
        let mut peak = 0;
        while senders.iter().any(|sender| !sender.is_finished()) {
            peak = peak.max(house.resident());
        }
        peak
    });
    assert!(peak.saturating_sub(before) < 100 << 20, "{} bytes above {before}", peak - before);
    holds(&house, 32);
}

#[test]
fn f14_a_term_signal_lets_the_object_at_hand_be_acknowledged() {
    let house = House::open();
    let sent = data_set(&ct("2.25.10", 1));
    let idle = Scu::associate(house.dicom);
    let mut scu = Scu::associate(house.dicom);
    scu.announce("2.25.10");
    scu.data(&sent[..100], false);
    // What was said has arrived when a later connection has been heard.
    assert_eq!(Scu::associate(house.dicom).echo(), 0);
    house.signal("TERM");
    assert!(idle.gets_aborted(), "an association between messages is broken off");
    scu.data(&sent[100..], true);
    assert_eq!(scu.status().0, 0);
    let (status, _) = house.wait();
    assert!(status.success());
}
