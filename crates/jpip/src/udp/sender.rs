//! The server half of one http-udp channel: chunks out, acknowledgements in, what was lost again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use smallvec::SmallVec;

use super::MAX_BODY;
use super::datagram::{self, ChunkHeader, FromClient, HEADER_LEN, MAX_NUMBER, PROBE_LEN, RESPONSES, SECRET_LEN};
use super::path::Path;
use super::recovery::Recovery;
use crate::data_bin::BinKey;

/// Bounds of one http-udp channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpLimits {
    /// Chunks that are held at a time, sent or not.
    pub max_chunks: usize,
    /// Chunks that wait to be sent for the first time, above which no more are taken.
    pub max_fresh: usize,
    /// Bytes that may be under way.
    pub max_window: u64,
    /// How many times a chunk is sent again.
    pub max_repeats: u8,
    /// Data-bins of one response that are remembered as given up by the client.
    pub max_abandoned: usize,
    /// How long a peer may acknowledge nothing while something waits for it.
    pub patience: Duration,
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self {
            max_chunks: 4096,
            max_fresh: 48,
            max_window: 2 << 20,
            max_repeats: 200,
            max_abandoned: 65_536,
            patience: Duration::from_secs(30),
        }
    }
}

/// A chunk to be sent. `P` is a handle on the bytes of its body.
#[derive(Debug, Clone)]
pub struct NewChunk<P> {
    /// The handle.
    pub body: P,
    /// Length of the body in bytes.
    pub len: usize,
    /// Whether the response ends with it.
    pub is_last: bool,
    /// The data-bins that it carries bytes of, and the first offset in each.
    pub carries: Vec<(BinKey, u64)>,
}

/// A datagram to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit<A, P> {
    /// Where to.
    pub to: A,
    /// What.
    pub body: Body<P>,
}

/// What a datagram holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<P> {
    /// These bytes alone.
    Probe([u8; PROBE_LEN]),
    /// A header and the messages of a chunk.
    Chunk([u8; HEADER_LEN], P),
}

/// The chunks of one channel on their way to the client.
#[derive(Debug, Clone)]
pub struct Sender<A, P> {
    limits: UdpLimits,
    path: Path<A>,
    recovery: Recovery,
    response: u16,
    request: u16,
    next_number: u32,
    /// Every chunk that is neither acknowledged nor given up.
    held: BTreeMap<Key, Held<P>>,
    /// Chunks to be sent for the first time, and again; some of them may not be held any more.
    fresh: VecDeque<Key>,
    again: VecDeque<Key>,
    /// Datagrams that are neither acknowledged nor lost, by the order in which they left.
    under_way: BTreeMap<u64, Datagram>,
    under_way_len: u64,
    next_order: u64,
    latest_acknowledged: Option<u64>,
    last_departure: Duration,
    /// Datagrams that may leave although the window is full, to find out whether anybody is there.
    questions: u8,
    abandoned: Vec<(BinKey, u64)>,
    has_lost_count: bool,
    has_failed: bool,
    waiting_since: Duration,
}

/// Response and number.
type Key = (u16, u32);

