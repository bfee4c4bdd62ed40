//! From a codestream or JP2 file to samples.

use openjpeg_sys as sys;

use crate::announced::{Announced, Container};
use crate::error::Error;
use crate::handles::{Codec, RawImage};
use crate::image::{Component, Image};
use crate::messages::Messages;
use crate::stream::{Source, Stream};

/// A half-open rectangle on the reference grid of the full-size image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge, inside.
    pub x0: u32,
    /// Upper edge, inside.
    pub y0: u32,
    /// Right edge, outside.
    pub x1: u32,
    /// Lower edge, outside.
    pub y1: u32,
}

/// What to decode and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeParameters {
    /// Resolution levels to discard: each halves width and height. More than the codestream has is an error.
    pub reduce: u8,
    /// The part of the image to decode, on the full-size reference grid; all of it when absent.
    pub area: Option<Rect>,
    /// Whether truncated data are an error rather than a warning.
    pub strict: bool,
    /// Worker threads; 0 and 1 decode on the calling thread.
    pub threads: u32,
    /// Most samples, over all components, that may be decoded.
    pub max_samples: u64,
    /// Most tile-components; OpenJPEG keeps about a kilobyte for each of them.
    pub max_tile_components: u64,
}

impl Default for DecodeParameters {
    fn default() -> Self {
        Self { reduce: 0, area: None, strict: true, threads: 0, max_samples: 1 << 29, max_tile_components: 1 << 18 }
    }
}

/// An image and what OpenJPEG had to remark on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The samples.
    pub image: Image,
    /// OpenJPEG's warnings, at most 32.
    pub warnings: Vec<String>,
}

/// Decodes a raw codestream or the first codestream of a JP2 file.
///
/// Palettes, channel definitions and colour spaces of a JP2 file are left alone: the components are those of
/// the codestream.
///
/// # Errors
///
/// - [`Error::NotJpeg2000`], [`Error::Malformed`] if the start of the data is no codestream.
/// - [`Error::LimitExceeded`] if the header announces more than `parameters` allow; nothing was allocated then.
/// - [`Error::EmptyArea`] if the area lies outside the image.
/// - [`Error::Refused`] if OpenJPEG cannot decode.
///
/// # Example
///
/// ```
/// use openjpeg::{DecodeParameters, EncodeParameters, Image, decode, encode};
///
/// let image = Image::from_interleaved(4, 2, 1, (8, false), &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
/// let codestream = encode(&image, &EncodeParameters { levels: 1, ..EncodeParameters::default() })?;
/// assert_eq!(decode(&codestream, &DecodeParameters::default())?, image);
/// # Ok::<(), openjpeg::Error>(())
/// ```
pub fn decode(data: &[u8], parameters: &DecodeParameters) -> Result<Image, Error> {
    decode_with_warnings(data, parameters).map(|decoded| decoded.image)
}

/// As [`decode`], with OpenJPEG's warnings.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with_warnings(data: &[u8], parameters: &DecodeParameters) -> Result<Decoded, Error> {
    let announced = Announced::read(data)?;
    let tile_components = announced.tiles * u64::from(announced.components);
    check_limit("tile-components", tile_components, parameters.max_tile_components)?;
    if announced.image.iter().any(|&edge| i32::try_from(edge).is_err()) {
        return Err(Error::LimitExceeded { what: "reference grid", found: 1 << 32, limit: 1 << 31 });
    }
    let wanted = wanted_area(&announced, parameters)?;

    let messages = Messages::default();
    let mut source = Source::new(data);
    let stream = Stream::reading(&mut source)
        .ok_or_else(|| Error::Refused { action: "make a stream", messages: "out of memory".to_owned() })?;
    let format = match announced.container {
        Container::Codestream => sys::CODEC_FORMAT::OPJ_CODEC_J2K,
        Container::Jp2 => sys::CODEC_FORMAT::OPJ_CODEC_JP2,
    };
    let codec = Codec::decoder(format, &messages)?;
    let image = read_header(&codec, &stream, parameters)?;

    // OpenJPEG decodes a region of an HT codestream to wrong samples with a success code, so such a
    // codestream is decoded whole and cut afterwards.
    let whole = Rect { x0: announced.image[0], y0: announced.image[1], x1: announced.image[2], y1: announced.image[3] };
    let decoded_area = if announced.high_throughput { whole } else { wanted };
    let samples: u64 = image.components().iter().map(|c| component_samples(decoded_area, c, parameters.reduce)).sum();
    check_limit("samples", samples, parameters.max_samples)?;

    decode_area(&codec, &stream, &image, decoded_area)?;
    let image = collect(&image, decoded_area, wanted, parameters.reduce)?;
    Ok(Decoded { image, warnings: messages.take_warnings() })
}

