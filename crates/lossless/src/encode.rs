//! From planar samples to a verified codestream.

use codestream::{ByteSource, CodestreamIndex, Layout, index_codestream, relayout};
use openjpeg::{DecodeParameters, Image, decode};

use crate::error::{Error, unreadable};
use crate::{component_transform, ht, part1};

/// Which kind of code-blocks a codestream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockCoder {
    /// Those of 15444-1, by OpenJPEG.
    Part1,
    /// HT code-blocks [15444-15], by openjph-core.
    Ht,
}

/// How to encode. The default is what serves windows best: HT, five levels, code-blocks of 64 × 64, one tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The kind of code-blocks.
    pub coder: BlockCoder,
    /// Decomposition levels, 0 to 32. Fewer are made where the encoder cannot halve so often: OpenJPEG a small tile,
    /// openjph-core any more than 20 times.
    pub levels: u8,
    /// Binary logarithms of code-block width and height: 2 to 10 each, 12 together at most.
    pub code_block: (u8, u8),
    /// The tile grid; absent: one tile.
    pub tiles: Option<Tiles>,
    /// The reversible multiple component transform over the first three components [15444-1 G.2].
    pub component_transform: bool,
    /// Precincts, progression and marker segments of the result.
    pub layout: Layout,
    /// What it may cost.
    pub limits: Limits,
}

/// A tile grid, in reference-grid samples [15444-1 B.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Left edge of the first tile (`XTOsiz`).
    pub x0: u32,
    /// Upper edge of the first tile (`YTOsiz`).
    pub y0: u32,
    /// Width of a tile (`XTsiz`).
    pub width: u32,
    /// Height of a tile (`YTsiz`).
    pub height: u32,
}

/// What encoding one image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples over all components. Encoding and verifying takes some 40 bytes of memory for each.
    pub max_samples: u64,
    /// Bounds on the structure of the codestream.
    pub codestream: codestream::Limits,
}

/// A lossless codestream that was decoded and compared.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Its bytes.
    pub codestream: Vec<u8>,
    /// Where its headers and packets lie.
    pub index: CodestreamIndex,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            coder: BlockCoder::Ht,
            levels: 5,
            code_block: (6, 6),
            tiles: None,
            component_transform: false,
            layout: Layout::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_samples: 1 << 27, codestream: codestream::Limits::default() }
    }
}

/// Encodes `image` losslessly, lays the codestream out as wanted, and decodes it to see that it is the same image.
///
/// Without a progression in the layout the order is LRCP; with one quality layer, that is RLCP too.
///
/// # Errors
///
/// - [`Error::Parameters`] if image and parameters do not fit together.
/// - [`Error::Unsupported`] for what the encoder of these code-blocks cannot express.
/// - [`Error::LimitExceeded`] for too many samples; nothing was allocated then.
/// - [`Error::Encoder`], [`Error::Wrong`] if the encoder fails, or its result is another image.
/// - [`Error::Layout`] if the wanted layout cannot be made.
///
/// # Example
///
/// ```
/// use lossless::{Parameters, encode};
/// use openjpeg::{DecodeParameters, Image, decode};
///
/// let image = Image::from_interleaved(4, 2, 1, (16, true), &[1, -2, 3, -4, 5, -6, 7, -8]).unwrap();
/// let encoded = encode(&image, &Parameters { levels: 1, ..Parameters::default() })?;
/// assert!(encoded.index.header.is_htj2k());
/// assert_eq!(decode(&encoded.codestream, &DecodeParameters::default()).unwrap(), image);
/// # Ok::<(), lossless::Error>(())
/// ```
pub fn encode(image: &Image, parameters: &Parameters) -> Result<Encoded, Error> {
    let found = image.components.iter().fold(0u64, |sum, c| sum.saturating_add(c.samples.len() as u64));
    let limit = parameters.limits.max_samples;
    if found > limit {
        return Err(Error::LimitExceeded { found, limit });
    }
    image.check()?;
    check(image, parameters)?;
    let raw = match parameters.coder {
        BlockCoder::Part1 => part1::encode(image, parameters)?,
        BlockCoder::Ht => ht::encode(image, parameters)?,
    };
    let encoded = lay_out(&raw, parameters)?;
    verify(&encoded, image, parameters)?;
    Ok(encoded)
}

