//! SIZ: the reference grid, its tiles and its components [15444-1 A.5.1, B.2, B.3].

use std::sync::Arc;

use super::Fields;
use crate::error::ParseError;
use crate::geometry::TileIndex;
use crate::rect::{ComponentGrid, Rect, ReferenceGrid, ceil_div, ceil_shift};

/// Image and tile size. A value that exists has a non-empty image, non-empty tiles that cover it, and
/// 1 to 16384 components with sub-sampling factors of at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Siz {
    /// Capabilities; bit 14 says that a CAP segment follows (as HTJ2K needs it).
    pub rsiz: u16,
    /// Right end of the image on the reference grid, exclusive.
    pub xsiz: u32,
    /// Lower end of the image on the reference grid, exclusive.
    pub ysiz: u32,
    /// Left edge of the image.
    pub xosiz: u32,
    /// Upper edge of the image.
    pub yosiz: u32,
    /// Width of a tile.
    pub xtsiz: u32,
    /// Height of a tile.
    pub ytsiz: u32,
    /// Left edge of the first tile.
    pub xtosiz: u32,
    /// Upper edge of the first tile.
    pub ytosiz: u32,
    /// Components in order; shared, so that a clone is cheap.
    pub components: Arc<[SizComponent]>,
}

/// One component of SIZ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizComponent {
    /// Bits of a sample, 1 to 38.
    pub precision: u8,
    /// Whether samples have a sign.
    pub signed: bool,
    /// Horizontal distance of samples on the reference grid, at least 1.
    pub xrsiz: u8,
    /// Vertical distance of samples on the reference grid, at least 1.
    pub yrsiz: u8,
}

impl Siz {
    /// Most components that a codestream may have.
    pub const MAX_COMPONENTS: u16 = 16_384;
    /// Most tiles that a codestream may have: Isot has 16 bits.
    pub const MAX_TILES: u32 = 65_535;

