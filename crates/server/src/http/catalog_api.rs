//! `/api/v1/targets` and `/api/v1/instances`: what is stored, page by page, and the stored bytes of an instance.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
};
use catalog::{CatalogError, InstanceFilter, InstanceRow, Page, TargetKind, TargetRow};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    error::Problem,
    query,
    routes::{Answer, Content, Field, Kind, Operation, Routes, Shape},
};
use crate::{
    app::App,
    serving::series::{SERIES, Series, Summary},
    storage::StorageError,
};

/// Rows of a page if the request does not say, and at most.
const USUAL_LIMIT: u32 = 100;
const MOST: u32 = 1000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/targets", targets, TARGETS)
        .get("/api/v1/instances", instances, INSTANCES)
        .get("/api/v1/instances/{uid}", instance, INSTANCE)
        .get("/api/v1/instances/{uid}/file", instance_file, FILE)
}

pub(super) const LIMIT: Field = Field::new("limit", "items at most: 1 to 1000, 100 if it is not said");
pub(super) const CURSOR: Field = Field::new("cursor", "`next` of the page before");

const TARGETS: Operation = Operation {
    summary: "What JPIP can be asked for, in order of arrival",
    query: &[Field::new("kind", "instance, file or series; instances and files if it is not said"), LIMIT, CURSOR],
    body: &[],
    answers: &[
        Answer::new(200, "a page of targets", Content::PageOf(&TARGET)),
        Answer::problem(400, "anything else in the query"),
    ],
};

const INSTANCES: Operation = Operation {
    summary: "DICOM instances in order of arrival",
    query: &[
        Field::new("StudyInstanceUID", "only those of this study"),
        Field::new("SeriesInstanceUID", "only those of this series"),
        Field::new("SOPInstanceUID", "only this one"),
        Field::new("Modality", "only those of this modality"),
        Field::new("PatientID", "only those of this patient"),
        LIMIT,
        CURSOR,
    ],
    body: &[],
    answers: &[
        Answer::new(200, "a page of instances", Content::PageOf(&ONE_INSTANCE)),
        Answer::problem(400, "anything else in the query"),
    ],
};

const INSTANCE: Operation = Operation {
    summary: "One DICOM instance",
    query: &[],
    body: &[],
    answers: &[
        Answer::new(200, "the instance", Content::Item(&ONE_INSTANCE)),
        Answer::problem(404, "there is no such instance"),
    ],
};

const FILE: Operation = Operation {
    summary: "The bytes of an instance as they are stored",
    query: &[],
    body: &[],
    answers: &[
        Answer::new(200, "the bytes", Content::Media(&["application/dicom"])),
        Answer::problem(404, "there is no such instance"),
    ],
};

const TARGET: Shape = Shape {
    name: "Target",
    members: &[
        ("target", Kind::Text),
        ("kind", Kind::Text),
        ("sop_instance_uid", Kind::Text),
        ("media_type", Kind::Text),
        ("width", Kind::Number),
        ("height", Kind::Number),
        ("codestreams", Kind::Number),
        ("jpip_url", Kind::Text),
        ("tid", Kind::Text),
        ("state", Kind::Text),
        ("reason", Kind::Text),
    ],
};

const ONE_INSTANCE: Shape = Shape {
    name: "Instance",
    members: &[
        ("sop_instance_uid", Kind::Text),
        ("series_instance_uid", Kind::Text),
        ("study_instance_uid", Kind::Text),
        ("sop_class_uid", Kind::Text),
        ("transfer_syntax_uid", Kind::Text),
        ("modality", Kind::Text),
        ("rows", Kind::Number),
        ("columns", Kind::Number),
        ("number_of_frames", Kind::Number),
        ("jpip_url", Kind::Text),
        ("tid", Kind::Text),
        ("state", Kind::Text),
        ("reason", Kind::Text),
    ],
};

