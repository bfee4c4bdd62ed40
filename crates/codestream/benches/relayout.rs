//! Speed of another layout: parsing and regenerating alone, and with every byte copied.
//!
//! `cargo bench -p codestream --bench relayout`; bytes a second count the whole codestream.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench makes its own input")]

use std::sync::OnceLock;

use codestream::markers::ProgressionOrder;
use codestream::relayout::Precincts;
use codestream::{Indexed, Layout, Limits, index_codestream, relayout};
use divan::counter::BytesCount;
use openjpeg::{EncodeParameters, Image, encode};

fn main() {
    divan::main();
}

/// 20 Mpixel, 12 bits, lossless, one precinct a resolution level; then six layers of 32 × 32 code-blocks.
const LAYERS: [usize; 2] = [1, 6];

fn input(layers: usize) -> &'static (Vec<u8>, Indexed) {
    static INPUTS: [OnceLock<(Vec<u8>, Indexed)>; 2] = [OnceLock::new(), OnceLock::new()];
    INPUTS[usize::from(layers > 1)].get_or_init(|| {
        let (width, height) = (4096u32, 5120u32);
        let mut state = 1u32;
        let mut samples = Vec::with_capacity((width * height) as usize);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let breast = x * x + (y.abs_diff(2560)) * (y.abs_diff(2560)) < 2400 * 2400;
            let noise = if breast { state >> 28 } else { state >> 31 };
            samples.push((if breast { 1200 + (x + y) / 8 } else { 20 } + noise) as i32);
        }
        let image = Image::from_interleaved(width, height, 1, (12, false), &samples).unwrap();
        let six = vec![100.0, 50.0, 25.0, 12.0, 6.0, 3.0];
        let parameters = EncodeParameters {
            layers: if layers > 1 { six } else { Vec::new() },
            code_block: if layers > 1 { (32, 32) } else { (64, 64) },
            threads: 2,
            ..EncodeParameters::default()
        };
        let bytes = encode(&image, &parameters).unwrap();
        let indexed = index_codestream(&bytes, &Limits::default()).unwrap();
        (bytes, indexed)
    })
}

fn layout() -> Layout {
    let precincts = Precincts::Wanted([(7, 7)].into_iter().collect());
    Layout { precincts, progression: Some(ProgressionOrder::Rpcl), ..Layout::default() }
}

/// What opening a frame with a virtual layout costs.
#[divan::bench(args = LAYERS)]
fn derive(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let (bytes, _) = input(layers);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let indexed = index_codestream(bytes, &Limits::default()).unwrap();
        relayout(bytes, &indexed, &layout(), &Limits::default()).unwrap()
    });
}

/// What `precinct transcode` does between reading and writing.
#[divan::bench(args = LAYERS)]
fn transcode(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let (bytes, _) = input(layers);
    let mut out = Vec::with_capacity(bytes.len() * 2);
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        out.clear();
        let indexed = index_codestream(bytes, &Limits::default()).unwrap();
        let relaid = relayout(bytes, &indexed, &layout(), &Limits::default()).unwrap();
        relaid.bytes.write_to(bytes, &mut out).unwrap();
        out.len()
    });
}

/// The floor: copying the bytes.
#[divan::bench(args = LAYERS)]
fn copy(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let (bytes, _) = input(layers);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| bytes.clone());
}
