//! Part 1 code-blocks, by OpenJPEG.

use openjpeg::{Component, EncodeParameters, Image};

use crate::encode::Parameters;
use crate::error::Error;

/// A Part 1 codestream with one precinct a resolution level.
pub(crate) fn encode(image: &Image, parameters: &Parameters) -> Result<Vec<u8>, Error> {
    // OpenJPEG takes the wrong samples of such components for its tiles.
    let is_between = |c: &Component| !image.x0.is_multiple_of(c.dx) || !image.y0.is_multiple_of(c.dy);
    if parameters.tiles.is_some() && image.components.iter().any(is_between) {
        let what = "a Part 1 image in tiles whose place is no multiple of a component's spacing";
        return Err(Error::Unsupported { what });
    }
    let (xcb, ycb) = parameters.code_block;
    let mut encoding = EncodeParameters {
        tiles: parameters.tiles.map(|tiles| (tiles.width, tiles.height)),
        tile_origin: parameters.tiles.map_or((0, 0), |tiles| (tiles.x0, tiles.y0)),
        mct: parameters.component_transform,
        code_block: (1 << xcb, 1 << ycb),
        ..EncodeParameters::default()
    };
    encoding.levels = parameters.levels.min(openjpeg::most_levels(image, &encoding)?);
    Ok(openjpeg::encode(image, &encoding)?)
}
