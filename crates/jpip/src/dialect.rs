//! The dialect of JPP-streams that OpenJPIP's programs write and read, which is told apart by its tile headers.
//!
//! Deviation: OpenJPIP puts FF90 before a tile-header data-bin and packets after it, and takes that for a tile-part.
//! So the data-bin holds what the standard puts there [15444-9 A.3.3], but between the fields of SOT and SOD; its decoder
//! crashes on the standard's form (clients.md 14).

use bytes::Bytes;
use codestream::TileIndex;
use codestream::markers::code;

use crate::request::error::RequestError;
use crate::target::Part;

/// What a JPP-stream may deviate from the standard by, for clients that cannot read it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `openjpip`: that of OpenJPIP's programs.
    OpenJpip,
}

impl Dialect {
    pub(crate) fn parse(field: &'static str, value: &[u8]) -> Result<Self, RequestError> {
        match value {
            b"openjpip" => Ok(Self::OpenJpip),
            _ => Err(RequestError::malformed(field, "not openjpip")),
        }
    }
}

/// The tile-header data-bin of a tile, of which `header` is the standard's.
///
/// The tile is one tile-part, as it is when all of its packets follow; its length is for the reader to put in.
pub(crate) fn tile_header(tile: TileIndex, header: impl Iterator<Item = Part>) -> impl Iterator<Item = Part> {
    // There are 65535 tiles at most.
    let [isot_high, isot_low] = u16::try_from(tile.0).unwrap_or(u16::MAX).to_be_bytes();
    let fields = [0, LSOT, isot_high, isot_low, 0, 0, 0, 0, 0, 1];
    let inline = |bytes: &[u8]| std::iter::once(Part::Inline(Bytes::copy_from_slice(bytes)));
    inline(&fields).chain(header).chain(inline(&code::SOD.to_be_bytes()))
}

/// The marker segments in a tile-header data-bin, whichever of the two forms it has: in the standard's it begins with a
/// marker code or is empty.
pub(crate) fn tile_header_segments(bin: &[u8]) -> &[u8] {
    let in_dialect = bin.strip_prefix(&[0, LSOT]).and_then(|rest| rest.get(usize::from(LSOT) - 2..));
    let Some(segments) = in_dialect else { return bin };
    segments.strip_suffix(&code::SOD.to_be_bytes()).unwrap_or(segments)
}

/// Length of an SOT marker segment without its marker code, in bytes [15444-1 A.4.2].
const LSOT: u8 = 10;
