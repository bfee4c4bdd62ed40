//! A target returned as a whole, in the place of a stream [15444-9 C.7.3].
//!
//! What goes out are stored bytes in the layout in which they are stored: a file as it is, a codestream from its
//! extents, and before that, where a file is asked for and none is stored, a few boxes made for it. No cache model hears
//! of it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use codestream::{ByteSource as _, Span, annex_i::IndexedCodestream};
use http::StatusCode;
use jpip::{
    CodestreamId, Limits, Request,
    request::return_type::{WholeForm, WholeTypes},
    response::{HANDLED, check_supported},
    selection::{range_list, requested_codestreams},
};

use super::{
    index_cache::{IndexCache, IndexCacheError, OpenObject},
    metadata,
    response::refusal,
    target::{Member, OpenTarget},
};
use crate::{
    http::error::JpipRefusal,
    storage::{StorageError, StoredFile},
    worker::presentation::{Form, Image},
};

/// A whole image on its way out.
pub(crate) struct WholeImage {
    /// What it is.
    pub(crate) media_type: String,
    /// Header fields that tell what is served.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Bytes made for it, which go first.
    pub(crate) before: Bytes,
    /// The stored bytes, in order.
    pub(crate) ranges: Vec<Range<u64>>,
    /// Where they lie.
    pub(crate) file: Arc<StoredFile>,
}

/// The codestream that is asked for.
struct Chosen {
    member: Member,
    object: Arc<OpenObject>,
    codestream: IndexedCodestream,
}

impl WholeImage {
    /// The whole image that the request prefers; `None` if it prefers a stream, or nothing fits.
    ///
    /// # Errors
    ///
    /// - 501 if the codestream that is asked for is damaged, or for fields that are not served.
    /// - 404 if there is none of the number that is asked for.
    /// - 503 if the store does not answer.
    pub(crate) async fn find(
        request: &Request,
        target: &OpenTarget,
        indexes: &IndexCache,
    ) -> Result<Option<Self>, JpipRefusal> {
        if request.types.first().is_none_or(|first| first.stream().is_some()) {
            return Ok(None);
        }
        check_supported(request).map_err(JpipRefusal::of_request)?;
        let ids = requested_codestreams(request, target.logical(), &Limits::default()).ids;
        let chosen = match ids.first() {
            Some(&id) => Chosen::open(target, id, indexes).await?,
            None => None,
        };
        let types = types(target, chosen.as_ref());
        let Some((form, media_type)) = types.choose(&request.types) else {
            // Of what is not there or damaged nobody can say whether it would have fitted.
            let streams = request.types.iter().any(|wanted| wanted.stream().is_some());
            return match (&chosen, ids.is_empty()) {
                _ if streams => Ok(None),
                (None, true) => Err(JpipRefusal::new(StatusCode::NOT_FOUND, "no such codestream")),
                (None, false) => Err(damaged()),
                (Some(_), _) => Ok(None),
            };
        };
        let mut headers = headers(request, target, chosen.as_ref());
        let (before, ranges, file) = match (form, chosen) {
            (WholeForm::File, chosen) => {
                let file = match chosen {
                    Some(chosen) => Arc::clone(chosen.object.object()),
                    None => only_file(target, indexes).await?,
                };
                (Vec::new(), std::iter::once(0..file.len()).collect(), file)
            }
            (_, None) => return Err(damaged()),
            (form, Some(chosen)) => {
                if ids.len() > 1 {
                    headers.extend(range_list(ids.get(..1).unwrap_or_default(), ',').map(|ids| ("JPIP-stream", ids)));
                }
                let before = if form == WholeForm::Wrapped { chosen.boxes() } else { Vec::new() };
                (before, chosen.ranges()?, Arc::clone(chosen.object.object()))
            }
        };
        let media_type = media_type.to_owned();
        Ok(Some(Self { media_type, headers, before: before.into(), ranges, file }))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        let lens = self.ranges.iter().map(|range| range.end.saturating_sub(range.start));
        lens.fold(self.before.len() as u64, u64::saturating_add)
    }
}