#[expect(unsafe_code, reason = "calls a foreign library")]
fn read_header(codec: &Codec<'_>, stream: &Stream<'_>, parameters: &DecodeParameters) -> Result<RawImage, Error> {
    let mut raw = std::mem::MaybeUninit::<sys::opj_dparameters_t>::zeroed();
    // SAFETY: all-zero bytes are a value of this struct of integers and arrays; OpenJPEG then sets its
    // defaults. Codec and stream are live.
    let configured = unsafe {
        sys::opj_set_default_decoder_parameters(raw.as_mut_ptr());
        let mut raw = raw.assume_init();
        raw.cp_reduce = u32::from(parameters.reduce);
        raw.flags |= sys::OPJ_DPARAMETERS_IGNORE_PCLR_CMAP_CDEF_FLAG;
        sys::opj_setup_decoder(codec.raw(), &raw mut raw)
    };
    codec.check(configured, "set up the decoder")?;
    if !parameters.strict {
        // Strict is the default. Asking for it in words would also switch off OpenJPEG's mending of files that
        // announce one tile-part too few, and lose the last one's data without a warning.
        // SAFETY: the codec is live and no header has been read yet.
        let lenient = unsafe { sys::opj_decoder_set_strict_mode(codec.raw(), 0) };
        codec.check(lenient, "leave strict mode")?;
    }
    if parameters.threads > 1 {
        let threads = i32::try_from(parameters.threads).unwrap_or(i32::MAX).min(256);
        // SAFETY: as above.
        let started = unsafe { sys::opj_codec_set_threads(codec.raw(), threads) };
        codec.check(started, "start threads")?;
    }
    let mut image = std::ptr::null_mut();
    // SAFETY: stream and codec are live; on return `image` is null or an image that is ours.
    let (read, image) = unsafe {
        let read = sys::opj_read_header(stream.raw(), codec.raw(), &raw mut image);
        (read, RawImage::owning(image))
    };
    codec.check(read, "read the header")?;
    image.ok_or(Error::Malformed("no image"))
}

#[expect(unsafe_code, reason = "calls a foreign library")]
fn decode_area(codec: &Codec<'_>, stream: &Stream<'_>, image: &RawImage, area: Rect) -> Result<(), Error> {
    let edge = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    // SAFETY: codec, stream and image are live and belong together.
    let set = unsafe {
        let (x0, y0, x1, y1) = (edge(area.x0), edge(area.y0), edge(area.x1), edge(area.y1));
        sys::opj_set_decode_area(codec.raw(), image.raw(), x0, y0, x1, y1)
    };
    codec.check(set, "set the area")?;
    // SAFETY: as above.
    let decoded = unsafe { sys::opj_decode(codec.raw(), stream.raw(), image.raw()) };
    codec.check(decoded, "decode")
}

fn wanted_area(announced: &Announced, parameters: &DecodeParameters) -> Result<Rect, Error> {
    let [x0, y0, x1, y1] = announced.image;
    let Some(area) = parameters.area else { return Ok(Rect { x0, y0, x1, y1 }) };
    let area = Rect { x0: area.x0.max(x0), y0: area.y0.max(y0), x1: area.x1.min(x1), y1: area.y1.min(y1) };
    if area.x0 >= area.x1 || area.y0 >= area.y1 {
        return Err(Error::EmptyArea);
    }
    Ok(area)
}

/// `area` in the samples of one component at the reduced resolution, half open [15444-1 B.5].
fn component_area(area: Rect, dx: u32, dy: u32, reduce: u8) -> Rect {
    let across = |edge: u32| reduced(edge.div_ceil(dx.max(1)), reduce);
    let down = |edge: u32| reduced(edge.div_ceil(dy.max(1)), reduce);
    Rect { x0: across(area.x0), y0: down(area.y0), x1: across(area.x1), y1: down(area.y1) }
}

fn component_samples(area: Rect, component: &sys::opj_image_comp_t, reduce: u8) -> u64 {
    let area = component_area(area, component.dx, component.dy, reduce);
    u64::from(area.x1 - area.x0) * u64::from(area.y1 - area.y0)
}

/// A coordinate divided by 2^reduce, rounded up.
fn reduced(edge: u32, reduce: u8) -> u32 {
    let divisor = 1u64.checked_shl(u32::from(reduce)).unwrap_or(u64::MAX);
    u32::try_from(u64::from(edge).div_ceil(divisor)).unwrap_or(u32::MAX)
}

/// Copies `wanted` out of the image that OpenJPEG decoded for `decoded`.
fn collect(raw: &RawImage, decoded: Rect, wanted: Rect, reduce: u8) -> Result<Image, Error> {
    let mut components = Vec::with_capacity(raw.components().len());
    for component in raw.components() {
        let samples = raw.samples(component).ok_or(Error::Malformed("a component has no samples"))?;
        let has = component_area(decoded, component.dx, component.dy, reduce);
        let wants = component_area(wanted, component.dx, component.dy, reduce);
        let unexpected = Error::Malformed("a component has not the size that was announced");
        if (component.w, component.h) != (has.x1 - has.x0, has.y1 - has.y0) {
            return Err(unexpected);
        }
        let (width, height) = (wants.x1 - wants.x0, wants.y1 - wants.y0);
        let samples = if wants == has {
            samples.to_vec()
        } else {
            let skip = (wants.x0 - has.x0) as usize;
            let mut cut = Vec::with_capacity(width as usize * height as usize);
            let rows = samples.chunks_exact((component.w as usize).max(1));
            for row in rows.skip((wants.y0 - has.y0) as usize).take(height as usize) {
                cut.extend_from_slice(row.get(skip..skip + width as usize).ok_or_else(|| unexpected.clone())?);
            }
            cut
        };
        components.push(Component {
            width,
            height,
            dx: component.dx,
            dy: component.dy,
            precision: u8::try_from(component.prec).unwrap_or(u8::MAX),
            signed: component.sgnd != 0,
            samples,
        });
    }
    let area = component_area(wanted, 1, 1, reduce);
    Ok(Image { width: area.x1 - area.x0, height: area.y1 - area.y0, x0: area.x0, y0: area.y0, components })
}

fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<(), Error> {
    if found > limit {
        return Err(Error::LimitExceeded { what, found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
