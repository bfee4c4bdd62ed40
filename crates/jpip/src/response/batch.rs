//! Messages on their way out: heads as bytes, bodies as places.

use std::ops::Range;

use codestream::{Extent, Span};

use crate::data_bin::{CodestreamId, DataBinClass};
use crate::message::{EorReason, MessageEncoder, MessageHeader, encode_eor};
use crate::target::Part;

/// Some whole messages of a response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Message heads, small parts and the end-of-response message.
    pub inline: Vec<u8>,
    /// What the body is made of, in order.
    pub pieces: Vec<Piece>,
    /// Bytes of the body that the pieces make up.
    pub body_len: u64,
    /// Set on the last batch: why the response ended. Its message is part of the batch.
    pub end: Option<EorReason>,
    /// Whether [`Batch::body_len`] is all that is wanted.
    pub(super) only_measures: bool,
}

/// A run of body bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of [`Batch::inline`].
    Inline(Range<u32>),
    /// Bytes of a codestream.
    Codestream {
        /// Which one.
        id: CodestreamId,
        /// Which bytes of it.
        span: Span,
    },
    /// Bytes of the stored object; metadata only.
    Object(Extent),
}

impl Batch {
    fn push_inline(&mut self, bytes: &[u8]) {
        self.write_inline(|inline| inline.extend_from_slice(bytes));
    }

    /// Takes what `write` appends to the inline bytes into the body.
    fn write_inline(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.inline.len();
        write(&mut self.inline);
        let start = u32::try_from(before).unwrap_or(u32::MAX);
        let end = u32::try_from(self.inline.len()).unwrap_or(u32::MAX);
        self.body_len = self.body_len.saturating_add(self.inline.len().saturating_sub(before) as u64);
        match self.pieces.last_mut() {
            Some(Piece::Inline(last)) if last.end == start => last.end = end,
            _ => self.pieces.push(Piece::Inline(start..end)),
        }
    }

    fn push_codestream(&mut self, id: CodestreamId, span: Span) {
        self.body_len = self.body_len.saturating_add(span.len);
        match self.pieces.last_mut() {
            Some(Piece::Codestream { id: last_id, span: last }) if *last_id == id && last.end() == span.offset => {
                last.len = last.len.saturating_add(span.len);
            }
            _ => self.pieces.push(Piece::Codestream { id, span }),
        }
    }

    fn push_part(&mut self, id: CodestreamId, part: &Part, skip: u64, len: u64) {
        match part {
            Part::Inline(bytes) => {
                let start = usize::try_from(skip).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
                self.push_inline(bytes.get(start..end).unwrap_or_default());
            }
            Part::Span(span) => self.push_codestream(id, Span::new(span.offset.saturating_add(skip), len)),
            Part::Object(extent) => {
                self.body_len = self.body_len.saturating_add(len);
                self.pieces.push(Piece::Object(Extent::new(extent.offset.saturating_add(skip), len)));
            }
        }
    }

    /// Appends the end of the response.
    pub(super) fn push_end(&mut self, reason: EorReason) {
        self.write_inline(|inline| encode_eor(reason, inline));
        self.end = Some(reason);
    }
}

/// What one message is to carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) class: DataBinClass,
    pub(super) codestream: CodestreamId,
    pub(super) id: u64,
    /// Offset of the first byte within the data-bin.
    pub(super) offset: u64,
    /// Bytes from there to the end of what is to be sent of the data-bin for now.
    pub(super) len: u64,
    /// Whether the data-bin ends there.
    pub(super) ends: bool,
    /// The parts that hold these bytes, and where in the data-bin the first of them begins.
    pub(super) parts: &'a [Part],
    pub(super) parts_offset: u64,
    /// Ends of the packets of the data-bin, ascending; for the classes that carry the number of layers.
    pub(super) layer_ends: &'a [u64],
    /// Where in the data-bin a message may end that goes past one of these places and is to be aligned, ascending:
    /// ends of packets, of tile-parts, of top-level boxes [15444-9 C.7.1]. The end of the data-bin need not be listed.
    pub(super) boundaries: &'a [u64],
    /// Aux of extended tile messages.
    pub(super) tile_aux: u64,
    /// Most bytes of one message.
    pub(super) max: u64,
    /// Whether the message is sent in part when it does not fit.
    pub(super) divisible: bool,
}

