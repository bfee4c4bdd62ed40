//! Data-bins: what the messages of a JPP-stream or JPT-stream are pieces of [15444-9 A.3].

/// Number of a codestream within its logical target, as in `stream=` and the CSn of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CodestreamId(pub u64);

/// Class of a data-bin as messages name it [15444-9 A.3, table A.2].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DataBinClass {
    /// All packets of one precinct, quality layer 0 first (JPP).
    Precinct = 0,
    /// The same data-bins as [`Self::Precinct`], in messages that carry the number of whole quality layers.
    ExtendedPrecinct = 1,
    /// All marker segments of a tile's tile-part headers but SOT (JPP).
    TileHeader = 2,
    /// All tile-parts of one tile (JPT).
    Tile = 4,
    /// The same data-bins as [`Self::Tile`], in messages that carry resolution information.
    ExtendedTile = 5,
    /// From SOC up to the first SOT.
    MainHeader = 6,
    /// Boxes of the logical target; belongs to no codestream.
    Metadata = 8,
}

impl DataBinClass {
    /// The class with this number, if the standard defines it.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Precinct,
            1 => Self::ExtendedPrecinct,
            2 => Self::TileHeader,
            4 => Self::Tile,
            5 => Self::ExtendedTile,
            6 => Self::MainHeader,
            8 => Self::Metadata,
            _ => return None,
        })
    }

    /// The number that messages carry.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether messages of this class end their header with an Aux number; true of the odd classes.
    #[must_use]
    pub const fn has_aux(self) -> bool {
        self.number() & 1 == 1
    }

    /// The class that names the same data-bins without Aux: 1 becomes 0, 5 becomes 4.
    #[must_use]
    pub const fn plain(self) -> Self {
        match self {
            Self::ExtendedPrecinct => Self::Precinct,
            Self::ExtendedTile => Self::Tile,
            other => other,
        }
    }
}

/// Name of one data-bin of a logical target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BinKey {
    /// The codestream; 0 for metadata-bins, which belong to none.
    pub codestream: CodestreamId,
    /// The class without Aux: 0, 2, 4, 6 or 8.
    pub class: DataBinClass,
    /// The in-class identifier [15444-9 A.2.3].
    pub id: u64,
}

impl BinKey {
    /// The data-bin that messages with this class, CSn and identifier speak of.
    #[must_use]
    pub const fn new(class: DataBinClass, codestream: CodestreamId, id: u64) -> Self {
        let class = class.plain();
        let codestream = if matches!(class, DataBinClass::Metadata) { CodestreamId(0) } else { codestream };
        Self { codestream, class, id }
    }

    /// The main header data-bin of a codestream.
    #[must_use]
    pub const fn main_header(codestream: CodestreamId) -> Self {
        Self::new(DataBinClass::MainHeader, codestream, 0)
    }

    /// The header data-bin of a tile.
    #[must_use]
    pub const fn tile_header(codestream: CodestreamId, tile: u32) -> Self {
        Self::new(DataBinClass::TileHeader, codestream, tile as u64)
    }

    /// The data-bin of the precinct with in-class identifier `id`.
    #[must_use]
    pub const fn precinct(codestream: CodestreamId, id: u64) -> Self {
        Self::new(DataBinClass::Precinct, codestream, id)
    }

    /// The data-bin of a tile.
    #[must_use]
    pub const fn tile(codestream: CodestreamId, tile: u32) -> Self {
        Self::new(DataBinClass::Tile, codestream, tile as u64)
    }

    /// A metadata-bin of the target.
    #[must_use]
    pub const fn metadata(id: u64) -> Self {
        Self::new(DataBinClass::Metadata, CodestreamId(0), id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_3_extended_classes_name_the_same_data_bins() {
        let id = CodestreamId(3);
        assert_eq!(BinKey::new(DataBinClass::ExtendedPrecinct, id, 7), BinKey::precinct(id, 7));
        assert_eq!(BinKey::new(DataBinClass::ExtendedTile, id, 7), BinKey::new(DataBinClass::Tile, id, 7));
        assert_eq!(BinKey::new(DataBinClass::Metadata, id, 7), BinKey::metadata(7));
    }

    #[test]
    fn a_3_numbers_are_those_of_the_standard() {
        for number in 0..=300 {
            let class = DataBinClass::from_number(number);
            assert_eq!(class.is_some(), [0, 1, 2, 4, 5, 6, 8].contains(&number));
            assert!(class.is_none_or(|class| u64::from(class.number()) == number));
        }
    }
}
