//! From samples to a raw Part 1 codestream.

use openjpeg_sys as sys;

use crate::error::Error;
use crate::handles::{Codec, RawImage};
use crate::image::Image;
use crate::messages::Messages;
use crate::stream::{Sink, Stream};

mod levels;

pub use levels::most_levels;

/// Order of the packets [15444-1 B.12].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progression {
    /// Layer, resolution, component, position.
    Lrcp,
    /// Resolution, layer, component, position.
    Rlcp,
    /// Resolution, position, component, layer.
    Rpcl,
    /// Position, component, resolution, layer.
    Pcrl,
    /// Component, position, resolution, layer.
    Cprl,
}

/// How to encode. The default is one lossless quality layer, one tile, five levels, LRCP, no precincts.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeParameters {
    /// Order of the packets.
    pub progression: Progression,
    /// Decomposition levels, 0 to 32.
    pub levels: u8,
    /// Precinct width and height in samples, powers of two, highest resolution level first; the lower levels
    /// that are not named take half of the last one named, and so on. Empty: one precinct per resolution level.
    pub precincts: Vec<(u32, u32)>,
    /// Compression ratio after each quality layer, falling; 0 or 1 for "all that is left". Empty: one layer of all.
    pub layers: Vec<f32>,
    /// Tile width and height on the reference grid; absent: one tile.
    pub tiles: Option<(u32, u32)>,
    /// Left and upper edge of the first tile on the reference grid; only with `tiles`.
    pub tile_origin: (u32, u32),
    /// Whether the 5/3 wavelet is used, rather than the 9/7.
    pub reversible: bool,
    /// SOP marker segments before the packets.
    pub sop: bool,
    /// EPH markers after the packet headers.
    pub eph: bool,
    /// The multiple component transform over the first three components.
    pub mct: bool,
    /// A new tile-part with each resolution level.
    pub tile_part_per_resolution: bool,
    /// PLT marker segments.
    pub plt: bool,
    /// TLM marker segments.
    pub tlm: bool,
    /// Code-block width and height, powers of two.
    pub code_block: (u32, u32),
    /// Code-block style bits as in COD: 1 bypass, 2 reset, 4 terminate all, 8 causal, 16 predictable, 32 symbols.
    pub code_block_style: u8,
    /// Worker threads; 0 and 1 encode on the calling thread.
    pub threads: u32,
}

impl Default for EncodeParameters {
    fn default() -> Self {
        Self {
            progression: Progression::Lrcp,
            levels: 5,
            precincts: Vec::new(),
            layers: Vec::new(),
            tiles: None,
            tile_origin: (0, 0),
            reversible: true,
            sop: false,
            eph: false,
            mct: false,
            tile_part_per_resolution: false,
            plt: false,
            tlm: false,
            code_block: (64, 64),
            code_block_style: 0,
            threads: 0,
        }
    }
}

/// Encodes `image` to a raw codestream.
///
/// OpenJPEG writes some precinct sizes that its own decoder refuses: decode what was written before relying on it.
///
/// # Errors
///
/// - [`Error::Parameters`] if image and parameters do not fit together, or for more than [`most_levels`].
/// - [`Error::Refused`] if OpenJPEG cannot encode.
pub fn encode(image: &Image, parameters: &EncodeParameters) -> Result<Vec<u8>, Error> {
    let mut raw_parameters = raw_parameters(image, parameters)?;
    let raw_image = raw_image(image)?;
    if parameters.levels > most_levels(image, parameters)? {
        return Err(Error::Parameters("a tile-component would have no samples at a resolution level"));
    }
    let messages = Messages::default();
    let mut sink = Sink::default();
    {
        let codec = Codec::encoder(&messages)?;
        let stream = Stream::writing(&mut sink)
            .ok_or_else(|| Error::Refused { action: "make a stream", messages: "out of memory".to_owned() })?;
        run(&codec, &stream, &raw_image, &mut raw_parameters, parameters)?;
    }
    Ok(sink.bytes)
}

