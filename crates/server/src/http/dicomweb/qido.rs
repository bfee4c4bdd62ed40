//! QIDO-RS: searches for studies, series and instances [PS3.18 10.6].
//!
//! Status: 200 with what was found; 204 nothing matches; 400 a parameter that cannot be read; 406 the client takes
//! neither JSON nor XML. A `Warning` says that
//! there is more than the answer holds. Parameters that name no attribute are passed over.

mod parameters;
mod returned;

use std::{io, sync::Arc};

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use catalog::{Level, Match, Query, Want};
use dicom_bridge::model::{ModelForm, write_xml_of_json};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use self::parameters::Parameters;
use super::{
    accept::{Accepted, JSON, XML},
    body::{self, Part},
    capabilities::ATTRIBUTES,
};
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
        .get(
            "/studies",
            |State(app), RawQuery(query), headers| search(app, Level::Study, Ok(Vec::new()), (query, headers)),
            STUDIES,
        )
        .get(
            "/series",
            |State(app), RawQuery(query), headers| search(app, Level::Series, Ok(Vec::new()), (query, headers)),
            SERIES,
        )
        .get(
            "/instances",
            |State(app), RawQuery(query), headers| search(app, Level::Instance, Ok(Vec::new()), (query, headers)),
            INSTANCES,
        )
        .get(
            "/studies/{study}/series",
            move |State(app), uids, RawQuery(query), headers| {
                search(app, Level::Series, within(study, uids), (query, headers))
            },
            SERIES,
        )
        .get(
            "/studies/{study}/instances",
            move |State(app), uids, RawQuery(query), headers| {
                search(app, Level::Instance, within(study, uids), (query, headers))
            },
            INSTANCES,
        )
        .get(
            "/studies/{study}/series/{series}/instances",
            move |State(app), uids, RawQuery(query), headers| {
                search(app, Level::Instance, within(series, uids), (query, headers))
            },
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
    Answer::new(200, "what was found", Content::Media(ATTRIBUTES)),
    Answer::new(204, "nothing matches", Content::Nothing),
    Answer::problem(400, "a parameter cannot be read"),
    Answer::problem(406, "the client takes no form that there is"),
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
    (query, headers): (Option<String>, HeaderMap),
) -> Result<Response, Problem> {
    let mut matches = within?;
    let form = Accepted::of(&headers, query.as_deref()).model_form()?;
    let is_within = (!matches.is_empty(), matches.len() > 1);
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default())?;
    matches.extend(parameters.matches.iter().cloned());
    let asked = Query { level, matches, words: None, after: None, offset: parameters.offset, limit: parameters.limit };
    let answers = app.catalog().find(&asked).await.map_err(catalog_problem)?;
    let shape = returned::Shape { level, is_within, parameters: &parameters };
    let items = answers.found.iter().map(|found| shape.of(&app, found));
    let mut response = match form {
        _ if answers.found.is_empty() => StatusCode::NO_CONTENT.into_response(),
        ModelForm::Json => body::response(JSON, Value::Array(items.map(Value::Object).collect()).to_string().into())?,
        ModelForm::Xml => body::multipart(XML, stream::iter(items.map(part).collect::<Vec<_>>()).boxed())?,
    };
    if answers.next.is_some() {
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(MORE));
    }
    if answers.gave_up {
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(GAVE_UP));
    }
    Ok(response)
}

/// One answer as a part of its own.
fn part(attributes: Map<String, Value>) -> io::Result<Part> {
    let mut document = Vec::new();
    write_xml_of_json(&attributes, &mut document)?;
    let location = attributes.get("00081190").and_then(|url| url["Value"][0].as_str()).unwrap_or_default().to_owned();
    let bytes = stream::iter([Ok(Bytes::from(document))]).boxed();
    Ok(Part { content_type: XML.to_owned(), location, bytes })
}
