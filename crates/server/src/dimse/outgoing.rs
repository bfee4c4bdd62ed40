//! Associations that we ask for: with a destination of the configuration, within the time that it is given.

use std::time::Duration;

use dicom_bridge::dimse::{Association, Event, Proposal, Requestor};
use tokio::time::timeout;

use super::link::{Break, Link};
use super::stream::Stream;
use crate::app::App;
use crate::config::DicomDestination;

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Asks the destination for an association with these presentation contexts.
///
/// # Errors
///
/// If it cannot be reached, or does not answer, or rejects it.
pub(super) async fn associate(
    app: &App,
    destination: &DicomDestination,
    proposals: Vec<Proposal>,
) -> Result<Link, Break> {
    let tls = app.settings().dicom.tls.as_ref().filter(|_| destination.is_secured);
    let connected = timeout(CONNECT, Stream::connected(&destination.address, tls));
    let stream = connected.await.map_err(|_late| Break::Silent)??;
    let address = stream.peer_address()?;
    let association = Association::request(Requestor {
        ae_title: app.settings().dicom.ae_title.clone(),
        called_ae_title: destination.ae_title.clone(),
        proposals,
    });
    let mut link = Link::new(stream, address, association);
    link.flush().await?;
    let refused = match link.event(None).await {
        Ok(Event::Accepted { contexts: (accepted, proposed) }) => {
            let title = &destination.ae_title;
            tracing::info!(peer.address = %address, peer.ae_title = title, accepted, proposed, "association asked for");
            return Ok(link);
        }
        Ok(Event::Rejected { reason }) => Break::Rejected(reason),
        Ok(Event::Aborted) => Break::Aborted,
        Ok(_) => Break::Unexpected,
        Err(reason) => reason,
    };
    link.break_off(&refused).await;
    Err(refused)
}
