//! What the peer says in presentation data values: commands, responses and the data sets that go with them.

use dicom_ul::pdu::{PDataValue, PDataValueType};

use super::{Association, AssociationError, Event, Open, PDataKind, Request, Role, StoreRequest};
use crate::dimse::command::{Command, CommandError};
use crate::dimse::negotiation::PresentationContext;
use crate::dimse::service::Service;
use crate::dimse::status::Status;
use crate::dimse::{MAX_COMMAND, MAX_DATA_SET};

type Step = Result<Option<Event>, AssociationError>;

impl Association {
    /// Takes one presentation data value.
    pub(super) fn value(&mut self, value: PDataValue) -> Step {
        let is_command = value.value_type == PDataValueType::Command;
        let kind = match self.open {
            None if is_command => PDataKind::Command,
            Some(open) if open.context == value.presentation_context_id => open.kind,
            _ => return Err(AssociationError::Unexpected("a data set without a command, or two messages at once")),
        };
        if is_command != (kind == PDataKind::Command) {
            return Err(AssociationError::Unexpected("a command set and a data set mixed"));
        }
        if !is_command && value.is_last {
            self.open = None;
        }
        match kind {
            PDataKind::Command => self.command_part(value),
            PDataKind::Passed => Ok(Some(Event::Data { bytes: value.data, is_last: value.is_last })),
            PDataKind::Gathered => Ok(self.gather(&value)),
            PDataKind::Unwanted => Ok(None),
        }
    }

    fn command_part(&mut self, value: PDataValue) -> Step {
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

    fn dispatch(&mut self, context: u8, command: Command) -> Step {
        if command.is_response() {
            return self.response(context, &command);
        }
        if command.field == Command::C_CANCEL {
            // It may cross the last response; then there is nothing left to be cancelled.
            let is_meant = self.performing.is_some() && self.performing == command.responds_to;
            return Ok(is_meant.then_some(Event::Cancelled));
        }
        if matches!(self.role, Role::Requestor(_)) {
            return Err(AssociationError::Unexpected("a request of the accepting side"));
        }
        if self.performing.is_some() {
            return Err(AssociationError::Unexpected("a request while another one is performed"));
        }
        let agreed = self.contexts.iter().find(|known| known.id == context).cloned();
        let agreed = agreed.ok_or(AssociationError::Unexpected("a presentation context that was not accepted"))?;
        match (command.field, Service::of(&agreed.abstract_syntax)) {
            (Command::C_ECHO, _) => {
                self.pass_over(context, &command);
                self.send_command(context, &command.response(Status::Success, None));
                Ok(Some(Event::Echo))
            }
            (Command::C_STORE, _) => Ok(Some(self.store_request(agreed, command))),
            (Command::C_FIND, Some(service @ Service::Find(_)))
            | (Command::C_MOVE, Some(service @ Service::Move(_)))
            | (Command::C_GET, Some(service @ Service::Get(_)))
            | (Command::N_ACTION, Some(service @ Service::StorageCommitment)) => {
                Ok(self.other_request(agreed, command, service))
            }
            _ => {
                let words = "this operation is not provided here";
                Ok(Some(self.refuse(context, &command, Status::UnrecognizedOperation, words)))
            }
        }
    }

    fn response(&mut self, context: u8, response: &Command) -> Step {
        if self.awaited.is_none() || self.awaited != response.responds_to {
            return Err(AssociationError::Unexpected("a response to a request that was not sent"));
        }
        self.pass_over(context, response);
        let missing = CommandError::Missing("Status");
        let status = response.status.ok_or(missing)?;
        self.awaited = None;
        Ok(Some(Event::Response { status }))
    }

    fn store_request(&mut self, agreed: PresentationContext, command: Command) -> Event {
        let context = agreed.id;
        if !command.has_data_set {
            return self.refuse(context, &command, Status::CannotUnderstand, "no data set was announced");
        }
        let (class, instance) = (command.sop_class_uid.clone(), command.sop_instance_uid.clone());
        let (Some(sop_class_uid), Some(sop_instance_uid)) = (class, instance) else {
            let words = "the request does not name class and instance";
            return self.refuse(context, &command, Status::CannotUnderstand, words);
        };
        if sop_class_uid != agreed.abstract_syntax {
            let words = "the class is not that of the presentation context";
            return self.refuse(context, &command, Status::ClassNotSupported, words);
        }
        self.open = Some(Open { context, kind: PDataKind::Passed });
        let transfer_syntax_uid = agreed.transfer_syntax;
        Event::Store(StoreRequest { sop_class_uid, sop_instance_uid, transfer_syntax_uid, context, command })
    }

    /// Begins with a request whose data set is wanted as a whole.
    fn other_request(&mut self, agreed: PresentationContext, command: Command, service: Service) -> Option<Event> {
        let context = agreed.id;
        if !command.has_data_set {
            let status = match service {
                Service::StorageCommitment => Status::InvalidArgument,
                _ => Status::DoesNotMatch,
            };
            return Some(self.refuse(context, &command, status, "no data set was announced"));
        }
        self.open = Some(Open { context, kind: PDataKind::Gathered });
        let transfer_syntax_uid = agreed.transfer_syntax;
        self.gathering = Some(Request { service, command, data_set: Vec::new(), transfer_syntax_uid, context });
        None
    }

    fn gather(&mut self, value: &PDataValue) -> Option<Event> {
        let mut request = self.gathering.take()?;
        if request.data_set.len().saturating_add(value.data.len()) > MAX_DATA_SET {
            let event =
                self.refuse(request.context, &request.command, Status::ResourceLimitation, "a data set too long");
            self.open = (!value.is_last).then_some(Open { context: request.context, kind: PDataKind::Unwanted });
            return Some(event);
        }
        request.data_set.extend_from_slice(&value.data);
        if !value.is_last {
            self.gathering = Some(request);
            return None;
        }
        self.performing = Some(request.command.message_id.unwrap_or(0));
        Some(Event::Request(Box::new(request)))
    }

    /// Answers a request that is not taken; its data set will be passed over.
    fn refuse(&mut self, context: u8, command: &Command, status: Status, words: &str) -> Event {
        self.pass_over(context, command);
        self.send_command(context, &command.response(status, Some(words)));
        Event::Refused { status }
    }

    fn pass_over(&mut self, context: u8, command: &Command) {
        self.open = command.has_data_set.then_some(Open { context, kind: PDataKind::Unwanted });
    }
}
