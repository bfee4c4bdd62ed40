//! Small precincts for codestreams that have none, without a byte being written: which codestreams are presented in
//! another layout than the stored one, and in which.

use std::sync::Arc;

use super::{Layout, Precincts, Relaid, RelayoutError, TileParts, relayout};
use crate::error::ParseError;
use crate::geometry::{ResolutionLevel, TileGeometry, TileIndex};
use crate::index::index_codestream;
use crate::limits::Limits;
use crate::main_header::MainHeader;
use crate::markers::ProgressionOrder;
use crate::reader::ByteSource;

/// Names what [`virtual_layout`] makes of codestreams. It belongs into every target identifier under which its
/// results are served, and changes with a single byte of them.
pub const VIRTUAL_LAYOUT: &str = "virtual precincts 1";

/// Whether a codestream of `len` bytes with this main header may be presented in another layout than its own.
///
/// Only those without spatial access gain: one precinct at the highest resolution level, tiles of more than twice the
/// new precincts, more pixels and bytes than one request brings anyway. Codestreams of profiles that may prescribe
/// precincts (cinema, broadcast, IMF) and of 15444-2 stay as they are.
#[must_use]
pub fn gains(header: &MainHeader, len: u64) -> bool {
    let siz = header.siz();
    let image = siz.image_rect();
    let pixels = u64::from(image.width()) * u64::from(image.height());
    if pixels < MIN_PIXELS || len < MIN_BYTES || siz.rsiz & EXTENSIONS != 0 || siz.rsiz & PROFILE > MAX_PROFILE {
        return false;
    }
    let geometry = TileGeometry::new(siz, TileIndex(0), Arc::clone(header.coding()));
    let rect = geometry.rect();
    if rect.width().max(rect.height()) <= 2 << SMALLEST {
        return false;
    }
    let top_is_whole = |component| {
        let component = geometry.component(component)?;
        Some(component.resolutions.last()?.precinct_count() <= 1)
    };
    (0..geometry.component_count()).all(|component| top_is_whole(component) == Some(true))
}

/// The layout in which the codestream of `source` is presented; `None` if that is the stored one.
///
/// Precincts of 128 × 128, or the next larger ones where many layers or tiny code-blocks would make the new headers
/// dear; RPCL, a tile-part for each resolution level, no SOP, no EPH. Damaged codestreams keep their layout.
///
/// # Errors
///
/// - [`ParseError::Source`] if the medium failed. Whatever else is wrong makes the stored layout the one presented.
pub fn virtual_layout(source: &dyn ByteSource, limits: &Limits) -> Result<Option<Relaid>, ParseError> {
    let indexed = match index_codestream(source, limits) {
        Ok(indexed) => indexed,
        Err(error @ ParseError::Source(_)) => return Err(error),
        Err(_unusable) => return Ok(None),
    };
    if !gains(&indexed.index.header, indexed.index.codestream_len) {
        return Ok(None);
    }
    for exponent in SMALLEST..=LARGEST {
        let layout = Layout {
            precincts: Precincts::Wanted([(exponent, exponent)].into_iter().collect()),
            progression: Some(ProgressionOrder::Rpcl),
            tile_parts: TileParts::ByResolution,
            ..Layout::default()
        };
        match relayout(source, &indexed, &layout, limits) {
            Ok(relaid) if is_cheap(&relaid) => return Ok(Some(relaid)),
            Ok(_dear) => {}
            Err(RelayoutError::Codestream(error @ ParseError::Source(_))) => return Err(error),
            // Fewer precincts may be within the limits.
            Err(RelayoutError::Codestream(ParseError::LimitExceeded { .. })) => {}
            Err(_unfit) => return Ok(None),
        }
    }
    Ok(None)
}

