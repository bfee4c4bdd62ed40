//! `/jpip`.

use std::sync::Arc;

use axum::{body::Body, response::IntoResponse as _};
use http::{Request, Response};
use hyper::body::Incoming;

use super::{delivery::Peer, error::JpipRefusal};
use crate::app::App;

/// Answers one JPIP request; `name` is the path below `/jpip/`.
pub(super) async fn answer(
    _app: &Arc<App>,
    _peer: &Arc<Peer>,
    _name: &str,
    _request: Request<Incoming>,
) -> Response<Body> {
    JpipRefusal::no_such_channel().into_response()
}
