//! Command sets: elements of group 0000 in Implicit VR Little Endian [PS3.7 6.3, E].

use dicom_core::Tag;
use thiserror::Error;

use super::command_set::{CommandSet, NO_DATA_SET};
use super::status::Status;
use crate::element::{ElementHeader, Encoding};
use crate::error::ObjectError;
use crate::input::{Input as _, ObjectInput};
use crate::uid::parse_uid;

/// What is read of a command set. Fields that are absent are `None`; whether they may be is for the service to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Command Field (0000,0100).
    pub field: u16,
    /// Message ID (0000,0110).
    pub message_id: Option<u16>,
    /// Whether a data set follows, from Command Data Set Type (0000,0800).
    pub has_data_set: bool,
    /// Affected SOP Class UID (0000,0002), or Requested SOP Class UID (0000,0003).
    pub sop_class_uid: Option<String>,
    /// Affected SOP Instance UID (0000,1000), or Requested SOP Instance UID (0000,1001).
    pub sop_instance_uid: Option<String>,
    /// Message ID Being Responded To (0000,0120): of a response, and of a C-CANCEL.
    pub responds_to: Option<u16>,
    /// Status (0000,0900) of a response.
    pub status: Option<u16>,
    /// Move Destination (0000,0600), an AE title without its padding.
    pub move_destination: Option<String>,
    /// Action Type ID (0000,1008).
    pub action_type: Option<u16>,
}

/// How far the sub-operations of a retrieval have come [PS3.7 9.1.3, 9.1.4].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Sub-operations that have not begun.
    pub remaining: u16,
    /// Those that succeeded.
    pub completed: u16,
    /// Those that failed.
    pub failed: u16,
    /// Those that were done with a warning.
    pub warning: u16,
}

