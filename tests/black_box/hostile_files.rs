//! Faults A1 to A36 of the fault list: hostile JPEG 2000 files, each through import and JPIP of a running server.
//!
//! A file of the JP2 family is refused with a reason when nothing in it can be served; otherwise what is whole comes out.

use codestream::testkit::{Order, Poc, TinyCodestream, files, tiny_codestream};

use crate::house::House;
use crate::pictures;

/// What must become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// 201, then a stream that ends as it should.
    Served,
    /// 422 with a reason.
    Refused,
    /// One or the other, at once.
    Survived,
}

use Fate::{Refused, Served, Survived};

fn check(house: &House, name: &str, bytes: &[u8], fate: Fate) {
    let answer = house.post(&format!("/api/v1/import?name={name}.jp2"), bytes);
    match answer.status {
        422 => {
            assert_ne!(fate, Served, "{name} is refused: {}", answer.text());
            let problem = answer.json();
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{name}: {problem}");
        }
        200 | 201 => {
            let stream = house.get(&format!("/jpip?target={name}.jp2&fsiz=4294967295,4294967295"));
            if stream.status == 200 {
                assert_ne!(fate, Refused, "{name} is served");
                assert!([1, 2, 4, 7].contains(&stream.response().end), "{name}");
            } else {
                assert_eq!((stream.status, fate == Served), (501, false), "{name}: {}", stream.text());
            }
        }
        other => panic!("{name}: {other} {}", answer.text()),
    }
}

fn check_all(rows: Vec<(&str, Vec<u8>, Fate)>) {
    let mut house = House::open();
    for (name, bytes, fate) in rows {
        check(&house, name, &bytes, fate);
    }
    assert!(house.is_alive());
    assert!(house.resident() < 200 << 20, "{} bytes", house.resident());
}

/// `tiny()` with bytes replaced, counted from SOC or from a marker.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = pictures::tiny();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn marker(file: &[u8], code: [u8; 2]) -> usize {
    file.windows(2).position(|two| two == code).unwrap()
}

fn behind(code: [u8; 2], offset: usize, bytes: &[u8]) -> Vec<u8> {
    with(marker(&pictures::tiny(), code) + offset, bytes)
}

const COD: [u8; 2] = [0xff, 0x52];
const SOT: [u8; 2] = [0xff, 0x90];
const HUGE: [u8; 4] = [0xff; 4];

/// A segment put in before the first SOT.
fn inserted(code: [u8; 2], body: &[u8]) -> Vec<u8> {
    let mut file = pictures::tiny();
    let at = marker(&file, SOT);
    let len = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    file.splice(at..at, [&code[..], &len, body].concat());
    file
}

#[test]
fn a1_to_a3_no_codestream_at_all() {
    let mut state = 1u32;
    let noise: Vec<u8> = (0..10_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    check_all(vec![
        ("a1", Vec::new(), Refused),
        ("a2", vec![0xff, 0x4f], Refused),
        ("a3", noise.clone(), Refused),
        ("a3-after-soc", [&[0xff, 0x4f, 0xff, 0x51][..], &noise].concat(), Refused),
        ("a3-after-signature", [&pictures::jp2()[..12], &noise].concat(), Refused),
    ]);
}

#[test]
fn a4_every_prefix_of_a_file() {
    let mut house = House::open();
    for file in [pictures::tiny(), files::jp2_file(&pictures::tiny())] {
        for len in (0..file.len()).step_by(3) {
            check(&house, &format!("a4-{len}"), &file[..len], Survived);
        }
    }
    assert!(house.is_alive());
}

#[test]
fn a5_every_byte_flipped() {
    let mut house = House::open();
    let file = files::jp2_file(&pictures::tiny());
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
        check(&house, &format!("a5-{at}"), &flipped, Survived);
    }
    assert!(house.is_alive());
}

