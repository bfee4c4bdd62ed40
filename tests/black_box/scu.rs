//! A storage SCU of a few lines that shows every byte: associations that behave, and associations that do not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(crate) const JPEG2000: &str = "1.2.840.10008.1.2.4.90";
const VERIFICATION: &str = "1.2.840.10008.1.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";

/// Longer than the server waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// One association: context 1 verifies, context 3 stores CT images in JPEG 2000.
pub(crate) struct Scu {
    pub(crate) socket: TcpStream,
    message: u16,
}

/// A PDU: its type and what follows its header.
pub(crate) type Pdu = (u8, Vec<u8>);

impl Scu {
    /// A connection on which nothing has been said.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, message: 0 }
    }

    /// An association that stands.
    pub(crate) fn associate(address: SocketAddr) -> Self {
        Self::try_associate(address).expect("an association")
    }

    /// An association that stands, if the server lives long enough.
    pub(crate) fn try_associate(address: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.set_nodelay(true).ok()?;
        let mut scu = Self { socket, message: 0 };
        let contents = request("PRECINCT", "TEST");
        let head = [&[1, 0][..], &(contents.len() as u32).to_be_bytes()].concat();
        scu.socket.write_all(&[head, contents].concat()).ok()?;
        let (kind, _) = scu.receive()?;
        assert_eq!(kind, 2, "accepted");
        Some(scu)
    }

    pub(crate) fn send(&mut self, kind: u8, contents: &[u8]) {
        let head = [&[kind, 0][..], &(contents.len() as u32).to_be_bytes()].concat();
        self.socket.write_all(&[&head, contents].concat()).unwrap();
    }

    /// The next PDU; `None` when the server has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Pdu> {
        let mut head = [0; 6];
        self.socket.read_exact(&mut head).ok()?;
        let mut contents = vec![0; u32::from_be_bytes(head[2..].try_into().unwrap()) as usize];
        self.socket.read_exact(&mut contents).ok()?;
        Some((head[0], contents))
    }

    pub(crate) fn echo(&mut self) -> u16 {
        self.message += 1;
        let command = command(0x30, VERIFICATION, None, self.message);
        self.send(4, &value(1, 3, &command));
        self.status().0
    }

    /// Says that an instance follows.
    pub(crate) fn announce(&mut self, uid: &str) {
        self.message += 1;
        let command = command(1, CT, Some(uid), self.message);
        self.send(4, &value(3, 3, &command));
    }

    /// Sends a piece of a data set.
    pub(crate) fn data(&mut self, piece: &[u8], is_last: bool) {
        self.send(4, &value(3, if is_last { 2 } else { 0 }, piece));
    }

    /// Sends an instance; the status and the error comment of the answer.
    pub(crate) fn store(&mut self, uid: &str, data_set: &[u8]) -> (u16, String) {
        self.announce(uid);
        let pieces: Vec<_> = data_set.chunks(16_000).collect();
        for (n, piece) in pieces.iter().enumerate() {
            self.data(piece, n + 1 == pieces.len());
        }
        if pieces.is_empty() {
            self.data(&[], true);
        }
        self.status()
    }

    /// As [`Scu::store`], for a server that may die meanwhile; the status, if one came.
    pub(crate) fn try_store(&mut self, uid: &str, data_set: &[u8]) -> Option<u16> {
        self.message += 1;
        let command = value(3, 3, &command(1, CT, Some(uid), self.message));
        let pieces = data_set.chunks(16_000).map(|piece| value(3, 0, piece));
        for contents in [command].into_iter().chain(pieces).chain([value(3, 2, &[])]) {
            let head = [&[4, 0][..], &(contents.len() as u32).to_be_bytes()].concat();
            self.socket.write_all(&[head, contents].concat()).ok()?;
        }
        let (_, response) = self.receive()?;
        // The last place that looks so: a message ID may look so too.
        let at = response.windows(8).rposition(|bytes| bytes == [0, 0, 0, 9, 2, 0, 0, 0])? + 8;
        Some(u16::from_le_bytes(response.get(at..at + 2)?.try_into().ok()?))
    }

    /// The status and the error comment of the next response.
    pub(crate) fn status(&mut self) -> (u16, String) {
        let (kind, contents) = self.receive().expect("a response");
        assert_eq!((kind, contents[5]), (4, 3), "one command set, whole");
        let element = |number| element_of(&contents[6..], number);
        assert_eq!(element(0x0120), Some(self.message.to_le_bytes().to_vec()), "of this message");
        let status = u16::from_le_bytes(element(0x0900).unwrap().try_into().unwrap());
        (status, String::from_utf8(element(0x0902).unwrap_or_default()).unwrap())
    }

    /// Ends the association in order.
    pub(crate) fn release(mut self) {
        self.send(5, &[0; 4]);
        assert_eq!(self.receive().map(|(kind, _)| kind), Some(6));
        assert_eq!(self.receive(), None, "closed");
    }

    /// Whether the next thing the server says is an A-ABORT, after which it closes.
    pub(crate) fn gets_aborted(mut self) -> bool {
        matches!(self.receive(), Some((7, _))) && self.receive().is_none()
    }
}

