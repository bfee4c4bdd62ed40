//! Work and memory in proportion to the bytes that are there, whatever they announce.

use crate::error::ParseError;
use crate::limits::Limits;
use crate::packets::Stop;

/// What indexing may still cost.
///
/// Every legal codestream stays far below: a packet takes at least one byte, and a code-block is looked at
/// once a layer. The constant parts leave room for blank images and for files that were cut off early.
#[derive(Debug)]
pub(crate) struct Budget {
    packets: Meter,
    /// Resolution levels of tile-components set up, and steps of packet sequences.
    steps: Meter,
    visits: Meter,
    held: Meter,
    tables: Meter,
}

#[derive(Debug)]
struct Meter {
    what: &'static str,
    found: u64,
    limit: u64,
}

impl Meter {
    const fn new(what: &'static str, limit: u64) -> Self {
        Self { what, found: 0, limit }
    }

    const fn add(&mut self, count: u64) -> bool {
        self.found = self.found.saturating_add(count);
        self.found <= self.limit
    }

    const fn error(&self) -> ParseError {
        ParseError::LimitExceeded { what: self.what, found: self.found, limit: self.limit }
    }
}

impl Budget {
    pub(crate) fn new(limits: &Limits, source_len: u64) -> Self {
        let scaled = |constant: u64, per_byte: u64| source_len.saturating_mul(per_byte).saturating_add(constant);
        Self {
            packets: Meter::new("packets announced", scaled(1 << 20, 16).min(limits.max_packets)),
            steps: Meter::new("steps through the packet sequence", scaled(1 << 23, 64)),
            visits: Meter::new("code-blocks looked at", scaled(limits.max_code_blocks, 256)),
            tables: Meter::new("packet tables", scaled(1 << 18, 1)),
            held: Meter::new("code-blocks in memory", scaled(1 << 22, 16).min(limits.max_code_blocks)),
        }
    }

    /// Counts packets that a tile announces.
    pub(crate) const fn announce(&mut self, packets: u64) -> Result<(), ParseError> {
        if self.packets.add(packets) { Ok(()) } else { Err(self.packets.error()) }
    }

    pub(crate) const fn step(&mut self, steps: u64) -> Result<(), ParseError> {
        if self.steps.add(steps) { Ok(()) } else { Err(self.steps.error()) }
    }

    /// Counts packet tables: a tile whose only packet is of its last component has one for each.
    pub(crate) const fn tables(&mut self, tables: u64) -> Result<(), ParseError> {
        if self.tables.add(tables) { Ok(()) } else { Err(self.tables.error()) }
    }

    pub(crate) const fn visit(&mut self, code_blocks: u64) -> Result<(), Stop> {
        if self.visits.add(code_blocks) { Ok(()) } else { Err(stop(&self.visits)) }
    }

    pub(crate) const fn hold(&mut self, code_blocks: u64) -> Result<(), Stop> {
        if self.held.add(code_blocks) { Ok(()) } else { Err(stop(&self.held)) }
    }

    pub(crate) const fn release(&mut self, code_blocks: u64) {
        self.held.found = self.held.found.saturating_sub(code_blocks);
    }
}

const fn stop(meter: &Meter) -> Stop {
    Stop::Limit { what: meter.what, found: meter.found, limit: meter.limit }
}
