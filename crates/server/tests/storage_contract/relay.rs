//! A way to a server that can be cut.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Passes connections on to a server until it is told otherwise; has a thread of its own.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

struct State {
    /// Bytes that are still passed to the server.
    left: AtomicU64,
    /// Nothing is passed and nothing is cut.
    holds: AtomicBool,
}

impl Relay {
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(State { left: AtomicU64::new(u64::MAX), holds: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        let bound = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&shared).pass_on(client, server.clone()));
                }
            });
            address
        });
        Self { address: bound.await.unwrap(), state, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection, those to come too.
    pub(crate) fn refuse(&self) {
        self.refuse_after(0);
    }

    /// As above, once so many bytes more have gone to the server.
    pub(crate) fn refuse_after(&self, bytes: u64) {
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// Leaves every connection open and says nothing.
    pub(crate) fn hold(&self) {
        self.state.holds.store(true, Ordering::SeqCst);
    }

    /// Passes everything on again.
    pub(crate) fn pass(&self) {
        self.state.left.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl State {
    async fn pass_on(self: Arc<Self>, mut client: TcpStream, server: String) -> io::Result<()> {
        let mut server = TcpStream::connect(&server).await?;
        let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            let (n, to_server) = tokio::select! {
                n = client.read(&mut asked) => (n?, true),
                n = server.read(&mut answered) => (n?, false),
            };
            while self.holds.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if n == 0 || !self.may_pass(if to_server { n as u64 } else { 0 }) {
                return Ok(());
            }
            if to_server {
                server.write_all(&asked[..n]).await?;
            } else {
                client.write_all(&answered[..n]).await?;
            }
        }
    }

    /// Counts what goes to the server; once too little is left, nothing passes.
    fn may_pass(&self, n: u64) -> bool {
        let spend = |left: u64| match left {
            u64::MAX => Some(left),
            0 => None,
            _ => Some(left.saturating_sub(n)),
        };
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok_and(|left| left >= n)
    }
}