/// Why a command set was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is not a command set, or a value in it cannot be read.
    #[error("the command set cannot be read: {0}")]
    Malformed(#[from] ObjectError),
    /// A field that every command has is missing.
    #[error("the command set has no {0}")]
    Missing(&'static str),
    /// It is longer than any command.
    #[error("the command set is longer than {0} bytes")]
    TooLong(usize),
}

impl Command {
    /// Command Field of C-STORE-RQ.
    pub const C_STORE: u16 = 0x0001;
    /// Command Field of C-GET-RQ.
    pub const C_GET: u16 = 0x0010;
    /// Command Field of C-FIND-RQ.
    pub const C_FIND: u16 = 0x0020;
    /// Command Field of C-MOVE-RQ.
    pub const C_MOVE: u16 = 0x0021;
    /// Command Field of N-EVENT-REPORT-RQ.
    pub const N_EVENT_REPORT: u16 = 0x0100;
    /// Command Field of N-ACTION-RQ.
    pub const N_ACTION: u16 = 0x0130;
    /// Command Field of C-ECHO-RQ.
    pub const C_ECHO: u16 = 0x0030;
    /// Command Field of C-CANCEL-RQ.
    pub const C_CANCEL: u16 = 0x0FFF;

    /// Reads a whole command set. Group length and unknown elements are passed over: the one may lie, the others are
    /// none of ours.
    ///
    /// # Errors
    ///
    /// - [`CommandError::Malformed`] if the bytes are no elements of group 0000, or a UID is none.
    /// - [`CommandError::Missing`] if Command Field or Command Data Set Type is missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        const WHAT: &str = "the command set";
        let mut input = ObjectInput::new(&bytes, 0);
        let (mut command, mut field, mut data_set_type) = (Self::default(), None, None);
        while !input.at_end()? {
            let header = ElementHeader::read(&mut input, Encoding::ImplicitLittle)?;
            let foreign = |what| ObjectError::Malformed { what, offset: header.offset };
            if header.tag.group() != 0 {
                return Err(foreign("an element of another group in the command set").into());
            }
            let len = header.len.ok_or_else(|| foreign("an element of undefined length in the command set"))?;
            let offset = input.position();
            input.skip(len, WHAT)?;
            let end = usize::try_from(offset.saturating_add(len)).unwrap_or(usize::MAX);
            let value = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..end).unwrap_or_default();
            let number = value.first_chunk().copied().map(u16::from_le_bytes);
            match header.tag {
                Tag(0, 0x0002 | 0x0003) => command.sop_class_uid = parse_uid(value, "AffectedSOPClassUID")?,
                Tag(0, 0x0100) => field = number,
                Tag(0, 0x0110) => command.message_id = number,
                Tag(0, 0x0120) => command.responds_to = number,
                Tag(0, 0x0600) => command.move_destination = ae_title(value),
                Tag(0, 0x0800) => data_set_type = number,
                Tag(0, 0x0900) => command.status = number,
                Tag(0, 0x1008) => command.action_type = number,
                Tag(0, 0x1000 | 0x1001) => command.sop_instance_uid = parse_uid(value, "AffectedSOPInstanceUID")?,
                _ => {}
            }
        }
        command.field = field.ok_or(CommandError::Missing("CommandField"))?;
        command.has_data_set = data_set_type.ok_or(CommandError::Missing("CommandDataSetType"))? != NO_DATA_SET;
        Ok(command)
    }

    /// Whether it answers an earlier command.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.field & RESPONSE != 0
    }

    /// The command set of the response. `comment` goes into Error Comment (0000,0902), as much of it as fits.
    #[must_use]
    pub fn response(&self, status: Status, comment: Option<&str>) -> Vec<u8> {
        self.response_with(&Answer { status, comment, progress: None, data_set: None })
    }

    /// The command set of a response that may say more. That of an N-ACTION names class and instance as the request did.
    #[must_use]
    pub fn response_with(&self, answer: &Answer<'_>) -> Vec<u8> {
        let set = CommandSet::new()
            .uid_if_some(0x0002, self.sop_class_uid.as_deref())
            .number(0x0100, self.field | RESPONSE)
            .number(0x0120, self.message_id.unwrap_or(0))
            .data_set(answer.data_set.is_some())
            .number(0x0900, answer.status.code())
            .comment(answer.comment)
            .uid_if_some(0x1000, self.sop_instance_uid.as_deref());
        let set = match &answer.progress {
            // How much remains is said only while something may remain [PS3.7 9.1.3.1, 9.1.4.1].
            Some(progress) if answer.status.is_final() && answer.status != Status::Cancelled => {
                set.number(0x1021, progress.completed).number(0x1022, progress.failed).number(0x1023, progress.warning)
            }
            Some(progress) => set
                .number(0x1020, progress.remaining)
                .number(0x1021, progress.completed)
                .number(0x1022, progress.failed)
                .number(0x1023, progress.warning),
            None => set,
        };
        set.finish()
    }
}

/// What a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What became of the request.
    pub status: Status,
    /// Why, for a person; no attribute's value.
    pub comment: Option<&'a str>,
    /// Of a retrieval: how far it has come.
    pub progress: Option<Progress>,
    /// The data set that goes with it, in the transfer syntax of the presentation context.
    pub data_set: Option<&'a [u8]>,
}

impl Answer<'_> {
    /// An answer that is a status and nothing else.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        Self { status, comment: None, progress: None, data_set: None }
    }
}

/// The bit of Command Field that makes a response of it.
const RESPONSE: u16 = 0x8000;

