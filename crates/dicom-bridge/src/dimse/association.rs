//! One association: PDUs in, events out.

use std::collections::VecDeque;
use std::io::Cursor;

use bytes::{Buf as _, BytesMut};
use dicom_ul::pdu::{
    AbortRQServiceProviderReason, AbortRQSource, AssociationRJ, PDataValue, PDataValueType, Pdu, ReadError, read_pdu,
    write_pdu,
};
use thiserror::Error;

use super::command::{Command, CommandError};
use super::negotiation::{PresentationContext, negotiate};
use super::status::Status;
use super::{MAX_COMMAND, MAX_PDU};

/// Who accepts associations, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptor {
    /// The title by which we must be called.
    pub ae_title: String,
    /// The titles that may call; all if absent.
    pub calling_ae_titles: Option<Vec<String>>,
}

impl Acceptor {
    pub(super) fn admits(&self, calling: &str) -> bool {
        self.calling_ae_titles.as_ref().is_none_or(|titles| titles.iter().any(|title| title == calling))
    }
}

/// An association in the role of its acceptor [PS3.8 9.2].
///
/// ```text
/// buffer() ◄── bytes that came ── poll() ──► Event ─► respond(..) ─► take_output() ──► bytes to send
/// ```
#[derive(Debug)]
pub struct Association {
    acceptor: Acceptor,
    received: BytesMut,
    output: Vec<u8>,
    state: State,
    contexts: Vec<PresentationContext>,
    values: VecDeque<PDataValue>,
    command: Vec<u8>,
    /// The context in which a command set or a data set is under way.
    open: Option<Open>,
    peer_max_pdu: u32,
    pdus: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been agreed on.
    Awaiting,
    Established,
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
    /// A data set that somebody takes.
    Wanted,
    /// A data set of a request that has been refused.
    Unwanted,
}

