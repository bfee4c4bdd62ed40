//! WADO-RS: studies, series, instances, their attributes, frames and bulk data [PS3.18 10.4].
//!
//! Status: 200; 206 a range of a single part, or a study of which the client does not take all; 400 a path that cannot be
//! read; 404 there is no such thing; 406 the client takes no form that there is; 416 a range behind the end.

mod attributes;
mod bulk_data;
mod frames;
pub(super) mod instances;
mod objects;
mod range;

use super::capabilities::{ATTRIBUTES, BULK_DATA, DICOM, FRAMES};
use crate::http::routes::{Answer, Content, Operation, Routes};

pub(super) fn routes() -> Routes {
    const STUDY: &str = "/studies/{study}";
    const SERIES: &str = "/studies/{study}/series/{series}";
    const INSTANCE: &str = "/studies/{study}/series/{series}/instances/{instance}";
    let mut routes = Routes::new();
    for place in [STUDY, SERIES, INSTANCE] {
        routes = routes.get(place, objects::retrieve, OBJECTS);
        routes = routes.get(&format!("{place}/metadata"), attributes::retrieve, METADATA);
    }
    routes.get(&format!("{INSTANCE}/frames/{{frames}}"), frames::retrieve, ONE_OR_MORE_FRAMES).get(
        &format!("{INSTANCE}/bulkdata/{{*path}}"),
        bulk_data::retrieve,
        ONE_VALUE,
    )
}

macro_rules! answers {
    ($media_types:expr) => {
        &[
            Answer::new(200, "what was asked for", Content::Media($media_types)),
            Answer::new(206, "a range, or not all of it", Content::Media($media_types)),
            Answer::problem(400, "the path cannot be read"),
            Answer::problem(404, "there is no such thing"),
            Answer::problem(406, "the client takes no form that there is"),
            Answer::problem(416, "the range lies behind the end"),
        ]
    };
}

const OBJECTS: Operation = operation("Objects, as stored or in another transfer syntax", answers!(DICOM));
const METADATA: Operation = operation("Attributes of instances, without bulk data", answers!(ATTRIBUTES));
const ONE_OR_MORE_FRAMES: Operation = operation("Frames, one or a list", answers!(FRAMES));
const ONE_VALUE: Operation = operation("A value that the attributes only name", answers!(BULK_DATA));

const fn operation(summary: &'static str, answers: &'static [Answer]) -> Operation {
    Operation { summary, query: &[], body: &[], answers }
}
