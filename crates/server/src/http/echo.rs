//! What an answer on `/jpip` says of its request, whatever becomes of that [15444-9 C.3.5, D.2].

use http::{HeaderMap, HeaderValue};

/// The fields that are answered also when others of the request are refused.
#[derive(Debug, Default)]
pub(super) struct Echo {
    qid: Option<u64>,
    asks_what_is_handled: bool,
}

impl Echo {
    /// Looks for them in a query or in a body, which is read after it and takes precedence.
    pub(super) fn read(&mut self, fields: &[u8]) {
        for field in fields.trim_ascii_end().split(|&byte| byte == b'&') {
            let (name, value) = match field.iter().position(|&byte| byte == b'=') {
                Some(at) => (&field[..at], &field[at + 1..]),
                None => (field, &[][..]),
            };
            match name {
                b"handled" => self.asks_what_is_handled = true,
                b"qid" => self.qid = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()),
                _ => {}
            }
        }
    }

    /// Answers them where the answer does not do so yet.
    pub(super) fn answer(&self, headers: &mut HeaderMap) {
        if let Some(qid) = self.qid {
            headers.entry("jpip-qid").or_insert_with(|| HeaderValue::from(qid));
        }
        if self.asks_what_is_handled {
            headers.entry("jpip-handled").or_insert(HeaderValue::from_static(jpip::response::HANDLED));
        }
    }
}
