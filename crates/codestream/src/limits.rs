//! What a codestream or a file may cost, whatever it announces.

/// Bounds on work and memory; every one is checked before the allocation or loop that it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tiles of a codestream; Isot has 16 bits, so more cannot be addressed.
    pub max_tiles: u32,
    /// Packets of a codestream, whole or announced.
    pub max_packets: u64,
    /// Code-blocks whose state is held at the same time while packet headers are read.
    pub max_code_blocks: u64,
    /// Bytes of one packet header; they are read as a stream, so this bounds work, not memory.
    pub max_packet_header: usize,
    /// Bytes of the main header or of one tile-part header; indexing counts neither SOC nor SOT.
    pub max_header: u64,
    /// Boxes of a JP2-family file, over all depths.
    pub max_boxes: usize,
    /// Nesting depth of superboxes.
    pub max_box_depth: u16,
    /// Fragments of one codestream.
    pub max_fragments: usize,
    /// Damage entries that are kept; the rest is counted.
    pub max_damage: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tiles: 65_535,
            max_packets: 1 << 25,
            max_code_blocks: 1 << 25,
            max_packet_header: 1 << 26,
            max_header: 64 << 20,
            max_boxes: 65_536,
            max_box_depth: 16,
            max_fragments: 65_535,
            max_damage: 64,
        }
    }
}
