//! Storage commitment [PS3.4 J]: what is whole and durable here, said on the same association or on one of our own.

use std::sync::Arc;
use std::time::Duration;

use dicom_bridge::TransferSyntax;
use dicom_bridge::dimse::{
    Answer, CommitmentReport, CommitmentRequest, FailureReason, Proposal, ReferencedInstance, Request, Status,
};
use tokio::sync::Semaphore;

use super::link::{Break, Link};
use super::outgoing;
use crate::app::App;

/// The only Action Type: request storage commitment [PS3.4 J.3.2.1].
const REQUEST_COMMITMENT: u16 = 1;

/// How long after each other a report is tried on associations of our own.
const RETRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];

/// Takes the request for commitment, and reports.
pub(super) async fn commit(
    app: &Arc<App>,
    link: &mut Link,
    request: &Request,
    calling_ae_title: &str,
) -> Result<(), Break> {
    let (status, wanted) = match CommitmentRequest::parse(request) {
        _ if request.command.action_type != Some(REQUEST_COMMITMENT) => (Status::NoSuchAction, None),
        Ok(wanted) => (Status::Success, Some(wanted)),
        Err(error) => {
            tracing::warn!(peer.address = %link.address(), %error, "a request for storage commitment was refused");
            (Status::InvalidArgument, None)
        }
    };
    link.association().answer(request, &Answer::of(status));
    link.flush().await?;
    let Some(wanted) = wanted else { return Ok(()) };
    let report = examine(app, wanted).await;
    let (committed, failed) = (report.committed.len(), report.failed.len());
    tracing::info!(peer.address = %link.address(), committed, failed, "storage commitment");
    // Whoever asked may have let go already; then it is called at the address that the configuration has.
    match report_on(link, request.context, &request.transfer_syntax_uid, &report).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            call_back(app, calling_ae_title, report);
            Ok(())
        }
        Err(reason) => {
            call_back(app, calling_ae_title, report);
            Err(reason)
        }
    }
}

/// Says what became of the request; whether the peer took it.
async fn report_on(
    link: &mut Link,
    context: u8,
    transfer_syntax_uid: &str,
    report: &CommitmentReport,
) -> Result<bool, Break> {
    let Ok(data_set) = report.to_data_set(transfer_syntax_uid) else { return Ok(false) };
    link.association().report_commitment(context, report.event_type(), &data_set);
    link.flush().await?;
    Ok(link.response().await? == 0)
}

/// Reports that are under way in the background. Whoever asks for more and never listens does not fill the memory.
static REPORTS: Semaphore = Semaphore::const_new(64);

/// Reports on an association of our own, in the background, until the peer has taken it or the tries are used up.
fn call_back(app: &Arc<App>, ae_title: &str, report: CommitmentReport) {
    let Some(destination) = app.settings().dicom.destinations.iter().find(|known| known.ae_title == ae_title) else {
        tracing::warn!(
            peer.ae_title = ae_title,
            "a storage commitment cannot be reported: no destination has this title"
        );
        return;
    };
    let Ok(turn) = REPORTS.try_acquire() else {
        tracing::warn!(peer.ae_title = ae_title, "too many reports of storage commitments are under way");
        return;
    };
    let (app, destination) = (Arc::clone(app), destination.clone());
    tokio::spawn(async move {
        let _turn = turn;
        for wait in RETRIES {
            tokio::time::sleep(wait).await;
            match report_on_own(&app, &destination, &report).await {
                Ok(true) => return,
                Ok(false) => tracing::warn!("a peer did not take the report of a storage commitment"),
                Err(reason) => tracing::warn!(%reason, "a storage commitment cannot be reported"),
            }
        }
        tracing::error!(peer.ae_title = destination.ae_title, "the report of a storage commitment was given up");
    });
}

async fn report_on_own(
    app: &App,
    destination: &crate::config::DicomDestination,
    report: &CommitmentReport,
) -> Result<bool, Break> {
    let proposal = Proposal {
        abstract_syntax: "1.2.840.10008.1.20.1".to_owned(),
        transfer_syntaxes: vec!["1.2.840.10008.1.2.1".to_owned(), "1.2.840.10008.1.2".to_owned()],
        as_provider: true,
    };
    let mut link = outgoing::associate(app, destination, vec![proposal]).await?;
    let Some(context) = link.association().contexts().first().cloned() else {
        link.release().await?;
        return Ok(false);
    };
    let taken = report_on(&mut link, context.id, &context.transfer_syntax, report).await;
    match &taken {
        Ok(_) => link.release().await?,
        Err(reason) => link.break_off(reason).await,
    }
    taken
}

/// Looks at each instance: catalogued, of the class that was named, and all of its bytes in the store.
async fn examine(app: &App, request: CommitmentRequest) -> CommitmentReport {
    let mut report = CommitmentReport {
        transaction_uid: request.transaction_uid,
        retrieve_ae_title: app.settings().dicom.ae_title.clone(),
        committed: Vec::new(),
        failed: Vec::new(),
    };
    for instance in request.instances {
        match examine_one(app, &instance).await {
            Ok(()) => report.committed.push(instance),
            Err(reason) => report.failed.push((instance, reason)),
        }
    }
    report
}

async fn examine_one(app: &App, instance: &ReferencedInstance) -> Result<(), FailureReason> {
    let row = app.catalog().instance(&instance.sop_instance_uid).await.map_err(|error| {
        tracing::error!(%error, "an instance to be committed cannot be looked up");
        FailureReason::ProcessingFailure
    })?;
    let row = row.ok_or(FailureReason::NoSuchInstance)?;
    if row.sop_class_uid != instance.sop_class_uid {
        return Err(FailureReason::ClassInstanceConflict);
    }
    // It refers to pixel data that are somebody else's [PS3.5 10.8].
    if TransferSyntax::from_uid(&row.transfer_syntax_uid).is_jpip_referenced() {
        return Err(FailureReason::ProcessingFailure);
    }
    // Asked anew: a file that is held open does not hear of what has become of it.
    match app.storage().stream_object(&row.object_key).await.map(|(len, _unread)| len) {
        Ok(len) if len == row.object_size => Ok(()),
        other => {
            tracing::error!(object.key = %row.object_key, found = ?other, "an object to be committed is not whole");
            Err(FailureReason::ProcessingFailure)
        }
    }
}
