//! Objects whose pixel data is not JPEG 2000: asked for by JPIP like any other, every sample as pydicom reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dicom_bridge::write::NewObject;
use openjpeg::{DecodeParameters, decode};
use serde_json::Value;

use crate::house::{Answer, House, run};

/// Each transfer syntax, photometric interpretation and depth that real files here have.
const REAL: [&str; 19] = [
    "enet4/pydicom/CT_small.dcm",
    "enet4/pydicom/ExplVR_BigEnd.dcm",
    "enet4/pydicom/rtdose.dcm",
    "enet4/WG04/JPLL/CT1_JPLL",
    "enet4/WG04/JLSL/CT1_JLSL",
    "enet4/WG04/JLSN/CT1_JLSN",
    "enet4/WG04/RLE/CT1_RLE",
    "dparser/encapsulated/multi-frame/CT0012.not_fragmented_bot_rle.dcm",
    "dparser/encapsulated/multi-frame/CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
    "highdicom/sm_image.dcm",
    "highdicom/sm_image_grayscale.dcm",
    "highdicom/seg_image_ct_binary.dcm",
    "highdicom/seg_image_ct_binary_fractional.dcm",
    "orthanc/Encodings/Lena-latin1.dcm",
    "pydicom/MR-SIEMENS-DICOM-WithOverlays.dcm",
    "pydicom/OBXXXX1A_rle_2frame.dcm",
    "pydicom/color-pl.dcm",
    "pydicom/gdcm-US-ALOKA-16.dcm",
    "pydicom/liver_deflate.dcm",
];

/// DCMTK's encoders, on a colour image with planes and on a grey one of 12 bits.
const CODED: [(&str, &[&str], &str); 12] = [
    ("dcmcjpeg", &["+eb", "+s4"], "pydicom/color-pl.dcm"),
    ("dcmcjpeg", &["+eb", "+s2"], "pydicom/color-pl.dcm"),
    ("dcmcjpeg", &["+eb", "+n1"], "pydicom/color-pl.dcm"),
    ("dcmcjpeg", &["+eb", "+cr"], "pydicom/color-pl.dcm"),
    ("dcmcjpeg", &["+el", "+sv", "4"], "pydicom/MR-SIEMENS-DICOM-WithOverlays.dcm"),
    ("dcmcjpeg", &["+el", "+sv", "7"], "pydicom/color-pl.dcm"),
    ("dcmcjpeg", &["+e1"], "enet4/pydicom/CT_small.dcm"),
    ("dcmcjpls", &["+el", "+il"], "pydicom/color-pl.dcm"),
    ("dcmcjpls", &["+el", "+is"], "pydicom/color-pl.dcm"),
    ("dcmcjpls", &["+en", "+md", "3"], "pydicom/color-pl.dcm"),
    ("dcmcrle", &[], "pydicom/color-pl.dcm"),
    ("dcmconv", &["+td"], "enet4/pydicom/CT_small.dcm"),
];

fn real(name: &str) -> PathBuf {
    let data = std::env::var("PRECINCT_TESTDATA").unwrap_or_else(|_| "../shared/testdata".to_owned());
    let data = Path::new(&data);
    let data = if data.is_absolute() {
        data.to_owned()
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(data)
    };
    data.join("real").join(name)
}

/// Frames, components, rows and columns, and all samples in that order.
fn pixels(file: &Path, folder: &Path) -> ([usize; 4], Vec<i32>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = folder.join("pixels");
    let done = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("conformance/pixels.py"))
        .args([file, &out])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&done.stderr));
    let shape: Vec<usize> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let samples = fs::read(out).unwrap();
    let samples = samples.chunks_exact(4).map(|sample| i32::from_le_bytes(sample.try_into().unwrap())).collect();
    (shape.try_into().unwrap(), samples)
}

fn instance(house: &House, uid: &str) -> Value {
    house.get(&format!("/api/v1/instances/{uid}")).json()
}

/// Imports an object without asking for it, and waits until its work is done.
fn take(house: &House, bytes: &[u8]) -> Value {
    let answer = house.post("/api/v1/import?name=x", bytes);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let uid = answer.json()["sop_instance_uid"].as_str().unwrap().to_owned();
    house.wait_until("an end of the job", |house| instance(house, &uid)["state"] != "stored");
    instance(house, &uid)
}

