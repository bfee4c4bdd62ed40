//! Codestreams in another layout, decoded by OpenJPEG and compared with what OpenJPEG itself writes in that layout.
//!
//! The real files are outside the repository: `PRECINCT_TESTDATA`, or `../shared/testdata` beside the workspace.
//! Without them those tests say so and pass, unless CI is set.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reads files, may panic, and says what it did"
)]

use std::path::{Path, PathBuf};

use codestream::markers::ProgressionOrder;
use codestream::relayout::presented::{VIRTUAL_LAYOUT, virtual_layout};
use codestream::relayout::{Precincts, RopeSource, TileParts};
use codestream::{
    ByteSource, CodestreamIndex, FrameExtents, FrameSource, Indexed, Layout, Limits, Relaid, Span, index_codestream,
    relayout,
};
use found::{contiguous, dicom_frame, testdata};
use openjpeg::{DecodeParameters, EncodeParameters, Image, Progression, decode, encode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[path = "found/frames.rs"]
mod found;

const ORDERS: [(ProgressionOrder, Progression); 5] = [
    (ProgressionOrder::Lrcp, Progression::Lrcp),
    (ProgressionOrder::Rlcp, Progression::Rlcp),
    (ProgressionOrder::Rpcl, Progression::Rpcl),
    (ProgressionOrder::Pcrl, Progression::Pcrl),
    (ProgressionOrder::Cprl, Progression::Cprl),
];

fn square(exponent: u8) -> Precincts {
    Precincts::Wanted([(exponent, exponent)].into_iter().collect())
}

/// Waves and a little noise, so that code-blocks differ and some are empty at low rates.
fn picture(width: u32, height: u32, components: u16) -> Image {
    let mut state = 1u32;
    let mut samples = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for c in 0..u32::from(components) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = if x < width / 2 { (state >> 29) as i32 } else { 0 };
            let wave = (x * (3 + c) / 7 + y * y / 64) % 200;
            samples.push(wave as i32 + noise);
        }
    }
    Image::from_interleaved(width, height, components, (8, false), &samples).unwrap()
}

fn lay_out(bytes: &[u8], layout: &Layout) -> (Vec<u8>, Relaid) {
    let indexed = index_codestream(&bytes, &Limits::default()).unwrap();
    let relaid = relayout(&bytes, &indexed, layout, &Limits::default()).unwrap();
    let mut out = Vec::new();
    relaid.bytes.write_to(&bytes, &mut out).unwrap();
    (out, relaid)
}

/// The packets of each precinct by layer, precincts by tile and component; empty packets all alike.
fn packets(source: &dyn ByteSource, index: &CodestreamIndex) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for tile in &index.tiles {
        let geometry = index.geometry(tile);
        for component in 0..geometry.component_count() {
            let precincts = geometry.component(component).unwrap().precinct_count();
            for (sequence, layer) in (0..precincts).flat_map(|s| (0..tile.coding.layers).map(move |l| (s, l))) {
                if layer == 0 {
                    all.push(Vec::new());
                }
                let mut packet = Vec::new();
                for span in tile.packet(component, sequence, layer) {
                    let from = packet.len();
                    packet.resize(from + usize::try_from(span.len).unwrap(), 0);
                    source.read_exact_at(span.offset, &mut packet[from..]).unwrap();
                }
                // OpenJPEG says of a packet without contributions that it is not empty, and then nothing.
                all.last_mut().unwrap().push(if packet == [0x80] { vec![0] } else { packet });
            }
        }
    }
    all
}

