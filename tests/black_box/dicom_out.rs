//! Objects that go out by C-GET and C-MOVE: to dcmtk, to another Precinct, and to peers that cancel, refuse or break off.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use dicom_bridge::write::{NewAttributes, NewObject};

use crate::dicom_in::{ct, data_set};
use crate::house::House;
use crate::scu::{CT, JPEG2000, Pdu, Scu, command_set, context, element_of, request_for, role, value};

pub(crate) const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";

/// A native CT image as a file; its study is that of [`ct`].
fn native(uid: &str, transfer_syntax: &str) -> Vec<u8> {
    let mut object = NewObject::new(CT, uid, transfer_syntax);
    object.attributes().put(0x0020_000d, "UI", "2.25.1").put(0x0020_000e, "UI", "2.25.3").put(0x0008_0060, "CS", "CT");
    object.attributes().put(0x0010_0010, "PN", "Canary^Cassandra").put(0x0010_0020, "LO", "CANARY-7");
    object.attributes().put(0x0028_0002, "US", "1").put(0x0028_0004, "CS", "MONOCHROME2");
    object.attributes().put(0x0028_0010, "US", "64").put(0x0028_0011, "US", "64");
    object.attributes().put(0x0028_0100, "US", "16").put(0x0028_0101, "US", "12").put(0x0028_0102, "US", "11");
    object.attributes().put(0x0028_0103, "US", "1").put(0x0028_0106, "SS", "-3");
    let pixels: Vec<_> = (0..64 * 64).map(|n: u32| (n * 7 % 4096).to_string()).collect();
    object.attributes().put(0x7fe0_0010, "OW", &pixels.join("\\"));
    object.to_bytes().unwrap()
}

/// Runs a program of dcmtk against a house; whether it was content, and what it said.
pub(crate) fn dcmtk(program: &str, house: &House, options: &[&str]) -> (bool, String) {
    dcmtk_at(program, house.dicom, options)
}

