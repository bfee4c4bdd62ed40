//! JPT-streams from the outside: tiles of real files against an independent computation of them, and the pictures that
//! `precinct fetch --jpt` makes of them against OpenJPEG's of the originals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openjpeg::{Component, DecodeParameters, EncodeParameters, Image, Progression, decode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::house::{House, channel_of, run};
use crate::pictures;
use crate::stream::{Cache, EXTENDED_TILE, MAIN_HEADER, METADATA, PRECINCT, TILE};

/// The test data, which are outside of the repository; without them the test says so, and fails in CI.
pub(crate) fn test_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata");
    let root = std::env::var_os("PRECINCT_TESTDATA").map_or(beside, PathBuf::from);
    if root.join("expected_bins.json").exists() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "no test data at {}", root.display());
    println!("skipped: no test data at {}", root.display());
    None
}

/// OpenJPIP's recommended layout: RPCL, tiles of 640 × 480, one tile-part for each resolution level.
fn recommended(width: u32, height: u32) -> Vec<u8> {
    let mut noise = 5u32;
    let mut component = |slope: u32| {
        let mut samples = Vec::new();
        for y in 0..height {
            for x in 0..width {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                samples.push(((x * slope / 8 + y / 3 + (noise >> 29)) % 256) as i32);
            }
        }
        Component { width, height, dx: 1, dy: 1, precision: 8, signed: false, samples }
    };
    let image = Image { width, height, x0: 0, y0: 0, components: vec![component(1), component(2), component(3)] };
    let parameters = EncodeParameters {
        progression: Progression::Rpcl,
        tiles: Some((640, 480)),
        tile_part_per_resolution: true,
        mct: true,
        threads: 2,
        ..EncodeParameters::default()
    };
    openjpeg::encode(&image, &parameters).unwrap()
}