#[test]
fn a6_to_a15_headers_that_announce_the_impossible() {
    let huge = [HUGE, HUGE].concat();
    let components = |count: u16| {
        let mut file = pictures::tiny();
        file[40..42].copy_from_slice(&count.to_be_bytes());
        file
    };
    check_all(vec![
        ("a6", with(8, &huge), Refused),
        ("a6-one-tile", with(8, &[&huge[..], &[0; 8], &huge].concat()), Survived),
        ("a7", with(8, &[0; 4]), Refused),
        ("a8", with(16, &[0, 0, 0, 16]), Refused),
        (
            "a9",
            with(8, &[&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60][..], &[0; 8], &[0, 0, 0, 1, 0, 0, 0, 1]].concat()),
            Refused,
        ),
        ("a10", tiny_codestream().size(8, 8).components(16384).levels(0).build(), Served),
        ("a10-announced", components(16384), Refused),
        ("a10-too-many", components(65535), Refused),
        ("a11", with(43, &[0]), Refused),
        ("a12", with(42, &[37]), Served),
        ("a12-too-deep", with(42, &[0x7f]), Survived),
        ("a13", behind(COD, 9, &[33]), Refused),
        ("a13-255", behind(COD, 9, &[255]), Refused),
        ("a14", tiny_precincts_of_0(), Refused),
        ("a15", behind(COD, 10, &[10, 10]), Refused),
        ("a15-wide", behind(COD, 10, &[255, 255]), Refused),
    ]);
}

/// Precinct exponents 0 above the lowest resolution level, which no code-block fits.
fn tiny_precincts_of_0() -> Vec<u8> {
    let mut file = tiny_codestream().precincts(&[(3, 3), (3, 3)]).build();
    let at = marker(&file, COD) + 14;
    file[at + 1] = 0;
    file
}

#[test]
fn a16_to_a18_layers_progressions_and_packed_headers() {
    let loops: Vec<Poc> = (0..40)
        .map(|n| Poc {
            resolution_start: 0,
            component_start: 0,
            layer_end: 1,
            resolution_end: 33,
            component_end: 256,
            order: Order::ALL[n % 5],
        })
        .collect();
    let packed = |kit: TinyCodestream| kit.size(64, 64).levels(2).build();
    let ppm = packed(tiny_codestream().ppm());
    let mut cut = ppm.clone();
    let at = marker(&ppm, [0xff, 0x60]);
    cut[at + 5..at + 9].copy_from_slice(&HUGE);
    let mut renamed = ppm.clone();
    renamed[at + 1] = 0x64;
    check_all(vec![
        ("a16", behind(COD, 6, &[0xff, 0xff]), Survived),
        ("a16-real", tiny_codestream().layers(3000).empty_packets(1).build(), Served),
        ("a17", tiny_codestream().size(64, 64).levels(2).poc(&loops).build(), Served),
        ("a17-nothing", inserted([0xff, 0x5f], &[0, 0, 0, 0, 0, 0, 9]), Survived),
        ("a18-whole", ppm, Served),
        ("a18-lying", cut, Survived),
        ("a18-missing", renamed, Survived),
        ("a18-ppt", packed(tiny_codestream().ppt()), Served),
    ]);
}

#[test]
fn a19_to_a24_tables_and_counters_that_lie() {
    let plt = tiny_codestream().size(64, 64).levels(2).plt().build();
    let at = marker(&plt, [0xff, 0x58]);
    let mut swapped = plt.clone();
    swapped.swap(at + 5, at + 6);
    let mut endless = plt.clone();
    let len = usize::from(u16::from_be_bytes([plt[at + 2], plt[at + 3]]));
    endless[at + 5..at + 2 + len].fill(0xff);
    let tlm = tiny_codestream().tiles(2, 2).tlm().build();
    let mut wrong_tlm = tlm.clone();
    let end = marker(&tlm, SOT);
    wrong_tlm[end - 1] ^= 0x55;
    let tiles = || tiny_codestream().size(32, 32).tiles(2, 2);
    let mut psot_zero = tiles().build();
    let first = marker(&psot_zero, SOT);
    psot_zero[first + 6..first + 10].fill(0);
    let mut out_of_order =
        tiny_codestream().size(64, 64).levels(2).tile_parts(codestream::testkit::TileParts::Every(1)).build();
    let first = marker(&out_of_order, SOT);
    out_of_order[first + 10] = 7;
    let sop = tiny_codestream().size(64, 64).levels(2).sop().eph().build();
    let mut counters = sop.clone();
    let first = marker(&sop, [0xff, 0x91]);
    counters[first + 4..first + 6].copy_from_slice(&[0xab, 0xcd]);
    check_all(vec![
        ("a19-whole", plt, Served),
        ("a19-swapped", swapped, Served),
        ("a19-endless", endless, Served),
        ("a20", wrong_tlm, Served),
        ("a21-zero", psot_zero, Survived),
        ("a21-past", behind(SOT, 6, &HUGE), Survived),
        ("a21-short", behind(SOT, 6, &[0, 0, 0, 3]), Survived),
        ("a22", out_of_order, Survived),
        ("a23", behind(SOT, 4, &[0xff, 0xff]), Refused),
        ("a24", counters, Served),
        ("a24-no-sop-announced", tiny_codestream().size(64, 64).levels(2).build(), Served),
    ]);
}

