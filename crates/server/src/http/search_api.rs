//! `/api/v1/studies` and `/api/v1/series`: studies by words, and their series, page by page.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use catalog::{Found, Level, Match, Search, Want};
use serde_json::{Map, Value, json};

use super::{
    catalog_api::{CURSOR, LIMIT, catalog_problem, page_of, paging},
    error::Problem,
    query,
    routes::{Answer, Content, Field, Kind, Operation, Routes, Shape},
};
use crate::{app::App, serving::series::SERIES};

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/studies", studies, STUDIES).get("/api/v1/series", series, SERIES_OF)
}

const STUDIES: Operation = Operation {
    summary: "Studies in order of arrival",
    query: &[
        Field::new(
            "q",
            "words that each begin one of the patient's name or ID, accession number, Study ID or description",
        ),
        LIMIT,
        CURSOR,
    ],
    body: &[],
    answers: &[
        Answer::new(200, "a page of studies", Content::PageOf(&STUDY)),
        Answer::problem(400, "anything else in the query"),
    ],
};

const SERIES_OF: Operation = Operation {
    summary: "Series in order of arrival",
    query: &[Field::new("StudyInstanceUID", "only those of this study"), LIMIT, CURSOR],
    body: &[],
    answers: &[
        Answer::new(200, "a page of series", Content::PageOf(&ONE_SERIES)),
        Answer::problem(400, "anything else in the query"),
    ],
};

const STUDY: Shape = Shape {
    name: "Study",
    members: &[
        ("study_instance_uid", Kind::Text),
        ("patient_name", Kind::Text),
        ("patient_id", Kind::Text),
        ("study_date", Kind::Text),
        ("accession_number", Kind::Text),
        ("description", Kind::Text),
        ("modalities", Kind::Texts),
        ("series", Kind::Number),
        ("instances", Kind::Number),
    ],
};

const ONE_SERIES: Shape = Shape {
    name: "Series",
    members: &[
        ("series_instance_uid", Kind::Text),
        ("study_instance_uid", Kind::Text),
        ("modality", Kind::Text),
        ("series_number", Kind::Text),
        ("description", Kind::Text),
        ("instances", Kind::Number),
        ("target", Kind::Text),
        ("jpip_url", Kind::Text),
    ],
};

/// `GET /api/v1/studies?q=&limit=&cursor=`: 200 a page of studies in order of arrival, of those with a word for each of
/// `q`; 400 for anything else in the query.
async fn studies(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Json<Value>, Problem> {
    let mut fields = query::fields(text.as_deref(), STUDIES.query)?;
    let (limit, cursor) = paging(&mut fields)?;
    let search = Search { level: Level::Study, matches: Vec::new(), words: fields.remove("q") };
    let page = app.catalog().search(search, limit, cursor.as_deref()).await.map_err(catalog_problem)?;
    Ok(page_of(page, study_item))
}

/// `GET /api/v1/series?StudyInstanceUID=&limit=&cursor=`: 200 a page of series in order of arrival; 400 for anything else
/// in the query.
async fn series(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Json<Value>, Problem> {
    let mut fields = query::fields(text.as_deref(), SERIES_OF.query)?;
    let (limit, cursor) = paging(&mut fields)?;
    let study = fields.remove("StudyInstanceUID");
    let of_study = study.map(|uid| Match { path: vec![0x0020_000d], want: Want::OneOf(vec![uid]) });
    let search = Search { level: Level::Series, matches: of_study.into_iter().collect(), words: None };
    let page = app.catalog().search(search, limit, cursor.as_deref()).await.map_err(catalog_problem)?;
    Ok(page_of(page, |found| series_item(&app, found)))
}

fn study_item(found: &Found) -> Value {
    let kept = found.attributes.of(|tag| SHOWN.contains(&tag));
    let first = |tag| first(&kept, tag);
    json!({
        "study_instance_uid": first("0020000D"),
        "patient_name": first("00100010"),
        "patient_id": first("00100020"),
        "study_date": first("00080020"),
        "accession_number": first("00080050"),
        "description": first("00081030"),
        "modalities": found.study.as_ref().map(|study| &study.modalities),
        "series": found.study.as_ref().map(|study| study.series),
        "instances": found.study.as_ref().map(|study| study.instances),
    })
}

fn series_item(app: &App, found: &Found) -> Value {
    let kept = found.attributes.of(|tag| SHOWN.contains(&tag));
    let first = |tag| first(&kept, tag);
    let target = first("0020000E").map(|uid| format!("{SERIES}{uid}"));
    json!({
        "series_instance_uid": first("0020000E"),
        "study_instance_uid": first("0020000D"),
        "modality": first("00080060"),
        "series_number": first("00200011"),
        "description": first("0008103E"),
        "instances": found.series.as_ref().map(|series| series.instances),
        "target": target,
        "jpip_url": target.as_deref().map(|target| app.jpip_url(target)),
    })
}

/// The attributes that are shown of studies and series.
const SHOWN: [&str; 10] = [
    "00080020", "00080050", "00080060", "0008103E", "00081030", "00100010", "00100020", "0020000D", "0020000E",
    "00200011",
];

/// The first value of an attribute; `None` if it is absent or empty.
fn first<'k>(kept: &'k Map<String, Value>, tag: &str) -> Option<&'k str> {
    let values = kept.get(tag)?.get("Value")?.as_array()?;
    values.first()?.as_str().filter(|value| !value.is_empty())
}
