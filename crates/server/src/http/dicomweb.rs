//! `/dicom-web`: the services of DICOMweb [PS3.18].

mod accept;
mod stow;
mod wado;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Where the services lie.
const BASE: &str = "/dicom-web";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().nest(BASE, wado::routes().merge(stow::routes()))
}
