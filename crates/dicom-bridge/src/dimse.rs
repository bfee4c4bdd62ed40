//! The upper layer and the message services of both sides of an association [PS3.7, PS3.8].
//!
//! Does: negotiation of presentation contexts; as provider C-ECHO, C-STORE of every storage SOP class, C-FIND, C-MOVE and
//! C-GET of the patient root and the study root, and storage commitment; as user C-ECHO, C-STORE and the report of a
//! commitment. An [`Association`] is a value: bytes that came are put into it, events and bytes to send come out. It owns
//! no socket and reads no clock, holds at most one PDU, one command set and one short data set, and passes objects on
//! piece by piece.
//!
//! PDUs are read and written by dicom-ul. Its own negotiation is not used: it cannot prefer one transfer syntax to
//! another, nor accept storage SOP classes that its dictionary does not list.

mod association;
mod command;
mod command_set;
mod commitment;
mod identifier;
mod negotiation;
mod preference;
mod requestor;
mod service;
mod status;
mod storage_class;

pub use association::{Acceptor, Association, AssociationError, Event, Request, StoreAnnouncement, StoreRequest};
pub use command::{Answer, Command, CommandError, Progress};
pub use commitment::{CommitmentError, CommitmentReport, CommitmentRequest, FailureReason, ReferencedInstance};
pub use identifier::{Identifier, IdentifierError, Level, Retrieval};
pub use negotiation::PresentationContext;
pub use preference::Preference;
pub use requestor::{MAX_CONTEXTS, Proposal, Requestor};
pub use service::{Root, Service};
pub use status::Status;
pub use storage_class::is_storage_class;

/// Longest PDU that is taken, in bytes after its header; also the bound of what one association holds.
pub const MAX_PDU: u32 = 131_072;

/// Longest command set that is taken, in bytes. The longest in use are well below 1 KiB.
const MAX_COMMAND: usize = 16 * 1024;

/// Longest data set of a request other than C-STORE, in bytes: room for ten thousand UIDs, with what they are of.
pub const MAX_DATA_SET: usize = 2 << 20;
