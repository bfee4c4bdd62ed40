//! Packet headers, read for the lengths that they announce [15444-1 B.9, B.10; 15444-15 B].
//!
//! A [`PrecinctState`] is fed the headers of its precinct's packets, layer after layer. It takes 4 bytes for
//! each code-block and tag tree node, and none before the first packet that is not empty.

mod bits;
mod code_block;
mod contributions;
mod tag_tree;

use bits::SliceBytes;
pub(crate) use bits::{Bits, HeaderBytes, Stop};
use code_block::contribution_len;
pub(crate) use contributions::Contributions;
use smallvec::SmallVec;
use tag_tree::{Node, TagTree};

use crate::error::ParseError;
use crate::geometry::{ResolutionLevel, TileComponent};
use crate::markers::{CodeBlockStyle, ComponentCoding};

/// Which in-bit-stream markers a tile's packets may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketMarkers {
    /// SOP marker segments may precede packets; their absence is tolerated.
    pub sop: bool,
    /// EPH markers follow packet headers; their absence is tolerated.
    pub eph: bool,
}

/// What reading a packet header gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketRead {
    /// The header is whole.
    Complete {
        /// Bytes of the header, with SOP before and EPH after it.
        header_len: usize,
        /// Bytes of the body that follows.
        body_len: u64,
    },
    /// The header goes on after the given bytes; the state is as before.
    ///
    /// With EPH at least one byte after the header must be there, to see whether it is one.
    NeedMore,
}

/// What earlier packets of one precinct said: tag trees, Lblock, coding passes.
#[derive(Debug, Clone)]
pub struct PrecinctState {
    /// Columns and rows of code-blocks in each sub-band.
    bands: SmallVec<[(u32, u32); 3]>,
    style: CodeBlockStyle,
    /// The trees of the bands one after another; empty before the first packet that is not.
    nodes: Box<[Node]>,
}

impl PrecinctState {
    /// The state before the first packet of the precinct in column `px`, row `py`.
    #[must_use]
    pub fn new(
        _component: &TileComponent,
        resolution: &ResolutionLevel,
        px: u32,
        py: u32,
        coding: &ComponentCoding,
    ) -> Self {
        let blocks = |band| resolution.code_blocks(band, px, py);
        let bands = resolution.bands.iter().map(blocks).map(|grid| (grid.wide, grid.high)).collect();
        Self { bands, style: coding.style, nodes: Box::default() }
    }

    /// Code-blocks whose state is in memory: all or none.
    pub(crate) fn code_blocks_held(&self) -> u64 {
        if self.nodes.is_empty() { 0 } else { self.code_block_count() }
    }

    /// Code-blocks of the precinct over all sub-bands.
    #[must_use]
    pub fn code_block_count(&self) -> u64 {
        self.bands.iter().map(|&(wide, high)| u64::from(wide) * u64::from(high)).sum()
    }

    /// Reads the header of the precinct's packet of layer `layer`, at the start of `bytes`.
    ///
    /// Layers must come in order, each once. With packed packet headers `bytes` are packed headers, without
    /// SOP, which then lies at the body.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Malformed`] if no encoder can have written this; the state is then of no use.
    pub fn read_header(&mut self, layer: u16, bytes: &[u8], markers: PacketMarkers) -> Result<PacketRead, ParseError> {
        let mut feed = SliceBytes::new(bytes);
        if markers.sop {
            match bytes {
                [0xFF, 0x91, _, _, _, _, ..] => feed.skip(SOP_LEN),
                [] | [0xFF] | [0xFF, 0x91, ..] => return Ok(PacketRead::NeedMore),
                _ => {}
            }
        }
        let before = self.clone();
        let body_len = match self.read_from(layer, &mut feed) {
            Ok(body_len) => body_len,
            Err(Stop::End) => {
                *self = before;
                return Ok(PacketRead::NeedMore);
            }
            Err(stop) => return Err(stop.into_error(feed.position() as u64)),
        };
        if markers.eph {
            match bytes.get(feed.position()..).unwrap_or_default() {
                [0xFF, 0x92, ..] => feed.skip(EPH_LEN),
                [] | [0xFF] => {
                    *self = before;
                    return Ok(PacketRead::NeedMore);
                }
                _ => {}
            }
        }
        Ok(PacketRead::Complete { header_len: feed.position(), body_len })
    }

