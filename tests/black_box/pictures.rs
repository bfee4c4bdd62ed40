//! Small files that the tests make themselves.

use codestream::testkit::{Order, files, tiny_codestream};
use dicom_bridge::write::{NewObject, OffsetTable};
use openjpeg::{Component, EncodeParameters, Image, Progression};

/// 256 × 256, three decomposition levels, precincts of 32, two layers: 85 precincts of packets that hold something.
pub(crate) fn precincts() -> Vec<u8> {
    tiny_codestream()
        .size(256, 256)
        .levels(3)
        .layers(2)
        .progression(Order::Rpcl)
        .precincts(&[(5, 5)])
        .code_block(4, 4)
        .build()
}

/// Nine tiles of 100 × 90 samples, three components, markers in one tile's header.
pub(crate) fn tiles() -> Vec<u8> {
    tiny_codestream().size(300, 270).tiles(3, 3).components(3).levels(2).tile_comment(4).build()
}

/// One tile, one level: a few hundred bytes.
pub(crate) fn tiny() -> Vec<u8> {
    tiny_codestream().build()
}

pub(crate) fn jp2() -> Vec<u8> {
    files::jp2_file(&precincts())
}

pub(crate) fn jpx(count: usize) -> Vec<u8> {
    files::jpx_file(&(0..count).map(|n| tiny_codestream().seed(n as u64 + 1).build()).collect::<Vec<_>>())
}

/// Noise, so that it does not compress: about `side`² · 2 bytes, 64-sample precincts.
pub(crate) fn noise(side: u32) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let samples = (0..side * side)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state & 0xffff) as i32
        })
        .collect();
    let component = Component { width: side, height: side, dx: 1, dy: 1, precision: 16, signed: false, samples };
    let image = Image { width: side, height: side, x0: 0, y0: 0, components: vec![component] };
    let parameters = EncodeParameters {
        progression: Progression::Rpcl,
        precincts: vec![(64, 64)],
        threads: 2,
        ..EncodeParameters::default()
    };
    openjpeg::encode(&image, &parameters).unwrap()
}

/// A picture of 16 × 16 samples of 8 bits, another one for each `seed`.
pub(crate) fn gray(seed: i32) -> Vec<u8> {
    let samples = (0..256).map(|at| (at * 7 + seed * 31) % 256).collect();
    let component = Component { width: 16, height: 16, dx: 1, dy: 1, precision: 8, signed: false, samples };
    let image = Image { width: 16, height: 16, x0: 0, y0: 0, components: vec![component] };
    openjpeg::encode(&image, &EncodeParameters { levels: 1, ..EncodeParameters::default() }).unwrap()
}

/// What patients must not be found by in logs, errors and URLs.
pub(crate) const CANARY_NAME: &str = "Canary^Yellow^Bird";
pub(crate) const CANARY_ID: &str = "CANARY-4711";

/// A multi-frame object of tiny frames.
pub(crate) fn dicom(uid: &str, frames: usize) -> Vec<u8> {
    object(uid, "1.2.840.10008.1.2.4.90", frames)
        .encapsulate(
            &(0..frames).map(|n| tiny_codestream().seed(n as u64 + 7).build()).collect::<Vec<_>>(),
            OffsetTable::Basic,
            1,
        )
        .unwrap()
}

/// An object without pixel data.
pub(crate) fn report(uid: &str) -> Vec<u8> {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.88.11", uid, "1.2.840.10008.1.2.1");
    identify(&mut object);
    object.to_bytes().unwrap()
}

pub(crate) fn object(uid: &str, syntax: &str, frames: usize) -> NewObject {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", uid, syntax);
    identify(&mut object);
    object
        .attributes()
        .put(0x0028_0002, "US", "1")
        .put(0x0028_0004, "CS", "MONOCHROME2")
        .put(0x0028_0008, "IS", &frames.to_string())
        .put(0x0028_0010, "US", "16")
        .put(0x0028_0011, "US", "16")
        .put(0x0028_0100, "US", "8")
        .put(0x0028_0101, "US", "8")
        .put(0x0028_0102, "US", "7")
        .put(0x0028_0103, "US", "0");
    object
}

fn identify(object: &mut NewObject) {
    object
        .attributes()
        .put(0x0010_0010, "PN", CANARY_NAME)
        .put(0x0010_0020, "LO", CANARY_ID)
        .put(0x0008_0060, "CS", "OT")
        .put(0x0020_000d, "UI", "1.2.826.0.1.3680043.10.99.1")
        .put(0x0020_000e, "UI", "1.2.826.0.1.3680043.10.99.2");
}
