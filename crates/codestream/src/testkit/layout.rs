//! Geometry and packet order, straight from their definitions.

use std::collections::HashSet;

use super::{Coding, ComponentCoding, Order, Poc, TinyCodestream};

/// x0, y0, x1, y1; ends exclusive.
pub(super) type Area = [u64; 4];

pub(super) struct Resolution {
    pub(super) area: Area,
    pub(super) ppx: u32,
    pub(super) ppy: u32,
    pub(super) wide: u64,
    pub(super) high: u64,
    /// Code-block counts (across, down) of each band, for each precinct in raster order.
    pub(super) precincts: Vec<Vec<(u64, u64)>>,
}

pub(super) struct Tile {
    pub(super) area: Area,
    pub(super) layers: u16,
    pub(super) components: Vec<Vec<Resolution>>,
    order: Order,
    poc: Vec<Poc>,
    subsampling: Vec<(u8, u8)>,
}

/// Layer, resolution, component, precinct (raster index in the resolution).
pub(super) type PacketName = (u16, u8, u16, u64);

pub(super) fn tile_grid(wanted: &TinyCodestream) -> (u32, u32) {
    let (tx, ty, tw, th) = tile_frame(wanted);
    let (x1, y1) = (wanted.offset.0 + wanted.size.0, wanted.offset.1 + wanted.size.1);
    ((x1 - tx).div_ceil(tw), (y1 - ty).div_ceil(th))
}

/// `XTOsiz`, `YTOsiz`, `XTsiz`, `YTsiz`.
pub(super) fn tile_frame(wanted: &TinyCodestream) -> (u32, u32, u32, u32) {
    let (tx, ty) = wanted.tile_offset.unwrap_or(wanted.offset);
    let whole = (wanted.offset.0 + wanted.size.0 - tx, wanted.offset.1 + wanted.size.1 - ty);
    let (tw, th) = wanted.tile_size.unwrap_or(whole);
    (tx, ty, tw, th)
}

/// The coding of a tile: tile COC over tile COD over main COC over main COD [15444-1 A.6.2].
pub(super) fn coding(wanted: &TinyCodestream, tile: u32) -> Coding {
    let mut coding = wanted.base.clone();
    for (component, own) in &wanted.coc {
        coding.components[usize::from(*component)] = own.clone();
    }
    if let Some((_, own)) = wanted.tile_coding.iter().find(|(number, _)| *number == tile) {
        coding = Coding { poc: coding.poc, ..own.clone() };
    }
    for (_, component, own) in wanted.tile_coc.iter().filter(|(number, _, _)| *number == tile) {
        coding.components[usize::from(*component)] = own.clone();
    }
    if let Some((_, poc)) = wanted.tile_poc.iter().find(|(number, _)| *number == tile) {
        coding.poc = poc.clone();
    }
    coding
}

pub(super) fn tile(wanted: &TinyCodestream, number: u32) -> Tile {
    let (tx, ty, tw, th) = tile_frame(wanted);
    let (across, _) = tile_grid(wanted);
    let (p, q) = (number % across, number / across);
    let area = [
        u64::from((tx + p * tw).max(wanted.offset.0)),
        u64::from((ty + q * th).max(wanted.offset.1)),
        u64::from((tx + (p + 1) * tw).min(wanted.offset.0 + wanted.size.0)),
        u64::from((ty + (q + 1) * th).min(wanted.offset.1 + wanted.size.1)),
    ];
    let coding = coding(wanted, number);
    let components = coding
        .components
        .iter()
        .zip(&wanted.subsampling)
        .map(|(component, &(xr, yr))| {
            let area = [
                area[0].div_ceil(u64::from(xr)),
                area[1].div_ceil(u64::from(yr)),
                area[2].div_ceil(u64::from(xr)),
                area[3].div_ceil(u64::from(yr)),
            ];
            (0..=component.levels).map(|r| resolution(wanted, component, area, r)).collect()
        })
        .collect();
    Tile {
        area,
        layers: coding.layers,
        components,
        order: coding.order,
        poc: coding.poc,
        subsampling: wanted.subsampling.clone(),
    }
}

fn resolution(wanted: &TinyCodestream, coding: &ComponentCoding, tc: Area, r: u8) -> Resolution {
    let scale = 1u64 << (coding.levels - r);
    let area = tc.map(|edge| edge.div_ceil(scale));
    let given = coding.precincts.get(usize::from(r)).or(coding.precincts.last());
    let (ppx, ppy) = given.map_or((15, 15), |&(x, y)| (u32::from(x), u32::from(y)));
    let count = |low: u64, high: u64, pp: u32| {
        if high > low { high.div_ceil(1 << pp) - (low >> pp) } else { 0 }
    };
    let (mut wide, mut high) = (count(area[0], area[2], ppx), count(area[1], area[3], ppy));
    if wide == 0 || high == 0 {
        (wide, high) = (0, 0);
    }
    let bands: &[(u64, u64)] = if r == 0 { &[(0, 0)] } else { &[(1, 0), (0, 1), (1, 1)] };
    let nb = if r == 0 { coding.levels } else { coding.levels - r + 1 };
    let halve = u32::from(r > 0);
    let mut precincts = Vec::new();
    for py in 0..high {
        for px in 0..wide {
            let band_blocks = bands.iter().map(|&(xob, yob)| {
                // [15444-1 B-15]; nb is 0 only without any decomposition.
                let edge = |tc: u64, ob: u64| {
                    let half = if nb == 0 { 0 } else { (1u64 << (nb - 1)) * ob };
                    tc.saturating_sub(half).div_ceil(1 << nb)
                };
                let across = blocks(
                    (edge(tc[0], xob), edge(tc[2], xob)),
                    (area[0] >> ppx) + px,
                    ppx - halve,
                    u32::from(wanted.code_block.0),
                );
                let down = blocks(
                    (edge(tc[1], yob), edge(tc[3], yob)),
                    (area[1] >> ppy) + py,
                    ppy - halve,
                    u32::from(wanted.code_block.1),
                );
                if across == 0 || down == 0 { (0, 0) } else { (across, down) }
            });
            precincts.push(band_blocks.collect());
        }
    }
    Resolution { area, ppx, ppy, wide, high, precincts }
}

