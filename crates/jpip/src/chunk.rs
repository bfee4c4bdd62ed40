//! Responses cut into chunks of whole messages, for the transports that carry them beside HTTP [15444-9 G, K].
//!
//! Every chunk can be read by itself: its first message names class and codestream, and no message reaches
//! into the next chunk. What is cut is a layout, not bytes: heads that were written anew, and ranges of what
//! the caller holds.

use std::ops::Range;

use thiserror::Error;

use crate::data_bin::{BinKey, DataBinClass};
use crate::message::{
    EOR_LEN, EorReason, Head, MessageDecoder, MessageEncoder, MessageError, MessageHeader, encode_eor,
};

/// What the chunks of a transport look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkForm {
    /// Most bytes of one chunk's body.
    pub max_body: usize,
    /// A chunk that holds so many bytes is closed before the next message, although that might fit.
    pub goal: usize,
    /// Whether a message is cut in two to fill a chunk; one that is longer than a chunk always is.
    pub divides: bool,
    /// Whether [`ChunkLayout::carries`] is wanted.
    pub lists_data_bins: bool,
}

/// One chunk: where the bytes of its body are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkLayout {
    heads: Vec<u8>,
    parts: Vec<Part>,
    len: usize,
    end: Option<EorReason>,
    carries: Vec<(BinKey, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Head(Range<usize>),
    Body(Range<usize>),
}

impl ChunkLayout {
    /// The pieces of the chunk's body in order; `messages` is what [`Chunker::cut`] was given.
    pub fn pieces<'a>(&'a self, messages: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.parts.iter().map(move |part| match part {
            Part::Head(range) => self.heads.get(range.clone()).unwrap_or_default(),
            Part::Body(range) => messages.get(range.clone()).unwrap_or_default(),
        })
    }

    /// Length of the body in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the body has no bytes; never true of a chunk that [`Chunker::cut`] made.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Set on the last chunk of a response, whose last bytes are the end-of-response message.
    #[must_use]
    pub const fn end(&self) -> Option<EorReason> {
        self.end
    }

    /// The data-bins of which the chunk carries bytes, and the offset of the first of them in each.
    #[must_use]
    pub fn carries(&self) -> &[(BinKey, u64)] {
        &self.carries
    }

    fn push_head(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.heads.len();
        write(&mut self.heads);
        self.len = self.len.saturating_add(self.heads.len().saturating_sub(before));
        self.parts.push(Part::Head(before..self.heads.len()));
    }
}

/// Why messages cannot be put into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A message head cannot be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The bytes end inside a message, or hold one of a class that the standard does not define.
    #[error("the bytes are not whole messages of known classes")]
    NotWhole,
}

/// Cuts one response, given as runs of whole messages, into chunks.
#[derive(Debug, Clone)]
pub struct Chunker {
    form: ChunkForm,
    decoder: MessageDecoder,
}

impl Chunker {
    /// A chunker at the start of a response.
    #[must_use]
    pub const fn new(form: ChunkForm) -> Self {
        Self { form, decoder: MessageDecoder::new() }
    }

    /// The chunks that hold these messages, at least one unless there is no message.
    ///
    /// # Errors
    ///
    /// - [`ChunkError::Message`] if a message head is malformed.
    /// - [`ChunkError::NotWhole`] if the bytes end inside a message.
    pub fn cut(&mut self, messages: &[u8]) -> Result<Vec<ChunkLayout>, ChunkError> {
        let mut filling = Filling { form: self.form, done: Vec::new(), chunk: ChunkLayout::default(), encoder: None };
        let mut at = 0;
        while let Some(rest) = messages.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((head, used)) = self.decoder.decode(rest)? else { return Err(ChunkError::NotWhole) };
            let start = at.saturating_add(used);
            let len = usize::try_from(head.body_len()).unwrap_or(usize::MAX);
            at = start.saturating_add(len);
            if at > messages.len() {
                return Err(ChunkError::NotWhole);
            }
            match head {
                Head::Message(header) => filling.message(&header, start),
                Head::EndOfResponse { reason, .. } => filling.end(reason),
                Head::Reserved { .. } => return Err(ChunkError::NotWhole),
            }
        }
        filling.close();
        Ok(filling.done)
    }
}

/// The chunk that is being filled, and those before it.
struct Filling {
    form: ChunkForm,
    done: Vec<ChunkLayout>,
    chunk: ChunkLayout,
    encoder: Option<MessageEncoder>,
}

