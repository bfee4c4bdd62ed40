//! JPEG 2000 structure without pixels: where every header and packet of a codestream lies.
//!
//! Does: boxes of the JP2 family, marker segments, tiles, resolutions and precincts on the reference
//! grid, the five progressions, packet headers (Part 1 and HT) down to lengths, the codestream index and
//! its exchange form, the index boxes of ISO/IEC 15444-9 Annex I, and the same code-blocks in another layout.
//!
//! Never: decodes a code-block, opens a file or a socket, reads a clock, trusts a length that it has not
//! checked, or hands out a byte position that [`FrameExtents::locate`] has not seen.
#![cfg_attr(
    test,
    expect(
        clippy::cast_possible_truncation,
        reason = "tests cast numbers that they have made; the build without tests checks the rest"
    )
)]

pub mod annex_i;
pub mod boxes;
pub mod damage;
pub mod error;
pub mod extent;
pub mod geometry;
pub mod index;
pub mod jp2;
pub mod limits;
pub mod main_header;
pub mod markers;
pub mod packets;
pub mod parts;
pub mod progression;
pub mod reader;
pub mod rect;
pub mod relayout;
#[cfg(any(test, feature = "testkit"))]
#[doc(hidden)]
pub mod testkit;
mod tile_part;

pub use damage::Damage;
pub use error::{Family, ParseError};
pub use extent::{Extent, ExtentError, Extents, FrameExtents, Span};
pub use geometry::{PrecinctAddress, ResolutionLevel, Subband, TileComponent, TileGeometry, TileIndex};
pub use index::{CodestreamIndex, Indexed, IndexedTile, PacketTable, TilePartSpan, index_codestream};
pub use limits::Limits;
pub use main_header::{MainHeader, TileCoding};
pub use markers::MarkerSegment;
pub use packets::{PacketMarkers, PacketRead, PrecinctState};
pub use parts::{CHUNK, NotLoaded, SparseBytes};
pub use progression::{PacketId, PacketSequence};
pub use reader::{ByteSource, FrameSource};
pub use rect::Rect;
pub use relayout::{Layout, Relaid, RelayoutError, relayout};
