//! When are the bytes of a response delivered? When the socket has taken them, and not before.
//!
//! A response body that hands out its last bytes registers a ticket with its connection. hyper calls
//! `poll_flush` of the stream below it only when its own buffer is empty, so the first flush after the ticket
//! was registered means that every byte of the response has been written. A connection that breaks drops
//! its tickets unredeemed, and the cache model never knew of the bytes. `http2::stream` says how the same holds for
//! one stream of many.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

/// Something to do when a response has been written to its socket; dropped if that never happens.
pub(crate) trait Delivery: Send {
    /// All bytes of the response have been written.
    fn delivered(self: Box<Self>);
}

/// What the handlers of one connection share with the stream below hyper.
pub(crate) struct Peer {
    address: SocketAddr,
    /// The address that it connected to.
    local: SocketAddr,
    tickets: Mutex<Vec<Box<dyn Delivery>>>,
    has_tickets: AtomicBool,
    ambiguous: AtomicBool,
    last_request: AtomicBool,
    /// Requests that are worked on.
    busy: AtomicUsize,
    overtaken: AtomicBool,
    /// The task that writes to the stream, while that is blocked.
    writer: AtomicWaker,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr) -> Self {
        Self {
            address,
            local,
            tickets: Mutex::new(Vec::new()),
            has_tickets: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            last_request: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            overtaken: AtomicBool::new(false),
            writer: AtomicWaker::new(),
        }
    }

    /// Whether the peer connected to a loopback address of this machine.
    pub(crate) const fn is_on_loopback(&self) -> bool {
        self.local.ip().to_canonical().is_loopback()
    }

    /// The address that the peer connected from.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that the peer connected to.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// A handler works on a request of this connection, from now until the guard is dropped.
    pub(crate) fn work(self: &Arc<Self>) -> Working {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(self))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Redeems `ticket` when everything handed to hyper so far has been written.
    pub(crate) fn on_delivery(&self, ticket: Box<dyn Delivery>) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.has_tickets.store(true, Ordering::Release);
    }

    /// Whether tickets wait for the next flush.
    pub(crate) fn has_tickets(&self) -> bool {
        self.has_tickets.load(Ordering::Acquire)
    }

    /// The tickets of this peer, one stream of a connection, are redeemed when what `connection` holds is written.
    pub(crate) fn pass_tickets_to(&self, connection: &Self) {
        if !self.has_tickets.swap(false, Ordering::AcqRel) {
            return;
        }
        let tickets = std::mem::take(&mut *self.tickets.lock().unwrap_or_else(PoisonError::into_inner));
        for ticket in tickets {
            connection.on_delivery(ticket);
        }
    }

    /// The stream was flushed: redeems every ticket.
    pub(crate) fn flushed(&self) {
        if !self.has_tickets.swap(false, Ordering::AcqRel) {
            return;
        }
        let tickets = std::mem::take(&mut *self.tickets.lock().unwrap_or_else(PoisonError::into_inner));
        for ticket in tickets {
            ticket.delivered();
        }
        self.overtaken.store(false, Ordering::Release);
    }

    /// The stream broke: drops every ticket unredeemed.
    pub(crate) fn broke(&self) {
        self.has_tickets.store(false, Ordering::Release);
        let tickets = std::mem::take(&mut *self.tickets.lock().unwrap_or_else(PoisonError::into_inner));
        drop(tickets);
    }

    /// Whether a newer request of the same channel waits for the response at hand: a peer that takes nothing of it is
    /// then given up sooner.
    pub(crate) fn set_overtaken(&self, overtaken: bool) {
        self.overtaken.store(overtaken, Ordering::Release);
        if overtaken {
            self.writer.wake();
        }
    }

    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::Acquire)
    }

    /// Wakes this task when the response at hand is overtaken.
    pub(crate) fn wake_if_overtaken(&self, waker: &Waker) {
        self.writer.register(waker);
    }

    /// Wakes the task that [`Peer::wake_if_overtaken`] named.
    pub(crate) fn wake_writer(&self) {
        self.writer.wake();
    }

    /// A request head framed its body in two ways.
    pub(crate) fn set_ambiguous(&self) {
        self.ambiguous.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }

    /// Request heads can no longer be told from bodies: the connection ends with the response at hand.
    pub(crate) fn set_last_request(&self) {
        self.last_request.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_last_request(&self) -> bool {
        self.last_request.load(Ordering::Relaxed)
    }
}

/// While it lives, its connection is not idle.
pub(crate) struct Working(Arc<Peer>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
