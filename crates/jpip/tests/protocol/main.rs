//! The server half against the client half, in memory, without sockets and with a clock that is a number.
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::clone_on_ref_ptr,
    reason = "test code knows the numbers that it has made and may panic when they are not what it expects"
)]

mod cache;
mod delivery;
mod dialect;
mod fields;
mod hostile;
mod jpt;
mod limits;
mod pair;
mod pixels;
mod quality;
mod requests;
mod sessions;
