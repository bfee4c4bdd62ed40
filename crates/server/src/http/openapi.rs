//! `/api/openapi.json`: the routes of this server as an OpenAPI document, made of what they say of themselves.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{Method, header};
use serde_json::{Map, Value, json};

use super::routes::{Answer, Content, Kind, Operation, Route, Routes, Shape};

/// Where the document lies.
const PATH: &str = "/api/openapi.json";

const DOCUMENT: Operation = Operation {
    summary: "This document",
    query: &[],
    body: &[],
    answers: &[Answer::new(200, "the routes of this server", Content::Media(&["application/json"]))],
};

/// Adds the route of the document, which has all the others and itself in it.
pub(super) fn with_document(routes: Routes) -> Routes {
    let itself = Route { method: Method::GET, path: PATH.to_owned(), operation: DOCUMENT };
    let document = Bytes::from(document(routes.described().iter().chain([&itself])).to_string());
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], document).into_response();
    routes.get(PATH, answer, DOCUMENT)
}

/// `GET /api/openapi.json`: 200 the document, of OpenAPI 3.1.
fn document<'r>(routes: impl Iterator<Item = &'r Route>) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::from_iter([("Problem".to_owned(), problem_schema())]);
    for route in routes {
        for answer in route.operation.answers {
            if let Content::Item(shape) | Content::PageOf(shape) = answer.content {
                schemas.insert(shape.name.to_owned(), schema(shape));
            }
        }
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Precinct",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A DICOM imaging service built around JPIP",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn operation(route: &Route) -> Value {
    let Operation { summary, query, body, answers } = route.operation;
    let in_path = segments(&route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = query.iter().map(|field| {
        json!({ "name": field.name, "in": "query", "description": field.words, "schema": { "type": "string" } })
    });
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag(&route.path)],
        "summary": summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": answers.iter().map(|answer| (answer.status.to_string(), response(answer))).collect::<Map<_, _>>(),
    });
    if !body.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": media(body) });
    }
    operation
}

/// The names of the segments that a path leaves open.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

/// One of its kind: the method and the words of the path.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> =
        std::iter::once(route.method.as_str().to_ascii_lowercase()).chain(words.map(str::to_owned)).collect();
    // A path and the same with a slash at its end are two.
    words.join("_") + if route.path.len() > 1 && route.path.ends_with('/') { "_" } else { "" }
}

fn tag(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("jpip") => "JPIP",
        Some("dicom-web") => "DICOMweb",
        Some("api") => "Catalog",
        _ => "Operation",
    }
}

fn response(answer: &Answer) -> Value {
    let content = match answer.content {
        Content::Nothing => return json!({ "description": answer.words }),
        Content::Media(types) => media(types),
        Content::Item(shape) => json!({ "application/json": { "schema": reference(shape.name) } }),
        Content::PageOf(shape) => json!({ "application/json": { "schema": page(shape) } }),
        Content::Problem => json!({ "application/problem+json": { "schema": reference("Problem") } }),
    };
    json!({ "description": answer.words, "content": content })
}

fn media(types: &[&str]) -> Value {
    Value::Object(types.iter().map(|media_type| ((*media_type).to_owned(), json!({}))).collect())
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn page(shape: &Shape) -> Value {
    object(
        [
            ("items".to_owned(), json!({ "type": "array", "items": reference(shape.name) })),
            ("next".to_owned(), json!({ "type": ["string", "null"] })),
        ]
        .into_iter()
        .collect(),
    )
}

fn schema(shape: &Shape) -> Value {
    let members = shape.members.iter().map(|(name, kind)| {
        let kind = match kind {
            Kind::Text => json!({ "type": ["string", "null"] }),
            Kind::Number => json!({ "type": ["integer", "null"] }),
            Kind::Texts => json!({ "type": ["array", "null"], "items": { "type": "string" } }),
        };
        ((*name).to_owned(), kind)
    });
    object(members.collect())
}

/// An object that has these members and no others.
fn object(members: Map<String, Value>) -> Value {
    let names: BTreeSet<_> = members.keys().cloned().collect();
    json!({ "type": "object", "properties": members, "required": names, "additionalProperties": false })
}

fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    let members = json!({ "type": text, "title": text, "status": { "type": "integer" }, "detail": text });
    json!({ "type": "object", "properties": members, "required": ["type", "title", "status", "detail"] })
}
