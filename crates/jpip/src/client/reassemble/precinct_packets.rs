//! Where the packets of a precinct data-bin end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use codestream::{Limits, PacketMarkers, PacketRead, PrecinctState, TileComponent, TileGeometry};

use super::TilePrecinct;

/// The packets of one tile that have arrived whole.
pub(super) struct TilePackets<'a> {
    precincts: BTreeMap<(u16, u64), PrecinctPackets<'a>>,
}

/// The packets of one precinct.
struct PrecinctPackets<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where each whole packet ends, quality layer 0 first.
    ends: Vec<usize>,
}

impl<'a> TilePackets<'a> {
    /// Reads the packet headers of the tile's precinct data-bins.
    ///
    /// A data-bin of a precinct that does not exist is passed over, one whose packet header cannot be read
    /// counts up to there.
    pub(super) fn read(geometry: &TileGeometry, precincts: &[TilePrecinct<'a>], limits: &Limits) -> Self {
        let mut components = BTreeMap::<u16, Option<TileComponent>>::new();
        let mut read = BTreeMap::new();
        for &(component, sequence, bin) in precincts {
            let tile_component = components.entry(component).or_insert_with(|| geometry.component(component));
            let Some(tile_component) = tile_component else { continue };
            let bytes = bin.prefix();
            let ends = packet_ends(geometry, tile_component, sequence, (&bytes, bin.is_complete()), limits);
            read.insert((component, sequence), PrecinctPackets { bytes, ends });
        }
        Self { precincts: read }
    }

    /// The bytes of a packet, if all of them are here.
    pub(super) fn packet(&self, component: u16, sequence: u64, layer: u16) -> Option<&[u8]> {
        let precinct = self.precincts.get(&(component, sequence))?;
        let layer = usize::from(layer);
        let end = *precinct.ends.get(layer)?;
        let start = match layer.checked_sub(1) {
            Some(previous) => *precinct.ends.get(previous)?,
            None => 0,
        };
        precinct.bytes.get(start..end)
    }
}

/// Where the whole packets at the beginning of a precinct data-bin end, given its bytes up to the first gap and
/// whether they are all.
pub(in crate::client) fn packet_ends(
    geometry: &TileGeometry,
    component: &TileComponent,
    sequence: u64,
    (bytes, complete): (&[u8], bool),
    limits: &Limits,
) -> Vec<usize> {
    let mut ends = Vec::new();
    let Some((resolution, px, py)) = component.precinct(sequence) else { return ends };
    let coding = geometry.coding();
    let markers = PacketMarkers { sop: coding.sop, eph: coding.eph };
    let mut state = PrecinctState::new(component, resolution, px, py, &component.coding);
    let mut at = 0usize;
    for layer in 0..coding.layers {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let head = rest.get(..limits.max_packet_header).unwrap_or(rest);
        let Ok(PacketRead::Complete { header_len, body_len }) = state.read_header(layer, head, markers) else { break };
        // A reader tolerates a missing EPH; where the bytes just end before it, it has only not arrived yet.
        let eph_may_follow = markers.eph && !complete && rest.len() < header_len.saturating_add(2);
        let has_eph = rest.get(..header_len).is_some_and(|header| header.ends_with(&[0xFF, 0x92]));
        let end = usize::try_from(body_len).ok().and_then(|body| at.checked_add(header_len)?.checked_add(body));
        match end {
            Some(end) if end <= bytes.len() && (has_eph || !eph_may_follow) => at = end,
            _ => break,
        }
        ends.push(at);
    }
    ends
}
