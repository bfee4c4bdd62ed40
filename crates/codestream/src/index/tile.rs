//! One tile: its tile-part headers, its coding, then its packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::announced::AnnouncedLengths;
use super::budget::Budget;
use super::findings::Findings;
use super::packed::PackedHeaders;
use super::segments::list_segments;
use super::walk::{TileData, walk};
use super::window::Window;
use super::{IndexedTile, TilePartSpan};
use crate::damage::Damage;
use crate::error::{Family, ParseError};
use crate::extent::Span;
use crate::geometry::{TileGeometry, TileIndex};
use crate::limits::Limits;
use crate::main_header::{MainHeader, TileCoding};
use crate::markers::{MarkerSegment, Sot, code};
use crate::tile_part::FoundTilePart;

/// What all tiles are indexed with.
pub(super) struct Indexer<'a, 's> {
    pub(super) header: &'a MainHeader,
    pub(super) limits: &'a Limits,
    pub(super) window: Window<'s>,
    /// Reads PLT and PLM without disturbing the window over the packet headers.
    pub(super) lengths_window: Window<'s>,
    pub(super) budget: Budget,
    pub(super) findings: Findings,
    /// Codings of tiles with overrides, so that equal ones are shared.
    pub(super) codings: BTreeMap<Vec<u8>, Arc<TileCoding>>,
}

/// A tile-part with what the main header says of it.
pub(super) struct TilePart {
    pub(super) found: FoundTilePart,
    /// Its packet headers in PPM; `None` when the codestream has no PPM.
    pub(super) packed: Option<Vec<Span>>,
    /// Its packet lengths in PLM.
    pub(super) lengths: Vec<Span>,
}

/// The data of one tile-part, with what is announced about them.
#[derive(Debug)]
pub(super) struct PartData {
    /// First byte after SOD.
    pub(super) start: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// The end is that of the data, not of the tile-part.
    pub(super) cut: bool,
    pub(super) psot_zero: bool,
    pub(super) lengths: AnnouncedLengths,
}

impl Indexer<'_, '_> {
    /// Indexes one tile from its tile-parts in codestream order.
    ///
    /// # Errors
    ///
    /// Only what makes the whole codestream unusable: limits and the medium. The rest is damage.
    pub(super) fn index_tile(&mut self, parts: Vec<TilePart>) -> Result<Option<IndexedTile>, ParseError> {
        let Some(tile) = parts.first().map(|part| TileIndex(u32::from(part.found.tile))) else { return Ok(None) };
        let spans = parts.iter().map(|p| TilePartSpan { span: p.found.span, psot_zero: p.found.psot_zero }).collect();
        let mut indexed = IndexedTile {
            tile,
            coding: Arc::clone(self.header.coding()),
            tile_parts: spans,
            header_segments: Vec::new(),
            packets: Vec::new(),
            packed_headers: None,
            straddling_headers: BTreeMap::new(),
        };
        self.check_numbers(&parts);
        let mut packed: Option<PackedHeaders> = None;
        let mut data = Vec::with_capacity(parts.len());
        for part in parts {
            let span = part.found.span;
            let listed = list_segments(
                &mut self.window,
                span.offset + Sot::SEGMENT_LEN.min(span.len),
                span.end(),
                code::SOD,
                self.limits.max_header,
            );
            let (segments, sod) = match listed {
                Ok(found) => found,
                Err(error) => {
                    self.note(error, part.found)?;
                    continue;
                }
            };
            let (ppt, lengths) = (self.ppt(&segments)?, self.plt(&segments, part.lengths)?);
            if part.packed.is_some() || !ppt.is_empty() {
                let joined = packed.get_or_insert_default();
                joined.extend(part.packed.into_iter().flatten().chain(ppt));
            }
            indexed.header_segments.extend(segments);
            data.push(PartData {
                start: sod + 2,
                end: span.end(),
                cut: part.found.cut,
                psot_zero: part.found.psot_zero,
                lengths,
            });
        }
        match self.coding(&indexed.header_segments)? {
            Ok(coding) => indexed.coding = coding,
            Err(error) => {
                let offset = indexed.tile_parts.first().map_or(0, |part| part.span.offset);
                let what = error_text(&error);
                self.findings.add(Damage::Irregular { what, offset });
                return Ok(Some(indexed));
            }
        }
        let geometry = TileGeometry::new(self.header.siz(), tile, Arc::clone(&indexed.coding));
        let announced = self.announce(&geometry)?;
        if packed.is_some() {
            indexed.packed_headers = Some(Vec::new());
        }
        walk(self, &mut indexed, TileData { geometry, announced, parts: data, packed })?;
        Ok(Some(indexed))
    }

