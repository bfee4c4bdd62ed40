//! What is served below `/dicom-web`, for programs [PS3.18 8.9, H]: WADL, or the same in JSON.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Value, json};

use super::{BASE, accept::Accepted};
use crate::{
    app::App,
    http::{
        error::Problem,
        routes::{Answer, Content, Operation, Routes},
    },
};

const WADL: &str = "application/vnd.sun.wadl+xml";
const JSON: &str = "application/json";

pub(super) const DICOM: &[&str] = &["multipart/related; type=\"application/dicom\"", "application/dicom"];
pub(super) const STORED: &[&str] = &[
    "multipart/related; type=\"application/dicom\"",
    "multipart/related; type=\"application/dicom+json\"",
    "application/dicom",
];
pub(super) const ATTRIBUTES: &[&str] = &["application/dicom+json", "multipart/related; type=\"application/dicom+xml\""];
pub(super) const FRAMES: &[&str] = &[
    "multipart/related; type=\"application/octet-stream\"",
    "multipart/related; type=\"image/jp2\"",
    "multipart/related; type=\"image/jphc\"",
    "application/octet-stream",
    "image/jp2",
    "image/jphc",
];
pub(super) const BULK_DATA: &[&str] =
    &["multipart/related; type=\"application/octet-stream\"", "application/octet-stream"];
pub(super) const TOLD: &[&str] = &["application/dicom+json", "application/dicom+xml"];

/// One method of one resource.
struct Capability {
    path: &'static str,
    method: &'static str,
    /// The transaction, as the standard's examples call it.
    id: &'static str,
    /// Media types of the body of a request.
    takes: &'static [&'static str],
    /// Media types of the body of a response.
    gives: &'static [&'static str],
}

const fn capability(
    path: &'static str,
    method: &'static str,
    id: &'static str,
    takes: &'static [&'static str],
    gives: &'static [&'static str],
) -> Capability {
    Capability { path, method, id, takes, gives }
}

#[rustfmt::skip]
const CAPABILITIES: [Capability; 16] = [
    capability("studies", "GET", "SearchForStudies", &[], ATTRIBUTES),
    capability("series", "GET", "SearchForSeries", &[], ATTRIBUTES),
    capability("instances", "GET", "SearchForInstances", &[], ATTRIBUTES),
    capability("studies/{study}/series", "GET", "SearchForStudySeries", &[], ATTRIBUTES),
    capability("studies/{study}/instances", "GET", "SearchForStudyInstances", &[], ATTRIBUTES),
    capability("studies/{study}/series/{series}/instances", "GET", "SearchForSeriesInstances", &[], ATTRIBUTES),
    capability("studies", "POST", "StoreInstances", STORED, TOLD),
    capability("studies/{study}", "GET", "RetrieveStudy", &[], DICOM),
    capability("studies/{study}", "POST", "StoreStudyInstances", STORED, TOLD),
    capability("studies/{study}/metadata", "GET", "RetrieveStudyMetadata", &[], ATTRIBUTES),
    capability("studies/{study}/series/{series}", "GET", "RetrieveSeries", &[], DICOM),
    capability("studies/{study}/series/{series}/metadata", "GET", "RetrieveSeriesMetadata", &[], ATTRIBUTES),
    capability("studies/{study}/series/{series}/instances/{instance}", "GET", "RetrieveInstance", &[], DICOM),
    capability("studies/{study}/series/{series}/instances/{instance}/metadata", "GET", "RetrieveInstanceMetadata", &[], ATTRIBUTES),
    capability("studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "GET", "RetrieveFrames", &[], FRAMES),
    capability("studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}", "GET", "RetrieveBulkData", &[], BULK_DATA),
];

pub(super) fn routes() -> Routes {
    let below = format!("{BASE}/");
    let routes = Routes::new().get(BASE, retrieve, TOLD_HERE).options(BASE, retrieve, TOLD_HERE);
    routes.get(&below, retrieve, TOLD_HERE).options(&below, retrieve, TOLD_HERE)
}

const TOLD_HERE: Operation = Operation {
    summary: "The services of DICOMweb that are provided here",
    query: &[],
    body: &[],
    answers: &[
        Answer::new(200, "the capabilities", Content::Media(&[WADL, "application/xml", "text/xml", JSON])),
        Answer::problem(406, "they are not told in what is accepted"),
    ],
};

/// Whether a request asks for the capabilities, and is not a browser that asks whether it may ask.
pub(in crate::http) fn are_asked<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.uri().path().trim_end_matches('/') == BASE
        && !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// `GET /dicom-web/`, `OPTIONS /dicom-web/`: 200 the capabilities, 406.
async fn retrieve(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let chosen = Accepted::of(&headers, query.as_deref()).choose(|offer| {
        let types = [WADL, "application/xml", "text/xml", JSON, "application/dicom+json"];
        types.into_iter().find(|media_type| offer.media_type.covers(media_type))
    });
    let chosen = chosen.ok_or_else(|| {
        Problem::new(StatusCode::NOT_ACCEPTABLE, "capabilities are application/vnd.sun.wadl+xml or application/json")
    })?;
    let base = format!("{}{BASE}", app.base_url());
    let told = if chosen.ends_with("json") { json(&base).to_string() } else { wadl(&base) };
    let mut response = Response::new(Body::from(told));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(chosen));
    Ok(response)
}

fn wadl(base: &str) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to text cannot fail.
    let _written = writeln!(
        text,
        "<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n<resources base=\"{}\">",
        escaped(base)
    );
    for Capability { path, method, id, takes, gives } in &CAPABILITIES {
        let _written = writeln!(text, "<resource path=\"{path}\"><method name=\"{method}\" id=\"{id}\">");
        for (element, types) in [("request", takes), ("response", gives)] {
            let _written = writeln!(text, "<{element}>");
            for media_type in *types {
                let _written = writeln!(text, "<representation mediaType=\"{}\"/>", escaped(media_type));
            }
            let _written = writeln!(text, "</{element}>");
        }
        text.push_str("</method></resource>\n");
    }
    text.push_str("</resources>\n</application>\n");
    text
}

fn json(base: &str) -> Value {
    let representations = |types: &[&str]| {
        let all = types.iter().map(|media_type| json!({ "@mediaType": media_type }));
        json!({ "representation": all.collect::<Vec<_>>() })
    };
    let resources = CAPABILITIES.iter().map(|Capability { path, method, id, takes, gives }| {
        let method = json!({
            "@name": method,
            "@id": id,
            "request": representations(takes),
            "response": representations(gives),
        });
        json!({ "@path": path, "method": [method] })
    });
    json!({ "application": { "resources": { "@base": base, "resource": resources.collect::<Vec<_>>() } } })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
