//! The packets of one tile in its new precincts: headers, and the spans of the bodies.

use super::INCONSISTENT;
use super::blocks::Blocks;
use super::packet_header::{EMPTY_PACKET, PrecinctWriter};
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::TileGeometry;
use crate::index::Budget;

/// Packets by component, precinct and layer, without SOP and EPH.
#[derive(Debug, Default)]
pub(super) struct TilePackets {
    headers: Vec<u8>,
    /// Of the stored codestream; neighbours are joined.
    spans: Vec<Span>,
    /// Where each packet ends in `headers` and `spans`; packet 0 is the empty one before the first.
    ends: Vec<(u32, u32)>,
    /// Number of the first packet of each component.
    components: Vec<usize>,
}

impl TilePackets {
    /// Writes all packets of a tile whose geometry is that of the new layout.
    pub(super) fn write(geometry: &TileGeometry, blocks: &Blocks, budget: &mut Budget) -> Result<Self, ParseError> {
        let mut all = Self { ends: vec![(0, 0)], ..Self::default() };
        let mut writer = PrecinctWriter::default();
        let layers = geometry.coding().layers;
        for number in 0..geometry.component_count() {
            all.components.push(all.ends.len());
            let component = geometry.component(number).ok_or(INCONSISTENT)?;
            budget.step(u64::from(component.levels) + 1)?;
            budget.announce(component.precinct_count().saturating_mul(u64::from(layers)))?;
            for level in &component.resolutions {
                for py in 0..level.precincts_high {
                    for px in 0..level.precincts_wide {
                        writer.start(blocks, number, level, (px, py)).ok_or(INCONSISTENT)?;
                        for layer in 0..layers {
                            all.packet(&mut writer, blocks, layer, budget)?;
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// Header and spans of packet `sequence × layers + layer` of a component.
    pub(super) fn get(&self, component: u16, entry: u64) -> Option<(&[u8], &[Span])> {
        let at = self.components.get(usize::from(component))?.checked_add(usize::try_from(entry).ok()?)?;
        let (header_start, span_start) = *self.ends.get(at.checked_sub(1)?)?;
        let (header_end, span_end) = *self.ends.get(at)?;
        Some((
            self.headers.get(usize::try_from(header_start).ok()?..usize::try_from(header_end).ok()?)?,
            self.spans.get(usize::try_from(span_start).ok()?..usize::try_from(span_end).ok()?)?,
        ))
    }

    fn packet(
        &mut self,
        writer: &mut PrecinctWriter,
        blocks: &Blocks,
        layer: u16,
        budget: &mut Budget,
    ) -> Result<(), ParseError> {
        if writer.contributes(layer) {
            budget.visit(writer.code_block_count()).map_err(|stop| stop.into_error(0))?;
            let spans = &mut self.spans;
            let first = spans.len();
            let body = |contribution: &super::blocks::Contribution| {
                let span = contribution.span();
                // A neighbour is joined with what this packet has, never with another packet.
                match spans.get_mut(first..).and_then(<[Span]>::last_mut) {
                    Some(last) if last.end() == span.offset => last.len = last.len.saturating_add(span.len),
                    _ if span.len > 0 => spans.push(span),
                    _ => {}
                }
            };
            writer.packet(blocks, layer, &mut self.headers, body).ok_or(INCONSISTENT)?;
        } else {
            self.headers.push(EMPTY_PACKET);
        }
        let (headers, spans) = (u32::try_from(self.headers.len()), u32::try_from(self.spans.len()));
        let (Ok(headers), Ok(spans)) = (headers, spans) else {
            let found = self.headers.len().max(self.spans.len()) as u64;
            let limit = u64::from(u32::MAX);
            return Err(ParseError::LimitExceeded { what: "bytes of the packet headers of a tile", found, limit });
        };
        self.ends.push((headers, spans));
        Ok(())
    }
}
