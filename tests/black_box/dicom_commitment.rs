//! Storage commitment, on the association of the request; on others it is tried in `conformance/dimse.py`.

use dicom_bridge::write::NewAttributes;

use crate::dicom_in::{ct, data_set};
use crate::dicom_out::{IMPLICIT, message, number};
use crate::house::House;
use crate::scu::{CT, Scu, command_set, context, element_of, request_for, value};

const COMMITMENT: &str = "1.2.840.10008.1.20.1";
const WELL_KNOWN: &str = "1.2.840.10008.1.20.1.1";

fn associated(house: &House) -> Scu {
    let mut scu = Scu::connect(house.dicom);
    scu.send(1, &request_for("PRECINCT", "TEST", &[context(1, COMMITMENT, IMPLICIT)], &[]));
    assert_eq!(scu.receive().map(|(kind, _)| kind), Some(2));
    scu
}

/// Asks for commitment to these instances, each its class and its UID; the status of the answer.
fn ask(scu: &mut Scu, action: u16, instances: &[(&str, &str)]) -> Option<u16> {
    let action = action.to_le_bytes();
    let (class, instance) = (COMMITMENT.as_bytes(), WELL_KNOWN.as_bytes());
    let set = [
        (0x0003, class),
        (0x0100, &[0x30, 1]),
        (0x0110, &[7, 0]),
        (0x0800, &[1, 0]),
        (0x1001, instance),
        (0x1008, &action),
    ];
    scu.send(4, &value(1, 3, &command_set(&set)));
    let item = |(class, uid): &(&str, &str)| {
        let mut item = NewAttributes::new();
        item.put(0x0008_1150, "UI", class).put(0x0008_1155, "UI", uid);
        item
    };
    let mut wanted = NewAttributes::new();
    wanted.put(0x0008_1195, "UI", "2.25.777").put_sequence(0x0008_1199, instances.iter().map(item).collect());
    scu.send(4, &value(1, 2, &wanted.to_data_set(IMPLICIT).unwrap()));
    let (set, _) = message(scu);
    assert_eq!((element_of(&set, 0x0100).unwrap(), number(&set, 0x0120)), (vec![0x30, 0x81], Some(7)));
    number(&set, 0x0900)
}

/// The report: its event type and its data set. It is answered.
fn report(scu: &mut Scu) -> (Option<u16>, Vec<u8>) {
    let (set, data) = message(scu);
    assert_eq!(element_of(&set, 0x0100).unwrap(), [0, 1], "N-EVENT-REPORT-RQ");
    let id = element_of(&set, 0x0110).unwrap();
    let answer = [(0x0100, &[0, 0x81][..]), (0x0120, &id), (0x0800, &[1, 1]), (0x0900, &[0, 0])];
    scu.send(4, &value(1, 3, &command_set(&answer)));
    (number(&set, 0x1002), data)
}

/// How often a short element of implicit VR stands in the data set.
fn count(data: &[u8], tag: [u8; 4], text: &[u8]) -> usize {
    let element = [&tag[..], &(text.len() as u32).to_le_bytes(), text].concat();
    data.windows(element.len()).filter(|bytes| *bytes == element).count()
}

#[test]
fn j_3_what_is_whole_and_durable_is_committed() {
    let house = House::open();
    house.import("a", &ct("2.25.10", 1));
    house.import("b", &ct("2.25.12", 2));
    let mut scu = associated(&house);
    assert_eq!(ask(&mut scu, 1, &[(CT, "2.25.10"), (CT, "2.25.12")]), Some(0));
    let (event, data) = report(&mut scu);
    assert_eq!((event, count(&data, [8, 0, 0x95, 0x11], b"2.25.777")), (Some(1), 1));
    assert_eq!(count(&data, [8, 0, 0x55, 0x11], b"2.25.10\0"), 1);
    // One is here, one is not, and one is something else.
    let mr = "1.2.840.10008.5.1.4.1.1.4";
    assert_eq!(ask(&mut scu, 1, &[(CT, "2.25.10"), (CT, "2.25.11"), (mr, "2.25.12")]), Some(0));
    let (event, data) = report(&mut scu);
    assert_eq!(event, Some(2));
    let reasons = [0x0112u16, 0x0119].map(|reason| count(&data, [8, 0, 0x97, 0x11], &reason.to_le_bytes()));
    assert_eq!(reasons, [1, 1]);
    // Bytes that are gone are not committed, whatever the catalog says.
    for folder in std::fs::read_dir(house.data().join("objects")).unwrap() {
        for object in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = object.unwrap().path();
            let len = std::fs::metadata(&path).unwrap().len();
            let mut permissions = std::fs::metadata(&path).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
            std::fs::set_permissions(&path, permissions).unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
        }
    }
    assert_eq!(ask(&mut scu, 1, &[(CT, "2.25.10")]), Some(0));
    let (event, data) = report(&mut scu);
    assert_eq!((event, count(&data, [8, 0, 0x97, 0x11], &0x0110u16.to_le_bytes())), (Some(2), 1));
    scu.release();
}

#[test]
fn what_is_no_request_for_commitment_is_refused() {
    let house = House::open();
    let mut scu = associated(&house);
    assert_eq!(ask(&mut scu, 2, &[(CT, "2.25.10")]), Some(0x0123), "no such action");
    assert_eq!(ask(&mut scu, 1, &[]), Some(0x0115), "nothing named");
    assert_eq!(ask(&mut scu, 1, &[(CT, "../../etc")]), Some(0x0115));
    scu.release();
}

#[test]
fn c15_c18_a_jpip_referenced_object_is_kept_and_not_committed() {
    let house = House::open();
    let mut object = dicom_bridge::write::NewObject::new(CT, "2.25.20", "1.2.840.10008.1.2.4.94");
    object.attributes().put(0x0028_7fe0, "UR", "http://169.254.169.254/jpip?target=x");
    let file = object.to_bytes().unwrap();
    let mut scu = Scu::connect(house.dicom);
    let contexts = [context(1, COMMITMENT, IMPLICIT), context(3, CT, "1.2.840.10008.1.2.4.94")];
    scu.send(1, &request_for("PRECINCT", "TEST", &contexts, &[]));
    assert_eq!(scu.receive().map(|(kind, _)| kind), Some(2));
    assert_eq!(scu.store("2.25.20", &data_set(&file)).0, 0);
    assert_eq!(house.get("/api/v1/instances/2.25.20").status, 200);
    assert_eq!(ask(&mut scu, 1, &[(CT, "2.25.20")]), Some(0));
    let (event, data) = report(&mut scu);
    assert_eq!((event, count(&data, [8, 0, 0x97, 0x11], &0x0110u16.to_le_bytes())), (Some(2), 1));
    scu.release();
}
