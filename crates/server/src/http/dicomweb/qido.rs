//! QIDO-RS: searches for studies, series and instances [PS3.18 10.6].
//!
//! Status: 200 with what was found; 204 nothing matches; 400 a parameter that cannot be read. A `Warning` says that
//! there is more than the answer holds. Parameters that name no attribute are passed over.

mod parameters;
mod returned;

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
};
use catalog::{Level, Match, Query, Want};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use self::parameters::Parameters;
use crate::{
    app::App,
    http::{
        catalog_api::catalog_problem,
        error::Problem,
        routes::{Answer, Content, Operation, Routes},
    },
};

/// What `Warning` says when there is more [PS3.18 8.3.4.4].
const MORE: &str = "299 precinct \"There are additional results that can be requested\"";

/// What `Warning` says when the search was too long.
const GAVE_UP: &str = "299 precinct \"The search was ended before all was looked at: narrow it down\"";

type Uids<const N: usize> = Result<Path<[String; N]>, PathRejection>;

pub(super) fn routes() -> Routes {
    let (study, series) = ([STUDY_INSTANCE_UID], [STUDY_INSTANCE_UID, SERIES_INSTANCE_UID]);
    Routes::new()
        .get("/studies", |State(app), RawQuery(query)| search(app, Level::Study, Ok(Vec::new()), query), STUDIES)
        .get("/series", |State(app), RawQuery(query)| search(app, Level::Series, Ok(Vec::new()), query), SERIES)
        .get("/instances", |State(app), RawQuery(query)| search(app, Level::Instance, Ok(Vec::new()), query), INSTANCES)
        .get(
            "/studies/{study}/series",
            move |State(app), uids, RawQuery(query)| search(app, Level::Series, within(study, uids), query),
            SERIES,
        )
        .get(
            "/studies/{study}/instances",
            move |State(app), uids, RawQuery(query)| search(app, Level::Instance, within(study, uids), query),
            INSTANCES,
        )
        .get(
            "/studies/{study}/series/{series}/instances",
            move |State(app), uids, RawQuery(query)| search(app, Level::Instance, within(series, uids), query),
            INSTANCES,
        )
}

const STUDIES: Operation = operation("Studies that match the keys in the query, each an attribute by keyword or tag");
const SERIES: Operation = operation("Series that match the keys in the query, each an attribute by keyword or tag");
const INSTANCES: Operation =
    operation("Instances that match the keys in the query, each an attribute by keyword or tag");

const fn operation(summary: &'static str) -> Operation {
    Operation { summary, query: parameters::FIELDS, body: &[], answers: ANSWERS }
}

const ANSWERS: &[Answer] = &[
    Answer::new(200, "what was found", Content::Media(&["application/dicom+json"])),
    Answer::new(204, "nothing matches", Content::Nothing),
    Answer::problem(400, "a parameter cannot be read"),
];

const STUDY_INSTANCE_UID: u32 = 0x0020_000d;
const SERIES_INSTANCE_UID: u32 = 0x0020_000e;

/// The keys that a path says.
fn within<const N: usize>(tags: [u32; N], uids: Uids<N>) -> Result<Vec<Match>, Problem> {
    let Path(uids) = uids.map_err(|_refused| Problem::not_found("no such study or series is stored"))?;
    let key = |(tag, uid)| Match { path: vec![tag], want: Want::OneOf(vec![uid]) };
    Ok(tags.into_iter().zip(uids).map(key).collect())
}

async fn search(
    app: Arc<App>,
    level: Level,
    within: Result<Vec<Match>, Problem>,
    query: Option<String>,
) -> Result<Response, Problem> {
    let mut matches = within?;
    let is_within = (!matches.is_empty(), matches.len() > 1);
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default())?;
    matches.extend(parameters.matches.iter().cloned());
    let asked = Query { level, matches, words: None, after: None, offset: parameters.offset, limit: parameters.limit };
    let answers = app.catalog().find(&asked).await.map_err(catalog_problem)?;
    let shape = returned::Shape { level, is_within, parameters: &parameters };
    let items: Vec<_> = answers.found.iter().map(|found| Value::Object(shape.of(&app, found))).collect();
    let mut response = if items.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let body = Value::Array(items).to_string();
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/dicom+json"))], body).into_response()
    };
    if answers.next.is_some() {
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(MORE));
    }
    if answers.gave_up {
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(GAVE_UP));
    }
    Ok(response)
}
