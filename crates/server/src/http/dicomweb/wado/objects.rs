//! Whole objects [PS3.18 10.4.1.1.1]: streamed as they lie, or written anew where their encoding is not the client's.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use catalog::InstanceRow;
use dicom_bridge::{
    ScanLimits, TransferSyntax,
    explicit_little::{EXPLICIT_LITTLE, write_explicit_little},
};
use futures_util::stream::StreamExt as _;
use http::{HeaderMap, StatusCode, header};

use super::{
    body::{self, Bytestream, Part},
    instances::{Instances, Places, instance_url, read},
};
use crate::{
    app::App,
    http::{
        dicomweb::accept::{Accepted, Offer, OutgoingForm},
        error::Problem,
    },
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
    let usable = |offer: &&Offer| {
        let form = |row: &InstanceRow| outgoing(row, std::slice::from_ref(*offer)).is_some();
        if offer.is_multipart { found.first.iter().any(form) } else { found.only().is_some_and(form) }
    };
    let chosen = offers.iter().find(usable).cloned();
    let chosen = chosen.ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE))?;
    if let Some(only) = found.only().filter(|_| !chosen.is_multipart) {
        return single(&app, only, &chosen).await;
    }
    let offers: Vec<Offer> = offers.into_iter().filter(|offer| offer.is_multipart).collect();
    let is_partial = found.first.iter().any(|row| outgoing(row, &offers).is_none());
    let parts = found.stream().filter_map(move |row| {
        let (app, offers) = (Arc::clone(&app), offers.clone());
        async move {
            match row {
                Ok(row) => part(&app, &row, outgoing(&row, &offers)?).await.transpose(),
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

/// How an object goes to who makes these offers: the form, and its transfer syntax.
fn outgoing(row: &InstanceRow, offers: &[Offer]) -> Option<(OutgoingForm, String)> {
    let stored = TransferSyntax::from_uid(&row.transfer_syntax_uid);
    let form = offers.iter().find_map(|offer| OutgoingForm::of(&stored, &offer.transfer))?;
    let syntax = match form {
        OutgoingForm::AsStored => row.transfer_syntax_uid.clone(),
        OutgoingForm::ExplicitLittle => EXPLICIT_LITTLE.to_owned(),
    };
    Some((form, syntax))
}

async fn single(app: &Arc<App>, row: &InstanceRow, offer: &Offer) -> Result<Response, Problem> {
    let Some((form, syntax)) = outgoing(row, std::slice::from_ref(offer)) else {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE));
    };
    let bytes = bytes_of(app, row, form).await.map_err(|error| Problem::unavailable(&error))?;
    let mut response = body::response(&content_type(&syntax), Body::from_stream(bytes))?;
    if form == OutgoingForm::AsStored {
        response.headers_mut().insert(header::CONTENT_LENGTH, row.object_size.into());
    }
    Ok(response)
}

/// `None` cannot be, but suits the stream that it goes into.
async fn part(app: &Arc<App>, row: &InstanceRow, (form, syntax): (OutgoingForm, String)) -> io::Result<Option<Part>> {
    let bytes = bytes_of(app, row, form).await?;
    Ok(Some(Part { content_type: content_type(&syntax), location: instance_url(app, row), bytes }))
}

fn content_type(syntax: &str) -> String {
    format!("{DICOM}; transfer-syntax={syntax}")
}

async fn bytes_of(app: &Arc<App>, row: &InstanceRow, form: OutgoingForm) -> io::Result<Bytestream> {
    if form == OutgoingForm::AsStored {
        let (_len, stream) = app.storage().stream_object(&row.object_key).await.map_err(io::Error::other)?;
        return Ok(stream.map(|bytes| bytes.map_err(io::Error::other)).boxed());
    }
    let (storage, key) = (app.storage().clone(), row.object_key);
    let (class, instance) = (row.sop_class_uid.clone(), row.sop_instance_uid.clone());
    Ok(body::written(move |out| -> anyhow::Result<()> {
        let object = storage.open_object(&key)?;
        Ok(write_explicit_little(&*object, &ScanLimits::default(), &class, &instance, out)?)
    }))
}
