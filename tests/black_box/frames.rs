//! An HTTP/2 client that decides about every frame; it reads no header fields but a status of 200.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::house::House;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// The setting that bounds requests at once, when it has come.
    pub(crate) max_streams: Option<u32>,
    bodies: BTreeMap<u32, Vec<u8>>,
    ended: BTreeMap<u32, u8>,
    gone: bool,
}

impl Client {
    /// A connection on which the server may send `window` bytes of each response.
    pub(crate) fn to(house: &House, window: u32) -> Self {
        let socket = TcpStream::connect(house.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.set_nodelay(true).unwrap();
        let (bodies, ended) = Default::default();
        let mut client = Self { socket, max_streams: None, bodies, ended, gone: false };
        client.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
        client
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        // A server that has ended the connection does not read: what it said counts.
        let _may_be_closed = self.socket.write_all(bytes);
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_bytes(&frame(kind, flags, stream, payload));
    }

    /// The whole request, on stream `stream`.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send_bytes(&get(stream, path));
    }

    /// Lets the server send so many bytes more of a response, and of all of them.
    pub(crate) fn widen(&mut self, stream: u32, bytes: u32) {
        for stream in [stream, 0] {
            self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        }
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if self.gone || self.socket.read_exact(&mut head).is_err() {
            self.gone = true;
            return None;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        if self.socket.read_exact(&mut payload).is_err() {
            self.gone = true;
            return None;
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        self.note(&frame);
        Some(frame)
    }

    fn note(&mut self, frame: &Frame) {
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                let mut settings = frame.payload.chunks_exact(6);
                let streams = settings.find(|setting| setting[..2] == [0, 3]);
                self.max_streams = streams.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()));
                self.send(SETTINGS, ACK, 0, &[]);
            }
            PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload),
            DATA => self.bodies.entry(frame.stream).or_default().extend(&frame.payload),
            _ => {}
        }
        if frame.kind == RST_STREAM || (matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0) {
            self.ended.insert(frame.stream, frame.kind);
        }
    }

    /// What has come of a response.
    pub(crate) fn body(&self, stream: u32) -> &[u8] {
        self.bodies.get(&stream).map_or(&[], Vec::as_slice)
    }

    /// Reads until `len` bytes of a response are there.
    pub(crate) fn read_body(&mut self, stream: u32, len: usize) {
        while self.body(stream).len() < len {
            assert!(self.next().is_some(), "the connection ended after {} bytes", self.body(stream).len());
        }
    }

    /// Reads until a stream has ended; the kind of the frame that ended it.
    pub(crate) fn read_end(&mut self, stream: u32) -> u8 {
        loop {
            if let Some(kind) = self.ended.get(&stream) {
                return *kind;
            }
            assert!(self.next().is_some(), "the connection ended before stream {stream}");
        }
    }

    /// Reads until the server has seen all that was sent before.
    pub(crate) fn settle(&mut self) {
        self.send(PING, 0, 0, b"in order");
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags & ACK != 0 {
                return;
            }
        }
        panic!("the connection ended");
    }

    /// Reads until the connection ends; whether that was announced.
    pub(crate) fn read_to_end(&mut self) -> bool {
        let mut announced = false;
        while let Some(frame) = self.next() {
            announced |= frame.kind == GOAWAY;
        }
        announced
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    // :method GET, :scheme http, then :path and :authority as they are written.
    let block = [&[0x82, 0x86][..], &literal(4, path), &literal(1, "localhost")].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// The head of a POST whose body follows.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    let block = [&[0x83, 0x86][..], &literal(4, path), &literal(1, "localhost")].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A header field with a name of the static table, not indexed, not compressed [RFC 7541 6.2.2].
fn literal(name: u8, value: &str) -> Vec<u8> {
    let mut bytes = vec![name];
    let mut len = value.len();
    if len < 127 {
        bytes.push(u8::try_from(len).unwrap());
    } else {
        bytes.push(127);
        len -= 127;
        while len >= 128 {
            bytes.push(u8::try_from(len % 128).unwrap() | 128);
            len /= 128;
        }
        bytes.push(u8::try_from(len).unwrap());
    }
    bytes.extend(value.as_bytes());
    bytes
}
