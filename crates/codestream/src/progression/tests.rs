use std::collections::HashSet;

use super::*;
use crate::geometry::TileIndex;
use crate::main_header::MainHeader;
use crate::markers::Siz;
use crate::{Limits, TileCoding};

/// A main header with these SIZ, COD and further segments.
fn header(grid: [u32; 8], sampling: &[(u8, u8)], cod: &[u8], more: &[(u16, Vec<u8>)]) -> MainHeader {
    let mut siz = vec![0, 0];
    grid.iter().for_each(|v| siz.extend(v.to_be_bytes()));
    siz.extend(u16::try_from(sampling.len()).unwrap().to_be_bytes());
    sampling.iter().for_each(|s| siz.extend([7, s.0, s.1]));
    let mut bytes = vec![0xFF, 0x4F];
    let first = [(0xFF51, siz), (0xFF52, cod.to_vec()), (0xFF5C, vec![0x40, 0x40])];
    for (marker, payload) in first.iter().chain(more) {
        bytes.extend(marker.to_be_bytes());
        bytes.extend((u16::try_from(payload.len()).unwrap() + 2).to_be_bytes());
        bytes.extend(payload);
    }
    MainHeader::parse(&bytes, &Limits::default()).unwrap().0
}

/// The sequence as the standard words it: every reference grid point is visited.
fn by_the_letter(geometry: &TileGeometry) -> Vec<PacketId> {
    let coding: &TileCoding = geometry.coding();
    let mut sent = HashSet::new();
    let mut out = Vec::new();
    let components = geometry.component_count();
    let levels = (0..components).map(|c| geometry.component(c).unwrap().levels).max().unwrap();
    let all = ProgressionChange {
        resolution_start: 0,
        resolution_end: levels + 1,
        component_start: 0,
        component_end: components,
        layer_end: coding.layers,
        order: coding.progression,
    };
    let volumes = if coding.poc.is_empty() { vec![all] } else { coding.poc.to_vec() };
    let area = geometry.rect();
    for volume in volumes {
        let mut keys: Vec<(Vec<u64>, PacketId)> = Vec::new();
        for c in volume.component_start..volume.component_end {
            let component = geometry.component(c).unwrap();
            let (dx, dy) = geometry.sampling(c).unwrap();
            for level in component.resolutions.iter() {
                let r = level.level;
                if !(volume.resolution_start..volume.resolution_end).contains(&r) || level.precinct_count() == 0 {
                    continue;
                }
                let shift = u32::from(component.levels - r);
                let hits = |start: u32, end: u32, d: u8, pp: u8, level_start: u32| -> Vec<(u64, u32)> {
                    let step = u64::from(d) << (u32::from(pp) + shift);
                    let cut = (u64::from(level_start) << shift) % (1u64 << (u32::from(pp) + shift)) != 0;
                    (u64::from(start)..u64::from(end))
                        .filter(|&v| v % step == 0 || (v == u64::from(start) && cut))
                        .map(|v| {
                            let on_level = v.div_ceil(u64::from(d) << shift);
                            (v, ((on_level >> pp) - u64::from(level_start >> pp)) as u32)
                        })
                        .collect()
                };
                for (y, py) in hits(area.y0, area.y1, dy, level.ppy, level.rect.y0) {
                    for (x, px) in hits(area.x0, area.x1, dx, level.ppx, level.rect.x0) {
                        let sequence =
                            level.first_sequence + u64::from(py) * u64::from(level.precincts_wide) + u64::from(px);
                        for l in 0..volume.layer_end.min(coding.layers) {
                            let id = PacketId { layer: l, resolution: r, component: c, px, py, sequence };
                            let (l, r, c) = (u64::from(l), u64::from(r), u64::from(c));
                            let key = match volume.order {
                                ProgressionOrder::Lrcp => vec![l, r, c, sequence],
                                ProgressionOrder::Rlcp => vec![r, l, c, sequence],
                                ProgressionOrder::Rpcl => vec![r, y, x, c, l],
                                ProgressionOrder::Pcrl => vec![y, x, c, r, l],
                                ProgressionOrder::Cprl => vec![c, y, x, r, l],
                            };
                            keys.push((key, id));
                        }
                    }
                }
            }
        }
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        out.extend(keys.into_iter().map(|(_, id)| id).filter(|id| sent.insert((id.layer, id.component, id.sequence))));
    }
    out
}