#[test]
fn a25_to_a29_packet_headers_and_segments() {
    // Hundreds of thousands of packets of one zero byte each: cheap to send, and bounded to read.
    let bomb = tiny_codestream().size(512, 512).levels(1).precincts(&[(1, 1)]).layers(8).empty_packets(1).build();
    let ht = tiny_codestream().size(64, 64).levels(2).ht().build();
    let cap = marker(&ht, [0xff, 0x50]);
    let mut without_cap = ht.clone();
    let len = usize::from(u16::from_be_bytes([ht[cap + 2], ht[cap + 3]])) + 2;
    without_cap.drain(cap..cap + len);
    check_all(vec![
        ("a25", bomb, Served),
        (
            "a25-ones",
            {
                let mut f = pictures::tiny();
                let n = f.len();
                f[n - 10..n - 2].fill(0xff);
                f
            },
            Survived,
        ),
        ("a26", ht, Served),
        ("a26-no-cap", without_cap, Served),
        (
            "a26-mixed",
            {
                let mut f = pictures::tiny();
                let at = marker(&f, COD);
                f[at + 12] = 0xc0;
                f
            },
            Survived,
        ),
        ("a27", tiny_codestream().without_eoc().build(), Served),
        ("a28", inserted([0xff, 0x53], &[200, 0, 1, 2, 2, 0, 1]), Survived),
        ("a28-qcc", inserted([0xff, 0x5d], &[200, 0x40, 0x40]), Survived),
        ("a29-0", behind(COD, 2, &[0, 0]), Refused),
        ("a29-1", behind(COD, 2, &[0, 1]), Refused),
    ]);
}

#[test]
fn a30_to_a34_boxes() {
    let tiny = pictures::tiny();
    let plain = files::jp2_file(&tiny);
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        nested = files::boxed(*b"asoc", &nested);
    }
    let header = plain.len() - tiny.len() - 8;
    let long = |length: u64| [&1u32.to_be_bytes()[..], b"uuid", &length.to_be_bytes(), &[0; 8]].concat();
    let before = |piece: &[u8]| [&plain[..header], piece, &plain[header..]].concat();
    let mut zero_inside = files::boxed(*b"asoc", &[0, 0, 0, 0, b'f', b'r', b'e', b'e']);
    zero_inside.extend_from_slice(b"\0\0\0\x08free");
    let zeros: Vec<u8> = [*b"iptr", *b"cidx", *b"fidx"].iter().flat_map(|name| files::boxed(*name, &[0; 16])).collect();
    // fidx boxes that refer to each other, and a cidx whose offsets lie behind the end.
    let lying = [
        files::boxed(*b"cidx", &files::boxed(*b"cptr", &[&[0, 0, 0, 0][..], &[0xff; 16]].concat())),
        files::boxed(*b"fidx", &files::boxed(*b"prxy", &[0x7f; 33])),
    ]
    .concat();
    let reference = |url: &[u8]| {
        let flst = [&[0, 1][..], &0u64.to_be_bytes(), &100u32.to_be_bytes(), &[0, 1]].concat();
        let table = [&[0, 1][..], &files::boxed(*b"url ", &[&[0; 4][..], url, &[0]].concat())].concat();
        let head = &plain[..header];
        [head, &files::boxed(*b"dtbl", &table), &files::boxed(*b"ftbl", &files::boxed(*b"flst", &flst))].concat()
    };
    check_all(vec![
        ("a30", before(&nested), Served),
        ("a31-short", before(&long(15)), Survived),
        ("a31-past", before(&long(u64::MAX)), Survived),
        ("a31-zero-in-a-superbox", before(&zero_inside), Survived),
        ("a32-zero", [plain.clone(), zeros.clone()].concat(), Served),
        ("a32-zero-first", before(&zeros), Served),
        ("a32-lying", [plain.clone(), lying].concat(), Served),
        ("a33", plain.clone(), Served),
        ("a34-file", reference(b"file:///etc/passwd"), Refused),
        ("a34-http", reference(b"http://169.254.169.254/latest"), Refused),
    ]);
}

