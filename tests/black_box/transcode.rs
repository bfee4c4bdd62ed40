//! `precinct transcode`: what comes out is the same image, its index is sound, and nothing half-done bears its name.

use std::fs;
use std::path::Path;

use codestream::jp2::{ForeignIndex, Jp2File};
use codestream::{FrameSource, Limits, index_codestream};
use openjpeg::{DecodeParameters, EncodeParameters, Image, decode, encode};
use tempfile::TempDir;

use crate::house::run;
use crate::pictures;

fn code(arguments: &[&str]) -> i32 {
    run(arguments).status.code().unwrap()
}

fn picture() -> Vec<u8> {
    let samples: Vec<i32> = (0..300 * 200).map(|at| (at * 7 % 251 + at / 300) % 256).collect();
    let image = Image::from_interleaved(300, 200, 1, (8, false), &samples).unwrap();
    encode(&image, &EncodeParameters { layers: vec![10.0, 1.0], ..EncodeParameters::default() }).unwrap()
}

fn samples(path: &Path) -> Image {
    decode(&fs::read(path).unwrap(), &DecodeParameters::default()).unwrap()
}

#[test]
fn every_option_keeps_every_sample() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    fs::write(path("in.j2k"), picture()).unwrap();
    let truth = samples(&path("in.j2k"));
    for (number, options) in [
        &["--progression", "RPCL"][..],
        &["--progression", "pcrl", "--precincts", "64,128;64,64"],
        &["--precincts", "128,128", "--progression", "RLCP", "--tile-parts", "R", "--plt", "--tlm"],
        &["--sop", "--eph"],
    ]
    .iter()
    .enumerate()
    {
        let out = format!("out{number}.j2k");
        let (from, to) = (text("in.j2k"), text(&out));
        assert_eq!(code(&[&["transcode", &from, &to][..], options].concat()), 0, "{options:?}");
        assert!(samples(&path(&out)) == truth, "{options:?}");
        assert_ne!(fs::read(path(&out)).unwrap(), fs::read(path("in.j2k")).unwrap());
    }
}

#[test]
fn boxes_stay_and_the_index_inside_is_sound() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    fs::write(path("in.j2k"), picture()).unwrap();
    assert_eq!(code(&["transcode", &text("in.j2k"), &text("a.jp2"), "--index"]), 0);
    // In place, with what is now a file that has an index already.
    assert_eq!(code(&["transcode", &text("a.jp2"), &text("a.jp2"), "--precincts", "64,64", "--index"]), 0);
    assert!(samples(&path("a.jp2")) == samples(&path("in.j2k")));
    let bytes = fs::read(path("a.jp2")).unwrap();
    let file = Jp2File::parse(&bytes, &Limits::default()).unwrap();
    assert_eq!(file.foreign_index, ForeignIndex::Sound);
    assert_eq!(file.boxes.iter().filter(|top| &top.header.box_type == b"cidx").count(), 1);
    let indexed = index_codestream(&FrameSource::new(&bytes, &file.codestreams[0]), &Limits::default()).unwrap();
    assert_eq!(indexed.damage, []);
    assert!(indexed.index.tiles[0].packets[0].len() > 12);
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(names(folder.path()), 2, "nothing is left lying beside");
}

#[test]
fn a_frame_of_a_dicom_object_is_taken_by_number() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    fs::write(path("a.dcm"), pictures::dicom("1.2.3.4", 2)).unwrap();
    let (from, to) = (text("a.dcm"), text("a.jp2"));
    assert_eq!(code(&["transcode", &from, &to]), 1, "which of the two?");
    assert_eq!(code(&["transcode", &from, &to, "--frame", "3"]), 1);
    assert_eq!(code(&["transcode", &from, &to, "--frame", "2", "--precincts", "128,128"]), 0);
    assert!(fs::read(path("a.jp2")).unwrap().windows(4).any(|four| four == b"jp2c"));
}

#[test]
fn what_cannot_be_done_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let whole = picture();
    fs::write(path("in.j2k"), &whole).unwrap();
    fs::write(path("cut.j2k"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path("text"), "hello").unwrap();
    let out = text("out.j2k");
    for arguments in [
        &["cut.j2k"][..],
        &["text"],
        &["missing"],
        &["in.j2k", "--precincts", "100,100"],
        &["in.j2k", "--index"],
        &["in.j2k", "--frame", "1"],
        &["in.j2k", "--progression", "abcd"],
    ] {
        let from = text(arguments[0]);
        assert_ne!(code(&[&["transcode", &from, &out][..], &arguments[1..]].concat()), 0, "{arguments:?}");
        assert!(!path("out.j2k").exists(), "{arguments:?}");
    }
    assert_ne!(code(&["transcode", &text("in.j2k"), &text("out.png")]), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
