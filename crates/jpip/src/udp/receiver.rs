//! The client half of one http-udp channel: chunks in, in any order and any number of times, acknowledgements out.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use rangemap::RangeInclusiveSet;

use super::datagram::{FromServer, HEADER_LEN, encode_hello, encode_probe};
use super::{MAX_DATAGRAM, datagram::ChunkHeader};

/// Bounds of the client half of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverLimits {
    /// Responses that are remembered.
    pub max_responses: usize,
    /// Runs of chunks of one response with others missing between them; a chunk that would make more is not
    /// acknowledged, and so comes again.
    pub max_runs: usize,
    /// Bytes of acknowledgements that wait to be sent; those beyond are not sent, and their chunks come again.
    pub max_waiting: usize,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self { max_responses: 16, max_runs: 16_384, max_waiting: 1 << 20 }
    }
}

/// The client half of one channel.
#[derive(Debug, Clone)]
pub struct Receiver {
    limits: ReceiverLimits,
    hello: Vec<u8>,
    /// When the channel's name is sent next; `None` once chunks come.
    next_hello: Option<Duration>,
    interval: Duration,
    answer: Option<Vec<u8>>,
    acknowledgements: Vec<u8>,
    responses: VecDeque<Response>,
}

#[derive(Debug, Clone)]
struct Response {
    count: u16,
    request: u16,
    arrived: RangeInclusiveSet<u32>,
    last: Option<u32>,
}

/// A chunk that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The low 16 bits of the `qid` that it answers.
    pub request: u16,
    /// Whole messages, to be read by themselves.
    pub messages: &'a [u8],
    /// Whether every chunk of the response has come now.
    pub is_whole: bool,
}

impl Receiver {
    /// The client half of the channel of this name.
    #[must_use]
    pub fn new(cid: &str, limits: ReceiverLimits) -> Self {
        Self {
            limits,
            hello: encode_hello(cid),
            next_hello: Some(Duration::ZERO),
            interval: FIRST_INTERVAL,
            answer: None,
            acknowledgements: Vec::new(),
            responses: VecDeque::new(),
        }
    }

    /// Takes a datagram from the server. `None` if it is no chunk, or one that has come before.
    pub fn handle_datagram<'a>(&mut self, bytes: &'a [u8]) -> Option<Arrival<'a>> {
        let (header, messages) = match FromServer::decode(bytes)? {
            FromServer::Probe(secret) => {
                self.answer = Some(encode_probe(secret).to_vec());
                return None;
            }
            FromServer::Chunk(header, messages) => (header, messages),
        };
        self.next_hello = None;
        if self.acknowledgements.len() >= self.limits.max_waiting {
            return None;
        }
        let max_runs = self.limits.max_runs;
        let response = self.response(&header)?;
        let is_new = !response.arrived.contains(&header.number);
        if is_new {
            if response.arrived.len() >= max_runs && !response.is_beside(header.number) {
                return None;
            }
            response.arrived.insert(header.number..=header.number);
        }
        if header.is_last {
            response.last = Some(header.number);
        }
        let is_whole = response.is_whole();
        self.acknowledgements.extend_from_slice(&header.encode());
        is_new.then_some(Arrival { request: header.request, messages, is_whole })
    }

    /// The next datagram to be sent to the server.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Vec<u8>> {
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        if !self.acknowledgements.is_empty() {
            let len = self.acknowledgements.len().min(MAX_DATAGRAM / HEADER_LEN * HEADER_LEN);
            return Some(self.acknowledgements.drain(..len).collect());
        }
        if self.next_hello.is_some_and(|next| next <= now) {
            self.next_hello = Some(now.saturating_add(self.interval));
            self.interval = (self.interval * 2).min(LAST_INTERVAL);
            return Some(self.hello.clone());
        }
        None
    }

    /// When [`Receiver::poll_transmit`] should be called next although nothing came.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Duration> {
        self.next_hello
    }

    /// Nothing has come for long: the server is told anew where the client is.
    pub const fn greet_again(&mut self, now: Duration) {
        self.next_hello = Some(now);
        self.interval = FIRST_INTERVAL;
    }

    /// Whether every chunk of the answer to the request with this `qid` has come.
    #[must_use]
    pub fn is_whole(&self, qid: u64) -> bool {
        self.answer_to(qid).is_some_and(Response::is_whole)
    }

    /// The chunks before the highest one known that have not come of the answer to this `qid`.
    #[must_use]
    pub fn missing(&self, qid: u64) -> Vec<RangeInclusive<u32>> {
        let Some(response) = self.answer_to(qid) else { return Vec::new() };
        let highest = response.last.or_else(|| response.arrived.last().map(|run| *run.end())).unwrap_or(0);
        response.arrived.gaps(&(0..=highest)).collect()
    }

    fn answer_to(&self, qid: u64) -> Option<&Response> {
        let [.., high, low] = qid.to_be_bytes();
        let request = u16::from_be_bytes([high, low]);
        self.responses.iter().rev().find(|response| response.request == request)
    }

    /// What is known of the response that a chunk belongs to; nothing yet if it is its first.
    fn response(&mut self, header: &ChunkHeader) -> Option<&mut Response> {
        let is_it = |known: &Response| known.count == header.response && known.request == header.request;
        if !self.responses.iter().any(is_it) {
            if self.responses.len() >= self.limits.max_responses {
                self.responses.pop_front();
            }
            let (count, request) = (header.response, header.request);
            self.responses.push_back(Response { count, request, arrived: RangeInclusiveSet::new(), last: None });
        }
        self.responses.iter_mut().find(|known| is_it(known))
    }
}