/// An AE title, which is compared without the spaces around it; `None` if nothing else is there, or it is none.
fn ae_title(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\0']);
    let is_title = (1..=16).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_title.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store() -> Command {
        Command {
            field: Command::C_STORE,
            message_id: Some(7),
            has_data_set: true,
            sop_class_uid: Some("1.2.840.10008.5.1.4.1.1.2".into()),
            sop_instance_uid: Some("1.2.3".into()),
            ..Command::default()
        }
    }

    #[test]
    fn e_1_a_response_names_what_it_answers() {
        let comment = "why\\not ä — ".repeat(20);
        let set = store().response(Status::DuplicateInstance, Some(&comment));
        let read = Command::parse(&set).unwrap();
        assert_eq!((read.field, read.has_data_set, read.is_response()), (0x8001, false, true));
        assert_eq!((read.sop_class_uid, read.sop_instance_uid), (store().sop_class_uid, store().sop_instance_uid));
        let group_len = u32::from_le_bytes(set[8..12].try_into().unwrap());
        assert_eq!(group_len as usize, set.len() - 12);
        let status = set.windows(10).find(|bytes| bytes.starts_with(&[0, 0, 0, 9, 2, 0, 0, 0])).unwrap();
        assert_eq!(status[8..], [0x11, 0x01]);
        let comment = set.windows(8).position(|bytes| bytes.starts_with(&[0, 0, 2, 9])).unwrap() + 8;
        assert_eq!(set[comment - 4], 64);
        assert!(set[comment..comment + 64].starts_with(b"why not   "), "printable ASCII without a backslash");
    }

    #[test]
    fn d12_a_group_length_that_lies_changes_nothing() {
        let honest = store().response(Status::Success, None);
        for lie in [0u32, 1, u32::MAX] {
            let mut set = honest.clone();
            set[8..12].copy_from_slice(&lie.to_le_bytes());
            assert_eq!(Command::parse(&set).unwrap(), Command::parse(&honest).unwrap());
        }
        assert!(Command::parse(&honest[12..]).is_ok(), "absent is no worse");
    }

    #[test]
    fn what_is_no_command_set_is_refused() {
        let honest = store().response(Status::Success, None);
        for len in 0..honest.len() {
            let _whatever = Command::parse(&honest[..len]);
        }
        assert!(matches!(Command::parse(&[]), Err(CommandError::Missing("CommandField"))));
        assert!(matches!(Command::parse(&honest[..honest.len() - 1]), Err(CommandError::Malformed(_))));
        let of = |tag: [u8; 4], value: &[u8]| [&tag[..], &(value.len() as u32).to_le_bytes(), value].concat();
        assert!(Command::parse(&of([8, 0, 0x18, 0], b"1.2")).is_err(), "another group");
        assert!(Command::parse(&[of([0, 0, 2, 0], b"../../x ")].concat()).is_err(), "no UID");
        assert!(Command::parse(&[0, 0, 2, 0, 255, 255, 255, 255]).is_err(), "undefined length");
    }

    #[test]
    fn ps3_7_9_1_4_counters_stand_in_pending_and_final_responses() {
        let progress = Some(Progress { remaining: 3, completed: 1, failed: 2, warning: 0 });
        let set = |status| store().response_with(&Answer { progress, ..Answer::of(status) });
        let counter = |set: &[u8], element: u8| {
            let at = set.windows(8).position(|bytes| bytes == [0, 0, element, 0x10, 2, 0, 0, 0])?;
            set.get(at + 8).copied()
        };
        let pending = set(Status::Pending);
        assert_eq!([0x20, 0x21, 0x22, 0x23].map(|element| counter(&pending, element)), [3, 1, 2, 0].map(Some));
        assert_eq!(counter(&set(Status::Cancelled), 0x20), Some(3));
        assert_eq!(counter(&set(Status::SubOperationsFailed), 0x20), None);
        assert_eq!(counter(&set(Status::SubOperationsFailed), 0x22), Some(2));
    }

    #[test]
    fn a_move_destination_is_a_title_or_nothing() {
        for (value, title) in [
            (&b"SINK    "[..], Some("SINK")),
            (b" A B\0", Some("A B")),
            (b"", None),
            (b"    ", None),
            (b"SEVENTEEN_LETTERS", None),
            (b"\xff\xfe", None),
            (b"A\nB", None),
        ] {
            assert_eq!(ae_title(value).as_deref(), title, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _read = Command::parse(&bytes);
        }
    }
}
