//! Response bytes, in whatever pieces they arrive, as messages and end of response.

use thiserror::Error;

use crate::data_bin::BinKey;
use crate::message::{EorReason, Head, MAX_MESSAGE_HEADER, MessageDecoder, MessageError, MessageHeader};

/// One step of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message begins; its body follows in [`Event::Body`] steps.
    Message(MessageHeader),
    /// The next bytes of the current message's body; at least one such step follows each message.
    Body {
        /// The data-bin they belong to.
        bin: BinKey,
        /// Where they begin in the data-bin.
        offset: u64,
        /// The bytes; none for a message without body.
        bytes: &'a [u8],
        /// Whether the data-bin ends with them.
        complete: bool,
    },
    /// The response ends.
    EndOfResponse(EorReason),
}

/// Splits one response into [`Event`]s; holds no more than a message header.
#[derive(Debug, Clone, Default)]
pub struct MessageReader {
    decoder: MessageDecoder,
    /// Start of a head whose rest has not arrived.
    pending: Vec<u8>,
    body: Body,
    ended: Option<EorReason>,
}

/// The response ended inside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the response ends inside a message")]
pub struct CutOff;

impl MessageReader {
    /// A reader at the start of a response.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next step within `input`, which is moved past what was read; `None` when all of it was.
    ///
    /// Bytes after the end of the response are passed over.
    ///
    /// # Errors
    ///
    /// As [`MessageDecoder::decode`]; the reader is of no further use then.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, MessageError> {
        loop {
            match self.body {
                Body::Of { header, left } => return Ok(self.read_body(header, left, input)),
                Body::Skipped { left } => {
                    let bytes = take(input, left);
                    let left = left - bytes.len() as u64;
                    if left > 0 {
                        self.body = Body::Skipped { left };
                        return Ok(None);
                    }
                    self.body = Body::Nothing;
                }
                Body::Nothing if self.ended.is_some() => {
                    *input = &[];
                    return Ok(None);
                }
                Body::Nothing => {
                    let Some(head) = self.read_head(input)? else { return Ok(None) };
                    match head {
                        Head::Message(header) => {
                            self.body = Body::Of { header, left: header.len };
                            return Ok(Some(Event::Message(header)));
                        }
                        Head::Reserved { len, .. } => self.body = Body::Skipped { left: len },
                        Head::EndOfResponse { reason, len } => {
                            self.body = Body::Skipped { left: len };
                            self.ended = Some(reason);
                            return Ok(Some(Event::EndOfResponse(reason)));
                        }
                    }
                }
            }
        }
    }

    /// The reason of the end-of-response message, once it has been read.
    #[must_use]
    pub const fn ended(&self) -> Option<EorReason> {
        self.ended
    }

    /// What the end of the bytes means: the reason that was given, or `None` for a response that just ends.
    ///
    /// # Errors
    ///
    /// [`CutOff`] if the bytes end inside a message.
    pub fn finish(self) -> Result<Option<EorReason>, CutOff> {
        let between = self.pending.is_empty() && matches!(self.body, Body::Nothing | Body::Skipped { left: 0 });
        if self.ended.is_some() || between { Ok(self.ended) } else { Err(CutOff) }
    }

    fn read_body<'a>(&mut self, header: MessageHeader, left: u64, input: &mut &'a [u8]) -> Option<Event<'a>> {
        if left > 0 && input.is_empty() {
            return None;
        }
        let bytes = take(input, left);
        let still_left = left - bytes.len() as u64;
        self.body = if still_left == 0 { Body::Nothing } else { Body::Of { header, left: still_left } };
        Some(Event::Body {
            bin: header.key(),
            offset: header.offset + (header.len - left),
            bytes,
            complete: header.complete && still_left == 0,
        })
    }

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Head>, MessageError> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.pending.is_empty()
            && let Some((head, used)) = self.decoder.decode(input)?
        {
            take(input, used as u64);
            return Ok(Some(head));
        }
        // A head never needs more than MAX_MESSAGE_HEADER bytes, so `pending` stays small.
        let held = self.pending.len();
        let wanted = MAX_MESSAGE_HEADER.saturating_sub(held);
        self.pending.extend_from_slice(input.get(..wanted).unwrap_or(input));
        let Some((head, used)) = self.decoder.decode(&self.pending)? else {
            *input = &[];
            return Ok(None);
        };
        self.pending.clear();
        take(input, used.saturating_sub(held) as u64);
        Ok(Some(head))
    }
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, Default)]
enum Body {
    #[default]
    Nothing,
    Of {
        header: MessageHeader,
        left: u64,
    },
    Skipped {
        left: u64,
    },
}

