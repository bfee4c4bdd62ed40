//! Tag trees: inclusion and zero bit-planes of the code-blocks of one precinct in one sub-band
//! [15444-1 B.10.2, B.10.4, B.10.5].

use smallvec::SmallVec;

use super::{Bits, HeaderBytes, Stop};

/// One node of both trees, or, for an included code-block, what its later contributions depend on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Node {
    /// Lower bound of the layer of inclusion; once included: coding passes so far, reduced to what matters.
    low: u16,
    /// Lower bound of the number of zero bit-planes; once included: Lblock.
    aux: u8,
    flags: u8,
}

/// Fields of a node that is an included code-block.
impl Node {
    const LAYER_KNOWN: u8 = 1;
    const PLANES_KNOWN: u8 = 2;
    const INCLUDED: u8 = 4;
    const CLEANUP_SEEN: u8 = 8;
    const PART_1: u8 = 16;

    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a packet has included this code-block.
    pub(super) const fn is_included(self) -> bool {
        self.has(Self::INCLUDED)
    }

    /// Turns the leaf into an included code-block without contributions; Lblock begins at 3 [15444-1 B.10.7].
    pub(super) const fn include(&mut self) {
        *self = Self { low: 0, aux: 3, flags: Self::INCLUDED };
    }

    pub(super) const fn lblock(self) -> u8 {
        self.aux
    }

    pub(super) const fn set_lblock(&mut self, lblock: u8) {
        self.aux = lblock;
    }

    /// Coding passes so far, as far as the next contribution depends on them.
    pub(super) const fn passes(self) -> u16 {
        self.low
    }

    pub(super) const fn set_passes(&mut self, passes: u16) {
        self.low = passes;
    }

    /// Whether an HT cleanup pass with bytes has come.
    pub(super) const fn cleanup_seen(self) -> bool {
        self.has(Self::CLEANUP_SEEN)
    }

    pub(super) const fn see_cleanup(&mut self) {
        self.flags |= Self::CLEANUP_SEEN;
    }

    /// Whether the code-block was found to be a Part 1 one among HT ones.
    pub(super) const fn is_part_1(self) -> bool {
        self.has(Self::PART_1)
    }

    pub(super) const fn set_part_1(&mut self) {
        self.flags |= Self::PART_1;
    }
}

/// The shape of the trees over a grid of code-blocks; the nodes are the caller's, leaves first.
#[derive(Debug)]
pub(super) struct TagTree {
    /// From the leaves to the root.
    planes: SmallVec<[Plane; 14]>,
    node_count: usize,
    wide: u32,
    high: u32,
}

#[derive(Debug, Clone, Copy)]
struct Plane {
    first: usize,
    wide: usize,
}

impl TagTree {
    pub(super) fn new(wide: u32, high: u32) -> Self {
        let mut planes = SmallVec::new();
        let mut node_count = 0usize;
        // Code-block grids have at most 2^13 + 1 columns, so this is exact wherever usize has 32 bits.
        let side = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        let (mut w, mut h) = (side(wide), side(high));
        while w > 0 && h > 0 {
            planes.push(Plane { first: node_count, wide: w });
            node_count = node_count.saturating_add(w.saturating_mul(h));
            if w == 1 && h == 1 {
                break;
            }
            (w, h) = (w.div_ceil(2), h.div_ceil(2));
        }
        Self { planes, node_count, wide, high }
    }

    pub(super) const fn wide(&self) -> u32 {
        self.wide
    }

    pub(super) const fn high(&self) -> u32 {
        self.high
    }

    pub(super) const fn node_count(&self) -> usize {
        self.node_count
    }

    pub(super) fn leaf_count(&self) -> u64 {
        u64::from(self.wide) * u64::from(self.high)
    }

    /// Position of a leaf among the nodes.
    pub(super) fn leaf(&self, x: u32, y: u32) -> usize {
        self.planes.first().map_or(0, |plane| plane.at(x, y, 0))
    }

    /// Whether any leaf may be included by layer `layer`; reads what the root's first leaf would read first.
    pub(super) fn may_include<B: HeaderBytes>(
        &self,
        nodes: &mut [Node],
        layer: u16,
        bits: &mut Bits<'_, B>,
    ) -> Result<bool, Stop> {
        let Some(root) = self.node_count.checked_sub(1).and_then(|root| nodes.get_mut(root)) else {
            return Ok(false);
        };
        // A tree of one node is leaf and root at once and may be included already.
        if root.is_included() {
            return Ok(true);
        }
        Ok(root.raise_layer(0, layer, bits)? <= u32::from(layer))
    }

    /// Whether the code-block is included for the first time by layer `layer`.
    pub(super) fn included<B: HeaderBytes>(
        &self,
        nodes: &mut [Node],
        x: u32,
        y: u32,
        layer: u16,
        bits: &mut Bits<'_, B>,
    ) -> Result<bool, Stop> {
        let mut low = 0;
        for (up, plane) in self.planes.iter().enumerate().rev() {
            let node = nodes.get_mut(plane.at(x, y, up)).ok_or(Stop::INCONSISTENT)?;
            low = node.raise_layer(low, layer, bits)?;
            if low > u32::from(layer) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the number of zero bit-planes of a code-block to its end, and gives it.
    pub(super) fn read_zero_planes<B: HeaderBytes>(
        &self,
        nodes: &mut [Node],
        x: u32,
        y: u32,
        bits: &mut Bits<'_, B>,
    ) -> Result<u8, Stop> {
        let mut low = 0u8;
        for (up, plane) in self.planes.iter().enumerate().rev() {
            let node = nodes.get_mut(plane.at(x, y, up)).ok_or(Stop::INCONSISTENT)?;
            if up == 0 || !node.has(Node::PLANES_KNOWN) {
                let mut planes = node.aux.max(low);
                while !bits.bit()? {
                    planes = planes.checked_add(1).ok_or(Stop::Malformed("more than 255 zero bit-planes"))?;
                }
                node.aux = planes;
                node.flags |= Node::PLANES_KNOWN;
            }
            low = node.aux;
        }
        Ok(low)
    }
}

impl Plane {
    /// The node above leaf `x`, `y`, this plane being `up` steps above the leaves.
    const fn at(self, x: u32, y: u32, up: usize) -> usize {
        self.first + ((y >> up) as usize) * self.wide + ((x >> up) as usize)
    }
}

impl Node {
    /// Raises the lower bound of the layer of inclusion until it is known or beyond `layer`.
    ///
    /// The layer number itself does not fit 16 bits when it is beyond the last possible one.
    #[inline]
    fn raise_layer<B: HeaderBytes>(&mut self, low: u32, layer: u16, bits: &mut Bits<'_, B>) -> Result<u32, Stop> {
        let mut low = low.max(u32::from(self.low));
        while low <= u32::from(layer) && !self.has(Self::LAYER_KNOWN) {
            if bits.bit()? {
                self.flags |= Self::LAYER_KNOWN;
            } else {
                low += 1;
            }
        }
        self.low = u16::try_from(low).unwrap_or(u16::MAX);
        Ok(low)
    }
}
