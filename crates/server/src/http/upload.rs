//! `upload`: a whole image as the body of a POST [15444-9 E].
//!
//! The fields stand in the query, so that the body is the image and nothing else. It goes the way of every object that
//! comes in; what names the target then names the new image.

use std::sync::Arc;

use axum::body::Body;
use codestream::jp2::{FileKind, sniff};
use http::{HeaderValue, Response, StatusCode, Uri, request::Parts};
use jpip::request::return_type::ReturnType;

use super::{
    error::JpipRefusal,
    import_api,
    jpip::{head_of, target_name},
    request_body::RequestBody,
};
use crate::app::App;

/// Whether the query has the field `upload`.
pub(super) fn is_upload(uri: &Uri) -> bool {
    let mut fields = uri.query().unwrap_or_default().split('&');
    fields.any(|field| field == "upload" || field.starts_with("upload="))
}

/// 201 stored, with the new target in the body and its identifier in `JPIP-tid`; 200 the same bytes were there; 400
/// without a target; 409 another object has that SOP Instance UID; 413, 408, 507 as for an import; 415 other types, or
/// bytes of another type than announced; 422 not an image that can be kept; 501 parts of an image.
pub(super) async fn answer(
    app: &Arc<App>,
    path: &str,
    head: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, JpipRefusal> {
    let taken = take(app, path, head, body).await;
    match &taken {
        Ok(_) => app.metrics().imported.increment(1),
        Err(_) => app.metrics().import_refused.increment(1),
    }
    taken
}

async fn take(app: &Arc<App>, path: &str, head: &Parts, body: RequestBody) -> Result<Response<Body>, JpipRefusal> {
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let request = jpip::Request::parse(query, None).map_err(JpipRefusal::of_request)?;
    let Some(announced) = &request.upload else {
        return Err(JpipRefusal::new(StatusCode::BAD_REQUEST, "upload: names no media type"));
    };
    if is_partial(&request) {
        let words = "partial uploads are not taken: upload a whole image, without a window, a stream or a byte range";
        return Err(JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, words));
    }
    let kind = Kind::of(announced)?;
    if let Some(cid) = &request.cid
        && app.serving().channels().find(cid).is_none()
    {
        return Err(JpipRefusal::no_such_channel());
    }
    let name = target_name(&request, path)?;
    if name.is_empty() {
        return Err(JpipRefusal::new(StatusCode::BAD_REQUEST, "upload: needs target"));
    }
    let (temp, first) = import_api::receive(app, &head.headers, Body::new(body)).await?;
    if !kind.is_that_of(&first) {
        let words = "the body is not of the media type that upload names";
        return Err(JpipRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let (status, said, tid) = import_api::keep(app, temp, Some(name)).await?;
    let mut fields = Vec::new();
    fields.extend(tid.map(|tid| ("JPIP-tid", tid)));
    fields.extend(request.qid.map(|qid| ("JPIP-qid", qid.to_string())));
    let content_type = HeaderValue::from_static("application/json");
    let mut response = head_of(Body::from(said.to_string()), fields, content_type, "no-store");
    *response.status_mut() = status;
    Ok(response)
}

/// Whether a part of the target is to be replaced, or data-bins of it.
fn is_partial(request: &jpip::Request) -> bool {
    request.upload.as_ref().is_some_and(|announced| announced.stream().is_some())
        || request.subtarget.is_some()
        || request.fsiz.is_some()
        || request.roi.is_some()
        || request.metareq.is_some()
        || request.layers.is_some()
        || !request.comps.is_empty()
        || !request.stream.is_empty()
        || !request.context.is_empty()
}

/// What the first bytes of an uploaded image must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Those of a file of this kind.
    Image(FileKind),
    Dicom,
    /// Whatever can be stored.
    Any,
}

impl Kind {
    fn of(announced: &ReturnType) -> Result<Self, JpipRefusal> {
        let ReturnType::Media(name) = announced else { return Ok(Self::Any) };
        match name.as_str() {
            "image/jp2" | "image/jpx" | "image/jph" | "image/jpm" | "video/mj2" => Ok(Self::Image(FileKind::Jp2Family)),
            "image/j2c" | "image/jphc" => Ok(Self::Image(FileKind::RawCodestream)),
            "application/dicom" => Ok(Self::Dicom),
            _ => Err(JpipRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "images of this media type are not taken")),
        }
    }

    fn is_that_of(self, first: &[u8]) -> bool {
        match self {
            Self::Image(kind) => sniff(first) == Some(kind),
            Self::Dicom => first.get(128..132) == Some(b"DICM"),
            Self::Any => true,
        }
    }
}