/// Whether readers get along with the layout that take the precincts of the main header for granted, count those of a
/// tile by its size alone, and put the packets of each down in one piece, as OpenJPIP's decoder does.
#[must_use]
pub fn is_plain(header: &MainHeader) -> bool {
    let (siz, coding) = (header.siz(), header.coding());
    let is_layers_innermost = !matches!(coding.progression, ProgressionOrder::Lrcp | ProgressionOrder::Rlcp);
    let is_stated = |component: u16| coding.component(component).precincts.iter().all(|&size| size != NOT_STATED);
    // Rows and columns are counted apart, so that one of each shows those of all tiles.
    let across = siz.tiles_across();
    let mut edges = (0..across).chain((0..siz.tiles_down()).map(|row| row.saturating_mul(across)));
    coding.poc.is_empty()
        && (coding.layers == 1 || is_layers_innermost)
        && (0..siz.component_count()).all(is_stated)
        && edges.all(|tile| {
            let tile = TileGeometry::new(siz, TileIndex(tile), Arc::clone(coding));
            tile.component(0).is_none_or(|component| component.resolutions.iter().all(is_counted_by_size))
        })
}

/// Whether a resolution level has no more precincts than would cover it from its own corner.
fn is_counted_by_size(level: &ResolutionLevel) -> bool {
    let fit = |samples: u32, exponent: u8| u64::from(samples).div_ceil(1 << exponent.min(31));
    let wide = fit(level.rect.width(), level.ppx) == u64::from(level.precincts_wide);
    let high = fit(level.rect.height(), level.ppy) == u64::from(level.precincts_high);
    level.rect.is_empty() || (wide && high)
}

/// The layout in which the codestream of `source` is presented to readers that need one that [`is_plain`]; `None` if it
/// cannot be laid out so. It changes with the target identifier under which it is served.
///
/// That is the virtual one, or else one precinct a resolution level, as good as; RPCL, one tile-part a tile, no SOP, no
/// EPH.
///
/// # Errors
///
/// As [`virtual_layout`].
pub fn plain_layout(source: &dyn ByteSource, limits: &Limits) -> Result<Option<Relaid>, ParseError> {
    let layout = Layout {
        precincts: Precincts::Wanted([(WHOLE, WHOLE)].into_iter().collect()),
        progression: Some(ProgressionOrder::Rpcl),
        ..Layout::default()
    };
    let is_plain = |relaid: &Relaid| is_plain(&relaid.index.header);
    if let Some(relaid) = virtual_layout(source, limits)?.filter(is_plain) {
        return Ok(Some(relaid));
    }
    let laid_out = index_codestream(source, limits)
        .map_err(RelayoutError::Codestream)
        .and_then(|indexed| relayout(source, &indexed, &layout, limits));
    match laid_out {
        Ok(relaid) => Ok(Some(relaid).filter(is_plain)),
        Err(RelayoutError::Codestream(error @ ParseError::Source(_))) => Err(error),
        Err(_unfit) => Ok(None),
    }
}

/// Whether the new headers are few and the packets not too small to be messages.
fn is_cheap(relaid: &Relaid) -> bool {
    let packets: u64 = relaid.index.tiles.iter().flat_map(|tile| &tile.packets).map(crate::PacketTable::len).sum();
    let len = relaid.bytes.len();
    relaid.bytes.inline_len().saturating_mul(MIN_BYTES_A_NEW_ONE) <= len && packets.saturating_mul(MIN_PACKET) <= len
}

/// Binary logarithms of the sides of a precinct whose size is not stated; some state these.
const NOT_STATED: (u8, u8) = (15, 15);

/// The greatest size that must be stated.
const WHOLE: u8 = 14;

/// Binary logarithms of the precinct sizes that are tried.
const SMALLEST: u8 = 7;
const LARGEST: u8 = 9;

/// Below these one request brings all there is soon enough.
const MIN_PIXELS: u64 = 1_000_000;
const MIN_BYTES: u64 = 256 * 1024;

/// The new headers may be 2 % of the codestream.
const MIN_BYTES_A_NEW_ONE: u64 = 50;
/// Bytes of a packet on average.
const MIN_PACKET: u64 = 256;

/// Bit of Rsiz that stands for 15444-2, and the bits that name a profile; 1 and 2 say nothing of precincts that counts
/// here.
const EXTENSIONS: u16 = 0x8000;
const PROFILE: u16 = 0x0FFF;
const MAX_PROFILE: u16 = 2;
