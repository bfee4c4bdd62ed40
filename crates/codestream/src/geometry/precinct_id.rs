//! In-class identifiers of precinct data-bins [15444-9 A.3.2.1].

use super::TileIndex;
use crate::markers::Siz;

/// What an in-class identifier of a precinct data-bin says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrecinctAddress {
    /// The tile.
    pub tile: TileIndex,
    /// The component, from 0.
    pub component: u16,
    /// The precinct's number in its tile-component: resolution levels from the lowest, each in raster order.
    pub sequence: u64,
}

/// The in-class identifier `tile + (component + sequence × components) × tiles`.
///
/// `None` for a tile or component that does not exist, or beyond 64 bits.
#[must_use]
pub fn precinct_id(siz: &Siz, tile: TileIndex, component: u16, sequence: u64) -> Option<u64> {
    if tile.0 >= siz.tile_count() || component >= siz.component_count() {
        return None;
    }
    sequence
        .checked_mul(u64::from(siz.component_count()))?
        .checked_add(u64::from(component))?
        .checked_mul(u64::from(siz.tile_count()))?
        .checked_add(u64::from(tile.0))
}

/// The inverse of [`precinct_id`]; whether the tile-component has that many precincts is not checked.
#[must_use]
pub fn precinct_address(siz: &Siz, id: u64) -> Option<PrecinctAddress> {
    let (tiles, components) = (u64::from(siz.tile_count()), u64::from(siz.component_count()));
    let tile = TileIndex(u32::try_from(id.checked_rem(tiles)?).ok()?);
    let rest = id / tiles;
    let component = u16::try_from(rest.checked_rem(components)?).ok()?;
    Some(PrecinctAddress { tile, component, sequence: rest / components })
}
