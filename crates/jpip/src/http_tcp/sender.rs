//! The server half of one http-tcp channel: chunks out, acknowledgements in, over one connection after the
//! other.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;

use super::pace::{Departure, Pace};
use super::{HEADER_LEN, MAX_BODY};

/// Bounds of one http-tcp channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Chunks that are held at a time, sent or not.
    pub max_chunks: usize,
    /// Bytes that wait to be sent, above which no more are taken.
    pub max_queued: u64,
    /// Bytes that may be under way on a connection of which nothing is known yet.
    pub min_window: u64,
    /// Bytes that may be under way on any connection.
    pub max_window: u64,
    /// How long a peer may acknowledge nothing, or be away, while something waits for it.
    pub patience: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            max_chunks: 4096,
            max_queued: 64 << 10,
            min_window: 64 << 10,
            max_window: 4 << 20,
            patience: Duration::from_secs(30),
        }
    }
}

/// The chunks of one channel on their way to the client. `P` is a handle on the bytes of a chunk's body.
///
/// Chunks are numbered in the six bytes that are the server's own. A chunk that a lost connection left
/// unacknowledged is sent again on the next one, so every chunk arrives, and the client has each that was
/// acknowledged.
#[derive(Debug, Clone)]
pub struct Sender<P> {
    limits: TcpLimits,
    /// Chunks that were not sent on this connection, the next first.
    waiting: VecDeque<Chunk<P>>,
    waiting_len: u64,
    /// Chunks that were, and are not acknowledged, the oldest first.
    under_way: VecDeque<(Chunk<P>, Departure)>,
    under_way_len: u64,
    next_number: u32,
    /// Which connection of the channel this is; acknowledgements of an older one mean nothing.
    connection: u16,
    is_connected: bool,
    /// The start of an acknowledgement whose rest has not arrived.
    partial: Vec<u8>,
    /// Whether the next bytes may be the second line end that some clients send after the channel's name.
    is_fresh: bool,
    pace: Pace,
    /// When the peer last did something, or was first waited for.
    waiting_since: Duration,
}

#[derive(Debug, Clone)]
struct Chunk<P> {
    number: u32,
    len: usize,
    body: P,
}

/// A chunk to be written now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing<P> {
    /// The eight bytes before the body.
    pub header: [u8; HEADER_LEN],
    /// The body.
    pub body: P,
}

/// What came is no acknowledgement of the chunk that is due; the connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the peer acknowledges what was not sent")]
pub struct NotAnAcknowledgement;

