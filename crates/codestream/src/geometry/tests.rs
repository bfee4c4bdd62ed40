use super::*;
use crate::markers::Cod;

fn siz(grid: [u32; 8], components: &[[u8; 3]]) -> Siz {
    let mut out = vec![0, 0];
    grid.iter().for_each(|v| out.extend(v.to_be_bytes()));
    out.extend(u16::try_from(components.len()).unwrap().to_be_bytes());
    components.iter().for_each(|c| out.extend(c));
    Siz::parse(&out, 0).unwrap()
}

fn coding(levels: u8, xcb: u8, ycb: u8, precincts: &[u8]) -> Arc<ComponentCoding> {
    let mut payload = vec![u8::from(!precincts.is_empty()), 0, 0, 1, 0, levels, xcb - 2, ycb - 2, 0, 1];
    payload.extend(precincts);
    Arc::new(Cod::parse(&payload, 0).unwrap().component)
}

#[test]
fn a_3_2_1_precinct_identifier_counts_tiles_first() {
    let siz = siz([20, 20, 0, 0, 10, 10, 0, 0], &[[7, 1, 1]; 3]);
    // The example of the digest: tile 3, component 1, precinct 5, 3 components, 4 tiles.
    assert_eq!(precinct_id(&siz, TileIndex(3), 1, 5), Some(67));
    assert_eq!(precinct_address(&siz, 67), Some(PrecinctAddress { tile: TileIndex(3), component: 1, sequence: 5 }));
    assert_eq!(precinct_id(&siz, TileIndex(4), 0, 0), None);
    assert_eq!(precinct_id(&siz, TileIndex(0), 3, 0), None);
    assert_eq!(precinct_id(&siz, TileIndex(0), 0, u64::MAX / 2), None);
}

#[test]
fn b_5_resolutions_and_sub_bands_of_an_offset_tile_component() {
    let component = TileComponent::new(Rect::new(5, 3, 22, 14), coding(2, 6, 6, &[]));
    let sizes: Vec<_> = component.resolutions.iter().map(|r| r.rect).collect();
    assert_eq!(sizes, [Rect::new(2, 1, 6, 4), Rect::new(3, 2, 11, 7), Rect::new(5, 3, 22, 14)]);
    let top = component.resolution(2).unwrap();
    let bands: Vec<_> = top.bands.iter().map(|b| b.rect).collect();
    assert_eq!(bands, [Rect::new(2, 2, 11, 7), Rect::new(3, 1, 11, 7), Rect::new(2, 1, 11, 7)]);
    // Sub-bands of a level have together as many samples as the level has more than the one below.
    for pair in component.resolutions.windows(2) {
        let samples: u32 = pair[1].bands.iter().map(|b| b.rect.width() * b.rect.height()).sum();
        let area = |r: &ResolutionLevel| r.rect.width() * r.rect.height();
        assert_eq!(samples, area(&pair[1]) - area(&pair[0]));
    }
}

#[test]
fn b_6_precincts_start_on_the_grid_and_tile_every_band() {
    let component = TileComponent::new(Rect::new(5, 3, 100, 90), coding(1, 3, 4, &[0x34, 0x45]));
    let [low, top] = component.resolutions.as_slice() else { panic!("two levels") };
    assert_eq!((low.precincts_wide, low.precincts_high, low.first_sequence), (4, 6, 0));
    assert_eq!((top.precincts_wide, top.precincts_high, top.first_sequence), (4, 6, 24));
    assert_eq!(component.precinct_count(), 48);
    for level in [low, top] {
        for band in &level.bands {
            let mut samples = 0;
            for (px, py) in (0..level.precincts_wide).flat_map(|x| (0..level.precincts_high).map(move |y| (x, y))) {
                let rect = level.precinct_in_band(band, px, py);
                assert_eq!(rect, rect.intersect(&band.rect));
                samples += rect.width() * rect.height();
            }
            assert_eq!(samples, band.rect.width() * band.rect.height());
        }
    }
    let (level, px, py) = component.precinct(24 + 4 * 2 + 1).unwrap();
    assert_eq!((level.level, px, py), (1, 1, 2));
    assert!(component.precinct(48).is_none());
}

#[test]
fn b_7_code_blocks_are_never_larger_than_the_precinct_in_the_band() {
    let component = TileComponent::new(Rect::new(0, 0, 64, 64), coding(1, 6, 6, &[0x55, 0x44]));
    let top = component.resolution(1).unwrap();
    // 16 x 16 precincts hold 8 x 8 samples of each band: one code-block.
    let grid = top.code_blocks(&top.bands[0], 1, 2);
    assert_eq!(grid, CodeBlockGrid { wide: 1, high: 1, first_x: 1, first_y: 2 });
}

#[test]
fn b_5_hostile_depths_and_sizes_do_not_overflow() {
    let rect = Rect::new(u32::MAX - 3, 0, u32::MAX, u32::MAX);
    let component = TileComponent::new(rect, coding(32, 2, 2, &[0x11; 33]));
    assert_eq!(component.resolutions.len(), 33);
    assert!(component.precinct_count() > 0);
    assert!(component.precinct(component.precinct_count() - 1).is_some());
    for level in &component.resolutions {
        for band in &level.bands {
            let _ = level.code_blocks(band, u32::MAX, u32::MAX);
            let _ = level.precinct_in_band(band, 0, level.precincts_high.saturating_sub(1));
        }
    }
}
