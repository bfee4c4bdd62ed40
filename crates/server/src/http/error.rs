//! The only place that turns what went wrong into a status: problem details [RFC 9457] outside `/jpip`, plain
//! text on `/jpip`. Words come from our own error types; nothing of a request or of a patient is repeated.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use codestream::Family;
use http::{HeaderValue, StatusCode, header};
use jpip::RequestError;
use serde_json::json;

/// An answer that is an error, outside `/jpip`.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Something of ours failed; the details go to the log, once, here.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be served; the log says why")
    }

    /// Our catalog or store does not answer now.
    pub(crate) fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the catalog or the store does not answer");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the catalog or the store does not answer; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Problem> for JpipRefusal {
    fn from(problem: Problem) -> Self {
        let retry_after = (problem.status == StatusCode::SERVICE_UNAVAILABLE).then_some(5);
        Self { retry_after, ..Self::new(problem.status, problem.detail) }
    }
}

/// An answer on `/jpip` that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JpipRefusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    /// Seconds after which it may be worth asking again.
    pub(crate) retry_after: Option<u32>,
    /// The preference set that could not be met, for `JPIP-pref`.
    preference: Option<String>,
}

impl JpipRefusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None, preference: None }
    }

    pub(crate) fn later(reason: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }

    /// A request that the protocol core refuses.
    pub(crate) fn of_request(error: RequestError) -> Self {
        let status = match &error {
            RequestError::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            other => match other.family() {
                Family::Malformed | Family::LimitExceeded => StatusCode::BAD_REQUEST,
                Family::Unsupported => StatusCode::NOT_IMPLEMENTED,
                Family::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        let mut refusal = Self::new(status, error.to_string());
        if let RequestError::RequiredPreference { set } = error {
            refusal.preference = Some(set);
        }
        refusal
    }

    /// Unknown, expired or closed, told apart by nobody [15444-9 D.1].
    pub(crate) fn no_such_channel() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the channel is not known here, or has expired")
    }

    /// Something of ours failed; the details go to the log, once, here.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a JPIP request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be served; the log says why")
    }

    /// Our catalog or store does not answer now.
    pub(crate) fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the catalog or the store does not answer");
        Self::later("the catalog or the store does not answer", 5)
    }
}

impl IntoResponse for JpipRefusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.reason + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(set) = self.preference.and_then(|set| HeaderValue::try_from(set).ok()) {
            headers.insert("jpip-pref", set);
        }
        response
    }
}
