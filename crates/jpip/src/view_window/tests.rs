use codestream::TileIndex;
use codestream::geometry::TileComponent;
use codestream::markers::Siz;
use proptest::prelude::*;

use super::*;

/// A SIZ payload as the parser takes it.
fn siz(image: [u32; 4], tile: [u32; 4], components: &[(u8, u8)]) -> Siz {
    let [xosiz, yosiz, xsiz, ysiz] = image;
    let [xtosiz, ytosiz, xtsiz, ytsiz] = tile;
    let mut payload = vec![0, 0];
    for value in [xsiz, ysiz, xosiz, yosiz, xtsiz, ytsiz, xtosiz, ytosiz] {
        payload.extend(value.to_be_bytes());
    }
    payload.extend((components.len() as u16).to_be_bytes());
    for &(dx, dy) in components {
        payload.extend([7, dx, dy]);
    }
    Siz::parse(&payload, 0).unwrap()
}

fn frame(width: u32, height: u32, rounding: Rounding) -> FrameSize {
    FrameSize { width, height, rounding }
}

fn pair(x: u32, y: u32) -> Option<SamplePair> {
    Some(SamplePair { x, y })
}

#[test]
fn c_4_2_the_three_roundings() {
    let siz = siz([0, 0, 4096, 3072], [0, 0, 4096, 3072], &[(1, 1)]);
    let discard = |w, h, rounding| ViewWindow::map(frame(w, h, rounding), None, None, &siz, 5).discard_levels;
    for (w, h, down, up, closest) in [
        (1024, 768, 2, 2, 2),
        (1000, 800, 3, 1, 2),
        (5000, 5000, 0, 0, 0),
        (1, 1, 5, 5, 5),
        (129, 96, 5, 4, 5),
        (4096, 1, 5, 0, 5),
        (4095, 3072, 1, 0, 0),
    ] {
        assert_eq!(discard(w, h, Rounding::Down), down, "down {w}x{h}");
        assert_eq!(discard(w, h, Rounding::Up), up, "up {w}x{h}");
        assert_eq!(discard(w, h, Rounding::Closest), closest, "closest {w}x{h}");
    }
}

#[test]
fn c_4_3_the_transcript_of_the_digest() {
    let siz = siz([0, 0, 4096, 3072], [0, 0, 4096, 3072], &[(1, 1)]);
    let window = ViewWindow::map(frame(1000, 800, Rounding::Closest), pair(100, 100), pair(256, 256), &siz, 5);
    assert_eq!((window.frame, window.offset, window.size), ((1024, 768), (102, 96), (263, 246)));
}

#[test]
fn c_4_4_regions_at_the_edges() {
    let siz = siz([0, 0, 100, 50], [0, 0, 100, 50], &[(1, 1)]);
    let map = |roff, rsiz| ViewWindow::map(frame(100, 50, Rounding::Down), roff, rsiz, &siz, 3);
    assert_eq!(map(None, None).size, (100, 50));
    assert!(map(None, None).is_whole(&siz));
    assert_eq!(map(pair(40, 20), None).size, (60, 30));
    assert_eq!(map(pair(90, 40), pair(u32::MAX, u32::MAX)).size, (10, 10));
    for (roff, rsiz) in
        [(pair(100, 0), None), (pair(0, 50), pair(1, 1)), (None, pair(0, 5)), (pair(u32::MAX, 0), pair(u32::MAX, 1))]
    {
        let window = map(roff, rsiz);
        assert!(window.is_empty() && window.size == (0, 0), "{roff:?} {rsiz:?}");
        assert!(window.tiles(&siz).is_empty());
    }
}

#[test]
fn a_size_at_which_nothing_is_left_is_not_available() {
    let siz = siz([1, 1, 2, 2], [0, 0, 2, 2], &[(1, 1)]);
    let window = ViewWindow::map(frame(1, 1, Rounding::Down), None, None, &siz, 3);
    assert_eq!((window.discard_levels, window.frame), (0, (1, 1)));
}

