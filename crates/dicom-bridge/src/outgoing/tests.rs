use codestream::testkit::{self, tiny_codestream};
use codestream::{Limits, MainHeader};

use super::*;
use crate::object::scan;
use crate::referenced::NotReferable;
use crate::write::{NewAttributes, NewObject, OffsetTable};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const URL: &str = "http://127.0.0.1:8080/jpip?target=1.2";

fn syntax(last: &str) -> TransferSyntax {
    TransferSyntax::from_uid(&format!("1.2.840.10008.1.2{last}"))
}

/// A codestream whose COD says whether there is a component transform and which wavelet.
fn codestream(components: usize, mct: u8, wavelet: u8) -> Vec<u8> {
    let mut bytes = tiny_codestream().components(components).build();
    let cod = bytes.windows(2).position(|marker| marker == [0xff, 0x52]).unwrap();
    bytes[cod + 8] = mct;
    bytes[cod + 13] = wavelet;
    bytes
}

fn compressed(photometric: &str, frame: Vec<u8>) -> Vec<u8> {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.91");
    object.attributes().put(0x0028_0004, "CS", photometric).put(0x0028_0008, "IS", "2");
    object.encapsulate(&[frame.clone(), frame], OffsetTable::Basic, 1).unwrap()
}

fn referable(file: &[u8]) -> Result<Referable, NotReferable> {
    let scanned = scan(&file, &ScanLimits::default()).unwrap();
    Referable::of_stored(&file, &scanned, &Limits::default())
}

fn data_set(source: &Vec<u8>, form: &OutgoingForm) -> Result<Vec<u8>, ObjectError> {
    let limits = &ScanLimits::default();
    let mut out = Vec::new();
    OutgoingObject { source, form, pixel_data_provider_url: URL, limits }.write_data_set(&mut out)?;
    Ok(out)
}

/// A data set as it stands in a file.
fn data_set_of(file: &[u8]) -> &[u8] {
    let len = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    &file[144 + len..]
}

#[test]
fn the_colour_that_a_codestream_has_is_told_and_what_cannot_be_told_is_refused() {
    let told = |photometric: &str, components, mct, wavelet| {
        referable(&compressed(photometric, codestream(components, mct, wavelet)))
            .map(|referable| referable.photometric_interpretation().as_str())
            .map_err(|error| assert!(matches!(error, NotReferable::Colour), "{error}"))
    };
    assert_eq!(told("MONOCHROME2", 1, 0, 1), Ok("MONOCHROME2"));
    assert_eq!(told("MONOCHROME1", 1, 0, 0), Ok("MONOCHROME1"));
    assert_eq!(told("YBR_RCT", 3, 1, 1), Ok("YBR_RCT"));
    assert_eq!(told("YBR_RCT", 3, 1, 0), Ok("YBR_ICT"));
    assert_eq!(told("RGB", 3, 1, 1), Ok("YBR_RCT"));
    for photometric in ["RGB", "YBR_FULL", "YBR_RCT", "MONOCHROME2"] {
        assert_eq!(told(photometric, 3, 0, 1), Err(()), "{photometric}");
    }
    assert_eq!(told("PALETTE COLOR", 1, 0, 1), Err(()));
    assert_eq!(told("", 1, 0, 1), Err(()));
    assert_eq!(told("RGB", 4, 1, 1), Err(()));
}

#[test]
fn only_codestreams_can_be_referred_to() {
    let native = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", EXPLICIT).to_bytes().unwrap();
    assert!(matches!(referable(&native), Err(NotReferable::NoCodestream)));
    let noise = compressed("MONOCHROME2", vec![0xff; 200_000]);
    assert!(matches!(referable(&noise), Err(NotReferable::Codestream(_) | NotReferable::NoCodestream)));
    let mut wrapped = compressed("MONOCHROME2", testkit::files::jp2_file(&codestream(1, 0, 1)));
    assert!(referable(&wrapped).is_ok());
    let at = wrapped.windows(22).position(|uid| uid == b"1.2.840.10008.1.2.4.91").unwrap();
    wrapped[at + 21] = b'3';
    assert!(matches!(referable(&wrapped), Err(NotReferable::MultiComponent)));
}