#[expect(unsafe_code, reason = "calls a foreign library")]
fn run(
    codec: &Codec<'_>,
    stream: &Stream<'_>,
    image: &RawImage,
    raw: &mut sys::opj_cparameters_t,
    parameters: &EncodeParameters,
) -> Result<(), Error> {
    // SAFETY: codec and image are live, the parameters are initialised and only read during the call.
    let set_up = unsafe { sys::opj_setup_encoder(codec.raw(), raw, image.raw()) };
    codec.check(set_up, "set up the encoder")?;
    if parameters.threads > 1 {
        let threads = i32::try_from(parameters.threads).unwrap_or(i32::MAX).min(256);
        // SAFETY: the codec is live.
        let started = unsafe { sys::opj_codec_set_threads(codec.raw(), threads) };
        codec.check(started, "start threads")?;
    }
    let mut options = Vec::new();
    if parameters.plt {
        options.push(c"PLT=YES".as_ptr());
    }
    if parameters.tlm {
        options.push(c"TLM=YES".as_ptr());
    }
    if !options.is_empty() {
        options.push(std::ptr::null());
        // SAFETY: a null-terminated list of C strings with static lifetime.
        let taken = unsafe { sys::opj_encoder_set_extra_options(codec.raw(), options.as_ptr()) };
        codec.check(taken, "write PLT or TLM")?;
    }
    // SAFETY: codec, image and stream are live and belong together; the calls come in the order the library asks for.
    unsafe {
        codec.check(sys::opj_start_compress(codec.raw(), image.raw(), stream.raw()), "start to encode")?;
        codec.check(sys::opj_encode(codec.raw(), stream.raw()), "encode")?;
        codec.check(sys::opj_end_compress(codec.raw(), stream.raw()), "end the codestream")
    }
}

#[expect(unsafe_code, reason = "calls a foreign library")]
fn raw_parameters(image: &Image, parameters: &EncodeParameters) -> Result<Box<sys::opj_cparameters_t>, Error> {
    let mut raw = Box::new(std::mem::MaybeUninit::<sys::opj_cparameters_t>::zeroed());
    // SAFETY: all-zero bytes are a value of this struct (integers, floats, arrays, null pointers and enums
    // that have a zero); OpenJPEG then sets its defaults.
    let mut raw = unsafe {
        sys::opj_set_default_encoder_parameters(raw.as_mut_ptr());
        raw.assume_init()
    };
    raw.prog_order = match parameters.progression {
        Progression::Lrcp => sys::PROG_ORDER::OPJ_LRCP,
        Progression::Rlcp => sys::PROG_ORDER::OPJ_RLCP,
        Progression::Rpcl => sys::PROG_ORDER::OPJ_RPCL,
        Progression::Pcrl => sys::PROG_ORDER::OPJ_PCRL,
        Progression::Cprl => sys::PROG_ORDER::OPJ_CPRL,
    };
    if parameters.levels > 32 {
        return Err(Error::Parameters("more than 32 decomposition levels"));
    }
    raw.numresolution = i32::from(parameters.levels) + 1;
    raw.irreversible = i32::from(!parameters.reversible);
    raw.cblockw_init = int(parameters.code_block.0)?;
    raw.cblockh_init = int(parameters.code_block.1)?;
    raw.mode = i32::from(parameters.code_block_style);
    raw.csty = i32::from(parameters.sop) << 1 | i32::from(parameters.eph) << 2;
    if parameters.mct && image.components.len() < 3 {
        return Err(Error::Parameters("the component transform needs three components"));
    }
    raw.tcp_mct = std::ffi::c_char::from(parameters.mct);
    set_precincts(&mut raw, &parameters.precincts)?;
    set_layers(&mut raw, &parameters.layers)?;
    raw.image_offset_x0 = int(image.x0)?;
    raw.image_offset_y0 = int(image.y0)?;
    if let Some((width, height)) = parameters.tiles {
        raw.tile_size_on = 1;
        raw.cp_tdx = int(width)?;
        raw.cp_tdy = int(height)?;
        (raw.cp_tx0, raw.cp_ty0) = (int(parameters.tile_origin.0)?, int(parameters.tile_origin.1)?);
        if width == 0 || height == 0 {
            return Err(Error::Parameters("tiles without extent"));
        }
    }
    if parameters.tile_part_per_resolution {
        raw.tp_on = 1;
        raw.tp_flag = TILE_PART_AT_RESOLUTION;
    }
    Ok(raw)
}