/// The contents of an A-ASSOCIATE-RQ.
pub(crate) fn request(called: &str, calling: &str) -> Vec<u8> {
    request_for(called, calling, &[context(1, VERIFICATION, IMPLICIT), context(3, CT, JPEG2000)], &[])
}

/// The same for these presentation contexts, with these user items.
pub(crate) fn request_for(called: &str, calling: &str, contexts: &[Vec<u8>], items: &[Vec<u8>]) -> Vec<u8> {
    let user = [item(0x51, &16_384u32.to_be_bytes()), item(0x52, b"2.25.1"), items.concat()].concat();
    [
        vec![0, 1, 0, 0],
        format!("{called:<16}{calling:<16}").into_bytes(),
        vec![0; 32],
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        contexts.concat(),
        item(0x50, &user),
    ]
    .concat()
}

/// A presentation context that is proposed.
pub(crate) fn context(id: u8, abstract_syntax: &str, transfer_syntax: &str) -> Vec<u8> {
    let syntaxes = [item(0x30, abstract_syntax.as_bytes()), item(0x40, transfer_syntax.as_bytes())].concat();
    item(0x20, &[&[id, 0, 0, 0][..], &syntaxes].concat())
}

/// An SCP/SCU role selection: the requestor would be the provider, too.
pub(crate) fn role(class: &str) -> Vec<u8> {
    item(0x54, &[&(class.len() as u16).to_be_bytes()[..], class.as_bytes(), &[1, 1]].concat())
}

pub(crate) fn item(kind: u8, contents: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(contents.len() as u16).to_be_bytes(), contents].concat()
}

/// A presentation data value; bit 0 of `flags` is a command set, bit 1 the last fragment.
pub(crate) fn value(context: u8, flags: u8, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32 + 2).to_be_bytes()[..], &[context, flags], bytes].concat()
}

fn command(field: u16, class: &str, instance: Option<&str>, message: u16) -> Vec<u8> {
    let data_set: u16 = if instance.is_some() { 0 } else { 0x0101 };
    let (field, message, data_set) = (field.to_le_bytes(), message.to_le_bytes(), data_set.to_le_bytes());
    let mut elements: Vec<(u16, &[u8])> =
        vec![(0x0002, class.as_bytes()), (0x0100, &field), (0x0110, &message), (0x0700, &[0, 0]), (0x0800, &data_set)];
    elements.extend(instance.map(|uid| (0x1000, uid.as_bytes())));
    command_set(&elements)
}

/// A command set of these elements.
pub(crate) fn command_set(elements: &[(u16, &[u8])]) -> Vec<u8> {
    let element = |number: u16, value: &[u8]| {
        let mut value = value.to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), &value].concat()
    };
    let set: Vec<u8> = elements.iter().flat_map(|(number, value)| element(*number, value)).collect();
    [element(0x0000, &(set.len() as u32).to_le_bytes()), set].concat()
}

/// The value of an element of a command set.
pub(crate) fn element_of(set: &[u8], number: u16) -> Option<Vec<u8>> {
    let mut rest = set;
    while rest.len() >= 8 {
        let len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        if rest[2..4] == number.to_le_bytes() {
            return Some(rest[8..8 + len].to_vec());
        }
        rest = &rest[8 + len..];
    }
    None
}
