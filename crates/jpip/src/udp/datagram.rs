//! Layout of the datagrams of the http-udp transport. Nothing else knows it.
//!
//! Follows: what is known of [15444-9 K] without its text, which is that a datagram carries one chunk of whole
//! messages after a header of 8 bytes, which names the request (low 16 bits of `qid`) and the chunk and counts
//! its repetitions, and that the client acknowledges by sending the header back. The order and width of the
//! fields, the first 16 bits, and the probe are ours: another implementation will not understand them.
//!
//! ```text
//! chunk  ┌ 16 bits control ┬ 16 bits request ┬ 24 bits number ┬ 8 bits repeat ┐ messages
//!        control: 1 bit probe, 2 bits zero, 1 bit last chunk of its response, 12 bits count of responses
//! probe  the same with the probe bit, everything else zero, then 8 bytes that only the receiver can know
//! ack    the header of a chunk; as many as fit a datagram
//! answer the header of a probe and its 8 bytes
//! hello  the channel's name, CR LF CR LF
//! ```
//! A hello begins with a printable character, and nothing else does.

/// Bytes before the messages of a chunk, and of an acknowledgement.
pub const HEADER_LEN: usize = 8;

/// Bytes of the secret in a probe.
pub const SECRET_LEN: usize = 8;

/// Largest number of a chunk.
pub const MAX_NUMBER: u32 = (1 << 24) - 1;

/// Responses are counted modulo this.
pub const RESPONSES: u16 = 1 << 12;

/// The header of a chunk, and its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkHeader {
    /// Whether the response ends with this chunk.
    pub is_last: bool,
    /// Which response of the channel it is, modulo [`RESPONSES`]: a `qid` may be used twice.
    pub response: u16,
    /// The low 16 bits of the request's `qid`; 0 without one.
    pub request: u16,
    /// Number of the chunk in its response, from 0 to [`MAX_NUMBER`].
    pub number: u32,
    /// How many times the chunk was sent before.
    pub repeat: u8,
}

/// What a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromServer<'a> {
    /// A chunk and its messages.
    Chunk(ChunkHeader, &'a [u8]),
    /// A question whether somebody is there.
    Probe([u8; SECRET_LEN]),
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromClient<'a> {
    /// The name of its channel.
    Hello(&'a str),
    /// The answer to a probe.
    Answer([u8; SECRET_LEN]),
    /// Acknowledgements, to be read with [`acknowledgements`].
    Acknowledgements(&'a [u8]),
}

impl ChunkHeader {
    /// The eight bytes.
    #[must_use]
    pub const fn encode(&self) -> [u8; HEADER_LEN] {
        let last = if self.is_last { LAST } else { 0 };
        let [c0, c1] = ((self.response % RESPONSES) | last).to_be_bytes();
        let [r0, r1] = self.request.to_be_bytes();
        let [_, n0, n1, n2] = self.number.to_be_bytes();
        [c0, c1, r0, r1, n0, n1, n2, self.repeat]
    }

    /// The header in these bytes, unless they are those of a probe or use bits that must be zero.
    #[must_use]
    pub const fn decode(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let [c0, c1, r0, r1, n0, n1, n2, repeat] = bytes;
        let control = u16::from_be_bytes([c0, c1]);
        if control & !(LAST | (RESPONSES - 1)) != 0 {
            return None;
        }
        Some(Self {
            is_last: control & LAST != 0,
            response: control & (RESPONSES - 1),
            request: u16::from_be_bytes([r0, r1]),
            number: u32::from_be_bytes([0, n0, n1, n2]),
            repeat,
        })
    }
}

impl<'a> FromServer<'a> {
    /// Reads a datagram; `None` if it is nothing that a server sends.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        if *header == PROBE {
            return rest.try_into().ok().map(Self::Probe);
        }
        ChunkHeader::decode(*header).map(|header| Self::Chunk(header, rest))
    }
}