/// What the peer wants, or has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The association stands; the answer is in the output.
    Established {
        /// The title that the requestor gives itself.
        calling_ae_title: String,
        /// Number of presentation contexts that were accepted, and of those that were proposed.
        contexts: (usize, usize),
    },
    /// The association was rejected; the answer is in the output, and nothing follows.
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
    /// A request that was refused, in the output; what follows of it is passed over.
    Refused {
        /// The code that was answered.
        status: Status,
    },
    /// The requestor ended the association in order; the answer is in the output, and nothing follows.
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
    /// An association of which nothing has been read.
    #[must_use]
    pub fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            received: BytesMut::new(),
            output: Vec::new(),
            state: State::Awaiting,
            contexts: Vec::new(),
            values: VecDeque::new(),
            command: Vec::new(),
            open: None,
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
        self.open.is_none() && self.received.is_empty() && self.values.is_empty()
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

    /// Answers a C-STORE.
    pub fn respond(&mut self, request: &StoreRequest, status: Status, comment: Option<&str>) {
        self.send_command(request.context, request.command.response(status, comment));
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
            (Pdu::AssociationRQ(request), State::Awaiting) => {
                let proposed = request.presentation_contexts.len();
                match negotiate(request, &self.acceptor) {
                    Ok(accepted) => {
                        self.state = State::Established;
                        self.peer_max_pdu = accepted.peer_max_pdu;
                        self.contexts = accepted.contexts;
                        self.send(&Pdu::AssociationAC(accepted.answer));
                        let contexts = (self.contexts.len(), proposed);
                        Ok(Some(Event::Established { calling_ae_title: accepted.calling_ae_title, contexts }))
                    }
                    Err(rejection) => Ok(Some(self.reject(rejection))),
                }
            }
            (Pdu::PData { data }, State::Established) => {
                self.values.extend(data);
                Ok(None)
            }
            (Pdu::ReleaseRQ, State::Established) => {
                self.send(&Pdu::ReleaseRP);
                self.state = State::Ended;
                Ok(Some(Event::Released))
            }
            (Pdu::AbortRQ { .. }, _) => {
                self.state = State::Ended;
                Ok(Some(Event::Aborted))
            }
            (_, State::Awaiting) => Err(AssociationError::Unexpected("the first PDU is no A-ASSOCIATE-RQ")),
            _ => Err(AssociationError::Unexpected("a PDU that does not belong into an association that stands")),
        }
    }

    fn reject(&mut self, rejection: AssociationRJ) -> Event {
        let reason = rejection.source.to_string();
        self.send(&Pdu::AssociationRJ(rejection));
        self.state = State::Ended;
        Event::Rejected { reason }
    }

    /// Takes one presentation data value.
    fn value(&mut self, value: PDataValue) -> Result<Option<Event>, AssociationError> {
        let is_command = value.value_type == PDataValueType::Command;
        let kind = match self.open {
            None if is_command => PDataKind::Command,
            Some(open) if open.context == value.presentation_context_id => open.kind,
            _ => return Err(AssociationError::Unexpected("a data set without a command, or two messages at once")),
        };
        if is_command != (kind == PDataKind::Command) {
            return Err(AssociationError::Unexpected("a command set and a data set mixed"));
        }
        match kind {
            PDataKind::Command => self.command_part(value),
            PDataKind::Wanted | PDataKind::Unwanted => {
                if value.is_last {
                    self.open = None;
                }
                let event = Event::Data { bytes: value.data, is_last: value.is_last };
                Ok((kind == PDataKind::Wanted).then_some(event))
            }
        }
    }

    fn command_part(&mut self, value: PDataValue) -> Result<Option<Event>, AssociationError> {
        let context = value.presentation_context_id;
        if self.contexts.iter().all(|known| known.id != context) {
            return Err(AssociationError::Unexpected("a presentation context that was not accepted"));
        }
        if self.command.len().saturating_add(value.data.len()) > MAX_COMMAND {
            return Err(CommandError::TooLong(MAX_COMMAND).into());
        }
        self.command.extend_from_slice(&value.data);
        self.open = Some(Open { context, kind: PDataKind::Command });
        if !value.is_last {
            return Ok(None);
        }
        let command = Command::parse(&std::mem::take(&mut self.command))?;
        self.open = None;
        self.dispatch(context, command)
    }

    fn dispatch(&mut self, context: u8, command: Command) -> Result<Option<Event>, AssociationError> {
        let set_follows = |kind| command.has_data_set.then_some(Open { context, kind });
        match command.field {
            Command::C_ECHO => {
                self.open = set_follows(PDataKind::Unwanted);
                self.send_command(context, command.response(Status::Success, None));
                Ok(Some(Event::Echo))
            }
            Command::C_STORE => {
                self.open = set_follows(PDataKind::Wanted);
                self.store(context, command)
            }
            // Nothing that could be cancelled is ever under way.
            Command::C_CANCEL => Ok(None),
            _ if command.is_response() => {
                Err(AssociationError::Unexpected("a response to a request that was not sent"))
            }
            _ => {
                self.open = set_follows(PDataKind::Unwanted);
                let words = "this operation is not provided here";
                Ok(Some(self.refuse(context, &command, Status::UnrecognizedOperation, words)))
            }
        }
    }

    fn store(&mut self, context: u8, command: Command) -> Result<Option<Event>, AssociationError> {
        if !command.has_data_set {
            return Ok(Some(self.refuse(context, &command, Status::CannotUnderstand, "no data set was announced")));
        }
        let agreed = self.contexts.iter().find(|known| known.id == context);
        let agreed = agreed.ok_or(AssociationError::Unexpected("a presentation context that was not accepted"))?;
        let (class, instance) = (command.sop_class_uid.clone(), command.sop_instance_uid.clone());
        let (Some(sop_class_uid), Some(sop_instance_uid)) = (class, instance) else {
            self.open = Some(Open { context, kind: PDataKind::Unwanted });
            let words = "the request does not name class and instance";
            return Ok(Some(self.refuse(context, &command, Status::CannotUnderstand, words)));
        };
        if sop_class_uid != agreed.abstract_syntax {
            self.open = Some(Open { context, kind: PDataKind::Unwanted });
            let words = "the class is not that of the presentation context";
            return Ok(Some(self.refuse(context, &command, Status::ClassNotSupported, words)));
        }
        let transfer_syntax_uid = agreed.transfer_syntax.clone();
        Ok(Some(Event::Store(StoreRequest { sop_class_uid, sop_instance_uid, transfer_syntax_uid, context, command })))
    }

    fn refuse(&mut self, context: u8, command: &Command, status: Status, words: &str) -> Event {
        self.send_command(context, command.response(status, Some(words)));
        Event::Refused { status }
    }

    /// Sends a command set, in as many values as the peer's PDUs are short.
    fn send_command(&mut self, context: u8, set: Vec<u8>) {
        // The header of a value takes 6 bytes of a PDU; nobody's limit is so low, but it is not ours to trust.
        let most = usize::try_from(self.peer_max_pdu).unwrap_or(usize::MAX).saturating_sub(6).max(MIN_VALUE);
        let count = set.len().div_ceil(most);
        for (n, part) in set.chunks(most).enumerate() {
            self.send(&Pdu::PData {
                data: vec![PDataValue {
                    presentation_context_id: context,
                    value_type: PDataValueType::Command,
                    is_last: n + 1 == count,
                    data: part.to_vec(),
                }],
            });
        }
    }

    fn send(&mut self, pdu: &Pdu) {
        // Writing to memory fails only for PDUs with impossible texts, and those are ours.
        let _written = write_pdu(&mut self.output, pdu);
    }

    fn abort(&mut self, reason: AbortRQServiceProviderReason) {
        self.state = State::Ended;
        self.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) });
    }
}

/// Bytes of a value that are sent whatever the peer says that it takes.
const MIN_VALUE: usize = 128;

#[cfg(test)]
mod tests;
