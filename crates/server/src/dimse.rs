//! Associations over TCP: objects from modalities and archives straight into ingest, and out again to whoever asks.
//!
//! The protocol is [`dicom_bridge::dimse`]; here are the sockets, the clock and the bounds. An association holds one PDU
//! and a piece of a file in memory, whatever the size of the object. Success is answered when the object is durable.

mod committing;
mod conversation;
mod finding;
mod link;
mod outgoing;
mod outgoing_form;
mod receiving;
mod retrieving;
mod sending;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dicom_bridge::dimse::{Acceptor, Association};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::{DicomSettings, TransferSyntaxWish};
use crate::listening::accept;
use crate::telemetry::Counted;
use conversation::Conversation;
use link::Link;
use stream::Stream;

pub(crate) use receiving::status_of;

/// How long a peer may keep an association waiting.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// From one whole PDU to the next; also for the A-ASSOCIATE-RQ, the ARTIM timer of [PS3.8 9.1.5].
    read: Duration,
    /// For taking what is sent.
    write: Duration,
    /// For the response to an object that was sent: the peer makes it durable first.
    response: Duration,
}

const PATIENCE: Patience =
    Patience { read: Duration::from_secs(30), write: Duration::from_secs(30), response: Duration::from_secs(120) };

/// Peers that are told at the same time that there is no place for them.
const REJECTIONS: usize = 64;

/// Accepts associations until `drain` is cancelled, then lets messages that have begun be answered; returns when all
/// associations have ended.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, drain: CancellationToken) {
    let settings = app.settings().dicom.clone();
    let places = Arc::new(Semaphore::new(settings.max_associations));
    let rejections = Arc::new(Semaphore::new(REJECTIONS));
    let associations = TaskTracker::new();
    while let Some((tcp, address)) = accept(&listener, &drain).await {
        let refused = &app.metrics().associations_refused;
        let Some(acceptor) = acceptor_for(&settings, address) else {
            refused.increment(1);
            tracing::debug!(peer.address = %address, "a connection from outside the allowed networks was closed");
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refused.increment(1);
            tracing::warn!(peer.address = %address, limit = settings.max_associations, "too many associations");
            // Of a flood of them some hear why, the others are closed; so are all that would have to shake hands first.
            if settings.tls.is_none()
                && let Ok(turn) = Arc::clone(&rejections).try_acquire_owned()
            {
                associations.spawn(async move {
                    reject_for_now(tcp).await;
                    drop(turn);
                });
            }
            continue;
        };
        let counted = Counted::new(&app.metrics().associations);
        let (app, drain, tls) = (Arc::clone(&app), drain.clone(), settings.tls.clone());
        associations.spawn(async move {
            match Stream::accepted(tcp, tls.as_ref()).await {
                Ok(stream) => {
                    let link = Link::new(stream, address, Association::new(acceptor));
                    Conversation::new(link, app, drain).run().await;
                }
                Err(reason) => {
                    app.metrics().associations_refused.increment(1);
                    tracing::warn!(peer.address = %address, %reason, "a connection was not secured");
                }
            }
            drop((counted, place));
        });
    }
    drop(listener);
    associations.close();
    associations.wait().await;
}

/// Who a peer of this address may call itself; `None` if it may not connect.
fn acceptor_for(settings: &DicomSettings, address: SocketAddr) -> Option<Acceptor> {
    let preference = TransferSyntaxWish::preference(&settings.prefer);
    let acceptor = Acceptor { preference, ..Acceptor::new(&settings.ae_title) };
    let ip = address.ip().to_canonical();
    if settings.allow.is_empty() || ip.is_loopback() {
        return Some(acceptor);
    }
    let rules: Vec<_> = settings.allow.iter().filter(|rule| rule.network.contains(ip)).collect();
    if rules.is_empty() {
        return None;
    }
    // A rule without a title lets everybody of its network call.
    let titles: Option<Vec<String>> = rules.iter().map(|rule| rule.ae_title.clone()).collect();
    Some(Acceptor { calling_ae_titles: titles, ..acceptor })
}

/// Rejects an association for lack of a place: transient, by the presentation-related provider, local limit exceeded
/// [PS3.8 9.3.4].
async fn reject_for_now(mut tcp: TcpStream) {
    const REJECTION: [u8; 10] = [3, 0, 0, 0, 0, 4, 0, 2, 3, 2];
    let say = async {
        // The request is read, or closing would reset the connection before the answer is seen.
        let mut scrap = [0; 4096];
        let _request = tcp.read(&mut scrap).await?;
        tcp.write_all(&REJECTION).await?;
        tcp.shutdown().await?;
        while tcp.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    let _gone = tokio::time::timeout(Duration::from_secs(2), say).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allow_list_names_networks_and_titles() {
        let settings = |allow: &[&str]| DicomSettings {
            allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
            ..DicomSettings::default()
        };
        let titles = |allow: &[&str], address: &str| {
            acceptor_for(&settings(allow), address.parse().unwrap()).map(|acceptor| acceptor.calling_ae_titles)
        };
        assert_eq!(titles(&[], "10.0.0.1:1"), Some(None));
        assert_eq!(titles(&["CT1@10.0.0.0/8"], "127.0.0.1:1"), Some(None), "loopback calls as it likes");
        assert_eq!(titles(&["CT1@10.0.0.0/8"], "192.168.0.1:1"), None);
        let both = titles(&["CT1@10.0.0.0/8", "CT2@10.1.0.0/16"], "[::ffff:10.1.2.3]:1").unwrap();
        assert_eq!(both, Some(vec!["CT1".to_owned(), "CT2".to_owned()]));
        assert_eq!(titles(&["CT1@10.0.0.0/8", "10.1.0.0/16"], "10.1.2.3:1"), Some(None));
    }
}
