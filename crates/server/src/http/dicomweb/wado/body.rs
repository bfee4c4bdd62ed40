//! Bodies that are made while they are sent.

use std::io::{self, Write};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use dicom_bridge::multipart::MultipartWriter;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, header};
use tokio::sync::{Semaphore, mpsc};

use crate::http::error::Problem;

/// Bytes on their way out.
pub(super) type Bytestream = BoxStream<'static, io::Result<Bytes>>;

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

/// Works that write bodies at the same time: each holds a thread for as long as its client reads.
static WRITERS: Semaphore = Semaphore::const_new(32);

/// Bytes that such a work writes at a time.
const PIECE: usize = 64 * 1024;

/// Runs blocking work that writes, and gives what it writes; the work waits for who reads.
pub(super) fn written<E: std::fmt::Display + Send>(
    work: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) -> Bytestream {
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        // Never closed: an error cannot be.
        let Ok(permit) = WRITERS.acquire().await else { return };
        let done = tokio::task::spawn_blocking(move || {
            let mut writer = Sender { waiting: BytesMut::new(), sender };
            let worked = work(&mut writer).map_err(|error| io::Error::other(error.to_string()));
            if let Err(error) = worked.and_then(|()| writer.send()) {
                // The reader may have gone, which is why it failed.
                let _gone = writer.sender.blocking_send(Err(error));
            }
        });
        drop(done.await);
        drop(permit);
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed()
}

struct Sender {
    waiting: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Sender {
    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = self.waiting.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
