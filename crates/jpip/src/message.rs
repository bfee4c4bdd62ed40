//! Message headers of JPP-streams and JPT-streams, and the end-of-response message [15444-9 A.2, D.3].

use thiserror::Error;

use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::vbas::{self, VbasError, decode_vbas, encode_vbas, vbas_len};

/// Longest message header that is ever read, in bytes: six numbers, the first with four bits of its own.
pub const MAX_MESSAGE_HEADER: usize = 6 * vbas::MAX_VBAS_LEN + 1;

/// Head of one message: which bytes of which data-bin its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHeader {
    /// Class of the data-bin.
    pub class: DataBinClass,
    /// The codestream it belongs to; without meaning for metadata-bins.
    pub codestream: CodestreamId,
    /// The in-class identifier.
    pub id: u64,
    /// Offset of the body within the data-bin, in bytes.
    pub offset: u64,
    /// Length of the body in bytes, 0 allowed.
    pub len: u64,
    /// Whether the data-bin ends with this body.
    pub complete: bool,
    /// Aux, written only for the extended classes.
    pub aux: u64,
}

impl MessageHeader {
    /// The data-bin that the body belongs to.
    #[must_use]
    pub const fn key(&self) -> BinKey {
        BinKey::new(self.class, self.codestream, self.id)
    }
}

/// Why a response ended [15444-9 D.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EorReason {
    /// All of the target has been sent, not only the window.
    ImageDone = 1,
    /// All that the window needs has been sent.
    WindowDone = 2,
    /// A newer request of the channel took over.
    WindowChange = 3,
    /// The request's `len` was reached.
    ByteLimit = 4,
    /// The request's `quality` was reached.
    QualityLimit = 5,
    /// The session can serve no more requests.
    SessionLimit = 6,
    /// Some limit of this response was reached; the same request continues.
    ResponseLimit = 7,
    /// Any other reason, and every code that the standard leaves open.
    NonSpecified = 0xFF,
}

impl EorReason {
    /// The reason with this code; open codes read as [`Self::NonSpecified`].
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::ImageDone,
            2 => Self::WindowDone,
            3 => Self::WindowChange,
            4 => Self::ByteLimit,
            5 => Self::QualityLimit,
            6 => Self::SessionLimit,
            7 => Self::ResponseLimit,
            _ => Self::NonSpecified,
        }
    }

    /// The code that the message carries.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the same request again brings more [15444-9 D.3].
    #[must_use]
    pub const fn asks_for_repetition(self) -> bool {
        matches!(self, Self::ByteLimit | Self::ResponseLimit)
    }
}

/// Appends an end-of-response message without body.
pub fn encode_eor(reason: EorReason, out: &mut Vec<u8>) {
    out.extend([EOR_IDENTIFIER, reason.code(), 0]);
}

/// Length in bytes of what [`encode_eor`] appends.
pub const EOR_LEN: usize = 3;

/// Writes the message headers of one response; class and CSn are left out where they repeat.
///
/// The first header carries both, because some decoders have no initial state (clients.md 9).
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageEncoder {
    previous: Option<(DataBinClass, CodestreamId)>,
}

impl MessageEncoder {
    /// An encoder at the start of a response.
    #[must_use]
    pub const fn new() -> Self {
        Self { previous: None }
    }

    /// Appends the header of the response's next message.
    pub fn encode(&mut self, header: &MessageHeader, out: &mut Vec<u8>) {
        let presence = self.presence(header);
        encode_bin_id(presence, header, out);
        if presence != Presence::Neither {
            encode_vbas(u64::from(header.class.number()), out);
        }
        if presence == Presence::ClassAndCodestream {
            encode_vbas(header.codestream.0, out);
        }
        encode_vbas(header.offset, out);
        encode_vbas(header.len, out);
        if header.class.has_aux() {
            encode_vbas(header.aux, out);
        }
        self.pass_over(header);
    }

    /// Goes on as if the header had been encoded.
    pub(crate) const fn pass_over(&mut self, header: &MessageHeader) {
        self.previous = Some((header.class, header.codestream));
    }

    /// Number of bytes that [`Self::encode`] would append now.
    #[must_use]
    pub fn encoded_len(&self, header: &MessageHeader) -> usize {
        let named = match self.presence(header) {
            Presence::Neither => 0,
            Presence::Class => 1,
            Presence::ClassAndCodestream => 1 + vbas_len(header.codestream.0),
        };
        let aux = if header.class.has_aux() { vbas_len(header.aux) } else { 0 };
        bin_id_len(header.id) + named + vbas_len(header.offset) + vbas_len(header.len) + aux
    }

    fn presence(&self, header: &MessageHeader) -> Presence {
        match self.previous {
            Some((class, codestream)) if codestream == header.codestream => {
                if class == header.class {
                    Presence::Neither
                } else {
                    Presence::Class
                }
            }
            _ => Presence::ClassAndCodestream,
        }
    }
}

/// What stands at the head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A message of a class that the standard defines; `len` body bytes follow.
    Message(MessageHeader),
    /// A message of a reserved class; `len` body bytes follow and are to be skipped.
    Reserved {
        /// The class number.
        class: u64,
        /// Length of the body in bytes.
        len: u64,
    },
    /// The end of the response; `len` bytes of opaque text follow.
    EndOfResponse {
        /// Why.
        reason: EorReason,
        /// Length of the text in bytes, nearly always 0.
        len: u64,
    },
}

