//! How much may be under way before an acknowledgement is waited for.

use std::time::Duration;

/// Estimates the rate and the delay of a connection from its acknowledgements, and from them the window: what
/// keeps the connection busy, and little more, so that a newer request finds little in its way.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bytes acknowledged so far.
    delivered: u64,
    /// When the last of them was.
    delivered_at: Duration,
    /// Bytes a second.
    rate: u64,
    least_delay: Option<Duration>,
    min_window: u64,
    max_window: u64,
}

/// What is noted of a chunk when it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    at: Duration,
    delivered: u64,
    delivered_at: Duration,
}

impl Pace {
    pub(super) const fn new(min_window: u64, max_window: u64) -> Self {
        Self { delivered: 0, delivered_at: Duration::ZERO, rate: 0, least_delay: None, min_window, max_window }
    }

    /// A chunk leaves; `is_first` says that nothing else is under way.
    pub(super) fn depart(&mut self, now: Duration, is_first: bool) -> Departure {
        if is_first {
            self.delivered_at = now;
        }
        Departure { at: now, delivered: self.delivered, delivered_at: self.delivered_at }
    }

    /// A chunk of `len` bytes has arrived.
    pub(super) fn arrive(&mut self, now: Duration, len: u64, departure: &Departure) {
        self.delivered = self.delivered.saturating_add(len);
        self.delivered_at = now;
        let delay = now.saturating_sub(departure.at);
        self.least_delay = Some(self.least_delay.map_or(delay, |least| least.min(delay)));
        let took = now.saturating_sub(departure.delivered_at).as_micros().max(1);
        let bytes = u128::from(self.delivered.saturating_sub(departure.delivered));
        let sample = u64::try_from(bytes.saturating_mul(1_000_000) / took).unwrap_or(u64::MAX);
        // Up at once, down slowly: a sample is low whenever there was too little to send.
        self.rate = if sample > self.rate { sample } else { self.rate - self.rate / 16 + sample / 16 };
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        let Some(delay) = self.least_delay else { return self.min_window };
        let product = u128::from(self.rate).saturating_mul(delay.as_micros()) / 1_000_000;
        let window = u64::try_from(product.saturating_mul(2)).unwrap_or(u64::MAX);
        window.clamp(self.min_window, self.max_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after a second on a connection of so many bytes a second with this delay.
    fn window_of(rate: u64, delay_ms: u64) -> u64 {
        let chunk = 16_384u64;
        let mut pace = Pace::new(64 << 10, 4 << 20);
        let (mut now, mut link_free) = (Duration::ZERO, Duration::ZERO);
        let mut under_way = std::collections::VecDeque::new();
        while now < Duration::from_secs(3) {
            while (under_way.len() as u64 + 1) * chunk <= pace.window() {
                let departure = pace.depart(now, under_way.is_empty());
                link_free = link_free.max(now) + Duration::from_micros(chunk * 1_000_000 / rate);
                under_way.push_back((link_free + Duration::from_millis(delay_ms), departure));
            }
            let (arrives, departure) = under_way.pop_front().unwrap();
            now = arrives;
            pace.arrive(now, chunk, &departure);
        }
        pace.window()
    }

    #[test]
    fn the_window_grows_to_what_the_connection_holds_and_not_far_beyond() {
        let long_and_fast = window_of(10_000_000, 100);
        assert!((1_000_000..=4 << 20).contains(&long_and_fast), "{long_and_fast}");
        let slow = window_of(100_000, 20);
        assert!(slow <= 128 << 10, "{slow}");
    }
}
