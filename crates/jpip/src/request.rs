//! A JPIP request: the text of all fields of [15444-9 C], read into types.
//!
//! A [`Request`] that exists obeys the grammar and the rules on combinations; whether the server does what
//! it asks is decided later. Unknown fields are passed over, a known field that is malformed or repeated
//! refuses the request.

pub mod abandon;
pub mod channel;
pub mod context;
pub mod error;
pub mod metareq;
pub mod model;
pub mod preference;
pub mod range;
pub mod return_type;
pub mod tile_part_model;
pub mod window;

mod field;

pub use field::KNOWN as KNOWN_FIELDS;
mod scan;

use self::channel::{CloseList, Transport};
use self::context::CodestreamContext;
use self::error::RequestError;
use self::field::RawFields;
use self::metareq::MetadataRequest;
use self::model::CacheDescriptors;
use self::preference::{PreferenceSet, text_list};
use self::range::{SampledRange, UintRange, list};
use self::return_type::{ReturnType, StreamType};
use self::scan::{Scanner, byte_count, ufloat};
use self::tile_part_model::TilePartDescriptor;
use self::window::{FrameSize, Rounding, SamplePair};
use crate::dialect::Dialect;
use crate::limits::Limits;
use crate::target::MetadataBins;

/// The fields of one request; `None` or empty where a field is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `target`: name of the logical target, percent-decoded. A name that is not UTF-8 reads as one that
    /// no target can have.
    pub target: Option<String>,
    /// `subtarget`: first and last byte of the target's file.
    pub subtarget: Option<(u64, u64)>,
    /// `tid`: the target identifier that the client knows, `0` to ask for it.
    pub tid: Option<String>,
    /// `cid`: the channel.
    pub cid: Option<String>,
    /// `cnew`: transports offered for a new channel, the preferred first.
    pub cnew: Vec<Transport>,
    /// `cclose`: channels to close after the response.
    pub cclose: Option<CloseList>,
    /// `qid`: number of the request on its channel.
    pub qid: Option<u64>,
    /// `fsiz`: requested frame size; without it no image data is wanted.
    pub fsiz: Option<FrameSize>,
    /// `roff`: upper left corner of the region in the requested frame.
    pub roff: Option<SamplePair>,
    /// `rsiz`: size of the region in the requested frame.
    pub rsiz: Option<SamplePair>,
    /// `comps`: image components; empty means all.
    pub comps: Vec<UintRange>,
    /// `stream`: codestreams; empty means the default.
    pub stream: Vec<SampledRange>,
    /// `context`: codestreams by what uses them.
    pub context: Vec<CodestreamContext>,
    /// `srate`: codestreams per second of a timed sequence.
    pub srate: Option<f64>,
    /// `roi`: name of a region of interest.
    pub roi: Option<String>,
    /// `layers`: greatest number of quality layers.
    pub layers: Option<u32>,
    /// `metareq`: metadata wanted.
    pub metareq: Option<MetadataRequest>,
    /// `len`: greatest number of bytes of the response, message headers included, end-of-response not.
    pub len: Option<u64>,
    /// `quality`: relative quality, 0 to 100.
    pub quality: Option<u8>,
    /// `align=yes`.
    pub align: bool,
    /// `wait=yes`: the previous response of the channel is finished first.
    pub wait: bool,
    /// `type`: return types in the client's order of preference; empty means the server's choice.
    pub types: Vec<ReturnType>,
    /// `drate`: delivery rate factor of a timed sequence.
    pub drate: Option<f64>,
    /// `model`: what the client's cache holds.
    pub model: Option<CacheDescriptors>,
    /// `tpmodel`: the same in terms of tile-parts.
    pub tpmodel: Vec<TilePartDescriptor>,
    /// `need`: the only data-bins wanted.
    pub need: Option<CacheDescriptors>,
    /// `tpneed`: the same in terms of tile-parts.
    pub tpneed: Vec<TilePartDescriptor>,
    /// `mset`: codestreams that the cache model is to keep; empty means the server's choice.
    pub mset: Vec<SampledRange>,
    /// `upload`: type of the uploaded data.
    pub upload: Option<ReturnType>,
    /// `cap`: client capabilities, verbatim.
    pub cap: Vec<String>,
    /// `pref`: preference sets.
    pub pref: Vec<PreferenceSet>,
    /// `csf`: contrast sensitivity lines, verbatim.
    pub csf: Vec<String>,
    /// `handled`: the client asks which fields are served.
    pub handled: bool,
    /// `sendto`: where datagrams go.
    pub sendto: Option<String>,
    /// `abandon`: chunks given up, verbatim.
    pub abandon: Vec<String>,
    /// `barrier`: request whose chunks are to be settled first.
    pub barrier: Option<u64>,
    /// `twait`: time limit, in the unit that the standard gives it; not acted upon.
    pub twait: Option<u64>,
    /// `dialect`: how a JPP-stream deviates from the standard for the client's sake; a field of our own.
    pub dialect: Option<Dialect>,
}

