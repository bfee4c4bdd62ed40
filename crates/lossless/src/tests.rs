use codestream::markers::ProgressionOrder;
use codestream::relayout::{Precincts, TileParts};
use codestream::{Layout, index_codestream};
use openjpeg::{Component, Image};

use crate::{BlockCoder, Error, Limits, Parameters, Tiles, encode};

/// Samples that are neither flat nor noise, over the whole range of the depth, both ends included.
fn component(image: (u32, u32, u32, u32), spacing: (u32, u32), depth: (u8, bool), seed: u32) -> Component {
    let (x0, y0, width, height) = image;
    let (dx, dy) = spacing;
    let (precision, signed) = depth;
    let (width, height) = ((x0 + width).div_ceil(dx) - x0.div_ceil(dx), (y0 + height).div_ceil(dy) - y0.div_ceil(dy));
    let span = 1i64 << precision;
    let low = if signed { -(span / 2) } else { 0 };
    let mut noise = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut samples = Vec::new();
    for y in 0..i64::from(height) {
        for x in 0..i64::from(width) {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let smooth = (x * span / i64::from(width) + y * span / i64::from(height)) / 2;
            let value = match noise >> 26 {
                0 => 0,
                1 => span - 1,
                _ => (smooth + i64::from(noise >> 24) * span / 4096) % span,
            };
            samples.push(i32::try_from(low + value).unwrap());
        }
    }
    Component { width, height, dx, dy, precision, signed, samples }
}

fn image(width: u32, height: u32, depths: &[(u8, bool)]) -> Image {
    let depths = (0..).zip(depths);
    let components = depths.map(|(seed, &depth)| component((0, 0, width, height), (1, 1), depth, seed)).collect();
    Image { width, height, x0: 0, y0: 0, components }
}

#[test]
fn every_depth_and_sign_is_kept_with_and_without_the_component_transform() {
    for coder in BOTH {
        for (precision, signed) in (1..=24).flat_map(|precision| [(precision, false), (precision, true)]) {
            for (count, levels) in [(1, 0), (1, 5), (3, 1), (3, 5), (4, 2)] {
                let image = image(61, 43, &vec![(precision, signed); count]);
                let component_transform = count > 1 && precision < 24;
                let parameters = Parameters { coder, levels, component_transform, ..Parameters::default() };
                let encoded = encode(&image, &parameters);
                let encoded =
                    encoded.unwrap_or_else(|error| panic!("{coder:?} {precision} {signed} {levels}: {error}"));
                assert_eq!(encoded.index.header.coding().mct, component_transform);
            }
        }
    }
}

#[test]
fn every_size_and_place_is_kept_at_every_number_of_levels() {
    for coder in BOTH {
        for (width, height) in [(1, 1), (1, 50), (50, 1), (2, 3), (64, 64), (65, 63), (200, 133)] {
            for levels in [0, 1, 2, 3, 5, 8, 20, 32] {
                for (x0, y0) in [(0, 0), (1, 0), (0, 1), (13, 7), (1000, 999)] {
                    let components = vec![component((x0, y0, width, height), (1, 1), (12, false), 3)];
                    let image = Image { width, height, x0, y0, components };
                    let encoded = encode(&image, &Parameters { coder, levels, ..Parameters::default() });
                    assert!(encoded.is_ok(), "{coder:?} {width}x{height}+{x0}+{y0} {levels}: {encoded:?}");
                }
            }
        }
    }
}

#[test]
fn tiles_sub_sampling_code_blocks_and_mixed_depths_are_kept() {
    let tiles = [
        None,
        Some(Tiles { x0: 0, y0: 0, width: 64, height: 50 }),
        Some(Tiles { x0: 5, y0: 7, width: 33, height: 200 }),
        Some(Tiles { x0: 12, y0: 0, width: 1 << 30, height: 19 }),
    ];
    for (coder, (x0, y0)) in BOTH.into_iter().flat_map(|coder| [(coder, (13, 7)), (coder, (12, 10))]) {
        let image = sub_sampled((x0, y0, 211, 137));
        for tiles in tiles {
            for code_block in [(6, 6), (2, 2), (4, 3), (2, 10), (10, 2)] {
                let parameters = Parameters { coder, tiles, code_block, levels: 3, ..Parameters::default() };
                let encoded = encode(&image, &parameters);
                if coder == BlockCoder::Part1 && tiles.is_some() && x0 == 13 {
                    assert!(matches!(encoded, Err(Error::Unsupported { .. })), "{tiles:?}");
                } else {
                    assert!(encoded.is_ok(), "{coder:?} {x0} {tiles:?} {code_block:?}: {:?}", encoded.err());
                }
            }
        }
    }
}

