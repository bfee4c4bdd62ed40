//! How often OpenJPEG can halve the tiles of an image.

use std::collections::BTreeSet;

use super::EncodeParameters;
use crate::error::Error;
use crate::image::Image;

/// Most decomposition levels with which [`super::encode`] takes `image` in the tiles of `parameters`.
///
/// OpenJPEG's forward wavelet writes outside of its buffers where a tile-component has no rows or no columns to halve,
/// as in a narrow tile at the edge, or one of a sub-sampled component; and it refuses more halvings than a tile's size
/// has.
///
/// # Errors
///
/// [`Error::Parameters`] if the image contradicts itself, or for no tiles or more than 65535 of them.
pub fn most_levels(image: &Image, parameters: &EncodeParameters) -> Result<u8, Error> {
    let (right, bottom) = image.check()?;
    let (x0, y0) = parameters.tiles.map_or((0, 0), |_tiles| parameters.tile_origin);
    let (width, height) = parameters.tiles.unwrap_or((right, bottom));
    if width == 0 || height == 0 || x0 > image.x0 || y0 > image.y0 {
        return Err(Error::Parameters("the tile grid is impossible"));
    }
    if u64::from((right - x0).div_ceil(width)) * u64::from((bottom - y0).div_ceil(height)) > 65_535 {
        return Err(Error::Parameters("more than 65535 tiles"));
    }
    let across = Axis { first: x0, size: width, image: (image.x0, right) };
    let down = Axis { first: y0, size: height, image: (image.y0, bottom) };
    let spacings = |spacing: fn(&crate::Component) -> u32| image.components.iter().map(spacing).collect();
    Ok(across.most_levels(&spacings(|c| c.dx)).min(down.most_levels(&spacings(|c| c.dy))))
}

/// Tiles and image along one axis of the reference grid.
struct Axis {
    first: u32,
    size: u32,
    image: (u32, u32),
}

impl Axis {
    fn most_levels(&self, spacings: &BTreeSet<u32>) -> u8 {
        let mut most = self.size.ilog2();
        let (from, to) = (u64::from(self.image.0), u64::from(self.image.1));
        let mut start = u64::from(self.first);
        while start < to {
            let end = start + u64::from(self.size);
            for &spacing in spacings {
                let at = |edge: u64| edge.div_ceil(u64::from(spacing));
                let (from, to) = (at(start.max(from)), at(end.min(to)));
                // Level 0 may be empty: it is what is left, and not halved.
                let is_empty = |halved: u32| from.div_ceil(1 << halved) >= to.div_ceil(1 << halved);
                most = (0..most).find(|&halved| is_empty(halved)).unwrap_or(most);
            }
            start = end;
        }
        u8::try_from(most).unwrap_or(u8::MAX)
    }
}
