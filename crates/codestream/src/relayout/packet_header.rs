//! Packet headers of one precinct, written anew [15444-1 B.10, 15444-15 B].

use smallvec::SmallVec;

use super::blocks::{Blocks, Contribution, NONE};
use crate::geometry::{CodeBlockGrid, ResolutionLevel};

/// Writes the packets of one precinct after the other; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct PrecinctWriter {
    bands: [Band; 3],
    band_count: usize,
    /// The layers that have contributions, in order.
    layers: Vec<u16>,
    code_blocks: u64,
}

/// The code-blocks of the precinct in one sub-band.
#[derive(Debug, Default)]
struct Band {
    wide: usize,
    leaves: Vec<Leaf>,
    inclusion: TagTree,
    zero_planes: TagTree,
}

#[derive(Debug, Clone, Copy)]
struct Leaf {
    /// The next contribution to be written.
    next: u32,
    /// Lblock; 0 until the code-block is included.
    lblock: u8,
    zero_planes: u8,
}

impl PrecinctWriter {
    /// Turns to the precinct in column `px`, row `py`; `None` if the code-blocks are not those of the tile.
    pub(super) fn start(
        &mut self,
        blocks: &Blocks,
        component: u16,
        level: &ResolutionLevel,
        (px, py): (u32, u32),
    ) -> Option<()> {
        self.layers.clear();
        self.code_blocks = 0;
        self.band_count = level.bands.len();
        for (number, (band, shape)) in self.bands.iter_mut().zip(&level.bands).enumerate() {
            let all = blocks.band(component, level.level, number)?;
            let grid: CodeBlockGrid = level.code_blocks(shape, px, py);
            band.leaves.clear();
            for (y, x) in (0..grid.high).flat_map(|y| (0..grid.wide).map(move |x| (y, x))) {
                let block = blocks.block(all, grid.first_x + x, grid.first_y + y)?;
                band.leaves.push(Leaf { next: block.first, lblock: 0, zero_planes: block.zero_planes });
                let mut contribution = blocks.contribution(block.first);
                while let Some(found) = contribution {
                    if self.layers.last() != Some(&found.layer) {
                        self.layers.push(found.layer);
                    }
                    contribution = blocks.contribution(found.next);
                }
            }
        }
        if self.layers.is_empty() {
            // No packet will be written, so no tree is needed: nearly all of a blank image.
            return Some(());
        }
        for (band, shape) in self.bands.iter_mut().zip(&level.bands) {
            let grid: CodeBlockGrid = level.code_blocks(shape, px, py);
            let (wide, high) = (usize::try_from(grid.wide).ok()?, usize::try_from(grid.high).ok()?);
            band.wide = wide;
            self.code_blocks = self.code_blocks.saturating_add(band.leaves.len() as u64);
            let first_layer = |leaf: &Leaf| blocks.contribution(leaf.next).map_or(NEVER, |c| u32::from(c.layer));
            band.inclusion.reset((wide, high), band.leaves.iter().map(first_layer));
            let planes = |leaf: &Leaf| if leaf.next == NONE { NEVER } else { u32::from(leaf.zero_planes) };
            band.zero_planes.reset((wide, high), band.leaves.iter().map(planes));
        }
        self.layers.sort_unstable();
        self.layers.dedup();
        Some(())
    }

    /// Whether any code-block contributes to the packet of this layer.
    pub(super) fn contributes(&self, layer: u16) -> bool {
        self.layers.binary_search(&layer).is_ok()
    }

    /// Code-blocks that writing a packet looks at.
    pub(super) const fn code_block_count(&self) -> u64 {
        self.code_blocks
    }

    /// Appends the header of the packet of `layer`, to which code-blocks contribute, and gives what they contribute
    /// to `body`. Layers come in order.
    ///
    /// A packet without contributions is the byte [`EMPTY_PACKET`] and is not written here: its header says nothing
    /// that the tag trees would have to remember.
    pub(super) fn packet(
        &mut self,
        blocks: &Blocks,
        layer: u16,
        out: &mut Vec<u8>,
        mut body: impl FnMut(&Contribution),
    ) -> Option<()> {
        let mut bits = BitWriter::new(out);
        bits.put(1, 1);
        for band in self.bands.get_mut(..self.band_count)? {
            for at in 0..band.leaves.len() {
                let leaf = band.leaves.get_mut(at)?;
                let contribution = blocks.contribution(leaf.next).filter(|found| found.layer == layer);
                let (x, y) = (at % band.wide, at / band.wide);
                if leaf.lblock > 0 {
                    bits.put(u64::from(contribution.is_some()), 1);
                } else {
                    band.inclusion.write((x, y), u32::from(layer) + 1, &mut bits)?;
                    if contribution.is_some() {
                        band.zero_planes.write((x, y), u32::from(leaf.zero_planes) + 1, &mut bits)?;
                        leaf.lblock = FIRST_LBLOCK;
                    }
                }
                let Some(contribution) = contribution else { continue };
                leaf.next = contribution.next;
                write_contribution(blocks, contribution, &mut leaf.lblock, &mut bits);
                body(contribution);
            }
        }
        bits.finish();
        Some(())
    }
}

