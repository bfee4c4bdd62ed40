//! The accept loop: a cap on connections, and an end that lets responses finish.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Service,
    connection::{Patience, Stream},
    delivery::Peer,
    http2,
    opening::Opening,
};
use crate::{listening::accept, telemetry::Counted};

/// File descriptors kept free of connections: stored objects, index files, the catalog, the log.
const RESERVED_DESCRIPTORS: u64 = 192;

/// What hyper may hold of one connection in each direction, in bytes; also the bound of a request head.
const CONNECTION_BUFFER: usize = 64 * 1024;

/// What the system may hold of a response before it has room in the peer's window, in bytes: a newer request takes none of
/// it back, and left to itself it grows to megabytes.
const UNSENT: u32 = 64 * 1024;

/// Raises the soft limit of open files to the hard one, and returns how many connections fit below it.
pub(crate) fn connections_within_descriptor_limit(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    // With very few descriptors (64 in a test) half of them go to connections.
    let room = files.saturating_sub(RESERVED_DESCRIPTORS).max(files / 2);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// Accepts connections until `drain` is cancelled, then lets those at work finish; returns when all have ended.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, drain: CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(connections_within_descriptor_limit(service.max_connections())));
    while let Some((tcp, address)) = accept(&listener, &drain).await {
        if !service.may_connect(address.ip()) {
            service.metrics().connections_refused.increment(1);
            tracing::debug!(peer.address = %address, "a connection from outside the allowed networks was closed");
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            service.metrics().connections_refused.increment(1);
            refuse(tcp);
            continue;
        };
        connections.spawn(converse(tcp, address, Arc::clone(&service), place, drain.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Serves one connection to its end.
async fn converse(
    mut tcp: TcpStream,
    address: SocketAddr,
    service: Arc<Service>,
    place: OwnedSemaphorePermit,
    drain: CancellationToken,
) {
    let Ok(local) = tcp.local_addr() else { return };
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    if let Err(error) = SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT cannot be set");
    }
    let counted = Counted::new(&service.metrics().connections);
    let peer = Arc::new(Peer::new(address, local));
    let Some(opening) = Opening::of(&mut tcp, Patience::default(), &drain).await else { return };
    let ended = if opening.is_http2() {
        http2::converse(tcp, opening, peer, service, drain).await
    } else {
        converse_http1(tcp, opening, peer, service, drain).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    drop((counted, place));
}

async fn converse_http1(
    tcp: TcpStream,
    opening: Opening,
    peer: Arc<Peer>,
    service: Arc<Service>,
    drain: CancellationToken,
) -> hyper::Result<()> {
    let stream = Stream::new(tcp, Arc::clone(&peer), Patience::default()).after(opening);
    let handler = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        let peer = Arc::clone(&peer);
        async move { Ok::<_, Infallible>(service.answer(&peer, request.map(Into::into)).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_buf_size(CONNECTION_BUFFER)
        // The stream below keeps the time of request heads; hyper's own timer would also end idle connections.
        .header_read_timeout(None)
        // A peer that closes its side has gone: what is made for it stops at once.
        .half_close(false)
        .timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), handler);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Says 503 to a connection that has no place, without waiting for anything.
fn refuse(tcp: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
        Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
    tokio::spawn(async move {
        let mut tcp = tcp;
        let say = async {
            tcp.write_all(BUSY).await?;
            tcp.shutdown().await?;
            // What the peer has sent is read, or closing would reset the connection before the answer is seen.
            let mut scrap = [0; 2048];
            tokio::io::AsyncReadExt::read(&mut tcp, &mut scrap).await
        };
        let _gone = tokio::time::timeout(Duration::from_millis(500), say).await;
    });
}
