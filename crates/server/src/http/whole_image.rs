//! The answer to a JPIP request that prefers a whole image to a stream.
//!
//! Nothing of it passes through a channel: it neither ends a response nor is ended by one, no channel is granted with
//! it, and it leaves the cache model of a session as it is.

use axum::body::Body;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderValue, Response, header};

use super::{
    error::JpipRefusal,
    jpip::{channel_refusal, head_of},
};
use crate::{app::App, serving::whole_image::WholeImage};

/// 200 with the image, which is sent whole: where `len` allows less than that, the body is empty, and `JPIP-len` tells
/// how much it takes [15444-9 D.2].
pub(super) fn answer(
    app: &App,
    request: &jpip::Request,
    mut whole: WholeImage,
    is_head: bool,
) -> Result<Response<Body>, JpipRefusal> {
    if let Some(list) = &request.cclose {
        app.serving().channels().close(list, request.cid.as_deref()).map_err(channel_refusal)?;
    }
    let (mut len, is_channel) = (whole.len(), request.cid.is_some());
    let fits = request.len.is_none_or(|limit| len <= limit);
    let mut fields = std::mem::take(&mut whole.headers);
    if !fits {
        if request.len != Some(0) {
            fields.push(("JPIP-len", len.to_string()));
        }
        len = 0;
    }
    let content_type = HeaderValue::try_from(whole.media_type).map_err(|error| JpipRefusal::internal(&error))?;
    let body = if !fits || is_head {
        Body::empty()
    } else {
        let before = stream::iter([Ok(whole.before)]);
        Body::from_stream(before.chain(whole.file.stream(whole.ranges)))
    };
    let mut response = head_of(body, fields, content_type, if is_channel { "no-store" } else { "no-cache" });
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    Ok(response)
}
