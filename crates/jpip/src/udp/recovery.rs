//! When a datagram counts as lost, how many may be under way, and how far apart they leave.
//!
//! The rules are those of [RFC 9002]: a datagram is lost once one that left well after it was acknowledged, or
//! enough time has passed since; losses halve the window once a round trip; when nothing comes back at all, single
//! datagrams ask on, ever more rarely.

use std::time::Duration;

/// Delay, window and pace of one path.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    delay: Option<Delay>,
    /// Bytes that may be under way.
    window: u64,
    /// Window at which growth becomes slow.
    threshold: u64,
    max_window: u64,
    /// Losses of datagrams that left before this were answered already.
    recovering_since: Option<Duration>,
    /// Times in a row that nothing came back.
    silent: u32,
    /// When the next datagram would leave if all left evenly.
    even: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Delay {
    smoothed: Duration,
    variation: Duration,
    latest: Duration,
}

impl Recovery {
    pub(super) const fn new(max_window: u64) -> Self {
        Self {
            delay: None,
            window: FIRST_WINDOW,
            threshold: u64::MAX,
            max_window,
            recovering_since: None,
            silent: 0,
            even: Duration::ZERO,
        }
    }

    /// Bytes that may be under way.
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// How long after its departure a datagram is lost, if one that left later has been acknowledged.
    pub(super) fn loss_delay(&self) -> Duration {
        let delay = self.delay.map_or(FIRST_DELAY, |delay| delay.smoothed.max(delay.latest));
        (delay + delay / 8).max(GRANULARITY)
    }

    /// How long after the last departure single datagrams ask whether anybody is there.
    pub(super) fn silence(&self) -> Duration {
        let base = match self.delay {
            Some(delay) => delay.smoothed + (delay.variation * 4).max(GRANULARITY),
            None => FIRST_DELAY * 2,
        };
        base.saturating_mul(1 << self.silent.min(10)).min(MAX_SILENCE)
    }

    /// A datagram of `len` bytes leaves.
    pub(super) fn depart(&mut self, now: Duration, len: u64) {
        let earliest = now.saturating_sub(self.interval(BURST * MAX_LEN));
        self.even = self.even.max(earliest).saturating_add(self.interval(len));
    }

    /// When the next datagram may leave, the window apart.
    pub(super) const fn next_departure(&self) -> Duration {
        self.even
    }

    /// A datagram of `len` bytes that left at `departed` was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Duration, departed: Duration, len: u64, is_latest: bool) {
        self.silent = 0;
        if is_latest {
            self.measure(now.saturating_sub(departed));
        }
        if self.recovering_since.is_some_and(|since| departed <= since) {
            return;
        }
        let growth = if self.window < self.threshold { len } else { len.saturating_mul(MAX_LEN) / self.window.max(1) };
        self.window = self.window.saturating_add(growth).min(self.max_window);
    }

    /// A datagram that left at `departed` was lost.
    pub(super) fn lost(&mut self, now: Duration, departed: Duration) {
        if self.recovering_since.is_some_and(|since| departed <= since) {
            return;
        }
        self.recovering_since = Some(now);
        self.window = (self.window / 2).max(MIN_WINDOW);
        self.threshold = self.window;
    }

    /// Nothing came back for [`Recovery::silence`].
    pub(super) const fn nothing_came(&mut self) {
        self.silent = self.silent.saturating_add(1);
        if self.silent >= PERSISTENT {
            self.window = MIN_WINDOW;
        }
    }

    fn measure(&mut self, sample: Duration) {
        self.delay = Some(match self.delay {
            None => Delay { smoothed: sample, variation: sample / 2, latest: sample },
            Some(delay) => Delay {
                variation: delay.variation * 3 / 4 + delay.smoothed.abs_diff(sample) / 4,
                smoothed: delay.smoothed * 7 / 8 + sample / 8,
                latest: sample,
            },
        });
    }

    /// How long `len` bytes take when a window is spread over four fifths of a round trip.
    fn interval(&self, len: u64) -> Duration {
        let Some(delay) = self.delay else { return Duration::ZERO };
        let micros =
            delay.smoothed.as_micros().saturating_mul(u128::from(len)) * 4 / 5 / u128::from(self.window.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// What a datagram takes at most, in bytes.
const MAX_LEN: u64 = super::MAX_DATAGRAM as u64;

const FIRST_WINDOW: u64 = 10 * MAX_LEN;
const MIN_WINDOW: u64 = 2 * MAX_LEN;

/// Datagrams that may leave at once.
const BURST: u64 = 10;

/// What a round trip is taken for before one was measured.
const FIRST_DELAY: Duration = Duration::from_millis(200);

const GRANULARITY: Duration = Duration::from_millis(1);

/// Nothing is asked more rarely than this, in the time that a peer is waited for.
const MAX_SILENCE: Duration = Duration::from_secs(3);

/// Silences in a row after which the path is taken to hold next to nothing.
const PERSISTENT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn losses_of_one_round_trip_halve_the_window_once() {
        let mut recovery = Recovery::new(1 << 20);
        for n in 0..100 {
            recovery.acknowledged(ms(100 + n), ms(n), 1400, true);
        }
        let before = recovery.window();
        assert!(before > 100_000);
        recovery.lost(ms(300), ms(150));
        recovery.lost(ms(310), ms(160));
        assert_eq!(recovery.window(), before / 2);
        recovery.acknowledged(ms(320), ms(200), 1400, true);
        assert_eq!(recovery.window(), before / 2, "it left before the loss was known");
        recovery.lost(ms(500), ms(400));
        assert_eq!(recovery.window(), before / 4);
        for _ in 0..50 {
            recovery.nothing_came();
        }
        assert_eq!(recovery.window(), MIN_WINDOW);
        assert!(recovery.silence() <= MAX_SILENCE);
    }

    #[test]
    fn datagrams_leave_evenly_once_the_delay_is_known() {
        let mut recovery = Recovery::new(1 << 20);
        recovery.acknowledged(ms(100), ms(0), 1400, true);
        let mut now = ms(1000);
        let mut departures = Vec::new();
        for _ in 0..110 {
            now = now.max(recovery.next_departure());
            recovery.depart(now, 1400);
            departures.push(now);
        }
        assert_eq!(departures[5], ms(1000), "a few at once");
        let spread = departures[109] - departures[10];
        let even = ms(100) * 4 / 5 * 99 * 1400 / u32::try_from(recovery.window()).unwrap();
        assert!(spread + ms(20) > even && spread < even + ms(20), "{spread:?} {even:?}");
    }
}
