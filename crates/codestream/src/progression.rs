//! The order of a tile's packets: five progressions and progression order changes [15444-1 B.12].
//!
//! A tile's packets come in *volumes*, one for each entry of POC or a single one without. The packets of
//! one resolution level of one component are a *stream* here: all its precincts advance together, because
//! a volume takes whole precinct sets, so that "packets not yet sent" is one layer number a stream.

mod stream;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use stream::Stream;

use crate::geometry::TileGeometry;
use crate::markers::{ProgressionChange, ProgressionOrder};

/// One packet of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketId {
    /// Quality layer, from 0.
    pub layer: u16,
    /// Resolution level, 0 being the lowest.
    pub resolution: u8,
    /// Component, from 0.
    pub component: u16,
    /// Column of the precinct in its resolution level.
    pub px: u32,
    /// Row of the precinct in its resolution level.
    pub py: u32,
    /// Sequence number of the precinct in its tile-component.
    pub sequence: u64,
}

/// Iterator over the packets of a tile in codestream order.
///
/// Holds a few words for each resolution level of each component, nothing for a precinct or packet. A call
/// of `next` costs the logarithm of that number, whatever the sizes of image, tiles and precincts.
#[derive(Debug, Clone)]
pub struct PacketSequence {
    /// Sorted by component, then resolution level; only those that have precincts.
    streams: Vec<Stream>,
    volumes: Arc<[ProgressionChange]>,
    next_volume: usize,
    /// Streams of the current volume in the volume's order, as positions in `streams`.
    order: Vec<usize>,
    /// The part of `order` that is interleaved now, and one past it the next part.
    group: Range<usize>,
    current: ProgressionOrder,
    layer_end: u16,
    layered: Layered,
    positional: Positional,
    work: u64,
}

/// Cursor of the orders that run through all precincts of a layer: LRCP and RLCP.
#[derive(Debug, Clone, Default)]
struct Layered {
    layer: u16,
    at: usize,
    px: u32,
    py: u32,
}

/// Cursor of the orders that run through positions: RPCL, PCRL and CPRL.
///
/// Heap entries begin with a coordinate of the reference grid, then the place in `order` breaks ties.
#[derive(Debug, Clone, Default)]
struct Positional {
    /// Next precinct row of each stream: position, place in `order`, row.
    rows: BinaryHeap<Reverse<(u32, usize, u32)>>,
    /// Next precinct of the rows at the current position: position, place in `order`, column, row.
    cells: BinaryHeap<Reverse<(u32, usize, u32, u32)>>,
    /// The precinct whose layers are being given out: place in `order`, column, row, next layer.
    precinct: Option<(usize, u32, u32, u16)>,
}

impl PacketSequence {
    /// The packets of the tile, by the progression order of its coding or by its POC entries.
    #[must_use]
    pub fn new(geometry: &TileGeometry) -> Self {
        let coding = geometry.coding();
        let streams = stream::streams(geometry);
        let everything = ProgressionChange {
            resolution_start: 0,
            resolution_end: 33,
            component_start: 0,
            component_end: u16::MAX,
            layer_end: coding.layers,
            order: coding.progression,
        };
        let volumes = if coding.poc.is_empty() {
            Arc::from([everything])
        } else {
            coding.poc.iter().map(|v| ProgressionChange { layer_end: v.layer_end.min(coding.layers), ..*v }).collect()
        };
        Self {
            streams,
            volumes,
            next_volume: 0,
            order: Vec::new(),
            group: 0..0,
            current: coding.progression,
            layer_end: 0,
            layered: Layered::default(),
            positional: Positional::default(),
            work: 0,
        }
    }

