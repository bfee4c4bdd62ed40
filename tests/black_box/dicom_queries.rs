//! C-FIND: from dcmtk's findscu, and from a peer that asks for everything and cancels. Fault D14.

use dicom_bridge::write::{NewAttributes, NewObject};

use crate::dicom_out::{IMPLICIT, dcmtk, message, number};
use crate::house::House;
use crate::scu::{CT, Scu, command_set, context, request_for, value};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";

/// An object without an image in study `study`.
fn document(study: u32, series: u32, instance: u32, name: &str, date: &str) -> Vec<u8> {
    let mut object = NewObject::new(CT, &format!("2.25.{study}.{series}.{instance}"), "1.2.840.10008.1.2.1");
    let attributes = object.attributes();
    attributes.put(0x0010_0010, "PN", name).put(0x0010_0020, "LO", &format!("ID-{study}"));
    attributes.put(0x0008_0020, "DA", date).put(0x0008_0060, "CS", if series == 1 { "CT" } else { "MR" });
    attributes.put(0x0020_000d, "UI", &format!("2.25.{study}")).put(0x0020_0010, "SH", &format!("S{study}"));
    attributes.put(0x0020_000e, "UI", &format!("2.25.{study}.{series}"));
    attributes.put(0x0020_0013, "IS", &instance.to_string());
    let mut request = NewAttributes::new();
    request.put(0x0040_0009, "SH", &format!("STEP{series}"));
    attributes.put_sequence(0x0040_0275, vec![request]);
    object.to_bytes().unwrap()
}

fn furnished() -> House {
    let house = House::open();
    for (study, name, date) in [(1, "Canary^Cassandra", "20240101"), (2, "Wang^XiaoDong=王^小東", "20240102")] {
        for series in 1..3 {
            for instance in 1..3 {
                house.import("x", &document(study, series, instance, name, date));
            }
        }
    }
    house
}

/// What findscu says of the matches of these keys.
fn found(house: &House, root: &str, keys: &[&str]) -> String {
    let keys: Vec<_> = keys.iter().flat_map(|key| ["-k", key]).collect();
    let (content, words) = dcmtk("findscu", house, &[&[root][..], &keys].concat());
    assert!(content, "{words}");
    // The request is said, too: the matches come after it.
    words.split_once("Find Response: 1").map(|(_, matches)| matches.to_owned()).unwrap_or_default()
}

fn count(words: &str, part: &str) -> usize {
    words.matches(part).count()
}

#[test]
fn c_4_1_findscu_finds_at_every_level() {
    let house = furnished();
    let patients = found(&house, "-P", &["QueryRetrieveLevel=PATIENT", "PatientName", "PatientID"]);
    assert_eq!((count(&patients, "[ID-1]"), count(&patients, "[ID-2]")), (1, 1), "{patients}");
    let keys = [
        "QueryRetrieveLevel=STUDY",
        "StudyInstanceUID",
        "PatientName=canary*",
        "NumberOfStudyRelatedInstances",
        "StudyID",
    ];
    let studies = found(&house, "-S", &keys);
    assert_eq!((count(&studies, "[2.25.1]"), count(&studies, "[2.25.2]")), (1, 0), "{studies}");
    assert_eq!(count(&studies, "(0020,1208) IS [4"), 1, "{studies}");
    assert_eq!(count(&studies, "(0020,0010) SH [S1"), 1, "{studies}");
    assert_eq!(count(&studies, "(0008,0054) AE [PRECINCT]"), 1, "{studies}");
    assert_eq!(count(&studies, "(0008,0056) CS [ONLINE]"), 1, "{studies}");
    assert_eq!(count(&studies, "(0008,0005) CS [ISO_IR 192]"), 1, "{studies}");
    for (date, expect) in [("20240102-", 1), ("-20240101", 1), ("20240101-20240102", 2), ("20240103-", 0)] {
        let words =
            found(&house, "-S", &["QueryRetrieveLevel=STUDY", "StudyInstanceUID", &format!("StudyDate={date}")]);
        assert_eq!(count(&words, "(0020,000d) UI"), expect, "{date}: {words}");
    }
    let list =
        found(&house, "-S", &["QueryRetrieveLevel=STUDY", "StudyInstanceUID=2.25.1\\2.25.2\\2.25.3", "PatientID"]);
    assert_eq!(count(&list, "(0010,0020) LO [ID-"), 2, "{list}");
    let keys = ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=2.25.2", "SeriesInstanceUID", "Modality=M?"];
    let series = found(&house, "-S", &keys);
    assert_eq!((count(&series, "[2.25.2.2]"), count(&series, "(0020,000e)")), (1, 1), "{series}");
    let keys = [
        "QueryRetrieveLevel=SERIES",
        "SeriesInstanceUID",
        "RequestAttributesSequence[0].ScheduledProcedureStepID=STEP1",
    ];
    let series = found(&house, "-S", &keys);
    assert_eq!((count(&series, "(0020,000e)"), count(&series, "[STEP1 ]")), (2, 2), "{series}");
    let keys =
        ["QueryRetrieveLevel=IMAGE", "SeriesInstanceUID=2.25.2.1", "SOPInstanceUID", "SOPClassUID", "InstanceNumber=2"];
    let images = found(&house, "-S", &keys);
    assert_eq!((count(&images, "[2.25.2.1.2]"), count(&images, "(0008,0018)")), (1, 1), "{images}");
    assert!(!house.log().contains("anary"), "no patient in the log");
}

