//! Bytes that blocking work writes, as a stream that is read elsewhere.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};

/// Bytes on their way out.
pub(crate) type Bytestream = BoxStream<'static, io::Result<Bytes>>;

/// Works that write at the same time: each holds a thread for as long as its reader reads.
static WRITERS: Semaphore = Semaphore::const_new(32);

/// Bytes that such a work writes at a time.
const PIECE: usize = 64 * 1024;

/// Runs blocking work that writes, and gives what it writes; the work waits for who reads.
pub(crate) fn written<E: std::fmt::Display + Send>(
    work: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) -> Bytestream {
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        // Never closed: an error cannot be.
        let Ok(permit) = WRITERS.acquire().await else { return };
        let done = tokio::task::spawn_blocking(move || {
            let mut writer = Sender { waiting: BytesMut::new(), sender };
            let worked = work(&mut writer).map_err(|error| io::Error::other(error.to_string()));
            if let Err(error) = worked.and_then(|()| writer.send()) {
                // The reader may have gone, which is why it failed.
                let _gone = writer.sender.blocking_send(Err(error));
            }
        });
        drop(done.await);
        drop(permit);
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed()
}

struct Sender {
    waiting: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Sender {
    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = self.waiting.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
