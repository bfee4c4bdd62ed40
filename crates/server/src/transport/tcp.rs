//! http-tcp: the connections over which the responses of channels go out [15444-9 G].

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use jpip::{
    chunk::ChunkLayout,
    http_tcp::{Greeting, Sender, TcpLimits},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::ReadHalf},
    sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{app::App, config::Network, http::listener::connections_within_descriptor_limit, listening::accept};

/// How long a connection may take to name its channel.
const GREETING: Duration = Duration::from_secs(10);

/// Bytes that are gathered for one write.
const WRITE: usize = 64 * 1024;

/// The way of one channel's responses.
pub(crate) struct Line {
    sender: Mutex<Sender<Bytes>>,
    begun: Instant,
    /// There may be something to send.
    to_send: Notify,
    /// Something was acknowledged, or a connection came or went.
    changed: Notify,
    /// Ends the connection at hand.
    connection: Mutex<CancellationToken>,
    /// Held by the connection at hand.
    seat: AsyncMutex<()>,
    closed: CancellationToken,
}

impl Line {
    pub(super) fn new(closed: CancellationToken) -> Self {
        Self {
            sender: Mutex::new(Sender::new(TcpLimits::default())),
            begun: Instant::now(),
            to_send: Notify::new(),
            changed: Notify::new(),
            connection: Mutex::new(CancellationToken::new()),
            seat: AsyncMutex::new(()),
            closed,
        }
    }

    pub(super) fn poke(&self) {
        self.changed.notify_one();
        self.to_send.notify_one();
    }

    pub(super) fn push(&self, layout: &ChunkLayout, messages: &[u8]) -> bool {
        let mut body = BytesMut::with_capacity(layout.len());
        for piece in layout.pieces(messages) {
            body.extend_from_slice(piece);
        }
        let taken = self.sender().push(self.begun.elapsed(), body.freeze(), layout.len());
        self.to_send.notify_one();
        taken
    }

    pub(super) fn wants_more(&self) -> bool {
        self.sender().wants_more()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.sender().is_settled()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.sender().is_connected()
    }

    /// Ends when something has changed; false if the client has done nothing for too long.
    pub(super) async fn progress(&self) -> bool {
        let deadline = self.sender().deadline();
        let Some(left) = deadline.map(|deadline| deadline.saturating_sub(self.begun.elapsed())) else { return true };
        if left.is_zero() {
            return false;
        }
        let _late = tokio::time::timeout(left, self.changed.notified()).await;
        true
    }

    pub(super) fn give_up(&self) {
        self.sender().give_up();
        self.current().cancel();
    }

    /// A connection has named this channel: the one before ends, and this one ends with the token.
    async fn connect(&self) -> (CancellationToken, AsyncMutexGuard<'_, ()>) {
        let mine = CancellationToken::new();
        std::mem::replace(&mut *self.current(), mine.clone()).cancel();
        // What the one before had still to say is listened to first: a viewer that closes after each response has
        // acknowledged the end of the last one, and would take its repetition for the end of the next.
        let seat = self.seat.lock().await;
        self.sender().connect(self.begun.elapsed());
        self.changed.notify_one();
        (mine, seat)
    }

    fn disconnect(&self) {
        self.sender().disconnect();
        self.changed.notify_one();
    }

    fn acknowledged(&self, bytes: &[u8]) -> io::Result<()> {
        let read = self.sender().handle_bytes(self.begun.elapsed(), bytes);
        self.changed.notify_one();
        read.map_err(io::Error::other)
    }

    /// Adds to `out` what may be sent now.
    fn fill(&self, out: &mut BytesMut) {
        while out.len() < WRITE {
            let Some(chunk) = self.sender().poll_transmit(self.begun.elapsed()) else { return };
            out.extend_from_slice(&chunk.header);
            out.extend_from_slice(&chunk.body);
            // There may be room for the next response now.
            self.changed.notify_one();
        }
    }

    fn sender(&self) -> MutexGuard<'_, Sender<Bytes>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, CancellationToken> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until `drain` is cancelled, and lets the responses on their way finish.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, drain: CancellationToken) {
    let most = connections_within_descriptor_limit(app.settings().max_connections);
    let places = Arc::new(Semaphore::new(most));
    while let Some((tcp, address)) = accept(&listener, &drain).await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            app.metrics().connections_refused.increment(1);
            continue;
        };
        if !Network::allow(&app.settings().http_allow, address.ip()) {
            app.metrics().connections_refused.increment(1);
            continue;
        }
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            if let Err(error) = converse(tcp, address, &app).await {
                tracing::debug!(%error, "a connection of a JPIP channel ended");
            }
            drop(place);
        });
    }
    app.transports().carrying().close();
    app.transports().carrying().wait().await;
    // Everything has been acknowledged or given up: what connections are left have nothing more to carry.
}

async fn converse(mut tcp: TcpStream, address: SocketAddr, app: &App) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut read, mut write) = tcp.split();
    let (line, rest) = tokio::time::timeout(GREETING, greet(&mut read, app)).await??;
    tracing::debug!(peer.address = %address, "a connection named its channel");
    let (mine, seat) = line.connect().await;
    let mut out = BytesMut::new();
    let mut scrap = [0; 4096];
    let ended = async {
        line.acknowledged(&rest)?;
        loop {
            line.fill(&mut out);
            tokio::select! {
                () = mine.cancelled() => return Ok(()),
                () = line.closed.cancelled() => return Ok(()),
                read = read.read(&mut scrap) => match read? {
                    0 => return Ok(()),
                    len => line.acknowledged(scrap.get(..len).unwrap_or_default())?,
                },
                written = write.write(&out), if !out.is_empty() => out.advance(written?),
                () = line.to_send.notified() => {}
            }
        }
    };
    let ended = ended.await;
    while let Ok(len @ 1..) = read.try_read(&mut scrap) {
        if line.acknowledged(scrap.get(..len).unwrap_or_default()).is_err() {
            break;
        }
    }
    line.disconnect();
    drop(seat);
    ended
}

/// Reads the name of the channel; returns its line, and what came after the name.
async fn greet(read: &mut ReadHalf<'_>, app: &App) -> io::Result<(Arc<Line>, Vec<u8>)> {
    let mut greeting = Greeting::new();
    let mut bytes = [0; 256];
    loop {
        let len = read.read(&mut bytes).await?;
        let mut rest = bytes.get(..len).filter(|read| !read.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
        if let Some(cid) = greeting.read(&mut rest).map_err(io::Error::other)? {
            let line = app.serving().channels().line(cid);
            let line = line.as_ref().and_then(|line| line.tcp()).ok_or(io::ErrorKind::NotFound)?;
            return Ok((Arc::clone(line), rest.to_vec()));
        }
    }
}
