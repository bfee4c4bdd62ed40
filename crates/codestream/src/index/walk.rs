//! Along the packets of one tile, header by header.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::IndexedTile;
use super::budget::Budget;
use super::packed::{PackedBytes, PackedHeaders};
use super::packet_table::PacketTable;
use super::tile::{Indexer, PartData};
use super::window::Window;
use crate::damage::Damage;
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::{TileComponent, TileGeometry};
use crate::packets::{EPH_LEN, HeaderBytes, PrecinctState, SOP_LEN, Stop};
use crate::progression::{PacketId, PacketSequence};

/// What the packets of a tile are read from.
pub(super) struct TileData {
    pub(super) geometry: TileGeometry,
    /// Packets of the whole tile.
    pub(super) announced: u64,
    pub(super) parts: Vec<PartData>,
    pub(super) packed: Option<PackedHeaders>,
}

/// Puts the tile's whole packets into its tables, and what is wrong into the findings.
///
/// # Errors
///
/// Limits and the medium.
pub(super) fn walk(indexer: &mut Indexer<'_, '_>, tile: &mut IndexedTile, data: TileData) -> Result<(), ParseError> {
    // A packet takes at least a byte of header, so a dense table is in proportion to the bytes.
    let bytes: u64 = match &data.packed {
        Some(headers) => headers.len(),
        None => data.parts.iter().map(|part| part.end.saturating_sub(part.start)).sum(),
    };
    let dense = data.announced / 2 <= bytes;
    let at = data.parts.first().map_or(0, |part| part.start);
    let mut walker = Walker {
        tile,
        geometry: data.geometry,
        component: None,
        states: HashMap::new(),
        parts: data.parts,
        part: 0,
        at,
        packed: data.packed,
        dense,
        found: 0,
        notes: Notes::default(),
    };
    let mut sequence = PacketSequence::new(&walker.geometry);
    let mut steps = 0;
    let mut exhausted = false;
    loop {
        let Some(id) = sequence.next() else {
            exhausted = true;
            break;
        };
        indexer.budget.step(sequence.work() - steps)?;
        steps = sequence.work();
        if !walker.packet(indexer, id)? {
            break;
        }
    }
    for state in walker.states.values() {
        indexer.budget.release(state.code_blocks_held());
    }
    walker.finish(indexer, exhausted, data.announced)
}

struct Walker<'t> {
    tile: &'t mut IndexedTile,
    geometry: TileGeometry,
    /// The component of the last packet.
    component: Option<(u16, TileComponent)>,
    states: HashMap<(u16, u64), PrecinctState>,
    parts: Vec<PartData>,
    /// The tile-part that the walk is in.
    part: usize,
    /// Next byte of it.
    at: u64,
    packed: Option<PackedHeaders>,
    dense: bool,
    found: u64,
    notes: Notes,
}

/// Findings that are reported once a tile.
#[derive(Debug, Default)]
struct Notes {
    sop: bool,
    eph: bool,
    lengths: bool,
}

