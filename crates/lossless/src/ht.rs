//! HT code-blocks, by openjph-core.
//!
//! openjph-core 0.1 writes one packet for each resolution level, whatever precincts and order its headers announce,
//! announces the component transform without doing it, and some of its packets are wrong. So it is asked for the
//! plainest codestream there is, LRCP with one precinct a resolution level; it gets components that are transformed
//! already; and its packets are mended.

mod mend;

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use openjpeg::{Component, Image};
use openjph_core::codestream::Codestream;
use openjph_core::file::MemOutfile;
use openjph_core::{OjphError, Point, Size};

use crate::component_transform::forward;
use crate::encode::{MAX_PRECISION, Parameters, Tiles};
use crate::error::Error;

/// An HT codestream with one precinct a resolution level.
pub(crate) fn encode(image: &Image, parameters: &Parameters) -> Result<Vec<u8>, Error> {
    let (x1, y1) = image.check()?;
    let whole = Tiles { x0: 0, y0: 0, width: x1, height: y1 };
    let tiles = parameters.tiles.unwrap_or(whole);
    check(image, parameters, tiles)?;
    // Its state is dropped with the closure, so that nothing half-changed is seen afterwards.
    let (raw, header_len) = catch_unwind(AssertUnwindSafe(|| run(image, parameters, tiles)))
        .map_err(|_panic| Error::Encoder("openjph-core panicked".to_owned()))?
        .map_err(|error| Error::Encoder(error.to_string()))?;
    mend::mend(&raw, header_len)
}

/// The codestream as it comes, and the length of its main header.
fn run(image: &Image, parameters: &Parameters, tiles: Tiles) -> Result<(Vec<u8>, usize), OjphError> {
    let mut encoder = Codestream::new();
    describe(&mut encoder, image, parameters, tiles)?;
    let mut out = MemOutfile::new();
    encoder.write_headers(&mut out, &[])?;
    let header_len = out.len();
    for (number, (component, samples)) in (0u32..).zip(image.components.iter().zip(planes(image, parameters))) {
        // A line is cut into tiles by their places on the component's own grid.
        let before = image.x0.div_ceil(component.dx) as usize;
        let mut line = vec![0; before + component.width as usize];
        for row in samples.chunks_exact((component.width as usize).max(1)) {
            line.truncate(before);
            line.extend_from_slice(row);
            encoder.exchange(&line, number)?;
        }
    }
    encoder.flush(&mut out)?;
    Ok((out.get_data().to_vec(), header_len))
}

fn describe(encoder: &mut Codestream, image: &Image, parameters: &Parameters, tiles: Tiles) -> Result<(), OjphError> {
    let siz = encoder.access_siz_mut();
    siz.set_image_offset(Point::new(image.x0, image.y0));
    siz.set_image_extent(Point::new(image.x0 + image.width, image.y0 + image.height));
    siz.set_tile_offset(Point::new(tiles.x0, tiles.y0));
    siz.set_tile_size(Size::new(tiles.width, tiles.height));
    siz.set_num_components(u32::try_from(image.components.len()).unwrap_or(u32::MAX));
    for (number, component) in (0u32..).zip(&image.components) {
        let spacing = Point::new(component.dx, component.dy);
        siz.set_comp_info(number, spacing, component.precision.into(), component.signed);
    }
    let cod = encoder.access_cod_mut();
    cod.set_reversible(true);
    cod.set_color_transform(parameters.component_transform);
    cod.set_num_decomposition(parameters.levels.min(MAX_LEVELS).into());
    let (xcb, ycb) = parameters.code_block;
    cod.set_block_dims(1 << xcb, 1 << ycb);
    cod.set_progression_order("LRCP")?;
    // QCD is made for the first component; those that need other exponents get a QCC.
    let first = image.components.first().map(|component| component.precision);
    for (number, component) in (0u32..).zip(&image.components) {
        if Some(component.precision) != first || (parameters.component_transform && number >= 3) {
            encoder.access_qcd_mut().get_or_add_qcc(number);
        }
    }
    encoder.set_planar(1);
    Ok(())
}

/// The samples of each component, transformed where that is wanted.
fn planes<'a>(image: &'a Image, parameters: &Parameters) -> Vec<Cow<'a, [i32]>> {
    let mut planes: Vec<_> = image.components.iter().map(|component| Cow::Borrowed(&*component.samples)).collect();
    if let [red, green, blue, ..] = image.components.as_slice()
        && parameters.component_transform
    {
        for (plane, transformed) in planes.iter_mut().zip(forward([red, green, blue])) {
            *plane = Cow::Owned(transformed);
        }
    }
    planes
}

/// Refuses what the encoder would do wrong, or what it would need too much memory for.
fn check(image: &Image, parameters: &Parameters, tiles: Tiles) -> Result<(), Error> {
    let refused = |what| Err(Error::Unsupported { what });
    let transformed = u8::from(parameters.component_transform);
    if image.components.iter().any(|component| component.precision + transformed > MAX_PRECISION) {
        return refused("more than 23 bits a sample with a component transform, as HT,");
    }
    if image.components.iter().any(|component| component.dx > 255 || component.dy > 255) {
        return refused("a component spacing of more than 255");
    }
    if image.x0 > FARTHEST {
        return refused("an image so far from the origin of the reference grid, as HT,");
    }
    let (right, bottom) = (image.x0 + image.width, image.y0 + image.height);
    let across = Axis { origin: tiles.x0, size: tiles.width, image: image.x0..right };
    let down = Axis { origin: tiles.y0, size: tiles.height, image: image.y0..bottom };
    let one_each = |component: &Component| {
        across.has_one_precinct_each(component.dx, parameters.levels)
            && down.has_one_precinct_each(component.dy, parameters.levels)
    };
    if !image.components.iter().all(one_each) {
        return refused("a tile across more than one precinct of 32768 samples, as HT,");
    }
    Ok(())
}

/// Tiles and image along one axis of the reference grid.
struct Axis {
    origin: u32,
    size: u32,
    image: Range<u32>,
}

impl Axis {
    /// Whether no resolution level of a tile-component meets two precincts of the largest size [15444-1 B.6].
    fn has_one_precinct_each(&self, spacing: u32, levels: u8) -> bool {
        let (from, to) = (u64::from(self.image.start), u64::from(self.image.end));
        let mut starts =
            (0..).map(|n: u64| u64::from(self.origin) + n * u64::from(self.size)).take_while(|&at| at < to);
        to <= PRECINCT
            || starts.all(|start| {
                let (from, to) = (
                    start.max(from).div_ceil(spacing.into()),
                    (start + u64::from(self.size)).min(to).div_ceil(spacing.into()),
                );
                (0..=levels)
                    .map(|level| (from.div_ceil(1 << level), to.div_ceil(1 << level)))
                    .all(|(from, to)| from == to || from / PRECINCT == (to - 1) / PRECINCT)
            })
    }
}

/// Largest width and height of a precinct, which headers without precinct sizes announce [15444-1 Table A.21].
const PRECINCT: u64 = 1 << 15;

/// A line is handed over with room for all that is left of it.
const FARTHEST: u32 = 1 << 20;

/// Decomposition levels after which its exponents still leave room for 24 bits of a sample.
const MAX_LEVELS: u8 = 20;