/// Compares what `precinct fetch` gets of the object, decoded, with what pydicom reads in the file.
fn compare(house: &House, file: &Path) {
    let bytes = fs::read(file).unwrap();
    let item = take(house, &bytes);
    assert_eq!(item["state"], "indexed", "{}: {item}", file.display());
    let uid = item["sop_instance_uid"].as_str().unwrap();
    let ([frames, components, rows, columns], samples) = pixels(file, house.folder());
    assert_eq!((&item["rows"], &item["columns"]), (&rows.into(), &columns.into()));
    let out = house.folder().join("x.j2k");
    for frame in 1..=frames.min(3) {
        let url = format!("{}/jpip?target={uid}", house.url());
        let done = run(&["fetch", &url, "--stream", &frame.to_string(), "-o", out.to_str().unwrap()]);
        assert!(done.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&done.stderr));
        let image = decode(&fs::read(&out).unwrap(), &DecodeParameters::default()).unwrap();
        assert_eq!(image.components.len(), components, "{}", file.display());
        for (number, component) in image.components.iter().enumerate() {
            let from = ((frame - 1) * components + number) * rows * columns;
            let expected = &samples[from..from + rows * columns];
            assert!(component.samples == expected, "{}: frame {frame}, component {number}", file.display());
        }
    }
    let original = house.get(&format!("/api/v1/instances/{uid}/file"));
    assert!(original.status == 200 && original.body == bytes, "{}: the instance is as it was", file.display());
}

#[test]
fn every_kind_of_pixel_data_becomes_interactive_bit_for_bit() {
    let house = House::open();
    for name in REAL {
        compare(&house, &real(name));
    }
    let jobs = house.get("/api/v1/jobs").json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 0, "{jobs}");
}

#[test]
fn what_other_encoders_write_becomes_interactive_bit_for_bit() {
    for (number, (program, options, from)) in CODED.into_iter().enumerate() {
        // Each has the UID of its source.
        let house = House::open_with(if number % 2 == 0 { &[] } else { &["--derive", "j2k"] });
        let coded = house.folder().join("coded.dcm");
        let done = Command::new(program).args(options).args([&real(from), &coded]).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        compare(&house, &coded);
    }
}

#[test]
fn a_jpeg_frame_of_12_bits_is_what_the_independent_jpeg_group_makes_of_it() {
    let house = House::open();
    let at = |name: &str| house.folder().join(name);
    let source = real("pydicom/MR-SIEMENS-DICOM-WithOverlays.dcm");
    assert!(Command::new("dcmcjpeg").arg("+ee").args([&source, &at("coded.dcm")]).status().unwrap().success());
    assert!(Command::new("dcmdjpeg").args([&at("coded.dcm"), &at("native.dcm")]).status().unwrap().success());
    let item = take(&house, &fs::read(at("coded.dcm")).unwrap());
    let (_, samples) = pixels(&at("native.dcm"), house.folder());
    let url = format!("{}/jpip?target={}", house.url(), item["sop_instance_uid"].as_str().unwrap());
    let out = at("x.j2k");
    assert!(run(&["fetch", &url, "-o", out.to_str().unwrap()]).status.success());
    let image = decode(&fs::read(&out).unwrap(), &DecodeParameters::default()).unwrap();
    assert!(image.components[0].samples == samples);
}

/// A native image of noise, large enough that encoding it takes a while.
fn large(uid: &str, side: u16) -> Vec<u8> {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", uid, "1.2.840.10008.1.2.1");
    let side = side.to_string();
    for (tag, number) in [
        (0x0028_0002, "1"),
        (0x0028_0010, &side),
        (0x0028_0011, &side),
        (0x0028_0100, "16"),
        (0x0028_0101, "16"),
        (0x0028_0102, "15"),
        (0x0028_0103, "0"),
    ] {
        object.attributes().put(tag, "US", number);
    }
    object.attributes().put(0x0028_0004, "CS", "MONOCHROME2");
    let mut file = object.to_bytes().unwrap();
    let side = side.parse::<usize>().unwrap();
    let mut state = 1u32;
    file.extend(b"\xe0\x7f\x10\0OW\0\0");
    file.extend(((side * side * 2) as u32).to_le_bytes());
    for _ in 0..side * side {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        file.extend(((state >> 16) as u16).to_le_bytes());
    }
    file
}

/// The process that works apart for this server.
fn apart_of(house: &House) -> Option<String> {
    let children = Command::new("pgrep").args(["-P", &house.pid().to_string()]).output().unwrap();
    String::from_utf8_lossy(&children.stdout).lines().next().map(str::to_owned)
}

