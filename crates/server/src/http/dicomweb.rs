//! `/dicom-web`: the services of DICOMweb [PS3.18].

mod accept;
mod capabilities;
mod qido;
mod stow;
mod wado;

use std::sync::Arc;

use axum::Router;

pub(super) use capabilities::are_asked as asks_for_capabilities;

use crate::app::App;

/// Where the services lie.
const BASE: &str = "/dicom-web";

pub(super) fn routes() -> Router<Arc<App>> {
    capabilities::routes().nest(BASE, qido::routes().merge(wado::routes()).merge(stow::routes()))
}
