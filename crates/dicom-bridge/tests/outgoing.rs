//! The forms in which stored objects go out, over every DICOM file of the test data.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use codestream::Limits;
use dicom_bridge::model::{ModelForm, write_model};
use dicom_bridge::outgoing::{OutgoingForm, OutgoingObject};
use dicom_bridge::referenced::{NotReferable, Referable};
use dicom_bridge::{PixelData, ScanLimits, ScannedObject, TransferSyntax, scan};
use serde_json::Value;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const URL: &str = "http://127.0.0.1:8080/jpip?target=2.25.1";

fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("PRECINCT_TESTDATA").map_or_else(|| "../shared/testdata".into(), PathBuf::from);
    let base = root.join(named);
    let (mut files, mut folders) = (Vec::new(), vec![base.clone()]);
    if !base.is_dir() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the test data are missing");
        eprintln!("skipped: no test data at {}", base.display());
        return files;
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dcm") {
                files.push((path.strip_prefix(&base).unwrap().display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    files
}

/// The object as a file in this form.
fn sent(bytes: &Vec<u8>, scanned: &ScannedObject, form: &OutgoingForm) -> Vec<u8> {
    let (limits, attributes) = (ScanLimits::default(), &scanned.attributes);
    let object = OutgoingObject { source: bytes, form, pixel_data_provider_url: URL, limits: &limits };
    let mut out = Vec::new();
    object.write_file(&attributes.sop_class_uid, &attributes.sop_instance_uid, &mut out).unwrap();
    let data_set = data_set(bytes, form);
    assert!(out.ends_with(&data_set) && data_set.len() + 132 < out.len());
    out
}

fn data_set(source: &Vec<u8>, form: &OutgoingForm) -> Vec<u8> {
    let (limits, mut out) = (&ScanLimits::default(), Vec::new());
    OutgoingObject { source, form, pixel_data_provider_url: URL, limits }.write_data_set(&mut out).unwrap();
    out
}

/// The object as JSON; it can be said in XML, too.
fn json_of(bytes: &[u8]) -> Value {
    let [json, xml] = [ModelForm::Json, ModelForm::Xml].map(|form| {
        let mut out = Vec::new();
        write_model(&bytes, &ScanLimits::default(), form, "/b/", &mut out).unwrap();
        out
    });
    assert!(xml.ends_with(b"</NativeDicomModel>\n"));
    serde_json::from_slice(&json).unwrap()
}

fn native_pixels(bytes: &[u8], range: &Range<u64>) -> Option<Vec<u8>> {
    let limits = ScanLimits::default();
    let PixelData::Native(value) = scan(&bytes, &limits).unwrap().pixel_data else { return None };
    let mut pixels = Vec::new();
    let keep = &mut |piece: &[u8]| {
        pixels.extend_from_slice(piece);
        Ok(())
    };
    value.copy(&bytes, &limits, range, keep).unwrap();
    Some(pixels)
}

fn data_set_of(file: &[u8]) -> &[u8] {
    assert_eq!(&file[128..132], b"DICM");
    let group = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    &file[144 + group..]
}

/// Without VRs private and unknown ones are lost, and what sequences hold of them.
fn check_values(name: &str, before: &Value, after: &Value) {
    let (before, after) = (before.as_object().unwrap(), after.as_object().unwrap());
    assert!(before.keys().eq(after.keys()), "{name}");
    for (tag, element) in before {
        let same_kind = element["vr"] == after[tag]["vr"] && element["vr"] != "SQ";
        assert!(!same_kind || element == &after[tag], "{name}: {tag}: {element} became {}", after[tag]);
    }
}

/// What is written in another native encoding has the same attributes and the same pixel values.
#[test]
fn native_objects_written_anew_are_the_same_objects() {
    let mut anew = 0;
    for (name, bytes) in corpus() {
        let Ok(scanned) = scan(&bytes, &ScanLimits::default()) else { continue };
        if !matches!(scanned.pixel_data, PixelData::Native(_) | PixelData::None) {
            continue;
        }
        let (json, pixels) = (json_of(&bytes), native_pixels(&bytes, &(0..u64::MAX)));
        // A part that begins and ends inside numbers.
        if let Some(pixels) = &pixels {
            let range = 3..pixels.len().min(200_001);
            let part = native_pixels(&bytes, &(3..range.end as u64)).unwrap();
            assert!(part == pixels[range], "{name}: another part");
        }
        for uid in [EXPLICIT, IMPLICIT, DEFLATED] {
            let form = OutgoingForm::Reencoded(TransferSyntax::from_uid(uid));
            let out = sent(&bytes, &scanned, &form);
            let again = scan(&out, &ScanLimits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(again.transfer_syntax.uid(), uid, "{name}");
            match uid {
                IMPLICIT => check_values(&name, &json, &json_of(&out)),
                _ => assert!(json_of(&out) == json, "{name} in {uid}"),
            }
            assert!(native_pixels(&out, &(0..u64::MAX)) == pixels, "{name} in {uid}: other pixel data");
        }
        anew += 1;
    }
    assert!(anew > 20 || corpus().is_empty(), "{anew} objects");
}

/// Every piece of the stored data set between the elements that differ stands in the other one as it is.
fn check_pieces(name: &str, stored: &[u8], sent: &[u8]) {
    let find = |within: &[u8], what: &[u8]| within.windows(what.len()).position(|bytes| bytes == what);
    let photometric = b"\x28\0\x04\0CS";
    let after = |data_set: &[u8]| {
        let at = find(data_set, photometric).unwrap();
        at + 8 + usize::from(u16::from_le_bytes(data_set[at + 6..at + 8].try_into().unwrap()))
    };
    let (at, url) = (find(stored, photometric).unwrap(), find(sent, b"\x28\0\xe0\x7fUR").unwrap());
    let head: &[u8] = &stored[..at];
    // The length of the group is not what it was.
    if let Some(group) = find(head, b"\x28\0\0\0UL") {
        assert_eq!(head[..group], sent[..group], "{name}");
    } else {
        assert_eq!(head, &sent[..at], "{name}");
    }
    let middle = &sent[after(sent)..url];
    assert!(stored[after(stored)..].starts_with(middle), "{name}");
    let tail = &sent[url + 12 + URL.len().next_multiple_of(2)..];
    let stored = &stored[after(stored) + middle.len()..];
    let before_pixel_data = stored.iter().zip(tail).take_while(|(a, b)| a == b).count();
    assert!(stored.ends_with(&tail[before_pixel_data..]), "{name}");
}

/// A JPIP Referenced object is the stored data set, byte for byte, but for three elements.
#[test]
fn referenced_objects_differ_from_stored_ones_in_what_must_differ() {
    let (mut referred, mut refused) = (0, 0);
    for (name, bytes) in corpus() {
        let Ok(scanned) = scan(&bytes, &ScanLimits::default()) else { continue };
        let referable = match Referable::of_stored(&bytes, &scanned, &Limits::default()) {
            Ok(referable) => referable,
            Err(NotReferable::NoCodestream) => continue,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let [plain, deflated] = referable.transfer_syntaxes();
        let out = sent(&bytes, &scanned, &OutgoingForm::Referenced(plain.clone(), referable));
        let again = scan(&out, &ScanLimits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.transfer_syntax, plain, "{name}");
        assert!(matches!(again.pixel_data, PixelData::None), "{name}");
        assert_eq!(again.attributes.pixel_data_provider_url.as_deref(), Some(URL), "{name}");
        let (mut before, mut after) = (json_of(&bytes), json_of(&out));
        let photometric = after["00280004"]["Value"][0].as_str().unwrap().to_owned();
        assert_eq!(photometric, referable.photometric_interpretation().as_str(), "{name}");
        for json in [&mut before, &mut after] {
            json.as_object_mut()
                .unwrap()
                .retain(|tag, _| !tag.starts_with("7FE0") && !["00280004", "00287FE0"].contains(&tag.as_str()));
        }
        assert!(before == after, "{name}");
        let sent_set = data_set_of(&out);
        let stored = data_set(&bytes, &OutgoingForm::AsStored(scanned.transfer_syntax.clone()));
        assert!(bytes.ends_with(&stored), "{name}");
        check_pieces(&name, &stored, sent_set);

        let small = sent(&bytes, &scanned, &OutgoingForm::Referenced(deflated, referable));
        assert!(data_set_of(&small).len().is_multiple_of(2), "{name}");
        let mut inflated = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(data_set_of(&small)), &mut inflated).unwrap();
        assert!(inflated == sent_set, "{name}: the deflated form is another one");
        referred += 1;
    }
    assert!((referred > 20 && refused > 0) || corpus().is_empty(), "{referred} referred to, {refused} refused");
}
