//! The first bytes of a connection, which tell HTTP/2 from HTTP/1.1.
//!
//! HTTP/2 by prior knowledge begins with a preface that no HTTP/1.1 request begins with [RFC 9113 3.3, 3.4]. Whatever
//! was read to see it is handed on, so that neither protocol misses a byte.

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::connection::{Patience, TOO_LATE};

/// The connection preface of an HTTP/2 client [RFC 9113 3.4].
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most that is read before the protocol is known.
const FIRST_READ: usize = 2048;

/// What a peer has said before its protocol was known.
pub(super) struct Opening {
    pub(super) bytes: BytesMut,
    /// When its first byte came.
    pub(super) since: Instant,
}

impl Opening {
    /// Reads until the protocol is known; `None` if the peer has gone, was too slow, or said nothing before `drain`.
    pub(super) async fn of<S>(stream: &mut S, patience: Patience, drain: &CancellationToken) -> Option<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut opening = Self { bytes: BytesMut::with_capacity(FIRST_READ), since: Instant::now() };
        while opening.may_become_http2() {
            let read = timeout_at(opening.since + patience.head, stream.read_buf(&mut opening.bytes));
            let read = tokio::select! {
                read = read => read,
                () = drain.cancelled() => return Some(opening).filter(|opening| !opening.bytes.is_empty()),
            };
            match read {
                Ok(Ok(0)) => return Some(opening).filter(|opening| !opening.bytes.is_empty()),
                Ok(Ok(_)) => {}
                Ok(Err(_broke)) => return None,
                Err(_late) => {
                    if !opening.bytes.is_empty() {
                        let told = stream.write_all(TOO_LATE).await;
                        tracing::debug!(answered = told.is_ok(), "a request head took too long");
                    }
                    return None;
                }
            }
        }
        Some(opening)
    }

    /// Whether the connection is one of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.bytes.starts_with(PREFACE)
    }

    /// Whether more bytes could still complete a preface.
    fn may_become_http2(&self) -> bool {
        self.bytes.len() < PREFACE.len() && PREFACE.starts_with(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn protocols_are_told_apart_by_as_few_bytes_as_possible() {
        for (said, is_http2) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], false),
            (b"POST", false),
            (b"PRI * HTTP/1.1\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand frames", true),
        ] {
            let (mut client, mut server) = tokio::io::duplex(1024);
            let begun = Instant::now();
            let peer = tokio::spawn(async move {
                for byte in said {
                    client.write_all(&[*byte]).await.unwrap();
                }
                client
            });
            let opening = Opening::of(&mut server, Patience::default(), &CancellationToken::new()).await.unwrap();
            assert_eq!(opening.is_http2(), is_http2);
            let _client = peer.await.unwrap();
            let mut all = opening.bytes.to_vec();
            all.resize(said.len(), 0);
            server.read_exact(&mut all[opening.bytes.len()..]).await.unwrap();
            assert_eq!(all, said, "no byte is lost");
            assert_eq!(begun.elapsed().as_millis(), 0, "nothing was waited for");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_preface_is_not_waited_for_without_end() {
        let (mut client, mut server) = tokio::io::duplex(1024);
        client.write_all(&PREFACE[..20]).await.unwrap();
        assert!(Opening::of(&mut server, Patience::default(), &CancellationToken::new()).await.is_none());
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "));
    }
}
