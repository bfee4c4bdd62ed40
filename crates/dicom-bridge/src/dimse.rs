//! The upper layer and the message services, as the accepting side of an association sees them [PS3.7, PS3.8].
//!
//! Does: negotiation of presentation contexts for verification and every storage SOP class, C-ECHO and C-STORE as
//! provider. An [`Association`] is a value: bytes that came are put into it, events and bytes to send come out. It owns
//! no socket and reads no clock, holds at most one PDU and one command set, and passes data sets on piece by piece.
//!
//! PDUs are read and written by dicom-ul. Its own negotiation is not used: it cannot prefer one transfer syntax to
//! another, nor accept storage SOP classes that its dictionary does not list.

mod association;
mod command;
mod negotiation;
mod status;
mod storage_class;

pub use association::{Acceptor, Association, AssociationError, Event, StoreRequest};
pub use command::{Command, CommandError};
pub use status::Status;
pub use storage_class::is_storage_class;

/// Longest PDU that is taken, in bytes after its header; also the bound of what one association holds.
pub const MAX_PDU: u32 = 131_072;

/// Longest command set that is taken, in bytes. The longest in use are well below 1 KiB.
const MAX_COMMAND: usize = 16 * 1024;
