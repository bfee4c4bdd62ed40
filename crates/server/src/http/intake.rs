//! The body of a request as it comes in: nobody may hold a connection with a body that does not come.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;

use super::error::Problem;
use crate::app::App;

/// A sender that is silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Slower than this on average, counted from [`SILENCE`] on, is not a transfer but a hold on a connection.
const BYTES_PER_SECOND: u64 = 1024;

/// A body that is being received.
pub(super) struct Intake {
    body: Body,
    begun: Instant,
    received: u64,
}

impl Intake {
    /// # Errors
    ///
    /// 503 shutting down.
    pub(super) fn begin(app: &App, body: Body) -> Result<Self, Problem> {
        if app.is_draining() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
        }
        Ok(Self { body, begun: Instant::now(), received: 0 })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// 408 too slow, 400 cut off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Ok(frame) = tokio::time::timeout(SILENCE, self.body.frame()).await else {
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stopped coming"));
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_broken| Problem::bad_request("the body ended too early"))?;
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            let due = self.begun.elapsed().saturating_sub(SILENCE).as_secs().saturating_mul(BYTES_PER_SECOND);
            if self.received < due {
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly"));
            }
            return Ok(Some(bytes));
        }
    }
}
