//! `/api/v1/import`: one object as the body of a POST, streamed to the store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use catalog::CatalogError;
use codestream::Family;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::{error::Problem, query};
use crate::{
    app::App,
    config::VirtualPrecincts,
    ingest::{Announced, IngestError, Ingested, NameError, Outcome},
    storage::StorageError,
};

/// A sender that is silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Slower than this on average, counted from [`SILENCE`] on, is not a transfer but a hold on a connection.
const BYTES_PER_SECOND: u64 = 1024;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/import", post(import))
}

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
    let mut fields = query::fields(request.uri().query(), &["name"])?;
    let name = fields.remove("name");
    let limit = app.settings().max_import_bytes;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(too_large(limit));
    }
    if app.is_draining() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
    }
    let mut temp = app.storage().new_temp(limit).map_err(storage_problem)?;
    let mut body = request.into_body();
    let (begun, mut received) = (Instant::now(), 0u64);
    loop {
        let Ok(frame) = tokio::time::timeout(SILENCE, body.frame()).await else {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stopped coming"));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_broken| Problem::bad_request("the body ended too early"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        received += bytes.len() as u64;
        temp.write_all(&bytes).await.map_err(storage_problem)?;
        let due = begun.elapsed().saturating_sub(SILENCE).as_secs().saturating_mul(BYTES_PER_SECOND);
        if received < due {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly"));
        }
    }
    let serving = Arc::clone(app);
    let taken = app.ingest().ingest_then(temp, Announced::Name(name), move || serving.serving().forget_targets());
    let ingested = taken.await.map_err(ingest_problem)?;
    Ok(answer(&ingested, app.settings().virtual_precincts))
}

fn answer(ingested: &Ingested, layout: VirtualPrecincts) -> Response {
    let (status, outcome) = match ingested.outcome {
        Outcome::Inserted => (StatusCode::CREATED, "inserted"),
        Outcome::Replaced => (StatusCode::CREATED, "replaced"),
        Outcome::Duplicate => (StatusCode::OK, "duplicate"),
        Outcome::Conflict => {
            let words = "another object with this SOP Instance UID is stored, and was kept";
            return Problem::new(StatusCode::CONFLICT, words).into_response();
        }
    };
    let body = json!({
        "outcome": outcome,
        "target": ingested.target,
        "tid": ingested.tid.as_deref().map(|tid| layout.tid(tid)),
        "sop_instance_uid": ingested.sop_instance_uid,
    });
    (status, Json(body)).into_response()
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
