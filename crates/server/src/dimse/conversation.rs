//! One association on its socket, from the first byte to the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BufMut as _;
use dicom_bridge::dimse::{Acceptor, Association, AssociationError, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::receiving::{Receiving, Verdict};
use crate::app::App;

/// An association and what it is receiving.
pub(super) struct Conversation {
    tcp: TcpStream,
    address: SocketAddr,
    association: Association,
    app: Arc<App>,
    drain: CancellationToken,
    receiving: Option<Receiving>,
    stored: u64,
    refused: u64,
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
enum Break {
    #[error(transparent)]
    Protocol(#[from] AssociationError),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the peer aborted it")]
    Aborted,
    #[error("the peer closed the connection without a release")]
    Closed,
    #[error("the peer was silent for too long, or too slow")]
    Silent,
    #[error("the server is shutting down")]
    Draining,
}

/// Bytes read from the socket at a time.
const READ: usize = 64 * 1024;

impl Conversation {
    pub(super) fn new(
        tcp: TcpStream,
        address: SocketAddr,
        acceptor: Acceptor,
        app: Arc<App>,
        drain: CancellationToken,
    ) -> Self {
        let association = Association::new(acceptor);
        Self { tcp, address, association, app, drain, receiving: None, stored: 0, refused: 0 }
    }

    /// Converses until either side ends it.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let ended = self.converse().await;
        if let Err(reason) = &ended {
            if matches!(reason, Break::Silent | Break::Draining) {
                self.association.break_off();
            }
            // The A-ABORT; a peer that does not take it has gone.
            let _gone = self.flush().await;
        }
        let _gone = timeout(PATIENCE.write, self.tcp.shutdown()).await;
        let (peer, stored, refused) = (self.address, self.stored, self.refused);
        match ended {
            Ok(()) => tracing::info!(peer.address = %peer, stored, refused, "association ended"),
            Err(reason) => tracing::warn!(peer.address = %peer, stored, refused, %reason, "association broke off"),
        }
    }

    async fn converse(&mut self) -> Result<(), Break> {
        let (mut pdus, mut deadline) = (0, Instant::now() + PATIENCE.read);
        loop {
            while let Some(event) = self.association.poll()? {
                let is_end = matches!(event, Event::Rejected { .. } | Event::Released);
                let is_abort = event == Event::Aborted;
                self.take(event).await;
                self.flush().await?;
                if is_abort {
                    return Err(Break::Aborted);
                }
                if is_end {
                    return Ok(());
                }
            }
            // Time is given for a PDU, not for each of its bytes.
            if self.association.pdus() > pdus {
                (pdus, deadline) = (self.association.pdus(), Instant::now() + PATIENCE.read);
            }
            self.receive(deadline).await?;
        }
    }

    async fn take(&mut self, event: Event) {
        let metrics = self.app.metrics();
        match event {
            Event::Established { calling_ae_title, contexts: (accepted, proposed) } => {
                let (peer, title) = (self.address, calling_ae_title);
                tracing::info!(peer.address = %peer, peer.ae_title = title, accepted, proposed, "association");
            }
            Event::Rejected { reason } => {
                metrics.associations_refused.increment(1);
                tracing::warn!(peer.address = %self.address, reason, "association rejected");
            }
            Event::Echo => tracing::debug!(peer.address = %self.address, "C-ECHO"),
            Event::Store(request) => self.receiving = Some(Receiving::begin(&self.app, request)),
            Event::Data { bytes, is_last } => {
                if let Some(receiving) = &mut self.receiving {
                    receiving.add(&bytes).await;
                }
                if is_last && let Some(receiving) = self.receiving.take() {
                    let Verdict { request, status, comment } = receiving.end(&self.app).await;
                    match status.code() {
                        0 => {
                            self.stored += 1;
                            metrics.stored.increment(1);
                        }
                        _ => {
                            self.refused += 1;
                            metrics.store_refused.increment(1);
                        }
                    }
                    self.association.respond(&request, status, comment.as_deref());
                }
            }
            Event::Refused { status } => {
                self.refused += 1;
                metrics.store_refused.increment(1);
                tracing::warn!(peer.address = %self.address, status = status.code(), "a request was refused");
            }
            Event::Released | Event::Aborted => {}
        }
    }

    /// Reads once from the socket; between messages the end of the server is heeded.
    async fn receive(&mut self, deadline: Instant) -> Result<(), Break> {
        let is_idle = self.receiving.is_none() && self.association.is_between_messages();
        // Senders write the header of a PDU and its contents apart, with Nagle's algorithm on: each waits for our
        // acknowledgement of the one before. The option does not last, so it is set around every read.
        quick_ack(&self.tcp);
        let buffer = self.association.buffer();
        buffer.reserve(READ);
        let mut limited = buffer.limit(READ);
        let read = timeout_at(deadline, self.tcp.read_buf(&mut limited));
        let read = tokio::select! {
            biased;
            () = self.drain.cancelled(), if is_idle => return Err(Break::Draining),
            read = read => read,
        };
        quick_ack(&self.tcp);
        let Ok(read) = read else { return Err(Break::Silent) };
        if read? == 0 {
            return Err(Break::Closed);
        }
        match &self.receiving {
            Some(receiving) if receiving.is_too_slow() => Err(Break::Silent),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = self.association.take_output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout(PATIENCE.write, self.tcp.write_all(&output)).await {
            Ok(written) => written,
            Err(_late) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn quick_ack(tcp: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = tcp.set_quickack(true) {
        tracing::trace!(%error, "TCP_QUICKACK cannot be set");
    }
}
