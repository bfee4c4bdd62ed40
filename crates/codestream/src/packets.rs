//! Packet headers, read for the lengths that they announce [15444-1 B.9, B.10; 15444-15 B].

use crate::error::ParseError;
use crate::geometry::{ResolutionLevel, TileComponent};
use crate::markers::ComponentCoding;

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
    NeedMore,
}

/// What earlier packets of one precinct said: tag trees, Lblock, coding passes.
#[derive(Debug, Clone)]
pub struct PrecinctState {}

impl PrecinctState {
    /// The state before the precinct's first packet; allocates when the first non-empty packet is read.
    #[must_use]
    pub fn new(
        _component: &TileComponent,
        _resolution: &ResolutionLevel,
        _px: u32,
        _py: u32,
        _coding: &ComponentCoding,
    ) -> Self {
        Self {}
    }

    /// Reads the header of the precinct's packet of layer `layer`; layers come in order.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Malformed`] if no encoder can have written this; the state is then of no use.
    pub fn read_header(
        &mut self,
        _layer: u16,
        _bytes: &[u8],
        _markers: PacketMarkers,
    ) -> Result<PacketRead, ParseError> {
        Err(ParseError::Unsupported { what: "packet header" })
    }
}