/// Takes up to `len` bytes off the front of `input`.
fn take<'a>(input: &mut &'a [u8], len: u64) -> &'a [u8] {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data_bin::{CodestreamId, DataBinClass};
    use crate::message::{MessageEncoder, encode_eor};

    /// A response with a body of every kind, a reserved class among them, and what is after the end.
    fn response() -> Vec<u8> {
        let mut encoder = MessageEncoder::new();
        let mut out = Vec::new();
        let mut message = |class, codestream, id, offset, body: &[u8], complete| {
            let codestream = CodestreamId(codestream);
            let len = body.len() as u64;
            encoder.encode(&MessageHeader { class, codestream, id, offset, len, complete, aux: 1 }, &mut out);
            out.extend_from_slice(body);
        };
        message(DataBinClass::Metadata, 0, 0, 0, b"", true);
        message(DataBinClass::MainHeader, 0, 0, 0, &[7; 300], true);
        message(DataBinClass::ExtendedPrecinct, 0, 300_000, 5, b"abc", false);
        message(DataBinClass::Precinct, 9, 300_000, 8, b"def", true);
        out.extend([0x41, 11, 0, 4, 1, 9, 9, 9, 9]);
        encode_eor(EorReason::ByteLimit, &mut out);
        out.extend(b"left over");
        out
    }

    /// Everything that a response says, bodies joined.
    fn read(pieces: &[&[u8]]) -> (Vec<MessageHeader>, Vec<u8>, Option<EorReason>) {
        let mut reader = MessageReader::new();
        let (mut heads, mut bytes, mut completed) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let mut piece = *piece;
            while let Some(event) = reader.read(&mut piece).unwrap() {
                match event {
                    Event::Message(header) => heads.push(header),
                    Event::Body { bin, offset, bytes: part, complete } => {
                        let header = heads.last().unwrap();
                        assert_eq!(bin, header.key());
                        assert_eq!(
                            complete,
                            header.complete && offset + part.len() as u64 == header.offset + header.len
                        );
                        completed += usize::from(complete);
                        bytes.extend_from_slice(part);
                    }
                    Event::EndOfResponse(_) => {}
                }
            }
            assert!(piece.is_empty());
        }
        assert_eq!(completed, heads.iter().filter(|header| header.complete).count());
        (heads, bytes, reader.finish().unwrap())
    }

    #[test]
    fn a_response_reads_as_its_messages() {
        let response = response();
        let (heads, bytes, ended) = read(&[&response]);
        assert_eq!(heads.len(), 4);
        assert_eq!(bytes, [&[7; 300][..], b"abcdef"].concat());
        assert_eq!(ended, Some(EorReason::ByteLimit));
    }

    #[test]
    fn a_response_may_just_end_but_not_inside_a_message() {
        let response = response();
        let mut reader = MessageReader::new();
        let mut input = &response[..5];
        while reader.read(&mut input).unwrap().is_some() {}
        assert_eq!(reader.clone().finish(), Ok(None));
        for cut in [6, 7, 8, 9, 12, 200] {
            let mut reader = MessageReader::new();
            let mut input = &response[..cut];
            while reader.read(&mut input).unwrap().is_some() {}
            assert_eq!(reader.finish(), Err(CutOff), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0usize..400, 0..60)) {
            let response = response();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(response.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                pieces.push(&response[at..cut]);
                at = cut;
            }
            pieces.push(&response[at..]);
            prop_assert_eq!(read(&pieces), read(&[&response]));
        }

        #[test]
        fn hostile_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..20) {
            let mut reader = MessageReader::new();
            'all: for mut piece in bytes.chunks(cut) {
                loop {
                    match reader.read(&mut piece) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
            }
        }
    }
}
