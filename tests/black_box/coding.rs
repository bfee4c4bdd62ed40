//! `precinct transcode --coding`: HT and Part 1 codestreams of the same samples, by the word of OpenJPEG's and OpenJPH's
//! own programs, in files that say what they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codestream::jp2::{Colour, FileBrand, ForeignIndex, Jp2File};
use codestream::{FrameSource, Indexed, Limits, index_codestream};
use openjpeg::{Component, DecodeParameters, EncodeParameters, Image, decode, encode};
use tempfile::TempDir;

use crate::house::run;
use crate::jpt::test_data;
use crate::whole_images::has_openjpeg;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn transcode(&self, from: &Path, to: &str, options: &[&str]) -> Output {
        let to = self.path(to);
        run(&[&["transcode", from.to_str().unwrap(), to.to_str().unwrap()][..], options].concat())
    }

    /// Transcodes; must succeed. Gives what was said on standard error.
    fn make(&self, from: &Path, to: &str, options: &[&str]) -> String {
        let done = self.transcode(from, to, options);
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{} {options:?}: {said}", from.display());
        said
    }

    fn samples(&self, name: &str) -> Image {
        decode(&fs::read(self.path(name)).unwrap(), &DecodeParameters::default()).unwrap()
    }

    fn indexed(&self, name: &str) -> (Jp2File, Indexed) {
        let bytes = fs::read(self.path(name)).unwrap();
        let file = Jp2File::parse(&bytes, &Limits::default()).unwrap();
        let indexed = index_codestream(&FrameSource::new(&bytes, &file.codestreams[0]), &Limits::default()).unwrap();
        (file, indexed)
    }
}

/// Real images: 16 bits signed, 10 and 8 bits, components with a transform, lossy ones, odd sizes, HT.
const REAL: [(&str, bool); 11] = [
    ("enet4/WG04/J2KR/CT1_J2KR", false),
    ("enet4/WG04/J2KR/NM1_J2KR", false),
    ("enet4/WG04/J2KR/US1_J2KR", false),
    ("enet4/WG04/J2KR/VL6_J2KR", false),
    ("enet4/WG04/J2KR/XA1_J2KR", false),
    ("enet4/WG04/J2KI/CT1_J2KI", true),
    ("enet4/WG04/J2KI/VL1_J2KI", true),
    ("pydicom/HTJ2KLossless_08_RGB.dcm", false),
    ("pydicom/693_J2KR.dcm", false),
    ("ojph/simple_dec_irv97_64x64_16bit.jph", true),
    ("ojph/simple_dec_rev53_64x64_tiles_yuv.jph", false),
];

#[test]
fn real_images_keep_every_sample_to_ht_and_back() {
    let Some(root) = test_data() else { return };
    for (name, is_lossy) in REAL {
        let folder = Folder::new();
        let original = root.join("real").join(name);
        folder.make(&original, "original.j2k", &[]);
        let truth = folder.samples("original.j2k");
        let layout = ["--precincts", "128,128", "--progression", "RPCL", "--tlm", "--plt", "--tile-parts", "R"];
        let said = folder.make(&original, "ht.jph", &[&["--coding", "ht"][..], &layout].concat());
        assert_eq!(said.contains("lossy original"), is_lossy, "{name}: {said}");
        let said = folder.make(&folder.path("ht.jph"), "part1.jp2", &["--coding", "part1"]);
        assert!(!said.contains("lossy"), "{name}: {said}");
        for (file, is_ht, brand) in [("ht.jph", true, FileBrand::Jph), ("part1.jp2", false, FileBrand::Jp2)] {
            assert!(folder.samples(file) == truth, "{name}: {file}");
            let (jp2, indexed) = folder.indexed(file);
            assert_eq!((jp2.brand, indexed.index.header.is_htj2k()), (brand, is_ht), "{name}: {file}");
            assert_eq!((jp2.damage, indexed.damage), (vec![], vec![]), "{name}: {file}");
            let image = jp2.header.image.unwrap();
            assert_eq!((image.width, image.height), (truth.width, truth.height), "{name}: {file}");
            assert_eq!(usize::from(image.components), truth.components.len(), "{name}: {file}");
        }
        foreign(&folder, &truth);
    }
}

