use super::*;
use crate::encode::{EncodeParameters, Progression, encode, most_levels};

/// Samples that are neither flat nor noise, from the whole range of the depth.
fn samples(width: u32, height: u32, precision: u8, signed: bool, seed: u32) -> Vec<i32> {
    let span = 1i64 << precision;
    let low = if signed { -(span / 2) } else { 0 };
    let mut noise = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut out = Vec::new();
    for y in 0..i64::from(height) {
        for x in 0..i64::from(width) {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let smooth = (x * span / i64::from(width) + y * span / i64::from(height)) / 2;
            let value = (smooth + i64::from(noise >> 24) * span / 4096) % span;
            out.push(i32::try_from(low + value).unwrap());
        }
    }
    out
}

fn image(width: u32, height: u32, depths: &[(u8, bool)]) -> Image {
    let component = |(index, &(precision, signed)): (usize, &(u8, bool))| Component {
        width,
        height,
        dx: 1,
        dy: 1,
        precision,
        signed,
        samples: samples(width, height, precision, signed, u32::try_from(index).unwrap()),
    };
    Image { width, height, x0: 0, y0: 0, components: depths.iter().enumerate().map(component).collect() }
}

fn crop(image: &Image, area: Rect) -> Image {
    let mut cut = image.clone();
    (cut.x0, cut.y0, cut.width, cut.height) = (area.x0, area.y0, area.x1 - area.x0, area.y1 - area.y0);
    for component in &mut cut.components {
        let rows = component.samples.chunks_exact(component.width as usize);
        let rows = rows.skip(area.y0 as usize).take(cut.height as usize);
        component.samples = rows.flat_map(|row| row[area.x0 as usize..area.x1 as usize].to_vec()).collect();
        (component.width, component.height) = (cut.width, cut.height);
    }
    cut
}

#[test]
fn every_depth_and_sign_comes_back() {
    for depth in [(8, false), (8, true), (12, false), (12, true), (16, false), (16, true), (1, false)] {
        let image = image(61, 43, &[depth]);
        let codestream = encode(&image, &EncodeParameters::default()).unwrap();
        assert_eq!(decode(&codestream, &DecodeParameters::default()).unwrap(), image, "{depth:?}");
    }
}

#[test]
fn every_way_of_laying_out_a_codestream_comes_back() {
    let image = image(150, 131, &[(8, false); 3]);
    let base = EncodeParameters { levels: 3, mct: true, ..EncodeParameters::default() };
    for progression in [Progression::Lrcp, Progression::Rlcp, Progression::Rpcl, Progression::Pcrl, Progression::Cprl] {
        for tiles in [None, Some((64, 50))] {
            let parameters = EncodeParameters {
                progression,
                tiles,
                precincts: vec![(64, 64), (32, 32)],
                layers: vec![20.0, 5.0, 0.0],
                sop: true,
                eph: true,
                tile_part_per_resolution: true,
                plt: true,
                tlm: true,
                code_block: (32, 32),
                ..base.clone()
            };
            let codestream = encode(&image, &parameters).unwrap();
            let decoded = decode_with_warnings(&codestream, &DecodeParameters::default()).unwrap();
            assert_eq!(decoded.image, image, "{parameters:?}");
            assert!(decoded.warnings.is_empty(), "{:?}", decoded.warnings);
        }
    }
    let threaded = encode(&image, &EncodeParameters { threads: 2, ..base.clone() }).unwrap();
    let parameters = DecodeParameters { threads: 2, ..DecodeParameters::default() };
    assert_eq!(decode(&threaded, &parameters).unwrap(), image);
    assert_eq!(threaded, encode(&image, &base).unwrap());
}

#[test]
fn a_region_is_the_crop_of_the_whole_at_every_resolution() {
    let mut image = image(200, 170, &[(12, false)]);
    (image.x0, image.y0) = (13, 7);
    let parameters = EncodeParameters { levels: 3, tiles: Some((90, 60)), ..EncodeParameters::default() };
    let codestream = encode(&image, &parameters).unwrap();
    for reduce in 0..=3u8 {
        let whole = decode(&codestream, &DecodeParameters { reduce, ..DecodeParameters::default() }).unwrap();
        assert_eq!(whole.x0, 13u32.div_ceil(1 << reduce));
        assert_eq!(whole.width, 213u32.div_ceil(1 << reduce) - whole.x0);
        for area in [(13, 7, 213, 177), (13, 7, 14, 8), (100, 60, 161, 131), (150, 90, 900, 900), (0, 0, 60, 60)] {
            let area = Rect { x0: area.0, y0: area.1, x1: area.2, y1: area.3 };
            let parameters = DecodeParameters { reduce, area: Some(area), ..DecodeParameters::default() };
            let part = match decode(&codestream, &parameters) {
                Ok(part) => part,
                // One sample of the full image may be none of the reduced one.
                Err(_) if area.x1 == 14 => continue,
                Err(err) => panic!("{err}"),
            };
            let (x0, y0) = (part.x0 - whole.x0, part.y0 - whole.y0);
            let cut = crop(&whole, Rect { x0, y0, x1: x0 + part.width, y1: y0 + part.height });
            assert_eq!(part.components, cut.components, "{reduce} {area:?}");
        }
    }
}

