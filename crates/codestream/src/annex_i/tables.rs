//! How the tables are encoded [15444-9 I.3].

use std::io::{self, Write};

use super::IndexError;
use crate::boxes::BoxType;
use crate::extent::Span;
use crate::index::IndexedTile;
use crate::markers::{MarkerSegment, code};

/// The shape of a fragment array index table [15444-9 I.3.2.4.2].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArrayShape {
    /// 64-bit numbers instead of 32-bit ones.
    pub(super) wide: bool,
    /// An auxiliary number in each entry.
    pub(super) auxiliary: bool,
    /// NMAX.
    pub(super) columns: u64,
    /// M.
    pub(super) rows: u64,
}

impl ArrayShape {
    pub(super) const fn entry_len(self) -> u64 {
        let numbers = if self.wide { 16 } else { 8 };
        if self.auxiliary { numbers + 4 } else { numbers }
    }

    pub(super) const fn head_len(self) -> u64 {
        if self.wide { 17 } else { 9 }
    }

    pub(super) const fn cells(self) -> u64 {
        self.columns.saturating_mul(self.rows)
    }

    pub(super) const fn contents_len(self) -> u64 {
        self.cells().saturating_mul(self.entry_len()).saturating_add(self.head_len())
    }

    /// Box header and version, NMAX, M.
    pub(super) fn head(self) -> Result<Vec<u8>, IndexError> {
        let mut bytes = box_header(*b"faix", self.contents_len());
        bytes.push(u8::from(self.wide) | u8::from(self.auxiliary) << 1);
        self.put(&mut bytes, self.columns)?;
        self.put(&mut bytes, self.rows)?;
        Ok(bytes)
    }

    /// One number of an entry or of the head.
    pub(super) fn put(self, bytes: &mut Vec<u8>, number: u64) -> Result<(), IndexError> {
        if self.wide {
            bytes.extend_from_slice(&number.to_be_bytes());
            return Ok(());
        }
        let narrow = u32::try_from(number);
        let too_large = |_| IndexError::Inconsistent { what: "a position past the end of the codestream" };
        bytes.extend_from_slice(&narrow.map_err(too_large)?.to_be_bytes());
        Ok(())
    }
}

/// Contents and header of a box.
pub(super) const fn box_len(contents_len: u64) -> u64 {
    contents_len.saturating_add(header_len(contents_len))
}

pub(super) const fn header_len(contents_len: u64) -> u64 {
    if contents_len.saturating_add(8) > 0xFFFF_FFFF { 16 } else { 8 }
}

/// The header of a box; with `XLBox` only when it is needed.
pub(crate) fn box_header(box_type: BoxType, contents_len: u64) -> Vec<u8> {
    match u32::try_from(contents_len.saturating_add(8)) {
        Ok(lbox) => [lbox.to_be_bytes(), box_type].concat(),
        Err(_) => long_box_header(box_type, contents_len).to_vec(),
    }
}

/// The header of a box, always with `XLBox`.
pub(super) fn long_box_header(box_type: BoxType, contents_len: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (lbox, rest) = bytes.split_at_mut(4);
    let (name, xlbox) = rest.split_at_mut(4);
    lbox.copy_from_slice(&1u32.to_be_bytes());
    name.copy_from_slice(&box_type);
    xlbox.copy_from_slice(&contents_len.saturating_add(16).to_be_bytes());
    bytes
}

/// Length of the contents of a header index table.
pub(super) fn mhix_len(segments: impl Iterator<Item = MarkerSegment>) -> u64 {
    let listed = segments.filter(|segment| segment.span.len >= 4).count() as u64;
    listed.saturating_mul(14).saturating_add(8)
}

/// A header index table; `OFF` points past the marker code, where OpenJPIP's server looks [15444-9 I.3.2.4.3].
pub(super) fn write_mhix<W: Write>(
    out: &mut W,
    header_len: u64,
    segments: impl DoubleEndedIterator<Item = MarkerSegment> + Clone,
) -> Result<(), IndexError> {
    let listed = segments.filter(|segment| segment.span.len >= 4);
    // NR counts those of the same kind that are still to come, so the counting starts at the end.
    let mut seen = std::collections::BTreeMap::<u16, u16>::new();
    let mut remaining: Vec<u16> = listed
        .clone()
        .rev()
        .map(|segment| {
            let count = seen.entry(segment.marker).or_default();
            let remaining = *count;
            *count = count.saturating_add(1);
            remaining
        })
        .collect();
    out.write_all(&box_header(*b"mhix", mhix_len(listed.clone())))?;
    out.write_all(&header_len.to_be_bytes())?;
    for segment in listed {
        let len = u16::try_from(segment.span.len - 2);
        let len = len.map_err(|_why| IndexError::Inconsistent { what: "a marker segment above 65537 bytes" })?;
        out.write_all(&segment.marker.to_be_bytes())?;
        out.write_all(&remaining.pop().unwrap_or_default().to_be_bytes())?;
        out.write_all(&segment.span.offset.saturating_add(2).to_be_bytes())?;
        out.write_all(&len.to_be_bytes())?;
    }
    Ok(())
}

/// What the header index table of a tile lists: SOT of its first tile-part, then all segments.
pub(super) fn tile_segments(tile: Option<&IndexedTile>) -> impl DoubleEndedIterator<Item = MarkerSegment> + Clone + '_ {
    let first = tile.and_then(|tile| tile.tile_parts.first());
    let sot = first.map(|part| MarkerSegment { marker: code::SOT, span: Span::new(part.span.offset, 12) });
    sot.into_iter().chain(tile.into_iter().flat_map(|tile| tile.header_segments.iter().copied()))
}

/// Length of a tile's first tile-part header, SOT to SOD.
pub(super) fn tile_header_len(tile: Option<&IndexedTile>) -> u64 {
    let Some((tile, first)) = tile.and_then(|tile| Some((tile, tile.tile_parts.first()?))) else { return 0 };
    let inside =
        |segment: &&MarkerSegment| segment.span.offset >= first.span.offset && segment.span.offset < first.span.end();
    let segments: u64 = tile.header_segments.iter().filter(inside).map(|segment| segment.span.len).sum();
    segments.saturating_add(14)
}

/// An output that knows how much went into it.
pub(super) struct Counted<W> {
    pub(super) out: W,
    pub(super) position: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Gathers small writes.
pub(super) struct Cells<'a, W> {
    out: &'a mut W,
    pub(super) bytes: Vec<u8>,
}

impl<'a, W: Write> Cells<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Self { out, bytes: Vec::with_capacity(FLUSH_AT + 64) }
    }

    /// Writes out what has gathered, if it is much.
    pub(super) fn pace(&mut self) -> io::Result<()> {
        if self.bytes.len() >= FLUSH_AT {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let some = usize::try_from(count).unwrap_or(FLUSH_AT).min(FLUSH_AT);
            self.bytes.resize(self.bytes.len() + some, 0);
            count -= some as u64;
            self.pace()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

const FLUSH_AT: usize = 64 * 1024;
