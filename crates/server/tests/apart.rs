//! Work in a process of its own: what ends it, and what is said of that.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dicom_bridge::write::NewObject;
use serde_json::json;
use server::worker::apart::{Apart, ApartError, Limits, Task};
use tempfile::NamedTempFile;

/// A native image of noise that takes seconds to encode.
fn large() -> NamedTempFile {
    const SIDE: u16 = 3000;
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.1");
    for (tag, number) in
        [(0x0028_0002, 1), (0x0028_0010, SIDE), (0x0028_0011, SIDE), (0x0028_0100, 16), (0x0028_0101, 16)]
    {
        object.attributes().put(tag, "US", &number.to_string());
    }
    object.attributes().put(0x0028_0004, "CS", "MONOCHROME2");
    let mut bytes = object.to_bytes().unwrap();
    let samples = usize::from(SIDE) * usize::from(SIDE);
    bytes.extend(b"\xe0\x7f\x10\0OW\0\0");
    bytes.extend(u32::try_from(2 * samples).unwrap().to_le_bytes());
    // A little of it, again and again: a debug build takes long to make more.
    let noise = (0..20_011).scan(1u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 16) as u16)
    });
    let noise: Vec<u8> = noise.flat_map(u16::to_le_bytes).collect();
    let end = bytes.len() + 2 * samples;
    while bytes.len() < end {
        bytes.extend_from_slice(&noise);
    }
    bytes.truncate(end);
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    file
}

fn apart(limits: Limits) -> Apart {
    Apart::new(env!("CARGO_BIN_EXE_precinct").into(), limits)
}

fn task<'a>(input: &Path, output: &'a Path) -> Task<'a> {
    Task { name: "derive", arguments: json!({ "kind": "j2k" }), input: File::open(input).unwrap(), output }
}

async fn run(limits: Limits) -> Result<serde_json::Value, ApartError> {
    let (input, output) = (large(), NamedTempFile::new().unwrap());
    apart(limits).run(task(input.path(), output.path())).await
}

fn stopped(outcome: Result<serde_json::Value, ApartError>) -> String {
    match outcome {
        Err(ApartError::Stopped(words)) => words,
        other => panic!("{other:?}"),
    }
}

/// Processes that write this file.
fn workers_on(output: &Path) -> bool {
    Command::new("pgrep").arg("-f").arg(output).output().unwrap().status.success()
}

#[tokio::test]
async fn a_process_that_wants_more_memory_than_it_may_have_ends_alone() {
    let words = stopped(run(Limits { memory: 256 << 20, ..Limits::default() }).await);
    assert!(words.contains("signal 6") && words.contains("memory"), "{words}");
}

#[tokio::test]
async fn a_process_that_takes_too_long_is_ended() {
    let (input, output) = (large(), NamedTempFile::new().unwrap());
    let impatient = apart(Limits { patience: Duration::from_millis(300), ..Limits::default() });
    let began = Instant::now();
    let words = stopped(impatient.run(task(input.path(), output.path())).await);
    assert!(words.starts_with("it took more than"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(30) && !workers_on(output.path()));
    let words = stopped(run(Limits { processor: Duration::from_secs(1), ..Limits::default() }).await);
    assert!(words.contains("used more than 1 s of a processor"), "{words}");
}

#[tokio::test]
async fn a_process_that_writes_more_than_it_may_is_ended() {
    let words = stopped(run(Limits { output: 4096, ..Limits::default() }).await);
    assert!(words.contains("wrote more than 4096 bytes"), "{words}");
}

#[tokio::test]
async fn a_process_for_which_nobody_waits_ends() {
    let (input, output) = (large(), NamedTempFile::new().unwrap());
    let path = output.path().to_owned();
    let waiting = tokio::spawn(async move {
        let output = output;
        apart(Limits::default()).run(task(input.path(), output.path())).await
    });
    while !workers_on(&path) {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let until = Instant::now() + Duration::from_secs(30);
    while workers_on(&path) {
        assert!(Instant::now() < until, "it is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_no_dicom_object_is_refused_and_a_missing_program_is_no_matter_of_the_input() {
    let (mut input, output) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    input.write_all(b"neither").unwrap();
    let refused = apart(Limits::default()).run(task(input.path(), output.path())).await;
    assert!(matches!(refused, Err(ApartError::Refused(refusal)) if !refusal.is_unsupported));
    let missing = Apart::new("/nowhere/precinct".into(), Limits::default());
    let missing = missing.run(task(input.path(), output.path())).await;
    assert!(matches!(missing, Err(ApartError::Process(_))));
}