impl Request {
    /// Reads the query part of a URL (without `?`) and, for a POST, the fields of its body.
    ///
    /// # Errors
    ///
    /// - [`RequestError::Malformed`] if a known field is repeated or breaks its grammar.
    /// - [`RequestError::Combination`] if fields exclude one another.
    /// - [`RequestError::LimitExceeded`] if a list is too long.
    ///
    /// # Example
    ///
    /// ```
    /// let request = jpip::Request::parse(b"target=a.jp2&fsiz=640,480,closest&len=2000", None)?;
    /// assert_eq!(request.target.as_deref(), Some("a.jp2"));
    /// assert_eq!(request.len, Some(2000));
    /// # Ok::<(), jpip::RequestError>(())
    /// ```
    pub fn parse(query: &[u8], body: Option<&[u8]>) -> Result<Self, RequestError> {
        Self::parse_within(query, body, &Limits::default())
    }

    /// As [`Request::parse`], within limits of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Request::parse`].
    pub fn parse_within(query: &[u8], body: Option<&[u8]>, limits: &Limits) -> Result<Self, RequestError> {
        let mut fields = RawFields::default();
        fields.read(query, false)?;
        if let Some(body) = body {
            // Programs that build a body line by line end it with a line end.
            fields.read(body.trim_ascii_end(), true)?;
        }
        let items = limits.max_list_items;
        let request = Self {
            target: fields.parse("target", |_, value| Ok(name(value)))?,
            subtarget: fields.parse("subtarget", byte_range)?,
            tid: fields.parse("tid", target_id)?,
            cid: fields.parse("cid", text)?,
            cnew: fields.parse("cnew", |f, v| Transport::parse_list(f, v, limits))?.unwrap_or_default(),
            cclose: fields.parse("cclose", |f, v| CloseList::parse(f, v, limits))?,
            qid: fields.parse("qid", request_id)?,
            fsiz: fields.parse("fsiz", FrameSize::parse)?,
            roff: fields.parse("roff", SamplePair::parse)?,
            rsiz: fields.parse("rsiz", SamplePair::parse)?,
            comps: fields.parse("comps", |f, v| list(f, v, items, UintRange::scan))?.unwrap_or_default(),
            stream: fields.parse("stream", |f, v| list(f, v, items, SampledRange::scan))?.unwrap_or_default(),
            context: fields.parse("context", |f, v| list(f, v, items, CodestreamContext::scan))?.unwrap_or_default(),
            srate: fields.parse("srate", rate)?,
            roi: fields.parse("roi", text)?.filter(|name| !name.is_empty()),
            layers: fields.parse("layers", |f, v| Ok(u32::try_from(uint(f, v)?).unwrap_or(u32::MAX)))?,
            metareq: fields.parse("metareq", |f, v| MetadataRequest::parse(f, v, limits))?,
            len: fields.parse("len", |f, v| byte_count(v).ok_or(RequestError::malformed(f, "not a byte count")))?,
            quality: fields.parse("quality", quality)?,
            align: fields.parse("align", yes_or_no)?.unwrap_or(false),
            wait: fields.parse("wait", yes_or_no)?.unwrap_or(false),
            types: fields.parse("type", |f, v| ReturnType::parse_list(f, v, limits))?.unwrap_or_default(),
            drate: fields.parse("drate", rate)?,
            model: fields.parse("model", |f, v| CacheDescriptors::parse(f, v, limits.max_model_items, true))?,
            tpmodel: fields.parse("tpmodel", |f, v| TilePartDescriptor::parse_list(f, v, items))?.unwrap_or_default(),
            need: fields.parse("need", |f, v| CacheDescriptors::parse(f, v, limits.max_model_items, false))?,
            tpneed: fields.parse("tpneed", |f, v| TilePartDescriptor::parse_list(f, v, items))?.unwrap_or_default(),
            mset: fields.parse("mset", |f, v| list(f, v, items, SampledRange::scan))?.unwrap_or_default(),
            upload: fields
                .parse("upload", |f, v| ReturnType::parse_list(f, v, limits))?
                .and_then(|t| t.into_iter().next()),
            cap: fields.parse("cap", |f, v| text_list(f, v, limits))?.unwrap_or_default(),
            pref: fields.parse("pref", |f, v| PreferenceSet::parse_list(f, v, limits))?.unwrap_or_default(),
            csf: fields.parse("csf", |f, v| text_list(f, v, limits))?.unwrap_or_default(),
            handled: fields.has("handled"),
            sendto: fields.parse("sendto", text)?,
            abandon: fields.parse("abandon", |f, v| text_list(f, v, limits))?.unwrap_or_default(),
            barrier: fields.parse("barrier", uint)?,
            twait: fields.parse("twait", uint)?,
            dialect: fields.parse("dialect", Dialect::parse)?,
        };
        request.check_combinations(&fields)?;
        Ok(request)
    }