/// What the programs of OpenJPEG and OpenJPH make of the two files.
fn foreign(folder: &Folder, truth: &Image) {
    // It blows sub-sampled components up, and writes the bits that a sample has, whatever their sign.
    if has_openjpeg() && truth.components.iter().all(|component| component.dx == 1) {
        folder.make(&folder.path("ht.jph"), "ht.j2k", &[]);
        for file in ["ht.j2k", "part1.jp2"] {
            let mut program = Command::new("opj_decompress");
            program.arg("-i").arg(folder.path(file)).arg("-o").arg(folder.path("o.rawl"));
            assert!(run_program(&mut program), "{file}");
            assert!(
                fs::read(folder.path("o.rawl")).unwrap()
                    == raw(truth, |sample, precision| sample & ((1 << precision) - 1)),
                "OpenJPEG: {file}"
            );
        }
    }
    if has_openjph() {
        folder.make(&folder.path("ht.jph"), "ht.j2k", &[]);
        // It writes three components with a transform as PPM only, and what is negative as 0.
        let (_, indexed) = folder.indexed("ht.jph");
        let to = folder.path(if indexed.index.header.coding().mct { "e.ppm" } else { "e.yuv" });
        assert!(run_program(Command::new("ojph_expand").arg("-i").arg(folder.path("ht.j2k")).arg("-o").arg(&to)));
        let mut bytes = fs::read(&to).unwrap();
        if to.extension().unwrap() == "ppm" {
            bytes = planes_of_ppm(&bytes, truth.components[0].samples.len(), truth.components[0].precision > 8);
        }
        assert!(bytes == raw(truth, |sample, _| sample.max(0)), "OpenJPH");
    }
}

fn run_program(program: &mut Command) -> bool {
    program.output().unwrap().status.success()
}

fn has_openjph() -> bool {
    let is_there = Command::new("ojph_expand").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "no ojph_expand");
    is_there
}

/// The components one after the other, in bytes or in two bytes, the lower one first.
fn raw(image: &Image, written: fn(i32, u8) -> i32) -> Vec<u8> {
    let bytes = |component: &Component| {
        let wide = if component.precision > 8 { 2 } else { 1 };
        let samples = component.samples.iter();
        samples
            .flat_map(|&sample| written(sample, component.precision).to_le_bytes()[..wide].to_vec())
            .collect::<Vec<_>>()
    };
    image.components.iter().flat_map(bytes).collect()
}

fn planes_of_ppm(ppm: &[u8], pixels: usize, wide: bool) -> Vec<u8> {
    let width = if wide { 2 } else { 1 };
    let samples = &ppm[ppm.len() - pixels * 3 * width..];
    let plane =
        |c: usize| samples.chunks_exact(width).skip(c).step_by(3).flat_map(|sample| sample.iter().rev().copied());
    (0..3).flat_map(plane).collect()
}

/// Three components in the depth, place, tiles and transform of `parameters`.
fn picture(parameters: &EncodeParameters, depth: (u8, bool), spacing: u32) -> Vec<u8> {
    let (width, height) = (157u32, 123u32);
    let component = |c: u32| {
        let spacing = if c == 0 { 1 } else { spacing };
        let (wide, high) = (width.div_ceil(spacing), height.div_ceil(spacing));
        let low = if depth.1 { -(1i32 << (depth.0 - 1)) } else { 0 };
        let at = |n: u32| (n % wide * 31 + n / wide * 17 + n * n % 23 + c * 7) % (1 << depth.0);
        let samples = (0..wide * high).map(|n| low + i32::try_from(at(n)).unwrap()).collect();
        Component { width: wide, height: high, dx: spacing, dy: spacing, precision: depth.0, signed: depth.1, samples }
    };
    let image = Image { width, height, x0: 0, y0: 0, components: (0..3).map(component).collect() };
    encode(&image, parameters).unwrap()
}

#[test]
fn the_coding_of_the_original_stays_where_nothing_else_is_asked_for() {
    let folder = Folder::new();
    let parameters = EncodeParameters {
        levels: 3,
        tiles: Some((64, 64)),
        precincts: vec![(128, 64), (64, 64), (64, 64), (64, 64)],
        code_block: (16, 32),
        mct: true,
        progression: openjpeg::Progression::Pcrl,
        layers: vec![10.0, 1.0],
        ..EncodeParameters::default()
    };
    fs::write(folder.path("in.j2k"), picture(&parameters, (12, false), 1)).unwrap();
    folder.make(&folder.path("in.j2k"), "ht.jph", &["--coding", "ht", "--sop", "--eph"]);
    folder.make(&folder.path("ht.jph"), "back.jp2", &["--coding", "part1"]);
    folder.make(&folder.path("in.j2k"), "in.jp2", &[]);
    let (_, original) = folder.indexed("in.jp2");
    for file in ["ht.jph", "back.jp2"] {
        assert!(folder.samples(file) == folder.samples("in.j2k"));
        let (_, indexed) = folder.indexed(file);
        let (old, new) = (&original.index.header, &indexed.index.header);
        assert_eq!(old.siz().components, new.siz().components);
        assert_eq!((old.siz().xtsiz, old.siz().ytsiz), (new.siz().xtsiz, new.siz().ytsiz));
        assert_eq!((old.coding().progression, old.coding().mct), (new.coding().progression, new.coding().mct));
        let (old, new) = (old.coding().component(0), new.coding().component(0));
        assert_eq!((old.levels, old.xcb, old.ycb, &old.precincts), (new.levels, new.xcb, new.ycb, &new.precincts));
        assert_eq!(indexed.index.header.coding().sop, file == "ht.jph");
    }
}

