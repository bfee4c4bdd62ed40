//! Splitting a request into fields, before any value is looked at [15444-9 C.1].

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::error::RequestError;

/// The raw values of the known fields of one request.
///
/// Fields are told apart before anything is decoded, so an escaped `&` or `=` stays inside its value.
/// Unknown names are passed over. `+` means itself.
#[derive(Debug)]
pub(crate) struct RawFields<'a> {
    /// One slot for each name of [`KNOWN`].
    slots: [Option<RawField<'a>>; KNOWN.len()],
}

#[derive(Debug, Clone, Copy)]
struct RawField<'a> {
    from_body: bool,
    /// `None` for a field without `=`.
    value: Option<&'a [u8]>,
}

impl<'a> RawFields<'a> {
    pub(crate) const fn new() -> Self {
        Self { slots: [None; KNOWN.len()] }
    }

    /// Reads the fields of the URL's query, or of a POST body, which takes precedence.
    pub(crate) fn read(&mut self, text: &'a [u8], from_body: bool) -> Result<(), RequestError> {
        for pair in text.split(|&byte| byte == b'&') {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next();
            let known = KNOWN.iter().zip(&mut self.slots).find(|(known, _)| known.as_bytes() == name);
            let Some((field, slot)) = known else { continue };
            if slot.is_some_and(|held| held.from_body == from_body) {
                return Err(RequestError::malformed(field, "given more than once"));
            }
            *slot = Some(RawField { from_body, value });
        }
        Ok(())
    }

    /// Whether the field is there, with a value or without.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.slot(name).is_some()
    }

    /// The decoded value of a field; one without `=` is malformed.
    pub(crate) fn value(&self, name: &'static str) -> Result<Option<Cow<'a, [u8]>>, RequestError> {
        match self.slot(name) {
            None => Ok(None),
            Some(RawField { value: Some(value), .. }) => Ok(Some(percent_decode(value).into())),
            Some(RawField { value: None, .. }) => Err(RequestError::malformed(name, "has no value")),
        }
    }

    /// The value of a field as `read` takes it.
    pub(crate) fn parse<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&'static str, &[u8]) -> Result<T, RequestError>,
    ) -> Result<Option<T>, RequestError> {
        self.value(name)?.map(|value| read(name, &value)).transpose()
    }

    fn slot(&self, name: &'static str) -> Option<RawField<'a>> {
        KNOWN.iter().zip(&self.slots).find(|(known, _)| **known == name).and_then(|(_, slot)| *slot)
    }
}

/// Every field that the standard names [15444-9 C.1.2, Amd.5], and `dialect`, which is our own.
const KNOWN: [&str; 38] = [
    "target",
    "subtarget",
    "tid",
    "cid",
    "cnew",
    "cclose",
    "qid",
    "fsiz",
    "roff",
    "rsiz",
    "comps",
    "stream",
    "context",
    "srate",
    "roi",
    "layers",
    "metareq",
    "len",
    "quality",
    "align",
    "wait",
    "type",
    "drate",
    "model",
    "tpmodel",
    "need",
    "tpneed",
    "mset",
    "upload",
    "cap",
    "pref",
    "csf",
    "handled",
    "sendto",
    "abandon",
    "barrier",
    "twait",
    "dialect",
];