fn geometries(header: &MainHeader) -> Vec<TileGeometry> {
    let siz: &Siz = header.siz();
    (0..siz.tile_count()).map(|t| TileGeometry::new(siz, TileIndex(t), Arc::clone(header.coding()))).collect()
}

#[test]
fn b_12_1_all_orders_agree_with_the_letter_of_the_standard() {
    let grids = [
        [40, 36, 0, 0, 40, 36, 0, 0],
        [61, 47, 5, 3, 23, 19, 2, 1],
        [33, 33, 31, 30, 7, 40, 30, 20],
        [50, 9, 1, 7, 50, 9, 0, 0],
    ];
    let samplings: [&[(u8, u8)]; 4] = [&[(1, 1)], &[(1, 1), (2, 2), (2, 1)], &[(3, 1), (1, 5)], &[(2, 2), (1, 1)]];
    for order in 0..5 {
        for grid in grids {
            for sampling in samplings {
                let cod = [1, order, 0, 2, 0, 2, 0, 0, 0, 1, 0x20, 0x31, 0x13];
                // The last component has other levels and precincts.
                let last = sampling.len() as u8 - 1;
                let coc = vec![last, 1, 3, 0, 0, 0, 1, 0x11, 0x12, 0x23, 0x42];
                let header = header(grid, sampling, &cod, &[(0xFF53, coc)]);
                for geometry in geometries(&header) {
                    let found: Vec<_> = PacketSequence::new(&geometry).collect();
                    assert_eq!(found, by_the_letter(&geometry), "{order} {grid:?} {sampling:?}");
                }
            }
        }
    }
}

#[test]
fn b_12_2_volumes_give_each_packet_once() {
    let cod = [1, 0, 0, 3, 0, 2, 0, 0, 0, 1, 0x33, 0x33, 0x44];
    let poc = vec![
        0, 0, 0, 1, 2, 2, 0, // layer 0 of resolutions 0 and 1
        0, 1, 0, 2, 33, 2, 2, // two layers of component 1, RPCL
        1, 0, 0, 9, 33, 1, 3, // resolutions 1 and up of component 0, PCRL
        0, 0, 0, 3, 33, 255, 1, // the rest, RLCP
        0, 0, 0, 3, 33, 255, 4, // nothing is left
    ];
    let header = header([70, 50, 3, 1, 33, 50, 0, 0], &[(1, 1), (2, 1)], &cod, &[(0xFF5F, poc)]);
    for geometry in geometries(&header) {
        let found: Vec<_> = PacketSequence::new(&geometry).collect();
        assert_eq!(found, by_the_letter(&geometry));
        let precincts: u64 = (0..2).map(|c| geometry.component(c).unwrap().precinct_count()).sum();
        assert_eq!(found.len() as u64, precincts * 3);
    }
}

#[test]
fn b_12_work_is_bounded_by_packets_on_a_hostile_grid() {
    for order in 0..5 {
        let cod = [1, order, 0, 1, 0, 2, 0, 0, 0, 1, 0x11, 0x11, 0x11];
        let side = u32::MAX;
        let header = header([side, side, 7, 7, side, side, 0, 0], &[(255, 255), (1, 1)], &cod, &[]);
        let geometry = geometries(&header).remove(0);
        let mut sequence = PacketSequence::new(&geometry);
        assert_eq!(sequence.by_ref().take(1000).count(), 1000);
        assert!(sequence.work() < 10_000, "order {order}: {}", sequence.work());
    }
}
