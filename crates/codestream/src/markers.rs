//! Marker segments of a codestream [15444-1 Annex A, 15444-15 Annex A].
//!
//! Each parser takes the payload of its segment: the bytes after the marker code and the length field.
//! What a decoder needs and an indexer does not (QCD, QCC, RGN, CRG, COM) is listed as a
//! [`MarkerSegment`] and forwarded, never read.

mod capabilities;
mod coding_style;
mod fields;
mod packed_headers;
mod packet_lengths;
mod progression_change;
mod size;
mod tile_part;
mod tile_part_lengths;

pub use capabilities::{Cap, CodeBlockCoding};
pub use coding_style::{Coc, Cod, CodeBlockStyle, ComponentCoding, ProgressionOrder, Wavelet};
pub(crate) use fields::Fields;
pub use packed_headers::{Ppm, Ppt};
pub use packet_lengths::{PacketLengths, Plm, Plt};
pub use progression_change::{ProgressionChange, parse_poc};
pub use size::{Siz, SizComponent};
pub use tile_part::Sot;
pub use tile_part_lengths::{Tlm, TlmEntry};

use crate::extent::Span;

/// Marker codes [15444-1 A.2].
pub mod code {
    /// Start of codestream.
    pub const SOC: u16 = 0xFF4F;
    /// Extended capabilities.
    pub const CAP: u16 = 0xFF50;
    /// Image and tile size.
    pub const SIZ: u16 = 0xFF51;
    /// Coding style default.
    pub const COD: u16 = 0xFF52;
    /// Coding style component.
    pub const COC: u16 = 0xFF53;
    /// Tile-part lengths.
    pub const TLM: u16 = 0xFF55;
    /// Profile.
    pub const PRF: u16 = 0xFF56;
    /// Packet lengths, main header.
    pub const PLM: u16 = 0xFF57;
    /// Packet lengths, tile-part header.
    pub const PLT: u16 = 0xFF58;
    /// Corresponding profile.
    pub const CPF: u16 = 0xFF59;
    /// Quantization default.
    pub const QCD: u16 = 0xFF5C;
    /// Quantization component.
    pub const QCC: u16 = 0xFF5D;
    /// Region of interest.
    pub const RGN: u16 = 0xFF5E;
    /// Progression order change.
    pub const POC: u16 = 0xFF5F;
    /// Packed packet headers, main header.
    pub const PPM: u16 = 0xFF60;
    /// Packed packet headers, tile-part header.
    pub const PPT: u16 = 0xFF61;
    /// Component registration.
    pub const CRG: u16 = 0xFF63;
    /// Comment.
    pub const COM: u16 = 0xFF64;
    /// Start of tile-part.
    pub const SOT: u16 = 0xFF90;
    /// Start of packet.
    pub const SOP: u16 = 0xFF91;
    /// End of packet header.
    pub const EPH: u16 = 0xFF92;
    /// Start of data.
    pub const SOD: u16 = 0xFF93;
    /// End of codestream.
    pub const EOC: u16 = 0xFFD9;
}

/// Where one marker segment lies in the codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkerSegment {
    /// Marker code, see [`code`].
    pub marker: u16,
    /// The marker code, the length field and the payload.
    pub span: Span,
}

impl MarkerSegment {
    /// The bytes after the length field; empty for a marker without a segment.
    #[must_use]
    pub const fn payload(&self) -> Span {
        let skip = if self.span.len < 4 { self.span.len } else { 4 };
        Span::new(self.span.offset.saturating_add(skip), self.span.len - skip)
    }
}

/// Whether `marker` stands alone, without a length field [15444-1 A.1.3].
#[must_use]
pub const fn stands_alone(marker: u16) -> bool {
    matches!(marker, code::SOC | code::EPH | code::SOD | code::EOC | 0xFF30..=0xFF3F)
}