#[test]
fn the_stored_form_is_the_first_unless_a_reference_is_preferred() {
    let referable = referable(&compressed("MONOCHROME2", codestream(1, 0, 1))).unwrap();
    let chosen = |stored: &str, referable, prefers_referenced, accepted: &[&str]| {
        let outgoing = Outgoing { stored: &syntax(stored), referable, prefers_referenced };
        let accepted: Vec<_> = accepted.iter().map(|last| syntax(last).uid().to_owned()).collect();
        outgoing.choose(&accepted)
    };
    let as_stored = |last: &str| Ok(OutgoingForm::AsStored(syntax(last)));
    let reencoded = |last: &str| Ok(OutgoingForm::Reencoded(syntax(last)));
    let referenced = |last: &str| Ok(OutgoingForm::Referenced(syntax(last), referable));
    let there = Some(referable);
    assert_eq!(chosen(".4.91", there, false, &[".4.94", ".1", ".4.91"]), as_stored(".4.91"));
    assert_eq!(chosen(".4.91", there, true, &[".4.94", ".1", ".4.91"]), referenced(".4.94"));
    assert_eq!(chosen(".4.91", there, false, &[".4.95", ".4.204"]), referenced(".4.95"));
    assert_eq!(chosen(".4.91", there, false, &[".4.204", ".4.205"]), Err(CannotBe::Referenced));
    assert_eq!(chosen(".4.91", None, true, &[".4.94"]), Err(CannotBe::Referenced));
    assert_eq!(chosen(".4.91", None, true, &[".4.94", ".4.91"]), as_stored(".4.91"));
    assert_eq!(chosen(".4.91", there, false, &[".1", "", ".4.90"]), Err(CannotBe::Transcoded));
    assert_eq!(chosen(".2", None, false, &["", ".1.99", ".1"]), reencoded(".1"));
    assert_eq!(chosen(".1", None, false, &[""]), reencoded(""));
    assert_eq!(chosen(".1.99", None, false, &["", ".1.99"]), as_stored(".1.99"));
    assert_eq!(chosen("", there, false, &[".4.94", ""]), as_stored(""));
    assert_eq!(chosen("", there, false, &[".4.94"]), referenced(".4.94"));
    assert_eq!(chosen(".4.94", None, false, &["", ".1"]), Err(CannotBe::Transcoded));
    assert_eq!(chosen(".4.94", None, false, &[".4.94"]), as_stored(".4.94"));
}

#[test]
fn a_referenced_object_has_a_url_for_its_pixel_data() {
    let mut stored = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.90");
    let mut expected = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.94");
    let frame = codestream(3, 1, 1);
    for (object, photometric) in [(&mut stored, "RGB"), (&mut expected, "YBR_RCT ")] {
        let mut item = NewAttributes::new();
        item.put(0x0028_0004, "CS", "RGB").put_sequence(0x0008_1140, vec![NewAttributes::new()]);
        object.attributes().put(0x0010_0010, "PN", "Ærø^A").put(0x0028_0004, "CS", photometric);
        object.attributes().put(0x0028_0006, "US", "1").put_sequence(0x0040_0275, vec![item]);
        object.attributes().put(0x0029_1001, "OB", "1\\2");
    }
    expected.attributes().put(0x0028_7fe0, "UR", &format!("{URL} "));
    let file = stored.encapsulate(&[frame], OffsetTable::Extended, 1).unwrap();
    let form = |referable: Referable| OutgoingForm::Referenced(syntax(".4.94"), referable);
    let referable = referable(&file).unwrap();
    let sent = data_set(&file, &form(referable)).unwrap();
    assert_eq!(sent, data_set_of(&expected.to_bytes().unwrap()));
    // One that went out before keeps no second URL.
    let again = data_set(&expected.to_bytes().unwrap(), &form(referable)).unwrap();
    assert_eq!(again, sent);
}

#[test]
fn an_object_with_derived_codestreams_is_referred_to_in_explicit_little_endian() {
    let mut stored = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2");
    let mut expected = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.94");
    for (object, photometric, planes) in [(&mut stored, "RGB", "1"), (&mut expected, "YBR_RCT ", "0")] {
        object.attributes().put(0x0028_0002, "US", "3").put(0x0028_0004, "CS", photometric);
        object.attributes().put(0x0028_0006, "US", planes).put(0x0028_0010, "US", "16");
    }
    stored.attributes().put(0x7fe0_0010, "OW", "1\\2\\3");
    expected.attributes().put(0x0028_7fe0, "UR", &format!("{URL} "));
    let (header, _) = MainHeader::parse(&codestream(3, 1, 1), &Limits::default()).unwrap();
    let form = OutgoingForm::Referenced(syntax(".4.94"), Referable::of_derived(Some("RGB"), &header).unwrap());
    let sent = data_set(&stored.to_bytes().unwrap(), &form).unwrap();
    assert_eq!(sent, data_set_of(&expected.to_bytes().unwrap()));
}

/// An explicit data set of these elements after a File Meta Information, without any of dicom-rs.
fn by_hand(elements: &[&[u8]]) -> Vec<u8> {
    let mut file = file_head("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.91").unwrap();
    elements.iter().for_each(|element| file.extend_from_slice(element));
    file
}

