//! The threads on which a remote store is talked to.
//!
//! They are a runtime of their own, so that whoever must wait for an answer, an indexer on a blocking thread or code
//! without a runtime, can do so without being what the answer waits for. All requests of a store run there, and so do
//! the connections that it keeps.

use std::future::Future;
use std::io;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug)]
pub(super) struct Threads {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Threads {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("store").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Runs the work there; ends it when the caller goes.
    pub(super) async fn run<T, E>(&self, work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        let ended = AbortOnDropHandle::new(self.handle.spawn(work)).await;
        ended.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    /// Starts work there that nobody waits for.
    pub(super) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    /// Runs the work there and waits for it. Blocking; on a thread of a runtime the tasks that it holds move on first.
    pub(super) fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Dropped with the work if the runtime ends first, which the receiver is told.
        drop(self.handle.spawn(async move { sender.send(work.await) }));
        let wait = || receiver.recv().unwrap_or_else(|error| Err(io::Error::other(error).into()));
        match Handle::try_current().map(|current| current.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for what runs there is not allowed on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// They only move bytes between sockets and buffers, and decrypt them.
const WORKERS: usize = 2;
