//! Both halves of http-tcp and of http-udp against each other, over simulated ways with loss, reordering and
//! duplication, with a clock that is a number and chance that is counted.
#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "test code knows the numbers that it has made and may panic when they are not what it expects"
)]

mod chance;
mod responses;
mod tcp;
mod udp;
mod way;