impl<'a> FromClient<'a> {
    /// Reads a datagram; `None` if it is nothing that a client sends.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        if bytes.first()?.is_ascii_graphic() {
            let name = bytes.trim_ascii_end();
            let is_name = name.len() <= MAX_NAME && name.iter().all(u8::is_ascii_graphic);
            return std::str::from_utf8(name).ok().filter(|_| is_name).map(Self::Hello);
        }
        if let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>()
            && *header == PROBE
        {
            return rest.try_into().ok().map(Self::Answer);
        }
        let is_whole = !bytes.is_empty() && bytes.len().is_multiple_of(HEADER_LEN);
        is_whole.then_some(Self::Acknowledgements(bytes))
    }
}

/// The headers in the bytes of [`FromClient::Acknowledgements`]; those that cannot be read are passed over.
pub fn acknowledgements(bytes: &[u8]) -> impl Iterator<Item = ChunkHeader> {
    bytes.as_chunks::<HEADER_LEN>().0.iter().filter_map(|header| ChunkHeader::decode(*header))
}

/// A probe, and what the client answers to it.
#[must_use]
pub const fn encode_probe(secret: [u8; SECRET_LEN]) -> [u8; PROBE_LEN] {
    let [p0, p1, p2, p3, p4, p5, p6, p7] = PROBE;
    let [s0, s1, s2, s3, s4, s5, s6, s7] = secret;
    [p0, p1, p2, p3, p4, p5, p6, p7, s0, s1, s2, s3, s4, s5, s6, s7]
}

/// Bytes of a probe.
pub const PROBE_LEN: usize = HEADER_LEN + SECRET_LEN;

/// A hello.
#[must_use]
pub fn encode_hello(cid: &str) -> Vec<u8> {
    [cid.as_bytes(), b"\r\n\r\n"].concat()
}

/// The bit of the control field that says that the response ends.
const LAST: u16 = 1 << 12;

/// The header of a probe.
const PROBE: [u8; HEADER_LEN] = [0x80, 0, 0, 0, 0, 0, 0, 0];

/// Longest name of a channel that is read, in bytes.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k_datagrams_are_laid_out_as_the_vectors_say() {
        let header = ChunkHeader { is_last: true, response: 0x123, request: 0x4567, number: 0x89_ABCD, repeat: 0xEF };
        assert_eq!(header.encode(), [0x11, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
        assert_eq!(FromServer::decode(&[&header.encode()[..], b"x"].concat()), Some(FromServer::Chunk(header, b"x")));
        let probe = encode_probe(*b"12345678");
        assert_eq!(probe, *b"\x80\0\0\0\0\0\0\x0012345678");
        assert_eq!(FromServer::decode(&probe), Some(FromServer::Probe(*b"12345678")));
        assert_eq!(FromClient::decode(&probe), Some(FromClient::Answer(*b"12345678")));
        assert_eq!(FromClient::decode(&encode_hello("n1.ab")), Some(FromClient::Hello("n1.ab")));
        let two = [header.encode(), header.encode()].concat();
        assert_eq!(FromClient::decode(&two), Some(FromClient::Acknowledgements(&two)));
        assert_eq!(acknowledgements(&two).collect::<Vec<_>>(), [header, header]);
    }

    #[test]
    fn what_is_no_datagram_of_ours_is_not_read() {
        for bytes in
            [&b""[..], b"\0", b"\0\0\0\0\0\0\0", b"\x80\0\0\0\0\0\0\0", b"\x20\0\0\0\0\0\0\0", b"\x80\0\0\0\0\0\0\x01x"]
        {
            assert_eq!(FromServer::decode(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"\0\0", b"a b", &[b'a'; 200], b"\x80\0\0\0\0\0\0\x0012345", b"ab\xff"] {
            assert_eq!(FromClient::decode(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn headers_are_read_as_they_were_written(
            is_last: bool, response in 0..RESPONSES, request: u16, number in 0..=MAX_NUMBER, repeat: u8
        ) {
            let header = ChunkHeader { is_last, response, request, number, repeat };
            prop_assert_eq!(ChunkHeader::decode(header.encode()), Some(header));
            prop_assert!(!header.encode()[0].is_ascii_graphic(), "never taken for a hello");
        }
    }
}
