//! A codestream with real headers and holes for code-block bytes, of any size.

use std::fmt;
use std::io;

use codestream::geometry::{TileGeometry, TileIndex};
use codestream::{ByteSource, Limits, MainHeader, PacketSequence};

/// What the codestream is like; grey, 16 bits, 5 levels, every code-block a little below its raw size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Width and height of the image.
    pub(crate) side: u32,
    /// Width and height of a tile.
    pub(crate) tile: u32,
    /// Binary logarithm of the precinct side.
    pub(crate) precinct: u8,
    /// Progression order code.
    pub(crate) order: u8,
    /// Quality layers; the code-block bytes are spread evenly.
    pub(crate) layers: u16,
    /// Binary logarithm of the code-block side.
    pub(crate) block: u8,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, tile, precinct, order, layers, block } = self;
        write!(f, "{side}² tiles {tile}² precincts 2^{precinct} order {order} layers {layers} blocks 2^{block}")
    }
}

/// The bytes that are not in a hole, by offset.
#[derive(Debug)]
pub(crate) struct Holed {
    offsets: Vec<u64>,
    /// Where each piece ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    len: u64,
}

impl Holed {
    /// Makes the codestream.
    pub(crate) fn new(layout: Layout) -> Self {
        let mut made = Self { offsets: vec![0], ends: Vec::new(), bytes: main_header(layout), len: 0 };
        let (header, _) = MainHeader::parse(&made.bytes, &Limits::default()).unwrap();
        made.close();
        for tile in 0..header.siz().tile_count() {
            let geometry = TileGeometry::new(header.siz(), TileIndex(tile), std::sync::Arc::clone(header.coding()));
            made.tile(&geometry, layout);
        }
        made.offsets.push(made.len);
        made.bytes.extend([0xFF, 0xD9]);
        made.close();
        made
    }

    /// The pieces that are not holes.
    #[expect(dead_code, reason = "for those who write the codestream to a sparse file")]
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (0..self.offsets.len()).map(|at| (self.offsets[at], self.piece(at)))
    }

    fn piece(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    fn close(&mut self) {
        self.ends.push(self.bytes.len());
        self.len = self.offsets.last().unwrap() + self.piece(self.ends.len() - 1).len() as u64;
    }

    fn tile(&mut self, geometry: &TileGeometry, layout: Layout) {
        let component = geometry.component(0).unwrap();
        let mut part = 0;
        let mut psot = self.sot(geometry.tile(), part);
        for packet in PacketSequence::new(geometry) {
            let level = component.resolution(packet.resolution).unwrap();
            let grids = level.bands.iter().map(|band| level.code_blocks(band, packet.px, packet.py));
            let grids: Vec<_> = grids.map(|grid| (grid.wide, grid.high)).collect();
            let (header, body) = packet_header(&grids, layout, packet.layer);
            if self.len - psot.1 + header.len() as u64 + body > 1 << 31 {
                self.end_tile_part(psot);
                part += 1;
                psot = self.sot(geometry.tile(), part);
            }
            self.offsets.push(self.len);
            self.bytes.extend(header);
            self.close();
            self.len += body;
        }
        self.end_tile_part(psot);
    }

    /// Begins a tile-part; gives where its Psot is kept and where it begins.
    fn sot(&mut self, tile: TileIndex, part: u8) -> (usize, u64) {
        let start = (self.bytes.len() + 6, self.len);
        self.offsets.push(self.len);
        self.bytes.extend([0xFF, 0x90, 0, 10]);
        self.bytes.extend((tile.0 as u16).to_be_bytes());
        self.bytes.extend([0, 0, 0, 0, part, 0, 0xFF, 0x93]);
        self.close();
        start
    }

    fn end_tile_part(&mut self, (at, start): (usize, u64)) {
        let len = u32::try_from(self.len - start).unwrap();
        self.bytes[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
}

impl ByteSource for Holed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let buf = &mut buf[..count];
        buf.fill(0);
        let end = offset + count as u64;
        let first = self.offsets.partition_point(|&start| start <= offset).saturating_sub(1);
        for at in first..self.offsets.len() {
            let (start, piece) = (self.offsets[at], self.piece(at));
            if start >= end {
                break;
            }
            let (from, to) = (start.max(offset), (start + piece.len() as u64).min(end));
            if from < to {
                let bytes = &piece[(from - start) as usize..(to - start) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(bytes);
            }
        }
        Ok(count)
    }
}

fn main_header(layout: Layout) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    let (side, tile) = (layout.side, layout.tile);
    [side, side, 0, 0, tile, tile, 0, 0].iter().for_each(|value| bytes.extend(value.to_be_bytes()));
    bytes.extend([0, 1, 15, 1, 1]);
    bytes.extend([0xFF, 0x52, 0, 18, 1, layout.order]);
    bytes.extend(layout.layers.to_be_bytes());
    bytes.extend([0, 5, layout.block - 2, layout.block - 2, 0, 1]);
    bytes.extend([layout.precinct << 4 | layout.precinct; 6]);
    bytes.extend([0xFF, 0x5C, 0, 4, 0x40, 0x40]);
    bytes
}

/// A packet header in which every code-block contributes, and the bytes of its body.
fn packet_header(grids: &[(u32, u32)], layout: Layout, layer: u16) -> (Vec<u8>, u64) {
    let mut bits = Bits { bytes: Vec::new(), byte: 0, room: 8 };
    let mut body = 0u64;
    let bytes_each = ((2u64 << (2 * layout.block)) - 1) / u64::from(layout.layers);
    let passes = if layout.layers == 1 { 45 } else { 6 };
    let width = 32 - (bytes_each as u32).leading_zeros();
    let log = if passes == 45 { 5 } else { 2 };
    let lblock = (width - width.min(log)).max(3);
    bits.put(1, 1);
    for &(wide, high) in grids {
        for (x, y) in (0..high).flat_map(|y| (0..wide).map(move |x| (x, y))) {
            if layer == 0 {
                // All values of both tag trees are 0: a 1 for each node that comes up for the first time.
                let new = new_nodes(x, y, wide, high);
                (0..2 * new).for_each(|_| bits.put(1, 1));
            } else {
                bits.put(1, 1);
            }
            if passes == 45 {
                bits.put(0b1111_1111_1000_1000, 16)
            } else {
                bits.put(0b1_1110_0000, 9)
            }
            let longer = if layer == 0 { lblock - 3 } else { 0 };
            (0..longer).for_each(|_| bits.put(1, 1));
            bits.put(0, 1);
            bits.put(bytes_each as u32, lblock + log);
            body += bytes_each;
        }
    }
    (bits.finish(), body)
}

/// Tag tree nodes above leaf `x`, `y`, itself included, that no earlier leaf in raster order is below.
fn new_nodes(x: u32, y: u32, wide: u32, high: u32) -> u32 {
    let mut levels = 1;
    while (wide.max(high) - 1) >> (levels - 1) > 0 {
        levels += 1;
    }
    (0..levels).filter(|up| x.is_multiple_of(1 << up) && y.is_multiple_of(1 << up)).count() as u32
}

struct Bits {
    bytes: Vec<u8>,
    byte: u8,
    room: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            if self.room == 0 {
                self.bytes.push(self.byte);
                self.room = if self.byte == 0xFF { 7 } else { 8 };
                self.byte = 0;
            }
            self.room -= 1;
            self.byte |= ((value >> shift) as u8 & 1) << self.room;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.push(self.byte);
        if self.byte == 0xFF {
            self.bytes.push(0);
        }
        self.bytes
    }
}