#[test]
fn the_chroma_sample_that_covers_the_first_column_is_needed() {
    // Tiles of odd width, 4:2:0: column 15 belongs to the second tile, the chroma sample 7 that covers it
    // lies at column 14, in the first.
    let siz = siz([0, 0, 30, 30], [0, 0, 15, 15], &[(1, 1), (2, 2)]);
    let window = ViewWindow::map(frame(30, 30, Rounding::Down), pair(15, 15), pair(4, 4), &siz, 0);
    assert_eq!(window.tiles(&siz).columns, (0, 2));
    assert!(window.meets(&siz, TileIndex(0)) && window.meets(&siz, TileIndex(3)));
    let even = ViewWindow::map(frame(30, 30, Rounding::Down), pair(16, 16), pair(4, 4), &siz, 0);
    assert!(!even.meets(&siz, TileIndex(0)) && even.meets(&siz, TileIndex(3)));
}

#[test]
fn numbers_at_the_ends_of_32_bits() {
    let huge = siz([0, 0, u32::MAX, u32::MAX], [0, 0, u32::MAX, u32::MAX], &[(255, 255)]);
    let window = ViewWindow::map(frame(u32::MAX, u32::MAX, Rounding::Up), pair(u32::MAX - 1, 0), pair(9, 9), &huge, 32);
    assert_eq!(window.size, (1, 9));
    assert_eq!(window.tiles(&huge).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The range of tiles leaves out no tile that holds samples of the window.
    #[test]
    fn tile_ranges_agree_with_looking_at_every_tile(
        x0 in 0u32..30, y0 in 0u32..30, w in 1u32..60, h in 1u32..60, tw in 1u32..20, th in 1u32..20,
        steps in prop::collection::vec((1u8..4, 1u8..4), 1..3),
        fx in 1u32..80, fy in 1u32..80, ox in 0u32..80, oy in 0u32..80, sx in 0u32..40, sy in 0u32..40,
    ) {
        let siz = siz([x0, y0, x0 + w, y0 + h], [x0, y0, tw, th], &steps);
        let window = ViewWindow::map(frame(fx, fy, Rounding::Closest), pair(ox, oy), pair(sx, sy), &siz, 3);
        let range = window.tiles(&siz);
        let listed: Vec<u32> = (0..range.len()).filter_map(|n| range.tile(n)).filter(|t| window.meets(&siz, *t)).map(|t| t.0).collect();
        let looked: Vec<u32> = (0..siz.tile_count()).filter(|&t| window.meets(&siz, TileIndex(t))).collect();
        prop_assert_eq!(listed, looked);
        if !window.is_empty() {
            prop_assert!(window.region.x1 - window.region.x0 == window.size.0);
        }
    }

    /// A window over the whole image takes every precinct of every level that it uses.
    #[test]
    fn the_whole_image_takes_every_precinct(
        x0 in 0u32..50, y0 in 0u32..50, w in 1u32..90, h in 1u32..90, dx in 1u8..4, dy in 1u8..4,
        levels in 0u8..4, exponent in 1u8..6,
    ) {
        let siz = siz([x0, y0, x0 + w, y0 + h], [0, 0, 200, 200], &[(dx, dy)]);
        let mut cod = vec![1, 0, 0, 1, 0, levels, 4, 4, 0, 1];
        cod.extend(std::iter::repeat_n(exponent << 4 | exponent, usize::from(levels) + 1));
        let coding = codestream::markers::Cod::parse(&cod, 0).unwrap().component;
        let component = TileComponent::new(siz.component_rect(TileIndex(0), 0), coding.into());
        let found = ViewWindow::whole(&siz).precincts(&component, (dx, dy));
        let count: u64 = found.iter().map(PrecinctRange::len).sum();
        prop_assert_eq!(count, component.precinct_count());
        let mut next = 0;
        for range in &found {
            for n in 0..range.len() {
                prop_assert_eq!(range.nth_sequence(n), Some(next));
                next += 1;
            }
        }
    }
}