    /// TPsot must count from 0 and TNsot, where it is given, say how many there are [15444-1 A.4.2].
    fn check_numbers(&mut self, parts: &[TilePart]) {
        let mut announced = 0;
        for (ordinal, part) in parts.iter().enumerate() {
            let (offset, part) = (part.found.span.offset, part.found);
            if usize::from(part.part) != ordinal {
                self.findings.add(Damage::Irregular { what: "SOT: tile-parts are not in order", offset });
                return;
            }
            if part.parts != 0 && announced != 0 && part.parts != announced {
                self.findings.add(Damage::Irregular { what: "SOT: number of tile-parts changes", offset });
                return;
            }
            announced = announced.max(part.parts);
        }
    }

    /// Turns an error in a tile-part header into damage, unless nothing can go on.
    fn note(&mut self, error: ParseError, part: FoundTilePart) -> Result<(), ParseError> {
        let damage = match error {
            ParseError::Truncated { offset, .. } if part.cut => {
                Damage::Truncated { what: "a tile-part header", offset }
            }
            ParseError::Truncated { offset, .. } => {
                Damage::Irregular { what: "a tile-part ends inside its header", offset }
            }
            ParseError::Malformed { what, offset } => Damage::Irregular { what, offset },
            other => return Err(other),
        };
        self.findings.add(damage);
        Ok(())
    }

    /// The packed headers of PPT segments in the order of Zppt.
    fn ppt(&mut self, segments: &[MarkerSegment]) -> Result<Vec<Span>, ParseError> {
        numbered(&mut self.window, segments, code::PPT)
    }

    /// The lengths of PLT segments in the order of Zplt, else those of PLM.
    fn plt(&mut self, segments: &[MarkerSegment], plm: Vec<Span>) -> Result<AnnouncedLengths, ParseError> {
        let plt = numbered(&mut self.window, segments, code::PLT)?;
        Ok(AnnouncedLengths::new(if plt.is_empty() { plm } else { plt }))
    }

    /// The coding of a tile with these segments; the inner error is the tile's own.
    fn coding(&mut self, segments: &[MarkerSegment]) -> Result<Result<Arc<TileCoding>, ParseError>, ParseError> {
        let mut overrides = Vec::new();
        for segment in segments {
            if matches!(segment.marker, code::COD | code::COC | code::POC) {
                overrides.extend(self.window.bytes(segment.span)?);
            }
        }
        if overrides.is_empty() {
            return Ok(Ok(Arc::clone(self.header.coding())));
        }
        if let Some(known) = self.codings.get(&overrides) {
            return Ok(Ok(Arc::clone(known)));
        }
        let coding = self.header.tile_coding(&overrides);
        if let Ok(coding) = &coding {
            self.codings.insert(overrides, Arc::clone(coding));
        }
        Ok(coding)
    }

    /// Counts the packets that the tile announces and refuses more than the bytes can hold.
    fn announce(&mut self, geometry: &TileGeometry) -> Result<u64, ParseError> {
        let coding = geometry.coding();
        let mut total = 0u64;
        let mut last = None;
        for component in 0..geometry.component_count() {
            let style = coding.component(component);
            self.budget.step(u64::from(style.levels) + 1)?;
            // Most components are alike; only the first of a kind is computed.
            let key = (Arc::as_ptr(style), geometry.sampling(component));
            let precincts = match last {
                Some((known, precincts)) if known == key => precincts,
                _ => geometry.component(component).map_or(0, |c| c.precinct_count()),
            };
            last = Some((key, precincts));
            let packets = precincts.saturating_mul(u64::from(coding.layers));
            self.budget.announce(packets)?;
            total = total.saturating_add(packets);
        }
        Ok(total)
    }
}

/// The payloads of the segments with this marker code, without their number byte, in the order of the numbers.
pub(super) fn numbered(
    window: &mut Window<'_>,
    segments: &[MarkerSegment],
    marker: u16,
) -> Result<Vec<Span>, ParseError> {
    let mut found = Vec::new();
    for segment in segments.iter().filter(|segment| segment.marker == marker) {
        let payload = segment.payload();
        if payload.len > 0
            && let Some(number) = window.byte(payload.offset)?
        {
            found.push((number, Span::new(payload.offset + 1, payload.len - 1)));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, span)| span).collect())
}

/// What to say of a tile whose own coding cannot be used.
const fn error_text(error: &ParseError) -> &'static str {
    match error {
        ParseError::Malformed { what, .. } => what,
        _ => match error.family() {
            Family::Unsupported => "a tile header asks for what is not supported",
            Family::LimitExceeded => "a tile header announces too much",
            Family::Malformed | Family::Unavailable => "a marker segment of a tile header is too short",
        },
    }
}
