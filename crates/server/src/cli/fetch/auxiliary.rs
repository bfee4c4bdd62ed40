//! The client's end of the transports beside HTTP: where the data of a channel come in [15444-9 G, K].

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use jpip::EorReason;
use jpip::client::{DataBinStore, MessageReader};
use jpip::http_tcp;
use jpip::request::channel::Transport;
use jpip::udp::{Receiver, ReceiverLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::Instant;

use super::exchange::Answer;
use super::trace::Trace;

/// Where the data of one channel come in.
pub(super) enum Auxiliary {
    /// Over one connection, which is made anew when it breaks.
    Tcp { address: SocketAddr, cid: String, stream: Option<(TcpStream, http_tcp::Receiver)> },
    /// In datagrams.
    Udp { socket: UdpSocket, receiver: Box<Receiver>, begun: Instant },
}

/// What is done with the data.
pub(super) struct Sink<'a> {
    pub(super) store: &'a mut DataBinStore,
    pub(super) trace: Trace,
    pub(super) progress: &'a ProgressBar,
}

impl Auxiliary {
    /// The end of the channel `cid`, whose server listens at `host` and `port`.
    ///
    /// # Errors
    ///
    /// If the host has no address, or no socket can be had.
    pub(super) async fn open(transport: &Transport, host: &str, port: u16, cid: &str) -> anyhow::Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut found = lookup_host((bare, port)).await.with_context(|| format!("{host} has no address"))?;
        let address = found.next().with_context(|| format!("{host} has no address"))?;
        if *transport == Transport::HttpTcp {
            return Ok(Self::Tcp { address, cid: cid.to_owned(), stream: None });
        }
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await.context("no UDP socket")?;
        socket.connect(address).await.context("no UDP socket")?;
        let receiver = Box::new(Receiver::new(cid, ReceiverLimits::default()));
        Ok(Self::Udp { socket, receiver, begun: Instant::now() })
    }

    /// Takes in the response to the request with this `qid`.
    ///
    /// # Errors
    ///
    /// Messages that are malformed or contradict each other.
    pub(super) async fn receive(&mut self, qid: u64, mut sink: Sink<'_>) -> anyhow::Result<Answer> {
        match self {
            Self::Tcp { address, cid, stream } => {
                let mut reader = MessageReader::new();
                let mut failures = 0;
                loop {
                    match receive_stream(*address, cid, stream, &mut reader, &mut sink).await? {
                        Ok(reason) => return Ok(Answer::Ended(Some(reason))),
                        Err(broken) => {
                            // A new connection goes on with the first chunk that was not acknowledged.
                            *stream = None;
                            reader = MessageReader::new();
                            failures += 1;
                            if failures == MAX_CONNECTIONS {
                                return Ok(Answer::Broken(broken));
                            }
                        }
                    }
                }
            }
            Self::Udp { socket, receiver, begun } => receive_datagrams(socket, receiver, *begun, qid, &mut sink).await,
        }
    }
}

/// Reads chunks until a response ends; the inner error is one of the connection.
async fn receive_stream(
    address: SocketAddr,
    cid: &str,
    stream: &mut Option<(TcpStream, http_tcp::Receiver)>,
    reader: &mut MessageReader,
    sink: &mut Sink<'_>,
) -> anyhow::Result<Result<EorReason, String>> {
    if stream.is_none() {
        match connect(address, cid).await {
            Ok(connected) => *stream = Some((connected, http_tcp::Receiver::new())),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    let Some((tcp, receiver)) = stream else { return Ok(Err("no connection".to_owned())) };
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let len = match tokio::time::timeout(PATIENCE, tcp.read(&mut bytes)).await {
            Ok(Ok(0)) => return Ok(Err("the server closed the connection of the channel".to_owned())),
            Ok(Ok(len)) => len,
            Ok(Err(error)) => return Ok(Err(error.to_string())),
            Err(_late) => return Ok(Err("nothing comes over the connection of the channel".to_owned())),
        };
        let mut rest = bytes.get(..len).unwrap_or_default();
        let mut ended = None;
        while let Some(mut body) = receiver.read(&mut rest)? {
            sink.progress.inc(body.len() as u64);
            while let Some(event) = reader.read(&mut body)? {
                sink.trace.event(&event);
                sink.store.apply(&event)?;
            }
            ended = reader.ended().or(ended);
            // Whatever comes after the end of a response is the next one, or one that was asked for before.
            if reader.ended().is_some() {
                *reader = MessageReader::new();
            }
        }
        if let Err(error) = tcp.write_all(&receiver.take_acknowledgements()).await {
            return Ok(Err(error.to_string()));
        }
        if let Some(reason) = ended {
            return Ok(Ok(reason));
        }
    }
}

async fn connect(address: SocketAddr, cid: &str) -> std::io::Result<TcpStream> {
    let late = |_late| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let mut tcp = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)??;
    tcp.set_nodelay(true)?;
    tcp.write_all(&http_tcp::encode_greeting(cid)).await?;
    Ok(tcp)
}

/// Takes datagrams until every chunk of the response is there.
async fn receive_datagrams(
    socket: &UdpSocket,
    receiver: &mut Receiver,
    begun: Instant,
    qid: u64,
    sink: &mut Sink<'_>,
) -> anyhow::Result<Answer> {
    let mut bytes = vec![0; 64 * 1024];
    let mut reason = None;
    let mut last_heard = Instant::now();
    loop {
        if receiver.is_whole(qid) {
            flush(socket, receiver, begun).await;
            return Ok(Answer::Ended(reason));
        }
        flush(socket, receiver, begun).await;
        let next = receiver.poll_timeout().map_or(SILENCE, |next| next.saturating_sub(begun.elapsed()));
        // The server's host may refuse a datagram before the server is there; the name is sent again.
        let Ok(Ok(len)) = tokio::time::timeout(next.min(SILENCE), socket.recv(&mut bytes)).await else {
            if last_heard.elapsed() > PATIENCE {
                return Ok(Answer::Broken("no datagram comes from the server".to_owned()));
            }
            if last_heard.elapsed() > SILENCE {
                receiver.greet_again(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            continue;
        };
        last_heard = Instant::now();
        let Some(arrival) = receiver.handle_datagram(bytes.get(..len).unwrap_or_default()) else { continue };
        sink.progress.inc(arrival.messages.len() as u64);
        let (mut messages, mut reader) = (arrival.messages, MessageReader::new());
        let of_this = arrival.request.to_be_bytes()[..] == qid.to_be_bytes()[6..];
        while let Some(event) = reader.read(&mut messages)? {
            sink.trace.event(&event);
            sink.store.apply(&event)?;
        }
        reason = reader.ended().filter(|_| of_this).or(reason);
    }
}

async fn flush(socket: &UdpSocket, receiver: &mut Receiver, begun: Instant) {
    while let Some(datagram) = receiver.poll_transmit(begun.elapsed()) {
        // What the system does not take is lost, as it may be on its way.
        let _lost = socket.send(&datagram).await;
    }
}

/// How long a server may be silent; building the index of a large object comes before its first byte.
const PATIENCE: Duration = Duration::from_secs(120);

const CONNECT: Duration = Duration::from_secs(10);

/// How long no datagram may come before the server is told again where the client is.
const SILENCE: Duration = Duration::from_secs(2);

/// Connections that one response may take.
const MAX_CONNECTIONS: u32 = 4;