#[test]
fn a_process_that_is_killed_costs_its_job_which_can_be_run_again() {
    let mut house = House::open();
    let answer = house.post("/api/v1/import?name=x", &large("2.25.77", 2500));
    assert_eq!(answer.status, 201, "{}", answer.text());
    house.wait_until("a process apart", |house| apart_of(house).is_some());
    let running = house.get("/api/v1/jobs?state=running").json();
    assert_eq!((&running["items"][0]["kind"], &running["items"][0]["target"]), (&"derive".into(), &"2.25.77".into()));
    assert_eq!(instance(&house, "2.25.77")["state"], "stored");
    assert!(Command::new("kill").args(["-9", &apart_of(&house).unwrap()]).status().unwrap().success());
    house.wait_until("the failure", |house| instance(house, "2.25.77")["state"] == "unservable");
    let reason = instance(&house, "2.25.77")["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("failed: ") && reason.contains("signal 9"), "{reason}");
    assert!(house.is_alive());
    take(&house, &large("2.25.78", 64));

    let failed = house.get("/api/v1/jobs?state=failed").json();
    let job = &failed["items"][0];
    assert_eq!((&job["state"], &job["target"]), (&"failed".into(), &"2.25.77".into()));
    assert_eq!(job["reason"].as_str(), Some(reason.as_str()));
    assert!(house.get("/metrics").text().contains("precinct_jobs_failed 1"));
    let retry = format!("/api/v1/jobs/{}/retry", job["id"]);
    let Answer { status, .. } = house.post(&retry, b"");
    assert_eq!(status, 202);
    house.wait_until("the second try", |house| instance(house, "2.25.77")["state"] == "indexed");
    assert_eq!(house.post(&retry, b"").status, 404, "it is done and gone");
    assert_eq!(house.post("/api/v1/jobs/all/retry", b"").status, 404);
    assert_eq!(house.get("/api/v1/jobs?state=lost").status, 400);
    assert_eq!(house.get("/api/v1/jobs").json()["items"].as_array().unwrap().len(), 0);
}

#[test]
fn a_frame_that_would_fill_all_memory_is_refused_in_words() {
    let mut house = House::open();
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.5", "1.2.840.10008.1.2.5");
    for (tag, number) in [
        (0x0028_0002, "1"),
        (0x0028_0010, "65535"),
        (0x0028_0011, "65535"),
        (0x0028_0100, "16"),
        (0x0028_0101, "16"),
        (0x0028_0102, "15"),
        (0x0028_0103, "0"),
    ] {
        object.attributes().put(tag, "US", number);
    }
    object.attributes().put(0x0028_0004, "CS", "MONOCHROME2");
    let frame = [&[2u8, 0, 0, 0, 64, 0, 0, 0, 65, 0, 0, 0][..], &[0; 52], &[0x81, 0, 0x81, 0]].concat();
    let bomb = object.encapsulate(&[frame], dicom_bridge::write::OffsetTable::Empty, 1).unwrap();
    let item = take(&house, &bomb);
    let reason = item["reason"].as_str().unwrap();
    assert!(reason.starts_with("unsupported: samples: 4294836225 is more than"), "{reason}");
    assert!(house.is_alive());
}

#[test]
fn what_is_off_is_made_good_when_it_is_on_and_what_no_decoder_takes_says_so() {
    let house = House::open_with(&["--derive", "off"]);
    let file = real("enet4/pydicom/CT_small.dcm");
    let item = take(&house, &fs::read(&file).unwrap());
    assert!(item["reason"].as_str().unwrap().starts_with("not-jpeg2000: "), "{item}");
    let uid = item["sop_instance_uid"].as_str().unwrap().to_owned();
    let house = House::open_in(house.kill(), &[]);
    house.wait_until("an index", |house| instance(house, &uid)["state"] == "indexed");
    let tid = instance(&house, &uid)["tid"].clone();
    assert!(tid.is_string());

    let mut film = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.6", "1.2.840.10008.1.2.4.102");
    film.attributes().put(0x0028_0010, "US", "8").put(0x0028_0011, "US", "8");
    let film = film.encapsulate(&[vec![0; 8]], dicom_bridge::write::OffsetTable::Empty, 1).unwrap();
    let reason = take(&house, &film)["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("unsupported: MPEG-4"), "{reason}");

    // A restart changes nothing, and nothing in the store is without a name.
    let house = House::open_in(house.kill(), &[]);
    assert_eq!(instance(&house, &uid)["tid"], tid);
    let data = house.data();
    let folder = house.kill();
    let checked = run(&["fsck", "--data", data.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    drop(folder);
}
