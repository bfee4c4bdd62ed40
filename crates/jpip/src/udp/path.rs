//! Where the datagrams of a channel go, and what may be sent to an address that has proved nothing.

use super::datagram::{PROBE_LEN, SECRET_LEN, encode_probe};

/// The address that chunks go to, and the one that wants them.
///
/// Whoever can write a source address into a datagram could have others flooded. So an address gets nothing but
/// a probe, of fewer bytes than three times what came from it, until it has sent the probe's secret back, which
/// only somebody who receives there can know.
#[derive(Debug, Clone)]
pub(super) struct Path<A> {
    proved: Option<A>,
    candidate: Option<Candidate<A>>,
}

#[derive(Debug, Clone)]
struct Candidate<A> {
    address: A,
    secret: [u8; SECRET_LEN],
    /// Bytes that came from there, and went there.
    received: usize,
    sent: usize,
    is_due: bool,
}

impl<A: Copy + Eq> Path<A> {
    pub(super) const fn new() -> Self {
        Self { proved: None, candidate: None }
    }

    /// The address that chunks go to.
    pub(super) const fn proved(&self) -> Option<A> {
        self.proved
    }

    /// The address that is being asked.
    pub(super) fn candidate(&self) -> Option<A> {
        self.candidate.as_ref().map(|candidate| candidate.address)
    }

    /// `received` bytes came from `address` with the channel's name. Only the latest such address is kept.
    pub(super) fn hello(&mut self, address: A, received: usize, secret: [u8; SECRET_LEN]) {
        if self.proved == Some(address) {
            return;
        }
        match &mut self.candidate {
            Some(candidate) if candidate.address == address => {
                candidate.received = candidate.received.saturating_add(received);
                candidate.is_due = true;
            }
            _ => self.candidate = Some(Candidate { address, secret, received, sent: 0, is_due: true }),
        }
    }

    /// The next probe, if one is due and its address may get it.
    pub(super) fn poll_probe(&mut self) -> Option<(A, [u8; PROBE_LEN])> {
        let candidate = self.candidate.as_mut().filter(|candidate| candidate.is_due)?;
        candidate.is_due = false;
        let sent = candidate.sent.saturating_add(PROBE_LEN);
        if sent > candidate.received.saturating_mul(MAX_AMPLIFICATION) {
            return None;
        }
        candidate.sent = sent;
        Some((candidate.address, encode_probe(candidate.secret)))
    }

    /// A secret came back; whether `address` is the one that chunks go to from now on, and was not before.
    pub(super) fn answer(&mut self, address: A, secret: [u8; SECRET_LEN]) -> bool {
        let is_right = |candidate: &Candidate<A>| candidate.address == address && candidate.secret == secret;
        if !self.candidate.as_ref().is_some_and(is_right) {
            return false;
        }
        self.candidate = None;
        self.proved = Some(address);
        true
    }
}

/// Bytes that may be sent to an address for each that came from it.
const MAX_AMPLIFICATION: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e22_an_address_that_proves_nothing_gets_at_most_three_times_what_it_sent() {
        for len in [1, 5, 6, 16, 40] {
            let mut path = Path::new();
            let (mut received, mut sent) = (0, 0);
            for _ in 0..100 {
                path.hello(1, len, [9; 8]);
                received += len;
                while let Some((_, probe)) = path.poll_probe() {
                    sent += probe.len();
                }
                assert!(sent <= 3 * received);
            }
            assert!(sent > 0 && path.proved().is_none());
        }
    }

    #[test]
    fn e22_only_the_secret_proves_an_address() {
        let mut path = Path::new();
        path.hello(1, 40, [9; 8]);
        assert!(!path.answer(1, [8; 8]) && !path.answer(2, [9; 8]));
        assert!(path.answer(1, [9; 8]) && path.proved() == Some(1));
        assert!(!path.answer(1, [9; 8]), "once");
        path.hello(2, 40, [7; 8]);
        assert_eq!((path.proved(), path.candidate()), (Some(1), Some(2)), "until it answers, the old one stays");
        assert!(!path.answer(2, [9; 8]) && path.answer(2, [7; 8]));
        assert_eq!(path.proved(), Some(2));
    }
}