#[derive(Debug, Clone)]
struct Held<P> {
    request: u16,
    chunk: NewChunk<P>,
    /// Times that it was sent.
    sent: u8,
    is_queued: bool,
    /// The datagrams under way that carry it.
    orders: SmallVec<[u64; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Datagram {
    key: Key,
    repeat: u8,
    len: u64,
    departed: Duration,
}

impl<A: Copy + Eq, P: Clone> Sender<A, P> {
    /// A channel that knows no address and has nothing to send.
    #[must_use]
    pub const fn new(limits: UdpLimits) -> Self {
        Self {
            limits,
            path: Path::new(),
            recovery: Recovery::new(limits.max_window),
            response: 0,
            request: 0,
            next_number: 0,
            held: BTreeMap::new(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            under_way: BTreeMap::new(),
            under_way_len: 0,
            next_order: 0,
            latest_acknowledged: None,
            last_departure: Duration::ZERO,
            questions: 0,
            abandoned: Vec::new(),
            has_lost_count: false,
            has_failed: false,
            waiting_since: Duration::ZERO,
        }
    }

    /// The chunks that follow answer the request with this `qid`.
    pub fn begin(&mut self, now: Duration, qid: Option<u64>) {
        self.response = (self.response + 1) % RESPONSES;
        self.request = request_of(qid.unwrap_or(0));
        self.next_number = 0;
        self.abandoned.clear();
        self.has_lost_count = false;
        self.has_failed = false;
        self.waiting_since = now;
    }

    /// The address that is to prove itself and the one that has, for whoever receives the channel's datagrams.
    #[must_use]
    pub fn addresses(&self) -> (Option<A>, Option<A>) {
        (self.path.candidate(), self.path.proved())
    }

    /// Chunks are wanted at `address`, from which `received` bytes came by another way than a datagram; `secret`
    /// is random.
    pub fn invite(&mut self, address: A, received: usize, secret: [u8; SECRET_LEN]) {
        self.path.hello(address, received, secret);
    }

    /// Whether the next chunks should be made now: too little waits to be sent.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.fresh.len() < self.limits.max_fresh && self.held.len() < self.limits.max_chunks
    }

    /// Adds a chunk. False, and nothing is added, if the limits, its length or its number forbid it.
    pub fn push(&mut self, now: Duration, chunk: NewChunk<P>) -> bool {
        if chunk.len > MAX_BODY || self.held.len() >= self.limits.max_chunks || self.next_number > MAX_NUMBER {
            return false;
        }
        if self.is_settled() {
            self.waiting_since = now;
        }
        let key = (self.response, self.next_number);
        self.next_number += 1;
        let held = Held { request: self.request, chunk, sent: 0, is_queued: true, orders: SmallVec::new() };
        self.held.insert(key, held);
        self.fresh.push_back(key);
        true
    }

    /// Takes a datagram from `from`; `secret` is random, and needed if the address is new.
    pub fn handle_datagram(&mut self, now: Duration, from: A, bytes: &[u8], secret: [u8; SECRET_LEN]) {
        match FromClient::decode(bytes) {
            Some(FromClient::Hello(_)) => self.path.hello(from, bytes.len(), secret),
            Some(FromClient::Answer(answer)) => self.prove(now, from, answer),
            Some(FromClient::Acknowledgements(headers)) if self.path.proved() == Some(from) => {
                for header in datagram::acknowledgements(headers) {
                    self.acknowledge(now, &header);
                }
                self.find_losses(now);
            }
            _ => {}
        }
    }

    /// The next datagram to be sent, if one may leave now.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Transmit<A, P>> {
        if let Some((to, probe)) = self.path.poll_probe() {
            return Some(Transmit { to, body: Body::Probe(probe) });
        }
        let to = self.path.proved()?;
        let key = self.next_key()?;
        let is_question = self.questions > 0;
        let len = self.held.get(&key)?.chunk.len.saturating_add(HEADER_LEN) as u64;
        if !is_question && (!self.has_room(len) || self.recovery.next_departure() > now) {
            return None;
        }
        if self.again.pop_front().is_none() {
            self.fresh.pop_front();
        }
        let held = self.held.get_mut(&key)?;
        if held.sent > self.limits.max_repeats {
            self.has_failed = true;
            return None;
        }
        let header = held.header(key);
        (held.sent, held.is_queued) = (held.sent.saturating_add(1), false);
        held.orders.push(self.next_order);
        let body = Body::Chunk(header.encode(), held.chunk.body.clone());
        self.under_way.insert(self.next_order, Datagram { key, repeat: header.repeat, len, departed: now });
        self.under_way_len = self.under_way_len.saturating_add(len);
        self.next_order += 1;
        self.last_departure = now;
        self.questions = self.questions.saturating_sub(1);
        self.recovery.depart(now, len);
        Some(Transmit { to, body })
    }

    /// When [`Sender::handle_timeout`] or [`Sender::poll_transmit`] should be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.is_settled() {
            return None;
        }
        let mut next = self.waiting_since.saturating_add(self.limits.patience);
        if self.path.proved().is_none() {
            return Some(next);
        }
        let is_queued = !self.again.is_empty() || !self.fresh.is_empty();
        if is_queued && self.has_room(super::MAX_DATAGRAM as u64) {
            next = next.min(self.recovery.next_departure());
        }
        if let Some(first) = self.first_doubtful() {
            next = next.min(first.saturating_add(self.recovery.loss_delay()));
        }
        if !self.under_way.is_empty() {
            next = next.min(self.last_departure.saturating_add(self.recovery.silence()));
        }
        Some(next)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.is_settled() {
            return;
        }
        if now >= self.waiting_since.saturating_add(self.limits.patience) {
            self.has_failed = true;
        }
        self.find_losses(now);
        if !self.under_way.is_empty() && now >= self.last_departure.saturating_add(self.recovery.silence()) {
            self.recovery.nothing_came();
            self.last_departure = now;
            let oldest: SmallVec<[Key; QUESTIONS]> =
                self.under_way.values().map(|datagram| datagram.key).take(QUESTIONS).collect();
            for key in oldest.into_iter().rev() {
                if self.queue(key) {
                    self.again.push_front(key);
                }
            }
            // Whatever waits may ask: what fills the window may all be lost without a later one to tell.
            self.questions = QUESTIONS_AT_A_TIME;
        }
    }

    /// The client gives up these chunks of the answer to the request with this `qid`: they are not sent again.
    pub fn abandon(&mut self, qid: u64, numbers: RangeInclusive<u32>) {
        let request = request_of(qid);
        let given_up: Vec<Key> = self
            .held
            .iter()
            .filter(|((_, number), held)| held.request == request && numbers.contains(number))
            .map(|(key, _)| *key)
            .collect();
        for key in given_up {
            let Some(held) = self.release(key) else { continue };
            if self.abandoned.len().saturating_add(held.chunk.carries.len()) > self.limits.max_abandoned {
                self.has_lost_count = true;
                continue;
            }
            self.abandoned.extend(held.chunk.carries);
        }
    }

    /// What the client gave up of the response at hand: data-bins and the offset from which on they are not
    /// held. `None` if it is more than the limits allow, so that nothing is known of the response.
    #[must_use]
    pub fn abandoned(&self) -> Option<&[(BinKey, u64)]> {
        (!self.has_lost_count).then_some(&self.abandoned)
    }

    /// Whether every chunk has been acknowledged or given up by the client.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether the client is not there any more: what is left will never be acknowledged.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Gives up everything that was not acknowledged.
    pub fn give_up(&mut self) {
        self.held.clear();
        self.fresh.clear();
        self.again.clear();
        self.under_way.clear();
        self.under_way_len = 0;
    }

    /// Bytes that are under way, and that may be.
    #[must_use]
    pub const fn window(&self) -> (u64, u64) {
        (self.under_way_len, self.recovery.window())
    }

    /// The next chunk to be sent; passes over what need not be any more.
    fn next_key(&mut self) -> Option<Key> {
        for queue in [&mut self.again, &mut self.fresh] {
            while let Some(key) = queue.front() {
                if self.held.get(key).is_some_and(|held| held.is_queued) {
                    return Some(*key);
                }
                queue.pop_front();
            }
        }
        None
    }

    const fn has_room(&self, len: u64) -> bool {
        self.under_way_len.saturating_add(len) <= self.recovery.window()
    }

    fn acknowledge(&mut self, now: Duration, header: &ChunkHeader) {
        let key = (header.response, header.number);
        let is_sent = |held: &Held<P>| {
            held.request == header.request && held.chunk.is_last == header.is_last && header.repeat < held.sent
        };
        if !self.held.get(&key).is_some_and(is_sent) {
            return;
        }
        let orders = self.held.get(&key).map(|held| held.orders.clone()).unwrap_or_default();
        for order in orders {
            let Some(datagram) = self.under_way.get(&order).filter(|datagram| datagram.repeat == header.repeat) else {
                continue;
            };
            let is_latest = self.latest_acknowledged.is_none_or(|latest| latest < order);
            if is_latest {
                self.latest_acknowledged = Some(order);
            }
            self.recovery.acknowledged(now, datagram.departed, datagram.len, is_latest);
        }
        self.release(key);
        self.waiting_since = now;
    }

    /// Lets go of a chunk and of its datagrams.
    fn release(&mut self, key: Key) -> Option<Held<P>> {
        let held = self.held.remove(&key)?;
        for order in &held.orders {
            if let Some(datagram) = self.under_way.remove(order) {
                self.under_way_len = self.under_way_len.saturating_sub(datagram.len);
            }
        }
        Some(held)
    }

    /// When the first datagram left that is not acknowledged although a later one is.
    fn first_doubtful(&self) -> Option<Duration> {
        let latest = self.latest_acknowledged?;
        self.under_way.range(..latest).next().map(|(_, datagram)| datagram.departed)
    }

    fn find_losses(&mut self, now: Duration) {
        let Some(latest) = self.latest_acknowledged else { return };
        let delay = self.recovery.loss_delay();
        let is_lost = |order: u64, datagram: &Datagram| {
            order.saturating_add(REORDERED) <= latest || datagram.departed.saturating_add(delay) <= now
        };
        let lost: Vec<u64> = self
            .under_way
            .range(..latest)
            .filter(|(order, datagram)| is_lost(**order, datagram))
            .map(|(order, _)| *order)
            .collect();
        for order in lost {
            let Some(datagram) = self.under_way.remove(&order) else { continue };
            self.under_way_len = self.under_way_len.saturating_sub(datagram.len);
            self.recovery.lost(now, datagram.departed);
            if let Some(held) = self.held.get_mut(&datagram.key) {
                held.orders.retain(|known| *known != order);
            }
            if self.queue(datagram.key) {
                self.again.push_back(datagram.key);
            }
        }
    }

    /// Marks a chunk as waiting to be sent again; false if it is or need not be.
    fn queue(&mut self, key: Key) -> bool {
        match self.held.get_mut(&key) {
            Some(held) if !held.is_queued => {
                held.is_queued = true;
                true
            }
            _ => false,
        }
    }

    /// If the answer is right, chunks go to this address now: nothing is known of the way there, and nothing is under
    /// way.
    fn prove(&mut self, now: Duration, from: A, answer: [u8; SECRET_LEN]) {
        if !self.path.answer(from, answer) {
            return;
        }
        self.recovery = Recovery::new(self.limits.max_window);
        self.waiting_since = now;
        self.under_way.clear();
        self.under_way_len = 0;
        self.latest_acknowledged = None;
        self.again.clear();
        for (key, held) in &mut self.held {
            if held.sent > 0 {
                held.orders.clear();
                held.is_queued = true;
                self.again.push_back(*key);
            }
        }
    }
}

impl<P> Held<P> {
    const fn header(&self, (response, number): Key) -> ChunkHeader {
        ChunkHeader { is_last: self.chunk.is_last, response, request: self.request, number, repeat: self.sent }
    }
}

/// How chunks name a request.
const fn request_of(qid: u64) -> u16 {
    let [.., high, low] = qid.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// A datagram is lost when one was acknowledged that left so many places later.
const REORDERED: u64 = 3;

/// Datagrams sent when nothing comes back.
const QUESTIONS: usize = 2;
const QUESTIONS_AT_A_TIME: u8 = 2;

#[cfg(test)]
mod tests;