    /// Parses the payload of a SIZ segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is too short for its components.
    /// - [`ParseError::Malformed`] if the image, a tile or a sub-sampling factor is empty, the tiles do not
    ///   cover the image, or there are no or too many components or tiles.
    pub fn parse(payload: &[u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "SIZ");
        let rsiz = fields.u16()?;
        let (xsiz, ysiz) = (fields.u32()?, fields.u32()?);
        let (xosiz, yosiz) = (fields.u32()?, fields.u32()?);
        if xosiz >= xsiz || yosiz >= ysiz {
            return Err(fields.malformed("SIZ: the image is empty"));
        }
        let (xtsiz, ytsiz) = (fields.u32()?, fields.u32()?);
        let (xtosiz, ytosiz) = (fields.u32()?, fields.u32()?);
        if xtsiz == 0 || ytsiz == 0 {
            return Err(fields.malformed("SIZ: tiles are empty"));
        }
        let covers = |first: u32, size: u32, image: u32| first <= image && image < first.saturating_add(size);
        if !covers(xtosiz, xtsiz, xosiz) || !covers(ytosiz, ytsiz, yosiz) {
            return Err(fields.malformed("SIZ: the first tile is outside the image"));
        }
        let count = fields.u16()?;
        if count == 0 || count > Self::MAX_COMPONENTS {
            return Err(fields.malformed("SIZ: number of components out of range"));
        }
        if fields.rest().len() < usize::from(count) * 3 {
            return Err(ParseError::Truncated { what: "SIZ", offset: fields.offset() });
        }
        let mut components = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (ssiz, xrsiz, yrsiz) = (fields.u8()?, fields.u8()?, fields.u8()?);
            let precision = (ssiz & 0x7F) + 1;
            if precision > 38 {
                return Err(fields.malformed("SIZ: more than 38 bits a sample"));
            }
            if xrsiz == 0 || yrsiz == 0 {
                return Err(fields.malformed("SIZ: a sub-sampling factor is 0"));
            }
            components.push(SizComponent { precision, signed: ssiz & 0x80 != 0, xrsiz, yrsiz });
        }
        let components = components.into();
        let siz = Self { rsiz, xsiz, ysiz, xosiz, yosiz, xtsiz, ytsiz, xtosiz, ytosiz, components };
        if u64::from(siz.tiles_across()) * u64::from(siz.tiles_down()) > u64::from(Self::MAX_TILES) {
            return Err(ParseError::Malformed { what: "SIZ: more than 65535 tiles", offset });
        }
        Ok(siz)
    }

    /// Csiz, 1 to 16384.
    #[must_use]
    pub fn component_count(&self) -> u16 {
        u16::try_from(self.components.len()).unwrap_or(Self::MAX_COMPONENTS)
    }

    /// Tiles in a row of the tile grid.
    #[must_use]
    pub const fn tiles_across(&self) -> u32 {
        self.xsiz.saturating_sub(self.xtosiz).div_ceil(self.xtsiz)
    }

    /// Tiles in a column of the tile grid.
    #[must_use]
    pub const fn tiles_down(&self) -> u32 {
        self.ysiz.saturating_sub(self.ytosiz).div_ceil(self.ytsiz)
    }

    /// Tiles of the tile grid, at most [`Self::MAX_TILES`].
    #[must_use]
    pub const fn tile_count(&self) -> u32 {
        self.tiles_across().saturating_mul(self.tiles_down())
    }

    /// The image area on the reference grid.
    #[must_use]
    pub const fn image_rect(&self) -> Rect<ReferenceGrid> {
        Rect::new(self.xosiz, self.yosiz, self.xsiz, self.ysiz)
    }

    /// The tile's area, cut to the image area [15444-1 B.3]; empty for a tile that does not exist.
    #[must_use]
    pub fn tile_rect(&self, tile: TileIndex) -> Rect<ReferenceGrid> {
        if tile.0 >= self.tile_count() {
            return Rect::new(0, 0, 0, 0);
        }
        let (p, q) = (tile.0 % self.tiles_across(), tile.0 / self.tiles_across());
        let x0 = self.xtosiz.saturating_add(p.saturating_mul(self.xtsiz));
        let y0 = self.ytosiz.saturating_add(q.saturating_mul(self.ytsiz));
        let whole = Rect::new(x0, y0, x0.saturating_add(self.xtsiz), y0.saturating_add(self.ytsiz));
        whole.intersect(&self.image_rect())
    }

    /// The tile's samples of one component [15444-1 B.3]; empty for a component that does not exist.
    #[must_use]
    pub fn component_rect(&self, tile: TileIndex, component: u16) -> Rect<ComponentGrid> {
        let Some(sampling) = self.components.get(usize::from(component)) else {
            return Rect::new(0, 0, 0, 0);
        };
        let rect = self.tile_rect(tile);
        let (dx, dy) = (u32::from(sampling.xrsiz), u32::from(sampling.yrsiz));
        Rect::new(ceil_div(rect.x0, dx), ceil_div(rect.y0, dy), ceil_div(rect.x1, dx), ceil_div(rect.y1, dy))
    }

    /// Width and height of the image after discarding resolution levels [15444-9 C.4].
    #[must_use]
    pub const fn reduced_size(&self, discard_levels: u8) -> (u32, u32) {
        let shift = discard_levels as u32;
        (
            ceil_shift(self.xsiz, shift) - ceil_shift(self.xosiz, shift),
            ceil_shift(self.ysiz, shift) - ceil_shift(self.yosiz, shift),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(grid: [u32; 8], components: &[[u8; 3]]) -> Vec<u8> {
        let mut out = vec![0, 0];
        grid.iter().for_each(|v| out.extend(v.to_be_bytes()));
        out.extend(u16::try_from(components.len()).unwrap().to_be_bytes());
        components.iter().for_each(|c| out.extend(c));
        out
    }

    fn parse(grid: [u32; 8], components: &[[u8; 3]]) -> Result<Siz, ParseError> {
        Siz::parse(&payload(grid, components), 4)
    }

    #[test]
    fn a_5_1_offsets_tiles_and_sub_sampling() {
        let siz = parse([20, 30, 3, 5, 10, 10, 1, 2], &[[0x87, 1, 1], [15, 2, 3]]).unwrap();
        assert_eq!((siz.tiles_across(), siz.tiles_down(), siz.tile_count()), (2, 3, 6));
        assert_eq!(siz.tile_rect(TileIndex(0)), Rect::new(3, 5, 11, 12));
        assert_eq!(siz.tile_rect(TileIndex(5)), Rect::new(11, 22, 20, 30));
        assert!(siz.tile_rect(TileIndex(6)).is_empty());
        assert_eq!(siz.component_rect(TileIndex(5), 1), Rect::new(6, 8, 10, 10));
        assert_eq!(siz.components[0], SizComponent { precision: 8, signed: true, xrsiz: 1, yrsiz: 1 });
        assert_eq!(siz.reduced_size(1), (8, 12));
    }

    #[test]
    fn a_5_1_impossible_sizes_are_refused() {
        let one: &[[u8; 3]] = &[[7, 1, 1]];
        for grid in [
            [0, 8, 0, 0, 8, 8, 0, 0],
            [8, 8, 8, 0, 8, 8, 0, 0],
            [8, 8, 0, 0, 0, 8, 0, 0],
            [8, 8, 0, 0, 8, 8, 1, 0],
            [80, 80, 20, 0, 10, 80, 0, 0],
            [60_000, 60_000, 0, 0, 1, 1, 0, 0],
        ] {
            assert!(parse(grid, one).is_err(), "{grid:?}");
        }
        assert!(parse([8, 8, 0, 0, 8, 8, 0, 0], &[[7, 0, 1]]).is_err());
        assert!(parse([8, 8, 0, 0, 8, 8, 0, 0], &[[0x7E, 1, 1]]).is_err());
        assert!(parse([8, 8, 0, 0, 8, 8, 0, 0], &[]).is_err());
        assert!(parse([u32::MAX, u32::MAX, 0, 0, u32::MAX, u32::MAX, 0, 0], one).is_ok());
    }

    #[test]
    fn a_5_1_a_segment_too_short_for_its_components_is_refused() {
        let mut bytes = payload([8, 8, 0, 0, 8, 8, 0, 0], &[[7, 1, 1]]);
        bytes[34..36].copy_from_slice(&16_384u16.to_be_bytes());
        assert!(matches!(Siz::parse(&bytes, 4), Err(ParseError::Truncated { .. })));
    }
}