/// Number of code-blocks along one axis of one band in one precinct.
fn blocks(band: (u64, u64), precinct: u64, pp: u32, cb: u32) -> u64 {
    let low = band.0.max(precinct << pp);
    let high = band.1.min((precinct + 1) << pp);
    let cb = cb.min(pp);
    if high > low { high.div_ceil(1 << cb) - (low >> cb) } else { 0 }
}

impl Tile {
    /// All packets in codestream order [15444-1 B.12].
    pub(super) fn packets(&self) -> Vec<PacketName> {
        let everything = Poc {
            resolution_start: 0,
            component_start: 0,
            layer_end: self.layers,
            resolution_end: 33,
            component_end: u16::MAX,
            order: self.order,
        };
        let changes = if self.poc.is_empty() { vec![everything] } else { self.poc.clone() };
        let mut emitted = HashSet::new();
        let mut packets = Vec::new();
        for change in changes {
            for packet in self.one_progression(change) {
                if emitted.insert(packet) {
                    packets.push(packet);
                }
            }
        }
        packets
    }

    fn one_progression(&self, change: Poc) -> Vec<PacketName> {
        let layers: Vec<u16> = (0..change.layer_end.min(self.layers)).collect();
        let most = self.components.iter().map(Vec::len).max().unwrap_or(0) as u8;
        let levels: Vec<u8> = (change.resolution_start..change.resolution_end.min(most)).collect();
        let end = change.component_end.min(self.components.len() as u16);
        let components: Vec<u16> = (change.component_start..end).collect();
        let mut out = Vec::new();
        let precincts = |r: u8, c: u16| self.resolution(r, c).map_or(0, |r| r.wide * r.high);
        match change.order {
            Order::Lrcp => {
                for &l in &layers {
                    for &r in &levels {
                        for &c in &components {
                            out.extend((0..precincts(r, c)).map(|k| (l, r, c, k)));
                        }
                    }
                }
            }
            Order::Rlcp => {
                for &r in &levels {
                    for &l in &layers {
                        for &c in &components {
                            out.extend((0..precincts(r, c)).map(|k| (l, r, c, k)));
                        }
                    }
                }
            }
            Order::Rpcl => {
                for &r in &levels {
                    self.each_point(|x, y| {
                        for &c in &components {
                            self.at_point(x, y, r, c, &layers, &mut out);
                        }
                    });
                }
            }
            Order::Pcrl => self.each_point(|x, y| {
                for &c in &components {
                    for &r in &levels {
                        self.at_point(x, y, r, c, &layers, &mut out);
                    }
                }
            }),
            Order::Cprl => {
                for &c in &components {
                    self.each_point(|x, y| {
                        for &r in &levels {
                            self.at_point(x, y, r, c, &layers, &mut out);
                        }
                    });
                }
            }
        }
        out
    }

    fn each_point(&self, mut visit: impl FnMut(u64, u64)) {
        for y in self.area[1]..self.area[3] {
            for x in self.area[0]..self.area[2] {
                visit(x, y);
            }
        }
    }

    fn at_point(&self, x: u64, y: u64, r: u8, c: u16, layers: &[u16], out: &mut Vec<PacketName>) {
        let Some(res) = self.resolution(r, c) else { return };
        if res.wide == 0 {
            return;
        }
        let levels = self.components[usize::from(c)].len() - 1;
        let down = (levels - usize::from(r)) as u32;
        let (xr, yr) = self.subsampling[usize::from(c)];
        let begins = |at: u64, first: u64, factor: u8, pp: u32, tr0: u64| {
            let step = u64::from(factor) << (pp + down);
            at.is_multiple_of(step) || (at == first && !(tr0 << down).is_multiple_of(1 << (pp + down)))
        };
        if begins(x, self.area[0], xr, res.ppx, res.area[0]) && begins(y, self.area[1], yr, res.ppy, res.area[1]) {
            let place =
                |at: u64, factor: u8, pp: u32, tr0: u64| (at.div_ceil(u64::from(factor) << down) >> pp) - (tr0 >> pp);
            let k = place(x, xr, res.ppx, res.area[0]) + res.wide * place(y, yr, res.ppy, res.area[1]);
            out.extend(layers.iter().map(|&l| (l, r, c, k)));
        }
    }

    fn resolution(&self, r: u8, c: u16) -> Option<&Resolution> {
        self.components[usize::from(c)].get(usize::from(r))
    }

    /// Precinct sequence number in the tile-component [15444-9 A.3.2.1].
    pub(super) fn sequence(&self, r: u8, c: u16, k: u64) -> u64 {
        let lower = self.components[usize::from(c)].iter().take(usize::from(r));
        lower.map(|res| res.wide * res.high).sum::<u64>() + k
    }
}
