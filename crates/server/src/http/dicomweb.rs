//! `/dicom-web`: the services of DICOMweb [PS3.18].

mod accept;
mod body;
mod capabilities;
mod qido;
mod stow;
mod wado;

pub(super) use capabilities::are_asked as asks_for_capabilities;

use super::routes::Routes;

/// Where the services lie.
const BASE: &str = "/dicom-web";

pub(super) fn routes() -> Routes {
    capabilities::routes().nest(BASE, qido::routes().merge(wado::routes()).merge(stow::routes()))
}
