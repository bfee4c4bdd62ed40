//! The http-tcp transport: requests over HTTP, responses in chunks over one TCP connection a channel
//! [15444-9 G].
//!
//! ```text
//! client ─► cid CRLF [CRLF]                                       once, first thing on the connection
//! server ─► length u16 | 6 bytes of the server's own | messages   a chunk; length counts all of it
//! client ─► the 8 bytes before the messages, unchanged            once the chunk has been received
//! ```
//!
//! [`Sender`] is the server half of a channel and outlives its connections; [`Greeting`] reads how a
//! connection begins; [`Receiver`] is the client half of one connection. None of them has a socket.

mod greeting;
mod pace;
mod receiver;
mod sender;

pub use greeting::{Greeting, NoGreeting, encode_greeting};
pub use receiver::{BadChunk, Receiver};
pub use sender::{NotAnAcknowledgement, Outgoing, Sender, TcpLimits};

use crate::chunk::ChunkForm;

/// Bytes of a chunk before its messages, and of an acknowledgement.
pub const HEADER_LEN: usize = 8;

/// Most bytes of messages in a chunk: its length is told in 16 bits and counts the header.
pub const MAX_BODY: usize = 65_535 - HEADER_LEN;

/// How responses are cut. A message is never divided if a chunk can hold it, because deployed viewers take a
/// metadata-bin only in one piece (clients.md 16); chunks stay small otherwise, so that a newer request soon
/// gets its turn.
pub const FORM: ChunkForm = ChunkForm { max_body: MAX_BODY, goal: 16 << 10, divides: false, lists_data_bins: false };
