//! What a peer sends on an HTTP/2 connection, frame by frame: where header blocks begin and end, and how many frames
//! come that cost it little and us something [RFC 9113 4.1, 10.5].
//!
//! h2 bounds the size and number of headers, empty DATA frames, and streams that are reset before they are accepted.
//! hyper accepts every stream at once, so resets are counted here, and so are the other frames that ask for work.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::opening::PREFACE;

const FRAME_HEAD: usize = 9;

/// Resets that a peer may send at once, and by the second after that.
const RESETS: Allowance = Allowance { at_once: 200, each_second: 50 };

/// The same for settings, pings, priorities, empty data and unknown frames.
const CONTROLS: Allowance = Allowance { at_once: 1000, each_second: 200 };

/// A peer sends what only makes work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Follows one direction of a connection.
pub(super) struct FrameTracker {
    /// Bytes of the preface to come.
    preface: usize,
    head: [u8; FRAME_HEAD],
    head_len: usize,
    payload: usize,
    is_data: bool,
    in_header_block: bool,
    has_requests: bool,
    resets: Bucket,
    controls: Bucket,
}

impl FrameTracker {
    pub(super) fn new() -> Self {
        Self {
            preface: PREFACE.len(),
            head: [0; FRAME_HEAD],
            head_len: 0,
            payload: 0,
            is_data: false,
            in_header_block: false,
            has_requests: false,
            resets: Bucket::of(RESETS),
            controls: Bucket::of(CONTROLS),
        }
    }

    /// Whether the peer owes the rest of a frame or of a header block; the rest of DATA is the handlers' business.
    pub(super) const fn is_owed(&self) -> bool {
        self.in_header_block || self.head_len > 0 || (self.payload > 0 && !self.is_data)
    }

    /// Whether a request has begun.
    pub(super) const fn has_requests(&self) -> bool {
        self.has_requests
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        take(&mut bytes, &mut self.preface);
        while !bytes.is_empty() {
            if self.payload > 0 {
                take(&mut bytes, &mut self.payload);
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = byte;
            }
            self.head_len += 1;
            if self.head_len == FRAME_HEAD {
                self.head_len = 0;
                self.begin_frame()?;
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> Result<(), Flood> {
        const END_STREAM: u8 = 1;
        const END_HEADERS: u8 = 4;
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.is_data = kind == 0;
        match kind {
            0 if self.payload > 0 || flags & END_STREAM != 0 => Ok(()),
            1 => {
                self.has_requests = true;
                self.in_header_block = flags & END_HEADERS == 0;
                Ok(())
            }
            3 => self.resets.take(),
            // WINDOW_UPDATE: as many as there are DATA frames.
            8 => Ok(()),
            9 => {
                self.in_header_block &= flags & END_HEADERS == 0;
                Ok(())
            }
            _ => self.controls.take(),
        }
    }
}

/// Passes over as much of `bytes` as `left` says.
fn take(bytes: &mut &[u8], left: &mut usize) {
    let now = bytes.len().min(*left);
    *left -= now;
    *bytes = bytes.get(now..).unwrap_or_default();
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    at_once: u32,
    each_second: u32,
}

struct Bucket {
    allowance: Allowance,
    left: u32,
    since: Instant,
}

impl Bucket {
    fn of(allowance: Allowance) -> Self {
        Self { allowance, left: allowance.at_once, since: Instant::now() }
    }

    fn take(&mut self) -> Result<(), Flood> {
        let Some(left) = self.left.checked_sub(1) else {
            let seconds = u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX);
            let more = seconds.saturating_mul(self.allowance.each_second).min(self.allowance.at_once);
            self.left = more.checked_sub(1).ok_or(Flood)?;
            self.since += Duration::from_secs(u64::from(seconds));
            return Ok(());
        };
        self.left = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn begun() -> FrameTracker {
        let mut tracker = FrameTracker::new();
        tracker.feed(PREFACE).unwrap();
        tracker
    }

    #[test]
    fn header_blocks_are_followed_however_they_are_cut() {
        let all = [frame(4, 0, &[]), frame(1, 1, b"abc"), frame(9, 0, b"de"), frame(9, 4, b"")].concat();
        for size in [1, 2, 5, 9, 13, 1000] {
            let mut tracker = begun();
            assert!(!tracker.is_owed());
            let mut owed = 0;
            for bytes in all.chunks(size) {
                tracker.feed(bytes).unwrap();
                owed += usize::from(tracker.is_owed());
            }
            assert!(!tracker.is_owed() && tracker.has_requests(), "in pieces of {size}");
            assert!(owed > 0 || size > all.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn e17_floods_are_noticed_and_quiet_peers_are_not() {
        for (kind, most) in [(3, 200), (6, 1000), (4, 1000), (2, 1000), (77, 1000), (0, 1000)] {
            let mut tracker = begun();
            for _ in 0..most {
                tracker.feed(&frame(kind, 0, &[])).unwrap();
            }
            assert_eq!(tracker.feed(&frame(kind, 0, &[])), Err(Flood), "{kind}");
            tokio::time::advance(Duration::from_secs(2)).await;
            for _ in 0..100 {
                tracker.feed(&frame(kind, 0, &[])).unwrap();
            }
        }
        let mut tracker = begun();
        for _ in 0..100_000 {
            tracker.feed(&frame(8, 0, &[0, 0, 0, 1])).unwrap();
            tracker.feed(&frame(0, 0, b"x")).unwrap();
        }
    }
}
