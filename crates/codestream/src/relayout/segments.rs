//! Marker segments of the new headers [15444-1 A.4.2, A.7.1, A.7.3].

use super::rope::RopeBuilder;
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::TileIndex;
use crate::index::IndexedTile;
use crate::markers::{MarkerSegment, code};

/// A marker segment of a new header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderSegment {
    /// As it is in the stored codestream.
    Stored(MarkerSegment),
    /// A new one: marker code, and all of its bytes.
    Made(u16, Vec<u8>),
}

impl HeaderSegment {
    /// A segment with this payload.
    pub(super) fn made(marker: u16, payload: &[u8]) -> Result<Self, ParseError> {
        let too_long = |_long| ParseError::Unsupported { what: "a marker segment of more than 65535 bytes" };
        let len = u16::try_from(payload.len().saturating_add(2)).map_err(too_long)?;
        Ok(Self::Made(marker, [&marker.to_be_bytes()[..], &len.to_be_bytes(), payload].concat()))
    }

    pub(super) const fn marker(&self) -> u16 {
        match self {
            Self::Stored(segment) => segment.marker,
            Self::Made(marker, _) => *marker,
        }
    }

    /// Bytes of it.
    pub(super) const fn len(&self) -> u64 {
        match self {
            Self::Stored(segment) => segment.span.len,
            Self::Made(_, bytes) => bytes.len() as u64,
        }
    }

    /// Appends it; gives where it came to lie.
    pub(super) fn put(&self, out: &mut RopeBuilder) -> MarkerSegment {
        let offset = out.len();
        match self {
            Self::Stored(segment) => out.stored(segment.span),
            Self::Made(_, bytes) => out.inline(bytes),
        }
        MarkerSegment { marker: self.marker(), span: Span::new(offset, self.len()) }
    }
}

/// The SOT marker segment of tile-part `part` of `parts`, which is `len` bytes long.
pub(super) fn sot(tile: TileIndex, len: u32, part: u8, parts: u8) -> Result<Vec<u8>, ParseError> {
    let no_such_tile = |_wide| ParseError::Malformed { what: "a tile that SOT cannot name", offset: 0 };
    let tile = u16::try_from(tile.0).map_err(no_such_tile)?;
    Ok([&[0xFF, 0x90, 0, 10][..], &tile.to_be_bytes(), &len.to_be_bytes(), &[part, parts]].concat())
}

/// PLT marker segments with these packet lengths; none is spread over two.
pub(super) fn plt(lengths: impl Iterator<Item = u64>) -> Result<Vec<HeaderSegment>, ParseError> {
    let mut segments = Vec::new();
    let mut payload = vec![0];
    for length in lengths {
        let groups = (u64::BITS - length.leading_zeros()).div_ceil(7).max(1);
        if payload.len() + usize::try_from(groups).unwrap_or(usize::MAX) > MAX_PAYLOAD {
            segments.push(numbered(code::PLT, segments.len(), &mut payload, 1)?);
        }
        for group in (0..groups).rev() {
            let bits = u8::try_from((length >> (7 * group)) & 0x7F).unwrap_or(0);
            payload.push(if group > 0 { bits | 0x80 } else { bits });
        }
    }
    if payload.len() > 1 {
        segments.push(numbered(code::PLT, segments.len(), &mut payload, 1)?);
    }
    Ok(segments)
}

/// TLM marker segments for all tile-parts, with 16 bits for the tile and 32 for the length.
pub(super) fn tlm<'a>(tiles: impl Iterator<Item = &'a IndexedTile>) -> Result<Vec<HeaderSegment>, ParseError> {
    let mut segments = Vec::new();
    let mut payload = vec![0, 0x60];
    for (tile, part) in tiles.flat_map(|tile| tile.tile_parts.iter().map(|part| (tile.tile, part))) {
        if payload.len() + 6 > MAX_PAYLOAD {
            segments.push(numbered(code::TLM, segments.len(), &mut payload, 2)?);
        }
        // Tiles have 16-bit numbers and tile-parts 32-bit lengths by the way they were made.
        payload.extend(u16::try_from(tile.0).unwrap_or(u16::MAX).to_be_bytes());
        payload.extend(u32::try_from(part.span.len).unwrap_or(u32::MAX).to_be_bytes());
    }
    if payload.len() > 2 {
        segments.push(numbered(code::TLM, segments.len(), &mut payload, 2)?);
    }
    Ok(segments)
}

/// A segment whose payload begins with its number; the payload is cut back to its first `head` bytes.
fn numbered(marker: u16, number: usize, payload: &mut Vec<u8>, head: usize) -> Result<HeaderSegment, ParseError> {
    let too_many =
        |_wide| ParseError::Unsupported { what: "more packet or tile-part lengths than PLT or TLM can hold" };
    let number = u8::try_from(number).map_err(too_many)?;
    if let Some(first) = payload.first_mut() {
        *first = number;
    }
    let segment = HeaderSegment::made(marker, payload)?;
    payload.truncate(head);
    Ok(segment)
}

/// Most bytes of a payload.
const MAX_PAYLOAD: usize = 65_533;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markers::PacketLengths;

    #[test]
    fn a_7_3_lengths_fill_segment_after_segment_and_read_back() {
        let lengths: Vec<u64> =
            (0..60_000u64).map(|n| n * n % 2_100_000).chain([0, 127, 128, u64::from(u32::MAX)]).collect();
        let segments = plt(lengths.iter().copied()).unwrap();
        assert!(segments.len() > 2);
        let mut read = Vec::new();
        for (number, segment) in segments.iter().enumerate() {
            let HeaderSegment::Made(code::PLT, bytes) = segment else { panic!("{segment:?}") };
            assert_eq!(usize::from(bytes[4]), number);
            let mut reader = PacketLengths::default();
            read.extend(bytes[5..].iter().filter_map(|&byte| reader.push(byte)));
        }
        assert_eq!(read, lengths);
        assert!(plt(std::iter::repeat_n(1, 256 * 65_532)).is_ok());
        assert!(plt(std::iter::repeat_n(1, 256 * 65_532 + 1)).is_err());
        assert!(plt(std::iter::empty()).unwrap().is_empty());
    }
}