#[test]
fn every_layout_decodes_to_the_same_samples() {
    let grey = picture(300, 217, 1);
    let colour = picture(181, 150, 3);
    let base = EncodeParameters { levels: 4, code_block: (32, 16), ..EncodeParameters::default() };
    let layers = vec![40.0, 15.0, 4.0, 1.0];
    let mut inputs = vec![
        encode(&grey, &base).unwrap(),
        encode(&grey, &EncodeParameters { layers: layers.clone(), reversible: false, ..base.clone() }).unwrap(),
        encode(&colour, &EncodeParameters { mct: true, tiles: Some((100, 90)), sop: true, eph: true, ..base.clone() })
            .unwrap(),
        encode(&colour, &EncodeParameters { layers, precincts: vec![(64, 32), (32, 32)], ..base.clone() }).unwrap(),
    ];
    for code_block_style in [1, 4, 5, 1 | 2 | 8 | 32] {
        inputs.push(
            encode(&grey, &EncodeParameters { code_block_style, layers: vec![9.0, 1.0], ..base.clone() }).unwrap(),
        );
    }
    for (number, bytes) in inputs.iter().enumerate() {
        let samples = decode(bytes, &DecodeParameters::default()).unwrap();
        for (at, &(order, _)) in ORDERS.iter().enumerate() {
            let layout = Layout {
                precincts: square(if at % 2 == 0 { 6 } else { 5 }),
                progression: Some(order),
                tile_parts: if at == 2 { TileParts::ByResolution } else { TileParts::One },
                sop: (at + number) % 2 == 0,
                eph: (at + number) % 3 == 0,
                plt: at == 2,
                tlm: at == 2,
            };
            let (out, _) = lay_out(bytes, &layout);
            assert!(decode(&out, &DecodeParameters::default()).unwrap() == samples, "{number} {layout:?}");
        }
    }
}

#[test]
fn packets_are_those_that_openjpeg_writes_in_that_layout() {
    let image = picture(700, 420, 3);
    let base = EncodeParameters { levels: 3, code_block: (32, 32), mct: true, ..EncodeParameters::default() };
    let plain = encode(&image, &base).unwrap();
    for (order, progression) in ORDERS {
        let small = EncodeParameters { progression, precincts: vec![(64, 64); 4], ..base.clone() };
        let truth = encode(&image, &small).unwrap();
        let (out, _) = lay_out(&plain, &Layout { precincts: square(6), progression: Some(order), ..Layout::default() });
        let [ours, theirs] = [&out, &truth].map(|bytes| {
            let index = index_codestream(bytes, &Limits::default()).unwrap().index;
            packets(bytes, &index)
        });
        assert!(ours == theirs, "{order:?}");
    }
}

#[test]
fn away_and_back_gives_openjpeg_s_packets_again() {
    let image = picture(513, 300, 1);
    let layers = vec![200.0, 60.0, 20.0, 7.0, 2.0, 1.0];
    for code_block_style in [0, 1, 4] {
        let parameters = EncodeParameters {
            levels: 4,
            code_block: (32, 32),
            precincts: vec![(64, 64); 5],
            layers: layers.clone(),
            code_block_style,
            ..EncodeParameters::default()
        };
        let truth = encode(&image, &parameters).unwrap();
        let (merged, _) = lay_out(&truth, &Layout { precincts: square(15), ..Layout::default() });
        let (back, _) = lay_out(&merged, &Layout { precincts: square(6), ..Layout::default() });
        let [ours, theirs] = [&back, &truth].map(|bytes| {
            let index = index_codestream(bytes, &Limits::default()).unwrap().index;
            packets(bytes, &index)
        });
        // In a packet without contributions OpenJPEG tells all the same which code-blocks are not included, which its
        // next packets of the precinct need not tell again; ours say nothing. Up to there they are alike.
        let (mut whole, mut with_empty) = (0, 0);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let alike = ours.iter().position(|packet| *packet == [0]).unwrap_or(ours.len());
            assert!(ours[..alike] == theirs[..alike], "style {code_block_style}");
            *(if ours == theirs { &mut whole } else { &mut with_empty }) += 1;
        }
        assert!(whole > 10 && with_empty > 5, "style {code_block_style}: {whole} and {with_empty} precincts");
    }
}