#[test]
fn a34_a_codestream_elsewhere_does_not_take_the_others_with_it() {
    let tiny = pictures::tiny();
    let flst = [&[0, 1][..], &0u64.to_be_bytes(), &100u32.to_be_bytes(), &[0, 1]].concat();
    let elsewhere = files::boxed(*b"ftbl", &files::boxed(*b"flst", &flst));
    let file = [files::jpx_file(&[tiny]), elsewhere].concat();
    let house = House::with_files(&[("a.jpx", file)]);
    assert_eq!(house.get("/jpip?target=a.jpx&stream=0&fsiz=16,16").status, 200);
    assert_eq!(house.get("/jpip?target=a.jpx&stream=1&fsiz=16,16").status, 501);
    let both = house.jpip("target=a.jpx&stream=0-1&fsiz=16,16");
    assert!(both.messages.len() > 2 && both.messages.iter().all(|m| m.codestream == 0));
}

#[test]
fn a35_a_huge_image_costs_no_memory() {
    let house = House::open();
    let huge = tiny_codestream().size(46_000, 32_914).levels(5).code_block(6, 6).empty_packets(1).build();
    house.import("huge.j2k", &huge);
    let response = house.jpip("target=huge.j2k&fsiz=46000,32914&roff=20000,10000&rsiz=2000,1000");
    assert_eq!(response.end, 2);
    assert!(house.resident() < 100 << 20, "{}", house.resident());
}

#[test]
fn a_whole_object_is_stored_whatever_its_codestreams_hold() {
    let house = House::open();
    for (number, frame, state) in [
        (1, b"no codestream here".to_vec(), "unservable"),
        (2, pictures::tiny()[..60].to_vec(), "unservable"),
        (
            3,
            {
                let mut f = pictures::precincts();
                f.truncate(f.len() / 2);
                f
            },
            "indexed",
        ),
        (4, pictures::tiny(), "indexed"),
    ] {
        let uid = format!("1.2.826.0.1.3680043.10.94.{number}");
        let object = pictures::object(&uid, "1.2.840.10008.1.2.4.90", 1);
        let bytes = object.encapsulate(&[frame], dicom_bridge::write::OffsetTable::Basic, 1).unwrap();
        assert_eq!(house.import("", &bytes)["outcome"], "inserted");
        let item = house.get(&format!("/api/v1/instances/{uid}")).json();
        assert_eq!(item["state"], state, "{item}");
        assert_eq!(item["reason"].is_null(), number == 4, "damage is told: {item}");
    }
}

#[test]
fn one_broken_frame_does_not_take_the_others_with_it() {
    let house = House::open();
    let uid = "1.2.826.0.1.3680043.10.94.9";
    let frames = [pictures::tiny(), b"broken ".to_vec(), pictures::tiny()];
    let bytes = pictures::object(uid, "1.2.840.10008.1.2.4.90", 3)
        .encapsulate(&frames, dicom_bridge::write::OffsetTable::Basic, 1)
        .unwrap();
    house.import("", &bytes);
    let good = house.get(&format!("/jpip?target={uid}&stream=3&fsiz=16,16"));
    assert_eq!(good.status, 200, "{}", good.text());
    assert!(good.response().messages.iter().any(|m| m.codestream == 3));
    let item = house.get(&format!("/api/v1/instances/{uid}")).json();
    assert!(item["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{item}");
}
