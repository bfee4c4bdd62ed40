//! One association: PDUs in, events out.

mod messages;
mod sending;

use std::collections::VecDeque;
use std::io::Cursor;

use bytes::{Buf as _, BytesMut};
use dicom_ul::pdu::{
    AbortRQServiceProviderReason, AbortRQSource, AssociationAC, AssociationRJ, AssociationRQ, PDataValue, Pdu,
    ReadError, read_pdu,
};
use thiserror::Error;

pub use sending::StoreAnnouncement;

use super::MAX_PDU;
use super::command::{Command, CommandError};
use super::negotiation::{PresentationContext, max_pdu_of, negotiate};
use super::preference::Preference;
use super::requestor::Requestor;
use super::service::Service;
use super::status::Status;

/// Who accepts associations, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptor {
    /// The title by which we must be called.
    pub ae_title: String,
    /// The titles that may call; all if absent.
    pub calling_ae_titles: Option<Vec<String>>,
    /// Which transfer syntaxes are taken of those that are offered.
    pub preference: Preference,
}

impl Acceptor {
    /// One that takes whoever calls it by this title.
    #[must_use]
    pub fn new(ae_title: &str) -> Self {
        Self { ae_title: ae_title.to_owned(), calling_ae_titles: None, preference: Preference::default() }
    }

    pub(super) fn admits(&self, calling: &str) -> bool {
        self.calling_ae_titles.as_ref().is_none_or(|titles| titles.iter().any(|title| title == calling))
    }
}

/// An association, in the role of its acceptor or of its requestor [PS3.8 9.2].
///
/// ```text
/// buffer() ◄── bytes that came ── poll() ──► Event ─► respond(..), store(..) ─► take_output() ──► bytes to send
/// ```
///
/// It is synchronous [PS3.7 D.3.3.3]: one request of the peer at a time is answered, and one of ours awaits its
/// response; the two may overlap, as in a C-GET.
#[derive(Debug)]
pub struct Association {
    role: Role,
    received: BytesMut,
    output: Vec<u8>,
    state: State,
    contexts: Vec<PresentationContext>,
    values: VecDeque<PDataValue>,
    command: Vec<u8>,
    /// The context in which a command set or a data set is under way.
    open: Option<Open>,
    /// The request whose data set is being gathered.
    gathering: Option<Request>,
    /// Message ID of the request that is being performed, until its last response.
    performing: Option<u16>,
    /// Message ID of our request that has no response yet.
    awaited: Option<u16>,
    last_message: u16,
    peer_max_pdu: u32,
    pdus: u64,
}

#[derive(Debug)]
enum Role {
    Acceptor(Acceptor),
    Requestor(Requestor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been agreed on.
    Awaiting,
    Established,
    /// We asked for its end.
    Releasing,
    /// Nothing more is read.
    Ended,
}

/// What the next presentation data values belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    context: u8,
    kind: PDataKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PDataKind {
    Command,
    /// A data set that is handed on piece by piece.
    Passed,
    /// A data set that is handed on when it is whole.
    Gathered,
    /// A data set that nobody wants: of a request that has been refused, or of a response.
    Unwanted,
}

/// What the peer wants, or has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The association that was asked for stands; the answer is in the output.
    Established {
        /// The title that the requestor gives itself.
        calling_ae_title: String,
        /// Number of presentation contexts that were accepted, and of those that were proposed.
        contexts: (usize, usize),
        /// The kind of user identity that the requestor showed, if any [PS3.7 D.3.3.7].
        user_identity: Option<u8>,
    },
    /// The peer accepted the association that we asked for.
    Accepted {
        /// Number of presentation contexts that were accepted, and of those that were proposed.
        contexts: (usize, usize),
    },
    /// The association was rejected, by us (the answer is in the output) or by the peer; nothing follows.
    Rejected {
        /// Why, in words.
        reason: String,
    },
    /// A C-ECHO, which has been answered in the output.
    Echo,
    /// A C-STORE: the pieces of its data set follow as [`Event::Data`], then [`Association::respond`] must be called.
    Store(StoreRequest),
    /// A piece of the data set of the C-STORE at hand.
    Data {
        /// The piece; may be empty.
        bytes: Vec<u8>,
        /// Whether it is the last one.
        is_last: bool,
    },
    /// Another request, with its whole data set; [`Association::answer`] must be called until it is final.
    Request(Box<Request>),
    /// The peer wants no more of the request that is being performed.
    Cancelled,
    /// The response to our request.
    Response {
        /// The status, as the peer's code has it.
        status: u16,
    },
    /// A request that was refused, in the output; what follows of it is passed over.
    Refused {
        /// The code that was answered.
        status: Status,
    },
    /// The association has ended in order, at the wish of either side; what is to be said is in the output, and nothing
    /// follows.
    Released,
    /// The peer broke the association off; nothing follows.
    Aborted,
}

