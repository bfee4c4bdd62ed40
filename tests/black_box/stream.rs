//! A JPP-stream or JPT-stream as a client sees it, read by a reader that is not ours to serve with.

use std::collections::BTreeMap;

pub(crate) const PRECINCT: u64 = 0;
pub(crate) const TILE_HEADER: u64 = 2;
pub(crate) const TILE: u64 = 4;
pub(crate) const EXTENDED_TILE: u64 = 5;
pub(crate) const MAIN_HEADER: u64 = 6;
pub(crate) const METADATA: u64 = 8;

/// One message; `first` is the first byte of its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) first: u8,
    pub(crate) class: u64,
    pub(crate) codestream: u64,
    pub(crate) id: u64,
    pub(crate) offset: u64,
    pub(crate) complete: bool,
    /// Of odd classes alone.
    pub(crate) aux: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// All messages of one response and the reason of its end.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) messages: Vec<Message>,
    pub(crate) end: u8,
    /// Bytes without the end of response, message headers included.
    pub(crate) len: usize,
}

impl Response {
    /// Panics where the bytes are no whole response.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut at = 0;
        let (mut class, mut codestream) = (0, 0);
        let mut messages = Vec::new();
        loop {
            let first = *bytes.get(at).expect("no end of response");
            if first == 0 {
                assert_eq!(&bytes[at + 2..], [0], "the end of response is not the last thing");
                return Self { messages, end: bytes[at + 1], len: at };
            }
            let form = first >> 5 & 3;
            assert_ne!(form, 0, "a header of a prohibited form at {at}");
            let mut id = u64::from(first & 0x0f);
            let mut last = first;
            at += 1;
            while last & 0x80 != 0 {
                last = bytes[at];
                id = id << 7 | u64::from(last & 0x7f);
                at += 1;
            }
            if form >= 2 {
                class = vbas(bytes, &mut at);
            }
            if form == 3 {
                codestream = vbas(bytes, &mut at);
            }
            let offset = vbas(bytes, &mut at);
            let len = usize::try_from(vbas(bytes, &mut at)).unwrap();
            let aux = (class % 2 == 1).then(|| vbas(bytes, &mut at));
            let body = bytes[at..at + len].to_vec();
            at += len;
            messages.push(Message { first, class, codestream, id, offset, complete: first & 0x10 != 0, aux, body });
        }
    }

    /// In-class ids of the data-bins of one class that this response touches, each once, in order.
    pub(crate) fn ids(&self, class: u64) -> Vec<u64> {
        let mut ids: Vec<u64> = self.messages.iter().filter(|m| m.class == class).map(|m| m.id).collect();
        ids.dedup();
        ids
    }

    pub(crate) fn classes(&self) -> Vec<u64> {
        let mut classes: Vec<u64> = self.messages.iter().map(|m| m.class).collect();
        classes.dedup();
        classes
    }
}

fn vbas(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// Bytes of data-bins over several responses, by class, codestream and id. A message must go on where the bin ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Cache {
    pub(crate) bins: BTreeMap<(u64, u64, u64), (Vec<u8>, bool)>,
}

impl Cache {
    pub(crate) fn add(&mut self, response: &Response) {
        for message in &response.messages {
            let codestream = if message.class == METADATA { 0 } else { message.codestream };
            let (bytes, complete) = self.bins.entry((message.class, codestream, message.id)).or_default();
            assert_eq!(bytes.len() as u64, message.offset, "a gap or an overlap in {message:?}");
            assert!(!*complete, "bytes behind the end of {message:?}");
            bytes.extend_from_slice(&message.body);
            *complete = message.complete;
        }
    }

    pub(crate) fn of(response: &Response) -> Self {
        let mut cache = Self::default();
        cache.add(response);
        cache
    }
}
