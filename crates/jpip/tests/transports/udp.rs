//! http-udp [15444-9 K] over a bad way: 0, 1, 5 and 20 % loss, with reordering and duplication.

use std::collections::VecDeque;
use std::time::Duration;

use jpip::client::{DataBinStore, StoreLimits};
use jpip::udp::{Body, FORM, NewChunk, Receiver, ReceiverLimits, Sender, UdpLimits};
use jpip::{BinKey, CacheModel, CodestreamId};

use crate::chance::Chance;
use crate::responses::{Bytes, check_same, chunks, read_into, response, store_of};
use crate::way::{Faults, Way};

const CLIENT: u32 = 7;

/// Two ends and the ways between them.
struct Pair {
    now: Duration,
    chance: Chance,
    server: Sender<u32, Bytes>,
    client: Receiver,
    up: Way,
    down: Way,
    store: DataBinStore,
    datagrams: u32,
    most_under_way: u64,
}

impl Pair {
    fn new(seed: u64, faults: Faults) -> Self {
        let delay = Duration::from_millis(20);
        Self {
            now: Duration::from_secs(1),
            chance: Chance::new(seed),
            server: Sender::new(UdpLimits::default()),
            client: Receiver::new("n1.ab", ReceiverLimits::default()),
            up: Way::new(faults, delay),
            down: Way::new(faults, delay),
            store: DataBinStore::new(StoreLimits::default()),
            datagrams: 0,
            most_under_way: 0,
        }
    }

    /// Carries what can be carried now, and moves the clock to when something happens next.
    fn step(&mut self) {
        while let Some(bytes) = self.up.arrive(self.now) {
            let secret = self.chance.secret();
            self.server.handle_datagram(self.now, CLIENT, &bytes, secret);
        }
        self.server.handle_timeout(self.now);
        while let Some(transmit) = self.server.poll_transmit(self.now) {
            assert_eq!(transmit.to, CLIENT);
            let datagram = match transmit.body {
                Body::Probe(bytes) => bytes.to_vec(),
                Body::Chunk(header, body) => [&header[..], &body].concat(),
            };
            assert!(datagram.len() <= 1400);
            self.datagrams += 1;
            self.down.send(self.now, &datagram, &mut self.chance);
        }
        self.most_under_way = self.most_under_way.max(self.server.window().0);
        while let Some(bytes) = self.down.arrive(self.now) {
            if let Some(arrival) = self.client.handle_datagram(&bytes) {
                read_into(&mut self.store, arrival.messages);
            }
        }
        while let Some(bytes) = self.client.poll_transmit(self.now) {
            self.up.send(self.now, &bytes, &mut self.chance);
        }
        let next =
            [self.up.next_arrival(), self.down.next_arrival(), self.server.poll_timeout(), self.client.poll_timeout()];
        // Something always happens within a tick, so that a state machine that forgets its timer is found out.
        let next = next.into_iter().flatten().min().unwrap_or(self.now);
        self.now = next.max(self.now + Duration::from_micros(10));
    }

    /// Carries chunks until the server knows that each was taken or given up.
    fn carry(&mut self, qid: u64, chunks: impl IntoIterator<Item = NewChunk<Bytes>>) {
        let mut chunks: VecDeque<_> = chunks.into_iter().collect();
        self.server.begin(self.now, Some(qid));
        let mut steps = 0;
        while !chunks.is_empty() || !self.server.is_settled() {
            while self.server.wants_more()
                && let Some(chunk) = chunks.pop_front()
            {
                assert!(self.server.push(self.now, chunk));
            }
            self.step();
            assert!(!self.server.has_failed(), "at {:?}", self.now);
            steps += 1;
            assert!(steps < 400_000, "no progress");
        }
    }
}

