//! Packet lengths announced by PLT or PLM, compared with those of the packet headers [15444-1 A.7.2, A.7.3].

use std::io;

use super::window::Window;
use crate::extent::Span;
use crate::markers::PacketLengths;

/// The announced lengths of one tile-part, taken one by one.
#[derive(Debug, Default)]
pub(super) struct AnnouncedLengths {
    /// Bytes of lengths, in order.
    spans: Vec<Span>,
    at: usize,
    taken: u64,
    lengths: PacketLengths,
}

impl AnnouncedLengths {
    pub(super) fn new(spans: Vec<Span>) -> Self {
        Self { spans, ..Self::default() }
    }

    /// Whether nothing was announced.
    pub(super) const fn is_silent(&self) -> bool {
        self.spans.is_empty()
    }

    /// The next length; `None` when there are no more.
    pub(super) fn next(&mut self, window: &mut Window<'_>) -> io::Result<Option<u64>> {
        while let Some(span) = self.spans.get(self.at) {
            if self.taken >= span.len {
                (self.at, self.taken) = (self.at + 1, 0);
                continue;
            }
            let Some(byte) = window.byte(span.offset + self.taken)? else { return Ok(None) };
            self.taken += 1;
            if let Some(length) = self.lengths.push(byte) {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }
}
