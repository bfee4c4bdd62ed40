//! The connection below an association: plain, or secured by TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BufMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::PATIENCE;
use crate::config::DicomTls;

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// A connection that a peer has made; with TLS, its handshake is waited for as long as for its first PDU.
    ///
    /// # Errors
    ///
    /// If the handshake fails.
    pub(super) async fn accepted(tcp: TcpStream, tls: Option<&DicomTls>) -> io::Result<Self> {
        no_delay(&tcp);
        let Some(tls) = tls else { return Ok(Self::Plain(tcp)) };
        let handshake = TlsAcceptor::from(Arc::clone(&tls.acceptor)).accept(tcp);
        let secured =
            timeout(PATIENCE.read, handshake).await.map_err(|_late| io::Error::from(io::ErrorKind::TimedOut))?;
        Ok(Self::Secured(Box::new(secured?.into())))
    }

    /// A connection that we make to `address`, a host and a port; with TLS, the certificate must be that of the host.
    ///
    /// # Errors
    ///
    /// If nobody is there, or the handshake fails.
    pub(super) async fn connected(address: &str, tls: Option<&DicomTls>) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        no_delay(&tcp);
        let Some(tls) = tls else { return Ok(Self::Plain(tcp)) };
        let Some(connector) = &tls.connector else { return Err(io::ErrorKind::Unsupported.into()) };
        let host = address.rsplit_once(':').map_or(address, |(host, _port)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let secured = TlsConnector::from(Arc::clone(connector)).connect(name, tcp).await?;
        Ok(Self::Secured(Box::new(secured.into())))
    }

    pub(super) fn peer_address(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// Reads once.
    pub(super) async fn read(&mut self, buffer: &mut (impl BufMut + Send)) -> io::Result<usize> {
        // Senders write the header of a PDU and its contents apart, with Nagle's algorithm on: each waits for our
        // acknowledgement of the one before. The option does not last, so it is set around every read.
        quick_ack(self.tcp());
        let read = match self {
            Self::Plain(tcp) => tcp.read_buf(buffer).await,
            Self::Secured(tls) => tls.read_buf(buffer).await,
        };
        quick_ack(self.tcp());
        read
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            Self::Secured(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
        }
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Secured(tls) => tls.shutdown().await,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Secured(tls) => tls.get_ref().0,
        }
    }
}

fn no_delay(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
}

fn quick_ack(tcp: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = tcp.set_quickack(true) {
        tracing::trace!(%error, "TCP_QUICKACK cannot be set");
    }
}
