//! http-udp: one socket for the datagrams of all channels [15444-9 K].

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use jpip::{
    BinKey,
    chunk::ChunkLayout,
    udp::{
        Body, NewChunk, Sender, Transmit, UdpLimits,
        datagram::{FromClient, HEADER_LEN, SECRET_LEN},
    },
};
use tokio::{net::UdpSocket, sync::Notify};
use tokio_util::sync::CancellationToken;

use crate::{app::App, config::Network};

/// Longest datagram that is read; a client has nothing longer to say.
const LONGEST: usize = 2048;

/// The socket, and which address belongs to which channel.
pub(crate) struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    lines: Mutex<HashMap<SocketAddr, Weak<Line>>>,
}

impl Socket {
    /// Binds a socket to `address`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        Ok(Self { address: socket.local_addr()?, socket, lines: Mutex::new(HashMap::new()) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands one datagram to its channel.
    fn handle(&self, app: &App, from: SocketAddr, bytes: &[u8]) {
        let line = match FromClient::decode(bytes) {
            Some(FromClient::Hello(cid)) => {
                let line = app.serving().channels().line(cid);
                line.as_ref().and_then(|line| line.udp()).map(Arc::clone)
            }
            Some(_) => self.lines().get(&from).and_then(Weak::upgrade),
            None => None,
        };
        if let Some(line) = line {
            let Some(secret) = secret() else { return };
            self.change(&line, |sender| sender.handle_datagram(line.begun.elapsed(), from, bytes, secret));
            line.transmit_at_once();
            line.poke();
        }
    }

    /// Does something with a channel that may change its addresses.
    fn change(&self, line: &Arc<Line>, act: impl FnOnce(&mut Sender<SocketAddr, Bytes>)) {
        let mut lines = self.lines();
        let mut sender = line.sender();
        let before = sender.addresses();
        act(&mut sender);
        let after = sender.addresses();
        drop(sender);
        if before == after {
            return;
        }
        for gone in [before.0, before.1].into_iter().flatten() {
            let is_ours = |known: &Weak<Line>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(line));
            if lines.get(&gone).is_some_and(is_ours) {
                lines.remove(&gone);
            }
        }
        for address in [after.0, after.1].into_iter().flatten() {
            lines.insert(address, Arc::downgrade(line));
        }
    }

    fn forget(&self, line: &Line) {
        self.lines().retain(|_, known| !std::ptr::eq(known.as_ptr(), line));
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way of one channel's responses.
pub(crate) struct Line {
    sender: Mutex<Sender<SocketAddr, Bytes>>,
    begun: Instant,
    changed: Notify,
    socket: Arc<Socket>,
}

impl Line {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        let sender = Mutex::new(Sender::new(UdpLimits::default()));
        Self { sender, begun: Instant::now(), changed: Notify::new(), socket }
    }

    pub(super) fn poke(&self) {
        self.changed.notify_one();
    }

    /// The client wants its datagrams at `address`; `received` bytes of it came over HTTP, from the same host.
    pub(crate) fn invite(self: &Arc<Self>, address: SocketAddr, received: usize) {
        let Some(secret) = secret() else { return };
        self.socket.change(self, |sender| sender.invite(address, received, secret));
        self.transmit_at_once();
        self.poke();
    }

    /// The client gives up these chunks.
    pub(crate) fn abandon(&self, qid: u64, numbers: std::ops::RangeInclusive<u32>) {
        self.sender().abandon(qid, numbers);
        self.poke();
    }

    pub(super) fn begin(&self, qid: Option<u64>) {
        self.sender().begin(self.begun.elapsed(), qid);
    }

    pub(super) fn push(&self, layout: &ChunkLayout, messages: &[u8]) -> bool {
        let mut body = BytesMut::with_capacity(layout.len());
        for piece in layout.pieces(messages) {
            body.extend_from_slice(piece);
        }
        let (len, carries) = (layout.len(), layout.carries().to_vec());
        let chunk = NewChunk { body: body.freeze(), len, is_last: layout.end().is_some(), carries };
        self.sender().push(self.begun.elapsed(), chunk)
    }

    pub(super) fn wants_more(&self) -> bool {
        self.sender().wants_more()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.sender().is_settled()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.sender().addresses().1.is_some()
    }

    pub(super) fn abandoned(&self) -> Option<Vec<(BinKey, u64)>> {
        self.sender().abandoned().map(<[_]>::to_vec)
    }

    pub(super) fn give_up(&self) {
        self.sender().give_up();
    }

    /// Sends what may leave, and ends when something has changed; false if the client is gone.
    pub(super) async fn progress(&self) -> bool {
        loop {
            let next = self.sender().poll_transmit(self.begun.elapsed());
            let Some(transmit) = next else { break };
            let to = transmit.to;
            // A datagram that the system does not take is one that is lost.
            let _lost = self.socket.socket.send_to(&bytes_of(transmit), to).await;
        }
        let timeout = self.sender().poll_timeout();
        let Some(timeout) = timeout else { return !self.sender().has_failed() };
        let left = timeout.saturating_sub(self.begun.elapsed());
        let _late = tokio::time::timeout(left, self.changed.notified()).await;
        let mut sender = self.sender();
        sender.handle_timeout(self.begun.elapsed());
        !sender.has_failed()
    }

    /// Sends what may leave if the system takes it.
    fn transmit_at_once(&self) {
        loop {
            let next = self.sender().poll_transmit(self.begun.elapsed());
            let Some(transmit) = next else { return };
            let to = transmit.to;
            let _lost = self.socket.socket.try_send_to(&bytes_of(transmit), to);
        }
    }

    fn sender(&self) -> MutexGuard<'_, Sender<SocketAddr, Bytes>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let socket = Arc::clone(&self.socket);
        socket.forget(self);
    }
}

fn bytes_of(transmit: Transmit<SocketAddr, Bytes>) -> Vec<u8> {
    match transmit.body {
        Body::Probe(bytes) => bytes.to_vec(),
        Body::Chunk(header, body) => {
            let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&body);
            bytes
        }
    }
}

/// Without randomness a secret could be guessed; no datagram is better.
fn secret() -> Option<[u8; SECRET_LEN]> {
    let mut secret = [0; SECRET_LEN];
    getrandom::fill(&mut secret).ok().map(|()| secret)
}

/// Takes datagrams until `drain` is cancelled and the responses on their way have ended.
pub(crate) async fn serve(socket: Arc<Socket>, app: Arc<App>, drain: CancellationToken) {
    let ended = async {
        drain.cancelled().await;
        app.transports().carrying().close();
        app.transports().carrying().wait().await;
    };
    tokio::pin!(ended);
    let mut bytes = [0; LONGEST];
    loop {
        let received = tokio::select! {
            () = &mut ended => return,
            received = socket.socket.recv_from(&mut bytes) => received,
        };
        match received {
            Ok((len, from)) if Network::allow(&app.settings().http_allow, from.ip()) => {
                socket.handle(&app, from, bytes.get(..len).unwrap_or_default());
            }
            Ok(_) => {}
            // An earlier datagram could not be delivered; that is no reason to end.
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}
