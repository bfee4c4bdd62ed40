//! What we say: responses, requests of our own, and data sets in as many pieces as the peer's PDUs are short.

use dicom_ul::pdu::{Pdu, write_pdu};

use super::{Association, Request, State, StoreRequest};
use crate::dimse::command::{Answer, Command};
use crate::dimse::command_set::CommandSet;
use crate::dimse::service::{STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, VERIFICATION};
use crate::dimse::status::Status;

/// An object that is about to be sent by C-STORE.
#[derive(Debug, Clone, Copy)]
pub struct StoreAnnouncement<'a> {
    /// Its SOP class.
    pub sop_class_uid: &'a str,
    /// Its SOP instance.
    pub sop_instance_uid: &'a str,
    /// The title of the C-MOVE's requestor and the Message ID of the C-MOVE, if one is behind this.
    pub originator: Option<(&'a str, u16)>,
}

impl Association {
    /// Answers a C-STORE.
    pub fn respond(&mut self, request: &StoreRequest, status: Status, comment: Option<&str>) {
        self.send_command(request.context, &request.command.response(status, comment));
    }

    /// Answers another request; after a final status it is no longer being performed.
    pub fn answer(&mut self, request: &Request, answer: &Answer<'_>) {
        self.send_command(request.context, &request.command.response_with(answer));
        if let Some(data_set) = answer.data_set {
            self.send_data(request.context, data_set, true);
        }
        if answer.status.is_final() {
            self.performing = None;
        }
    }

    /// Asks for an echo.
    pub fn echo(&mut self, context: u8) {
        let set = CommandSet::new().uid(0x0002, VERIFICATION).number(0x0100, Command::C_ECHO);
        let set = set.number(0x0110, self.next_message()).data_set(false);
        self.send_command(context, &set.finish());
    }

    /// Announces an object; its data set must follow by [`Association::send_data`], and a response is then awaited.
    pub fn store(&mut self, context: u8, object: &StoreAnnouncement<'_>) {
        const MEDIUM: u16 = 0;
        let set = CommandSet::new().uid(0x0002, object.sop_class_uid).number(0x0100, Command::C_STORE);
        let set = set.number(0x0110, self.next_message()).number(0x0700, MEDIUM).data_set(true);
        let set = set.uid(0x1000, object.sop_instance_uid);
        let set = match object.originator {
            Some((title, message)) => set.title(0x1030, title).number(0x1031, message),
            None => set,
        };
        self.send_command(context, &set.finish());
    }

    /// Reports what became of a storage commitment; a response is then awaited [PS3.4 J.3.3].
    pub fn report_commitment(&mut self, context: u8, event_type: u16, data_set: &[u8]) {
        let set = CommandSet::new().uid(0x0002, STORAGE_COMMITMENT).number(0x0100, Command::N_EVENT_REPORT);
        let set = set.number(0x0110, self.next_message()).data_set(true);
        let set = set.uid(0x1000, STORAGE_COMMITMENT_INSTANCE).number(0x1002, event_type);
        self.send_command(context, &set.finish());
        self.send_data(context, data_set, true);
    }

    /// Asks for the end of the association; [`Event::Released`](super::Event::Released) follows.
    pub fn release(&mut self) {
        if self.state == State::Established {
            self.state = State::Releasing;
            self.send(&Pdu::ReleaseRQ);
        }
    }

    /// Sends a piece of a data set. The output grows by it: what is long is handed over piece by piece.
    pub fn send_data(&mut self, context: u8, bytes: &[u8], is_last: bool) {
        self.send_values(context, 0, bytes, is_last);
    }

    pub(super) fn send_command(&mut self, context: u8, set: &[u8]) {
        self.send_values(context, COMMAND, set, true);
    }

    fn next_message(&mut self) -> u16 {
        self.last_message = self.last_message.wrapping_add(1);
        self.awaited = Some(self.last_message);
        self.last_message
    }

    /// One presentation data value a PDU [PS3.8 9.3.5, E.2], as long as the peer takes. Written here, because a list of
    /// owned values would copy each piece twice.
    fn send_values(&mut self, context: u8, flags: u8, bytes: &[u8], is_last: bool) {
        if self.state != State::Established {
            return;
        }
        // The header of a value takes 6 bytes of a PDU; nobody's limit is so low, but it is not ours to trust.
        let most = usize::try_from(self.peer_max_pdu).unwrap_or(usize::MAX).saturating_sub(6).max(MIN_VALUE) & !1;
        let count = bytes.len().div_ceil(most).max(1);
        self.output.reserve(bytes.len().saturating_add(count.saturating_mul(12)));
        for n in 0..count {
            let part = bytes.get(n * most..bytes.len().min((n + 1) * most)).unwrap_or_default();
            // `most` is below 2^32 by far: so is every part.
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX - 6);
            let last = if is_last && n + 1 == count { LAST } else { 0 };
            self.output.extend([4, 0]);
            self.output.extend((len + 6).to_be_bytes());
            self.output.extend((len + 2).to_be_bytes());
            self.output.extend([context, flags | last]);
            self.output.extend_from_slice(part);
        }
    }

    pub(super) fn send(&mut self, pdu: &Pdu) {
        // Writing to memory fails only for PDUs with impossible texts, and those are ours.
        let _written = write_pdu(&mut self.output, pdu);
    }
}

/// Bits of the message control header [PS3.8 E.2].
const COMMAND: u8 = 1;
const LAST: u8 = 2;

/// Bytes of a value that are sent whatever the peer says that it takes.
const MIN_VALUE: usize = 128;
