//! The body of a request, of which what no handler has read can be taken back.
//!
//! A response may end before the request has [RFC 9113 8.1]. On HTTP/1.1 the connection lingers for the rest; on HTTP/2
//! the stream is reset, without an error, and there are clients (curl 7.88) that show the reset and not the response.
//! So a short rest is read first.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{sync::oneshot, time::timeout};

/// Bytes of a rest that are read, and how long they may take.
const SHORT: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// The body of a request on its way to a handler.
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    /// Where it goes when it is dropped before its end.
    unread: Option<oneshot::Sender<Incoming>>,
}

/// What will be left of a [`RequestBody`].
pub(super) struct Unread(oneshot::Receiver<Incoming>);

impl RequestBody {
    /// A body, and what will be left of it.
    pub(super) fn followed(incoming: Incoming) -> (Self, Unread) {
        let (sender, receiver) = oneshot::channel();
        (Self { incoming: Some(incoming), unread: Some(sender) }, Unread(receiver))
    }
}

impl From<Incoming> for RequestBody {
    /// A body whose rest is nobody's concern here.
    fn from(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), unread: None }
    }
}

impl Unread {
    /// Reads the rest of a body whose handler has ended, if it is short, and forgets it.
    pub(super) async fn discard(mut self) {
        let Ok(mut body) = self.0.try_recv() else { return };
        let mut left = SHORT;
        if body.size_hint().lower() > left {
            return;
        }
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(rest) = left.checked_sub(len) else { return };
                left = rest;
            }
        };
        let _late = timeout(PATIENCE, read).await;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(unread)) = (self.incoming.take(), self.unread.take())
            && !incoming.is_end_stream()
        {
            // Nobody follows a request whose stream has gone.
            let _gone = unread.send(incoming);
        }
    }
}
