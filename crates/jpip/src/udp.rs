//! The http-udp transport: requests over HTTP, responses in datagrams [15444-9 K].
//!
//! Deviation: the standard's layout of a datagram is not known to us; [`datagram`] holds ours, and says what it
//! follows. What does not depend on the layout does as the standard demands: one datagram is one chunk of whole
//! messages that can be read by itself; the client acknowledges each; what is not acknowledged is sent again;
//! `abandon` tells which chunks the client no longer waits for, and they never count as held by it.
//!
//! ```text
//! client ─► channel's name                    until the first chunk comes
//! server ─► probe with a secret               to an address that has proved nothing: at most 3 times what came from it
//! client ─► the secret                        now the address is proved, and chunks go there
//! server ─► chunk ─► client ─► acknowledgement
//! ```
//!
//! [`Sender`] is the server half of one channel, [`Receiver`] the client half. Neither has a socket or a clock,
//! and `A` is whatever the caller takes for an address.

pub mod datagram;

mod path;
mod receiver;
mod recovery;
mod sender;

pub use receiver::{Arrival, Receiver, ReceiverLimits};
pub use sender::{Body, NewChunk, Sender, Transmit, UdpLimits};

use crate::chunk::ChunkForm;

/// Longest datagram that is sent, in bytes: what passes nearly every network in one piece.
pub const MAX_DATAGRAM: usize = 1400;

/// Most bytes of messages in a datagram.
pub const MAX_BODY: usize = MAX_DATAGRAM - datagram::HEADER_LEN;

/// How responses are cut.
pub const FORM: ChunkForm = ChunkForm { max_body: MAX_BODY, goal: MAX_BODY, divides: true, lists_data_bins: true };
