//! The stream below hyper: request lines made acceptable, delivery noticed, and no peer waited for without end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use bytes::{Buf as _, BytesMut};

use super::{
    delivery::Peer,
    opening::Opening,
    request_head::{HeadTracker, Position},
};

/// How long a peer may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a request head, from its first byte to its last; also for the first byte of a new connection.
    pub(crate) head: Duration,
    /// Between two requests.
    pub(crate) idle: Duration,
    /// For taking any byte of a response.
    pub(crate) write: Duration,
    /// The same when a newer request of its channel waits for that response to end.
    pub(crate) overtaken: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_millis(9_500),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(60),
            overtaken: Duration::from_secs(5),
        }
    }
}

/// A connection as hyper sees it.
pub(crate) struct Stream<S> {
    inner: S,
    peer: Arc<Peer>,
    tracker: HeadTracker,
    /// What was read before the protocol was known.
    first: BytesMut,
    /// Rewritten bytes that did not fit the buffer they were read into.
    surplus: Vec<u8>,
    surplus_at: usize,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    /// When the peer last did what was asked of it: connected, began a head, or ended a request.
    head_since: Option<Instant>,
    idle_since: Instant,
    fresh: bool,
    write_blocked_since: Option<Instant>,
    unflushed: bool,
    lingers_until: Option<Instant>,
}

