//! The stream below hyper on an HTTP/2 connection: delivery noticed, floods ended, no peer waited for without end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::frames::FrameTracker;
use crate::http::{connection::Patience, delivery::Peer, opening::Opening};

/// A connection as hyper sees it.
pub(super) struct FrameStream<S> {
    inner: S,
    peer: Arc<Peer>,
    /// What was read before the protocol was known.
    first: BytesMut,
    tracker: FrameTracker,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    owed_since: Option<Instant>,
    idle_since: Instant,
    write_blocked_since: Option<Instant>,
}

impl<S> FrameStream<S> {
    pub(super) fn new(inner: S, peer: Arc<Peer>, patience: Patience, opening: Opening) -> Self {
        Self {
            inner,
            peer,
            first: opening.bytes,
            tracker: FrameTracker::new(),
            patience,
            alarm: Box::pin(sleep_until(opening.since + patience.head)),
            owed_since: None,
            idle_since: opening.since,
            write_blocked_since: None,
        }
    }

    /// The next moment at which something will have taken too long.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.write_blocked_since {
            return Some(since + self.patience.write);
        }
        if let Some(since) = self.owed_since {
            return Some(since + self.patience.head);
        }
        if !self.tracker.has_requests() {
            return Some(self.idle_since + self.patience.head);
        }
        (!self.peer.is_busy()).then(|| self.idle_since + self.patience.idle)
    }

    /// Whether the deadline has passed; otherwise the task is woken when it has.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return true;
            }
            // The alarm may ring early, and is then set again; it is moved forward only if it would be late.
            let next = deadline.unwrap_or(now + self.patience.head);
            if next < self.alarm.deadline() || self.alarm.deadline() <= now {
                self.alarm.as_mut().reset(next);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
    }

    /// Looks at what the peer has sent.
    fn observe(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.tracker.feed(bytes).is_err() {
            self.peer.broke();
            tracing::debug!("a connection was ended for a flood of frames");
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.tracker.is_owed() {
            self.owed_since.get_or_insert_with(Instant::now);
        } else {
            self.owed_since = None;
        }
        if self.tracker.has_requests() {
            self.idle_since = Instant::now();
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = if this.first.is_empty() {
            Pin::new(&mut this.inner).poll_read(cx, buf)
        } else {
            let now = this.first.len().min(buf.remaining());
            buf.put_slice(this.first.get(..now).unwrap_or_default());
            this.first.advance(now);
            Poll::Ready(Ok(()))
        };
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(this.observe(buf.filled().get(before..).unwrap_or_default())),
            Poll::Ready(Err(error)) => {
                this.peer.broke();
                Poll::Ready(Err(error))
            }
            Poll::Pending if this.is_late(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> FrameStream<S> {
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(n)) => {
                self.write_blocked_since = None;
                if self.tracker.has_requests() {
                    self.idle_since = Instant::now();
                }
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => {
                self.peer.broke();
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                self.write_blocked_since.get_or_insert_with(Instant::now);
                if self.is_late(cx) {
                    self.peer.broke();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.inner).poll_flush(cx));
        match &result {
            // h2 flushes only when its own buffer is empty.
            Ok(()) => this.peer.flushed(),
            Err(_) => this.peer.broke(),
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S> Drop for FrameStream<S> {
    fn drop(&mut self) {
        self.peer.broke();
    }
}
