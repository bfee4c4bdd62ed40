//! Whether everything that a view-window needs has arrived.

use codestream::geometry::precinct_id;
use codestream::{Limits, MainHeader, TileGeometry};

use super::reassemble::{ArrivedTiles, ReassembleError, arrived_tiles, packet_ends};
use super::store::DataBinStore;
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::dialect::tile_header_segments;
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

impl WindowNeeds<'_> {
    fn wants(&self, component: u16) -> bool {
        self.components.is_empty() || self.components.iter().any(|range| range.contains(u64::from(component)))
    }
}

/// Whether `store` holds every header and every precinct (or its first quality layers) that the window needs, or
/// the tiles up to the last packet of these.
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
    let (header, segments) = MainHeader::parse(&main, limits)?;
    let siz = header.siz();
    if store.bins_of(codestream, DataBinClass::Tile).next().is_some() {
        let arrived = arrived_tiles(store, codestream, (&main, &header, &segments), (limits, u64::MAX))?;
        return Ok(arrived.is_some_and(|arrived| tiles_complete(&arrived, window, needs)));
    }
    let tiles = window.tiles(siz);
    for tile in (0..tiles.len()).filter_map(|n| tiles.tile(n)).filter(|&tile| window.meets(siz, tile)) {
        let Some(bin) = store.bin(&BinKey::tile_header(codestream, tile.0)).filter(|bin| bin.is_complete()) else {
            return Ok(false);
        };
        let geometry = TileGeometry::new(siz, tile, header.tile_coding(tile_header_segments(&bin.prefix()))?);
        for component in (0..siz.component_count()).filter(|&component| needs.wants(component)) {
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

fn tiles_complete(arrived: &ArrivedTiles, window: &ViewWindow, needs: &WindowNeeds<'_>) -> bool {
    let siz = arrived.index.header.siz();
    let tiles = window.tiles(siz);
    (0..tiles.len()).filter_map(|n| tiles.tile(n)).filter(|&tile| window.meets(siz, tile)).all(|tile| {
        let Some(indexed) = arrived.index.tile(tile) else { return false };
        let geometry = arrived.index.geometry(indexed);
        let layers = needs.layers.map_or(indexed.coding.layers, |layers| layers.min(indexed.coding.layers));
        (0..siz.component_count()).filter(|&component| needs.wants(component)).all(|component| {
            let place = geometry.component(component).zip(geometry.sampling(component));
            let ranges = place.map(|(part, sampling)| window.precincts(&part, sampling)).unwrap_or_default();
            ranges.iter().all(|range| {
                let mut sequences = (0..range.len()).filter_map(|n| range.nth_sequence(n));
                sequences.all(|sequence| (0..layers).all(|l| !indexed.packet(component, sequence, l).is_empty()))
            })
        })
    })
}