impl Response {
    fn is_whole(&self) -> bool {
        self.last.is_some_and(|last| self.arrived.gaps(&(0..=last)).next().is_none())
    }

    /// Whether the chunk continues a run, so that it makes no more of them.
    fn is_beside(&self, number: u32) -> bool {
        let before = number.checked_sub(1).is_some_and(|before| self.arrived.contains(&before));
        before || number.checked_add(1).is_some_and(|after| self.arrived.contains(&after))
    }
}

/// How soon the channel's name is sent a second time, and how rarely at last.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
const LAST_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u32, is_last: bool) -> Vec<u8> {
        let header = ChunkHeader { is_last, response: 3, request: 9, number, repeat: 0 };
        [&header.encode()[..], b"m"].concat()
    }

    #[test]
    fn k_chunks_are_taken_once_and_acknowledged_each_time() {
        let mut receiver = Receiver::new("n1.ab", ReceiverLimits::default());
        let (last, first) = (datagram(1, true), datagram(0, false));
        let arrival = receiver.handle_datagram(&last).unwrap();
        assert_eq!(arrival, Arrival { request: 9, messages: b"m", is_whole: false });
        assert_eq!(receiver.missing(0x1_0009), [0..=0]);
        assert_eq!(receiver.handle_datagram(&last), None);
        assert!(receiver.handle_datagram(&first).unwrap().is_whole && receiver.is_whole(9));
        assert_eq!(receiver.poll_transmit(Duration::ZERO).unwrap(), [&last[..8], &last[..8], &first[..8]].concat());
        assert_eq!(receiver.poll_transmit(Duration::from_secs(9)), None);
    }

    #[test]
    fn k_the_channel_is_named_until_the_first_chunk_comes() {
        let mut receiver = Receiver::new("n1.ab", ReceiverLimits::default());
        let mut now = Duration::from_secs(1);
        assert_eq!(receiver.poll_transmit(now).unwrap(), b"n1.ab\r\n\r\n");
        assert_eq!(receiver.poll_transmit(now), None);
        now = receiver.poll_timeout().unwrap();
        assert!(receiver.poll_transmit(now).is_some());
        assert_eq!(receiver.handle_datagram(&encode_probe([4; 8])), None);
        assert_eq!(receiver.poll_transmit(now).unwrap(), encode_probe([4; 8]));
        assert!(receiver.poll_timeout().is_some(), "the answer may be lost");
        receiver.handle_datagram(&datagram(0, true));
        assert_eq!(receiver.poll_timeout(), None);
        receiver.greet_again(now);
        receiver.poll_transmit(now);
        assert_eq!(receiver.poll_transmit(now).unwrap(), b"n1.ab\r\n\r\n");
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let limits = ReceiverLimits { max_responses: 2, max_runs: 3, max_waiting: 80 };
        let mut receiver = Receiver::new("c", limits);
        for number in [0, 2, 4] {
            assert!(receiver.handle_datagram(&datagram(number, false)).is_some());
        }
        assert!(receiver.handle_datagram(&datagram(6, false)).is_none(), "it would be a fourth run");
        assert!(receiver.handle_datagram(&datagram(3, false)).is_some());
        for response in 4..9 {
            let header = ChunkHeader { is_last: false, response, request: 9, number: 0, repeat: 0 };
            receiver.handle_datagram(&header.encode());
            assert!(receiver.responses.len() <= 2);
        }
        for number in 1..99 {
            receiver.handle_datagram(&datagram(number, false));
        }
        assert!(receiver.acknowledgements.len() <= 80);
    }
}
