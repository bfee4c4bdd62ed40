//! Windows decoded from what was sent, against the same region of the whole image.

use jpip::client::{ReassembleOptions, reassemble};
use jpip::view_window::ViewWindow;
use jpip::{CodestreamId, EorReason};
use openjpeg::{Component, DecodeParameters, EncodeParameters, Image, Progression, decode, encode};
use proptest::prelude::*;

use super::pair::*;

/// Noise, so that every missing coefficient shows.
fn picture(area: [u32; 4], steps: &[(u32, u32)]) -> Image {
    let [x0, y0, width, height] = area;
    let mut noise = 9u32;
    let components = steps.iter().map(|&(dx, dy)| {
        let across = (x0 + width).div_ceil(dx) - x0.div_ceil(dx);
        let down = (y0 + height).div_ceil(dy) - y0.div_ceil(dy);
        let samples = (0..across * down).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as i32
        });
        Component { width: across, height: down, dx, dy, precision: 8, signed: false, samples: samples.collect() }
    });
    Image { width, height, x0, y0, components: components.collect() }
}

/// Checks every sample that covers the window, in every component.
fn check(original: &[u8], rebuilt: &[u8], window: &ViewWindow, steps: &[(u32, u32)]) {
    let parameters = DecodeParameters { reduce: window.discard_levels, ..DecodeParameters::default() };
    let whole = decode(original, &parameters).unwrap();
    let got = decode(rebuilt, &parameters).unwrap();
    let region = window.region;
    for ((whole, got), &(dx, dy)) in whole.components.iter().zip(&got.components).zip(steps) {
        assert_eq!((whole.width, whole.height), (got.width, got.height));
        let first_x = (region.x0 - window.offset.0).div_ceil(dx);
        let first_y = (region.y0 - window.offset.1).div_ceil(dy);
        for y in (region.y0 / dy).max(first_y)..region.y1.div_ceil(dy) {
            for x in (region.x0 / dx).max(first_x)..region.x1.div_ceil(dx) {
                let at = ((y - first_y) * whole.width + (x - first_x)) as usize;
                assert_eq!(whole.samples[at], got.samples[at], "component {dx}x{dy} sample {x},{y} of {window:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Precincts that change with the resolution level, tiles that do not divide them, windows off every grid.
    #[test]
    fn every_window_decodes_to_the_pixels_of_the_whole_image(
        reversible in any::<bool>(), tiled in any::<bool>(), subsampled in any::<bool>(), (tile_parts, jpt) in any::<(bool, bool)>(), order in 0usize..5, levels in 0u8..5,
        (x0, y0, width, height) in (0u32..9, 0u32..9, 60u32..150, 60u32..120),
        (fx, fy) in (5u32..150, 5u32..120), (ox, oy, sx, sy) in (0.0f64..0.9, 0.0f64..0.9, 0.01f64..0.6, 0.01f64..0.6),
    ) {
        let steps: &[(u32, u32)] = if subsampled { &[(1, 1), (2, 2), (2, 1)] } else { &[(1, 1)] };
        // OpenJPEG's 9/7 encoder aborts on a tile-component that is one sample wide or high at any level.
        prop_assume!(reversible || is_wide_everywhere((x0, width), tiled.then_some(53), steps.iter().map(|s| s.0), levels));
        prop_assume!(reversible || is_wide_everywhere((y0, height), tiled.then_some(47), steps.iter().map(|s| s.1), levels));
        let orders = [Progression::Lrcp, Progression::Rlcp, Progression::Rpcl, Progression::Pcrl, Progression::Cprl];
        let mut parameters = EncodeParameters {
            progression: orders[order],
            levels,
            precincts: vec![(32, 32), (16, 32), (16, 16), (8, 8)],
            code_block: (8, 8),
            reversible,
            tiles: tiled.then_some((53, 47)),
            tile_part_per_resolution: tile_parts,
            ..EncodeParameters::default()
        };
        let picture = picture([x0, y0, width, height], steps);
        parameters.levels = levels.min(openjpeg::most_levels(&picture, &parameters).unwrap());
        let encoded = encode(&picture, &parameters);
        // OpenJPEG's encoder gets lost between tile-parts and precincts in some orders, and sometimes says so.
        let is_sound = |bytes: &Vec<u8>| {
            codestream::index_codestream(bytes, &codestream::Limits::default()).unwrap().damage.is_empty()
        };
        prop_assume!(!tile_parts || encoded.as_ref().is_ok_and(is_sound));
        let original = encoded.unwrap();
        let server = server_of_bytes(&original);
        let at = |share: f64, of: u32| (share * f64::from(of)) as u32;
        let query = format!(
            "type={}&fsiz={fx},{fy},closest&roff={},{}&rsiz={},{}",
            if jpt { "jpt-stream" } else { "jpp-stream" },
            at(ox, fx), at(oy, fy), at(sx, fx).max(1), at(sy, fy).max(1)
        );
        let reply = server.stateless(&query);
        let mut store = new_store();
        let end = receive(&mut store, &reply.body);
        prop_assert!(matches!(end, Some(EorReason::WindowDone | EorReason::ImageDone)));
        let rebuilt = reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap().codestream;
        let request = reply.plan.request();
        let (header, _) = codestream::MainHeader::parse(&main_header(&store), &codestream::Limits::default()).unwrap();
        let levels = header.max_decomposition_levels();
        let window = ViewWindow::map(request.fsiz.unwrap(), request.roff, request.rsiz, header.siz(), levels);
        check(&original, &rebuilt, &window, steps);
    }
}

/// Whether each tile has two samples or more in one direction, in every component and at every level.
fn is_wide_everywhere(
    (start, len): (u32, u32),
    tile: Option<u32>,
    steps: impl Iterator<Item = u32> + Clone,
    levels: u8,
) -> bool {
    let (end, tile) = (start + len, tile.unwrap_or(start + len));
    (0..end.div_ceil(tile)).all(|n| {
        let (from, to) = (start.max(n * tile), end.min((n + 1) * tile));
        steps.clone().all(|step| {
            let at = |edge: u32| edge.div_ceil(step).div_ceil(1 << levels);
            at(to) >= at(from) + 2
        })
    })
}

fn main_header(store: &jpip::client::DataBinStore) -> Vec<u8> {
    store.bin(&jpip::BinKey::main_header(CodestreamId(0))).unwrap().prefix().into_owned()
}
