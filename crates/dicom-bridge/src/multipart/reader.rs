//! A body of several parts that is received, as a value that is fed bytes.

use bytes::{Bytes, BytesMut};
use codestream::Family;
use thiserror::Error;

/// How much of a body is taken before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartLimits {
    /// Parts of the body.
    pub max_parts: u64,
    /// Bytes of the header fields of one part.
    pub max_header_bytes: usize,
    /// Bytes before the first boundary, which nobody reads.
    pub max_preamble_bytes: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self { max_parts: 20_000, max_header_bytes: 8 * 1024, max_preamble_bytes: 64 * 1024 }
    }
}

/// Why a body of several parts is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The boundary is not 1 to 70 characters of those that are allowed [RFC 2046 5.1.1].
    #[error("the boundary is not 1 to 70 of the characters that are allowed")]
    Boundary,
    /// A line of a part's header is no header field.
    #[error("a header line of part {part} is not a header field")]
    Header {
        /// Number of the part, from 1.
        part: u64,
    },
    /// Something other than a line end follows a boundary.
    #[error("a boundary after part {part} is followed by something other than a line end")]
    Delimiter {
        /// Number of the part before it, 0 before the first.
        part: u64,
    },
    /// The body ends before its last boundary.
    #[error("the body ends before its closing boundary, after part {part}")]
    Truncated {
        /// Number of the part that is cut, 0 before the first.
        part: u64,
    },
    /// Legal, refused for safety.
    #[error("{what} are more than the limit of {limit}")]
    LimitExceeded {
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
}

impl MultipartError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Boundary | Self::Header { .. } | Self::Delimiter { .. } | Self::Truncated { .. } => Family::Malformed,
            Self::LimitExceeded { .. } => Family::LimitExceeded,
        }
    }
}

/// The header fields of one part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartHeaders {
    fields: Vec<(String, String)>,
}

impl PartHeaders {
    /// The first field of this name, which is given in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What comes next in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultipartEvent {
    /// A part begins.
    Part(PartHeaders),
    /// Bytes of the part that has begun.
    Data(Bytes),
    /// The part has ended.
    PartEnd,
    /// The body has ended; what follows is nobody's.
    End,
}

/// Reads one body: bytes go in by [`MultipartReader::push`], events come out by [`MultipartReader::poll`].
#[derive(Debug)]
pub struct MultipartReader {
    /// Line end, two hyphens, boundary: what ends a part.
    delimiter: Vec<u8>,
    limits: MultipartLimits,
    held: BytesMut,
    /// Bytes of `held` before which no delimiter begins.
    searched: usize,
    state: State,
    parts: u64,
    passed_over: usize,
    is_complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Behind a boundary, before its line end or its two hyphens.
    Delimiter,
    Headers,
    /// At the empty line behind the header fields.
    EmptyLine,
    Data,
    End,
}

/// Spaces that may stand behind a boundary.
const MAX_PADDING: usize = 64;

