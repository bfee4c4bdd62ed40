//! The server half against the client half, in memory, without sockets and with a clock that is a number.

mod cache;
mod delivery;
mod fields;
mod limits;
mod pair;
mod sessions;