fn check(lost: u64, twice: u64, late: u64) {
    for seed in 0..8 {
        let mut pair = Pair::new(seed, Faults { lost, twice, late });
        let first = response(0, 60, &mut pair.chance);
        let second = response(60, 30, &mut pair.chance);
        let mut sent = 0;
        for (qid, response) in [(3, &first), (3, &second)] {
            let chunks = chunks(response, FORM);
            sent += chunks.len() as u32;
            pair.carry(qid, chunks);
            assert!(pair.client.is_whole(qid) && pair.client.missing(qid).is_empty());
        }
        check_same(&pair.store, &store_of([first.as_slice(), second.as_slice()]));
        let again = pair.datagrams - sent;
        assert!(
            u64::from(again) <= 20 + u64::from(sent) * (lost * 4 + late * 2 + 20) / 1000,
            "{again} of {sent} came again"
        );
        assert!(pair.most_under_way < 2 << 20);
    }
}

#[test]
fn k_a_good_way() {
    check(0, 0, 0);
}

#[test]
fn k_one_percent_is_lost() {
    check(10, 0, 0);
}

#[test]
fn k_five_percent_is_lost() {
    check(50, 20, 20);
}

#[test]
fn k_twenty_percent_is_lost() {
    check(200, 50, 50);
}

#[test]
fn k_everything_comes_twice_and_out_of_order() {
    check(0, 1000, 300);
}

#[test]
fn k_what_the_client_abandons_is_not_held() {
    let mut pair = Pair::new(5, Faults { lost: 0, twice: 0, late: 0 });
    let response = response(0, 20, &mut pair.chance);
    // The client never takes the third of these chunks.
    let mut chunks = chunks(&response, FORM);
    let (key, offset) = chunks[2].carries[0];
    let missing = chunks.remove(2);
    pair.server.begin(pair.now, Some(4));
    let mut model = CacheModel::new(&jpip::Limits::default());
    let mut lost = Vec::new();
    for (n, chunk) in chunks.into_iter().enumerate() {
        if n == 2 {
            assert!(pair.server.push(pair.now, missing.clone()));
            pair.server.abandon(4, 2..=2);
            lost = pair.server.abandoned().unwrap().to_vec();
        }
        assert!(pair.server.push(pair.now, chunk));
    }
    while !pair.server.is_settled() {
        pair.step();
    }
    assert_eq!(pair.client.missing(4), [2..=2]);
    // As the server does it: what was sent counts as held, then what was given up does not.
    for (id, bin) in store_of([response.as_slice()]).bins_of(CodestreamId(1), jpip::DataBinClass::Precinct) {
        model.record(&BinKey::precinct(CodestreamId(1), id), bin.prefix().len() as u64, true);
    }
    assert_eq!(lost[0], (key, offset));
    for (key, offset) in lost {
        model.forget_from(&key, offset);
        let held = model.held(&key).resolve(1 << 20, |_| 0);
        let has = pair.store.bin(&key).map_or(0, |bin| bin.prefix().len() as u64);
        assert!(held.0 <= has && !held.1, "never more than the client has: {held:?}, {has}");
    }
}

#[test]
fn e22_whoever_spoofs_an_address_has_nothing_sent_there() {
    let mut chance = Chance::new(1);
    let mut server: Sender<u32, Bytes> = Sender::new(UdpLimits::default());
    let now = Duration::from_secs(1);
    server.begin(now, Some(1));
    for chunk in chunks(&response(0, 9, &mut chance), FORM) {
        assert!(server.push(now, chunk));
    }
    let (mut received, mut sent) = (0, 0);
    for _ in 0..10_000 {
        // Hellos, guessed secrets, acknowledgements of everything.
        let datagram = match chance.below(3) {
            0 => b"n1.ab".to_vec(),
            1 => [&[0x80, 0, 0, 0, 0, 0, 0, 0][..], &chance.secret()].concat(),
            _ => [0, 1, 0, 1, 0, 0, chance.below(9) as u8, 0].to_vec(),
        };
        received += datagram.len();
        let secret = chance.secret();
        server.handle_datagram(now, 66, &datagram, secret);
        while let Some(transmit) = server.poll_transmit(now) {
            let Body::Probe(bytes) = transmit.body else { panic!("a chunk to an address that proved nothing") };
            sent += bytes.len();
        }
    }
    assert!(sent <= 3 * received, "{sent} for {received}");
}