/// Number of passes, increments of Lblock, lengths of the codeword segments [15444-1 B.10.6, B.10.7].
fn write_contribution(blocks: &Blocks, contribution: &Contribution, lblock: &mut u8, bits: &mut BitWriter<'_>) {
    match u64::from(contribution.passes) {
        1 => bits.put(0, 1),
        2 => bits.put(0b10, 2),
        passes @ 3..=5 => bits.put(0b1100 + passes - 3, 4),
        passes @ 6..=36 => bits.put((0b1111 << 5) + passes - 6, 9),
        passes => bits.put((0b1_1111_1111 << 7) + passes - 37, 16),
    }
    let segments = blocks.segments(contribution);
    let width = |len: u32| u32::BITS - len.leading_zeros();
    let needed = segments.iter().map(|segment| width(segment.len).saturating_sub(u32::from(segment.extra_bits)));
    let longer = needed.max().unwrap_or(0).saturating_sub(u32::from(*lblock));
    for _ in 0..longer {
        bits.put(1, 1);
    }
    bits.put(0, 1);
    *lblock = lblock.saturating_add(u8::try_from(longer).unwrap_or(u8::MAX));
    for segment in segments {
        bits.put(u64::from(segment.len), u32::from(*lblock) + u32::from(segment.extra_bits));
    }
}

/// A tag tree on the writing side [15444-1 B.10.2].
#[derive(Debug, Default)]
struct TagTree {
    /// From the leaves to the root: position of the first node, nodes in a row.
    planes: SmallVec<[(usize, usize); 14]>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    value: u32,
    /// What the reader knows the value not to be below.
    low: u32,
    known: bool,
}

impl TagTree {
    /// The tree over so many columns and rows of leaves.
    fn reset(&mut self, (wide, high): (usize, usize), leaves: impl Iterator<Item = u32>) {
        self.planes.clear();
        self.nodes.clear();
        self.nodes.extend(leaves.map(Node::new));
        if self.nodes.is_empty() {
            return;
        }
        let (mut first, mut wide, mut high) = (0usize, wide, high);
        self.planes.push((0, wide));
        while wide > 1 || high > 1 {
            let (above_wide, above_high) = (wide.div_ceil(2), high.div_ceil(2));
            let above = self.nodes.len();
            for (y, x) in (0..above_high).flat_map(|y| (0..above_wide).map(move |x| (y, x))) {
                let below = [(2 * x, 2 * y), (2 * x + 1, 2 * y), (2 * x, 2 * y + 1), (2 * x + 1, 2 * y + 1)];
                let inside = below.into_iter().filter(|&(x, y)| x < wide && y < high);
                let values = inside.filter_map(|(x, y)| Some(self.nodes.get(first + y * wide + x)?.value));
                let value = values.min().unwrap_or(NEVER);
                self.nodes.push(Node::new(value));
            }
            (first, wide, high) = (above, above_wide, above_high);
            self.planes.push((first, wide));
        }
    }

    /// Tells the reader whether the value of a leaf is below `threshold`, as far as it does not know.
    fn write(&mut self, (x, y): (usize, usize), threshold: u32, bits: &mut BitWriter<'_>) -> Option<()> {
        let mut low = 0;
        for (up, &(first, wide)) in self.planes.iter().enumerate().rev() {
            let node = self.nodes.get_mut(first + (y >> up) * wide + (x >> up))?;
            low = node.low.max(low);
            while low < threshold && !node.known {
                node.known = low >= node.value;
                bits.put(u64::from(node.known), 1);
                low += u32::from(!node.known);
            }
            node.low = low;
            if low >= threshold {
                return Some(());
            }
        }
        Some(())
    }
}

impl Node {
    const fn new(value: u32) -> Self {
        Self { value, low: 0, known: false }
    }
}

/// Appends bits, a zero bit stuffed after every byte 0xFF [15444-1 B.10.1].
#[derive(Debug)]
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    byte: u8,
    /// Free bits of `byte`, never 0.
    room: u32,
    /// What `room` was when the byte was begun.
    full: u32,
}

impl<'a> BitWriter<'a> {
    const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, byte: 0, room: 8, full: 8 }
    }

    /// Appends the `count` lowest bits of `value`, the highest of them first.
    fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            let take = left.min(self.room);
            left -= take;
            let some = value.checked_shr(left).unwrap_or(0) & ((1 << take) - 1);
            self.room -= take;
            self.byte |= u8::try_from(some << self.room).unwrap_or(u8::MAX);
            if self.room == 0 {
                self.end_byte();
            }
        }
    }

    fn end_byte(&mut self) {
        self.out.push(self.byte);
        self.full = if self.byte == 0xFF { 7 } else { 8 };
        (self.byte, self.room) = (0, self.full);
    }

    /// Fills the last byte with zeros; a header never ends with 0xFF.
    fn finish(mut self) {
        if self.room < self.full || self.full == 7 {
            self.end_byte();
        }
    }
}

/// The header, and all there is, of a packet without contributions.
pub(super) const EMPTY_PACKET: u8 = 0;

/// Lblock of a code-block that is included for the first time.
const FIRST_LBLOCK: u8 = 3;

/// Value of a leaf that is never included.
const NEVER: u32 = u32::MAX;
