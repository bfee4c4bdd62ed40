//! The body of a JPIP response: made while it is sent, never faster than the peer takes it.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use metrics::Counter;

use super::delivery::{Delivery, Peer};
use crate::{
    serving::response::{Response, Step},
    telemetry::Metrics,
};

/// One step that is under way, with the response that it is a step of.
type Stepping = Pin<Box<dyn Future<Output = (Box<Response>, io::Result<Step>)> + Send>>;

/// The body of a JPIP response.
pub(super) struct JpipBody {
    ready: VecDeque<Bytes>,
    /// The steps after those that are ready; `None` when there are none.
    stepping: Option<Stepping>,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    /// Redeemed when the last byte has been written.
    ticket: Option<Box<dyn Delivery>>,
    peer: Arc<Peer>,
    /// Counts bytes handed to sockets.
    handed_out: Counter,
    /// Counts responses that nobody took to their end.
    aborted: Counter,
}

impl JpipBody {
    /// A body of which everything is at hand; `len` is its length, if that is to be told.
    pub(super) fn whole(
        chunks: Vec<Bytes>,
        ticket: Box<dyn Delivery>,
        len: Option<u64>,
        peer: Arc<Peer>,
        metrics: &Metrics,
    ) -> Self {
        let mut body = Self::new(chunks, None, len, peer, metrics);
        body.ticket = Some(ticket);
        body
    }

    /// A body that begins with `chunks` and goes on with what `response` still gives; `len` is its length if known.
    pub(super) fn streamed(
        chunks: Vec<Bytes>,
        response: Box<Response>,
        len: Option<u64>,
        peer: Arc<Peer>,
        metrics: &Metrics,
    ) -> Self {
        Self::new(chunks, Some(step(response)), len, peer, metrics)
    }

    fn new(
        chunks: Vec<Bytes>,
        stepping: Option<Stepping>,
        left: Option<u64>,
        peer: Arc<Peer>,
        metrics: &Metrics,
    ) -> Self {
        let (handed_out, aborted) = (metrics.jpip_bytes.clone(), metrics.jpip_aborted.clone());
        Self { ready: chunks.into(), stepping, left, ticket: None, peer, handed_out, aborted }
    }

    /// All bytes have been handed out: what is flushed next has been delivered.
    fn finish(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.peer.on_delivery(ticket);
        }
    }
}

impl Drop for JpipBody {
    fn drop(&mut self) {
        // Once nothing is left to be made, the ticket counts.
        if self.stepping.is_some() {
            self.aborted.increment(1);
        }
    }
}

fn step(mut response: Box<Response>) -> Stepping {
    Box::pin(async move {
        let step = response.step().await.map_err(|error| {
            tracing::error!(%error, "a JPIP response broke off");
            io::Error::other(error)
        });
        (response, step)
    })
}

impl Body for JpipBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.ready.pop_front() {
                this.handed_out.increment(chunk.len() as u64);
                if let Some(left) = &mut this.left {
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                if this.is_end_stream() {
                    this.finish();
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let Some(stepping) = &mut this.stepping else {
                this.finish();
                return Poll::Ready(None);
            };
            let (response, step_done) = ready!(stepping.as_mut().poll(cx));
            this.stepping = None;
            match step_done {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(done) => {
                    this.ready.extend(done.pieces);
                    if done.last {
                        this.ticket = Some(Box::new(response.into_ticket()));
                    } else {
                        this.stepping = Some(step(response));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.stepping.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
