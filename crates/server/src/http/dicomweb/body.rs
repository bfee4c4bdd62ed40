//! Bodies that are made while they are sent.

use std::io;

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use dicom_bridge::multipart::MultipartWriter;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, header};

use crate::http::error::Problem;
pub(super) use crate::written::{Bytestream, written};

/// One part of a body of several.
pub(super) struct Part {
    /// Of the part, with its parameters.
    pub(super) content_type: String,
    pub(super) location: String,
    pub(super) bytes: Bytestream,
}

/// A response of several parts, which are taken one after the other; there must be one.
///
/// # Errors
///
/// 500 if there is no random source.
pub(super) fn multipart(media_type: &str, parts: BoxStream<'static, io::Result<Part>>) -> Result<Response, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Problem::internal(&error))?;
    let mut writer = MultipartWriter::new(random);
    let content_type = writer.content_type(media_type);
    let pieces = parts.map(Some).chain(stream::iter([None])).flat_map(move |part| -> Bytestream {
        let text = |text: String| stream::iter([Ok(Bytes::from(text))]);
        match part {
            Some(Ok(part)) => {
                let headers = [("Content-Type", part.content_type.as_str()), ("Content-Location", &part.location)];
                text(writer.part(&headers)).chain(part.bytes).boxed()
            }
            Some(Err(error)) => stream::iter([Err(error)]).boxed(),
            None => text(writer.end()).boxed(),
        }
    });
    response(&content_type, Body::from_stream(pieces))
}

/// # Errors
///
/// 500 if the media type cannot stand in a header.
pub(super) fn response(content_type: &str, body: Body) -> Result<Response, Problem> {
    let content_type = HeaderValue::try_from(content_type).map_err(|error| Problem::internal(&error))?;
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
