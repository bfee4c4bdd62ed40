//! The tiles of a JPT-stream, as far as they have arrived, put in a form that can be indexed.
//!
//! A tile data-bin is cut at any byte, and its tile-parts may have stood anywhere among those of other tiles. Joined
//! behind the main header, with true lengths and with packed packet headers where their tile-part is, they make a
//! codestream whose index tells which packets are whole.

use std::collections::BTreeMap;

use codestream::markers::{Ppm, Sot, Tlm, code};
use codestream::{CodestreamIndex, Limits, MainHeader, MarkerSegment, index_codestream};

use super::{Output, ReassembleError, part, speaks_of_places};
use crate::client::store::DataBinStore;
use crate::data_bin::{CodestreamId, DataBinClass};

/// What has arrived of the tiles of a codestream.
pub(in crate::client) struct ArrivedTiles {
    /// A codestream of these tiles alone, in tile order.
    pub(super) bytes: Vec<u8>,
    /// Where everything lies in it.
    pub(in crate::client) index: CodestreamIndex,
}

/// A tile-part in a data-bin.
struct HeldPart<'a> {
    /// From SOT on, as far as it is here.
    bytes: &'a [u8],
    /// TNsot; 0 when it is not said here.
    count: u8,
    /// Its packet headers, if they are in the main header.
    packed: Option<&'a [u8]>,
}

/// The whole packets of the tiles that have arrived; `None` if there is no tile-part whose header is whole.
///
/// # Errors
///
/// - [`ReassembleError::Header`] if the limits are exceeded.
/// - [`ReassembleError::TooLong`] if the tiles are longer than a tile-part or `max_len` allow.
pub(in crate::client) fn arrived_tiles(
    store: &DataBinStore,
    codestream: CodestreamId,
    (main, header, segments): (&[u8], &MainHeader, &[MarkerSegment]),
    (limits, max_len): (&Limits, u64),
) -> Result<Option<ArrivedTiles>, ReassembleError> {
    let bins: Vec<_> = store
        .bins_of(codestream, DataBinClass::Tile)
        .filter_map(|(id, bin)| Some((u16::try_from(id).ok()?, bin.prefix())))
        .filter(|(tile, _)| u32::from(*tile) < header.siz().tile_count())
        .collect();
    let mut tiles: BTreeMap<u16, Vec<HeldPart<'_>>> =
        bins.iter().map(|(tile, bytes)| (*tile, held_parts(*tile, bytes))).collect();
    let packed = joined_packed_headers(main, segments);
    if segments.iter().any(|segment| segment.marker == code::PPM) {
        give_back_packed_headers(&mut tiles, &packed, tile_part_order(main, segments), header.siz().tile_count());
    }
    if tiles.values().all(Vec::is_empty) {
        return Ok(None);
    }
    let mut out = Output { bytes: Vec::new(), max_len };
    for segment in segments.iter().filter(|segment| !speaks_of_places(segment.marker)) {
        out.append(part(main, segment.span))?;
    }
    for held in tiles.values().flatten() {
        let start = out.bytes.len();
        let (sot, rest) = held.bytes.split_at_checked(SOT_LEN).unwrap_or((held.bytes, &[]));
        out.append(sot)?;
        for (number, piece) in held.packed.unwrap_or_default().chunks(LONGEST_PACKED).enumerate() {
            let Ok(number) = u8::try_from(number) else { break };
            let len = u16::try_from(piece.len() + 3).unwrap_or(u16::MAX);
            out.append(&code::PPT.to_be_bytes())?;
            out.append(&len.to_be_bytes())?;
            out.append(&[number])?;
            out.append(piece)?;
        }
        out.append(rest)?;
        out.set_tile_part_length(start)?;
    }
    out.append(&code::EOC.to_be_bytes())?;
    let index = index_codestream(&out.bytes, limits)?.index;
    Ok(Some(ArrivedTiles { bytes: out.bytes, index }))
}

