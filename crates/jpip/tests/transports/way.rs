//! A way for datagrams that loses, delays, reorders and repeats them.

use std::time::Duration;

use crate::chance::Chance;

/// How bad the way is.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    /// Of a thousand datagrams, so many are lost, come twice, or come late.
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) late: u64,
}

pub(crate) struct Way {
    faults: Faults,
    delay: Duration,
    /// Arrival, order of departure, bytes.
    under_way: Vec<(Duration, u64, Vec<u8>)>,
    departures: u64,
    pub(crate) bytes: usize,
}

impl Way {
    pub(crate) fn new(faults: Faults, delay: Duration) -> Self {
        Self { faults, delay, under_way: Vec::new(), departures: 0, bytes: 0 }
    }

    pub(crate) fn send(&mut self, now: Duration, datagram: &[u8], chance: &mut Chance) {
        self.bytes += datagram.len();
        if chance.permille(self.faults.lost) {
            return;
        }
        let copies = if chance.permille(self.faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = self.delay + Duration::from_micros(chance.below(300));
            if chance.permille(self.faults.late) {
                delay += Duration::from_millis(chance.below(150));
            }
            self.departures += 1;
            self.under_way.push((now + delay, self.departures, datagram.to_vec()));
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.under_way.iter().map(|(at, _, _)| *at).min()
    }

    pub(crate) fn arrive(&mut self, now: Duration) -> Option<Vec<u8>> {
        let due = self.under_way.iter().enumerate().filter(|(_, (at, _, _))| *at <= now);
        let first = due.min_by_key(|(_, (at, order, _))| (*at, *order)).map(|(at, _)| at)?;
        Some(self.under_way.swap_remove(first).2)
    }
}