    /// Steps taken so far: at least one a packet, more where progression changes leave volumes thin.
    ///
    /// Lets a reader of hostile data stop when steps run far ahead of packets.
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.work
    }

    fn start_volume(&mut self) -> bool {
        for &stream in &self.order {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.next_layer = stream.next_layer.max(self.layer_end);
            }
        }
        self.order.clear();
        self.group = 0..0;
        let Some(volume) = self.volumes.get(self.next_volume).copied() else { return false };
        self.next_volume += 1;
        (self.current, self.layer_end) = (volume.order, volume.layer_end);
        self.work += 1;
        let components = volume.component_start..volume.component_end;
        let resolutions = volume.resolution_start..volume.resolution_end;
        for (place, stream) in self.streams.iter().enumerate() {
            self.work += 1;
            if components.contains(&stream.component)
                && resolutions.contains(&stream.resolution)
                && stream.next_layer < volume.layer_end
            {
                self.order.push(place);
            }
        }
        use ProgressionOrder::{Cprl, Lrcp, Pcrl, Rlcp, Rpcl};
        match volume.order {
            Lrcp | Rlcp | Rpcl => {
                let streams = &self.streams;
                self.order.sort_by_key(|&place| streams.get(place).map(|s| (s.resolution, s.component)));
            }
            Pcrl | Cprl => {}
        }
        true
    }

    fn start_group(&mut self) -> bool {
        let start = self.group.end;
        let Some(first) = self.stream(start).copied() else { return false };
        use ProgressionOrder::{Cprl, Lrcp, Pcrl, Rlcp, Rpcl};
        let belongs = |other: &Stream| match self.current {
            Lrcp | Pcrl => true,
            Rlcp | Rpcl => other.resolution == first.resolution,
            Cprl => other.component == first.component,
        };
        let mut end = start;
        let mut layer = u16::MAX;
        while let Some(other) = self.stream(end)
            && belongs(other)
        {
            layer = layer.min(other.next_layer);
            end += 1;
        }
        self.work += (end - start) as u64;
        self.group = start..end;
        match self.current {
            Lrcp | Rlcp => self.layered = Layered { layer, at: start, px: 0, py: 0 },
            Rpcl | Pcrl | Cprl => {
                let mut rows = std::mem::take(&mut self.positional.rows).into_vec();
                rows.clear();
                rows.extend((start..end).filter_map(|at| Some(Reverse((self.stream(at)?.y.position(0), at, 0)))));
                self.positional.rows = rows.into();
                self.positional.cells.clear();
                self.positional.precinct = None;
            }
        }
        true
    }

    fn step(&mut self) -> Option<PacketId> {
        use ProgressionOrder::{Cprl, Lrcp, Pcrl, Rlcp, Rpcl};
        match self.current {
            Lrcp | Rlcp => self.step_layered(),
            Rpcl | Pcrl | Cprl => self.step_positional(),
        }
    }

    fn step_layered(&mut self) -> Option<PacketId> {
        loop {
            if self.layered.layer >= self.layer_end || self.group.is_empty() {
                return None;
            }
            self.work += 1;
            if self.layered.at >= self.group.end {
                self.layered = Layered { layer: self.layered.layer + 1, at: self.group.start, px: 0, py: 0 };
                continue;
            }
            let stream = *self.stream(self.layered.at)?;
            let Layered { layer, px, py, .. } = self.layered;
            if stream.next_layer > layer || py >= stream.high {
                self.layered = Layered { layer, at: self.layered.at + 1, px: 0, py: 0 };
                continue;
            }
            (self.layered.px, self.layered.py) = if px + 1 < stream.wide { (px + 1, py) } else { (0, py + 1) };
            return Some(stream.packet(px, py, layer));
        }
    }

    fn step_positional(&mut self) -> Option<PacketId> {
        loop {
            self.work += 1;
            if let Some((at, px, py, layer)) = self.positional.precinct {
                let stream = *self.stream(at)?;
                self.positional.precinct = (layer + 1 < self.layer_end).then_some((at, px, py, layer + 1));
                return Some(stream.packet(px, py, layer));
            }
            if let Some(Reverse((_, at, px, py))) = self.positional.cells.pop() {
                let stream = *self.stream(at)?;
                if px + 1 < stream.wide {
                    self.positional.cells.push(Reverse((stream.x.position(px + 1), at, px + 1, py)));
                }
                self.positional.precinct = Some((at, px, py, stream.next_layer));
                continue;
            }
            let &Reverse((row, ..)) = self.positional.rows.peek()?;
            while let Some(&Reverse((y, at, py))) = self.positional.rows.peek()
                && y == row
            {
                self.positional.rows.pop();
                self.work += 1;
                let stream = *self.stream(at)?;
                self.positional.cells.push(Reverse((stream.x.position(0), at, 0, py)));
                if py + 1 < stream.high {
                    self.positional.rows.push(Reverse((stream.y.position(py + 1), at, py + 1)));
                }
            }
        }
    }

    /// The stream at a place of `order`.
    fn stream(&self, at: usize) -> Option<&Stream> {
        self.streams.get(*self.order.get(at)?)
    }
}

impl Iterator for PacketSequence {
    type Item = PacketId;

    fn next(&mut self) -> Option<PacketId> {
        loop {
            if let Some(packet) = self.step() {
                return Some(packet);
            }
            if !self.start_group() && !self.start_volume() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