/// The same for any address.
pub(crate) fn dcmtk_at(program: &str, address: SocketAddr, options: &[&str]) -> (bool, String) {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let common = ["-v", "-aec", "PRECINCT", &host, &port];
    let output = Command::new(program).args(options).args(common).output().unwrap_or_else(|_| panic!("{program}"));
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

fn file_of(house: &House, uid: &str) -> Vec<u8> {
    let answer = house.get(&format!("/api/v1/instances/{uid}/file"));
    assert_eq!(answer.status, 200, "{uid}");
    answer.body
}

/// The data sets that `getscu` wrote, by their names' ends.
fn received(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files.into_iter().map(|(name, bytes)| (name, data_set(&bytes))).collect()
}

#[test]
fn getscu_gets_what_it_takes_as_it_is_stored() {
    let house = House::open();
    house.import("a", &ct("2.25.10", 1));
    house.import("b", &native("2.25.11", EXPLICIT));
    let get = |options: &[&str]| {
        let folder = tempfile::TempDir::new().unwrap();
        let keys = ["-S", "+B", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.1", "-od"];
        let said = dcmtk("getscu", &house, &[&keys[..], &[folder.path().to_str().unwrap()], options].concat());
        (said, received(folder.path()))
    };
    // getscu offers one presentation context a class: what is taken of it decides which of the two can be sent.
    let ((_, words), files) = get(&["+xv"]);
    assert_eq!(files.len(), 1, "{words}");
    assert!(files[0].1 == data_set(&ct("2.25.10", 1)) && words.contains("OneOrMoreFailures"), "{words}");
    let (_, files) = get(&["+xe"]);
    assert_eq!(files.len(), 1);
    assert!(files[0].1 == data_set(&native("2.25.11", EXPLICIT)));
    // Nothing of the kind is there: success, and nothing sent.
    let folder = tempfile::TempDir::new().unwrap();
    let keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.999", "-od"];
    let (content, words) = dcmtk("getscu", &house, &[&keys[..], &[folder.path().to_str().unwrap()]].concat());
    assert!(content && received(folder.path()).is_empty(), "{words}");
    assert!(!house.log().contains("anary"), "no patient in the log");
}

#[test]
fn movescu_moves_to_another_house_what_it_names_at_each_level() {
    let other = House::open_with(&["--ae-title", "SECOND"]);
    let house = House::open_with(&["--dicom-destination", &format!("SECOND={}", other.dicom)]);
    house.import("a", &ct("2.25.10", 1));
    house.import("b", &native("2.25.11", EXPLICIT));
    house.import("c", &native("2.25.12", IMPLICIT));
    let moved = |options: &[&str]| dcmtk("movescu", &house, &[&["-aem", "SECOND"], options].concat());
    let (content, words) = moved(&["-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", "SOPInstanceUID=2.25.11\\2.25.99"]);
    assert!(content, "{words}");
    assert_eq!(other.get("/api/v1/instances").json()["items"].as_array().unwrap().len(), 1);
    let (content, words) = moved(&[
        "-S",
        "-k",
        "QueryRetrieveLevel=SERIES",
        "-k",
        "StudyInstanceUID=2.25.1",
        "-k",
        "SeriesInstanceUID=2.25.2",
    ]);
    assert!(content, "{words}");
    assert_eq!(other.get("/api/v1/instances").json()["items"].as_array().unwrap().len(), 2);
    let (content, words) = moved(&["-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=CANARY-7"]);
    assert!(content, "{words}");
    for uid in ["2.25.10", "2.25.11", "2.25.12"] {
        assert!(data_set(&file_of(&house, uid)) == data_set(&file_of(&other, uid)), "{uid}");
    }
    let (_, words) = dcmtk(
        "movescu",
        &house,
        &["-aem", "NOBODY", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.1"],
    );
    assert!(words.contains("MoveDestinationUnknown"), "{words}");
    let (_, words) = moved(&["-S", "-k", "QueryRetrieveLevel=STUDY"]);
    assert!(words.contains("DoesNotMatch"), "no key: {words}");
    // One that does not answer: everything failed, and the association goes on to its end.
    drop(other);
    let (_, words) = moved(&["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.1"]);
    assert!(words.contains("OutOfResources"), "{words}");
}

/// An association on which CT images can be got in JPEG 2000, context 3, and in explicit VR, context 5.
fn getter(house: &House) -> Scu {
    let mut scu = Scu::connect(house.dicom);
    let contexts = [context(1, GET, IMPLICIT), context(3, CT, JPEG2000), context(5, CT, EXPLICIT)];
    scu.send(1, &request_for("PRECINCT", "TEST", &contexts, &[role(CT)]));
    let (kind, answer) = scu.receive().unwrap();
    assert_eq!(kind, 2, "accepted");
    assert!(answer.windows(role(CT).len()).any(|bytes| bytes == role(CT)), "the role is answered");
    scu
}

fn ask_for_study(scu: &mut Scu, message: u16) {
    let message = message.to_le_bytes();
    let set =
        [(0x0002, GET.as_bytes()), (0x0100, &[0x10, 0]), (0x0110, &message), (0x0700, &[0, 0]), (0x0800, &[1, 0])];
    scu.send(4, &value(1, 3, &command_set(&set)));
    let mut identifier = NewAttributes::new();
    identifier.put(0x0008_0052, "CS", "STUDY").put(0x0020_000d, "UI", "2.25.1");
    scu.send(4, &value(1, 2, &identifier.to_data_set(IMPLICIT).unwrap()));
}

/// The next message: its command set, and its data set if one follows.
pub(crate) fn message(scu: &mut Scu) -> (Vec<u8>, Vec<u8>) {
    let part = |pdu: Option<Pdu>| pdu.map(|(kind, contents)| (kind, contents[5], contents[6..].to_vec())).unwrap();
    let (kind, flags, set) = part(scu.receive());
    assert_eq!((kind, flags), (4, 3), "a whole command set");
    let mut data = Vec::new();
    if element_of(&set, 0x0800).unwrap() != [1, 1] {
        loop {
            let (kind, flags, piece) = part(scu.receive());
            assert_eq!((kind, flags & 1), (4, 0));
            data.extend(piece);
            if flags & 2 != 0 {
                break;
            }
        }
    }
    (set, data)
}

pub(crate) fn number(set: &[u8], element: u16) -> Option<u16> {
    Some(u16::from_le_bytes(element_of(set, element)?.try_into().unwrap()))
}

/// Answers a C-STORE of the server.
fn take(scu: &mut Scu, context: u8, set: &[u8], status: u16) {
    let id = element_of(set, 0x0110).unwrap();
    let answer = [(0x0100, &[1, 0x80][..]), (0x0120, &id), (0x0800, &[1, 1]), (0x0900, &status.to_le_bytes())];
    scu.send(4, &value(context, 3, &command_set(&answer)));
}

#[test]
fn c_4_3_a_get_counts_what_is_taken_and_what_is_not() {
    let house = House::open();
    for n in 10..13 {
        house.import("x", &ct(&format!("2.25.{n}"), n));
    }
    let mut scu = getter(&house);
    ask_for_study(&mut scu, 7);
    for (n, status) in [(10, 0u16), (11, 0xA700), (12, 0xB000)] {
        let (set, data) = message(&mut scu);
        assert_eq!(element_of(&set, 0x0100).unwrap(), [1, 0]);
        assert!(data == data_set(&ct(&format!("2.25.{n}"), n)), "{n}");
        take(&mut scu, 3, &set, status);
        let (set, list) = message(&mut scu);
        let counters = [0x1020, 0x1021, 0x1022, 0x1023].map(|element| number(&set, element));
        match n {
            10 => assert_eq!((number(&set, 0x0900), counters), (Some(0xFF00), [2, 1, 0, 0].map(Some))),
            11 => assert_eq!((number(&set, 0x0900), counters), (Some(0xFF00), [1, 1, 1, 0].map(Some))),
            _ => {
                assert_eq!((number(&set, 0x0900), counters), (Some(0xB000), [None, Some(1), Some(1), Some(1)]));
                assert_eq!(list, [&[8, 0, 0x58, 0, 8, 0, 0, 0][..], b"2.25.11\0"].concat());
            }
        }
        assert_eq!(number(&set, 0x0120), Some(7));
    }
    scu.release();
}

#[test]
fn a_native_object_goes_out_in_the_encoding_that_the_peer_takes() {
    let house = House::open();
    house.import("x", &native("2.25.11", EXPLICIT));
    for (transfer_syntax, seen) in [(IMPLICIT, true), (EXPLICIT, true), ("1.2.840.10008.1.2.2", false)] {
        let mut scu = Scu::connect(house.dicom);
        let contexts = [context(1, GET, IMPLICIT), context(3, CT, transfer_syntax)];
        scu.send(1, &request_for("PRECINCT", "TEST", &contexts, &[role(CT)]));
        assert_eq!(scu.receive().map(|(kind, _)| kind), Some(2));
        ask_for_study(&mut scu, 7);
        let (set, data) = message(&mut scu);
        if !seen {
            assert_eq!((number(&set, 0x0900), number(&set, 0x1022)), (Some(0xA702), Some(1)));
            continue;
        }
        assert!(data == data_set(&native("2.25.11", transfer_syntax)), "{transfer_syntax}");
        take(&mut scu, 3, &set, 0);
        let (set, _) = message(&mut scu);
        assert_eq!((number(&set, 0x0900), number(&set, 0x1021)), (Some(0), Some(1)));
    }
}

#[test]
fn c_4_3_a_cancelled_get_ends_before_the_next_instance() {
    let house = House::open();
    for n in 10..14 {
        house.import("x", &ct(&format!("2.25.{n}"), n));
    }
    let mut scu = getter(&house);
    ask_for_study(&mut scu, 7);
    let (set, _) = message(&mut scu);
    let cancel = |message: u16| {
        value(1, 3, &command_set(&[(0x0100, &[0xff, 0x0f]), (0x0120, &message.to_le_bytes()), (0x0800, &[1, 1])]))
    };
    // Of another message: passed over.
    scu.send(4, &cancel(6));
    take(&mut scu, 3, &set, 0);
    assert_eq!(number(&message(&mut scu).0, 0x0900), Some(0xFF00));
    let (set, _) = message(&mut scu);
    scu.send(4, &cancel(7));
    take(&mut scu, 3, &set, 0);
    assert_eq!(number(&message(&mut scu).0, 0x0900), Some(0xFF00));
    let (last, _) = message(&mut scu);
    let counters = [0x1020, 0x1021, 0x1022, 0x1023].map(|element| number(&last, element));
    assert_eq!((number(&last, 0x0900), counters), (Some(0xFE00), [2, 2, 0, 0].map(Some)));
    // And the next one begins anew.
    ask_for_study(&mut scu, 8);
    let (set, _) = message(&mut scu);
    assert_eq!(element_of(&set, 0x0100).unwrap(), [1, 0]);
}

#[test]
fn d7_a_peer_that_breaks_off_in_the_middle_costs_its_association_alone() {
    let mut house = House::open();
    house.import("x", &ct("2.25.10", 1));
    for how in 0..3 {
        let mut scu = getter(&house);
        ask_for_study(&mut scu, 7);
        let (set, _) = message(&mut scu);
        match how {
            0 => scu.send(7, &[0; 4]),
            1 => drop(scu),
            _ => {
                let other = [(0x0110, &[99, 0][..])];
                take(&mut scu, 3, &command_set(&other), 0);
                assert!(scu.gets_aborted(), "a response to another request");
                assert!(!set.is_empty());
            }
        }
    }
    house.wait_until("they have ended", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    assert!(house.is_alive());
}

#[test]
fn without_the_role_of_a_provider_nothing_is_sent() {
    let house = House::open();
    house.import("x", &ct("2.25.10", 1));
    let mut scu = Scu::connect(house.dicom);
    scu.send(1, &request_for("PRECINCT", "TEST", &[context(1, GET, IMPLICIT), context(3, CT, JPEG2000)], &[]));
    assert_eq!(scu.receive().map(|(kind, _)| kind), Some(2));
    ask_for_study(&mut scu, 7);
    let (set, _) = message(&mut scu);
    assert_eq!((number(&set, 0x0900), number(&set, 0x1022)), (Some(0xA702), Some(1)));
}
