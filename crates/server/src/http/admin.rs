//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse};
use http::{StatusCode, header};

use super::routes::{Answer, Content, Operation, Routes};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().get("/healthz", health, HEALTH).get("/readyz", readiness, READINESS).get("/metrics", metrics, METRICS)
}

const PLAIN: Content = Content::Media(&["text/plain"]);

const HEALTH: Operation = Operation {
    summary: "Whether the process answers at all",
    query: &[],
    body: &[],
    answers: &[Answer::new(200, "it does", PLAIN)],
};

const READINESS: Operation = Operation {
    summary: "Whether requests can be served",
    query: &[],
    body: &[],
    answers: &[
        Answer::new(200, "they can; the words say whether anything is taken in", PLAIN),
        Answer::new(503, "the server drains, or the catalog does not answer", PLAIN),
    ],
};

const METRICS: Operation = Operation {
    summary: "Counters in the Prometheus text format",
    query: &[],
    body: &[],
    answers: &[Answer::new(200, "the counters", PLAIN)],
};

/// `GET /healthz`: 200 while the process answers at all.
async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 while requests can be served; 503 while the server drains or the catalog does not answer.
async fn readiness(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n");
    }
    if app.catalog().ping().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the catalog does not answer\n");
    }
    if !app.storage().takes_objects() || !app.catalog().takes_changes() {
        return (StatusCode::OK, "ready to serve; nothing is taken in until a restart, see the log\n");
    }
    (StatusCode::OK, "ready\n")
}

/// `GET /metrics`: counters and gauges in the Prometheus text format.
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    // What the catalog does not say now stays as it was said last.
    if let Ok(counts) = app.catalog().counts().await {
        app.metrics().jobs.set(counts.jobs as f64);
        app.metrics().jobs_failed.set(counts.failed_jobs as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics().render())
}