impl<S> Stream<S> {
    pub(crate) fn new(inner: S, peer: Arc<Peer>, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            inner,
            peer,
            tracker: HeadTracker::new(),
            first: BytesMut::new(),
            surplus: Vec::new(),
            surplus_at: 0,
            patience,
            alarm: Box::pin(sleep_until(now + patience.head)),
            head_since: None,
            idle_since: now,
            fresh: true,
            write_blocked_since: None,
            unflushed: false,
            lingers_until: None,
        }
    }

    /// The same connection, of which this was read before.
    pub(super) fn after(mut self, opening: Opening) -> Self {
        self.idle_since = opening.since;
        self.head_since = Some(opening.since);
        self.first = opening.bytes;
        self
    }

    /// The next moment at which something will have taken too long.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.write_blocked_since {
            let overtaken = self.peer.is_overtaken();
            return Some(since + if overtaken { self.patience.overtaken } else { self.patience.write });
        }
        match self.tracker.position() {
            Position::Head => self.head_since.map(|since| since + self.patience.head),
            Position::Between if self.fresh => Some(self.idle_since + self.patience.head),
            Position::Between if !self.peer.is_busy() => Some(self.idle_since + self.patience.idle),
            // Handlers bound the time that a body may take, and know better how long that is.
            Position::Between | Position::Body(_) | Position::Opaque => None,
        }
    }

    /// Whether the deadline has passed; otherwise the task is woken when it has.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            // The alarm is only ever moved forward when that is needed: in the usual course of a connection it
            // is set once, rings early, and is set again.
            let deadline = self.deadline().unwrap_or_else(|| Instant::now() + self.patience.idle);
            if deadline < self.alarm.deadline() {
                self.alarm.as_mut().reset(deadline);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            let now = Instant::now();
            match self.deadline() {
                Some(deadline) if deadline <= now => return true,
                Some(deadline) => self.alarm.as_mut().reset(deadline),
                None => self.alarm.as_mut().reset(now + self.patience.idle),
            }
        }
    }

    /// Passes `fresh` bytes of the peer through the tracker.
    fn observe(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let rewritten = self.tracker.feed(buf.filled().get(before..).unwrap_or_default());
        if let Some(rewritten) = rewritten {
            buf.set_filled(before);
            let fits = buf.remaining().min(rewritten.len());
            let (now, later) = rewritten.split_at(fits);
            buf.put_slice(now);
            self.surplus = later.to_vec();
            self.surplus_at = 0;
        }
        if self.tracker.is_ambiguous() {
            self.peer.set_ambiguous();
        }
        self.fresh = false;
        match self.tracker.position() {
            Position::Head => {
                self.head_since.get_or_insert_with(Instant::now);
            }
            Position::Opaque => self.peer.set_last_request(),
            Position::Between | Position::Body(_) => {
                self.head_since = None;
                self.idle_since = Instant::now();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(rest) = this.surplus.get(this.surplus_at..).filter(|rest| !rest.is_empty()) {
            let now = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..now).unwrap_or_default());
            this.surplus_at += now;
            if this.surplus_at == this.surplus.len() {
                this.surplus = Vec::new();
                this.surplus_at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if !this.first.is_empty() {
            let now = this.first.len().min(buf.remaining());
            buf.put_slice(this.first.get(..now).unwrap_or_default());
            this.first.advance(now);
            this.observe(buf, before);
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > before {
                    this.observe(buf, before);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                this.peer.broke();
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                if !this.is_late(cx) {
                    return Poll::Pending;
                }
                if this.tracker.position() == Position::Head && !this.unflushed {
                    let told = Pin::new(&mut this.inner).poll_write(cx, TOO_LATE);
                    tracing::debug!(answered = told.is_ready(), "a request head took too long");
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(n)) => {
                self.write_blocked_since = None;
                self.unflushed = true;
                self.idle_since = Instant::now();
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => {
                self.peer.broke();
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                self.write_blocked_since.get_or_insert_with(Instant::now);
                self.peer.wake_if_overtaken(cx.waker());
                if self.is_late(cx) {
                    self.peer.broke();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
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
            Ok(()) => {
                this.unflushed = false;
                this.peer.flushed();
            }
            Err(_) => this.peer.broke(),
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingers_until.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if this.tracker.position() == Position::Between {
                return Poll::Ready(Ok(()));
            }
        }
        this.poll_linger(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Takes what a peer still sends after its request was refused unread.
    ///
    /// Closing a socket with unread bytes resets the connection, and the peer may lose the answer that says why.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = *self.lingers_until.get_or_insert_with(|| Instant::now() + LINGER);
        self.alarm.as_mut().reset(until);
        let mut scrap = [0; 4096];
        // A bounded number of reads a turn: a fast sender must not hold the thread.
        for _ in 0..64 {
            let mut buf = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.alarm.as_mut().poll(cx).map(Ok),
            }
        }
        if Instant::now() >= until {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        self.peer.broke();
    }
}

const LINGER: Duration = Duration::from_secs(2);

/// What a peer is told whose request head does not come to its end.
pub(super) const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::delivery::Delivery;

    fn stream(patience: Patience) -> (tokio::io::DuplexStream, Stream<tokio::io::DuplexStream>, Arc<Peer>) {
        let (client, server) = tokio::io::duplex(1024);
        let address = "127.0.0.1:1".parse().unwrap();
        let peer = Arc::new(Peer::new(address, address));
        (client, Stream::new(server, Arc::clone(&peer), patience), peer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_gets_408_and_an_end() {
        let (mut client, mut server, _peer) = stream(Patience::default());
        let begun = Instant::now();
        client.write_all(b"GET / HT").await.unwrap();
        let reader = tokio::spawn(async move {
            let mut buf = [0; 64];
            loop {
                match server.read(&mut buf).await {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some(error.kind()),
                }
            }
        });
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.write_all(b"x").await.unwrap();
        }
        assert_eq!(reader.await.unwrap(), Some(io::ErrorKind::TimedOut));
        assert!(begun.elapsed() <= Duration::from_secs(10));
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_later_than_a_silent_one() {
        for (first, least, most) in [(&b""[..], 9, 10), (b"GET / HTTP/1.1\r\n\r\n", 74, 76)] {
            let (mut client, mut server, _peer) = stream(Patience::default());
            client.write_all(first).await.unwrap();
            let begun = Instant::now();
            let mut buf = [0; 64];
            while server.read(&mut buf).await.is_ok_and(|n| n > 0) {}
            let took = begun.elapsed().as_secs();
            assert!((least..=most).contains(&took), "{took} s");
        }
    }

    struct Note(Arc<std::sync::Mutex<Vec<&'static str>>>, bool);
    impl Delivery for Note {
        fn delivered(mut self: Box<Self>) {
            self.1 = true;
            self.0.lock().unwrap().push("delivered");
        }
    }
    impl Drop for Note {
        fn drop(&mut self) {
            if !self.1 {
                self.0.lock().unwrap().push("aborted");
            }
        }
    }

    #[tokio::test]
    async fn a_ticket_is_redeemed_by_the_flush_after_it_and_dropped_with_the_stream() {
        let (_client, mut server, peer) = stream(Patience::default());
        let notes = Arc::default();
        server.flush().await.unwrap();
        peer.on_delivery(Box::new(Note(Arc::clone(&notes), false)));
        assert!(notes.lock().unwrap().is_empty());
        server.flush().await.unwrap();
        assert_eq!(*notes.lock().unwrap(), ["delivered"]);
        peer.on_delivery(Box::new(Note(Arc::clone(&notes), false)));
        drop(server);
        assert_eq!(*notes.lock().unwrap(), ["delivered", "aborted"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (_client, mut server, _peer) = stream(Patience::default());
        let error = server.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_sooner_when_its_own_next_request_waits() {
        let (_client, mut server, peer) = stream(Patience::default());
        let begun = Instant::now();
        let writer = tokio::spawn(async move { server.write_all(&[0; 4096]).await.unwrap_err().kind() });
        tokio::time::sleep(Duration::from_secs(20)).await;
        peer.set_overtaken(true);
        assert_eq!(writer.await.unwrap(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 20);
        let (_client, mut server, peer) = stream(Patience::default());
        peer.set_overtaken(true);
        server.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 25);
    }

    #[tokio::test]
    async fn rewritten_bytes_that_do_not_fit_come_with_the_next_read() {
        let (mut client, mut server, _peer) = stream(Patience::default());
        client.write_all(b"GET /<<<<>>>> HTTP/1.1\r\n\r\n").await.unwrap();
        drop(client);
        let mut out = Vec::new();
        let mut buf = [0; 9];
        loop {
            let n = server.read(&mut buf).await.unwrap();
            if n == 0 {
                break;
            }
            out.extend_from_slice(&buf[..n]);
        }
        assert_eq!(out, b"GET /%3C%3C%3C%3C%3E%3E%3E%3E HTTP/1.1\r\n\r\n");
    }
}