/// A C-STORE-RQ [PS3.7 9.1.1].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRequest {
    /// SOP Class UID that was announced.
    pub sop_class_uid: String,
    /// SOP Instance UID that was announced.
    pub sop_instance_uid: String,
    /// Transfer syntax of the presentation context.
    pub transfer_syntax_uid: String,
    context: u8,
    command: Command,
}

/// A request with a short data set: C-FIND, C-MOVE, C-GET [PS3.7 9.1], or N-ACTION [PS3.7 10.1.4].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub service: Service,
    /// How.
    pub command: Command,
    /// The data set, not looked at, of [`MAX_DATA_SET`](super::MAX_DATA_SET) bytes at most.
    pub data_set: Vec<u8>,
    /// Transfer syntax of the presentation context, for the data sets of both directions.
    pub transfer_syntax_uid: String,
    /// Its presentation context.
    pub context: u8,
}

/// Why an association cannot go on. The output holds the A-ABORT that says so to the peer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AssociationError {
    /// A PDU that cannot be read, or is longer than was agreed.
    #[error("a PDU cannot be read: {0}")]
    Pdu(#[source] Box<ReadError>),
    /// A PDU or a value that does not belong here.
    #[error("{0}")]
    Unexpected(&'static str),
    /// A command set that cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Association {
    /// An association that a peer asks for, of which nothing has been read.
    #[must_use]
    pub fn new(acceptor: Acceptor) -> Self {
        Self::begin(Role::Acceptor(acceptor))
    }

    /// An association that we ask for; the request is in the output.
    #[must_use]
    pub fn request(requestor: Requestor) -> Self {
        let request = Pdu::AssociationRQ(requestor.request());
        let mut association = Self::begin(Role::Requestor(requestor));
        association.send(&request);
        association
    }

    fn begin(role: Role) -> Self {
        Self {
            role,
            received: BytesMut::new(),
            output: Vec::new(),
            state: State::Awaiting,
            contexts: Vec::new(),
            values: VecDeque::new(),
            command: Vec::new(),
            open: None,
            gathering: None,
            performing: None,
            awaited: None,
            last_message: 0,
            peer_max_pdu: MAX_PDU,
            pdus: 0,
        }
    }

    /// Where bytes that came from the peer are appended. It holds no more than a PDU if it is appended to only when
    /// [`Association::poll`] has nothing to say, and by 64 KiB at most.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// Bytes that are to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Number of PDUs that have been read whole: a peer that sends makes it grow.
    #[must_use]
    pub const fn pdus(&self) -> u64 {
        self.pdus
    }

    /// Whether no message has begun and no PDU has come in part, so that an end would be timely.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.open.is_none() && self.performing.is_none() && self.received.is_empty() && self.values.is_empty()
    }

    /// The presentation contexts that were agreed on.
    #[must_use]
    pub fn contexts(&self) -> &[PresentationContext] {
        &self.contexts
    }

    /// What the bytes that came so far amount to; `None` until more come.
    ///
    /// # Errors
    ///
    /// - [`AssociationError`] if the peer breaks the protocol; an A-ABORT is in the output, and nothing follows.
    pub fn poll(&mut self) -> Result<Option<Event>, AssociationError> {
        while self.state != State::Ended {
            let step = match self.values.pop_front() {
                Some(value) => self.value(value),
                None => match self.next_pdu() {
                    Ok(Some(pdu)) => self.pdu(pdu),
                    Ok(None) => return Ok(None),
                    Err(error) => Err(error),
                },
            };
            match step {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => {
                    let reason = match &error {
                        AssociationError::Pdu(_) | AssociationError::Command(_) => {
                            AbortRQServiceProviderReason::InvalidPduParameter
                        }
                        AssociationError::Unexpected(_) => AbortRQServiceProviderReason::UnexpectedPdu,
                    };
                    self.abort(reason);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Breaks the association off, for a reason that is not in what the peer sent.
    pub fn break_off(&mut self) {
        if self.state != State::Ended {
            self.abort(AbortRQServiceProviderReason::ReasonNotSpecified);
        }
    }

    fn next_pdu(&mut self) -> Result<Option<Pdu>, AssociationError> {
        let mut bytes = Cursor::new(&self.received[..]);
        let pdu = read_pdu(&mut bytes, MAX_PDU, true).map_err(|error| AssociationError::Pdu(Box::new(error)))?;
        let used = usize::try_from(bytes.position()).unwrap_or(usize::MAX);
        if pdu.is_some() {
            self.pdus += 1;
            self.received.advance(used.min(self.received.len()));
        }
        Ok(pdu)
    }

    fn pdu(&mut self, pdu: Pdu) -> Result<Option<Event>, AssociationError> {
        match (pdu, self.state) {
            (Pdu::AssociationRQ(request), State::Awaiting) => self.requested(request),
            (Pdu::AssociationAC(answer), State::Awaiting) => self.accepted(&answer),
            (Pdu::AssociationRJ(rejection), State::Awaiting) if matches!(self.role, Role::Requestor(_)) => {
                self.state = State::Ended;
                Ok(Some(Event::Rejected { reason: words_of(&rejection) }))
            }
            (Pdu::PData { data }, State::Established) => {
                self.values.extend(data);
                Ok(None)
            }
            // What was said before the peer saw our wish to end does not matter any more.
            (Pdu::PData { .. }, State::Releasing) => Ok(None),
            (Pdu::ReleaseRQ, State::Established | State::Releasing) => {
                self.send(&Pdu::ReleaseRP);
                self.state = State::Ended;
                Ok(Some(Event::Released))
            }
            (Pdu::ReleaseRP, State::Releasing) => {
                self.state = State::Ended;
                Ok(Some(Event::Released))
            }
            (Pdu::AbortRQ { .. }, _) => {
                self.state = State::Ended;
                Ok(Some(Event::Aborted))
            }
            _ => Err(AssociationError::Unexpected("a PDU that does not belong here")),
        }
    }

    fn requested(&mut self, request: AssociationRQ) -> Result<Option<Event>, AssociationError> {
        let Role::Acceptor(acceptor) = &self.role else {
            return Err(AssociationError::Unexpected("a request for an association where an answer belongs"));
        };
        let proposed = request.presentation_contexts.len();
        match negotiate(request, acceptor) {
            Ok(accepted) => {
                self.state = State::Established;
                self.peer_max_pdu = accepted.peer_max_pdu;
                self.contexts = accepted.contexts;
                self.send(&Pdu::AssociationAC(accepted.answer));
                let contexts = (self.contexts.len(), proposed);
                let (calling_ae_title, user_identity) = (accepted.calling_ae_title, accepted.user_identity);
                Ok(Some(Event::Established { calling_ae_title, contexts, user_identity }))
            }
            Err(rejection) => {
                let reason = words_of(&rejection);
                self.send(&Pdu::AssociationRJ(rejection));
                self.state = State::Ended;
                Ok(Some(Event::Rejected { reason }))
            }
        }
    }

    fn accepted(&mut self, answer: &AssociationAC) -> Result<Option<Event>, AssociationError> {
        let Role::Requestor(requestor) = &self.role else {
            return Err(AssociationError::Unexpected("an answer to a request that was not sent"));
        };
        let proposed = requestor.proposals.len();
        self.contexts = requestor.accepted(answer);
        self.peer_max_pdu = max_pdu_of(&answer.user_variables);
        self.state = State::Established;
        Ok(Some(Event::Accepted { contexts: (self.contexts.len(), proposed) }))
    }

    fn abort(&mut self, reason: AbortRQServiceProviderReason) {
        self.state = State::Ended;
        self.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) });
    }
}

fn words_of(rejection: &AssociationRJ) -> String {
    rejection.source.to_string()
}

#[cfg(test)]
mod tests;
