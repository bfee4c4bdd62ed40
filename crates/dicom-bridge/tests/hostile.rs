//! Faults C1 to C18 as far as a scan meets them, and objects cut and changed at every byte.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use codestream::Family;
use dicom_bridge::write::{NewObject, OffsetTable};
use dicom_bridge::{ObjectError, PixelData, ScanLimits, ScannedObject, is_part10, scan};
use proptest::prelude::*;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const LOSSLESS: &str = "1.2.840.10008.1.2.4.90";

/// One element in Explicit VR Little Endian; long VRs get their long form.
fn element(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    header(tag, vr, u32::try_from(value.len()).unwrap(), value)
}

fn header(tag: u32, vr: &str, len: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u16::try_from(tag >> 16).unwrap().to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(tag & 0xffff).unwrap().to_le_bytes());
    bytes.extend_from_slice(vr.as_bytes());
    if matches!(vr, "OB" | "OW" | "OV" | "SQ" | "UN" | "UT" | "UC") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&len.to_le_bytes());
    } else if vr.is_empty() {
        bytes.extend_from_slice(&len.to_le_bytes());
    } else {
        bytes.extend_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

fn item(tag: u32, len: u32) -> Vec<u8> {
    header(tag, "", len, &[])
}

const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;
const UNDEFINED: u32 = u32::MAX;

fn meta(transfer_syntax: &str) -> Vec<u8> {
    let uid = element(0x0002_0010, "UI", transfer_syntax.as_bytes());
    [element(0x0002_0000, "UL", &u32::try_from(uid.len()).unwrap().to_le_bytes()), uid].concat()
}

fn part10(transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    [&[0; 128], b"DICM".as_slice(), &meta(transfer_syntax), data_set].concat()
}

/// What identifies an object.
fn identity() -> Vec<u8> {
    [element(0x0008_0016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"), element(0x0008_0018, "UI", b"2.25.77\0")].concat()
}

fn explicit(rest: &[u8]) -> Vec<u8> {
    part10(EXPLICIT, &[&identity(), rest].concat())
}

fn run(bytes: &[u8]) -> Result<ScannedObject, ObjectError> {
    scan(&bytes.to_vec(), &ScanLimits::default())
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    match run(bytes) {
        Ok(_) => panic!("was taken, not refused with {words:?}"),
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
    }
}

#[track_caller]
fn taken(bytes: &[u8]) -> ScannedObject {
    run(bytes).unwrap()
}

#[test]
fn c1_without_preamble_the_file_meta_information_must_come_first() {
    let whole = explicit(&[]);
    assert!(is_part10(&whole) && is_part10(&whole[132..]));
    taken(&whole[132..]);
    refused(&identity(), "not a DICOM");
    refused(&[], "not a DICOM");
    refused(&[0; 200], "not a DICOM");
    refused(&[&[0; 128], b"DICM".as_slice()].concat(), "TransferSyntaxUID is missing");
    refused(&[&[0; 128], b"DICM".as_slice(), &identity()].concat(), "TransferSyntaxUID is missing");
}

#[test]
fn c2_the_group_length_of_the_file_meta_information_may_lie() {
    for lie in [0u32, 1, 12, 1000, u32::MAX] {
        let mut bytes = explicit(&[]);
        bytes.splice(140..144, lie.to_le_bytes());
        assert_eq!(taken(&bytes).attributes.sop_instance_uid, "2.25.77");
    }
    let endless = element(0x0002_0102, "OB", &vec![0; 70_000]);
    refused(&[&[0; 128], b"DICM".as_slice(), &endless, &meta(EXPLICIT), &identity()].concat(), "more than the limit");
}

#[test]
fn c3_a_length_past_the_end_is_refused() {
    refused(&explicit(&header(0x0009_1001, "OB", 0xffff_fffe, &[0; 10])), "ends inside an element's value");
    refused(&explicit(&header(0x0028_0010, "US", 12, &[0; 10])), "ends inside an element's value");
    refused(&explicit(&header(0x7fe0_0010, "OW", 12, &[0; 10])), "ends inside the pixel data");
    refused(&explicit(&header(0x0008_1140, "SQ", 12, &item(ITEM, 0))), "ends inside");
    refused(&explicit(&[1, 2, 3]), "ends inside an element header");
}

#[test]
fn c4_nesting_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize, len: u32| {
        let open = [header(0x0040_a730, "SQ", len, &[]), item(ITEM, UNDEFINED)].concat();
        let close = [item(ITEM_END, 0), item(SEQUENCE_END, 0)].concat();
        explicit(&[open.repeat(depth), close.repeat(depth)].concat())
    };
    taken(&nested(200, UNDEFINED));
    refused(&nested(10_000, UNDEFINED), "depth of nested sequences");
    refused(&nested(200_000, UNDEFINED), "depth of nested sequences");
}

#[test]
fn c5_what_has_no_length_needs_its_delimiter() {
    let open = [header(0x0040_a730, "SQ", UNDEFINED, &[]), item(ITEM, UNDEFINED)].concat();
    let whole = [open.clone(), item(ITEM_END, 0), item(SEQUENCE_END, 0)].concat();
    taken(&explicit(&whole));
    for cut in 1..whole.len() {
        refused(&explicit(&whole[..cut]), "ends inside");
    }
    refused(&explicit(&[open.clone(), item(SEQUENCE_END, 0)].concat()), "where an element belongs");
    refused(&explicit(&[open, item(ITEM_END, 4)].concat()), "a delimiter with a length");
    refused(&explicit(&item(SEQUENCE_END, 0)), "outside any sequence");
}

#[test]
fn lengths_inside_a_sequence_stay_inside_it() {
    let inside = element(0x0008_0104, "LO", b"12345678");
    let sequence = |sequence_len, item_len| {
        let items = [header(0x0040_a730, "SQ", sequence_len, &[]), item(ITEM, item_len), inside.clone()].concat();
        explicit(&[items, element(0x0040_a73a, "LO", b"behind")].concat())
    };
    taken(&sequence(24, 16));
    refused(&sequence(24, 18), "reaches past");
    refused(&sequence(20, 12), "reaches past");
    refused(&sequence(12, 4), "reaches past");
}

#[test]
fn icons_and_unknown_sequences_are_walked_and_do_not_count() {
    let fragment = [item(ITEM, 4), vec![0xff, 0x4f, 0xff, 0x51]].concat();
    let encapsulated =
        [header(0x7fe0_0010, "OB", UNDEFINED, &[]), item(ITEM, 0), fragment, item(SEQUENCE_END, 0)].concat();
    let icon_len = u32::try_from(encapsulated.len()).unwrap();
    for (len, end) in [(UNDEFINED, item(ITEM_END, 0)), (icon_len, vec![])] {
        let icon = [header(0x0088_0200, "SQ", UNDEFINED, &[]), item(ITEM, len), encapsulated.clone(), end];
        let bytes = part10(LOSSLESS, &[identity(), icon.concat(), item(SEQUENCE_END, 0)].concat());
        assert!(matches!(taken(&bytes).pixel_data, PixelData::None));
    }
    let short = [header(0x0088_0200, "SQ", UNDEFINED, &[]), item(ITEM, icon_len - 2), encapsulated].concat();
    refused(&part10(LOSSLESS, &[identity(), short, item(SEQUENCE_END, 0)].concat()), "reach past");

    // Kept by somebody who did not know it: no VRs inside, whatever is around [PS3.5 6.2.2].
    let inside = [header(0x0008_0104, "", 4, b"text"), header(0x0028_0010, "", 2, &[9, 0])].concat();
    let unknown = [header(0x0009_1001, "UN", UNDEFINED, &[]), item(ITEM, UNDEFINED), inside].concat();
    let bytes = [unknown, item(ITEM_END, 0), item(SEQUENCE_END, 0), element(0x0028_0010, "US", &[7, 0])].concat();
    assert_eq!(taken(&explicit(&bytes)).attributes.rows, Some(7));
}

#[test]
fn c6_odd_lengths_are_read_as_they_stand() {
    let bytes = explicit(&[element(0x0010_0020, "LO", b"odd"), element(0x0028_0010, "US", &[9, 0])].concat());
    let attributes = taken(&bytes).attributes;
    assert_eq!((attributes.patient_id.as_deref(), attributes.rows), (Some("odd"), Some(9)));
}

#[test]
fn c7_c8_c9_image_attributes_of_the_wrong_kind_are_bounded() {
    let rows = |vr: &str, value: &[u8]| taken(&explicit(&element(0x0028_0010, vr, value))).attributes.rows;
    assert_eq!(rows("US", &[0, 2]), Some(512));
    assert_eq!(rows("UL", &[0, 2, 0, 0]), Some(512));
    assert_eq!(rows("UL", &[0, 0, 1, 0]), None);
    assert_eq!(rows("UL", &[0xff; 4]), None);
    assert_eq!(rows("SS", &[0xff; 2]), None);
    assert_eq!(rows("UN", &[0, 2]), Some(512));
    assert_eq!(rows("IS", b"512 "), Some(512));
    assert_eq!(rows("FD", &[0xff; 8]), None);
    assert_eq!(rows("US", &[]), None);
    let frames = |value: &[u8]| taken(&explicit(&element(0x0028_0008, "IS", value))).attributes.number_of_frames;
    assert_eq!(frames(b"2147483647"), 2_147_483_647);
    assert_eq!(frames(b"99999999999999999999"), 1);
    assert_eq!(frames(b"-5"), 1);
}

#[test]
fn c10_fragments_that_do_not_fit_are_refused() {
    let object = |rest: &[Vec<u8>]| {
        let pixel_data = [header(0x7fe0_0010, "OB", UNDEFINED, &[]), rest.concat()].concat();
        part10(LOSSLESS, &[identity(), pixel_data].concat())
    };
    let table = item(ITEM, 0);
    let fragment = [item(ITEM, 4), vec![0xff, 0x4f, 0xff, 0x51]].concat();
    let end = item(SEQUENCE_END, 0);
    let scanned = taken(&object(&[table.clone(), fragment.clone(), end.clone()]));
    assert!(matches!(scanned.pixel_data, PixelData::Encapsulated { frames, .. } if frames.len() == 1));
    refused(&object(&[table.clone(), fragment.clone()]), "ends inside an element header");
    refused(&object(&[table.clone(), item(ITEM, 0xffff_fffe), vec![0; 20]]), "ends inside a fragment");
    refused(&object(&[table.clone(), item(ITEM, UNDEFINED), end.clone()]), "undefined length");
    refused(&object(&[item(ITEM, 0x7fff_fffc), fragment.clone(), end.clone()]), "ends inside the basic offset table");
    refused(&object(&[table.clone(), fragment.clone(), identity(), end.clone()]), "other than a fragment");
    refused(&object(&[table, fragment, end.clone(), header(0x7fe0_0010, "OB", 0, &[])]), "second pixel data");
    assert!(matches!(taken(&object(&[end])).pixel_data, PixelData::Unusable(_)));
}

#[test]
fn c12_uids_that_are_none_are_refused() {
    let long = "1.2.3.4.".repeat(8) + "55";
    for uid in [long.as_str(), "../../tmp/evil", "1.2'; DROP TABLE x", "1.2\u{0}3", "1.2.é", "..", "{7}"] {
        let class = element(0x0008_0016, "UI", b"1.2.3");
        let mut padded = uid.as_bytes().to_vec();
        padded.resize(padded.len().next_multiple_of(2), 0);
        refused(&part10(EXPLICIT, &[class, element(0x0008_0018, "UI", &padded)].concat()), "not a valid UID");
        for tag in [0x0020_000d, 0x0020_000e] {
            refused(&explicit(&element(tag, "UI", &padded)), "not a valid UID");
        }
        refused(&part10(uid, &identity()), "not a valid UID");
    }
    let class = element(0x0008_0016, "UI", b"1.2.3");
    refused(&part10(EXPLICIT, &class), "SOPInstanceUID is missing");
    let oversized = element(0x0008_0018, "UI", &[b'1'; 5000]);
    refused(&part10(EXPLICIT, &[class, oversized].concat()), "longer than 64 characters");
    refused(&explicit(&element(0x0008_0018, "UI", b"2.25.78\0")), "given twice");
}

#[test]
fn c15_big_endian_private_and_jpip_transfer_syntaxes_are_read() {
    let implicit_identity: Vec<u8> = [
        header(0x0008_0016, "", 26, b"1.2.840.10008.5.1.4.1.1.7\0"),
        header(0x0008_0018, "", 8, b"2.25.77\0"),
        header(0x0028_0010, "", 2, &[0, 2]),
    ]
    .concat();
    let attributes = |bytes: &[u8]| taken(bytes).attributes;
    for uid in ["1.2.840.10008.1.2", "1.2.840.113619.5.2"] {
        assert_eq!(attributes(&part10(uid, &implicit_identity)).rows, Some(512), "{uid}");
    }
    let with_rows = [identity(), element(0x0028_0010, "US", &[0, 2])].concat();
    for uid in ["1.2.840.10008.1.2", "1.2.3.4", EXPLICIT] {
        assert_eq!(attributes(&part10(uid, &with_rows)).rows, Some(512), "{uid}");
    }
    let url = "http://169.254.169.254/latest/meta-data";
    for uid in ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.94"] {
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.77", uid);
        object.attributes().put(0x0028_0010, "US", "512").put(0x0028_7fe0, "UR", url).put(0x0018_0050, "DS", "1.5");
        let scanned = taken(&object.to_bytes().unwrap());
        assert_eq!(scanned.attributes.rows, Some(512), "{uid}");
        // C18: kept as text, never fetched.
        assert_eq!(scanned.attributes.pixel_data_provider_url.as_deref(), Some(url));
        assert!(matches!(scanned.pixel_data, PixelData::None));
    }
}

#[test]
fn c16_character_sets_without_end_are_bounded() {
    let set = "ISO 2022 IR 87\\".repeat(60);
    let name = b"\x1b$B\x1b$)C\x1b-A".repeat(100);
    let bytes = [element(0x0008_0005, "CS", set.as_bytes()), element(0x0010_0010, "PN", &name)].concat();
    taken(&explicit(&bytes));
}

#[test]
fn c17_many_elements_are_read_and_too_many_refused() {
    let private = |count: u32| {
        let elements = (0..count).flat_map(|n| element(0x0009_1000 + n % 0xf000, "LO", b"v "));
        explicit(&elements.collect::<Vec<u8>>())
    };
    assert!(taken(&private(200_000)).attributes.listed.len() < 5);
    let limits = ScanLimits { max_elements: 1000, ..ScanLimits::default() };
    assert!(scan(&private(900), &limits).is_ok());
    let error = scan(&private(2000), &limits).unwrap_err();
    assert_eq!(error.family(), Family::LimitExceeded);
}

#[test]
fn kept_attributes_are_bounded() {
    let comment = element(0x0020_4000, "LT", &[b'x'; 1000]);
    let bytes = explicit(&comment.repeat(1000));
    let listed = taken(&bytes).attributes.listed;
    assert!(listed.iter().flat_map(|attribute| &attribute.values).map(String::len).sum::<usize>() < 65_536);
}

#[test]
fn sequences_that_describe_the_object_are_listed_and_others_are_not() {
    let listed = taken(&specimen()).attributes.listed;
    assert!(listed.iter().all(|attribute| attribute.tag != 0x0088_0200), "an icon describes nothing");
    let requests = listed.iter().find(|attribute| attribute.tag == 0x0040_0275).unwrap();
    assert_eq!((requests.vr, requests.items.len(), requests.values.len()), ("SQ", 2, 0));
    let [code] = requests.items[0].as_slice() else { panic!("pixel data is no attribute") };
    assert_eq!((code.tag, &code.values[..]), (0x0008_0100, &["121327".to_owned()][..]));
}

#[test]
fn the_limit_of_fragments_is_kept() {
    let frames = vec![vec![0xff, 0x4f, 0xff, 0x51]; 20];
    let mut object = NewObject::new("1.2.3", "2.25.77", LOSSLESS);
    object.attributes().put(0x0028_0008, "IS", "20");
    let bytes = object.encapsulate(&frames, OffsetTable::Empty, 1).unwrap();
    for (max_fragments, whole) in [(20, true), (19, false)] {
        let limits = ScanLimits { max_fragments, ..ScanLimits::default() };
        assert_eq!(scan(&bytes, &limits).is_ok(), whole);
    }
    let limits = ScanLimits { max_fragments: 20, ..ScanLimits::default() };
    let bytes = object.encapsulate(&frames, OffsetTable::Verbatim(vec![0; 21]), 1).unwrap();
    assert_eq!(scan(&bytes, &limits).unwrap_err().family(), Family::LimitExceeded);
}

#[test]
fn only_zeros_may_follow_the_data_set() {
    taken(&explicit(&[0; 512]));
    refused(&explicit(&[vec![0; 100], vec![1]].concat()), "no element behind the data set");
}

/// Sequences of both kinds, an icon, three frames with a table: a bit of everything.
fn specimen() -> Vec<u8> {
    let mut inner = dicom_bridge::write::NewAttributes::new();
    inner.put(0x0008_0100, "SH", "121327").put(0x7fe0_0010, "OW", "1\\2");
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7.4", "2.25.12345", LOSSLESS);
    object
        .attributes()
        .put(0x0008_0060, "CS", "OT")
        .put(0x0010_0010, "PN", "Synthetic^Specimen")
        .put(0x0020_000d, "UI", "2.25.1")
        .put(0x0020_000e, "UI", "2.25.2")
        .put(0x0028_0008, "IS", "3")
        .put(0x0028_0010, "US", "16")
        .put_sequence(0x0040_0275, vec![inner.clone(), inner.clone()])
        .put_sequence(0x0088_0200, vec![inner]);
    let frames = vec![vec![0xff, 0x4f, 0xff, 0x51, 1, 2, 3, 4]; 3];
    object.encapsulate(&frames, OffsetTable::Basic, 1).unwrap()
}

/// A data set does not say how long it is: cut between two elements it is another, shorter one. Never is one
/// taken that is cut inside an element, nor one whose pixel data have begun.
#[test]
fn a_prefix_is_refused_unless_it_ends_between_elements() {
    let whole = specimen();
    let elements = taken(&whole).attributes.listed.len();
    let pixel_data = whole.windows(6).rposition(|bytes| bytes == b"\xe0\x7f\x10\0OB").unwrap();
    let mut taken_prefixes = 0;
    for len in 0..whole.len() {
        let Ok(scanned) = run(&whole[..len]) else { continue };
        taken_prefixes += 1;
        assert!(len <= pixel_data && matches!(scanned.pixel_data, PixelData::None), "{len} of {}", whole.len());
    }
    // As many as elements behind the SOP Instance UID, the icon that is not listed among them, and the place behind the
    // last.
    assert_eq!(taken_prefixes, elements - 2 + 1 + 1);
}

#[test]
fn no_changed_byte_does_harm() {
    let whole = specimen();
    for at in 0..whole.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, whole[at] ^ 1, whole[at] ^ 0x20] {
            let mut changed = whole.clone();
            changed[at] = value;
            if let Ok(scanned) = run(&changed)
                && let PixelData::Encapsulated { frames, .. } = scanned.pixel_data
            {
                let inside =
                    frames.iter().flat_map(|frame| frame.extents()).all(|extent| extent.end() <= whole.len() as u64);
                assert!(inside, "byte {at} = {value:#x}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_behind_the_file_meta_information_do_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at in 0usize..7,
    ) {
        let uids = ["1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", LOSSLESS, "1.2.3", "1.2.840.10008.1.2.4.205"];
        drop(run(&part10(uids[at], &bytes)));
        drop(run(&part10(uids[at], &[identity(), bytes].concat())));
    }
}
