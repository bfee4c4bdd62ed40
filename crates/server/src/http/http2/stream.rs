//! One stream of an HTTP/2 connection: its response leaves no faster than the peer takes it, is delivered when the
//! socket has it, and is given up when nobody takes it.
//!
//! hyper polls a body long before its bytes are written: they wait for the flow-control windows. So each piece of a
//! body is a [`Piece`] that notices when it is consumed, which happens only as its bytes go to the socket or into the
//! buffer that the next flush of the connection empties. The ticket of a response goes to the connection when its last
//! byte was consumed, and is redeemed by the flush after that, as on HTTP/1.1. A stream that is reset, or whose
//! connection breaks, drops its ticket.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::{
    connection::Patience,
    delivery::{Peer, Working},
};

/// Bytes of a response that may be on their way before more of it is made.
pub(super) const UNTAKEN: usize = 64 << 10;

tokio::task_local! {
    static STREAM: Arc<Stream>;
}

/// The stream whose request is handled by the task at hand.
pub(super) fn current() -> Option<Arc<Stream>> {
    STREAM.try_with(Arc::clone).ok()
}

/// One stream, shared by its handler, its body and the pieces of it.
pub(super) struct Stream {
    peer: Arc<Peer>,
    connection: Arc<Peer>,
    untaken: Mutex<Untaken>,
}

/// Bytes that were handed out and not written.
struct Untaken {
    bytes: usize,
    /// When the peer last took any, or the first of them were handed out.
    since: Instant,
}

impl Stream {
    fn new(connection: &Arc<Peer>) -> Self {
        Self {
            peer: Arc::new(Peer::new(connection.address(), connection.local())),
            connection: Arc::clone(connection),
            untaken: Mutex::new(Untaken { bytes: 0, since: Instant::now() }),
        }
    }

    /// The peer as the handlers of this stream see it.
    pub(super) const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    fn untaken(&self) -> MutexGuard<'_, Untaken> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, bytes: usize) {
        let mut untaken = self.untaken();
        if untaken.bytes == 0 {
            untaken.since = Instant::now();
        }
        untaken.bytes = untaken.bytes.saturating_add(bytes);
    }

    fn taken(&self, bytes: usize) {
        let mut untaken = self.untaken();
        untaken.bytes = untaken.bytes.saturating_sub(bytes);
        untaken.since = Instant::now();
        drop(untaken);
        self.peer.wake_writer();
    }

    /// When the peer will have taken nothing for too long; `None` while nothing is there to be taken.
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        let wait = if self.peer.is_overtaken() { patience.overtaken } else { patience.write };
        let untaken = self.untaken();
        (untaken.bytes > 0).then(|| untaken.since + wait)
    }
}

/// Runs the streams of one connection, each with an eye on its peer.
#[derive(Clone)]
pub(super) struct Streams {
    connection: Arc<Peer>,
    patience: Patience,
}

impl Streams {
    pub(super) const fn new(connection: Arc<Peer>, patience: Patience) -> Self {
        Self { connection, patience }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        let stream = Arc::new(Stream::new(&self.connection));
        tokio::spawn(Watched {
            work: Box::pin(STREAM.scope(Arc::clone(&stream), work)),
            alarm: Box::pin(sleep_until(Instant::now() + self.patience.write)),
            patience: self.patience,
            stream,
            _working: self.connection.work(),
        });
    }
}

/// The work of one stream; dropping it resets the stream, if that has not ended.
struct Watched {
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    alarm: Pin<Box<Sleep>>,
    patience: Patience,
    stream: Arc<Stream>,
    _working: Working,
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.stream.peer.wake_if_overtaken(cx.waker());
        if this.work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(deadline) = this.stream.deadline(this.patience) {
            // The alarm may ring early, and is then set again; it is moved forward only if it would be late.
            let now = Instant::now();
            if deadline <= now {
                tracing::debug!("a stream whose peer takes nothing was reset");
                return Poll::Ready(());
            }
            if deadline < this.alarm.deadline() || this.alarm.deadline() <= now {
                this.alarm.as_mut().reset(deadline);
            }
            ready!(this.alarm.as_mut().poll(cx));
        }
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // What the socket has was passed on to the connection before.
        self.stream.peer.broke();
    }
}

/// The body of a response on a stream.
pub(super) struct StreamBody {
    inner: Body,
    stream: Option<Arc<Stream>>,
}

impl StreamBody {
    pub(super) const fn new(inner: Body, stream: Option<Arc<Stream>>) -> Self {
        Self { inner, stream }
    }

    fn untaken(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.untaken().bytes)
    }
}

impl http_body::Body for StreamBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = &mut *self;
        // The stream ends when its last byte has left, so that until then it can be reset. The task is the one that
        // `Watched` has registered.
        let most = if this.inner.is_end_stream() { 1 } else { UNTAKEN };
        if this.untaken() >= most {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        let Some(stream) = &this.stream else { return Poll::Ready(None) };
        match frame {
            Some(frame) => Poll::Ready(Some(frame.map(|frame| frame.map_data(|bytes| Piece::new(bytes, stream))))),
            None if stream.untaken().bytes > 0 => Poll::Pending,
            None => {
                stream.peer.pass_tickets_to(&stream.connection);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.untaken() == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A piece of a body, which notices when its bytes are written.
pub(super) struct Piece {
    bytes: Bytes,
    stream: Arc<Stream>,
    is_last: bool,
}

impl Piece {
    fn new(bytes: Bytes, stream: &Arc<Stream>) -> Self {
        stream.hand_out(bytes.len());
        // A body gives its ticket away as it gives its last bytes.
        Self { bytes, stream: Arc::clone(stream), is_last: stream.peer.has_tickets() }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.is_last && self.bytes.is_empty() {
            self.stream.peer.pass_tickets_to(&self.stream.connection);
        }
        self.stream.taken(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.stream.taken(self.bytes.len());
        }
    }
}
