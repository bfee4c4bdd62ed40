//! The tile-parts of a codestream: where each begins and ends, by SOT alone [15444-1 A.4.2].

use std::io;

use crate::damage::Damage;
use crate::extent::Span;
use crate::index::Window;
use crate::markers::{Sot, code};

/// One tile-part as its SOT announces it, cut to the bytes that are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundTilePart {
    pub(crate) tile: u16,
    /// TPsot.
    pub(crate) part: u8,
    /// TNsot; 0 when it is not said here.
    pub(crate) parts: u8,
    pub(crate) span: Span,
    pub(crate) psot_zero: bool,
    /// The data end before Psot says so.
    pub(crate) cut: bool,
    /// Whether Isot names a tile of the grid.
    pub(crate) exists: bool,
}

/// All tile-parts in codestream order, and where the codestream ends.
#[derive(Debug)]
pub(crate) struct TileParts {
    pub(crate) parts: Vec<FoundTilePart>,
    pub(crate) codestream_len: u64,
    pub(crate) damage: Vec<Damage>,
}

/// Steps from SOT to SOT, beginning at `start`, without reading anything between.
///
/// At most `max_damage` findings are kept.
///
/// # Errors
///
/// Whatever the source reports.
pub(crate) fn scan(window: &mut Window<'_>, start: u64, tile_count: u32, max_damage: usize) -> io::Result<TileParts> {
    let len = window.source_len();
    let end_of_data = tail(window, start)?;
    let mut found = TileParts { parts: Vec::new(), codestream_len: len, damage: Vec::new() };
    let mut at = start;
    loop {
        let add = |found: &mut TileParts, damage| {
            if found.damage.len() < max_damage {
                found.damage.push(damage);
            }
        };
        let Some(marker) = window.array(at)?.map(u16::from_be_bytes) else {
            // What ends inside a tile-part was reported there.
            if found.parts.last().is_none_or(|part| !part.cut) {
                add(&mut found, Damage::MissingEoc { offset: at });
            }
            return Ok(found);
        };
        if marker == code::EOC {
            found.codestream_len = at + 2;
            return Ok(found);
        }
        if marker != code::SOT {
            add(&mut found, Damage::Irregular { what: "neither SOT nor EOC", offset: at });
            found.codestream_len = at;
            return Ok(found);
        }
        let Some([_, _, _, lsot, payload @ ..]) = window.array::<12>(at)? else {
            add(&mut found, Damage::Truncated { what: "SOT", offset: len });
            return Ok(found);
        };
        let Ok(sot) = Sot::parse(&payload, at + 4) else { return Ok(found) };
        if lsot != 10 {
            add(&mut found, Damage::Irregular { what: "SOT: wrong segment length", offset: at });
        }
        let psot = u64::from(sot.len);
        if psot != 0 && psot < Sot::SEGMENT_LEN {
            add(&mut found, Damage::Irregular { what: "SOT: tile-part shorter than its SOT", offset: at });
            found.codestream_len = at;
            return Ok(found);
        }
        let announced_end = if psot == 0 { end_of_data } else { at + psot };
        let end = announced_end.min(len);
        let exists = u32::from(sot.tile) < tile_count;
        if !exists {
            add(&mut found, Damage::Irregular { what: "SOT: tile that does not exist", offset: at });
        }
        found.parts.push(FoundTilePart {
            tile: sot.tile,
            part: sot.part,
            parts: sot.parts,
            span: Span::new(at, end - at),
            psot_zero: psot == 0,
            cut: announced_end > len,
            exists,
        });
        at = end;
    }
}

/// Where the data of a last tile-part of unknown length end: before EOC, or at the end of everything.
///
/// DICOM pads fragments to an even length and some writers to a block, so zeros after EOC are passed.
fn tail(window: &mut Window<'_>, start: u64) -> io::Result<u64> {
    let len = window.source_len();
    let from = len.saturating_sub(LONGEST_TAIL).max(start);
    let bytes = window.bytes(Span::new(from, len.saturating_sub(from)))?;
    let unpadded = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let ends_with_eoc = bytes.get(..unpadded).is_some_and(|bytes| bytes.ends_with(&code::EOC.to_be_bytes()));
    Ok(if ends_with_eoc { from + unpadded as u64 - 2 } else { len })
}

const LONGEST_TAIL: u64 = 512;