#[test]
fn sub_sampled_components_keep_their_sizes() {
    let mut image = image(33, 21, &[(8, false); 3]);
    for chroma in &mut image.components[1..] {
        (chroma.dx, chroma.dy, chroma.width, chroma.height) = (2, 2, 17, 11);
        chroma.samples = samples(17, 11, 8, false, 9);
    }
    let codestream = encode(&image, &EncodeParameters { levels: 2, ..EncodeParameters::default() }).unwrap();
    assert_eq!(decode(&codestream, &DecodeParameters::default()).unwrap(), image);
}

#[test]
fn the_irreversible_wavelet_stays_close() {
    let image = image(64, 64, &[(8, false)]);
    let parameters = EncodeParameters { reversible: false, ..EncodeParameters::default() };
    let decoded = decode(&encode(&image, &parameters).unwrap(), &DecodeParameters::default()).unwrap();
    let pairs = decoded.components[0].samples.iter().zip(&image.components[0].samples);
    assert!(pairs.map(|(a, b)| (a - b).abs()).max().unwrap() <= 3);
}

#[test]
fn garbage_is_an_error_and_says_why() {
    let refused = |data: &[u8]| decode(data, &DecodeParameters::default()).unwrap_err();
    assert_eq!(refused(b""), Error::NotJpeg2000);
    assert_eq!(refused(b"\x89PNG\r\n"), Error::NotJpeg2000);
    assert_eq!(refused(&[0xFF, 0x4F, 0xFF, 0x51, 0]), Error::Malformed("SIZ is cut off"));
    assert_eq!(refused(b"\0\0\0\x0cjP  \r\n\x87\n"), Error::Malformed("no codestream box"));
    let image = image(64, 64, &[(8, false)]);
    let codestream = encode(&image, &EncodeParameters::default()).unwrap();
    for cut in [50, 100, 140, codestream.len() / 2] {
        assert!(matches!(refused(&codestream[..cut]), Error::Refused { .. }), "{cut}");
    }
    let mut broken = codestream;
    for at in (45..broken.len()).step_by(7) {
        broken[at] ^= 0x55;
    }
    let Error::Refused { messages, .. } = refused(&broken) else { panic!() };
    assert_ne!(messages, "no reason given");
}

#[test]
fn what_the_header_announces_is_checked_before_it_is_allocated() {
    let image = image(64, 64, &[(8, false); 3]);
    let codestream =
        encode(&image, &EncodeParameters { tiles: Some((16, 16)), levels: 1, ..EncodeParameters::default() });
    let codestream = codestream.unwrap();
    let limited = |parameters| decode(&codestream, &parameters).unwrap_err();
    assert!(matches!(
        limited(DecodeParameters { max_samples: 3 * 64 * 64 - 1, ..DecodeParameters::default() }),
        Error::LimitExceeded { what: "samples", found: 12288, .. }
    ));
    assert!(matches!(
        limited(DecodeParameters { max_tile_components: 47, ..DecodeParameters::default() }),
        Error::LimitExceeded { what: "tile-components", found: 48, .. }
    ));
    let fits = DecodeParameters {
        reduce: 1,
        max_samples: 3 * 32 * 32,
        max_tile_components: 48,
        ..DecodeParameters::default()
    };
    assert!(decode(&codestream, &fits).is_ok());
    // 65 535 × 65 535 tiles of one sample.
    let mut huge = codestream.clone();
    huge[8..12].copy_from_slice(&65_535u32.to_be_bytes());
    huge[12..16].copy_from_slice(&65_535u32.to_be_bytes());
    huge[24..28].copy_from_slice(&1u32.to_be_bytes());
    huge[28..32].copy_from_slice(&1u32.to_be_bytes());
    assert!(matches!(decode(&huge, &DecodeParameters::default()), Err(Error::LimitExceeded { .. })));
}