fn set_precincts(raw: &mut sys::opj_cparameters_t, precincts: &[(u32, u32)]) -> Result<(), Error> {
    if precincts.is_empty() {
        return Ok(());
    }
    if precincts.len() > raw.prcw_init.len() {
        return Err(Error::Parameters("more precinct sizes than resolution levels can be"));
    }
    raw.csty |= 1;
    raw.res_spec = i32::try_from(precincts.len()).map_err(|_err| Error::Parameters("too many precinct sizes"))?;
    for ((width, height), &precinct) in raw.prcw_init.iter_mut().zip(&mut raw.prch_init).zip(precincts) {
        if !precinct.0.is_power_of_two() || !precinct.1.is_power_of_two() || precinct.0.max(precinct.1) > 1 << 15 {
            return Err(Error::Parameters("a precinct size is no power of two up to 32768"));
        }
        (*width, *height) = (int(precinct.0)?, int(precinct.1)?);
    }
    Ok(())
}

fn set_layers(raw: &mut sys::opj_cparameters_t, layers: &[f32]) -> Result<(), Error> {
    raw.cp_disto_alloc = 1;
    raw.tcp_numlayers = 1;
    if layers.is_empty() {
        return Ok(());
    }
    if layers.len() > raw.tcp_rates.len() || layers.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
        return Err(Error::Parameters("quality layers are 1 to 100 finite compression ratios"));
    }
    raw.tcp_numlayers = i32::try_from(layers.len()).map_err(|_err| Error::Parameters("too many layers"))?;
    for (rate, &wanted) in raw.tcp_rates.iter_mut().zip(layers) {
        *rate = wanted;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "calls a foreign library")]
fn raw_image(image: &Image) -> Result<RawImage, Error> {
    let (x1, y1) = image.check()?;
    let mut wanted = Vec::with_capacity(image.components.len());
    for component in &image.components {
        let bits = u32::from(component.precision);
        wanted.push(sys::opj_image_cmptparm_t {
            dx: component.dx,
            dy: component.dy,
            w: component.width,
            h: component.height,
            x0: image.x0,
            y0: image.y0,
            prec: bits,
            bpp: bits,
            sgnd: u32::from(component.signed),
        });
    }
    let count = u32::try_from(wanted.len()).map_err(|_err| Error::Parameters("too many components"))?;
    // SAFETY: `wanted` holds `count` descriptions; the result is null or an image that is ours.
    let raw = unsafe {
        let raw = sys::opj_image_create(count, wanted.as_mut_ptr(), sys::COLOR_SPACE::OPJ_CLRSPC_UNSPECIFIED);
        RawImage::owning(raw)
    };
    let mut raw =
        raw.ok_or_else(|| Error::Refused { action: "make an image", messages: "out of memory".to_owned() })?;
    let fields = raw.fields_mut();
    (fields.x0, fields.y0, fields.x1, fields.y1) = (image.x0, image.y0, x1, y1);
    for (index, component) in image.components.iter().enumerate() {
        if !raw.fill(index, &component.samples) {
            return Err(Error::Parameters("a component has not the size that its spacing gives"));
        }
    }
    Ok(raw)
}

fn int(value: u32) -> Result<i32, Error> {
    i32::try_from(value).map_err(|_err| Error::Parameters("a size is too large"))
}

/// OpenJPEG's letter for "a new tile-part with each resolution level".
const TILE_PART_AT_RESOLUTION: std::ffi::c_char = b'R' as std::ffi::c_char;