impl Walker<'_> {
    /// Reads one packet; `false` when the tile ends here, with the reason reported.
    fn packet(&mut self, indexer: &mut Indexer<'_, '_>, id: PacketId) -> Result<bool, ParseError> {
        self.enter_part_with_data(indexer)?;
        let at_end = match &self.packed {
            Some(headers) => headers.is_at_end(),
            None => self.at >= self.part_end(),
        };
        if at_end {
            if self.parts.get(self.part).is_some_and(|part| part.cut) {
                self.report_end(indexer, "a tile-part", self.at);
            }
            return Ok(false);
        }
        let start = self.at;
        self.skip_sop(indexer)?;
        let mut state = self.take_state(id)?;
        let read = match &mut self.packed {
            None => {
                let mut bytes = InlineBytes {
                    window: &mut indexer.window,
                    budget: &mut indexer.budget,
                    at: self.at,
                    end: self.parts.get(self.part).map_or(0, |part| part.end),
                    left: indexer.limits.max_packet_header,
                };
                let read = state.read_from(id.layer, &mut bytes);
                self.at = bytes.at;
                read.map(|body| (body, SmallVec::new()))
            }
            Some(headers) => {
                let mark = headers.mark();
                let mut bytes = PackedBytes {
                    headers,
                    window: &mut indexer.window,
                    budget: &mut indexer.budget,
                    left: indexer.limits.max_packet_header,
                };
                let read = state.read_from(id.layer, &mut bytes);
                let eph = self.geometry.coding().eph;
                if read.is_ok() && eph && !headers.skip_eph(&mut indexer.window)? && !self.notes.eph {
                    self.notes.eph = true;
                    indexer.findings.add(Damage::Irregular { what: "EPH is missing", offset: start });
                }
                read.map(|body| (body, headers.since(mark)))
            }
        };
        let (body, header) = match read {
            Ok(read) => read,
            Err(Stop::End) => {
                self.report_end(indexer, "a packet header", start);
                return Ok(false);
            }
            Err(Stop::Malformed(_)) => {
                let offset = self.packed.as_ref().and_then(PackedHeaders::offset).unwrap_or(start);
                indexer.findings.add(Damage::BadPacketHeader { tile: self.tile.tile.0, offset });
                return Ok(false);
            }
            Err(stop) => return Err(stop.into_error(start)),
        };
        self.skip_eph(indexer, start)?;
        let Some(end) = self.at.checked_add(body).filter(|&end| end <= self.part_end()) else {
            self.report_end(indexer, "a packet body", start);
            return Ok(false);
        };
        self.at = end;
        self.keep_state(indexer, id, state);
        self.compare_length(indexer, start, end - start)?;
        let tables = (usize::from(id.component) + 1).saturating_sub(self.tile.packets.len());
        if tables > 0 {
            indexer.budget.tables(tables as u64)?;
        }
        if !self.record(id, Span::new(start, end - start), &header) {
            indexer.findings.add(Damage::BadPacketHeader { tile: self.tile.tile.0, offset: start });
            return Ok(false);
        }
        self.found += 1;
        Ok(true)
    }

    fn part_end(&self) -> u64 {
        self.parts.get(self.part).map_or(self.at, |part| part.end)
    }

    /// Goes on to the next tile-part that has bytes, if this one is used up.
    fn enter_part_with_data(&mut self, indexer: &mut Indexer<'_, '_>) -> Result<(), ParseError> {
        while self.at >= self.part_end() && self.part + 1 < self.parts.len() {
            self.close_part(indexer)?;
            self.part += 1;
            self.at = self.parts.get(self.part).map_or(self.at, |part| part.start);
        }
        Ok(())
    }

    /// Lengths that are announced beyond the last packet of the tile-part disagree too.
    fn close_part(&mut self, indexer: &mut Indexer<'_, '_>) -> Result<(), ParseError> {
        let Some(part) = self.parts.get_mut(self.part) else { return Ok(()) };
        if self.packed.is_none() && !self.notes.lengths && part.lengths.next(&mut indexer.lengths_window)?.is_some() {
            self.notes.lengths = true;
            let damage = Damage::PacketLengthsDisagree { tile: self.tile.tile.0, offset: self.at };
            indexer.findings.add(damage);
        }
        Ok(())
    }

    /// Passes an SOP marker segment; a wrong number in it is worth a word, no more [15444-1 A.8.1].
    fn skip_sop(&mut self, indexer: &mut Indexer<'_, '_>) -> Result<(), ParseError> {
        if !self.geometry.coding().sop || self.part_end().saturating_sub(self.at) < SOP_LEN as u64 {
            return Ok(());
        }
        let Some([0xFF, 0x91, high, low, first, second]) = indexer.window.array(self.at)? else { return Ok(()) };
        let number = u64::from(u16::from_be_bytes([first, second]));
        if ((high, low) != (0, 4) || number != self.found % 65_536) && !self.notes.sop {
            self.notes.sop = true;
            indexer.findings.add(Damage::Irregular { what: "SOP with a wrong number", offset: self.at });
        }
        self.at += SOP_LEN as u64;
        Ok(())
    }

    /// Passes the EPH marker after a header that lies in the packet.
    fn skip_eph(&mut self, indexer: &mut Indexer<'_, '_>, start: u64) -> Result<(), ParseError> {
        if self.packed.is_some() || !self.geometry.coding().eph {
            return Ok(());
        }
        let room = self.part_end().saturating_sub(self.at) >= EPH_LEN as u64;
        if room && indexer.window.array(self.at)? == Some([0xFF, 0x92]) {
            self.at += EPH_LEN as u64;
        } else if !self.notes.eph {
            self.notes.eph = true;
            indexer.findings.add(Damage::Irregular { what: "EPH is missing", offset: start });
        }
        Ok(())
    }

    /// The state of the packet's precinct, taken out of the map.
    fn take_state(&mut self, id: PacketId) -> Result<PrecinctState, ParseError> {
        if id.layer > 0
            && let Some(state) = self.states.remove(&(id.component, id.sequence))
        {
            return Ok(state);
        }
        if self.component.as_ref().is_none_or(|(number, _)| *number != id.component) {
            self.component = self.geometry.component(id.component).map(|component| (id.component, component));
        }
        let found =
            self.component.as_ref().and_then(|(_, component)| Some((component, component.resolution(id.resolution)?)));
        let Some((component, level)) = found else {
            return Err(ParseError::Malformed { what: "a packet of no resolution level", offset: self.at });
        };
        Ok(PrecinctState::new(component, level, id.px, id.py, &component.coding))
    }

    /// Keeps the state for the next layer; without one, or before the first bit in it, it is dropped.
    fn keep_state(&mut self, indexer: &mut Indexer<'_, '_>, id: PacketId, state: PrecinctState) {
        let held = state.code_blocks_held();
        if id.layer + 1 >= self.geometry.coding().layers {
            indexer.budget.release(held);
        } else if held > 0 {
            self.states.insert((id.component, id.sequence), state);
        }
    }

    fn compare_length(&mut self, indexer: &mut Indexer<'_, '_>, offset: u64, len: u64) -> Result<(), ParseError> {
        let Some(part) = self.parts.get_mut(self.part) else { return Ok(()) };
        // With packed headers the announced lengths are those of bodies whose tile-part is ambiguous when empty.
        if self.packed.is_some() || part.lengths.is_silent() || self.notes.lengths {
            return Ok(());
        }
        if part.lengths.next(&mut indexer.lengths_window)? != Some(len) {
            self.notes.lengths = true;
            indexer.findings.add(Damage::PacketLengthsDisagree { tile: self.tile.tile.0, offset });
        }
        Ok(())
    }

    /// Enters the packet into the tables; `false` if it is too long to be a packet.
    fn record(&mut self, id: PacketId, data: Span, header: &[Span]) -> bool {
        let layers = u64::from(self.geometry.coding().layers);
        let Some(entry) = id.sequence.checked_mul(layers).and_then(|first| first.checked_add(u64::from(id.layer)))
        else {
            return false;
        };
        if let Some(tables) = &mut self.tile.packed_headers {
            match header {
                [] => {}
                [single] => {
                    if !table(tables, id.component, self.dense).insert(entry, *single) {
                        return false;
                    }
                }
                several => {
                    self.tile.straddling_headers.insert((id.component, entry), several.into());
                }
            }
        }
        table(&mut self.tile.packets, id.component, self.dense).insert(entry, data)
    }

    /// The data end inside a packet: a cut file, or a tile-part that does not hold what it must.
    fn report_end(&self, indexer: &mut Indexer<'_, '_>, what: &'static str, start: u64) {
        let cut = self.parts.get(self.part).is_some_and(|part| {
            (part.cut || part.psot_zero) && self.part + 1 == self.parts.len() && self.packed.is_none()
        });
        indexer.findings.add(if cut {
            Damage::Truncated { what, offset: self.part_end() }
        } else {
            Damage::BadPacketHeader { tile: self.tile.tile.0, offset: start }
        });
    }

    fn finish(mut self, indexer: &mut Indexer<'_, '_>, exhausted: bool, announced: u64) -> Result<(), ParseError> {
        let tile = self.tile.tile.0;
        if exhausted {
            self.close_part(indexer)?;
            self.close_open_end(indexer)?;
            if self.parts.iter().any(|part| part.cut) {
                let what = "SOT: tile-part longer than the data";
                indexer.findings.add(Damage::Irregular { what, offset: self.at });
            }
            let stray = self.part_end().saturating_sub(self.at);
            if stray > 0 {
                indexer.findings.add(Damage::StrayBytes { tile, offset: self.at, len: stray });
            }
            for part in self.parts.iter().skip(self.part + 1).filter(|part| part.end > part.start) {
                let damage = Damage::StrayBytes { tile, offset: part.start, len: part.end - part.start };
                indexer.findings.add(damage);
            }
        } else if announced > self.found {
            indexer.findings.add(Damage::MissingPackets { tile, missing: announced - self.found });
        }
        for table in self.tile.packets.iter_mut().chain(self.tile.packed_headers.iter_mut().flatten()) {
            table.finish();
        }
        Ok(())
    }

    /// A last tile-part whose length nobody has said ends where its packets do, if EOC follows.
    fn close_open_end(&mut self, indexer: &mut Indexer<'_, '_>) -> Result<(), ParseError> {
        let Some(part) = self.parts.get_mut(self.part) else { return Ok(()) };
        if !(part.psot_zero || part.cut) || indexer.window.array(self.at)? != Some([0xFF, 0xD9]) {
            return Ok(());
        }
        let found = self.tile.tile_parts.iter_mut().find(|span| span.span.end() == part.end);
        if let Some(found) = found {
            found.span.len = self.at.saturating_sub(found.span.offset);
            part.end = self.at;
        }
        Ok(())
    }
}

/// The table of a component, made when its first packet comes.
fn table(tables: &mut Vec<PacketTable>, component: u16, dense: bool) -> &mut PacketTable {
    let at = usize::from(component);
    if tables.len() <= at {
        tables.resize_with(at + 1, || if dense { PacketTable::default() } else { PacketTable::sparse() });
    }
    // The vector was just made long enough.
    #[expect(clippy::indexing_slicing, reason = "the line above makes it long enough")]
    &mut tables[at]
}

/// Bytes of a packet header that lies in the packet.
struct InlineBytes<'a, 's> {
    window: &'a mut Window<'s>,
    budget: &'a mut Budget,
    at: u64,
    end: u64,
    left: usize,
}

impl HeaderBytes for InlineBytes<'_, '_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        if self.at >= self.end {
            return Err(Stop::End);
        }
        self.left = self.left.checked_sub(1).ok_or(Stop::Malformed("packet header too long"))?;
        let byte = self.window.byte(self.at).map_err(Stop::Source)?.ok_or(Stop::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn visit(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.visit(code_blocks)
    }

    fn hold(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.hold(code_blocks)
    }
}
