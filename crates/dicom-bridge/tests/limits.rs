//! Each field of [`ScanLimits`]: what just fits is taken, one more gets the documented answer.
#![expect(clippy::unwrap_used, reason = "a test")]

use codestream::Family;
use dicom_bridge::write::{NewAttributes, NewObject, OffsetTable};
use dicom_bridge::{ScanLimits, scan};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const LOSSLESS: &str = "1.2.840.10008.1.2.4.90";

/// The character set and two identifiers, of 10, 6 and 8 bytes, nothing else.
fn object(transfer_syntax: &str) -> NewObject {
    NewObject::new("1.2.3", "2.25.77", transfer_syntax)
}

/// Bytes of the File Meta Information, as its group length says.
fn meta_len(bytes: &[u8]) -> u64 {
    12 + u64::from(u32::from_le_bytes(bytes.get(140..144).unwrap().try_into().unwrap()))
}

/// Checks that `most` is enough and one less is refused.
#[track_caller]
fn check(bytes: &[u8], most: u64, limits: impl Fn(u64) -> ScanLimits) {
    scan(&bytes.to_vec(), &limits(most)).unwrap();
    let error = scan(&bytes.to_vec(), &limits(most - 1)).unwrap_err();
    assert_eq!(error.family(), Family::LimitExceeded, "{error}");
}

fn is_listed(bytes: &[u8], limits: &ScanLimits) -> bool {
    scan(&bytes.to_vec(), limits).unwrap().attributes.listed.iter().any(|found| found.values == ["x".repeat(100)])
}

#[test]
fn max_elements_is_kept() {
    let mut object = object(EXPLICIT);
    object.attributes().put(0x0010_0010, "PN", "A").put(0x0028_0010, "US", "16");
    check(&object.to_bytes().unwrap(), 5, |max_elements| ScanLimits { max_elements, ..ScanLimits::default() });
}

#[test]
fn max_depth_is_kept() {
    let mut inner = NewAttributes::new();
    inner.put(0x0008_0100, "SH", "1");
    let mut outer = NewAttributes::new();
    outer.put_sequence(0x0040_0275, vec![inner]);
    let mut object = object(EXPLICIT);
    object.attributes().put_sequence(0x0040_0275, vec![outer]);
    let limits = |most| ScanLimits { max_depth: usize::try_from(most).unwrap(), ..ScanLimits::default() };
    check(&object.to_bytes().unwrap(), 4, limits);
}

#[test]
fn max_fragments_is_kept() {
    let limits = |max_fragments| ScanLimits { max_fragments, ..ScanLimits::default() };
    let mut object = object(LOSSLESS);
    object.attributes().put(0x0028_0008, "IS", "5");
    let frames = vec![vec![0xff, 0x4f, 0xff, 0x51]; 5];
    check(&object.encapsulate(&frames, OffsetTable::Empty, 1).unwrap(), 5, limits);
    check(&object.encapsulate(&frames, OffsetTable::Verbatim(vec![0; 9]), 1).unwrap(), 9, limits);
}

#[test]
fn max_meta_bytes_is_kept() {
    let bytes = object(EXPLICIT).to_bytes().unwrap();
    check(&bytes, meta_len(&bytes), |max_meta_bytes| ScanLimits { max_meta_bytes, ..ScanLimits::default() });
}

#[test]
fn max_value_bytes_is_kept() {
    let mut object = object(EXPLICIT);
    object.attributes().put(0x0020_4000, "LT", &"x".repeat(100));
    let bytes = object.to_bytes().unwrap();
    assert!(is_listed(&bytes, &ScanLimits { max_value_bytes: 100, ..ScanLimits::default() }));
    assert!(!is_listed(&bytes, &ScanLimits { max_value_bytes: 99, ..ScanLimits::default() }));
}

#[test]
fn max_attribute_bytes_is_kept() {
    let mut object = object(EXPLICIT);
    object.attributes().put(0x0020_4000, "LT", &"x".repeat(100));
    let bytes = object.to_bytes().unwrap();
    // The character set and the identifiers come first; each value costs 16 bytes more.
    let room = 10 + 16 + 6 + 16 + 8 + 16 + 100;
    assert!(is_listed(&bytes, &ScanLimits { max_attribute_bytes: room, ..ScanLimits::default() }));
    assert!(!is_listed(&bytes, &ScanLimits { max_attribute_bytes: room - 1, ..ScanLimits::default() }));
}

#[test]
fn max_sequence_bytes_is_kept() {
    let mut inner = NewAttributes::new();
    inner.put(0x0008_0104, "LO", "twelve bytes");
    let mut object = object(EXPLICIT);
    object.attributes().put_sequence(0x0040_0275, vec![inner]).put(0x0020_4000, "LT", &"x".repeat(100));
    let bytes = object.to_bytes().unwrap();
    // Sequence, item and value cost 16 bytes each beside the value itself.
    for (max_sequence_bytes, is_kept) in [(16 + 16 + 16 + 12, true), (16 + 16 + 16 + 11, false)] {
        let limits = ScanLimits { max_sequence_bytes, ..ScanLimits::default() };
        let listed = scan(&bytes.clone(), &limits).unwrap().attributes.listed;
        assert_eq!(listed.iter().any(|attribute| attribute.tag == 0x0040_0275), is_kept);
        assert!(is_listed(&bytes, &limits), "what comes after is kept all the same");
    }
}

#[test]
fn max_inflated_bytes_is_kept() {
    let plain = object(EXPLICIT).to_bytes().unwrap();
    let len = plain.len() as u64 - 132 - meta_len(&plain);
    let limits = |max_inflated_bytes| ScanLimits { max_inflated_bytes, ..ScanLimits::default() };
    check(&object(DEFLATED).to_bytes().unwrap(), len, limits);
}

#[test]
fn max_inflate_ratio_is_kept() {
    let scanned = |len: usize, max_inflate_ratio| {
        let mut object = object(DEFLATED);
        object.attributes().put(0x0020_4000, "UT", &"x".repeat(len));
        scan(&object.to_bytes().unwrap(), &ScanLimits { max_inflate_ratio, ..ScanLimits::default() })
    };
    assert!(scanned(15 << 20, 1).is_ok(), "not counted yet");
    assert!(scanned(17 << 20, 1100).is_ok(), "deflate cannot do better than 1032");
    assert_eq!(scanned(17 << 20, 20).unwrap_err().family(), Family::LimitExceeded);
}
