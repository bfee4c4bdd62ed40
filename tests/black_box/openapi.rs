//! The OpenAPI document against the server that hands it out.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::dicom_in::{ct, data_set};
use crate::house::{Answer, House};
use crate::pictures;
use crate::scu::Scu;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn document(house: &House) -> Value {
    let answer = house.get("/api/openapi.json");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    answer.json()
}

fn paths(document: &Value) -> &Map<String, Value> {
    document["paths"].as_object().unwrap()
}

#[test]
fn every_method_of_every_path_is_taken_if_and_only_if_the_document_has_it() {
    let house = House::open();
    let document = document(&house);
    for (path, operations) in paths(&document) {
        let asked: String =
            path.split('/').map(|part| if part.starts_with('{') { "1.2" } else { part }).collect::<Vec<_>>().join("/");
        for method in METHODS {
            let answer = house.connect().exchange(method, &asked, &[], b"");
            let operation = &operations[method.to_ascii_lowercase()];
            assert_eq!(answer.status != 405, operation.is_object(), "{method} {path}: {}", answer.status);
            if operation.is_object() {
                let told = &operation["responses"][answer.status.to_string()];
                assert!(
                    told.is_object(),
                    "{method} {path} answers {}, which the document does not tell",
                    answer.status
                );
                fits(&document, &answer, told);
            }
        }
    }
    for path in ["/metrics", "/healthz", "/jpip", "/dicom-web/studies", "/api/v1/import", "/api/openapi.json", "/"] {
        assert!(paths(&document).contains_key(path), "{path}");
    }
}

#[test]
fn what_is_answered_has_the_shape_that_the_document_tells() {
    let house = House::with_files(&[("slide.j2k", pictures::tiny())]);
    assert_eq!(Scu::associate(house.dicom).store("2.25.10", &data_set(&ct("2.25.10", 1))).0, 0);
    let document = document(&house);
    let mut looked_at = 0;
    for (path, operations) in paths(&document).iter().filter(|(path, _)| path.starts_with("/api/v1")) {
        let told = &operations["get"]["responses"]["200"];
        if told.is_object() {
            let answer = house.get(&path.replace("{uid}", "2.25.10"));
            assert_eq!(answer.status, 200, "{path}");
            looked_at += usize::from(fits(&document, &answer, told));
        }
    }
    assert!(looked_at >= 5, "{looked_at} had items");
    let told = &paths(&document)["/api/v1/import"]["post"]["responses"]["200"];
    assert!(fits(&document, &house.post("/api/v1/import?name=slide.j2k", &pictures::tiny()), told));
}

/// Looks at media type and members; whether there was an item to look at.
fn fits(document: &Value, answer: &Answer, told: &Value) -> bool {
    let Some(content) = told["content"].as_object() else { return false };
    let media_type = answer.header("Content-Type").unwrap_or_default().split(';').next().unwrap_or_default();
    let schema = &content.get(media_type).unwrap_or_else(|| panic!("{media_type} is not told: {told}"))["schema"];
    if !schema.is_object() {
        return false;
    }
    let resolve = |schema: &Value| match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    };
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (schema, body) = (resolve(schema), answer.json());
    assert_eq!(names(&body), names(&schema["properties"]), "{}", answer.text());
    let Some(items) = body["items"].as_array() else { return true };
    let schema = resolve(&schema["properties"]["items"]["items"]);
    for item in items {
        assert_eq!(names(item), names(&schema["properties"]), "{item}");
        for (name, value) in item.as_object().unwrap() {
            let kind = match value {
                Value::Null => "null",
                Value::String(_) => "string",
                Value::Number(_) => "integer",
                _ => "array",
            };
            let kinds = schema["properties"][name]["type"].as_array().unwrap();
            assert!(kinds.iter().any(|one| one == kind), "{name}: {value}");
        }
    }
    !items.is_empty()
}

#[test]
fn an_independent_validator_finds_the_document_right() {
    let house = House::open();
    let document = house.get("/api/openapi.json");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let validate = "import json, sys; from openapi_spec_validator import validate; validate(json.load(sys.stdin))";
    let is_there = Command::new(&python).args(["-c", "import openapi_spec_validator"]).output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "scripts/venv.sh has not been run");
        println!("skipped: openapi-spec-validator is not in .venv");
        return;
    }
    let valid = |document: &[u8]| {
        let mut command = Command::new(&python);
        command.args(["-c", validate]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(document).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_valid, words) = valid(&document.body);
    assert!(is_valid, "{words}");
    let wrong = document.text().replacen("\"required\":true", "\"required\":\"yes\"", 1);
    assert!(!valid(wrong.as_bytes()).0, "the validator finds nothing wrong with anything");
}
