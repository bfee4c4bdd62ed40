//! Every DICOM file of the test data: scanned as expected, or refused with the expected reason.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dicom_bridge::{PixelData, ScanLimits, is_part10, scan};

/// The folder of the test data; `None`, with a line that says so, where there is none.
fn test_data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("PRECINCT_TESTDATA").map_or_else(|| "../shared/testdata".into(), PathBuf::from);
    let folder = root.join(named);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the test data are missing");
    eprintln!("skipped: no test data at {}", folder.display());
    None
}

/// All files below `folder` that claim to be DICOM or are called so, by their path below `base`.
fn dicom_files(base: &Path, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![base.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            if is_part10(&bytes) || path.extension().is_some_and(|extension| extension == "dcm") {
                found.insert(path.strip_prefix(base).unwrap().to_string_lossy().into_owned(), bytes);
            }
        }
    }
    found
}

/// Files that are refused, and a part of the reason.
const REFUSED: [(&str, &str); 14] = [
    ("real/enet4/pydicom/MR_truncated.dcm", "ends inside the pixel data"),
    ("real/enet4/pydicom/meta_missing_tsyntax.dcm", "TransferSyntaxUID is missing"),
    ("real/enet4/pydicom/nested_priv_SQ.dcm", "SOPInstanceUID is missing"),
    ("real/enet4/pydicom/no_meta.dcm", "not a DICOM Part 10 file"),
    ("real/enet4/pydicom/rtstruct.dcm", "not a DICOM Part 10 file"),
    ("real/pydicom/bad_sequence.dcm", "not a valid UID"),
    ("synthetic/malformed/bot_len_huge.dcm", "ends inside the basic offset table"),
    ("synthetic/malformed/empty.dcm", "not a DICOM Part 10 file"),
    ("synthetic/malformed/fragment_len_4g.dcm", "ends inside a fragment"),
    ("synthetic/malformed/no_sopinstance.dcm", "SOPInstanceUID is missing"),
    ("synthetic/malformed/short.dcm", "ends inside the file meta information"),
    ("synthetic/malformed/trunc_mid_fragment.dcm", "ends inside a fragment"),
    ("synthetic/malformed/trunc_no_seqdelim.dcm", "ends inside an element header"),
    ("synthetic/malformed/uid_traversal.dcm", "not a valid UID"),
];

/// Files whose frames do not agree with what they say about them, and a part of the note.
const NOTED: [(&str, &str); 4] = [
    ("synthetic/malformed/bot_garbage.dcm", "the Basic Offset Table was not used"),
    ("synthetic/malformed/frames_mismatch.dcm", "NumberOfFrames says 5, 3 were found"),
    ("synthetic/malformed/no_soc.dcm", "1 frames do not begin as they should"),
    ("synthetic/malformed/ts_says_raw.dcm", "3 frames do not begin as they should"),
];

#[test]
fn every_file_is_scanned_or_refused_with_its_reason() {
    let Some(base) = test_data() else { return };
    let limits = ScanLimits::default();
    let mut refused = BTreeMap::from(REFUSED);
    let mut noted = BTreeMap::from(NOTED);
    let mut count = 0;
    for (name, bytes) in dicom_files(&base, "real").into_iter().chain(dicom_files(&base, "synthetic")) {
        count += 1;
        match (scan(&bytes, &limits), refused.remove(name.as_str())) {
            (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{name}: {error}"),
            (Err(error), None) => panic!("{name} is refused: {error}"),
            (Ok(_), Some(words)) => panic!("{name} is taken, not refused with {words:?}"),
            (Ok(scanned), None) => {
                let transfer_syntax = &scanned.transfer_syntax;
                assert!(transfer_syntax.is_known(), "{name}");
                match (scanned.pixel_data, noted.remove(name.as_str())) {
                    (PixelData::Encapsulated { frames, notes }, note) => {
                        assert!(transfer_syntax.is_encapsulated() && !frames.is_empty(), "{name}");
                        match note {
                            Some(note) => assert!(notes.iter().any(|line| line.contains(note)), "{name}: {notes:?}"),
                            None => assert_eq!(notes, Vec::<String>::new(), "{name}"),
                        }
                    }
                    (PixelData::Native(_), None) => assert!(!transfer_syntax.is_encapsulated(), "{name}"),
                    (PixelData::None, None) => {}
                    (other, _) => panic!("{name}: {other:?}"),
                }
            }
        }
    }
    assert!(count >= 100, "only {count} files");
    assert!(refused.is_empty() && noted.is_empty(), "absent: {refused:?} {noted:?}");
}

/// An independent reader counted the frames (up to five of each object).
#[test]
fn frames_are_as_many_as_another_reader_found() {
    let Some(base) = test_data() else { return };
    let table = fs::read(base.join("expected_bins.json")).unwrap();
    let table: Vec<serde_json::Value> = serde_json::from_slice(&table).unwrap();
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &table {
        if let (Some(file), Some(frame)) = (row["file"].as_str(), row["frame"].as_u64()) {
            let last = expected.entry(file).or_default();
            *last = frame.max(*last);
        }
    }
    let mut compared = 0;
    for (name, frames) in expected {
        let bytes = fs::read(base.join(name)).unwrap();
        // The other reader stops at what it can find; these three it reads where we refuse the object,
        // and of the one with a broken table it sees one frame where three are.
        let Ok(scanned) = scan(&bytes, &ScanLimits::default()) else {
            assert!(REFUSED.iter().any(|(refused, _)| *refused == name), "{name}");
            continue;
        };
        let PixelData::Encapsulated { frames: found, .. } = scanned.pixel_data else { panic!("{name}") };
        if !name.ends_with("bot_garbage.dcm") {
            assert_eq!(found.len().min(5) as u64, frames, "{name}");
        }
        compared += 1;
    }
    assert!(compared >= 60, "only {compared}");
}

/// Each file cut at a few hundred places: never whole, never slow, never a panic.
#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let Some(base) = test_data() else { return };
    let limits = ScanLimits::default();
    for (name, bytes) in dicom_files(&base, "real") {
        if scan(&bytes, &limits).is_err() {
            continue;
        }
        let step = (bytes.len() / 300).max(1);
        for len in (0..bytes.len()).step_by(step) {
            let Ok(scanned) = scan(&bytes.get(..len).expect("a prefix"), &limits) else { continue };
            // Between two elements nothing tells that more should come, but what identifies it is there.
            assert!(matches!(scanned.pixel_data, PixelData::None), "{name} cut at {len} of {}", bytes.len());
        }
    }
}
