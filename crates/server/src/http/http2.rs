//! HTTP/2 by prior knowledge, on the port of HTTP/1.1 [RFC 9113 3.3].
//!
//! The handlers are those of HTTP/1.1. Each stream has a [`Peer`] of its own, because a newer request may overtake the
//! response of one stream of a connection and not that of another. The limits: [`MAX_STREAMS`] at once, each with at
//! most [`stream::UNTAKEN`] bytes and one piece on their way; what a peer may send unasked, [`frames`].
//!
//! A request target with raw `<`, `>` or `"` is refused with a reset of its stream: header fields are compressed, so
//! nothing below hyper can encode them as on HTTP/1.1.

use std::{convert::Infallible, sync::Arc};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::{
    frame_stream::FrameStream,
    stream::{StreamBody, Streams},
};
use super::{MAX_HEAD, Service, connection::Patience, delivery::Peer, opening::Opening, request_body::RequestBody};

mod frame_stream;
mod frames;
mod stream;

/// Requests of one connection that are answered at once.
const MAX_STREAMS: u32 = 32;

/// What the peer may send of one request body, and of all of a connection, before it is taken, in bytes.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Largest frame that is taken, in bytes: the least that there is.
const MAX_FRAME: u32 = 16 << 10;

/// Serves one connection to its end.
pub(super) async fn converse(
    tcp: TcpStream,
    opening: Opening,
    peer: Arc<Peer>,
    service: Arc<Service>,
    drain: CancellationToken,
) -> hyper::Result<()> {
    let patience = Patience::default();
    let stream = FrameStream::new(tcp, Arc::clone(&peer), patience, opening);
    let handler = service_fn(move |request: Request<Incoming>| answer(Arc::clone(&service), request));
    let mut builder = http2::Builder::new(Streams::new(peer, patience));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(u32::try_from(2 * MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(stream::UNTAKEN);
    let connection = builder.serve_connection(TokioIo::new(stream), handler);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn answer(service: Arc<Service>, mut request: Request<Incoming>) -> Result<Response<StreamBody>, Infallible> {
    let stream = stream::current();
    let is_head = request.method() == Method::HEAD;
    name_host(&mut request);
    let (head, body) = request.into_parts();
    let (body, unread) = RequestBody::followed(body);
    let mut response = match &stream {
        Some(stream) => service.answer(stream.peer(), Request::from_parts(head, body)).await,
        // hyper runs every request in its executor, which names the stream.
        None => Response::new(Body::empty()),
    };
    unread.discard().await;
    if is_head {
        let len = response.body().size_hint().exact();
        if let Some(len) = len {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(len));
        }
        *response.body_mut() = Body::empty();
    }
    Ok(response.map(|body| StreamBody::new(body, stream)))
}

/// `:authority` is what Host is on HTTP/1.1, whatever a Host field says [RFC 9113 8.3.1].
fn name_host(request: &mut Request<Incoming>) {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
}
