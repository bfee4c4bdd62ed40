//! Values that the attributes only name [PS3.18 10.4.1.1.5]; compressed pixel data come frame by frame.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use dicom_bridge::{
    ScanLimits,
    model::{BulkData, BulkDataPath, find_bulk_data},
};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode};

use super::{
    frames::{OCTET_STREAM, ranges, retrieve_all, single},
    instances::{Places, find_one, instance_url, read},
};
use crate::{
    app::App,
    http::{
        dicomweb::{
            accept::Accepted,
            body::{self, Bytestream, Part},
        },
        error::Problem,
    },
    storage::StoredFile,
};

/// `GET …/instances/{instance}/bulkdata/{path}`: the value in little-endian order, single (of which a range may be asked
/// for) or as the only part of several.
pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    places: Places,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let places = read(places)?;
    let unknown = || Problem::not_found("the object has no such value");
    let path = BulkDataPath::parse(places.get("path").map_or("", String::as_str)).ok_or_else(unknown)?;
    let row = find_one(&app, &places).await?;
    let accepted = Accepted::of(&headers, query.as_deref());
    let (storage, key, wanted) = (app.storage().clone(), row.object_key, path.clone());
    let work = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let file = storage.open_object(&key)?;
        let found = find_bulk_data(&*file, &ScanLimits::default(), &wanted)?;
        Ok((file, found))
    });
    let found = work.await.map_err(|error| Problem::internal(&error))?;
    let (file, found) = found.map_err(|error| Problem::unavailable(&error))?;
    let found = found.ok_or_else(unknown)?;
    if path == BulkDataPath::PIXEL_DATA && matches!(found, BulkData::Fragments(_)) {
        return retrieve_all(&app, &row, &accepted).await;
    }
    let is_multipart = accepted.choose(|offer| offer.media_type.covers(OCTET_STREAM).then_some(offer.is_multipart));
    let is_multipart = is_multipart
        .ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, "the value is application/octet-stream"))?;
    let extents = match &found {
        BulkData::Value(value) => value.extent(&(0..value.len())).map(|extent| vec![extent]),
        BulkData::Fragments(extents) => Some(extents.clone()),
    };
    if let Some(extents) = extents.filter(|_| !is_multipart) {
        return single(&headers, OCTET_STREAM, &format!("\"{key}-{path}\""), &file, &extents);
    }
    let bytes = bytes_of(file, &found);
    if !is_multipart {
        return body::response(OCTET_STREAM, Body::from_stream(bytes));
    }
    let location = format!("{}/bulkdata/{path}", instance_url(&app, &row));
    let part = Part { content_type: OCTET_STREAM.to_owned(), location, bytes };
    body::multipart(OCTET_STREAM, stream::iter([Ok(part)]).boxed())
}

fn bytes_of(file: Arc<StoredFile>, found: &BulkData) -> Bytestream {
    let extents = match found {
        BulkData::Fragments(extents) => extents.clone(),
        BulkData::Value(value) => match value.extent(&(0..value.len())) {
            Some(extent) => vec![extent],
            None => {
                let value = value.clone();
                return body::written(move |out| {
                    let whole = 0..value.len();
                    value.copy(&*file, &ScanLimits::default(), &whole, &mut |piece| out.write_all(piece))
                });
            }
        },
    };
    file.stream(ranges(&extents, &(0..u64::MAX)))
}