/// The tile-parts of a tile data-bin whose headers are whole, up to the first thing that is none.
fn held_parts(tile: u16, bytes: &[u8]) -> Vec<HeldPart<'_>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((&[0xFF, 0x90, 0, 10, ref payload @ ..], _)) = rest.split_first_chunk::<SOT_LEN>() {
        let Ok(sot) = Sot::parse(payload, 0) else { break };
        // A length of 0 is put right by the server; one that does not do so has it in the last tile-part alone.
        let len = if sot.len == 0 { rest.len() } else { usize::try_from(sot.len).unwrap_or(usize::MAX) };
        let (here, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        if sot.tile != tile || here.len() < SOT_LEN || !has_whole_header(here) {
            break;
        }
        found.push(HeldPart { bytes: here, count: sot.parts, packed: None });
        rest = after;
    }
    found
}

/// Whether the marker segments of a tile-part header are here up to SOD.
fn has_whole_header(tile_part: &[u8]) -> bool {
    let mut rest = tile_part.get(SOT_LEN..).unwrap_or_default();
    loop {
        match *rest {
            [0xFF, 0x93, ..] => return true,
            [0xFF, _, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([high, low])).max(2) + 2;
                let Some(after) = rest.get(len..) else { return false };
                rest = after;
            }
            _ => return false,
        }
    }
}

/// The data of all PPM marker segments, in their order [15444-1 A.7.4].
fn joined_packed_headers(main: &[u8], segments: &[MarkerSegment]) -> Vec<u8> {
    let of_ppm = segments.iter().filter(|segment| segment.marker == code::PPM);
    let mut pieces: Vec<_> = of_ppm.filter_map(|segment| Ppm::parse(part(main, segment.payload()), 0).ok()).collect();
    pieces.sort_by_key(|piece| piece.index);
    pieces.iter().flat_map(|piece| piece.data).copied().collect()
}

/// The tiles of the tile-parts in codestream order, where TLM tells it.
fn tile_part_order(main: &[u8], segments: &[MarkerSegment]) -> Option<Vec<u16>> {
    let of_tlm = segments.iter().filter(|segment| segment.marker == code::TLM);
    let mut found: Vec<_> = of_tlm.filter_map(|segment| Tlm::parse(part(main, segment.payload()), 0).ok()).collect();
    found.sort_by_key(|tlm| tlm.index);
    let entries = found.iter().flat_map(|tlm| &tlm.entries);
    let tiles = (0u16..).zip(entries).map(|(number, entry)| entry.tile.unwrap_or(number)).collect::<Vec<_>>();
    (!tiles.is_empty()).then_some(tiles)
}

/// Gives each tile-part its piece of the packed packet headers, which stand in the codestream's order.
///
/// That order is told by TLM; without it the tiles are taken to stand one after the other, and what follows a tile
/// with an unknown number of tile-parts cannot be told. A tile-part without its piece is let go, with those after it.
fn give_back_packed_headers<'a>(
    tiles: &mut BTreeMap<u16, Vec<HeldPart<'a>>>,
    packed: &'a [u8],
    order: Option<Vec<u16>>,
    tile_count: u32,
) {
    let mut pieces = Vec::new();
    let mut rest = packed;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (piece, next) = after.split_at_checked(len).unwrap_or((after, &[]));
        pieces.push(piece);
        rest = next;
    }
    let one_each = u32::try_from(pieces.len()).is_ok_and(|count| count <= tile_count);
    let order = match order {
        Some(order) => order,
        None => {
            let mut order = Vec::new();
            for tile in 0..u16::try_from(tile_count).unwrap_or(u16::MAX) {
                let told = tiles.get(&tile).and_then(|parts| parts.iter().map(|part| part.count).max());
                let count = if one_each { 1 } else { told.unwrap_or(0) };
                if count == 0 {
                    // Nothing after it has a place; all the rest may be its own.
                    let left = pieces.len().saturating_sub(order.len());
                    order.extend(std::iter::repeat_n(tile, left));
                    break;
                }
                order.extend(std::iter::repeat_n(tile, usize::from(count)));
            }
            order
        }
    };
    let mut next = BTreeMap::<u16, usize>::new();
    for (tile, piece) in order.into_iter().zip(pieces) {
        let number = next.entry(tile).or_default();
        if let Some(part) = tiles.get_mut(&tile).and_then(|parts| parts.get_mut(*number)) {
            part.packed = Some(piece);
        }
        *number += 1;
    }
    for parts in tiles.values_mut() {
        let whole = parts.iter().take_while(|part| part.packed.is_some()).count();
        parts.truncate(whole);
    }
}