/// `GET /api/v1/targets?kind=&limit=&cursor=`: 200 a page of targets (of instances and files, unless `kind` is `series`); 400 for anything else in the query.
async fn targets(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Json<Value>, Problem> {
    let mut fields = query::fields(text.as_deref(), TARGETS.query)?;
    let (limit, cursor) = paging(&mut fields)?;
    let kind = match fields.remove("kind") {
        Some(word) => {
            let kind = TargetKind::parse(&word);
            Some(kind.ok_or_else(|| Problem::bad_request("kind is instance, file or series"))?)
        }
        None => None,
    };
    if kind == Some(TargetKind::Series) {
        return series(&app, limit, cursor.as_deref()).await;
    }
    let page = app.catalog().list_targets(kind, limit, cursor.as_deref()).await.map_err(catalog_problem)?;
    Ok(page_of(page, |row| target_item(&app, row)))
}

/// A page of the series that there are. Each is put together from its instances, so none of it is stored.
async fn series(app: &App, limit: u32, cursor: Option<&str>) -> Result<Json<Value>, Problem> {
    let page = Series::list(app.catalog(), limit, cursor).await.map_err(catalog_problem)?;
    Ok(page_of(page, |(uid, summary)| series_item(app, uid, summary)))
}

/// `GET /api/v1/instances?StudyInstanceUID=&…&limit=&cursor=`: 200 a page of instances in order of arrival; 400 for
/// anything else in the query.
async fn instances(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Json<Value>, Problem> {
    let mut fields = query::fields(text.as_deref(), INSTANCES.query)?;
    let (limit, cursor) = paging(&mut fields)?;
    let filter = InstanceFilter {
        study_instance_uid: fields.remove("StudyInstanceUID"),
        series_instance_uid: fields.remove("SeriesInstanceUID"),
        sop_instance_uid: fields.remove("SOPInstanceUID"),
        modality: fields.remove("Modality"),
        patient_id: fields.remove("PatientID"),
    };
    let page = app.catalog().list_instances(&filter, limit, cursor.as_deref()).await.map_err(catalog_problem)?;
    Ok(page_of(page, |row| instance_item(&app, row)))
}

/// `GET /api/v1/instances/{uid}`: 200 one instance, 404.
async fn instance(
    State(app): State<Arc<App>>,
    uid: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(instance_item(&app, &stored_instance(&app, uid).await?)))
}

/// `GET /api/v1/instances/{uid}/file`: 200 the stored bytes as `application/dicom`, 404.
async fn instance_file(
    State(app): State<Arc<App>>,
    uid: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let row = stored_instance(&app, uid).await?;
    let (len, stream) = app.storage().stream_object(&row.object_key).await.map_err(|error| match error {
        StorageError::Missing => Problem::internal(&"a catalogued object is not in the store"),
        other => Problem::unavailable(&other),
    })?;
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/dicom"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

pub(super) async fn stored_instance(
    app: &App,
    uid: Result<Path<String>, PathRejection>,
) -> Result<InstanceRow, Problem> {
    let unknown = || Problem::not_found("no such instance is stored");
    // Refused is what is not UTF-8: nothing has such a name.
    let Path(uid) = uid.map_err(|_refused| unknown())?;
    app.catalog().instance(&uid).await.map_err(catalog_problem)?.ok_or_else(unknown)
}

pub(super) fn paging(fields: &mut HashMap<&'static str, String>) -> Result<(u32, Option<String>), Problem> {
    let limit = match fields.remove("limit") {
        None => USUAL_LIMIT,
        Some(text) => {
            let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
            number.ok_or_else(|| Problem::bad_request("limit is a number from 1 to 1000"))?
        }
    };
    Ok((limit, fields.remove("cursor")))
}

pub(super) fn page_of<T>(page: Page<T>, item: impl Fn(&T) -> Value) -> Json<Value> {
    Json(json!({ "items": page.items.iter().map(item).collect::<Vec<_>>(), "next": page.next }))
}

/// One target as the listing shows it.
fn target_item(app: &App, row: &TargetRow) -> Value {
    let index = row.index.as_ref();
    json!({
        "target": row.target,
        "kind": row.kind.as_str(),
        "sop_instance_uid": row.sop_instance_uid,
        "media_type": row.media_type,
        "width": index.map(|index| index.width),
        "height": index.map(|index| index.height),
        "codestreams": index.map(|index| index.codestreams),
        "jpip_url": app.jpip_url(&row.target),
        "tid": index.map(|index| app.settings().virtual_precincts.tid(&index.tid)),
        "state": row.state.as_str(),
        "reason": row.reason,
    })
}

/// One series as the listing shows it.
fn series_item(app: &App, uid: &str, summary: &Summary) -> Value {
    let target = format!("{SERIES}{uid}");
    json!({
        "target": target,
        "kind": TargetKind::Series.as_str(),
        "sop_instance_uid": null,
        "media_type": summary.media_type,
        "width": summary.size.map(|size| size.0),
        "height": summary.size.map(|size| size.1),
        "codestreams": summary.codestreams,
        "jpip_url": app.jpip_url(&target),
        "tid": summary.tid.as_deref().map(|tid| app.settings().virtual_precincts.tid(tid)),
        "state": summary.state.as_str(),
        "reason": summary.reason,
    })
}

fn instance_item(app: &App, row: &InstanceRow) -> Value {
    json!({
        "sop_instance_uid": row.sop_instance_uid,
        "series_instance_uid": row.series_instance_uid,
        "study_instance_uid": row.study_instance_uid,
        "sop_class_uid": row.sop_class_uid,
        "transfer_syntax_uid": row.transfer_syntax_uid,
        "modality": row.modality,
        "rows": row.rows,
        "columns": row.columns,
        "number_of_frames": row.number_of_frames,
        "jpip_url": app.jpip_url(&row.sop_instance_uid),
        "tid": row.tid.as_deref().map(|tid| app.settings().virtual_precincts.tid(tid)),
        "state": row.state.as_str(),
        "reason": row.reason,
    })
}

pub(super) fn catalog_problem(error: CatalogError) -> Problem {
    match error {
        CatalogError::BadCursor => Problem::bad_request("cursor is not one that was handed out"),
        CatalogError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no space left"),
        other => Problem::unavailable(&other),
    }
}