impl Filling {
    /// Adds one message whose body begins at `start`, in as many messages as the chunks demand.
    fn message(&mut self, header: &MessageHeader, start: usize) {
        let whole = usize::try_from(header.len).unwrap_or(usize::MAX);
        let mut sent = 0usize;
        loop {
            let left = whole.saturating_sub(sent);
            let part = part_of(header, sent, left);
            let head_len = self.encoder.unwrap_or_default().encoded_len(&part);
            let room = self.form.max_body.saturating_sub(self.chunk.len);
            let fits = head_len.saturating_add(left) <= room;
            let is_fresh = self.chunk.is_empty();
            if !is_fresh && (self.chunk.len >= self.form.goal || !fits && !self.may_divide(room, head_len)) {
                self.close();
                continue;
            }
            // A shorter body never has a longer head.
            let take = if fits { left } else { room.saturating_sub(head_len).min(left).max(1) };
            let part = part_of(header, sent, take);
            let encoder = self.encoder.get_or_insert_with(MessageEncoder::new);
            self.chunk.push_head(|heads| encoder.encode(&part, heads));
            let from = start.saturating_add(sent);
            if take > 0 {
                self.chunk.parts.push(Part::Body(from..from.saturating_add(take)));
                self.chunk.len = self.chunk.len.saturating_add(take);
            }
            if self.form.lists_data_bins {
                // Of a message without body the end of the data-bin is news: with it goes the byte before.
                self.note(part.key(), part.offset.saturating_sub(u64::from(take == 0)));
            }
            sent = sent.saturating_add(take);
            if sent >= whole {
                return;
            }
        }
    }

    /// Whether the rest of the chunk is worth a message of its own.
    const fn may_divide(&self, room: usize, head_len: usize) -> bool {
        self.form.divides && room >= head_len.saturating_add(MIN_PART)
    }

    fn note(&mut self, key: BinKey, offset: u64) {
        match self.chunk.carries.last_mut() {
            Some((last, first)) if *last == key => *first = (*first).min(offset),
            _ => self.chunk.carries.push((key, offset)),
        }
    }

    fn end(&mut self, reason: EorReason) {
        if self.chunk.len.saturating_add(EOR_LEN) > self.form.max_body {
            self.close();
        }
        self.chunk.push_head(|heads| encode_eor(reason, heads));
        self.chunk.end = Some(reason);
        self.close();
    }

    fn close(&mut self) {
        self.encoder = None;
        if !self.chunk.is_empty() {
            self.done.push(std::mem::take(&mut self.chunk));
        }
    }
}

/// `len` body bytes of a message, `skip` bytes into it.
fn part_of(header: &MessageHeader, skip: usize, len: usize) -> MessageHeader {
    let (skip, len) = (skip as u64, len as u64);
    let is_rest = skip.saturating_add(len) == header.len;
    MessageHeader {
        offset: header.offset.saturating_add(skip),
        len,
        complete: header.complete && is_rest,
        // Aux says how many layers are whole once the message is there; of a part that is not known, and none is
        // always true. What class 5 says of a tile-part holds for each part of it.
        aux: if is_rest || header.class != DataBinClass::ExtendedPrecinct { header.aux } else { 0 },
        ..*header
    }
}

