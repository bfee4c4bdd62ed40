//! Splitting a request into fields, before any value is looked at [15444-9 C.1].

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::error::RequestError;

/// The raw values of the known fields of one request.
///
/// Fields are told apart before anything is decoded, so an escaped `&` or `=` stays inside its value.
/// Unknown names are passed over. `+` means itself.
#[derive(Debug, Default)]
pub(crate) struct RawFields<'a> {
    /// Those that are there, each name once; few of [`KNOWN`] are.
    present: Vec<RawField<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct RawField<'a> {
    name: &'static str,
    from_body: bool,
    /// `None` for a field without `=`.
    value: Option<&'a [u8]>,
}

impl<'a> RawFields<'a> {
    /// Reads the fields of the URL's query, or of a POST body, which takes precedence.
    pub(crate) fn read(&mut self, text: &'a [u8], from_body: bool) -> Result<(), RequestError> {
        for pair in text.split(|&byte| byte == b'&') {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next();
            let Some(&name) = KNOWN.iter().find(|known| known.as_bytes() == name) else { continue };
            let field = RawField { name, from_body, value };
            match self.present.iter_mut().find(|held| held.name == name) {
                Some(held) if held.from_body == from_body => {
                    return Err(RequestError::malformed(name, "given more than once"));
                }
                Some(held) => *held = field,
                None => self.present.push(field),
            }
        }
        Ok(())
    }

    /// Whether the field is there, with a value or without.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.find(name).is_some()
    }

    /// The decoded value of a field; one without `=` is malformed.
    pub(crate) fn value(&self, name: &'static str) -> Result<Option<Cow<'a, [u8]>>, RequestError> {
        match self.find(name) {
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

    fn find(&self, name: &str) -> Option<&RawField<'a>> {
        self.present.iter().find(|field| field.name == name)
    }
}

/// Every field that the standard names [15444-9 C.1.2, Amd.5], and `dialect`, which is our own.
pub const KNOWN: [&str; 38] = [
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