#[test]
fn a_virtual_layout_reads_like_the_codestream_it_stands_for() {
    let image = picture(700, 420, 1);
    let base = EncodeParameters { levels: 3, layers: vec![30.0, 1.0], ..EncodeParameters::default() };
    let plain = encode(&image, &base).unwrap();
    let indexed = index_codestream(&plain, &Limits::default()).unwrap();
    let layout = Layout { precincts: square(7), progression: Some(ProgressionOrder::Rpcl), ..Layout::default() };
    let relaid = relayout(&plain, &indexed, &layout, &Limits::default()).unwrap();
    let source = RopeSource::new(&relaid.bytes, &plain);
    let found = index_codestream(&source, &Limits::default()).unwrap();
    assert_eq!(found.damage, []);
    assert!(packets(&source, &found.index) == packets(&source, &relaid.index));
    // New headers are few: most bytes are where they were.
    assert!(relaid.bytes.inline_len() * 20 < relaid.bytes.len(), "{}", relaid.bytes.inline_len());
}

/// Bytes that have been served under an identifier stay what they are: whoever changes a byte of them gives the layout
/// another name, [`VIRTUAL_LAYOUT`], and writes the new hashes here.
#[test]
fn a_named_virtual_layout_is_the_same_to_the_last_byte() {
    let Some(root) = testdata() else { return };
    for (name, file, expected) in [
        (
            "virtual precincts 1",
            "real/enet4/WG04/J2KR/RG3_J2KR",
            "eb13cf3230bacbbe5e3c21dddd02a454ca5e53f9afdfa7f3e7254c830a4b7382",
        ),
        (
            "virtual precincts 1",
            "real/csjs/openjphjs/j2c/RG3.j2c",
            "1de83171dfc155d7327650a41506236c22d9090ff67a75bdb5a1b97e04ad179e",
        ),
    ] {
        let bytes = std::fs::read(root.join(file)).unwrap();
        let extents = contiguous(&bytes).filter(|_| bytes.starts_with(&[0xFF])).or_else(|| dicom_frame(&bytes, 1));
        let extents = FrameExtents::new(extents.unwrap(), bytes.len() as u64).unwrap();
        let frame = FrameSource::new(&bytes, &extents);
        let relaid = virtual_layout(&frame, &Limits::default()).unwrap().unwrap();
        let mut presented = Vec::new();
        relaid.bytes.write_to(&frame, &mut presented).unwrap();
        let hash: String = Sha256::digest(&presented).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((VIRTUAL_LAYOUT, hash.as_str()), (name, expected), "{file}: see above");
    }
}

#[test]
fn real_codestreams_decode_to_the_same_samples_in_another_layout() {
    let Some(root) = testdata() else { return };
    let mut inputs = Vec::new();
    for folder in ["real/opj", "real/ojph", "real/csjs"] {
        collect(&root.join(folder), &mut inputs);
    }
    let text = std::fs::read_to_string(root.join("expected_bins.json")).unwrap();
    let listed: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut named: Vec<(PathBuf, Option<u64>)> = inputs.into_iter().map(|path| (path, None)).collect();
    named.extend(listed.iter().filter_map(|entry| {
        let frame = entry["frame"].as_u64().filter(|&frame| frame == 1)?;
        Some((root.join(entry["file"].as_str().unwrap()), Some(frame)))
    }));
    let (mut same, mut refused, mut undecodable, mut failures) = (0, 0, 0, Vec::new());
    for (path, frame) in &named {
        let bytes = std::fs::read(path).unwrap();
        let extents = match frame {
            None => contiguous(&bytes),
            Some(frame) => dicom_frame(&bytes, *frame),
        };
        let Some(extents) = extents else { continue };
        let Ok(extents) = FrameExtents::new(extents, bytes.len() as u64) else { continue };
        let mut codestream = vec![0; usize::try_from(extents.len()).unwrap()];
        FrameSource::new(&bytes, &extents).read_exact_at(0, &mut codestream).unwrap();
        match compare(&codestream) {
            Found::Same => same += 1,
            Found::Refused(why) => {
                println!("{}: refused: {why}", path.display());
                refused += 1;
            }
            Found::Undecodable => undecodable += 1,
            Found::Different(what) => failures.push(format!("{} {frame:?}: {what}", path.display())),
        }
    }
    println!("{same} the same, {undecodable} not decodable either way, {refused} refused");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(same > 120, "only {same}");
}