#[test]
fn sub_sampled_components_and_every_depth_are_kept() {
    let folder = Folder::new();
    for (depth, spacing) in [((8, false), 2), ((1, false), 1), ((12, true), 3), ((16, false), 1), ((24, true), 1)] {
        let parameters = EncodeParameters { levels: 2, ..EncodeParameters::default() };
        fs::write(folder.path("in.j2k"), picture(&parameters, depth, spacing)).unwrap();
        folder.make(&folder.path("in.j2k"), "ht.jhc", &["--coding", "ht"]);
        folder.make(&folder.path("ht.jhc"), "back.j2c", &["--coding", "part1", "--precincts", "64,64"]);
        for file in ["ht.jhc", "back.j2c"] {
            assert!(folder.samples(file) == folder.samples("in.j2k"), "{depth:?} {spacing} {file}");
        }
    }
}

#[test]
fn boxes_stay_but_for_those_that_would_be_wrong() {
    let folder = Folder::new();
    let parameters = EncodeParameters { mct: true, levels: 2, ..EncodeParameters::default() };
    fs::write(folder.path("in.j2k"), picture(&parameters, (8, false), 1)).unwrap();
    folder.make(&folder.path("in.j2k"), "plain.jp2", &["--index"]);
    // A JPX file: its brand, the requirements it has of readers, and a box of somebody's.
    let mut bytes = fs::read(folder.path("plain.jp2")).unwrap();
    let boxed =
        |name: &[u8; 4], contents: &[u8]| [&(contents.len() as u32 + 8).to_be_bytes()[..], name, contents].concat();
    let end_of_ftyp = 12 + u32::from_be_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let ftyp = boxed(b"ftyp", b"jpx \0\0\0\0jpx jp2 jpxb");
    bytes.splice(12..end_of_ftyp, [ftyp, boxed(b"rreq", &[1, 128, 128, 0, 0, 0, 0])].concat());
    bytes.extend(boxed(b"xml ", b"<hello/>"));
    fs::write(folder.path("in.jpx"), &bytes).unwrap();
    folder.make(&folder.path("in.jpx"), "out.jph", &["--coding", "ht", "--index"]);
    let (file, indexed) = folder.indexed("out.jph");
    let names: Vec<_> = file.boxes.iter().map(|top| &top.header.box_type).collect();
    assert_eq!(names, [b"jP  ", b"ftyp", b"jp2h", b"iptr", b"jp2c", b"xml ", b"cidx", b"fidx"]);
    assert_eq!((file.brand, file.foreign_index), (FileBrand::Jph, ForeignIndex::Sound));
    assert_eq!(file.header.colours, [Colour::Enumerated(16)]);
    assert!(indexed.index.header.is_htj2k());
    assert!(folder.samples("out.jph") == folder.samples("in.j2k"));
    let written = fs::read(folder.path("out.jph")).unwrap();
    assert!(written.ends_with(b"fidx") || !written.windows(4).any(|four| four == b"jp2 " || four == b"jpx "));
}

#[test]
fn a_name_that_would_lie_and_an_image_that_cannot_be_encoded_leave_no_file() {
    let folder = Folder::new();
    let parameters = EncodeParameters { levels: 2, ..EncodeParameters::default() };
    let good = picture(&parameters, (8, false), 1);
    fs::write(folder.path("in.j2k"), &good).unwrap();
    fs::write(folder.path("cut.j2k"), &good[..good.len() / 2]).unwrap();
    fs::write(folder.path("deep.j2k"), deep()).unwrap();
    for (from, to, coding, words) in [
        ("in.j2k", "out.jp2", "ht", ".jph"),
        ("in.j2k", "out.jpx", "ht", "no JPX"),
        ("in.j2k", "out.jph", "part1", ".jp2"),
        ("in.j2k", "out.jhc", "part1", ".j2k"),
        ("cut.j2k", "out.j2k", "ht", "damaged"),
        ("deep.j2k", "out.j2k", "ht", "24 bits"),
        ("deep.j2k", "out.j2k", "part1", "24 bits"),
    ] {
        let done = folder.transcode(&folder.path(from), to, &["--coding", coding]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && said.contains(words), "{from} {to} {coding}: {said}");
        assert!(!folder.path(to).exists(), "{from} {to} {coding}");
    }
}

/// 25 bits, which OpenJPEG encodes rightly only without decomposition levels.
fn deep() -> Vec<u8> {
    let image = Image::from_interleaved(2, 2, 1, (25, false), &[0, 1, 2, 3]).unwrap();
    encode(&image, &EncodeParameters { levels: 0, ..EncodeParameters::default() }).unwrap()
}

#[test]
fn the_frame_of_an_htj2k_object_is_looked_into() {
    let Some(root) = test_data() else { return };
    let object = root.join("real/pydicom/HTJ2KLossless_08_RGB.dcm");
    let done = run(&["inspect", object.to_str().unwrap()]);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success() && said.contains("codestream 0: ") && said.contains("HTJ2K, 5/3 (reversible)"),
        "{said}"
    );
}
