//! The rules of the house that neither Cargo nor a lint can keep (ARCHITECTURE.md, "Never"): read off the sources.
//!
//! Each rule is one test, and says in its message what to do instead. Comments and test code are not looked at,
//! except where a rule says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PURE: [&str; 3] = ["codestream", "jpip", "annotations"];

/// Files above the ceiling of 800 lines. May only shrink.
const LONG_FILES: [&str; 0] = [];

#[test]
fn pure_crates_depend_on_nothing_that_does_input_or_output() {
    let allowed = ["thiserror", "bytes", "smallvec", "winnow", "zerocopy", "rangemap", "tracing", "percent-encoding"];
    let mut found = Vec::new();
    for name in PURE {
        for dependency in &Manifest::of(name).dependencies {
            let ours = [("jpip", "codestream"), ("annotations", "quick-xml")].contains(&(name, dependency.as_str()));
            if !ours && !allowed.contains(&dependency.as_str()) {
                found.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    none(&found, "a pure crate takes what it needs as an argument");
}

#[test]
fn pure_crates_read_no_clock_no_file_no_socket_and_no_random_source() {
    let forbidden = [
        "tokio",
        "axum",
        "sqlx",
        "dicom_",
        "std::net",
        "std::fs",
        "std::env",
        "std::thread",
        "std::process",
        "Instant",
        "SystemTime",
        "getrandom",
        "use rand",
        "rand::rng",
        "thread_rng",
        "println!",
        "eprintln!",
        "std::io::stdin",
        "static mut",
    ];
    let mut found = Vec::new();
    for name in PURE {
        for source in Source::all_under(&crates().join(name).join("src")) {
            found.extend(source.lines_with(&forbidden));
        }
    }
    none(&found, "time, randomness and bytes are arguments of the pure crates");
}

#[test]
fn pure_crates_forbid_unsafe_and_panics() {
    let wanted = ["unwrap_used", "expect_used", "panic", "indexing_slicing", "cast_possible_truncation"];
    let mut found = Vec::new();
    for name in PURE {
        let folder = crates().join(name);
        let text = read(&folder.join("Cargo.toml")) + &read(&folder.join("src/lib.rs"));
        for lint in wanted {
            if !text.contains(lint) {
                found.push(format!("{name} does not deny {lint}"));
            }
        }
        if !folder.join("clippy.toml").exists() {
            found.push(format!("{name} has no clippy.toml of its own"));
        }
    }
    for name in ["codestream", "jpip", "annotations", "catalog", "dicom-bridge", "lossless", "decoders"] {
        let folder = crates().join(name);
        let text = read(&folder.join("Cargo.toml")) + &read(&folder.join("src/lib.rs"));
        if !text.contains("unsafe_code = \"forbid\"") && !text.contains("forbid(unsafe_code)") {
            found.push(format!("{name} does not forbid unsafe code"));
        }
    }
    none(&found, "see crates/codestream/Cargo.toml for the lints of a pure crate");
}

#[test]
fn each_third_party_crate_stays_behind_its_adapter() {
    // A dependency and the only crates that may name it, outside of tests.
    let owners: [(&str, &[&str]); 10] = [
        ("sqlx", &["catalog"]),
        ("openjpeg-sys", &["openjpeg"]),
        ("openjph-core", &["lossless"]),
        ("quick-xml", &["annotations"]),
        ("dicom-", &["dicom-bridge"]),
        ("axum", &["server"]),
        ("hyper", &["server"]),
        ("object_store", &["server"]),
        ("anyhow", &["server"]),
        ("tokio", &["server", "catalog"]),
    ];
    let mut found = Vec::new();
    for name in crate_names() {
        for dependency in &Manifest::of(&name).dependencies {
            for (prefix, allowed) in owners {
                let meant = if prefix.ends_with('-') {
                    dependency.starts_with(prefix) && dependency != "dicom-bridge"
                } else {
                    dependency == prefix
                };
                if meant && !allowed.contains(&name.as_str()) {
                    found.push(format!("{name} depends on {dependency}"));
                }
            }
        }
    }
    none(&found, "only the crate that adapts a library names it");
}

#[test]
fn our_crates_depend_in_one_direction() {
    let edges: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("codestream", &[][..]),
        ("jpip", &["codestream"][..]),
        ("annotations", &[][..]),
        ("openjpeg", &[][..]),
        ("lossless", &["codestream", "openjpeg"][..]),
        ("decoders", &[][..]),
        ("dicom-bridge", &["codestream"][..]),
        ("catalog", &[][..]),
        (
            "server",
            &["codestream", "jpip", "annotations", "openjpeg", "lossless", "decoders", "dicom-bridge", "catalog"][..],
        ),
    ]);
    let ours: BTreeSet<String> = crate_names().into_iter().collect();
    let mut found = Vec::new();
    for name in &ours {
        let Some(allowed) = edges.get(name.as_str()) else {
            found.push(format!("{name} is not in the map of this test and of ARCHITECTURE.md"));
            continue;
        };
        for dependency in &Manifest::of(name).dependencies {
            if ours.contains(dependency) && !allowed.contains(&dependency.as_str()) {
                found.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    none(&found, "a new edge between crates is a decision: its own commit, with the reason");
}

#[test]
fn cargo_features_do_not_exist_but_for_the_testkit() {
    let mut found = Vec::new();
    for name in crate_names() {
        let manifest = Manifest::of(&name);
        for feature in &manifest.features {
            if (name.as_str(), feature.as_str()) != ("codestream", "testkit") {
                found.push(format!("{name} has the feature {feature}"));
            }
        }
        if manifest.dependency_lines.iter().any(|line| line.contains("testkit")) {
            found.push(format!("{name} uses the testkit outside of its tests"));
        }
    }
    none(&found, "one binary holds everything");
}

#[test]
fn axum_is_named_in_server_http_only() {
    let found = server_lines(&["axum::", "axum;"], &["http"]);
    none(&found, "handlers live in server::http; what they call knows nothing of HTTP frameworks");
}

#[test]
fn the_object_store_is_named_in_server_storage_only() {
    let found = server_lines(&["object_store"], &["storage"]);
    none(&found, "everything else asks server::storage");
}

#[test]
fn stored_bytes_are_read_in_server_storage_only() {
    // `cli` and `config` read the files that a person names, `data_dir` its own VERSION and lock.
    let reading = ["File::open", "fs::read", "FileExt", "preadv", "pread(", "OpenOptions", "memmap"];
    let found = server_lines(&reading, &["storage", "cli", "config", "data_dir"]);
    none(&found, "ask server::storage for the bytes");
}

#[test]
fn sql_is_written_in_catalog_only() {
    let statements = ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE ", "sqlx::"];
    let mut found = Vec::new();
    for name in crate_names().into_iter().filter(|name| name != "catalog") {
        for source in Source::all_under(&crates().join(name).join("src")) {
            found.extend(source.lines_with(&statements));
        }
    }
    none(&found, "one function of the catalog per question");
}

#[test]
fn unsafe_code_and_ffi_are_in_openjpeg_and_storage_only() {
    let mut found = Vec::new();
    for source in all_sources() {
        let path = source.relative();
        if !path.starts_with("crates/openjpeg/") && !path.starts_with("crates/server/src/storage") {
            found.extend(source.lines_with(&["unsafe {", "unsafe fn", "unsafe impl", "extern \"C\""]));
        }
    }
    none(&found, "FFI lives in crates/openjpeg");
}

#[test]
fn whether_it_is_ht_is_asked_where_codestreams_are_read_and_media_types_named() {
    let places = [
        "crates/codestream/",
        "crates/dicom-bridge/",
        "crates/jpip/src/metadata",
        "crates/server/src/worker",
        "crates/server/src/ingest",
        "crates/server/src/cli/",
        "crates/server/src/serving",
        "crates/openjpeg/",
        "crates/lossless/",
    ];
    let mut found = Vec::new();
    for source in all_sources() {
        if !places.iter().any(|place| source.relative().starts_with(place)) {
            found.extend(source.lines_with(&["is_htj2k", "is_ht("]));
        }
    }
    none(&found, "HT and Part 1 codestreams take the same path");
}

#[test]
fn logs_name_no_patient_and_no_query_string() {
    let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "span!("];
    let words = ["query", "uri", "patient", "attributes", "headers"];
    let mut found = Vec::new();
    for source in all_sources() {
        let code = source.code.join("\n");
        for name in macros {
            for (at, _) in code.match_indices(name) {
                let call = balanced(&code[at..]);
                let lower = call.to_lowercase();
                if words.iter().any(|word| lower.contains(word)) {
                    found.push(format!("{}: {}", source.relative(), call.replace('\n', " ")));
                }
            }
        }
    }
    none(&found, "log the route and the ids that we made; never what a peer wrote after the question mark");
}

#[test]
fn files_are_named_after_what_they_hold() {
    let forbidden = ["utils", "util", "helpers", "helper", "common", "types", "manager", "misc", "mod"];
    let found: Vec<String> = rust_files(&root())
        .into_iter()
        .filter(|path| path.file_stem().is_some_and(|stem| forbidden.iter().any(|name| stem == *name)))
        .map(|path| relative(&path))
        .collect();
    none(&found, "name the file after its one concept; foo.rs beside foo/, no mod.rs");
}

#[test]
fn files_stay_below_800_lines() {
    let mut found = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        if lines > 800 && !LONG_FILES.contains(&source.relative().as_str()) {
            found.push(format!("{} has {lines} lines", source.relative()));
        }
    }
    none(&found, "split the file by concept");
}

#[test]
fn nothing_is_ignored_allowed_or_left_to_do() {
    // Pieced together, so that this file does not find itself.
    let forbidden = [
        concat!("#[", "ignore"),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!("),
        concat!("todo", "!("),
        concat!("dbg", "!("),
    ];
    let mut found = Vec::new();
    for path in rust_files(&root()) {
        for (number, line) in read(&path).lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", relative(&path), number + 1, line.trim()));
            }
        }
    }
    none(&found, "assert what it does today, or do it; silence a lint with #[expect(…, reason = …)]");
}

#[test]
fn expectations_give_their_reason() {
    let mut found = Vec::new();
    for path in rust_files(&root()) {
        let text = read(&path);
        for (at, _) in text.match_indices(concat!("#[", "expect(")).chain(text.match_indices(concat!("#![", "expect(")))
        {
            let call = balanced(&text[at..]);
            if !call.contains("reason") {
                found.push(format!("{}: {call}", relative(&path)));
            }
        }
    }
    none(&found, "say why in `reason = …`");
}

#[test]
fn migrations_are_pairs_numbered_without_gaps() {
    let names = |database: &str| -> BTreeSet<String> {
        fs::read_dir(root().join("migrations").join(database))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert_eq!(sqlite, postgres, "each migration has a twin of the same name for the other database");
    for (number, name) in sqlite.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", number + 1)), "{name} is out of sequence");
    }
}

#[test]
fn each_crate_opens_with_what_it_does_and_what_it_never_does() {
    let mut found = Vec::new();
    for name in crate_names() {
        let text = read(&crates().join(&name).join("src/lib.rs"));
        let opening: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if opening.is_empty() || !opening.to_lowercase().contains("never") {
            found.push(format!("{name}/src/lib.rs"));
        }
    }
    none(&found, "the document of absences: say in lib.rs what the crate never does");
}

#[test]
fn every_source_file_says_what_it_is() {
    let found: Vec<String> = all_sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!") && !source.is_test())
        .map(|source| source.relative())
        .collect();
    none(&found, "begin the file with a module comment");
}

#[test]
fn every_fuzz_target_and_every_test_target_is_registered() {
    let mut found = Vec::new();
    let server = read(&crates().join("server/Cargo.toml"));
    let fuzz = read(&root().join("fuzz/Cargo.toml"));
    for (folder, manifest) in [("tests", &server), ("fuzz/fuzz_targets", &fuzz)] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|kind| kind == "rs") && !manifest.contains(&format!("/{name}\"")) {
                found.push(relative(&path));
            }
        }
    }
    none(&found, "a file that no manifest names is never compiled");
}

