//! The transports beside HTTP: requests come over HTTP, responses go out over a connection or in datagrams of their
//! own [15444-9 G, K].
//!
//! The state machines are `jpip::http_tcp` and `jpip::udp`; here are their sockets and clocks, and the task that
//! brings one response to its end. A response is recorded once the client has acknowledged all of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, atomic::AtomicUsize, atomic::Ordering},
};

use jpip::request::channel::Transport;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub(crate) mod carrying;
pub(crate) mod tcp;
pub(crate) mod udp;

/// The transports that this process listens for.
#[derive(Default)]
pub(crate) struct Transports {
    tcp: OnceLock<SocketAddr>,
    udp: OnceLock<Arc<udp::Socket>>,
    /// Responses on their way.
    carrying: TaskTracker,
}

impl Transports {
    /// From now on connections are accepted at `address`.
    pub(crate) fn offer_tcp(&self, address: SocketAddr) {
        let _once = self.tcp.set(address);
    }

    /// From now on datagrams come and go by `socket`.
    pub(crate) fn offer_udp(&self, socket: Arc<udp::Socket>) {
        let _once = self.udp.set(socket);
    }

    /// The first transport that a client offers and this process has.
    pub(crate) fn choose<'a>(&self, offered: &'a [Transport]) -> Option<&'a Transport> {
        offered.iter().find(|transport| match transport {
            Transport::Http => true,
            Transport::HttpTcp => self.tcp.get().is_some(),
            Transport::HttpUdp => self.udp.get().is_some(),
            Transport::Other(_) => false,
        })
    }

    /// The way of a new channel; `None` if its responses go out over HTTP.
    pub(crate) fn new_line(&self, transport: &Transport) -> Option<Arc<Line>> {
        let (left, closed) = (CancellationToken::new(), CancellationToken::new());
        let way = match transport {
            Transport::HttpTcp => Way::Tcp(Arc::new(tcp::Line::new(closed.clone()))),
            Transport::HttpUdp => Way::Udp(Arc::new(udp::Line::new(Arc::clone(self.udp.get()?)))),
            _ => return None,
        };
        Some(Arc::new(Line { way, responses: AtomicUsize::new(0), left, _closed: closed.drop_guard() }))
    }

    /// What `JPIP-cnew` says of a line: `host` only where it is not that of HTTP, and `auxport` last, because
    /// deployed clients read digits from there to the end [15444-9 D.2.3].
    pub(crate) fn describe(&self, line: Option<&Line>, http: IpAddr) -> String {
        let (name, address) = match line.map(|line| &line.way) {
            None => return "transport=http".to_owned(),
            Some(Way::Tcp(_)) => ("http-tcp", self.tcp.get().copied()),
            Some(Way::Udp(_)) => ("http-udp", self.udp.get().map(|socket| socket.address())),
        };
        let Some(address) = address else { return format!("transport={name}") };
        let host = match address.ip() {
            ip if ip == http || ip.is_unspecified() => String::new(),
            IpAddr::V4(ip) => format!(",host={ip}"),
            IpAddr::V6(ip) => format!(",host=[{ip}]"),
        };
        format!("transport={name}{host},auxport={}", address.port())
    }

    /// Responses on their way; ends when it is closed and all of them have ended.
    pub(crate) const fn carrying(&self) -> &TaskTracker {
        &self.carrying
    }
}

/// The way of one channel's responses. When the last handle goes, so does its connection.
pub(crate) struct Line {
    way: Way,
    /// Responses that are on their way or about to be.
    responses: AtomicUsize,
    /// The channel has been closed: nobody can come for a response any more.
    left: CancellationToken,
    _closed: DropGuard,
}

enum Way {
    Tcp(Arc<tcp::Line>),
    Udp(Arc<udp::Line>),
}

impl Line {
    pub(crate) const fn tcp(&self) -> Option<&Arc<tcp::Line>> {
        if let Way::Tcp(line) = &self.way { Some(line) } else { None }
    }

    pub(crate) const fn udp(&self) -> Option<&Arc<udp::Line>> {
        if let Way::Udp(line) = &self.way { Some(line) } else { None }
    }

    /// What a channel holds while it is open.
    pub(crate) fn keep(&self) -> DropGuard {
        self.left.clone().drop_guard()
    }

    /// Something happened that a response on its way may want to know: a newer request.
    pub(crate) fn poke(&self) {
        match &self.way {
            Way::Tcp(line) => line.poke(),
            Way::Udp(line) => line.poke(),
        }
    }

    /// Counts one response more, unless there are too many that wait.
    fn expect_one(&self) -> bool {
        self.responses.fetch_add(1, Ordering::AcqRel) < MAX_WAITING || {
            self.responses.fetch_sub(1, Ordering::AcqRel);
            false
        }
    }

    fn one_ended(&self) {
        self.responses.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Responses of one channel that have been promised over HTTP and have not ended.
const MAX_WAITING: usize = 64;
