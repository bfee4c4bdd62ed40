//! `/dicom-web`: the services of DICOMweb [PS3.18].

mod qido;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Where the services lie.
const BASE: &str = "/dicom-web";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().nest(BASE, qido::routes())
}