/// Fewest bytes for which a message is cut in two, unless it fits no chunk at all.
const MIN_PART: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{DataBinStore, MessageReader, StoreLimits};
    use crate::data_bin::CodestreamId;

    const UDP: ChunkForm = ChunkForm { max_body: 1392, goal: 1392, divides: true, lists_data_bins: true };
    const TCP: ChunkForm = ChunkForm { max_body: 65_527, goal: 16_384, divides: false, lists_data_bins: false };

    fn messages(bodies: &[(DataBinClass, u64, usize)], end: bool) -> Vec<u8> {
        let (mut encoder, mut out) = (MessageEncoder::new(), Vec::new());
        for &(class, id, len) in bodies {
            let codestream = CodestreamId(1);
            let header = MessageHeader { class, codestream, id, offset: 0, len: len as u64, complete: true, aux: 3 };
            encoder.encode(&header, &mut out);
            out.extend((0..len).map(|n| (n * 7 + id as usize) as u8));
        }
        if end {
            encode_eor(EorReason::WindowDone, &mut out);
        }
        out
    }

    fn bodies(layouts: &[ChunkLayout], messages: &[u8]) -> Vec<Vec<u8>> {
        layouts.iter().map(|layout| layout.pieces(messages).collect::<Vec<_>>().concat()).collect()
    }

    fn store_of<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> DataBinStore {
        let mut store = DataBinStore::new(StoreLimits::default());
        for mut body in bodies {
            let mut reader = MessageReader::new();
            while let Some(event) = reader.read(&mut body).unwrap() {
                store.apply(&event).unwrap();
            }
            reader.finish().unwrap();
        }
        store
    }

    #[test]
    fn g_every_chunk_is_read_by_itself() {
        let all = [
            (DataBinClass::Metadata, 0, 0),
            (DataBinClass::MainHeader, 0, 300),
            (DataBinClass::Precinct, 5, 9000),
            (DataBinClass::Precinct, 6, 40_000),
            (DataBinClass::Metadata, 7, 65_535),
            (DataBinClass::Precinct, 7, 1),
        ];
        let messages = messages(&all, true);
        for form in [UDP, TCP] {
            let layouts = Chunker::new(form).cut(&messages).unwrap();
            let chunks = bodies(&layouts, &messages);
            for (layout, chunk) in layouts.iter().zip(&chunks) {
                assert_eq!(layout.len(), chunk.len());
                assert!(chunk.len() <= form.max_body);
                assert!(chunk[0] == 0 || chunk[0] >> 5 & 3 == 3, "class and codestream are named");
            }
            // In any order, as datagrams come.
            let whole = store_of([messages.as_slice()].into_iter());
            let pieces = store_of(chunks.iter().rev().map(Vec::as_slice));
            assert_eq!(whole.model(), pieces.model());
            assert_eq!(chunks.last().unwrap().split_last_chunk::<3>().unwrap().1, &[0, 2, 0]);
            assert_eq!(layouts.iter().filter(|layout| layout.end().is_some()).count(), 1);
        }
    }

    #[test]
    fn g_a_message_that_fits_a_chunk_is_not_cut() {
        let all = [
            (DataBinClass::Precinct, 1, 16_000),
            (DataBinClass::Precinct, 2, 60_000),
            (DataBinClass::Metadata, 3, 65_000),
        ];
        let messages = messages(&all, true);
        let layouts = Chunker::new(TCP).cut(&messages).unwrap();
        let heads: usize =
            layouts.iter().map(|layout| layout.parts.iter().filter(|p| matches!(p, Part::Body(_))).count()).sum();
        assert_eq!(heads, 3);
    }

    #[test]
    fn k_a_chunk_lists_the_data_bins_that_it_carries() {
        let key = |id| BinKey::precinct(CodestreamId(1), id);
        let messages = messages(&[(DataBinClass::Precinct, 1, 1300), (DataBinClass::Precinct, 2, 2000)], false);
        let layouts = Chunker::new(UDP).cut(&messages).unwrap();
        assert_eq!(layouts[0].carries(), [(key(1), 0), (key(2), 0)]);
        assert!(matches!(layouts[1].carries(), [(of, offset)] if *of == key(2) && *offset > 0));
        assert!(layouts.iter().all(|layout| layout.end().is_none()));
    }

    #[test]
    fn a_2_1_a_part_of_a_message_claims_no_layer() {
        let messages = messages(&[(DataBinClass::ExtendedPrecinct, 1, 3000)], true);
        let layouts = Chunker::new(UDP).cut(&messages).unwrap();
        let mut aux = Vec::new();
        for body in bodies(&layouts, &messages) {
            let mut decoder = MessageDecoder::new();
            if let Some((Head::Message(header), _)) = decoder.decode(&body).unwrap() {
                aux.push((header.aux, header.complete));
            }
        }
        assert_eq!(aux, [(0, false), (0, false), (3, true)]);
    }

    #[test]
    fn what_is_not_whole_messages_is_refused() {
        let messages = messages(&[(DataBinClass::Precinct, 1, 100)], true);
        assert_eq!(Chunker::new(TCP).cut(&messages[..50]), Err(ChunkError::NotWhole));
        assert_eq!(Chunker::new(TCP).cut(&[0x70]), Err(ChunkError::NotWhole));
        assert!(matches!(Chunker::new(TCP).cut(&[0x10]), Err(ChunkError::Message(_))));
        assert_eq!(Chunker::new(TCP).cut(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_cut(
            lens in prop::collection::vec((0u64..9, 0usize..4000), 0..30),
            max_body in 40usize..3000,
            goal in 1usize..3000,
            divides: bool,
        ) {
            let all: Vec<_> = lens.iter().enumerate().map(|(n, &(_, len))| (DataBinClass::Precinct, n as u64, len)).collect();
            let messages = messages(&all, true);
            let form = ChunkForm { max_body, goal, divides, lists_data_bins: true };
            let layouts = Chunker::new(form).cut(&messages).unwrap();
            let chunks = bodies(&layouts, &messages);
            prop_assert!(chunks.iter().all(|chunk| chunk.len() <= max_body));
            let whole = store_of([messages.as_slice()].into_iter());
            let pieces = store_of(chunks.iter().map(Vec::as_slice));
            prop_assert_eq!(whole.model(), pieces.model());
        }
    }
}
