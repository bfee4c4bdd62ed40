//! An association on its socket: bytes both ways, and the time that a peer is given.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BufMut as _;
use dicom_bridge::dimse::{Association, AssociationError, Event};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::stream::Stream;

/// An association and its socket.
pub(super) struct Link {
    stream: Stream,
    address: SocketAddr,
    association: Association,
    /// Whether the peer cancelled the request that is being performed.
    is_cancelled: bool,
}

/// Why an association broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Break {
    #[error(transparent)]
    Protocol(#[from] AssociationError),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the peer aborted it")]
    Aborted,
    #[error("the peer ended it before it had what it asked for")]
    Released,
    #[error("the peer closed the connection without a release")]
    Closed,
    #[error("the peer was silent for too long, or too slow")]
    Silent,
    #[error("the peer rejected it: {0}")]
    Rejected(String),
    #[error("a message that does not belong here")]
    Unexpected,
    #[error("the server is shutting down")]
    Draining,
}

/// Bytes read from the socket at a time.
const READ: usize = 64 * 1024;

impl Link {
    pub(super) const fn new(stream: Stream, address: SocketAddr, association: Association) -> Self {
        Self { stream, address, association, is_cancelled: false }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn association(&mut self) -> &mut Association {
        &mut self.association
    }

    /// The next event, what was to be said about it being said. Between messages the end of the server is heeded, where
    /// `drain` is given.
    pub(super) async fn event(&mut self, drain: Option<&CancellationToken>) -> Result<Event, Break> {
        self.event_within(PATIENCE.read, drain).await
    }

    async fn event_within(&mut self, first: Duration, drain: Option<&CancellationToken>) -> Result<Event, Break> {
        let (mut pdus, mut deadline) = (self.association.pdus(), Instant::now() + first);
        loop {
            if let Some(event) = self.association.poll()? {
                self.flush().await?;
                return Ok(event);
            }
            // Time is given for a PDU, not for each of its bytes.
            if self.association.pdus() > pdus {
                (pdus, deadline) = (self.association.pdus(), Instant::now() + PATIENCE.read);
            }
            self.receive(deadline, drain).await?;
        }
    }

    /// Waits for the response to our request: its status. A cancellation that comes meanwhile is noted.
    pub(super) async fn response(&mut self) -> Result<u16, Break> {
        loop {
            match self.event_within(PATIENCE.response, None).await? {
                Event::Response { status } => return Ok(status),
                Event::Cancelled => self.is_cancelled = true,
                other => return Err(refusal_of(&other)),
            }
        }
    }

    /// Takes note of what the peer has said while it waits for us, without waiting: whether it has cancelled the request
    /// that is being performed.
    pub(super) async fn is_cancelled(&mut self) -> Result<bool, Break> {
        loop {
            match self.association.poll()? {
                Some(Event::Cancelled) => self.is_cancelled = true,
                Some(other) => return Err(refusal_of(&other)),
                // Polled once: whatever does not lie in the socket's buffer comes later.
                None => match self.read().now_or_never() {
                    Some(read) => read?,
                    None => return Ok(self.is_cancelled),
                },
            }
        }
    }

    /// A request begins: earlier cancellations are none of its business.
    pub(super) const fn begin_request(&mut self) {
        self.is_cancelled = false;
    }

    /// Sends what is to be said.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let output = self.association.take_output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout(PATIENCE.write, self.stream.write_all(&output)).await {
            Ok(written) => written,
            Err(_late) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Asks the peer for the end of the association and waits for it.
    pub(super) async fn release(mut self) -> Result<(), Break> {
        self.association.release();
        self.flush().await?;
        loop {
            match self.event(None).await? {
                Event::Released => break,
                Event::Aborted => return Err(Break::Aborted),
                _ => {}
            }
        }
        self.close().await;
        Ok(())
    }

    /// Ends the association at once, because of what `reason` says.
    pub(super) async fn break_off(&mut self, reason: &Break) {
        if !matches!(reason, Break::Aborted | Break::Closed | Break::Broken(_)) {
            self.association.break_off();
        }
        // The A-ABORT; a peer that does not take it has gone.
        let _gone = self.flush().await;
    }

    pub(super) async fn close(&mut self) {
        let _gone = timeout(PATIENCE.write, self.stream.shutdown()).await;
    }

    /// Reads once from the socket.
    async fn receive(&mut self, deadline: Instant, drain: Option<&CancellationToken>) -> Result<(), Break> {
        let drain = drain.filter(|_| self.association.is_between_messages());
        let drained = async {
            match drain {
                Some(drain) => drain.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let read = timeout_at(deadline, self.read());
        tokio::select! {
            biased;
            () = drained => Err(Break::Draining),
            read = read => read.unwrap_or(Err(Break::Silent)),
        }
    }

    async fn read(&mut self) -> Result<(), Break> {
        let buffer = self.association.buffer();
        buffer.reserve(READ);
        let mut limited = buffer.limit(READ);
        if self.stream.read(&mut limited).await? == 0 {
            return Err(Break::Closed);
        }
        Ok(())
    }
}

/// What an event that ends or disturbs a conversation means to it.
fn refusal_of(event: &Event) -> Break {
    match event {
        Event::Released => Break::Released,
        Event::Aborted => Break::Aborted,
        Event::Rejected { reason } => Break::Rejected(reason.clone()),
        _ => Break::Unexpected,
    }
}
