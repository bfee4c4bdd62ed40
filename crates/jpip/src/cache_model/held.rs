//! What a look-up in a cache model gives: a prefix, as far as it can be told without the packet lengths.

use smallvec::SmallVec;

use super::Edit;
use crate::request::model::Amount;

/// Where a precinct lies, as implicit cache descriptors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrecinctPlace {
    /// Tile.
    pub tile: u64,
    /// Component.
    pub component: u64,
    /// Resolution level, 0 = lowest.
    pub resolution: u64,
    /// Raster position within the resolution level.
    pub position: u64,
}

/// What is held of one data-bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// Its first bytes.
    Prefix(u64),
    /// All of it.
    Complete,
    /// Statements, in order, of which some speak of quality layers.
    Statements(Statements),
}

/// Statements about one data-bin, starting from nothing held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements(pub(super) SmallVec<[Edit; 2]>);

impl Held {
    /// Bytes held of a data-bin of `total` bytes, and whether it is known to be complete.
    ///
    /// `unit_end` gives the bytes that a number of quality layers of a precinct, or of tile-parts of a tile, take; it
    /// is called only when a statement speaks of these.
    #[must_use]
    pub fn resolve(&self, total: u64, mut unit_end: impl FnMut(u32) -> u64) -> (u64, bool) {
        match self {
            Self::Nothing => (0, false),
            Self::Prefix(bytes) => ((*bytes).min(total), false),
            Self::Complete => (total, true),
            Self::Statements(Statements(edits)) => {
                let (mut bytes, mut complete) = (0, false);
                for edit in edits {
                    let amount = match edit.amount {
                        Amount::Complete if edit.additive => {
                            (bytes, complete) = (total, true);
                            continue;
                        }
                        Amount::Complete => 0,
                        Amount::Bytes(amount) => amount.min(total),
                        Amount::Layers(layers) => unit_end(layers).min(total),
                        Amount::TileParts { first, last } if edit.additive => {
                            // What lies behind a gap cannot be told in terms of a prefix.
                            let is_reached = bytes >= unit_end(first).min(total);
                            if is_reached { unit_end(last.saturating_add(1)).min(total) } else { 0 }
                        }
                        Amount::TileParts { first, .. } => unit_end(first).min(total),
                    };
                    if edit.additive {
                        bytes = bytes.max(amount);
                    } else if amount < total {
                        (bytes, complete) = (bytes.min(amount), false);
                    }
                }
                (bytes, complete)
            }
        }
    }

    /// Whether nothing at all is held.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