/// Bytes of an SOT marker segment.
const SOT_LEN: usize = 12;

/// Most bytes of packet headers in one PPT marker segment.
const LONGEST_PACKED: usize = 65_532;

#[cfg(test)]
mod tests {
    use super::*;

    fn tile_part(tile: u8, part: u8, count: u8, psot: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0x90, 0, 10, 0, tile];
        bytes.extend(psot.to_be_bytes());
        bytes.extend([part, count, 0xFF, 0x93]);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn tile_parts_are_found_as_far_as_they_are_here() {
        let bytes = [tile_part(3, 0, 2, 17, b"abc"), tile_part(3, 1, 0, 16, b"de")].concat();
        let lengths = |tile, bytes: &[u8]| held_parts(tile, bytes).iter().map(|p| p.bytes.len()).collect::<Vec<_>>();
        assert_eq!(lengths(3, &bytes), [17, 16]);
        for (cut, expected) in
            [(0, &[][..]), (13, &[]), (14, &[14]), (16, &[16]), (17, &[17]), (30, &[17]), (31, &[17, 14])]
        {
            assert_eq!(lengths(3, &bytes[..cut]), expected, "{cut}");
        }
        assert_eq!(lengths(4, &bytes), [0; 0], "those of another tile");
        assert_eq!(lengths(3, &tile_part(3, 0, 1, 0, b"xyz")), [17], "a length of 0 reaches to the end");
        assert_eq!(lengths(3, &tile_part(3, 0, 1, 5, b"xyz")), [0; 0], "shorter than its own header");
    }

    #[test]
    fn a_7_4_packed_headers_go_back_to_their_tile_parts() {
        let packed: Vec<u8> = b"abcdef".iter().flat_map(|&byte| [0, 0, 0, 1, byte]).collect();
        let assigned = |order: Option<Vec<u16>>, tile_count: u32, held: &[(u16, u8, u8)]| -> Vec<(u16, String)> {
            let mut tiles = BTreeMap::<u16, Vec<HeldPart<'_>>>::new();
            for &(tile, parts, count) in held {
                let part = |_| HeldPart { bytes: &[], count, packed: None };
                tiles.insert(tile, (0..parts).map(part).collect());
            }
            give_back_packed_headers(&mut tiles, &packed, order, tile_count);
            let text = |parts: &[HeldPart<'_>]| {
                parts.iter().map(|part| String::from_utf8_lossy(part.packed.unwrap()).into_owned()).collect()
            };
            tiles.iter().map(|(tile, parts)| (*tile, text(parts))).collect()
        };
        let is =
            |expected: &[(u16, &str)]| expected.iter().map(|(t, text)| (*t, (*text).to_owned())).collect::<Vec<_>>();
        let interleaved = Some(vec![0, 1, 0, 1, 0, 1]);
        assert_eq!(assigned(interleaved, 2, &[(0, 3, 0), (1, 2, 0)]), is(&[(0, "ace"), (1, "bd")]));
        assert_eq!(assigned(None, 6, &[(2, 1, 0), (4, 1, 1)]), is(&[(2, "c"), (4, "e")]), "one each");
        assert_eq!(assigned(None, 2, &[(0, 2, 3), (1, 3, 3)]), is(&[(0, "ab"), (1, "def")]));
        assert_eq!(assigned(None, 1, &[(0, 6, 0)]), is(&[(0, "abcdef")]), "a tile alone");
        assert_eq!(assigned(None, 2, &[(1, 3, 3)]), is(&[(1, "")]), "nobody knows where tile 1 begins");
    }
}
