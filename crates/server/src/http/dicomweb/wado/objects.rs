//! Whole objects [PS3.18 10.4.1.1.1]: streamed as they lie, or written anew where their encoding is not the client's.

use std::{collections::HashMap, io, sync::Arc};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use catalog::{InstanceRow, ObjectKey};
use dicom_bridge::{
    TransferSyntax,
    outgoing::{Outgoing, OutgoingForm},
    referenced::Referable,
};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode, header};

use super::instances::{Instances, Places, instance_url, read};
use crate::{
    app::App,
    http::{
        dicomweb::{
            accept::{Accepted, Offer},
            body::{self, Part},
        },
        error::Problem,
    },
    outgoing::{file, referable},
};

const DICOM: &str = "application/dicom";

/// `GET …/studies/{study}[/series/{series}[/instances/{instance}]]`: the objects in a body of several parts, or the only
/// one as `application/dicom`.
pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    places: Places,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = Instances::find(&app, &read(places)?).await?;
    let accepted = Accepted::of(&headers, query.as_deref());
    let offers: Vec<_> = accepted.offers().iter().filter(|offer| offer.media_type.covers(DICOM)).cloned().collect();
    let referables = Referables::of(&app, &found.first, &offers).await;
    let usable = |offer: &&Offer| {
        let form = |row: &InstanceRow| outgoing(row, referables.known(row), std::slice::from_ref(*offer)).is_some();
        if offer.is_multipart { found.first.iter().any(form) } else { found.only().is_some_and(form) }
    };
    let chosen = offers.iter().find(usable).cloned();
    let chosen = chosen.ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE))?;
    if let Some(only) = found.only().filter(|_| !chosen.is_multipart) {
        let form = outgoing(only, referables.known(only), std::slice::from_ref(&chosen));
        let form = form.ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE))?;
        return single(&app, only, form).await;
    }
    let offers: Vec<Offer> = offers.into_iter().filter(|offer| offer.is_multipart).collect();
    let is_partial = found.first.iter().any(|row| outgoing(row, referables.known(row), &offers).is_none());
    let shared = Arc::new((app, offers, referables));
    let parts = found.stream().filter_map(move |row| {
        let shared = Arc::clone(&shared);
        async move {
            let (app, offers, referables) = &*shared;
            match row {
                Ok(row) => {
                    let form = outgoing(&row, referables.get(app, &row).await, offers)?;
                    part(app, &row, form).await.transpose()
                }
                Err(_logged) => Some(Err(io::Error::other("the catalog does not answer"))),
            }
        }
    });
    let mut response = body::multipart(DICOM, parts.boxed())?;
    if is_partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

const NOT_ACCEPTABLE: &str = "no media type and transfer syntax that is accepted can be made of what is stored";

/// What JPIP Referenced objects can say of instances, found out where somebody asks for such objects.
struct Referables {
    are_wanted: bool,
    known: HashMap<ObjectKey, Option<Referable>>,
}

impl Referables {
    async fn of(app: &Arc<App>, rows: &[InstanceRow], offers: &[Offer]) -> Self {
        let are_wanted = offers.iter().any(|offer| offer.transfer.is_jpip_referenced());
        let rows = if are_wanted { rows.to_vec() } else { Vec::new() };
        let found = stream::iter(rows).map(|row| {
            let app = Arc::clone(app);
            async move { (row.object_key, referable(&app, &row).await) }
        });
        Self { are_wanted, known: found.buffer_unordered(AT_ONCE).collect().await }
    }

    fn known(&self, row: &InstanceRow) -> Option<Referable> {
        self.known.get(&row.object_key).copied().flatten()
    }

    async fn get(&self, app: &App, row: &InstanceRow) -> Option<Referable> {
        match self.known.get(&row.object_key) {
            Some(known) => *known,
            None if self.are_wanted => referable(app, row).await,
            None => None,
        }
    }
}

/// Objects that are looked into at a time.
const AT_ONCE: usize = 4;

/// How an object goes to who makes these offers.
fn outgoing(row: &InstanceRow, referable: Option<Referable>, offers: &[Offer]) -> Option<OutgoingForm> {
    let stored = &TransferSyntax::from_uid(&row.transfer_syntax_uid);
    let outgoing = Outgoing { stored, referable, prefers_referenced: false };
    offers.iter().find_map(|offer| offer.transfer.form(&outgoing))
}

async fn single(app: &Arc<App>, row: &InstanceRow, form: OutgoingForm) -> Result<Response, Problem> {
    let content_type = content_type(form.transfer_syntax());
    let len = matches!(form, OutgoingForm::AsStored(_)).then_some(row.object_size);
    let bytes = file(app, row, form).await.map_err(|error| Problem::unavailable(&error))?;
    let mut response = body::response(&content_type, Body::from_stream(bytes))?;
    if let Some(len) = len {
        response.headers_mut().insert(header::CONTENT_LENGTH, len.into());
    }
    Ok(response)
}

/// `None` cannot be, but suits the stream that it goes into.
async fn part(app: &App, row: &InstanceRow, form: OutgoingForm) -> io::Result<Option<Part>> {
    let content_type = content_type(form.transfer_syntax());
    let bytes = file(app, row, form).await.map_err(io::Error::other)?;
    Ok(Some(Part { content_type, location: instance_url(app, row), bytes }))
}

fn content_type(transfer_syntax: &TransferSyntax) -> String {
    format!("{DICOM}; transfer-syntax={}", transfer_syntax.uid())
}
