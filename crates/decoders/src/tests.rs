//! Vectors made for these tests by Pillow and DCMTK, and by hand. `conformance/pixels.py` compares whole objects.

use crate::{Error, Frame, Layout, jpeg, jpeg_ls, native, rle};

const LIMIT: u64 = 1 << 16;

type Decode = fn(&[u8], u64) -> Result<Frame, Error>;

struct Vector {
    decode: Decode,
    coded: &'static [u8],
    samples: &'static [u8],
    precision: u8,
}

macro_rules! vector {
    ($decode:expr, $name:literal, $kind:literal, $precision:literal) => {
        Vector {
            decode: $decode,
            coded: include_bytes!(concat!("../tests/vectors/", $name, $kind)),
            samples: include_bytes!(concat!("../tests/vectors/", $name, ".samples")),
            precision: $precision,
        }
    };
}

fn vectors() -> [Vector; 5] {
    [
        vector!(jpeg, "colour_420", ".jpg", 8),
        vector!(jpeg, "extended_12", ".jpg", 12),
        vector!(jpeg, "lossless_7", ".jpg", 12),
        vector!(jpeg_ls, "grey", ".jls", 12),
        vector!(jpeg_ls, "colour_sample", ".jls", 8),
    ]
}

#[test]
fn every_sample_is_that_of_the_reference_decoders() {
    for vector in vectors() {
        let frame = (vector.decode)(vector.coded, LIMIT).unwrap();
        assert_eq!((frame.width, frame.height), (19, 13));
        let samples: Vec<i32> = if vector.precision == 8 {
            vector.samples.iter().map(|&sample| sample.into()).collect()
        } else {
            vector.samples.chunks_exact(2).map(|two| u16::from_le_bytes(two.try_into().unwrap()).into()).collect()
        };
        assert_eq!(frame.components.concat(), samples);
    }
}

#[test]
fn whatever_is_cut_or_changed_ends_in_an_error_or_in_samples_of_the_announced_size() {
    for vector in vectors() {
        for len in 0..vector.coded.len() {
            let cut = (vector.decode)(&vector.coded[..len], LIMIT);
            assert!(cut.is_err() || len + 4 >= vector.coded.len(), "{len} of {}", vector.coded.len());
        }
        for at in 0..vector.coded.len() {
            for bits in [1, 0x80, 0xff, 0x55] {
                let mut changed = vector.coded.to_vec();
                changed[at] ^= bits;
                if let Ok(frame) = (vector.decode)(&changed, LIMIT) {
                    let each = frame.width as usize * frame.height as usize;
                    assert!(frame.components.iter().all(|component| component.len() == each), "{at} {bits}");
                }
            }
        }
    }
}

#[test]
fn a_limit_is_kept_before_anything_is_allocated() {
    for vector in vectors() {
        assert!(matches!((vector.decode)(vector.coded, 19 * 13 - 1), Err(Error::LimitExceeded { .. })));
    }
    let refused = rle(&[0; 64], (65_535, 65_535), 1, 2, LIMIT);
    assert!(matches!(refused, Err(Error::LimitExceeded { found: 4_294_836_225, .. })));
}

/// [14495-1 H.3]
#[test]
fn h_3_the_example_of_the_standard_is_decoded() {
    #[rustfmt::skip]
    let coded = [
        0xff, 0xd8, 0xff, 0xf7, 0, 11, 8, 0, 4, 0, 4, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0,
        0xc0, 0x00, 0x00, 0x6c, 0x80, 0x20, 0x8e, 0x01, 0xc0, 0x00, 0x00, 0x57, 0x40, 0x00, 0x00, 0x6e, 0xe6, 0x00,
        0x00, 0x01, 0xbc, 0x18, 0x00, 0x00, 0x05, 0xd8, 0x00, 0x00, 0x91, 0x60, 0xff, 0xd9,
    ];
    let samples = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
    assert_eq!(jpeg_ls(&coded, LIMIT).unwrap().components, [samples]);
}

/// [PS3.5 G.3]
#[test]
fn g_3_runs_and_literals_make_up_the_bytes_of_samples() {
    let mut frame = vec![2, 0, 0, 0, 64, 0, 0, 0, 70, 0, 0, 0];
    frame.resize(64, 0);
    // High bytes 1 1 1 2, padded; low bytes 9 8 7 7.
    frame.extend([0xfe, 1, 0x80, 0, 2, 0]);
    frame.extend([1, 9, 8, 0xff, 7]);
    assert_eq!(rle(&frame, (2, 2), 1, 2, LIMIT).unwrap().components, [[0x109, 0x108, 0x107, 0x207]]);
    assert!(rle(&frame, (2, 3), 1, 2, LIMIT).is_err(), "too short");
    assert!(rle(&frame, (2, 2), 2, 2, LIMIT).is_err(), "too few segments");
    frame[8] = 200;
    assert!(rle(&frame, (2, 2), 1, 2, LIMIT).is_err(), "a segment that is not there");
}

#[test]
fn native_samples_are_unpacked_from_every_layout() {
    let layout = Layout { components: 1, bits_allocated: 1, planar: false, halved: false };
    let bits = native(&[0b1010_0000, 0b0000_0011], 5, (2, 2), &layout, LIMIT).unwrap();
    assert_eq!(bits.components, [[1, 0, 1, 1]]);
    assert!(native(&[0], 5, (2, 2), &layout, LIMIT).is_err());
    let colour = Layout { components: 3, bits_allocated: 8, ..layout };
    let interleaved = native(&[1, 2, 3, 4, 5, 6], 0, (2, 1), &colour, LIMIT).unwrap();
    assert_eq!(interleaved.components, [[1, 4], [2, 5], [3, 6]]);
    let planar = native(&[1, 2, 3, 4, 5, 6], 0, (2, 1), &Layout { planar: true, ..colour }, LIMIT).unwrap();
    assert_eq!(planar.components, [[1, 2], [3, 4], [5, 6]]);
    let halved = native(&[1, 2, 3, 4], 0, (2, 1), &Layout { halved: true, ..colour }, LIMIT).unwrap();
    assert_eq!(halved.components, [[1, 2], [3, 3], [4, 4]]);
    let wide = native(&[1, 2, 3, 0x84], 0, (1, 1), &Layout { bits_allocated: 32, ..layout }, LIMIT).unwrap();
    assert_eq!(wide.components, [[0x8403_0201_u32.cast_signed()]]);
}