#[test]
fn real_files_come_as_the_tiles_of_an_independent_computation() {
    let Some(root) = test_data() else { return };
    let text = std::fs::read_to_string(root.join("expected_bins.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let house = House::open_with(&["--virtual-precincts", "off"]);
    let (mut targets, mut failures) = (BTreeMap::<String, Option<String>>::new(), Vec::new());
    // The synthetic ones share a UID.
    let real = |entry: &&Value| entry["file"].as_str().is_some_and(|file| file.starts_with("real/"));
    for (number, entry) in all.iter().filter(real).enumerate() {
        let file = entry["file"].as_str().unwrap();
        let target = targets.entry(file.to_owned()).or_insert_with(|| {
            let bytes = std::fs::read(root.join(file)).unwrap();
            let answer = house.post(&format!("/api/v1/import?name=file-{number}"), &bytes);
            // Some files have boxes that are broken, and are refused; the computation found their codestreams by search.
            if answer.status == 422 { None } else { Some(answer.json()["target"].as_str()?.to_owned()) }
        });
        let Some(target) = target else { continue };
        let stream = entry["frame"].as_u64().unwrap_or(0);
        let (width, height) = (&entry["width"], &entry["height"]);
        let query = format!("target={target}&type=jpt-stream&stream={stream}&fsiz={width},{height}");
        let answer = house.get(&format!("/jpip?{query}"));
        if answer.status != 200 {
            failures.push(format!("{file} {stream}: {} {}", answer.status, answer.text()));
            continue;
        }
        assert_eq!(answer.header("Content-Type"), Some("image/jpt-stream"), "{file}");
        let cache = Cache::of(&answer.response());
        let mut hash = Sha256::new();
        let mut whole = true;
        for ((class, codestream, id), (bytes, complete)) in &cache.bins {
            assert!([TILE, MAIN_HEADER, METADATA].contains(class), "{file}: class {class}");
            if *class == TILE && *codestream == stream && !bytes.is_empty() {
                whole &= complete;
                hash.update(id.to_be_bytes());
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !whole || entry["tile_bins_sha256"] != found.as_str() {
            failures.push(format!("{file} {stream}: {found}, complete: {whole}"));
        }
    }
    let refused = targets.values().filter(|target| target.is_none()).count();
    assert!(refused <= 2, "{refused} of {} files are refused", targets.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
}

/// The first codestream in a file: what the items of a DICOM object of one frame hold, or all that follows.
fn first_codestream(file: &[u8]) -> Vec<u8> {
    let at = file.windows(4).position(|four| four == [0xff, 0x4f, 0xff, 0x51]).unwrap();
    let mut rest = &file[at.saturating_sub(8)..];
    let mut joined = Vec::new();
    while let Some(([0xfe, 0xff, 0x00, 0xe0, len @ ..], after)) = rest.split_first_chunk::<8>() {
        let (fragment, next) = after.split_at(u32::from_le_bytes(*len) as usize);
        joined.extend_from_slice(fragment);
        rest = next;
    }
    if joined.is_empty() { file[at..].to_vec() } else { joined }
}

/// Fetches a target as a JPT-stream, whole and at half its size, and compares the pictures with the original's.
pub(crate) fn compare_pictures(house: &House, name: &str, file: &[u8], options: &[&str]) {
    let original = first_codestream(file);
    let said = house.import(name, file);
    let url = format!("{}/jpip?target={}", house.url(), said["target"].as_str().unwrap());
    let out = house.folder().join(format!("{name}.j2k"));
    let out = out.to_str().unwrap();
    for reduce in [0u8, 1] {
        let parameters = DecodeParameters { reduce, ..DecodeParameters::default() };
        let expected = match decode(&original, &parameters) {
            Err(openjpeg::Error::Refused { messages, .. })
                if reduce > 0 && messages.contains("resolutions to remove") =>
            {
                continue;
            }
            other => other.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        let size = format!("{},{}", expected.width, expected.height);
        let mut arguments = vec!["fetch", &url, "--jpt", "-o", out];
        if reduce > 0 {
            arguments.extend(["--fsiz", &size]);
        }
        arguments.extend(options);
        let done = run(&arguments);
        assert_eq!(done.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let got = decode(&std::fs::read(out).unwrap(), &parameters).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (number, (a, b)) in expected.components.iter().zip(&got.components).enumerate() {
            assert!(a.samples == b.samples, "{name}, component {number}, reduced by {reduce}");
        }
        assert_eq!(expected.components.len(), got.components.len(), "{name}");
    }
}

#[test]
fn fetch_makes_the_pictures_of_real_files_from_tiles() {
    let Some(root) = test_data() else { return };
    let house = House::open();
    for file in [
        "real/opj/conformance/a5_mono.j2c",
        "real/opj/conformance/b1_mono.j2c",
        "real/opj/conformance/d1_colr.j2c",
        "real/opj/conformance/p0_04.j2k",
        "real/opj/conformance/p0_06.j2k",
        "real/opj/conformance/p0_10.j2k",
        "real/opj/conformance/p1_01.j2k",
        // Packed packet headers in the main header; in tile-part headers.
        "real/opj/conformance/p1_03.j2k",
        "real/opj/conformance/p1_05.j2k",
        "real/opj/nonregression/issue208.jp2",
        "real/opj/nonregression/small_world_non_consecutive_tilepart_tlm.jp2",
        "real/ojph/simple_dec_rev53_64x64_tiles_yuv.jph",
        "real/enet4/WG04/J2KR/CT1_J2KR",
        "real/pylibjpeg/JPEG2000Lossless/GDCMJ2K_TextGBR.dcm",
    ] {
        let name = file.rsplit('/').next().unwrap();
        compare_pictures(&house, name, &std::fs::read(root.join(file)).unwrap(), &[]);
    }
}

#[test]
fn openjpips_recommended_layout_comes_by_resolutions() {
    let (width, height) = (1500, 1100);
    let codestream = recommended(width, height);
    let house = House::open();
    compare_pictures(&house, "recommended.j2k", &codestream, &[]);
    compare_pictures(&house, "recommended.j2k", &codestream, &["--session"]);
    // Nine tiles, six resolution levels, a tile-part each.
    let at_size = |fsiz: &str| {
        let answer = house.get(&format!("/jpip?target=recommended.j2k&type=jpt-stream;ttype=ext&fsiz={fsiz}"));
        assert_eq!(answer.header("Content-Type"), Some("image/jpt-stream;ttype=ext"));
        answer.response()
    };
    let small = at_size("47,35");
    let aux = |response: &crate::stream::Response| -> Vec<Option<u64>> {
        let mut aux: Vec<_> = response.messages.iter().filter(|m| m.class == EXTENDED_TILE).map(|m| m.aux).collect();
        aux.dedup();
        aux
    };
    assert_eq!(aux(&small), [Some(6)], "what is needed even by those who discard five levels");
    assert_eq!(small.messages.iter().filter(|m| m.class == EXTENDED_TILE).count(), 9);
    let whole = at_size(&format!("{width},{height}"));
    assert_eq!(aux(&whole), [6, 5, 4, 3, 2, 1].map(Some));
    assert_eq!((small.end, whole.end), (2, 1));
    assert!(small.len * 100 < whole.len, "{} of {}", small.len, whole.len);
    let tile =
        house.get("/jpip?target=recommended.j2k&type=jpt-stream&fsiz=1500,1100&roff=700,500&rsiz=9,9").response();
    assert_eq!(tile.ids(TILE), [4; 1]);
}

#[test]
fn a_fetch_that_is_cut_off_makes_a_picture_all_the_same() {
    let house = House::with_files(&[("a.j2k", recommended(700, 500))]);
    let out = house.folder().join("cut.j2k");
    let url = format!("{}/jpip?target=a.j2k&len=150000", house.url());
    let done = run(&["fetch", &url, "--jpt", "-o", out.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    let picture = decode(&std::fs::read(&out).unwrap(), &DecodeParameters::default()).unwrap();
    assert_eq!((picture.width, picture.height), (700, 500));
}

#[test]
fn c_7_3_a_channel_keeps_the_type_of_its_first_request() {
    let house = House::with_files(&[("a.j2k", recommended(700, 500))]);
    let types = "type=image/jpeg,jpt-stream,jpp-stream";
    let opened = house.get(&format!("/jpip?target=a.j2k&cnew=http&{types}&fsiz=88,63"));
    let cid = channel_of(&opened).unwrap();
    let tid = opened.header("JPIP-tid").unwrap().to_owned();
    assert_eq!(opened.response().classes(), [METADATA, MAIN_HEADER, TILE]);
    // As OpenJPIP's viewer goes on: a region, and boxes without a type.
    let region = house.get(&format!("/jpip?cid={cid}&fsiz=700,500&roff=10,10&rsiz=9,9&type=jpt-stream"));
    assert_eq!(region.response().classes(), [TILE]);
    let boxes = house.get(&format!("/jpip?cid={cid}&metareq=[xml_]"));
    assert_eq!(boxes.header("Content-Type"), Some("image/jpt-stream"));
    assert_eq!(boxes.header("JPIP-tid"), Some(tid.as_str()));
    let again = house.get(&format!("/jpip?cid={cid}&fsiz=88,63"));
    assert_eq!(again.response().messages, [], "the model is that of the tiles");
    // Another type is another model, under another identifier.
    let precincts = house.get(&format!("/jpip?cid={cid}&fsiz=88,63&type=jpp-stream"));
    assert!(precincts.response().classes().contains(&PRECINCT));
    assert_ne!(precincts.header("JPIP-tid"), Some(tid.as_str()));
    let closed = house.get(&format!("/jpip?cclose={cid}&cid={cid}"));
    assert_eq!((closed.status, closed.header("Content-Type")), (200, Some("image/jpt-stream")));
}

#[test]
fn e16_what_cannot_be_returned_is_415() {
    let house = House::with_files(&[("a.j2k", pictures::tiny())]);
    for types in ["image/jpeg", "video/mj2,image/png", "x"] {
        for more in ["", "&cnew=http"] {
            let answer = house.get(&format!("/jpip?target=a.j2k&fsiz=16,16&type={types}{more}"));
            assert_eq!((answer.status, answer.header("JPIP-cnew")), (415, None), "{types}");
        }
    }
    for (types, expected) in [
        ("image/jpeg,jpp-stream", "image/jpp-stream"),
        ("image/jpp-stream%3Bptype=ext,jpt-stream", "image/jpp-stream;ptype=ext"),
        ("JPT-stream;ttype=ext", "image/jpt-stream;ttype=ext"),
    ] {
        let answer = house.get(&format!("/jpip?target=a.j2k&fsiz=16,16&type={types}"));
        assert_eq!(answer.header("Content-Type"), Some(expected), "{types}");
        assert_eq!(answer.response().end, 1);
    }
}
