//! Main and tile headers for the new layout [15444-1 A.6.1, A.6.2, A.6.6].
//!
//! COD and COC tell of precincts, order, SOP and EPH, so they are written anew. POC goes when one order is wanted;
//! PPM, PPT, PLM, PLT and TLM always go. Quantisation, regions of interest, capabilities and comments do not depend on
//! any of this and stay as they are.

use std::sync::Arc;

use super::segments::HeaderSegment;
use super::{Layout, RelayoutError};
use crate::error::ParseError;
use crate::index::{CodestreamIndex, IndexedTile, Window};
use crate::main_header::{MainHeader, MainHeaderBuilder, TileCoding};
use crate::markers::{Coc, Cod, ComponentCoding, MarkerSegment, ProgressionOrder, code};

/// The new main header.
pub(super) struct NewMainHeader {
    /// As values.
    pub(super) header: MainHeader,
    /// Its marker segments, SOC first, without TLM.
    pub(super) segments: Vec<HeaderSegment>,
}

/// The main header of the new codestream.
pub(super) fn main_header(
    window: &Window<'_>,
    index: &CodestreamIndex,
    layout: &Layout,
) -> Result<NewMainHeader, RelayoutError> {
    let components = index.header.siz().component_count();
    let mut builder = MainHeaderBuilder::default();
    let mut segments = Vec::with_capacity(index.main_segments.len());
    for &segment in index.main_segments.iter().filter(|segment| stays(segment.marker, layout)) {
        let mut payload = Vec::new();
        if MainHeaderBuilder::reads(segment.marker) {
            payload = window.bytes(segment.payload())?;
        }
        let new = rewritten(segment, &payload, components, layout)?;
        builder.add(segment, new.as_deref().unwrap_or(&payload))?;
        segments.push(match new {
            Some(payload) => HeaderSegment::made(segment.marker, &payload)?,
            None => HeaderSegment::Stored(segment),
        });
    }
    Ok(NewMainHeader { header: builder.finish(index.main_header_len)?, segments })
}

/// The coding of a tile of the new codestream, and the marker segments of its only header, without PLT.
pub(super) fn tile_header(
    window: &Window<'_>,
    tile: &IndexedTile,
    header: &MainHeader,
    layout: &Layout,
) -> Result<(Arc<TileCoding>, Vec<HeaderSegment>), RelayoutError> {
    let components = header.siz().component_count();
    let mut segments: Vec<HeaderSegment> = Vec::new();
    let mut overrides = Vec::new();
    let mut changes = Vec::new();
    for &segment in tile.header_segments.iter().filter(|segment| stays(segment.marker, layout)) {
        if !matches!(segment.marker, code::COD | code::COC | code::POC) {
            segments.push(HeaderSegment::Stored(segment));
            continue;
        }
        let payload = window.bytes(segment.payload())?;
        if segment.marker == code::POC {
            // A header has one POC at most; those of later tile-parts go on with the first.
            changes.extend(payload);
            continue;
        }
        let new = rewritten(segment, &payload, components, layout)?.unwrap_or(payload);
        let made = HeaderSegment::made(segment.marker, &new)?;
        if let HeaderSegment::Made(_, bytes) = &made {
            overrides.extend_from_slice(bytes);
        }
        segments.push(made);
    }
    if !changes.is_empty() {
        let made = HeaderSegment::made(code::POC, &changes)?;
        if let HeaderSegment::Made(_, bytes) = &made {
            overrides.extend_from_slice(bytes);
        }
        segments.push(made);
    }
    Ok((header.tile_coding(&overrides)?, segments))
}

/// Whether a marker segment has a place in the new headers.
const fn stays(marker: u16, layout: &Layout) -> bool {
    match marker {
        code::PPM | code::PPT | code::PLM | code::PLT | code::TLM => false,
        code::POC => layout.progression.is_none(),
        _ => true,
    }
}

/// The payload that takes the place of that of COD or COC; `None` for other segments.
fn rewritten(
    segment: MarkerSegment,
    payload: &[u8],
    components: u16,
    layout: &Layout,
) -> Result<Option<Vec<u8>>, ParseError> {
    let offset = segment.payload().offset;
    match segment.marker {
        code::COD => {
            let cod = Cod::parse(payload, offset)?;
            // Scod, progression order, layers, component transform.
            let (head, parameters) = split(payload, 5, offset)?;
            let mut new = head.to_vec();
            if let Some(scod) = new.first_mut() {
                *scod = (*scod & !0b111) | u8::from(layout.sop) << 1 | u8::from(layout.eph) << 2;
            }
            if let (Some(order), Some(wanted)) = (new.get_mut(1), layout.progression) {
                *order = order_code(wanted);
            }
            finish(new, 0, parameters, &cod.component, layout).map(Some)
        }
        code::COC => {
            let coc = Coc::parse(payload, components, offset)?;
            let number_len = if components < 257 { 1 } else { 2 };
            let (head, parameters) = split(payload, number_len + 1, offset)?;
            let mut new = head.to_vec();
            if let Some(scoc) = new.get_mut(number_len) {
                *scoc &= !1;
            }
            finish(new, number_len, parameters, &coc.coding, layout).map(Some)
        }
        _ => Ok(None),
    }
}

/// Appends the coding parameters and, if they are not all the default, the new precinct sizes.
fn finish(
    mut new: Vec<u8>,
    style_at: usize,
    parameters: &[u8],
    coding: &ComponentCoding,
    layout: &Layout,
) -> Result<Vec<u8>, ParseError> {
    if coding.style.is_ht_mixed() {
        // Which kind a code-block is can depend on Lblock, which changes.
        return Err(ParseError::Unsupported { what: "another layout of mixed HT and Part 1 code-blocks" });
    }
    // Decomposition levels, code-block width, height and style, wavelet.
    new.extend_from_slice(parameters.get(..5).unwrap_or_default());
    let sizes: Vec<(u8, u8)> = (0..=coding.levels).map(|level| layout.precincts.exponents(coding, level)).collect();
    if sizes.iter().any(|&size| size != (15, 15)) {
        if let Some(style) = new.get_mut(style_at) {
            *style |= 1;
        }
        new.extend(sizes.iter().map(|&(ppx, ppy)| ppx | ppy << 4));
    }
    Ok(new)
}

fn split(payload: &[u8], at: usize, offset: u64) -> Result<(&[u8], &[u8]), ParseError> {
    payload.split_at_checked(at).ok_or(ParseError::Truncated { what: "COD or COC", offset })
}

/// The code of an order in COD [15444-1 Table A.16].
const fn order_code(order: ProgressionOrder) -> u8 {
    match order {
        ProgressionOrder::Lrcp => 0,
        ProgressionOrder::Rlcp => 1,
        ProgressionOrder::Rpcl => 2,
        ProgressionOrder::Pcrl => 3,
        ProgressionOrder::Cprl => 4,
    }
}
