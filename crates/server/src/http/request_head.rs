//! What passes on a connection before hyper sees it: where request heads begin and end, which bytes of a
//! request line need percent-encoding, and whether a head frames its body in two ways at once.
//!
//! JPIP clients send `<`, `>`, `"` and bytes above 0x7F unencoded in the query; hyper answers 400 to these before
//! any handler runs. Percent-encoding them one layer below changes nothing else, because a query is
//! percent-decoded before it is read.
//!
//! The tracker follows the byte stream exactly as long as every body has a Content-Length. After a head with
//! `Transfer-Encoding` it lets everything pass untouched, and the connection ends with that response.

/// Where the tracker stands in the byte stream of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Between two requests; nothing of the next one has been seen.
    Between,
    /// Inside a request line or the header fields after it.
    Head,
    /// Inside a body of this many bytes to come.
    Body(u64),
    /// Behind a head whose body has no announced length: nothing is followed any more.
    Opaque,
}

/// Follows one direction of a connection, byte by byte.
#[derive(Debug)]
pub(crate) struct HeadTracker {
    position: Position,
    in_request_line: bool,
    /// The beginning of the current header line, lower case, as far as it is needed to know its name.
    line: Vec<u8>,
    line_len: usize,
    content_length: Option<u64>,
    chunked: bool,
    ambiguous: bool,
}

/// Longest header line prefix that is looked at: a name of interest, colon, white space and 20 digits.
const LINE_PREFIX: usize = 64;

impl HeadTracker {
    pub(crate) fn new() -> Self {
        Self {
            position: Position::Between,
            in_request_line: true,
            line: Vec::with_capacity(LINE_PREFIX),
            line_len: 0,
            content_length: None,
            chunked: false,
            ambiguous: false,
        }
    }

    /// Where the last byte given to [`HeadTracker::feed`] has led.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Whether a head had both `Content-Length` and `Transfer-Encoding`, or a length that is no number.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Takes the next bytes; returns them rewritten if any of them had to be percent-encoded.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rewritten: Option<Vec<u8>> = None;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.position {
                Position::Opaque => {
                    if let Some(out) = &mut rewritten {
                        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
                    }
                    return rewritten;
                }
                Position::Body(left) => {
                    let here = bytes.len() - at;
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                    if let Some(out) = &mut rewritten {
                        out.extend_from_slice(bytes.get(at..at + take).unwrap_or_default());
                    }
                    at += take;
                    let left = left - take as u64;
                    self.position = if left == 0 { Position::Between } else { Position::Body(left) };
                    continue;
                }
                Position::Between | Position::Head => {}
            }
            at += 1;
            if self.head_byte(byte) {
                let out = rewritten.get_or_insert_with(|| {
                    let mut out = Vec::with_capacity(bytes.len() + 64);
                    out.extend_from_slice(bytes.get(..at - 1).unwrap_or_default());
                    out
                });
                out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            } else if let Some(out) = &mut rewritten {
                out.push(byte);
            }
        }
        rewritten
    }

    /// Takes one byte of a head; says whether it must be percent-encoded.
    fn head_byte(&mut self, byte: u8) -> bool {
        if self.position == Position::Between {
            // Empty lines before a request line are allowed [RFC 9112 2.2].
            if byte == b'\r' || byte == b'\n' {
                return false;
            }
            self.position = Position::Head;
            self.in_request_line = true;
            self.content_length = None;
            self.chunked = false;
        }
        if self.in_request_line {
            if byte == b'\n' {
                self.in_request_line = false;
                self.line.clear();
                self.line_len = 0;
            }
            return must_encode(byte);
        }
        match byte {
            b'\n' => self.end_of_line(),
            b'\r' => {}
            _ => {
                self.line_len += 1;
                if self.line.len() < LINE_PREFIX {
                    self.line.push(byte.to_ascii_lowercase());
                }
            }
        }
        false
    }

    fn end_of_line(&mut self) {
        if self.line_len == 0 {
            self.end_of_head();
            return;
        }
        if self.line.starts_with(b"transfer-encoding") {
            self.chunked = true;
        } else if let Some(value) = self.line.strip_prefix(b"content-length:") {
            let length = if self.line_len > LINE_PREFIX { None } else { parse_length(value) };
            match (length, self.content_length) {
                (Some(length), None) => self.content_length = Some(length),
                (Some(length), Some(before)) if length == before => {}
                _ => self.ambiguous = true,
            }
        }
        self.line.clear();
        self.line_len = 0;
    }

    fn end_of_head(&mut self) {
        self.ambiguous |= self.chunked && self.content_length.is_some();
        self.position = match (self.chunked || self.ambiguous, self.content_length) {
            (true, _) => Position::Opaque,
            (false, None | Some(0)) => Position::Between,
            (false, Some(length)) => Position::Body(length),
        };
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes that the `http` crate refuses in a request target, and that a client may well send.
const fn must_encode(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'"' | b'`' | b'^' | b'\\' | b'{' | b'}' | b'|' | 0x80..)
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(chunks: &[&[u8]]) -> (Vec<u8>, HeadTracker) {
        let mut tracker = HeadTracker::new();
        let mut out = Vec::new();
        for chunk in chunks {
            match tracker.feed(chunk) {
                Some(rewritten) => out.extend(rewritten),
                None => out.extend_from_slice(chunk),
            }
        }
        (out, tracker)
    }

    #[test]
    fn raw_characters_of_a_request_line_are_percent_encoded() {
        let input = b"GET /jpip?context=jpxl<0-0>&x=\"\xE9 HTTP/1.1\r\nX: <a>\r\n\r\n";
        let wanted = b"GET /jpip?context=jpxl%3C0-0%3E&x=%22%E9 HTTP/1.1\r\nX: <a>\r\n\r\n";
        assert_eq!(through(&[input]).0, wanted);
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(through(&single).0, wanted);
    }

    #[test]
    fn ordinary_requests_are_not_copied() {
        let mut tracker = HeadTracker::new();
        assert!(tracker.feed(b"GET /jpip?a=[b]!!&c=%3C HTTP/1.1\r\nHost: a\r\n\r\n").is_none());
        assert_eq!(tracker.position(), Position::Between);
    }

    #[test]
    fn a_body_passes_untouched_and_the_next_request_line_is_seen() {
        let input = b"\r\nPOST /jpip HTTP/1.1\r\ncontent-LENGTH: 6\r\n\r\n<a>\n\n<GET /<b> HTTP/1.1\r\n\r\n";
        let wanted = b"\r\nPOST /jpip HTTP/1.1\r\ncontent-LENGTH: 6\r\n\r\n<a>\n\n<GET /%3Cb%3E HTTP/1.1\r\n\r\n";
        for size in [1, 2, 3, 7, 64, 1000] {
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            let (out, tracker) = through(&chunks);
            assert_eq!(out, wanted, "chunks of {size}");
            assert_eq!(tracker.position(), Position::Between);
        }
    }

    #[test]
    fn a_chunked_body_ends_the_tracking() {
        let (out, tracker) =
            through(&[b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\n<a>\r\n0\r\n\r\nGET /< H"]);
        assert!(out.ends_with(b"GET /< H"));
        assert_eq!(tracker.position(), Position::Opaque);
        assert!(!tracker.is_ambiguous());
    }

    #[test]
    fn two_framings_in_one_head_are_noticed() {
        for head in [
            &b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
        ] {
            assert!(through(&[head]).1.is_ambiguous(), "{}", String::from_utf8_lossy(head));
        }
    }
}
