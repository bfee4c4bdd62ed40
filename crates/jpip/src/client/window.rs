//! Whether everything that a view-window needs has arrived.

use codestream::geometry::precinct_id;
use codestream::{Limits, MainHeader, TileGeometry};

use super::reassemble::{ReassembleError, packet_ends};
use super::store::DataBinStore;
use crate::data_bin::{BinKey, CodestreamId};
use crate::request::range::UintRange;
use crate::view_window::ViewWindow;

/// What of a window's precincts is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct WindowNeeds<'a> {
    /// Components; empty for all of them.
    pub components: &'a [UintRange],
    /// Quality layers, if not all of them.
    pub layers: Option<u16>,
}

/// Whether `store` holds every header and every precinct (or its first quality layers) that the window needs.
///
/// Looks no further than the first thing that is missing.
///
/// # Errors
///
/// - [`ReassembleError::NoMainHeader`] if the main header data-bin is not complete.
/// - [`ReassembleError::Header`] if a header cannot be read.
pub fn window_complete(
    store: &DataBinStore,
    codestream: CodestreamId,
    window: &ViewWindow,
    needs: &WindowNeeds<'_>,
    limits: &Limits,
) -> Result<bool, ReassembleError> {
    let main = store.bin(&BinKey::main_header(codestream)).filter(|bin| bin.is_complete());
    let main = main.ok_or(ReassembleError::NoMainHeader(codestream))?.prefix();
    let (header, _) = MainHeader::parse(&main, limits)?;
    let siz = header.siz();
    let tiles = window.tiles(siz);
    for tile in (0..tiles.len()).filter_map(|n| tiles.tile(n)).filter(|&tile| window.meets(siz, tile)) {
        let Some(bin) = store.bin(&BinKey::tile_header(codestream, tile.0)).filter(|bin| bin.is_complete()) else {
            return Ok(false);
        };
        let geometry = TileGeometry::new(siz, tile, header.tile_coding(&bin.prefix())?);
        let wanted = |component: &u16| {
            needs.components.is_empty() || needs.components.iter().any(|range| range.contains(u64::from(*component)))
        };
        for component in (0..siz.component_count()).filter(wanted) {
            let (Some(tile_component), Some(sampling)) = (geometry.component(component), geometry.sampling(component))
            else {
                continue;
            };
            for range in window.precincts(&tile_component, sampling) {
                for sequence in (0..range.len()).filter_map(|n| range.nth_sequence(n)) {
                    let Some(id) = precinct_id(siz, tile, component, sequence) else { return Ok(false) };
                    let Some(bin) = store.bin(&BinKey::precinct(codestream, id)) else { return Ok(false) };
                    if bin.is_complete() {
                        continue;
                    }
                    let Some(layers) = needs.layers.filter(|&layers| layers < geometry.coding().layers) else {
                        return Ok(false);
                    };
                    let ends = packet_ends(&geometry, &tile_component, sequence, (&bin.prefix(), false), limits);
                    if ends.len() < usize::from(layers) {
                        return Ok(false);
                    }
                }
            }
        }
    }
    Ok(true)
}
