//! The same code-blocks in another layout: precincts, progression order, tile-parts, SOP, EPH, PLT and TLM
//! change, no code-block byte does.
//!
//! Packet headers are read down to code-blocks and written anew for the wanted precincts [15444-1 B.6, B.9,
//! B.10, B.12]. What comes out is the index of the new codestream and a [`Rope`]: few new bytes, and the spans of
//! the stored codestream between them. Writing the rope out is a transcoding; leaving it unwritten and reading it
//! through is a *virtual* layout, for which nothing is stored.
//!
//! ```text
//! packet headers ─► Blocks (contributions of each code-block) ─► TilePackets (new headers, spans)
//!                                                             ─► Rope + CodestreamIndex, in codestream order
//! ```
//!
//! A code-block may not change, so a precinct never becomes smaller than a code-block, and one that cuts
//! code-blocks stays as it is. Layers stay too.

mod blocks;
mod copy;
pub mod file;
mod headers;
mod packet_header;
mod precincts;
pub mod presented;
pub mod replace;
mod rope;
mod segments;
mod tile_parts;

use std::io;

use blocks::Blocks;
use precincts::TilePackets;
use rope::RopeBuilder;
pub use rope::{Rope, RopePart, RopeSource};
use smallvec::SmallVec;
use thiserror::Error;
use tile_parts::compose;

use crate::damage::Damage;
use crate::error::{Family, ParseError};
use crate::geometry::TileGeometry;
use crate::index::{Budget, CodestreamIndex, Indexed, Window};
use crate::limits::Limits;
use crate::markers::{ComponentCoding, ProgressionOrder, code};
use crate::reader::ByteSource;

/// What a codestream shall be laid out like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Its precincts.
    pub precincts: Precincts,
    /// Order of the packets of every tile; without one, each tile keeps its own, progression order changes included.
    pub progression: Option<ProgressionOrder>,
    /// Where tiles are cut into tile-parts.
    pub tile_parts: TileParts,
    /// An SOP marker segment before every packet.
    pub sop: bool,
    /// An EPH marker after every packet header.
    pub eph: bool,
    /// PLT marker segments in the tile-part headers.
    pub plt: bool,
    /// TLM marker segments in the main header.
    pub tlm: bool,
}

/// The precinct sizes of a [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precincts {
    /// As they are.
    #[default]
    Keep,
    /// Binary logarithms of width and height, the highest resolution level first; the last is repeated. They are
    /// raised to the size of a code-block where they are below.
    Wanted(SmallVec<[(u8, u8); 8]>),
}

/// Where a [`Layout`] cuts tiles into tile-parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TileParts {
    /// Not at all, but for tiles of 4 GiB and more.
    #[default]
    One,
    /// Where the resolution level of the packets changes.
    ByResolution,
}

/// A codestream in its new layout.
#[derive(Debug, Clone)]
pub struct Relaid {
    /// Where the headers and packets of the new codestream lie in [`Relaid::bytes`].
    pub index: CodestreamIndex,
    /// Its bytes.
    pub bytes: Rope,
}

/// Why a codestream cannot be laid out anew.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayoutError {
    /// It cannot be read, is more than the limits allow, or what is wanted cannot be done.
    #[error(transparent)]
    Codestream(#[from] ParseError),
    /// Packets of it are missing or cannot be read, so that the copy would not be the same image.
    #[error("it is damaged: {0}")]
    Damaged(Damage),
}

impl From<io::Error> for RelayoutError {
    fn from(error: io::Error) -> Self {
        Self::Codestream(ParseError::Source(error))
    }
}

impl RelayoutError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Codestream(error) => error.family(),
            Self::Damaged(_) => Family::Malformed,
        }
    }
}

impl Precincts {
    /// `PPx` and `PPy` of a resolution level of a component that is coded so.
    #[must_use]
    pub fn exponents(&self, coding: &ComponentCoding, level: u8) -> (u8, u8) {
        let stored = coding.precinct_exponents(level);
        let Self::Wanted(wanted) = self else { return stored };
        let from_the_top = usize::from(coding.levels.saturating_sub(level));
        let Some(&wanted) = wanted.get(from_the_top).or(wanted.last()) else { return stored };
        // Above the lowest level a precinct has half its size in the sub-bands [15444-1 B.7].
        let halved = u8::from(level > 0);
        let along = |stored: u8, block: u8, wanted: u8| {
            if stored < block + halved { stored } else { wanted.max(block + halved).min(MAX_EXPONENT) }
        };
        (along(stored.0, coding.xcb, wanted.0), along(stored.1, coding.ycb, wanted.1))
    }
}

/// Lays the codestream of `source` out anew; `indexed` is its index. No code-block byte is read.
///
/// # Errors
///
/// - [`RelayoutError::Damaged`] if packets are missing or stray bytes belong to none.
/// - [`ParseError::Unsupported`] for mixed HT and Part 1 code-blocks, whose headers depend on what is not known, and for
///   more tile-parts than can be numbered.
/// - [`ParseError::LimitExceeded`] for more packets or code-blocks than `limits` and the bytes there are allow.
/// - [`ParseError::Malformed`] if `indexed` is not the index of `source`.
pub fn relayout(
    source: &dyn ByteSource,
    indexed: &Indexed,
    layout: &Layout,
    limits: &Limits,
) -> Result<Relaid, RelayoutError> {
    if let Some(damage) = indexed.damage.iter().find(|damage| damage.loses_packets()) {
        return Err(RelayoutError::Damaged(damage.clone()));
    }
    let old = &indexed.index;
    let mut input = Input { window: Window::new(source), budget: Budget::new(limits, source.len()), limits };
    let main = headers::main_header(&input.window, old, layout)?;
    let mut body = RopeBuilder::default();
    let mut tiles = Vec::with_capacity(old.tiles.len());
    for tile in &old.tiles {
        let blocks = Blocks::read(tile, &old.geometry(tile), &mut input)?;
        let (coding, segments) = headers::tile_header(&input.window, tile, &main.header, layout)?;
        let geometry = TileGeometry::new(main.header.siz(), tile.tile, coding);
        let packets = TilePackets::write(&geometry, &blocks, &mut input.budget)?;
        tiles.push(compose(&geometry, &packets, &segments, layout, &mut body)?);
    }
    body.inline(&code::EOC.to_be_bytes());
    let mut bytes = RopeBuilder::default();
    let mut main_segments: Vec<_> = main.segments.iter().map(|segment| segment.put(&mut bytes)).collect();
    if layout.tlm {
        for segment in segments::tlm(tiles.iter())? {
            main_segments.push(segment.put(&mut bytes));
        }
    }
    let main_header_len = bytes.len();
    for tile in &mut tiles {
        tile.shift(main_header_len);
    }
    bytes.append(body);
    let codestream_len = bytes.len();
    let index = CodestreamIndex { header: main.header, main_header_len, main_segments, codestream_len, tiles };
    Ok(Relaid { index, bytes: bytes.finish() })
}

/// What all tiles are read with.
struct Input<'a, 's> {
    window: Window<'s>,
    budget: Budget,
    limits: &'a Limits,
}

/// State that contradicts itself; cannot happen.
const INCONSISTENT: ParseError = ParseError::Malformed { what: "code-blocks do not fit their precincts", offset: 0 };

/// Largest binary logarithm of a precinct's size [15444-1 Table A.21].
const MAX_EXPONENT: u8 = 15;

#[cfg(test)]
mod tests;