#[test]
fn impossible_parameters_are_refused() {
    let image = image(8, 8, &[(8, false)]);
    let refused = |parameters: EncodeParameters| encode(&image, &parameters).unwrap_err();
    assert!(matches!(refused(EncodeParameters { mct: true, ..Default::default() }), Error::Parameters(_)));
    assert!(matches!(
        refused(EncodeParameters { precincts: vec![(48, 64)], ..Default::default() }),
        Error::Parameters(_)
    ));
    assert!(matches!(refused(EncodeParameters { levels: 33, ..Default::default() }), Error::Parameters(_)));
    assert!(matches!(refused(EncodeParameters { layers: vec![f32::NAN], ..Default::default() }), Error::Parameters(_)));
    assert!(matches!(refused(EncodeParameters { tiles: Some((0, 8)), ..Default::default() }), Error::Parameters(_)));
    assert!(matches!(
        refused(EncodeParameters { code_block: (3, 3), levels: 1, ..Default::default() }),
        Error::Refused { .. }
    ));
    let mut wrong = image.clone();
    wrong.components[0].samples[0] = 256;
    assert!(encode(&wrong, &EncodeParameters::default()).is_err());
    wrong.components[0].samples.pop();
    assert!(encode(&wrong, &EncodeParameters::default()).is_err());
}

#[test]
fn an_area_outside_the_image_is_refused() {
    let codestream =
        encode(&image(8, 8, &[(8, false)]), &EncodeParameters { levels: 1, ..Default::default() }).unwrap();
    let area = Some(Rect { x0: 8, y0: 0, x1: 20, y1: 8 });
    assert_eq!(decode(&codestream, &DecodeParameters { area, ..Default::default() }), Err(Error::EmptyArea));
    let too_far = DecodeParameters { reduce: 2, ..DecodeParameters::default() };
    assert!(matches!(decode(&codestream, &too_far), Err(Error::Refused { .. })));
}

#[test]
fn a_file_that_announces_one_tile_part_too_few_decodes_whole() {
    let image = image(100, 80, &[(8, false)]);
    let parameters = EncodeParameters {
        levels: 3,
        tiles: Some((64, 64)),
        progression: Progression::Rlcp,
        tile_part_per_resolution: true,
        ..EncodeParameters::default()
    };
    let mut codestream = encode(&image, &parameters).unwrap();
    let tile_parts: Vec<usize> = codestream
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| *bytes == [0xFF, 0x90, 0, 10])
        .map(|(at, _)| at)
        .collect();
    assert_eq!(tile_parts.len(), 4 * 4);
    for at in tile_parts {
        assert_eq!(codestream[at + 11], 4);
        codestream[at + 11] = 3;
    }
    let decoded = decode_with_warnings(&codestream, &DecodeParameters::default()).unwrap();
    assert_eq!(decoded.image, image);
    assert_eq!(decoded.warnings.len(), 1);
}

#[test]
fn levels_that_would_leave_nothing_to_halve_are_refused() {
    // Of 1 × 1 at (1000, 999) the first halving leaves a sample, the second none.
    let mut dot = image(1, 1, &[(8, false)]);
    (dot.x0, dot.y0) = (1000, 999);
    let levels = |levels| EncodeParameters { levels, ..EncodeParameters::default() };
    let most = most_levels(&dot, &levels(0)).unwrap();
    for few in 0..=most {
        assert_eq!(decode(&encode(&dot, &levels(few)).unwrap(), &DecodeParameters::default()).unwrap(), dot);
    }
    assert!(matches!(encode(&dot, &levels(most + 1)), Err(Error::Parameters(_))));
    // The last column of tiles is one sample wide, at 65, which is nothing in a component of every second.
    let mut narrow = image(66, 66, &[(8, false); 2]);
    (narrow.components[1].dx, narrow.components[1].width) = (2, 33);
    narrow.components[1].samples.truncate(33 * 66);
    let tiles = EncodeParameters { tiles: Some((13, 13)), levels: 1, ..EncodeParameters::default() };
    assert!(matches!(encode(&narrow, &tiles), Err(Error::Parameters(_))));
    let flat = encode(&narrow, &EncodeParameters { levels: 0, ..tiles }).unwrap();
    assert_eq!(decode(&flat, &DecodeParameters::default()).unwrap(), narrow);
}
