//! The channels of this server and what their sessions hold.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use jpip::{
    CacheModel, Limits,
    request::{channel::CloseList, return_type::StreamType},
    request_order::RequestOrder,
    session::{ChannelLimits, Channels, Refusal},
};
use metrics::Gauge;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tokio_util::sync::DropGuard;

use super::{model::SessionModels, target::OpenTarget};
use crate::{http::delivery::Peer, transport::Line};

/// How long a request waits for the response before it to be delivered.
const TURN: Duration = Duration::from_secs(30);

/// How often idle channels are looked for.
const SWEEP: Duration = Duration::from_secs(15);

/// All channels of this node.
pub(crate) struct ChannelTable {
    table: Mutex<Channels<Session, Channel>>,
    node: String,
    begun: Instant,
    open: Gauge,
}

/// How long a request waits for one with a lower number that has not come.
const GAP: Duration = Duration::from_millis(200);

/// What the channels of one client share: the cache models.
#[derive(Clone)]
pub(crate) struct Session {
    models: Arc<Mutex<SessionModels>>,
}

/// One channel of a session.
#[derive(Clone)]
pub(crate) struct Channel {
    target: Arc<OpenTarget>,
    /// What requests get that name no type.
    stream: StreamType,
    order: Arc<Order>,
    /// Held by one response at a time.
    turn: Arc<AsyncMutex<()>>,
    /// Where responses go if not back over HTTP.
    line: Option<Arc<Line>>,
    /// Tells the line when the channel is closed.
    _open: Option<Arc<DropGuard>>,
}

/// The requests of one channel, in the order in which they came.
#[derive(Default)]
struct Order {
    newest: AtomicU64,
    /// The connection of the response that is being delivered.
    at_work: Mutex<Weak<Peer>>,
    numbers: Mutex<RequestOrder>,
    /// A number has left the order, or is waited for no longer.
    moved: Notify,
}

/// What a response holds from its plan to its delivery: its channel, and the cache model that it is planned on. Channels
/// of one session wait for each other where they are about the same data-bins, and nowhere else.
pub(crate) struct Turn {
    pub(crate) model: OwnedMutexGuard<CacheModel>,
    _channel: OwnedMutexGuard<()>,
}

/// The number (`qid`) of a request in the order of its channel, if it has one. Higher ones wait until it is dropped,
/// so that a request which is refused or goes away holds up nobody.
pub(crate) struct Number {
    order: Arc<Order>,
    qid: Option<u64>,
}

impl Number {
    /// Ends when the requests with lower numbers have been taken in hand, or have not come for too long.
    pub(crate) async fn wait(&self) {
        let Some(qid) = self.qid else { return };
        let deadline = tokio::time::Instant::now() + GAP;
        let mut is_late = false;
        loop {
            let mut moved = pin!(self.order.moved.notified());
            moved.as_mut().enable();
            let (gave_up, may_go) = {
                let mut numbers = self.order.numbers();
                (is_late && numbers.give_up(), numbers.may_go(qid))
            };
            if gave_up {
                self.order.moved.notify_waiters();
            }
            if may_go {
                return;
            }
            if is_late {
                // Lower ones have come and may go now; each wakes this one when it does.
                moved.await;
            } else {
                is_late = tokio::time::timeout_at(deadline, moved).await.is_err();
            }
        }
    }

    /// Waits for `turn`; requests with higher numbers go on once this one stands in the queue.
    pub(crate) async fn queue<F: Future>(number: Option<Self>, turn: F) -> F::Output {
        let mut turn = pin!(turn);
        let first = poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await;
        drop(number);
        match first {
            Poll::Ready(turn) => turn,
            Poll::Pending => turn.await,
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Some(qid) = self.qid {
            self.order.numbers().leave(qid);
            self.order.moved.notify_waiters();
        }
    }
}

impl Order {
    fn numbers(&self) -> MutexGuard<'_, RequestOrder> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one request in the order of its channel.
pub(crate) struct Place {
    order: Arc<Order>,
    number: u64,
    peer: Weak<Peer>,
}

impl Place {
    /// Whether a newer request on the channel does not wait for this one.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.order.newest.load(Ordering::Acquire) > self.number
    }

    /// The response goes out on this connection from now on, until the place is dropped.
    pub(crate) fn deliver_to(&mut self, peer: &Arc<Peer>) {
        self.peer = Arc::downgrade(peer);
        peer.set_overtaken(false);
        *self.order.at_work.lock().unwrap_or_else(PoisonError::into_inner) = Weak::clone(&self.peer);
        // One that came before the connection was known here found nobody to tell.
        if self.is_overtaken() {
            peer.set_overtaken(true);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut at_work = self.order.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if at_work.ptr_eq(&self.peer) {
            *at_work = Weak::new();
        }
    }
}

impl Channel {
    pub(crate) const fn target(&self) -> &Arc<OpenTarget> {
        &self.target
    }