#[test]
fn an_identifier_without_its_level_is_refused() {
    let house = furnished();
    let (_, words) = dcmtk("findscu", &house, &["-S", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID"]);
    assert!(words.contains("DoesNotMatch"), "{words}");
    let (_, words) = dcmtk("findscu", &house, &["-S", "-k", "PatientID"]);
    assert!(words.contains("DoesNotMatch"), "{words}");
}

#[test]
fn d14_a_query_for_everything_is_answered_in_pieces_and_can_be_cancelled() {
    let house = House::open();
    for n in 1..=250 {
        house.import("x", &document(n, 1, 1, "Canary^Cassandra", "20240101"));
    }
    let mut scu = Scu::connect(house.dicom);
    scu.send(1, &request_for("PRECINCT", "TEST", &[context(1, FIND, IMPLICIT)], &[]));
    assert_eq!(scu.receive().map(|(kind, _)| kind), Some(2));
    let ask = |scu: &mut Scu, message: u16| {
        let message = message.to_le_bytes();
        let set =
            [(0x0002, FIND.as_bytes()), (0x0100, &[0x20, 0]), (0x0110, &message), (0x0700, &[0, 0]), (0x0800, &[1, 0])];
        scu.send(4, &value(1, 3, &command_set(&set)));
        let mut identifier = NewAttributes::new();
        identifier.put(0x0008_0052, "CS", "STUDY").put(0x0020_000d, "UI", "").put(0x0010_0010, "PN", "*");
        scu.send(4, &value(1, 2, &identifier.to_data_set(IMPLICIT).unwrap()));
    };
    ask(&mut scu, 1);
    let mut matches = 0;
    let last = loop {
        let (set, identifier) = message(&mut scu);
        match number(&set, 0x0900) {
            Some(0xFF00) => matches += usize::from(!identifier.is_empty()),
            other => break other,
        }
    };
    assert_eq!((last, matches), (Some(0), 250));
    // The cancellation lies there before the first page is looked up.
    ask(&mut scu, 2);
    scu.send(4, &value(1, 3, &command_set(&[(0x0100, &[0xff, 0x0f]), (0x0120, &[2, 0]), (0x0800, &[1, 1])])));
    let mut matches = 0;
    let last = loop {
        let (set, _) = message(&mut scu);
        match number(&set, 0x0900) {
            Some(0xFF00) => matches += 1,
            other => break other,
        }
    };
    assert_eq!(last, Some(0xFE00));
    assert!(matches <= 200, "{matches} of 250");
    scu.release();
}