impl Head {
    /// Length in bytes of the body that follows.
    #[must_use]
    pub const fn body_len(&self) -> u64 {
        match *self {
            Self::Message(MessageHeader { len, .. }) | Self::Reserved { len, .. } | Self::EndOfResponse { len, .. } => {
                len
            }
        }
    }
}

/// Why a message header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A number is too long.
    #[error(transparent)]
    Number(#[from] VbasError),
    /// The two bits that say which fields follow are zero [15444-9 A.2.2].
    #[error("a message begins with the prohibited byte {0:#04x}")]
    ProhibitedBinId(u8),
    /// Offset and length together do not fit 64 bits.
    #[error("a message reaches from byte {offset} over {len} bytes, which overflows")]
    Overflow {
        /// Msg-Offset.
        offset: u64,
        /// Msg-Length.
        len: u64,
    },
}

/// Reads the message headers of one response; class and CSn that are left out are those of the message before.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageDecoder {
    class: u64,
    codestream: CodestreamId,
}

impl MessageDecoder {
    /// A decoder at the start of a response: class 0 and CSn 0, as deployed clients assume.
    #[must_use]
    pub const fn new() -> Self {
        Self { class: 0, codestream: CodestreamId(0) }
    }

    /// The head at the start of `bytes` and its length, or `None` when they end inside it.
    ///
    /// The state moves on only when a whole head is returned, so the call can be repeated with more bytes.
    ///
    /// # Errors
    ///
    /// - [`MessageError::ProhibitedBinId`] if the first byte says that no class may follow and is no end-of-response.
    /// - [`MessageError::Number`] if a number is too long for 64 bits.
    /// - [`MessageError::Overflow`] if the body would reach past 64-bit offsets.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, MessageError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first == EOR_IDENTIFIER {
            let (Some(&code), Some(rest)) = (bytes.get(1), bytes.get(2..)) else { return Ok(None) };
            let Some((len, used)) = decode_vbas(rest)? else { return Ok(None) };
            return Ok(Some((Head::EndOfResponse { reason: EorReason::from_code(code), len }, 2 + used)));
        }
        let presence = match first >> 5 & 3 {
            1 => Presence::Neither,
            2 => Presence::Class,
            3 => Presence::ClassAndCodestream,
            _ => return Err(MessageError::ProhibitedBinId(first)),
        };
        let mut numbers = Numbers { bytes, at: 1 };
        let mut id = u64::from(first & 0x0F);
        if first & 0x80 != 0 {
            let Some(value) = numbers.next_after(id)? else { return Ok(None) };
            id = value;
        }
        let (mut class, mut codestream) = (self.class, self.codestream);
        if presence != Presence::Neither {
            let Some(value) = numbers.next()? else { return Ok(None) };
            class = value;
        }
        if presence == Presence::ClassAndCodestream {
            let Some(value) = numbers.next()? else { return Ok(None) };
            codestream = CodestreamId(value);
        }
        let Some(offset) = numbers.next()? else { return Ok(None) };
        let Some(len) = numbers.next()? else { return Ok(None) };
        let mut aux = 0;
        if class & 1 == 1 {
            let Some(value) = numbers.next()? else { return Ok(None) };
            aux = value;
        }
        if offset.checked_add(len).is_none() {
            return Err(MessageError::Overflow { offset, len });
        }
        (self.class, self.codestream) = (class, codestream);
        let head = match DataBinClass::from_number(class) {
            None => Head::Reserved { class, len },
            Some(class) => {
                let complete = first & COMPLETE_BIT != 0;
                Head::Message(MessageHeader { class, codestream, id, offset, len, complete, aux })
            }
        };
        Ok(Some((head, numbers.at)))
    }
}

/// Which of class and CSn a header names: the "bb" bits [15444-9 A.2.2].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Presence {
    Neither = 1,
    Class = 2,
    ClassAndCodestream = 3,
}

/// The numbers of a header one after the other.
struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Numbers<'_> {
    fn next(&mut self) -> Result<Option<u64>, VbasError> {
        self.next_after(0)
    }

    fn next_after(&mut self, high_bits: u64) -> Result<Option<u64>, VbasError> {
        let found = vbas::continue_vbas(high_bits, self.bytes.get(self.at..).unwrap_or_default())?;
        Ok(found.map(|(value, used)| {
            self.at += used;
            value
        }))
    }
}

/// Four bits of the identifier in the first byte, seven in each further one.
const fn bin_id_len(id: u64) -> usize {
    let bits = (u64::BITS - id.leading_zeros()) as usize;
    1 + bits.saturating_sub(4).div_ceil(7)
}

fn encode_bin_id(presence: Presence, header: &MessageHeader, out: &mut Vec<u8>) {
    let more = bin_id_len(header.id) - 1;
    let top = vbas::low_seven_bits(header.id.checked_shr(7 * u32::try_from(more).unwrap_or(u32::MAX)).unwrap_or(0));
    let continuation = if more > 0 { 0x80 } else { 0 };
    let complete = if header.complete { COMPLETE_BIT } else { 0 };
    out.push(continuation | (presence as u8) << 5 | complete | top & 0x0F);
    for group in (0..more).rev() {
        let continuation = if group == 0 { 0 } else { 0x80 };
        out.push(continuation | vbas::low_seven_bits(header.id >> (7 * group)));
    }
}

/// First byte of an end-of-response message.
const EOR_IDENTIFIER: u8 = 0;

/// The bit of a header's first byte that says that the data-bin ends with the body.
const COMPLETE_BIT: u8 = 0x10;

#[cfg(test)]
mod tests;