// -- reading the sources ------------------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn crates() -> PathBuf {
    root().join("crates")
}

fn crate_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(crates())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "build", "data"].contains(&name) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn all_sources() -> Vec<Source> {
    crate_names().iter().flat_map(|name| Source::all_under(&crates().join(name).join("src"))).collect()
}

/// Lines of the server that hold one of `words`, outside of the named modules.
fn server_lines(words: &[&str], modules: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in Source::all_under(&crates().join("server/src")) {
        let path = source.relative();
        let place = path.trim_start_matches("crates/server/src/");
        let allowed = modules.iter().any(|m| place == format!("{m}.rs") || place.starts_with(&format!("{m}/")));
        if !allowed && place != "main.rs" {
            found.extend(source.lines_with(words));
        }
    }
    found
}

fn none(found: &[String], instead: &str) {
    assert!(found.is_empty(), "{instead}\n  {}", found.join("\n  "));
}

/// The text from its first opening bracket to the closing one.
fn balanced(text: &str) -> &str {
    let mut depth = 0i32;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return &text[..=at];
                }
            }
            _ => {}
        }
    }
    text
}

struct Source {
    path: PathBuf,
    text: String,
    /// The lines of product code: comments are blank, what follows `#[cfg(test)]` is cut off.
    code: Vec<String>,
}

