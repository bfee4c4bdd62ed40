//! `/api/v1/import`: one object as the body of a POST, streamed to the store.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use catalog::CatalogError;
use codestream::Family;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};

use super::{
    error::Problem,
    intake::Intake,
    query,
    routes::{Answer, Content, Field, Kind, Operation, Routes, Shape},
};
use crate::{
    app::App,
    ingest::{Announced, IngestError, NameError, Outcome},
    storage::{StorageError, TempObject},
};

/// Bytes of a body that tell what it is: a DICOM file says so after its preamble.
const FIRST_BYTES: usize = 132;

pub(super) fn routes() -> Routes {
    Routes::new().post("/api/v1/import", import, IMPORT)
}

const IMPORT: Operation = Operation {
    summary: "Takes one DICOM object or JPEG 2000 file; answered when it is durable",
    query: &[Field::new("name", "what an image file is called; not used for a DICOM object")],
    body: &["application/dicom", "image/jp2", "image/jpx", "image/jph", "image/j2c", "application/octet-stream"],
    answers: &[
        Answer::new(200, "the same object is stored already", Content::Item(&IMPORTED)),
        Answer::new(201, "it was taken", Content::Item(&IMPORTED)),
        Answer::problem(400, "anything else in the query, no name for an image, or a body that ends too early"),
        Answer::problem(408, "the body stopped coming, or comes too slowly"),
        Answer::problem(409, "another object has this SOP Instance UID, and was kept"),
        Answer::problem(413, "it is too large"),
        Answer::problem(422, "it is no object that can be kept"),
        Answer::problem(503, "the server drains, or the catalog or the store does not answer"),
        Answer::problem(507, "there is no room"),
    ],
};

const IMPORTED: Shape = Shape {
    name: "Imported",
    members: &[("outcome", Kind::Text), ("target", Kind::Text), ("tid", Kind::Text), ("sop_instance_uid", Kind::Text)],
};

/// `POST /api/v1/import?name=NAME`: 201 inserted or replaced, 200 duplicate, 409 another object has that SOP Instance
/// UID, 422 not an object that can be kept, 413 too large, 507 no room; answered when the object is durable.
async fn import(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let taken = take(&app, request).await;
    match &taken {
        Ok(answer) if answer.status().is_success() => app.metrics().imported.increment(1),
        _ => app.metrics().import_refused.increment(1),
    }
    taken
}

async fn take(app: &Arc<App>, request: Request<Body>) -> Result<Response, Problem> {
    let mut fields = query::fields(request.uri().query(), IMPORT.query)?;
    let name = fields.remove("name");
    let (head, body) = request.into_parts();
    let (temp, _first) = receive(app, &head.headers, body).await?;
    let (status, said, _tid) = keep(app, temp, name).await?;
    Ok((status, Json(said)).into_response())
}

/// Receives a body as a temporary file; its first bytes come along.
///
/// # Errors
///
/// 413 too large, 408 too slow, 400 cut off, 507 no room, 503 shutting down.
pub(super) async fn receive(app: &App, headers: &HeaderMap, body: Body) -> Result<(TempObject, Vec<u8>), Problem> {
    let limit = app.settings().max_import_bytes;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(too_large(limit));
    }
    let mut intake = Intake::begin(app, body)?;
    let mut temp = app.storage().new_temp(limit).map_err(storage_problem)?;
    let mut first = Vec::new();
    while let Some(bytes) = intake.next().await? {
        first.extend(bytes.iter().take(FIRST_BYTES.saturating_sub(first.len())));
        temp.write_all(&bytes).await.map_err(storage_problem)?;
    }
    Ok((temp, first))
}

/// Takes a received object in; returns the status, what is said of it, and the target identifier if there is one yet.
///
/// # Errors
///
/// 409, 422, 507, 503 as `POST /api/v1/import` says.
pub(super) async fn keep(
    app: &Arc<App>,
    temp: TempObject,
    name: Option<String>,
) -> Result<(StatusCode, Value, Option<String>), Problem> {
    let serving = Arc::clone(app);
    let taken = app.ingest().ingest_then(temp, Announced::Name(name), move || serving.serving().forget_targets());
    let ingested = taken.await.map_err(ingest_problem)?;
    let (status, outcome) = match ingested.outcome {
        Outcome::Inserted => (StatusCode::CREATED, "inserted"),
        Outcome::Replaced => (StatusCode::CREATED, "replaced"),
        Outcome::Duplicate => (StatusCode::OK, "duplicate"),
        Outcome::Conflict => {
            let words = "another object with this SOP Instance UID is stored, and was kept";
            return Err(Problem::new(StatusCode::CONFLICT, words));
        }
    };
    let tid = ingested.tid.as_deref().map(|tid| app.settings().virtual_precincts.tid(tid));
    let said = json!({
        "outcome": outcome,
        "target": ingested.target,
        "tid": tid,
        "sop_instance_uid": ingested.sop_instance_uid,
    });
    Ok((status, said, tid))
}

fn ingest_problem(error: IngestError) -> Problem {
    if error.is_full() {
        return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no space left");
    }
    match error {
        IngestError::Name(NameError::Missing) => Problem::bad_request("an image file needs a name: ?name=NAME"),
        IngestError::Storage(error) => storage_problem(error),
        // A mistake of ours in reading this object: it would be made again.
        IngestError::Stopped(stopped) if stopped.is_panic() => Problem::internal(&stopped),
        IngestError::Catalog(CatalogError::Busy) => Problem::unavailable(&"the catalog is locked"),
        other if other.family() == Family::Unavailable => Problem::unavailable(&other),
        other => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, other.to_string()),
    }
}

fn storage_problem(error: StorageError) -> Problem {
    match error {
        StorageError::TooLarge { limit } => too_large(limit),
        StorageError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no space left"),
        other => Problem::unavailable(&other),
    }
}

fn too_large(limit: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("larger than the limit of {limit} bytes"))
}
