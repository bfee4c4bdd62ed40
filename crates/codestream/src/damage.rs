//! What is wrong with a codestream that can be served all the same.

use thiserror::Error;

/// One finding; positions are in bytes from SOC.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// The data end inside `what`; everything before it is indexed.
    #[error("the data end inside {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where the data end.
        offset: u64,
    },
    /// The codestream does not end with EOC.
    #[error("EOC is missing at byte {offset}")]
    MissingEoc {
        /// Where the codestream ends.
        offset: u64,
    },
    /// A packet header of this tile cannot be read; the tile's later packets are not indexed.
    #[error("tile {tile}: a packet header at byte {offset} cannot be read")]
    BadPacketHeader {
        /// Tile, from 0.
        tile: u32,
        /// Where the header begins.
        offset: u64,
    },
    /// Packet lengths announced by PLT or PLM differ from those of the packet headers.
    #[error("tile {tile}: PLT disagrees with the packet headers at byte {offset}")]
    PacketLengthsDisagree {
        /// Tile, from 0.
        tile: u32,
        /// Start of the first packet whose announced length is wrong.
        offset: u64,
    },
    /// TLM disagrees with the tile-parts found.
    #[error("TLM disagrees with the tile-part at byte {offset}")]
    TilePartLengthsDisagree {
        /// Start of the tile-part.
        offset: u64,
    },
    /// A tile-part is longer or shorter than its packets.
    #[error("tile {tile}: {len} bytes at byte {offset} belong to no packet")]
    StrayBytes {
        /// Tile, from 0.
        tile: u32,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Packets of this tile are missing.
    #[error("tile {tile}: {missing} packets are missing")]
    MissingPackets {
        /// Tile, from 0.
        tile: u32,
        /// Number of packets.
        missing: u64,
    },
    /// A rule of the standard is broken in a way that does not keep the bytes from being served.
    #[error("{what} at byte {offset}")]
    Irregular {
        /// What is wrong, in words without a full stop.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// More findings than are kept.
    #[error("{count} more findings")]
    More {
        /// Number of findings not listed.
        count: u64,
    },
}

impl Damage {
    /// Whether packets are lost or bytes belong to none, so that a copy would be another image, or another file than
    /// it seems.
    #[must_use]
    pub const fn loses_packets(&self) -> bool {
        match self {
            Self::Truncated { .. }
            | Self::BadPacketHeader { .. }
            | Self::MissingPackets { .. }
            | Self::StrayBytes { .. }
            | Self::More { .. } => true,
            Self::MissingEoc { .. }
            | Self::PacketLengthsDisagree { .. }
            | Self::TilePartLengthsDisagree { .. }
            | Self::Irregular { .. } => false,
        }
    }
}