/// What neither encoder may be asked for.
fn check(image: &Image, parameters: &Parameters) -> Result<(), Error> {
    if image.components.iter().any(|component| component.precision > MAX_PRECISION) {
        return Err(Error::Unsupported { what: "more than 24 bits a sample" });
    }
    let (xcb, ycb) = parameters.code_block;
    if !(2..=10).contains(&xcb) || !(2..=10).contains(&ycb) || xcb + ycb > 12 {
        return Err(Error::Parameters("code-blocks of that size do not exist"));
    }
    if parameters.levels > 32 {
        return Err(Error::Parameters("more than 32 decomposition levels"));
    }
    if parameters.component_transform && !component_transform::applies(image) {
        return Err(Error::Parameters("the component transform needs three components that are alike"));
    }
    let Some(tiles) = parameters.tiles else { return Ok(()) };
    let inside = |origin: u32, size: u32, image: u32| {
        size > 0 && origin <= image && origin.checked_add(size).is_none_or(|end| end > image)
    };
    if !inside(tiles.x0, tiles.width, image.x0) || !inside(tiles.y0, tiles.height, image.y0) {
        return Err(Error::Parameters("the first tile does not meet the image"));
    }
    let across = (image.x0 + image.width - tiles.x0).div_ceil(tiles.width);
    let down = (image.y0 + image.height - tiles.y0).div_ceil(tiles.height);
    if u64::from(across) * u64::from(down) > 65_535 {
        return Err(Error::Parameters("more than 65535 tiles"));
    }
    Ok(())
}

fn lay_out(raw: &dyn ByteSource, parameters: &Parameters) -> Result<Encoded, Error> {
    let limits = &parameters.limits.codestream;
    let indexed = index_codestream(raw, limits).map_err(unreadable)?;
    if let Some(damage) = indexed.damage.first() {
        return Err(Error::Wrong(damage.to_string()));
    }
    let relaid = relayout(raw, &indexed, &parameters.layout, limits).map_err(Error::Layout)?;
    let mut codestream = Vec::with_capacity(usize::try_from(relaid.bytes.len()).unwrap_or_default());
    relaid.bytes.write_to(raw, &mut codestream).map_err(|error| Error::Encoder(error.to_string()))?;
    Ok(Encoded { codestream, index: relaid.index })
}

/// Nothing leaves that OpenJPEG does not decode to the image that came in, under headers that say what was wanted.
fn verify(encoded: &Encoded, image: &Image, parameters: &Parameters) -> Result<(), Error> {
    if encoded.index.header.is_htj2k() != (parameters.coder == BlockCoder::Ht) {
        return Err(Error::Wrong("its headers announce the other kind of code-blocks".to_owned()));
    }
    let allowed = DecodeParameters { max_samples: parameters.limits.max_samples, ..DecodeParameters::default() };
    let decoded = decode(&encoded.codestream, &allowed).map_err(|error| Error::Wrong(error.to_string()))?;
    if decoded.components.len() != image.components.len() {
        return Err(Error::Wrong("it has another number of components".to_owned()));
    }
    let pairs = decoded.components.iter().zip(&image.components);
    if let Some(component) = pairs.into_iter().position(|(decoded, given)| decoded != given) {
        return Err(Error::Wrong(format!("component {component} differs")));
    }
    if decoded != *image {
        return Err(Error::Wrong("it lies elsewhere on the reference grid".to_owned()));
    }
    Ok(())
}

/// Bits of a sample that both block coders take. Their 32 bits must hold what the transforms add, too; beyond, OpenJPEG
/// loses bits without a word, and openjph-core panics.
pub(crate) const MAX_PRECISION: u8 = 24;