fn sub_sampled(area: (u32, u32, u32, u32)) -> Image {
    let components = vec![
        component(area, (1, 1), (8, false), 1),
        component(area, (2, 2), (12, true), 2),
        component(area, (2, 1), (16, false), 3),
        component(area, (3, 5), (1, false), 4),
    ];
    let (x0, y0, width, height) = area;
    Image { width, height, x0, y0, components }
}

#[test]
fn a_flat_image_and_one_of_extremes_are_kept() {
    for coder in BOTH {
        for (low, high) in [(0, 0), (65_535, 65_535), (0, 65_535)] {
            let samples: Vec<i32> = (0..97 * 89).map(|at| if (at / 97 + at) % 2 == 0 { low } else { high }).collect();
            let image = Image::from_interleaved(97, 89, 1, (16, false), &samples).unwrap();
            encode(&image, &Parameters { coder, ..Parameters::default() }).unwrap();
        }
    }
}

#[test]
fn the_layout_is_the_one_that_was_asked_for() {
    let image = image(300, 260, &[(12, false); 3]);
    let layout = Layout {
        precincts: Precincts::Wanted([(7, 7)].into_iter().collect()),
        progression: Some(ProgressionOrder::Rpcl),
        tile_parts: TileParts::ByResolution,
        plt: true,
        tlm: true,
        ..Layout::default()
    };
    for coder in BOTH {
        let parameters =
            Parameters { coder, layout: layout.clone(), component_transform: true, ..Parameters::default() };
        let encoded = encode(&image, &parameters).unwrap();
        let indexed = index_codestream(&encoded.codestream, &parameters.limits.codestream).unwrap();
        assert_eq!(indexed.damage, []);
        let (header, tile) = (&indexed.index.header, &indexed.index.tiles[0]);
        assert_eq!(header.is_htj2k(), coder == BlockCoder::Ht);
        assert_eq!(header.coding().progression, ProgressionOrder::Rpcl);
        assert_eq!(header.coding().component(0).precinct_exponents(5), (7, 7));
        assert_eq!(tile.tile_parts.len(), 6);
        assert!(indexed.index.main_segments.iter().any(|segment| segment.marker == TLM));
        assert!(tile.header_segments.iter().any(|segment| segment.marker == PLT));
        assert_eq!(encoded.index.codestream_len, encoded.codestream.len() as u64);
    }
}

#[test]
fn what_cannot_be_expressed_is_said() {
    let refused = |image: &Image, parameters: Parameters| encode(image, &parameters).unwrap_err().to_string();
    let small = image(8, 8, &[(8, false)]);
    let ht = Parameters::default;
    let part1 = || Parameters { coder: BlockCoder::Part1, ..Parameters::default() };
    for parameters in [ht(), part1()] {
        let deep = image(8, 8, &[(25, false)]);
        assert_eq!(refused(&deep, parameters), "more than 24 bits a sample cannot be encoded");
    }
    let transformed = Parameters { component_transform: true, ..ht() };
    assert!(refused(&image(8, 8, &[(24, false); 3]), transformed.clone()).contains("more than 23 bits"));
    assert!(refused(&image(8, 8, &[(8, false), (8, false), (8, true)]), transformed.clone()).contains("alike"));
    assert!(refused(&small, transformed).contains("alike"));
    assert!(refused(&small, Parameters { levels: 33, ..part1() }).contains("decomposition levels"));
    assert!(refused(&small, Parameters { code_block: (10, 3), ..ht() }).contains("code-blocks"));
    for tiles in [(9, 0, 64, 64), (0, 0, 0, 64), (0, 0, 64, 0)] {
        let (x0, y0, width, height) = tiles;
        let tiles = Some(Tiles { x0, y0, width, height });
        assert!(refused(&small, Parameters { tiles, ..ht() }).contains("first tile"));
    }
    let wide = image(32_769, 1, &[(1, false)]);
    assert!(refused(&wide, ht()).contains("more than one precinct"));
    let tiles = Some(Tiles { x0: 0, y0: 0, width: 16_384, height: 1 });
    assert!(encode(&wide, &Parameters { tiles, ..ht() }).is_ok());
    assert!(encode(&wide, &part1()).is_ok());
    let far = Image { x0: 1 << 21, ..small.clone() };
    assert!(refused(&far, ht()).contains("far from the origin"));
    let mut wrong = small;
    wrong.components[0].samples[3] = 256;
    assert!(matches!(encode(&wrong, &ht()), Err(Error::Parameters(_))));
}

#[test]
fn samples_are_counted_before_anything_else() {
    let limits = Limits { max_samples: 3 * 8 * 8 - 1, ..Limits::default() };
    let refused = encode(&image(8, 8, &[(8, false); 3]), &Parameters { limits, ..Parameters::default() });
    assert!(matches!(refused, Err(Error::LimitExceeded { found: 192, limit: 191 })));
}

const BOTH: [BlockCoder; 2] = [BlockCoder::Part1, BlockCoder::Ht];

const TLM: u16 = 0xFF55;
const PLT: u16 = 0xFF58;