enum Found {
    Same,
    Refused(String),
    Undecodable,
    Different(&'static str),
}

fn compare(codestream: &[u8]) -> Found {
    let limits = Limits::default();
    let indexed = match index_codestream(&codestream, &limits) {
        Ok(indexed) => indexed,
        Err(error) => return Found::Refused(error.to_string()),
    };
    let layout = Layout {
        precincts: square(7),
        progression: Some(ProgressionOrder::Rpcl),
        tile_parts: TileParts::ByResolution,
        plt: true,
        tlm: true,
        ..Layout::default()
    };
    let relaid = match relayout(&codestream, &indexed, &layout, &limits) {
        Ok(relaid) => relaid,
        Err(error) => return Found::Refused(error.to_string()),
    };
    let mut out = Vec::new();
    relaid.bytes.write_to(&codestream, &mut out).unwrap();
    let Ok(Indexed { index, damage }) = index_codestream(&out, &limits) else { return Found::Different("no index") };
    if damage.iter().any(|damage| !indexed.damage.contains(damage)) {
        return Found::Different("new damage");
    }
    if packets(&out, &index) != packets(&out, &relaid.index) {
        return Found::Different("another index");
    }
    let merged = |bytes: &[u8], indexed: &Indexed| {
        let layout = Layout { precincts: square(15), progression: Some(ProgressionOrder::Lrcp), ..Layout::default() };
        let mut out = Vec::new();
        relayout(&bytes, indexed, &layout, &limits).unwrap().bytes.write_to(&bytes, &mut out).unwrap();
        out
    };
    if merged(codestream, &indexed) != merged(&out, &Indexed { index, damage: Vec::new() }) {
        return Found::Different("large precincts by way of small ones differ from large ones at once");
    }
    let decoding = DecodeParameters { max_samples: 1 << 25, ..DecodeParameters::default() };
    match (decode(codestream, &decoding), decode(&out, &decoding)) {
        (Ok(before), Ok(after)) if before == after => Found::Same,
        (Ok(_), Ok(_)) => Found::Different("other samples"),
        (Ok(_), Err(_)) => Found::Different("not decodable any more"),
        (Err(_), _) => Found::Undecodable,
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
    files.sort();
}

#[test]
fn limits_on_packets_and_code_blocks_hold_for_the_new_layout() {
    let image = picture(1024, 1024, 1);
    let bytes = encode(&image, &EncodeParameters { code_block: (4, 4), ..EncodeParameters::default() }).unwrap();
    let indexed = index_codestream(&bytes, &Limits::default()).unwrap();
    let layout = Layout { precincts: square(3), ..Layout::default() };
    let lay_out = |limits: &Limits| relayout(&bytes, &indexed, &layout, limits);
    let whole = lay_out(&Limits::default()).unwrap();
    let count = whole.index.tiles[0].packets[0].len();
    assert!(lay_out(&Limits { max_packets: count, ..Limits::default() }).is_ok());
    assert!(lay_out(&Limits { max_packets: count - 1, ..Limits::default() }).is_err());
    assert!(lay_out(&Limits { max_code_blocks: 1 << 16, ..Limits::default() }).is_err());
    let longest = Limits { max_packet_header: 64, ..Limits::default() };
    assert!(lay_out(&longest).is_err());
    assert!(whole.bytes.parts(Span::new(0, whole.bytes.len())).unwrap().count() > 1000);
}