impl Chosen {
    /// `None` if it is damaged.
    async fn open(target: &OpenTarget, id: CodestreamId, indexes: &IndexCache) -> Result<Option<Self>, JpipRefusal> {
        let Some((_, &member, position)) = target.place(id) else { return Ok(None) };
        let object = indexes.open(member.object, member.index).await.map_err(refusal)?;
        match indexes.stored(&object, position, &mut object.nothing_loaded()).await {
            Ok(codestream) => Ok(Some(Self { member, object, codestream })),
            Err(IndexCacheError::Unusable(_) | IndexCacheError::Storage(StorageError::Missing)) => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    }

    /// The boxes before the codestream, in a file that is made for it.
    fn boxes(&self) -> Vec<u8> {
        let image = Image::beside(self.codestream.header(), self.member.colour);
        metadata::before_codestream(&image, self.codestream.len())
    }

    fn ranges(&self) -> Result<Vec<Range<u64>>, JpipRefusal> {
        let whole = Span::new(0, self.codestream.len());
        let extents = self.codestream.extents().locate(whole).map_err(|error| JpipRefusal::internal(&error))?;
        Ok(extents.into_iter().map(|extent| extent.offset..extent.end()).collect())
    }
}

/// The object of a target of one file, whichever of its codestreams can be served.
async fn only_file(target: &OpenTarget, indexes: &IndexCache) -> Result<Arc<StoredFile>, JpipRefusal> {
    let member = target.members().first().ok_or_else(damaged)?;
    let object = indexes.open(member.object, member.index).await.map_err(refusal)?;
    Ok(Arc::clone(object.object()))
}

/// What the target can be returned as. A file is put around a codestream only where none is stored around it.
fn types<'a>(target: &'a OpenTarget, chosen: Option<&Chosen>) -> WholeTypes<'a> {
    let names = |chosen: &Chosen| {
        if chosen.codestream.header().is_htj2k() { ("image/jph", "image/jphc") } else { ("image/jp2", "image/j2c") }
    };
    let wrapped = chosen.filter(|chosen| chosen.member.form != Form::Jp2Family).map(|chosen| names(chosen).0);
    WholeTypes { file: target.file_type(), wrapped, codestream: chosen.map(|chosen| names(chosen).1) }
}

/// A window, a quality and components that are asked for are not cut out: all of the image is what is served.
fn headers(request: &Request, target: &OpenTarget, chosen: Option<&Chosen>) -> Vec<(&'static str, String)> {
    let mut found = vec![("JPIP-tid", target.logical().tid.clone())];
    if let Some(qid) = request.qid {
        found.push(("JPIP-qid", qid.to_string()));
    }
    let header = chosen.map(|chosen| chosen.codestream.header());
    if let Some((width, height)) = header.map(|header| header.siz().reduced_size(0))
        && (request.fsiz.is_some() || request.roi.is_some())
    {
        found.push(("JPIP-fsiz", format!("{width},{height}")));
        found.push(("JPIP-roff", "0,0".to_owned()));
        found.push(("JPIP-rsiz", format!("{width},{height}")));
    }
    if request.roi.is_some() {
        found.push(("JPIP-roi", "roi=no-roi".to_owned()));
    }
    if let Some(last) = header.and_then(|header| header.siz().component_count().checked_sub(1))
        && !request.comps.is_empty()
    {
        found.push(("JPIP-comps", format!("0-{last}")));
    }
    if request.quality.is_some() {
        found.push(("JPIP-quality", "-1".to_owned()));
    }
    if request.handled {
        found.push(("JPIP-handled", HANDLED.to_owned()));
    }
    found
}

fn damaged() -> JpipRefusal {
    JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, "damaged: the codestream that was asked for cannot be served")
}