    /// Reads one packet header proper, without SOP and EPH; gives the length of the body [15444-1 B.10].
    pub(crate) fn read_from<B: HeaderBytes>(&mut self, layer: u16, bytes: &mut B) -> Result<u64, Stop> {
        self.read_contributions(layer, bytes, &mut ())
    }

    /// As [`Self::read_from`], and tells `sink` what each code-block contributes, in the order of the body.
    pub(crate) fn read_contributions<B: HeaderBytes, C: Contributions>(
        &mut self,
        layer: u16,
        bytes: &mut B,
        sink: &mut C,
    ) -> Result<u64, Stop> {
        let mut bits = Bits::new(bytes);
        let mut body_len = 0u64;
        if bits.bit()? {
            if self.nodes.is_empty() {
                bits.hold(self.code_block_count())?;
                self.allocate()?;
            }
            let mut nodes = &mut *self.nodes;
            for (number, &(wide, high)) in self.bands.iter().enumerate() {
                let tree = TagTree::new(wide, high);
                let (nodes_of_band, rest) = nodes.split_at_mut_checked(tree.node_count()).ok_or(Stop::INCONSISTENT)?;
                nodes = rest;
                let band = Band { number, tree: &tree, style: self.style };
                body_len = body_len.saturating_add(read_band(&band, nodes_of_band, layer, &mut bits, sink)?);
            }
        }
        bits.align()?;
        Ok(body_len)
    }

    /// Makes room for the trees, all values unknown.
    fn allocate(&mut self) -> Result<(), Stop> {
        let count: usize = self.bands.iter().map(|&(wide, high)| TagTree::new(wide, high).node_count()).sum();
        let mut nodes = Vec::new();
        nodes.try_reserve_exact(count).map_err(|_refused| Stop::Limit {
            what: "code-blocks of a precinct",
            found: self.code_block_count(),
            limit: 0,
        })?;
        nodes.resize(count, Node::default());
        self.nodes = nodes.into_boxed_slice();
        Ok(())
    }
}

/// One sub-band of a precinct.
struct Band<'a> {
    /// Its place among the sub-bands of the resolution level.
    number: usize,
    tree: &'a TagTree,
    style: CodeBlockStyle,
}

/// The contributions of one sub-band's code-blocks; gives the sum of their lengths.
fn read_band<B: HeaderBytes, C: Contributions>(
    band: &Band<'_>,
    nodes: &mut [Node],
    layer: u16,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let tree = band.tree;
    // The root bounds all leaves: one bit may say that no code-block is included yet.
    if !tree.may_include(nodes, layer, bits)? {
        return Ok(0);
    }
    bits.visit(tree.leaf_count())?;
    let mut sum = 0u64;
    for y in 0..tree.high() {
        for x in 0..tree.wide() {
            let leaf = tree.leaf(x, y);
            let seen = nodes.get(leaf).ok_or(Stop::INCONSISTENT)?.is_included();
            let included = if seen { bits.bit()? } else { tree.included(nodes, x, y, layer, bits)? };
            if !included {
                continue;
            }
            let mut zero_planes = None;
            if !seen {
                zero_planes = Some(tree.read_zero_planes(nodes, x, y, bits)?);
                nodes.get_mut(leaf).ok_or(Stop::INCONSISTENT)?.include();
            }
            sink.code_block(band.number, x, y, zero_planes)?;
            let node = nodes.get_mut(leaf).ok_or(Stop::INCONSISTENT)?;
            sum = sum.saturating_add(contribution_len(band.style, node, bits, sink)?);
        }
    }
    Ok(sum)
}

/// Bytes of an SOP marker segment [15444-1 A.8.1].
pub(crate) const SOP_LEN: usize = 6;
/// Bytes of an EPH marker [15444-1 A.8.2].
pub(crate) const EPH_LEN: usize = 2;

#[cfg(test)]
mod tests;