impl<P: Clone> Sender<P> {
    /// A channel without a connection and with nothing to send.
    #[must_use]
    pub fn new(limits: TcpLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_len: 0,
            under_way: VecDeque::new(),
            under_way_len: 0,
            next_number: 0,
            connection: 0,
            is_connected: false,
            partial: Vec::new(),
            is_fresh: true,
            pace: Pace::new(limits.min_window, limits.max_window),
            waiting_since: Duration::ZERO,
        }
    }

    /// A connection has named this channel; it takes the place of the one before, if there was one.
    pub fn connect(&mut self, now: Duration) {
        self.disconnect();
        (self.is_connected, self.is_fresh) = (true, true);
        self.connection = self.connection.wrapping_add(1);
        self.waiting_since = now;
    }

    /// The connection is gone: what it left unacknowledged waits for the next one.
    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.partial.clear();
        self.pace = Pace::new(self.limits.min_window, self.limits.max_window);
        while let Some((chunk, _)) = self.under_way.pop_back() {
            self.waiting_len = self.waiting_len.saturating_add(chunk.len as u64);
            self.waiting.push_front(chunk);
        }
        self.under_way_len = 0;
    }

    /// Whether a connection is there.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether the next chunks should be made now: too little waits to be sent.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.waiting_len < self.limits.max_queued && self.held() < self.limits.max_chunks
    }

    /// Adds a chunk of `len` bytes. False, and nothing is added, if the limits or the chunk's length forbid it.
    pub fn push(&mut self, now: Duration, body: P, len: usize) -> bool {
        if len > MAX_BODY || self.held() >= self.limits.max_chunks {
            return false;
        }
        if self.is_settled() {
            self.waiting_since = now;
        }
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        self.waiting_len = self.waiting_len.saturating_add(len as u64);
        self.waiting.push_back(Chunk { number, len, body });
        true
    }

    /// The next chunk to be written, if one waits, a connection is there, and its window has room.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Outgoing<P>> {
        let next = self.waiting.front().filter(|_| self.is_connected)?;
        let len = next.len as u64;
        // One chunk may always be under way, however small the window.
        if !self.under_way.is_empty() && self.under_way_len.saturating_add(len) > self.pace.window() {
            return None;
        }
        let chunk = self.waiting.pop_front()?;
        self.waiting_len = self.waiting_len.saturating_sub(len);
        let departure = self.pace.depart(now, self.under_way.is_empty());
        let outgoing = Outgoing { header: self.header(&chunk), body: chunk.body.clone() };
        self.under_way_len = self.under_way_len.saturating_add(len);
        self.under_way.push_back((chunk, departure));
        Some(outgoing)
    }

    /// Takes what the client sent on the present connection: acknowledgements, in the order of the chunks.
    ///
    /// # Errors
    ///
    /// [`NotAnAcknowledgement`] if it is anything else; the caller ends the connection.
    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8]) -> Result<(), NotAnAcknowledgement> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let missing = HEADER_LEN.saturating_sub(self.partial.len());
            let (taken, left) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.partial.extend_from_slice(taken);
            rest = left;
            if self.partial.len() < HEADER_LEN {
                break;
            }
            let (chunk, departure) = self.under_way.front().ok_or(NotAnAcknowledgement)?;
            if self.partial != self.header(chunk) {
                // The acknowledgement of a chunk of 3338 bytes begins with a line end, too: so it is looked at first.
                if !std::mem::take(&mut self.is_fresh) || !self.partial.starts_with(b"\r\n") {
                    return Err(NotAnAcknowledgement);
                }
                self.partial.drain(..2);
                continue;
            }
            self.is_fresh = false;
            self.pace.arrive(now, chunk.len as u64, departure);
            self.under_way_len = self.under_way_len.saturating_sub(chunk.len as u64);
            self.under_way.pop_front();
            self.partial.clear();
            self.waiting_since = now;
        }
        Ok(())
    }

    /// Whether every chunk has been acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Gives up everything that was not acknowledged. The connection, if there is one, must be ended: the peer
    /// may be about to acknowledge what is forgotten now.
    pub fn give_up(&mut self) {
        self.disconnect();
        self.waiting.clear();
        self.waiting_len = 0;
    }

    /// When a peer that does nothing until then is given up; `None` while nothing waits for it.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        (!self.is_settled()).then(|| self.waiting_since.saturating_add(self.limits.patience))
    }

    /// Bytes that may be under way at present.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.pace.window()
    }

    fn held(&self) -> usize {
        self.waiting.len().saturating_add(self.under_way.len())
    }

    fn header(&self, chunk: &Chunk<P>) -> [u8; HEADER_LEN] {
        let total = u16::try_from(chunk.len.saturating_add(HEADER_LEN)).unwrap_or(u16::MAX);
        let ([l0, l1], [n0, n1, n2, n3], [c0, c1]) =
            (total.to_be_bytes(), chunk.number.to_be_bytes(), self.connection.to_be_bytes());
        [l0, l1, n0, n1, n2, n3, c0, c1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    fn sender(window: u64) -> Sender<u32> {
        let limits = TcpLimits {
            min_window: window,
            max_window: window,
            max_chunks: 6,
            max_queued: 3000,
            ..TcpLimits::default()
        };
        Sender::new(limits)
    }

    #[test]
    fn g_a_chunk_tells_its_whole_length() {
        let mut sender = sender(1 << 20);
        sender.connect(NOW);
        assert!(sender.push(NOW, 7, 516));
        let chunk = sender.poll_transmit(NOW).unwrap();
        assert_eq!(chunk, Outgoing { header: [0x02, 0x0C, 0, 0, 0, 0, 0, 1], body: 7 });
        assert!(!sender.push(NOW, 8, MAX_BODY + 1), "longer than a length can tell");
    }

    #[test]
    fn g_acknowledgements_open_the_window() {
        let mut sender = sender(1500);
        sender.connect(NOW);
        for n in 0..4 {
            assert!(sender.push(NOW, n, 1000));
        }
        let first = sender.poll_transmit(NOW).unwrap();
        assert_eq!(sender.poll_transmit(NOW), None, "1000 of 1500 bytes are under way");
        sender.handle_bytes(NOW, &first.header[..3]).unwrap();
        assert_eq!(sender.poll_transmit(NOW), None);
        sender.handle_bytes(NOW, &first.header[3..]).unwrap();
        assert_eq!(sender.poll_transmit(NOW).map(|chunk| chunk.body), Some(1));
    }

    #[test]
    fn g_a_new_connection_gets_what_the_old_one_left_unacknowledged() {
        let mut sender = sender(1 << 20);
        assert!(sender.push(NOW, 0, 10) && sender.push(NOW, 1, 10) && sender.push(NOW, 2, 10));
        assert_eq!(sender.poll_transmit(NOW), None, "nobody is there");
        sender.connect(NOW);
        let sent: Vec<_> = std::iter::from_fn(|| sender.poll_transmit(NOW)).collect();
        sender.handle_bytes(NOW, &sent[0].header).unwrap();
        sender.connect(NOW);
        let again: Vec<_> = std::iter::from_fn(|| sender.poll_transmit(NOW)).collect();
        assert_eq!(again.iter().map(|chunk| chunk.body).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(sender.handle_bytes(NOW, &sent[1].header), Err(NotAnAcknowledgement), "it is the old one's");
        assert!(!sender.is_settled());
    }

    #[test]
    fn e21_what_is_no_acknowledgement_ends_the_connection() {
        let mut sender = sender(1 << 20);
        sender.connect(NOW);
        assert_eq!(sender.handle_bytes(NOW, b"GET / HTTP/1.1"), Err(NotAnAcknowledgement));
        sender.connect(NOW);
        assert!(sender.push(NOW, 0, 10));
        assert_eq!(sender.handle_bytes(NOW, &[0; 8]), Err(NotAnAcknowledgement), "before anything was sent");
    }

    #[test]
    fn g_a_second_line_end_may_follow_the_name() {
        // 3338 bytes with the header, as a line end reads as a number.
        for (len, step) in [(10, 1), (10, 99), (3330, 1), (3330, 99)] {
            for line_end in [&b""[..], b"\r\n"] {
                let mut sender = sender(1 << 20);
                sender.connect(NOW);
                assert!(sender.push(NOW, 0, len) && sender.push(NOW, 1, 10));
                let sent: Vec<_> = std::iter::from_fn(|| sender.poll_transmit(NOW)).collect();
                let bytes = [line_end, &sent[0].header, &sent[1].header].concat();
                for piece in bytes.chunks(step) {
                    sender.handle_bytes(NOW, piece).unwrap();
                }
                assert!(sender.is_settled());
            }
        }
    }

    #[test]
    fn what_a_channel_holds_is_limited() {
        let mut sender = sender(1 << 20);
        assert!(sender.wants_more());
        for n in 0..3 {
            assert!(sender.push(NOW, n, 1000));
        }
        assert!(!sender.wants_more(), "3000 bytes wait");
        for n in 3..6 {
            assert!(sender.push(NOW, n, 1));
        }
        assert!(!sender.push(NOW, 6, 1), "six chunks are held");
        sender.connect(NOW);
        while sender.poll_transmit(NOW).is_some() {}
        assert!(!sender.wants_more() && !sender.push(NOW, 6, 1), "sent is held, too");
    }

    #[test]
    fn a_peer_that_stays_away_is_given_up() {
        let mut sender = sender(1 << 20);
        assert_eq!(sender.deadline(), None);
        assert!(sender.push(NOW, 0, 10));
        let patience = TcpLimits::default().patience;
        assert_eq!(sender.deadline(), Some(NOW + patience));
        let later = NOW + Duration::from_secs(20);
        sender.connect(later);
        assert_eq!(sender.deadline(), Some(later + patience));
        sender.give_up();
        assert!(sender.is_settled() && !sender.is_connected() && sender.deadline().is_none());
    }
}