impl MultipartReader {
    /// A reader of a body with this boundary.
    ///
    /// # Errors
    ///
    /// - [`MultipartError::Boundary`] if it is none.
    pub fn new(boundary: &str, limits: MultipartLimits) -> Result<Self, MultipartError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        if boundary.is_empty() || boundary.len() > 70 || boundary.ends_with(' ') || !boundary.bytes().all(allowed) {
            return Err(MultipartError::Boundary);
        }
        Ok(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            limits,
            // A body may begin with its boundary: as if a line had ended before it.
            held: BytesMut::from(&b"\r\n"[..]),
            searched: 0,
            state: State::Preamble,
            parts: 0,
            passed_over: 0,
            is_complete: false,
        })
    }

    /// Takes the next bytes of the body. All events must have been polled before, so that no more is held than is given.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The body has no more bytes.
    pub fn finish(&mut self) {
        self.is_complete = true;
    }

    /// The next event; `None` if more bytes are needed for it.
    ///
    /// # Errors
    ///
    /// - [`MultipartError`] if the body is none of several parts, is cut off, or goes over a limit.
    pub fn poll(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        loop {
            let event = match self.state {
                State::Preamble => self.preamble()?,
                State::Delimiter => self.delimiter()?,
                State::Headers => self.headers()?,
                State::EmptyLine => self.empty_line(),
                State::Data => self.data(),
                State::End => return Ok(Some(MultipartEvent::End)),
            };
            match event {
                Step::Event(event) => return Ok(Some(event)),
                Step::Again => {}
                Step::More if self.is_complete => return Err(MultipartError::Truncated { part: self.parts }),
                Step::More => return Ok(None),
            }
        }
    }

    fn preamble(&mut self) -> Result<Step, MultipartError> {
        let found = self.find_delimiter();
        let gone = found.unwrap_or(self.searched);
        self.passed_over = self.passed_over.saturating_add(gone);
        if self.passed_over > self.limits.max_preamble_bytes {
            let limit = self.limits.max_preamble_bytes as u64;
            return Err(MultipartError::LimitExceeded { what: "bytes before the first boundary", limit });
        }
        if found.is_none() {
            self.advance(gone);
            return Ok(Step::More);
        }
        self.advance(gone + self.delimiter.len());
        self.state = State::Delimiter;
        Ok(Step::Again)
    }

    fn delimiter(&mut self) -> Result<Step, MultipartError> {
        if self.held.len() < 2 {
            return Ok(Step::More);
        }
        if self.held.starts_with(b"--") {
            self.held.clear();
            self.state = State::End;
            return Ok(Step::Again);
        }
        let padding = self.held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line_end = self.held.get(padding..).unwrap_or_default();
        if padding > MAX_PADDING || (line_end.len() >= 2 && !line_end.starts_with(b"\r\n")) {
            return Err(MultipartError::Delimiter { part: self.parts });
        }
        if line_end.len() < 2 {
            return Ok(Step::More);
        }
        if self.parts >= self.limits.max_parts {
            return Err(MultipartError::LimitExceeded { what: "parts", limit: self.limits.max_parts });
        }
        self.parts += 1;
        // The line end stays: it is the one before the first header field.
        self.advance(padding);
        self.state = State::Headers;
        Ok(Step::Again)
    }

    fn headers(&mut self) -> Result<Step, MultipartError> {
        let end = self.held.windows(4).position(|four| four == b"\r\n\r\n");
        if end.unwrap_or(self.held.len().saturating_sub(3)) > self.limits.max_header_bytes {
            let limit = self.limits.max_header_bytes as u64;
            return Err(MultipartError::LimitExceeded { what: "bytes of a part's header fields", limit });
        }
        let Some(end) = end else { return Ok(Step::More) };
        let headers = self.held.get(..end).and_then(parse_headers);
        let headers = headers.ok_or(MultipartError::Header { part: self.parts })?;
        self.advance(end + 2);
        self.state = State::EmptyLine;
        Ok(Step::Event(MultipartEvent::Part(headers)))
    }

    /// The empty line is that of a delimiter where a part has no bytes at all.
    fn empty_line(&mut self) -> Step {
        if self.held.len() < self.delimiter.len() && self.delimiter.starts_with(&self.held) {
            return Step::More;
        }
        if !self.held.starts_with(&self.delimiter) {
            self.advance(2);
        }
        self.state = State::Data;
        Step::Again
    }

    fn data(&mut self) -> Step {
        let found = self.find_delimiter();
        let ready = found.unwrap_or(self.searched);
        if ready > 0 {
            let bytes = self.held.split_to(ready).freeze();
            self.searched = 0;
            return Step::Event(MultipartEvent::Data(bytes));
        }
        if found.is_none() {
            return Step::More;
        }
        self.advance(self.delimiter.len());
        self.state = State::Delimiter;
        Step::Event(MultipartEvent::PartEnd)
    }

    /// Where the next delimiter begins; if there is none, `searched` tells before where none can begin.
    fn find_delimiter(&mut self) -> Option<usize> {
        loop {
            let rest = self.held.get(self.searched..).unwrap_or_default();
            let Some(at) = rest.iter().position(|byte| *byte == b'\r') else {
                self.searched = self.held.len();
                return None;
            };
            self.searched += at;
            let rest = self.held.get(self.searched..).unwrap_or_default();
            if rest.starts_with(&self.delimiter) {
                return Some(self.searched);
            }
            if self.delimiter.starts_with(rest) {
                return None;
            }
            self.searched += 1;
        }
    }

    fn advance(&mut self, count: usize) {
        let _gone = self.held.split_to(count.min(self.held.len()));
        self.searched = 0;
    }
}

enum Step {
    Event(MultipartEvent),
    Again,
    More,
}

/// The header fields between line ends, the first of which stands before the first field.
fn parse_headers(bytes: &[u8]) -> Option<PartHeaders> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut fields = Vec::new();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(PartHeaders { fields })
}

#[cfg(test)]
mod tests;