    /// The stream that answers the request: the first of its types that is one, in its dialect.
    ///
    /// # Errors
    ///
    /// - [`RequestError::UnsupportedMediaType`] if types are named and none of them is a stream.
    pub fn stream_type(&self) -> Result<StreamType, RequestError> {
        let stream = StreamType::of(&self.types)?;
        Ok(if self.dialect == Some(Dialect::OpenJpip) && !stream.is_jpt() { StreamType::OpenJpip } else { stream })
    }

    /// Takes over from its channel what the request leaves open: the return type, and the dialect.
    pub fn keep_to(&mut self, channel: StreamType) {
        if self.types.is_empty() {
            self.types.push(channel.into());
        }
        if channel == StreamType::OpenJpip {
            self.dialect = Some(Dialect::OpenJpip);
        }
    }

    /// Whether the request belongs to a session: it names a channel or asks for one.
    #[must_use]
    pub const fn is_on_channel(&self) -> bool {
        self.cid.is_some()
    }

    /// Whether nothing but the closing of channels is asked for; codestreams and a target by themselves ask
    /// for nothing.
    #[must_use]
    pub const fn only_closes(&self) -> bool {
        self.cclose.is_some()
            && self.cnew.is_empty()
            && self.fsiz.is_none()
            && self.roi.is_none()
            && self.metareq.is_none()
            && self.need.is_none()
    }

    /// Puts the window of the region that `roi` names in the place of the one asked for; `false` if the target has no
    /// region of this name, and the request stays as it is [15444-9 C.4.8].
    pub(crate) fn take_region(&mut self, metadata: &MetadataBins) -> bool {
        let named = self.roi.as_deref().and_then(|name| metadata.region(name));
        let Some((region, (width, height))) = named.zip(metadata.picture) else { return false };
        let area = region.area;
        self.fsiz = Some(FrameSize { width, height, rounding: Rounding::Down });
        self.roff = Some(SamplePair { x: area.x, y: area.y });
        self.rsiz = Some(SamplePair { x: area.width, y: area.height });
        true
    }

    /// The combinations that the standard excludes [15444-9 C.1.3].
    fn check_combinations(&self, fields: &RawFields<'_>) -> Result<(), RequestError> {
        let rule = |first, relation, second| Err(RequestError::Combination { first, relation, second });
        for part in ["roff", "rsiz"] {
            if fields.has(part) && self.fsiz.is_none() {
                return rule(part, "needs", "fsiz");
            }
        }
        for list in ["need", "tpneed"] {
            for channel in ["cid", "cnew"] {
                if fields.has(list) && fields.has(channel) {
                    return rule(list, "cannot be used with", channel);
                }
            }
        }
        if self.cclose == Some(CloseList::All) && self.cid.is_none() {
            return rule("cclose=*", "needs", "cid");
        }
        Ok(())
    }
}

/// The name of a target. What is not UTF-8 becomes a text with a control character, which no target's name
/// has, so that it is not found instead of being malformed.
fn name(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| "\0".to_owned(), str::to_owned)
}

fn text(field: &'static str, value: &[u8]) -> Result<String, RequestError> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or(RequestError::malformed(field, "not plain text"))
}

fn target_id(field: &'static str, value: &[u8]) -> Result<String, RequestError> {
    if value.len() > 255 {
        return Err(RequestError::malformed(field, "longer than 255 characters"));
    }
    text(field, value)
}

fn uint(field: &'static str, value: &[u8]) -> Result<u64, RequestError> {
    let mut scanner = Scanner::new(value);
    let number = scanner.uint().filter(|_| scanner.is_empty());
    number.ok_or(RequestError::malformed(field, "not a number"))
}

/// A number that is echoed, so that it may not be rounded to 64 bits as others are.
fn request_id(field: &'static str, value: &[u8]) -> Result<u64, RequestError> {
    uint(field, value)?;
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.ok_or(RequestError::malformed(field, "too large"))
}

fn rate(field: &'static str, value: &[u8]) -> Result<f64, RequestError> {
    ufloat(value).ok_or(RequestError::malformed(field, "not a decimal number"))
}

fn quality(field: &'static str, value: &[u8]) -> Result<u8, RequestError> {
    let number = uint(field, value)?;
    u8::try_from(number).ok().filter(|n| *n <= 100).ok_or(RequestError::malformed(field, "not between 0 and 100"))
}

fn yes_or_no(field: &'static str, value: &[u8]) -> Result<bool, RequestError> {
    match value {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err(RequestError::malformed(field, "neither yes nor no")),
    }
}

fn byte_range(field: &'static str, value: &[u8]) -> Result<(u64, u64), RequestError> {
    let mut scanner = Scanner::new(value);
    match UintRange::scan(&mut scanner) {
        Some(UintRange { first, last: Some(last) }) if scanner.is_empty() => Ok((first, last)),
        _ => Err(RequestError::malformed(field, "not a range of bytes")),
    }
}

#[cfg(test)]
mod tests;
