//! `/dicom-web`: the services of DICOMweb [PS3.18].

mod qido;

use super::routes::Routes;

/// Where the services lie.
const BASE: &str = "/dicom-web";

pub(super) fn routes() -> Routes {
    Routes::new().nest(BASE, qido::routes())
}
