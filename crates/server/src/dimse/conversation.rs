//! One association that a peer asked for, from the first byte to the last.

use std::sync::Arc;

use dicom_bridge::dimse::{Event, Request, Service};
use tokio_util::sync::CancellationToken;

use super::committing;
use super::finding;
use super::link::{Break, Link};
use super::receiving::{Receiving, Verdict};
use super::retrieving;
use crate::app::App;

/// An association and what it is receiving.
pub(super) struct Conversation {
    link: Link,
    app: Arc<App>,
    drain: CancellationToken,
    calling_ae_title: String,
    receiving: Option<Receiving>,
    stored: u64,
    refused: u64,
}

impl Conversation {
    pub(super) const fn new(link: Link, app: Arc<App>, drain: CancellationToken) -> Self {
        Self { link, app, drain, calling_ae_title: String::new(), receiving: None, stored: 0, refused: 0 }
    }

    /// Converses until either side ends it.
    pub(super) async fn run(mut self) {
        let ended = self.converse().await;
        if let Err(reason) = &ended {
            self.link.break_off(reason).await;
        }
        self.link.close().await;
        let (peer, stored, refused) = (self.link.address(), self.stored, self.refused);
        match ended {
            Ok(()) => tracing::info!(peer.address = %peer, stored, refused, "association ended"),
            Err(reason) => tracing::warn!(peer.address = %peer, stored, refused, %reason, "association broke off"),
        }
    }

    async fn converse(&mut self) -> Result<(), Break> {
        loop {
            let drain = Some(&self.drain).filter(|_| self.receiving.is_none());
            let event = self.link.event(drain).await?;
            match event {
                Event::Released | Event::Rejected { .. } => {
                    self.take(event).await?;
                    return Ok(());
                }
                Event::Aborted => return Err(Break::Aborted),
                event => self.take(event).await?,
            }
            self.link.flush().await?;
        }
    }

    async fn take(&mut self, event: Event) -> Result<(), Break> {
        let (metrics, peer) = (self.app.metrics(), self.link.address());
        match event {
            Event::Established { calling_ae_title, contexts: (accepted, proposed), user_identity } => {
                let title = &calling_ae_title;
                tracing::info!(
                    peer.address = %peer, peer.ae_title = title, peer.user_identity = user_identity,
                    accepted, proposed, "association"
                );
                self.calling_ae_title = calling_ae_title;
            }
            Event::Rejected { reason } => {
                metrics.associations_refused.increment(1);
                tracing::warn!(peer.address = %peer, reason, "association rejected");
            }
            Event::Echo => tracing::debug!(peer.address = %peer, "C-ECHO"),
            Event::Store(request) => self.receiving = Some(Receiving::begin(&self.app, request)),
            Event::Data { bytes, is_last } => self.take_piece(&bytes, is_last).await?,
            Event::Request(request) => self.perform(&request).await?,
            Event::Refused { status } => {
                self.refused += 1;
                metrics.store_refused.increment(1);
                tracing::warn!(peer.address = %peer, status = status.code(), "a request was refused");
            }
            Event::Cancelled | Event::Accepted { .. } | Event::Response { .. } | Event::Released | Event::Aborted => {}
        }
        Ok(())
    }

    async fn take_piece(&mut self, bytes: &[u8], is_last: bool) -> Result<(), Break> {
        let Some(receiving) = &mut self.receiving else { return Ok(()) };
        receiving.add(bytes).await;
        if receiving.is_too_slow() {
            return Err(Break::Silent);
        }
        if is_last && let Some(receiving) = self.receiving.take() {
            let Verdict { request, status, comment } = receiving.end(&self.app).await;
            let metrics = self.app.metrics();
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
            self.link.association().respond(&request, status, comment.as_deref());
        }
        Ok(())
    }

    async fn perform(&mut self, request: &Request) -> Result<(), Break> {
        self.link.begin_request();
        match request.service {
            Service::Find(root) => finding::find(&self.app, &mut self.link, request, root).await,
            Service::Move(root) => {
                retrieving::retrieve_by_move(&self.app, &mut self.link, request, root, &self.calling_ae_title).await
            }
            Service::Get(root) => retrieving::retrieve_by_get(&self.app, &mut self.link, request, root).await,
            Service::StorageCommitment => {
                committing::commit(&self.app, &mut self.link, request, &self.calling_ae_title).await
            }
            // Requests of these services come as events of their own.
            Service::Verification | Service::Storage => Err(Break::Unexpected),
        }
    }
}
