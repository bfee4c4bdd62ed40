//! The order of one channel's requests [15444-9 C.3.5]: those that carry a `qid` are processed in its order, also when
//! they overtake each other on parallel connections.
//!
//! A request that came before its predecessor waits for it, but not for long: a number may have been lost, or
//! never given. Numbers that were used before, or passed over, are taken at once; a client may begin anew. Here is who
//! may go; the caller has the clock.

use std::collections::BTreeMap;

/// Waits in vain, one after the other, after which a channel's client is taken for one that leaves numbers out.
const PATIENCE: u32 = 3;

/// The numbers of one channel's requests: which were processed, and which wait.
#[derive(Debug, Default)]
pub struct RequestOrder {
    /// The number that comes next; the first of a channel may be any.
    next: Option<u64>,
    /// How many requests wait with each number.
    waiting: BTreeMap<u64, u32>,
    in_vain: u32,
    /// The last number whose predecessors were given up.
    given_way: Option<u64>,
}

impl RequestOrder {
    /// A request has come.
    pub fn arrive(&mut self, qid: u64) {
        let count = self.waiting.entry(qid).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether a request that has come may be processed now.
    #[must_use]
    pub fn may_go(&self, qid: u64) -> bool {
        let is_next = self.next.is_none_or(|next| qid <= next);
        is_next || (self.in_vain >= PATIENCE && self.is_lowest(qid))
    }

    /// A request has waited for long enough: the lowest of those that have come may go now. Whether that changed
    /// anything; it need not be the request that waited.
    pub fn give_up(&mut self) -> bool {
        let Some((&lowest, _)) = self.waiting.first_key_value() else { return false };
        let is_missing = self.next.is_some_and(|next| next < lowest);
        if is_missing {
            (self.next, self.given_way) = (Some(lowest), Some(lowest));
            self.in_vain = self.in_vain.saturating_add(1);
        }
        is_missing
    }

    /// A request that had come is being processed, was refused, or has gone away.
    pub fn leave(&mut self, qid: u64) {
        if let Some(count) = self.waiting.get_mut(&qid) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&qid);
            }
        }
        // Another waits for its predecessors, and one of them came: here numbers have a meaning.
        if self.next == Some(qid) && self.given_way != Some(qid) && !self.waiting.is_empty() {
            self.in_vain = 0;
        }
        let after = qid.saturating_add(1);
        self.next = Some(self.next.map_or(after, |next| next.max(after)));
    }

    /// Whether nothing with a lower number has come and waits.
    fn is_lowest(&self, qid: u64) -> bool {
        self.waiting.first_key_value().is_none_or(|(&lowest, _)| qid <= lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(first: u64) -> RequestOrder {
        let mut order = RequestOrder::default();
        process(&mut order, first);
        order
    }

    fn process(order: &mut RequestOrder, qid: u64) {
        order.arrive(qid);
        assert!(order.may_go(qid), "{qid} in {order:?}");
        order.leave(qid);
    }

    #[test]
    fn c_3_5_requests_go_in_the_order_of_their_numbers() {
        let mut order = begun(7);
        for qid in [10, 9] {
            order.arrive(qid);
            assert!(!order.may_go(qid));
        }
        process(&mut order, 8);
        assert!(!order.may_go(10) && order.may_go(9));
        order.leave(9);
        assert!(order.may_go(10));
    }

    #[test]
    fn e13_numbers_used_twice_or_passed_over_go_at_once() {
        let mut order = begun(5);
        for qid in [5, 3, 0, 6, 1] {
            process(&mut order, qid);
        }
        order.arrive(9);
        assert!(!order.may_go(9), "lower numbers do not turn the order back");
        let mut last = begun(u64::MAX);
        process(&mut last, u64::MAX);
        process(&mut last, 1);
    }

    #[test]
    fn e13_a_number_that_never_comes_is_waited_for_once_and_the_lowest_goes_first() {
        let mut order = begun(1);
        for qid in [9, 4] {
            order.arrive(qid);
        }
        assert!(order.give_up());
        assert!(order.may_go(4) && !order.may_go(9));
        assert!(!order.give_up(), "the one that may go comes first");
        order.leave(4);
        assert!(order.give_up());
        assert!(order.may_go(9));
    }

    #[test]
    fn e13_a_client_that_leaves_numbers_out_is_soon_not_waited_for() {
        let mut order = begun(1);
        for qid in [10, 20, 30] {
            order.arrive(qid);
            assert!(!order.may_go(qid));
            assert!(order.give_up() && order.may_go(qid));
            order.leave(qid);
        }
        process(&mut order, 40);
        // Once a predecessor does come to one that waits, it is again.
        order.arrive(43);
        order.arrive(42);
        assert!(!order.may_go(43));
        process(&mut order, 41);
        order.leave(42);
        order.leave(43);
        order.arrive(50);
        assert!(!order.may_go(50));
    }

    #[test]
    fn requests_that_go_away_keep_nobody_waiting() {
        let mut order = begun(1);
        order.arrive(2);
        order.arrive(3);
        order.leave(2);
        assert!(order.may_go(3));
        order.leave(3);
        assert!(order.waiting.is_empty());
    }
}