    /// The way of the responses, if it is not HTTP.
    pub(crate) const fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }

    /// A request has come on this channel; with `wait` it lets the responses before it end.
    pub(crate) fn arrive(&self, wait: bool) -> Place {
        let place = |number| Place { order: Arc::clone(&self.order), number, peer: Weak::new() };
        if wait {
            return place(self.order.newest.load(Ordering::Acquire));
        }
        let number = self.order.newest.fetch_add(1, Ordering::AcqRel) + 1;
        let at_work = self.order.at_work.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(peer) = at_work {
            peer.set_overtaken(true);
        }
        if let Some(line) = &self.line {
            line.poke();
        }
        place(number)
    }

    /// A request with this `qid` has come on this channel.
    pub(crate) fn number(&self, qid: Option<u64>) -> Number {
        if let Some(qid) = qid {
            self.order.numbers().arrive(qid);
        }
        Number { order: Arc::clone(&self.order), qid }
    }

    /// The stream type of the request that opened the channel.
    pub(crate) const fn stream(&self) -> StreamType {
        self.stream
    }

    /// A channel for this target, with no name yet.
    pub(crate) fn new(target: Arc<OpenTarget>, stream: StreamType, line: Option<Arc<Line>>) -> Self {
        let open = line.as_ref().map(|line| Arc::new(line.keep()));
        Self { target, stream, order: Arc::default(), turn: Arc::default(), line, _open: open }
    }
}

impl Session {
    /// A session that holds nothing yet.
    pub(crate) fn new() -> Self {
        Self { models: Arc::default() }
    }

    /// The cache model under this identifier for a response of `channel`, once the responses before it on the channel and
    /// on the model have been delivered or given up; `None` if that takes too long.
    pub(crate) async fn turn(&self, channel: &Channel, tid: &str) -> Option<Turn> {
        // The channel first, always: who holds a model waits for nobody.
        let turn = async {
            let channel = Arc::clone(&channel.turn).lock_owned().await;
            let model = self.models.lock().unwrap_or_else(PoisonError::into_inner).of(tid, &Limits::default());
            Turn { model: model.lock_owned().await, _channel: channel }
        };
        tokio::time::timeout(TURN, turn).await.ok()
    }
}

impl ChannelTable {
    pub(crate) fn new(max_channels: usize, node: String, open: Gauge) -> Self {
        let limits = ChannelLimits { max_channels, ..ChannelLimits::default() };
        Self { table: Mutex::new(Channels::new(limits)), node, begun: Instant::now(), open }
    }

    /// Opens a channel: in the session of channel `of`, or as the first of a new session; returns its name.
    pub(crate) fn open(&self, of: Option<&str>, session: &Session, channel: &Channel) -> Result<String, Refusal> {
        let mut random = [0; 16];
        if getrandom::fill(&mut random).is_err() {
            // Without randomness a name could be guessed; no channel is better.
            return Err(Refusal::TooManyChannels);
        }
        self.with(|table, now| match of {
            Some(of) => table.open_channel(now, random, of, channel.clone()),
            None => table.open_session(now, random, &self.node, session.clone(), channel.clone()),
        })
    }

    /// The session and the channel of this name, used now.
    pub(crate) fn find(&self, cid: &str) -> Option<(Session, Channel)> {
        self.with(|table, now| table.touch(now, cid))
    }

    /// The way of a channel's responses, if there is such a channel and its way is not HTTP.
    pub(crate) fn line(&self, cid: &str) -> Option<Arc<Line>> {
        self.find(cid).and_then(|(_session, channel)| channel.line)
    }

    /// Whether [`ChannelTable::close`] would close them.
    pub(crate) fn may_close(&self, list: &CloseList, by: Option<&str>) -> Result<(), Refusal> {
        self.with(|table, _now| table.closing(list, by)).map(drop)
    }

    /// Closes channels, all of one session.
    pub(crate) fn close(&self, list: &CloseList, by: Option<&str>) -> Result<usize, Refusal> {
        self.with(|table, _now| table.close(list, by))
    }

    /// Closes the channels for targets of these names; what is on its way on them ends in order.
    pub(crate) fn close_those_for(&self, names: &[String]) -> usize {
        let is_one = |channel: &Channel| names.iter().any(|name| channel.target.is_called(name));
        self.with(|table, _now| table.close_where(is_one))
    }

    /// Closes channels that nobody uses, for as long as it is polled.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            let closed = self.with(|table, now| table.expire(now));
            if closed > 0 {
                tracing::debug!(closed, "idle channels were closed");
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Channels<Session, Channel>, Duration) -> T) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut table, self.begun.elapsed());
        self.open.set(f64::from(u32::try_from(table.len()).unwrap_or(u32::MAX)));
        done
    }
}
