//! `/api/v1/jobs`: work that is due, under way, or came to nothing.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
};
use catalog::{JobRow, JobState};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    catalog_api::{CURSOR, LIMIT, catalog_problem, page_of, paging},
    error::Problem,
    query,
    routes::{Answer, Content, Field, Kind, Operation, Routes, Shape},
};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/jobs", jobs, JOBS).post("/api/v1/jobs/{id}/retry", retry, RETRY)
}

const JOBS: Operation = Operation {
    summary: "Work that is due, under way, or came to nothing, in the order in which it was queued",
    query: &[Field::new("state", "queued, running or failed"), LIMIT, CURSOR],
    body: &[],
    answers: &[
        Answer::new(200, "a page of jobs", Content::PageOf(&JOB)),
        Answer::problem(400, "anything else in the query"),
    ],
};

const RETRY: Operation = Operation {
    summary: "Queues a job again that has failed",
    query: &[],
    body: &[],
    answers: &[Answer::new(202, "it is queued", Content::Nothing), Answer::problem(404, "no such job has failed")],
};

const JOB: Shape = Shape {
    name: "Job",
    members: &[
        ("id", Kind::Number),
        ("kind", Kind::Text),
        ("state", Kind::Text),
        ("target", Kind::Text),
        ("attempts", Kind::Number),
        ("object_bytes", Kind::Number),
        ("reason", Kind::Text),
    ],
};

/// `GET /api/v1/jobs?state=&limit=&cursor=`: 200 a page of jobs in the order in which they were queued; 400 for anything
/// else in the query.
async fn jobs(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Json<Value>, Problem> {
    let mut fields = query::fields(text.as_deref(), JOBS.query)?;
    let (limit, cursor) = paging(&mut fields)?;
    let state = fields.remove("state").map(|word| {
        let known = [JobState::Queued, JobState::Running, JobState::Failed];
        let state = known.into_iter().find(|state| state.as_str() == word);
        state.ok_or_else(|| Problem::bad_request("state is queued, running or failed"))
    });
    let page = app.catalog().list_jobs(state.transpose()?, limit, cursor.as_deref()).await.map_err(catalog_problem)?;
    Ok(page_of(page, item))
}

/// `POST /api/v1/jobs/{id}/retry`: 202 the job is queued again; 404 if no such job has failed.
async fn retry(State(app): State<Arc<App>>, id: Result<Path<i64>, PathRejection>) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found("no such job has failed");
    // Refused is what is no number: nothing has such a name.
    let Path(id) = id.map_err(|_refused| unknown())?;
    if !app.catalog().retry_job(id).await.map_err(catalog_problem)? {
        return Err(unknown());
    }
    app.worker().wake();
    Ok(StatusCode::ACCEPTED)
}

fn item(row: &JobRow) -> Value {
    json!({
        "id": row.id,
        "kind": row.kind.as_str(),
        "state": row.state.as_str(),
        "target": row.target,
        "attempts": row.attempts,
        "object_bytes": row.object_size,
        "reason": row.reason,
    })
}