#[test]
fn an_icon_stays_unless_it_is_encapsulated() {
    const ITEM: &[u8] = b"\xfe\xff\x00\xe0\xff\xff\xff\xff";
    const ITEM_END: &[u8] = b"\xfe\xff\x0d\xe0\0\0\0\0";
    const END: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";
    let icon = |pixel_data: &[u8]| [b"\x88\0\0\x02SQ\0\0\xff\xff\xff\xff", ITEM, pixel_data, ITEM_END, END].concat();
    let native = icon(b"\xe0\x7f\x10\0OB\0\0\x02\0\0\0\x01\x02");
    let encapsulated =
        icon(&[b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" as &[u8], b"\xfe\xff\0\xe0\0\0\0\0", END].concat());
    let (first, last) = (b"\x08\0\x16\0UI\x02\x001\0" as &[u8], b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0" as &[u8]);
    let group_length = b"\x28\0\0\0UL\x04\0\x01\0\0\0";
    let new =
        [b"\x28\0\x04\0CS\x0c\0MONOCHROME2 \x28\0\xe0\x7fUR\0\0\x26\0\0\0" as &[u8], URL.as_bytes(), b" "].concat();
    let (header, _) = MainHeader::parse(&codestream(1, 0, 1), &Limits::default()).unwrap();
    let referable = Referable::of_derived(Some("MONOCHROME2"), &header).unwrap();
    let form = OutgoingForm::Referenced(syntax(".4.94"), referable);
    for (icon, stays) in [(native, true), (encapsulated, false)] {
        let file = by_hand(&[first, group_length, &icon, b"\xe0\x7f\x10\0OB\0\0\x02\0\0\0\x01\x02", last, &[0; 64]]);
        let kept: &[u8] = if stays { &icon } else { b"" };
        assert_eq!(data_set(&file, &form).unwrap(), [first, new.as_slice(), kept, last].concat(), "{stays}");
    }
}

#[test]
fn values_keep_their_sign_and_long_ones_lose_their_vr() {
    let mut icon = NewAttributes::new();
    icon.put(0x0028_0103, "US", "0").put(0x0028_0106, "US", "7");
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", "2.25.1", "1.2.840.10008.1.2");
    object.attributes().put(0x0018_0010, "LO", &"x".repeat(70_000)).put(0x0028_0103, "US", "1");
    object.attributes().put(0x0028_0106, "SS", "-5").put_sequence(0x0088_0200, vec![icon]);
    object.attributes().put(0x0040_9211, "SS", "-7");
    let sent = data_set(&object.to_bytes().unwrap(), &OutgoingForm::Reencoded(syntax(".1"))).unwrap();
    let stands = |bytes: &[u8]| sent.windows(bytes.len()).any(|window| window == bytes);
    assert!(stands(b"\x18\0\x10\0UN\0\0\x70\x11\x01\0xxx"));
    assert!(stands(b"\x28\0\x06\x01SS\x02\0\xfb\xff"));
    assert!(stands(b"\x28\0\x06\x01US\x02\0\x07\0"));
    assert!(stands(b"\x40\0\x11\x92SS\x02\0\xf9\xff"));
}

#[test]
fn a_data_set_that_is_not_written_as_its_file_says_is_written_as_it_says() {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", "2.25.1", EXPLICIT);
    object.attributes().put(0x0010_0010, "PN", "A^B");
    let mut file = file_head("1.2.840.10008.5.1.4.1.1.2", "2.25.1", "1.2.840.10008.1.2").unwrap();
    file.extend_from_slice(data_set_of(&object.to_bytes().unwrap()));
    let mut out = Vec::new();
    let form = &OutgoingForm::AsStored(syntax(""));
    let limits = &ScanLimits::default();
    let going = OutgoingObject { source: &file, form, pixel_data_provider_url: URL, limits };
    going.write_file("1.2.840.10008.5.1.4.1.1.2", "2.25.1", &mut out).unwrap();
    assert!(data_set_of(&out).starts_with(b"\x08\0\x05\0\x0a\0\0\0ISO_IR 192\x08\0\x16\0"));
}

#[test]
fn what_is_cut_or_broken_on_disk_is_an_error_and_no_harm() {
    let file = compressed("MONOCHROME2", codestream(1, 0, 1));
    let forms = [
        OutgoingForm::Referenced(syntax(".4.95"), referable(&file).unwrap()),
        OutgoingForm::Reencoded(syntax("")),
        OutgoingForm::AsStored(syntax(".4.91")),
    ];
    for form in &forms {
        for len in (0..file.len()).step_by(37) {
            let _whatever = data_set(&file[..len].to_vec(), form);
        }
        for at in (132..file.len()).step_by(5) {
            let mut broken = file.clone();
            broken[at] ^= 0xff;
            let _whatever = data_set(&broken, form);
        }
    }
    assert!(matches!(data_set(&file, &forms[1]), Err(ObjectError::Malformed { .. })));
    let cut = file[..file.len() - 20].to_vec();
    assert!(matches!(data_set(&cut, &forms[0]), Err(ObjectError::Truncated { .. })));
}