/// How sending a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many body bytes went out; fewer than wanted means: call again.
    Bytes(u64),
    /// So many went out, and now there is no room left.
    LastBytes(u64),
    /// There is no room for any of it.
    NoRoom,
}

/// Puts messages into batches as long as the byte limit allows.
#[derive(Debug, Clone)]
pub(super) struct MessageWriter {
    encoder: MessageEncoder,
    remaining: u64,
    written: u64,
    /// Whether messages end on natural boundaries where they reach one.
    aligns: bool,
}

impl MessageWriter {
    /// A writer of at most `limit` bytes, heads included and the end-of-response message not.
    pub(super) const fn new(limit: u64, aligns: bool) -> Self {
        Self { encoder: MessageEncoder::new(), remaining: limit, written: 0, aligns }
    }

    /// Whether no message has been written yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// Writes one message with as much of `body` as it may hold.
    pub(super) fn write(&mut self, body: &Body<'_>, batch: &mut Batch) -> Sent {
        let mut len = self.aligned(body, body.len.min(body.max));
        let mut header = self.header(body, len);
        let mut head_len = self.encoder.encoded_len(&header) as u64;
        let mut is_last = false;
        if head_len.saturating_add(len) > self.remaining {
            if !body.divisible && !self.is_untouched() {
                return Sent::NoRoom;
            }
            len = self.aligned(body, self.remaining.saturating_sub(head_len).min(len));
            if len == 0 {
                return Sent::NoRoom;
            }
            // A shorter body never has a longer head.
            header = self.header(body, len);
            head_len = self.encoder.encoded_len(&header) as u64;
            is_last = true;
        }
        let size = head_len.saturating_add(len);
        self.remaining = self.remaining.saturating_sub(size);
        self.written = self.written.saturating_add(size);
        let sent = if is_last { Sent::LastBytes(len) } else { Sent::Bytes(len) };
        if batch.only_measures {
            self.encoder.pass_over(&header);
            batch.body_len = batch.body_len.saturating_add(size);
            return sent;
        }
        batch.write_inline(|inline| self.encoder.encode(&header, inline));
        let (mut skip, mut left) = (body.offset.saturating_sub(body.parts_offset), len);
        for part in body.parts {
            if left == 0 {
                break;
            }
            let part_len = part.len();
            if skip >= part_len {
                skip -= part_len;
                continue;
            }
            let take = left.min(part_len - skip);
            batch.push_part(body.codestream, part, skip, take);
            (skip, left) = (0, left - take);
        }
        sent
    }

    /// As many of these `len` bytes as an aligned message may hold: one that goes past a boundary ends on one, the last
    /// that it reaches; one that reaches none may end anywhere [15444-9 C.7.1].
    fn aligned(&self, body: &Body<'_>, len: u64) -> u64 {
        let end = body.offset.saturating_add(len);
        if !self.aligns || (len == body.len && body.ends) {
            return len;
        }
        let reached = body.boundaries.partition_point(|&boundary| boundary <= end);
        let last = reached.checked_sub(1).and_then(|last| body.boundaries.get(last));
        last.and_then(|last| last.checked_sub(body.offset)).filter(|&aligned| aligned > 0).unwrap_or(len)
    }

    fn header(&self, body: &Body<'_>, len: u64) -> MessageHeader {
        let end = body.offset.saturating_add(len);
        let layers = body.layer_ends.partition_point(|&layer_end| layer_end <= end) as u64;
        MessageHeader {
            class: body.class,
            codestream: body.codestream,
            id: body.id,
            offset: body.offset,
            len,
            complete: body.ends && len == body.len,
            aux: match body.class {
                DataBinClass::ExtendedPrecinct => layers,
                DataBinClass::ExtendedTile => body.tile_aux,
                _ => 0,
            },
        }
    }
}
