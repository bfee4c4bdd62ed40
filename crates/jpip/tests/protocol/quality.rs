//! Quality: what `quality` means, how a response that it ends is ended, and that every byte more makes a better picture.

use codestream::testkit::{TileParts, tiny_codestream};
use jpip::client::{ReassembleOptions, reassemble};
use jpip::data_bin::DataBinClass;
use jpip::{BinKey, CacheModel, CodestreamId, EorReason};
use openjpeg::{Component, DecodeParameters, EncodeParameters, Image, Progression, decode, encode};

use super::pair::*;

const WHOLE: &str = "fsiz=64,64";

#[test]
fn c_6_2_quality_chooses_layers_and_the_response_ends_with_5() {
    let server = server(&tiny_codestream().size(64, 64).layers(5).levels(2).empty_packets(0));
    for (quality, layers, served) in
        [(0, 1, "20"), (20, 1, "20"), (21, 2, "40"), (50, 3, "60"), (80, 4, "80"), (81, 5, "100"), (100, 5, "100")]
    {
        let by_quality = server.stateless(&format!("{WHOLE}&quality={quality}"));
        let by_layers = server.stateless(&format!("{WHOLE}&layers={layers}"));
        let without_end = |reply: &Reply| reply.body[..reply.body.len() - 3].to_vec();
        assert_eq!(without_end(&by_quality), without_end(&by_layers), "{quality}");
        assert_eq!(by_quality.header("JPIP-quality"), Some(served), "{quality}");
        assert_eq!(by_quality.end, if layers < 5 { EorReason::QualityLimit } else { EorReason::ImageDone });
    }
    // Where `layers` is the narrower bound, it is not the quality that ends the response.
    let both = server.stateless(&format!("{WHOLE}&layers=2&quality=80"));
    assert_eq!((both.end, both.header("JPIP-quality")), (EorReason::WindowDone, Some("40")));
    assert_eq!(server.stateless(&format!("{WHOLE}&layers=4&quality=40")).end, EorReason::QualityLimit);
    assert_eq!(server.stateless(&format!("{WHOLE}&layers=4")).header("JPIP-quality"), None);
    // The byte limit comes first where it is reached first.
    assert_eq!(server.stateless(&format!("{WHOLE}&quality=40&len=200")).end, EorReason::ByteLimit);
    assert_eq!(server.stateless("quality=40").end, EorReason::WindowDone, "headers have no quality");
}

#[test]
fn a_single_layer_is_all_there_is_at_any_quality() {
    let server = server(&tiny_codestream().size(64, 64));
    for quality in [0, 50, 100] {
        let reply = server.stateless(&format!("{WHOLE}&quality={quality}"));
        assert_eq!((reply.end, reply.header("JPIP-quality")), (EorReason::ImageDone, Some("100")));
    }
}

#[test]
fn what_quality_kept_back_comes_with_the_next_request() {
    let server = server(&tiny_codestream().size(64, 64).layers(4).levels(1).empty_packets(0));
    let mut model = CacheModel::new(&server.limits);
    let mut store = new_store();
    for (quality, expected) in
        [(25, EorReason::QualityLimit), (60, EorReason::QualityLimit), (100, EorReason::ImageDone)]
    {
        let (body, end) = server.in_session(&format!("{WHOLE}&quality={quality}"), &mut model);
        assert!(body.len() > 100 && end == expected);
        receive(&mut store, &body);
    }
    server.check_precincts(&store, CodestreamId(0));
}

#[test]
fn in_a_jpt_stream_quality_chooses_tile_parts() {
    let by_layer = server(&tiny_codestream().size(64, 64).layers(4).tile_parts(TileParts::ByLayer).empty_packets(0));
    let bytes = |reply: &Reply| {
        let mut store = new_store();
        receive(&mut store, &reply.body);
        let bin = store.bin(&BinKey::tile(CodestreamId(0), 0)).unwrap();
        (bin.prefix_len(), bin.is_complete())
    };
    let half = by_layer.stateless(&format!("{WHOLE}&type=jpt-stream&quality=50"));
    let parts = &by_layer.built[0].tile_parts;
    assert_eq!(bytes(&half), (parts[0].span.len + parts[1].span.len, false));
    assert_eq!(half.end, EorReason::QualityLimit);
    // Tile-parts that hold all layers come with all of them, so that nothing is kept back.
    let one = server(&tiny_codestream().size(64, 64).layers(4).empty_packets(0));
    let all = one.stateless(&format!("{WHOLE}&type=jpt-stream&quality=50"));
    assert!(bytes(&all).1);
    assert!(all.messages().iter().all(|message| message.class != DataBinClass::Precinct));
}

/// Something between a photograph and noise.
fn picture(width: u32, height: u32) -> Image {
    let mut noise = 3u32;
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let disc = if (x as i32 - 40).pow(2) + (y as i32 - 50).pow(2) < 900 { 70 } else { 0 };
            samples.push((disc + (x + 2 * y) as i32 / 4 + (noise >> 28) as i32) % 256);
        }
    }
    let component = Component { width, height, dx: 1, dy: 1, precision: 8, signed: false, samples };
    Image { width, height, x0: 0, y0: 0, components: vec![component] }
}

#[test]
fn every_prefix_of_a_response_is_a_better_picture_than_a_shorter_one() {
    let original = picture(160, 128);
    let base = EncodeParameters {
        levels: 3,
        layers: vec![30.0, 8.0, 1.0],
        precincts: vec![(64, 64), (32, 32)],
        code_block: (16, 16),
        ..EncodeParameters::default()
    };
    let one_layer = EncodeParameters { layers: Vec::new(), progression: Progression::Rpcl, ..base.clone() };
    let kinds = [
        ("layers", base.clone()),
        ("resolutions", EncodeParameters { progression: Progression::Rlcp, ..base.clone() }),
        ("one layer", one_layer.clone()),
        ("tiles", EncodeParameters { tiles: Some((64, 64)), ..base }),
        (
            "tile-parts",
            EncodeParameters {
                tiles: Some((80, 64)),
                tile_part_per_resolution: true,
                precincts: Vec::new(),
                ..one_layer
            },
        ),
    ];
    for (name, parameters) in kinds {
        let server = server_of_bytes(&encode(&original, &parameters).unwrap());
        for stream in ["jpp-stream", "jpt-stream"] {
            let body = server.stateless(&format!("type={stream}&fsiz=160,128")).body;
            let mut before = f64::INFINITY;
            let steps = 40;
            for step in 1..=steps {
                let mut store = new_store();
                receive(&mut store, &body[..body.len() * step / steps]);
                let rebuilt = reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap().codestream;
                let got = decode(&rebuilt, &DecodeParameters::default());
                let Ok(got) = got else {
                    assert!(step < 3, "{name} {stream}: only before any tile is there: {step}");
                    continue;
                };
                let pairs = original.components[0].samples.iter().zip(&got.components[0].samples);
                let error: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
                // A single coefficient may do harm where those around it are missing: a hundredth is let pass.
                assert!(error <= before * 1.01, "{name} {stream}: {before} became {error} at {step} of {steps}");
                before = error;
            }
            assert_eq!(before, 0.0, "{name} {stream}: nothing is lost in the end");
        }
    }
}
