//! C-MOVE and C-GET [PS3.4 C.4.2, C.4.3]: the instances that are asked for, each by a C-STORE of our own.

mod selection;
mod sub_operations;

use dicom_bridge::dimse::{Answer, Identifier, MAX_CONTEXTS, Proposal, Request, Root, Status};

use super::link::{Break, Link};
use super::outgoing;
use super::outgoing_form::offered;
use crate::app::App;
use selection::{SelectionError, select};
use sub_operations::{Carrier, SubOperations};

/// Sends what is asked for to the destination that the request names.
pub(super) async fn retrieve_by_move(
    app: &App,
    link: &mut Link,
    request: &Request,
    root: Root,
    calling_ae_title: &str,
) -> Result<(), Break> {
    let destinations = &app.settings().dicom.destinations;
    let named = request.command.move_destination.as_deref();
    let Some(destination) = destinations.iter().find(|known| Some(known.ae_title.as_str()) == named) else {
        return refuse(link, request, Status::MoveDestinationUnknown, "no destination has this title").await;
    };
    let instances = match chosen(app, request, root).await {
        Ok(instances) => instances,
        Err((status, words)) => return refuse(link, request, status, &words).await,
    };
    let mut work = SubOperations::new(app, request, instances);
    if work.is_empty() {
        return work.finish(link).await;
    }
    let mut proposals: Vec<Proposal> = Vec::new();
    for instance in work.waiting() {
        for transfer_syntax in offered(&instance.transfer_syntax_uid) {
            let proposal = Proposal {
                abstract_syntax: instance.sop_class_uid.clone(),
                transfer_syntaxes: vec![transfer_syntax],
                as_provider: false,
            };
            if proposals.len() < MAX_CONTEXTS && !proposals.contains(&proposal) {
                proposals.push(proposal);
            }
        }
    }
    let mut sub = match outgoing::associate(app, destination, proposals).await {
        Ok(sub) => sub,
        Err(reason) => {
            let title = &destination.ae_title;
            tracing::warn!(destination.ae_title = title, %reason, "a destination cannot be reached");
            work.give_up();
            return work.finish_with(link, Some("the destination cannot be reached")).await;
        }
    };
    let originator = (calling_ae_title, request.command.message_id.unwrap_or(0));
    let done = work.run(link, Carrier::Other { link: &mut sub, originator }).await;
    match &done {
        Ok(()) => {
            if let Err(reason) = sub.release().await {
                tracing::debug!(%reason, "a destination did not let go in order");
            }
        }
        Err(reason) => sub.break_off(reason).await,
    }
    done?;
    work.finish(link).await
}

/// Sends what is asked for on the association that it is asked for on.
pub(super) async fn retrieve_by_get(app: &App, link: &mut Link, request: &Request, root: Root) -> Result<(), Break> {
    let instances = match chosen(app, request, root).await {
        Ok(instances) => instances,
        Err((status, words)) => return refuse(link, request, status, &words).await,
    };
    let mut work = SubOperations::new(app, request, instances);
    work.run(link, Carrier::Same).await?;
    work.finish(link).await
}

async fn chosen(app: &App, request: &Request, root: Root) -> Result<Vec<catalog::InstanceRow>, (Status, String)> {
    let wanted = Identifier::parse(request, root).and_then(|identifier| identifier.retrieval());
    let wanted = wanted.map_err(|error| (Status::DoesNotMatch, error.to_string()))?;
    select(app.catalog(), &wanted).await.map_err(|error| {
        if let SelectionError::Catalog(error) = &error {
            tracing::error!(%error, "instances to be retrieved cannot be looked up");
        }
        (Status::CannotMatch, error.to_string())
    })
}

async fn refuse(link: &mut Link, request: &Request, status: Status, words: &str) -> Result<(), Break> {
    tracing::warn!(peer.address = %link.address(), status = status.code(), "a retrieval was refused");
    link.association().answer(request, &Answer { comment: Some(words), ..Answer::of(status) });
    Ok(link.flush().await?)
}