impl Source {
    fn all_under(folder: &Path) -> Vec<Self> {
        rust_files(folder).into_iter().map(Self::new).collect()
    }

    fn new(path: PathBuf) -> Self {
        let text = read(&path);
        let mut source = Self { path, code: Vec::new(), text };
        if !source.is_test() {
            source.code = source
                .text
                .lines()
                .take_while(|line| !line.starts_with("#[cfg(test)]"))
                .map(|line| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() })
                .collect();
        }
        source
    }

    fn is_test(&self) -> bool {
        let path = self.relative();
        path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/testkit")
    }

    fn relative(&self) -> String {
        relative(&self.path)
    }

    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        self.code
            .iter()
            .enumerate()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .map(|(number, line)| format!("{}:{}: {}", self.relative(), number + 1, line.trim()))
            .collect()
    }
}

/// What the rules ask of a Cargo.toml, read line by line.
#[derive(Default)]
struct Manifest {
    dependencies: Vec<String>,
    dependency_lines: Vec<String>,
    features: Vec<String>,
}

impl Manifest {
    fn of(name: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        for line in read(&crates().join(name).join("Cargo.toml")).lines() {
            let line = line.trim();
            if let Some(head) = line.strip_prefix('[') {
                section = head.trim_end_matches(']').to_owned();
                continue;
            }
            let Some((key, _)) = line.split_once('=') else { continue };
            let key = key.trim().trim_end_matches(".workspace").to_owned();
            if line.starts_with('#') {
                continue;
            }
            if section == "dependencies" || section.ends_with(".dependencies") || section == "build-dependencies" {
                manifest.dependencies.push(key);
                manifest.dependency_lines.push(line.to_owned());
            } else if section == "features" && key != "default" {
                manifest.features.push(key);
            }
        }
        manifest
    }
}
