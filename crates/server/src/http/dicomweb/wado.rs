//! WADO-RS: studies, series, instances, their attributes, frames and bulk data [PS3.18 10.4].
//!
//! Status: 200; 206 a range of a single part, or a study of which the client does not take all; 400 a path that cannot be
//! read; 404 there is no such thing; 406 the client takes no form that there is; 416 a range behind the end.

mod attributes;
mod body;
mod bulk_data;
mod frames;
pub(super) mod instances;
mod objects;
mod range;

use std::sync::Arc;

use axum::{Router, routing::get};

use crate::app::App;

pub(super) fn routes() -> Router<Arc<App>> {
    const STUDY: &str = "/studies/{study}";
    const SERIES: &str = "/studies/{study}/series/{series}";
    const INSTANCE: &str = "/studies/{study}/series/{series}/instances/{instance}";
    let mut router = Router::new();
    for place in [STUDY, SERIES, INSTANCE] {
        router = router.route(place, get(objects::retrieve));
        router = router.route(&format!("{place}/metadata"), get(attributes::retrieve));
    }
    router
        .route(&format!("{INSTANCE}/frames/{{frames}}"), get(frames::retrieve))
        .route(&format!("{INSTANCE}/bulkdata/{{*path}}"), get(bulk_data::retrieve))
}
