//! The marker segments of a main or tile-part header, read from the source one by one [15444-1 A.1].

use super::window::Window;
use crate::error::ParseError;
use crate::extent::Span;
use crate::markers::{self, MarkerSegment};

/// Lists the marker segments from `start` up to, not including, the first one with the code `until`.
///
/// Payloads are not read. Gives the offset of the `until` marker too.
///
/// # Errors
///
/// - [`ParseError::Truncated`] if the header reaches `end`.
/// - [`ParseError::Malformed`] if there is no marker where one must be, or a length is below 2.
/// - [`ParseError::LimitExceeded`] for a header of more than `max_header` bytes.
/// - [`ParseError::Source`] if the medium failed.
pub(super) fn list_segments(
    window: &mut Window<'_>,
    start: u64,
    end: u64,
    until: u16,
    max_header: u64,
) -> Result<(Vec<MarkerSegment>, u64), ParseError> {
    let mut segments = Vec::new();
    let mut at = start;
    loop {
        let truncated = ParseError::Truncated { what: "a header", offset: end };
        let marker = u16::from_be_bytes(window.array(at)?.ok_or_else(|| repeat(&truncated))?);
        if at + 2 > end {
            return Err(truncated);
        }
        if marker == until {
            return Ok((segments, at));
        }
        if marker < 0xFF00 {
            return Err(ParseError::Malformed { what: "a marker code is missing", offset: at });
        }
        let mut len = 2;
        if !markers::stands_alone(marker) {
            let announced = u16::from_be_bytes(window.array(at + 2)?.ok_or_else(|| repeat(&truncated))?);
            if announced < 2 {
                return Err(ParseError::Malformed { what: "marker segment length below 2", offset: at });
            }
            len += u64::from(announced);
        }
        if at + len > end {
            return Err(truncated);
        }
        segments.push(MarkerSegment { marker, span: Span::new(at, len) });
        at += len;
        let found = at - start;
        if found > max_header {
            return Err(ParseError::LimitExceeded { what: "bytes of a header", found, limit: max_header });
        }
    }
}

/// `ParseError` cannot be cloned because of the I/O error in it.
const fn repeat(truncated: &ParseError) -> ParseError {
    match *truncated {
        ParseError::Truncated { what, offset } => ParseError::Truncated { what, offset },
        _ => ParseError::Truncated { what: "a header", offset: 0 },
    }
}
