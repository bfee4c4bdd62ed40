//! The process: what it prints, what it logs, how it starts and ends, what it does with the data directory.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::house::{House, command, run, wait_for};
use crate::pictures;

#[test]
fn standard_output_carries_the_ready_line_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let mut child = command()
        .args(["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert!(line.starts_with("ready http=127.0.0.1:") && line.contains(" dicom=127.0.0.1:"), "{line:?}");
    let done = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(done.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{:?}", output.status);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let mut house = House::open();
    let second =
        run(&["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", house.data().to_str().unwrap()]);
    assert!(!second.status.success() && second.stdout.is_empty());
    assert!(!second.stderr.is_empty());
    assert!(house.is_alive());
}

#[test]
fn a_taken_port_and_a_newer_data_directory_are_refused_with_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let taken =
        run(&["serve", "--http", &listener.local_addr().unwrap().to_string(), "--data", data.to_str().unwrap()]);
    assert!(!taken.status.success() && !taken.stderr.is_empty());
    fs::write(data.join("VERSION"), "999\n").unwrap();
    let newer = run(&["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(!newer.status.success());
    assert!(String::from_utf8_lossy(&newer.stderr).contains("999"), "{}", String::from_utf8_lossy(&newer.stderr));
}

#[test]
fn an_address_open_to_the_network_needs_a_word() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let refused = run(&["serve", "--http", "0.0.0.0:0", "--data", data.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--insecure"));
}

#[test]
fn settings_come_from_flags_then_environment_then_file() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("precinct.toml");
    let data = folder.path().join("from-file");
    fs::write(&config, format!("data = {data:?}\nhttp = \"127.0.0.1:0\"\ndicom = \"127.0.0.1:0\"\n")).unwrap();
    let start = |configure: &dyn Fn(&mut std::process::Command)| {
        let mut command = command();
        command.args(["serve", "--config"]).arg(&config).stdout(Stdio::piped()).stderr(Stdio::null());
        configure(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        child.kill().unwrap();
        wait_for(&mut child);
        line
    };
    assert!(start(&|_| {}).starts_with("ready "));
    assert!(data.join("VERSION").exists());
    let from_environment = folder.path().join("from-environment");
    start(&|command| {
        command.env("PRECINCT_DATA", &from_environment);
    });
    assert!(from_environment.join("VERSION").exists());
    let from_flag = folder.path().join("from-flag");
    start(&|command| {
        command.env("PRECINCT_DATA", "/nowhere").arg("--data").arg(&from_flag);
    });
    assert!(from_flag.join("VERSION").exists());
    fs::write(&config, "no_such_key = 1\n").unwrap();
    assert!(start(&|_| {}).is_empty(), "an unknown key is an error");
}

#[test]
fn what_was_stored_is_there_after_a_kill() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let uid = "1.2.826.0.1.3680043.10.96.1";
    house.import("", &pictures::dicom(uid, 2));
    let tid = house.get("/jpip?target=a.j2k").header("JPIP-tid").unwrap().to_owned();
    let before = house.jpip("target=a.j2k&fsiz=256,256").messages;
    let leftover = house.data().join("tmp/leftover");
    fs::write(&leftover, "half an upload").unwrap();
    house.signal("KILL");
    let (_, folder) = house.wait();
    let house = House::open_in(folder, &[]);
    assert!(!leftover.exists() && fs::read_dir(house.data().join("tmp")).unwrap().count() == 0);
    let answer = house.get("/jpip?target=a.j2k&fsiz=256,256");
    assert_eq!(answer.header("JPIP-tid"), Some(tid.as_str()), "the same bytes, the same tid");
    assert_eq!(answer.response().messages, before);
    assert_eq!(house.jpip(&format!("target={uid}&fsiz=16,16")).end, 2);
}

#[test]
fn objects_are_named_by_their_digest_and_never_change() {
    let bytes = pictures::tiny();
    let house = House::with_files(&[("one.j2k", bytes.clone()), ("two.j2k", bytes.clone())]);
    let mut found = Vec::new();
    let mut folders = vec![house.data().join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    assert_eq!(found.len(), 1, "the same bytes are stored once: {found:?}");
    assert_eq!(fs::read(&found[0]).unwrap(), bytes);
    assert_eq!(fs::read_to_string(house.data().join("VERSION")).unwrap().trim(), "2");
}

#[test]
fn a_term_signal_lets_responses_finish() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let mut connection = house.connect();
    connection.send(b"GET /jpip?target=noise.j2k&fsiz=1024,1024 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // The head is out: from here on the response must be whole.
    let mut first = [0];
    std::io::Read::read_exact(&mut connection.socket, &mut first).unwrap();
    house.signal("TERM");
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut connection.socket, &mut rest).unwrap();
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let response = crate::stream::Response::read(&rest[end..]);
    assert_eq!(response.end, 1);
    let (status, _) = house.wait();
    assert!(status.success(), "{status:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let mut connection = house.connect();
    // A response that nobody reads would keep the drain waiting.
    connection.send(b"GET /jpip?target=noise.j2k&fsiz=1024,1024 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut first = [0];
    std::io::Read::read_exact(&mut connection.socket, &mut first).unwrap();
    let began = Instant::now();
    house.signal("TERM");
    while house.log().lines().count() < 2 && began.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
    }
    house.signal("INT");
    house.wait();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn logs_answers_and_metrics_name_no_patient_and_no_query() {
    for form in ["text", "json"] {
        let folder = TempDir::new().unwrap();
        let house = House::open_in(folder, &["--log-format", form]);
        let uid = "1.2.826.0.1.3680043.10.95.1";
        house.import("", &pictures::dicom(uid, 1));
        house.post("/api/v1/import", &pictures::dicom(uid, 2));
        let mut shown = String::new();
        let broken = &pictures::dicom("1.2.826.0.1.3680043.10.95.2", 1)[..700];
        shown += &house.post("/api/v1/import?name=query-canary", broken).text();
        for path in [
            format!("/jpip?target={uid}&fsiz=16,16&secret=query-canary"),
            "/jpip?target=query-canary&fsiz=bad".to_owned(),
            "/jpip?cid=query-canary".to_owned(),
            "/api/v1/instances?PatientID=query-canary".to_owned(),
            format!("/api/v1/instances?Unknown={}", pictures::CANARY_ID),
            "/api/v1/targets?cursor=query-canary".to_owned(),
            "/nothing?query-canary".to_owned(),
            "/metrics".to_owned(),
        ] {
            let answer = house.get(&path);
            shown += &answer.head;
            shown += &answer.text();
        }
        house.signal("TERM");
        let (_, folder) = house.wait();
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        for word in ["Canary", pictures::CANARY_ID, "query-canary"] {
            assert!(!log.contains(word), "the {form} log names {word}:\n{log}");
            assert!(!shown.contains(word), "an answer names {word}:\n{shown}");
        }
        assert!(!log.is_empty(), "something is logged");
        if form == "json" {
            for line in log.lines() {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
    }
}
