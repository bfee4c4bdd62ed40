//! `precinct inspect` of JPIP response bodies: what a capture holds, and where a broken one is broken.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::house::{House, run};
use crate::pictures;
use crate::stream::Message;

/// A folder for captures.
struct Captures(TempDir);

impl Captures {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("capture")
    }

    /// What `inspect` makes of these bytes: exit status, standard output, standard error.
    fn inspect(&self, bytes: &[u8]) -> (i32, String, String) {
        fs::write(self.path(), bytes).unwrap();
        inspect(self.path().to_str().unwrap())
    }
}

fn inspect(what: &str) -> (i32, String, String) {
    let done = run(&["inspect", what]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().expect("a signal ended it"), text(&done.stdout), text(&done.stderr))
}

/// The line that is to stand for a message.
fn line(message: &Message) -> String {
    let class = match message.class {
        0 => "precinct data-bin",
        1 => "extended precinct data-bin",
        2 => "tile header data-bin",
        4 => "tile data-bin",
        5 => "extended tile data-bin",
        6 => "main header data-bin",
        8 => "metadata-bin",
        other => panic!("class {other}"),
    };
    let codestream = if message.class == 8 { String::new() } else { format!(", codestream {}", message.codestream) };
    let complete = if message.complete { ", complete" } else { "" };
    let aux = message.aux.map_or_else(String::new, |aux| format!(", aux {aux}"));
    let Message { id, offset, body, .. } = message;
    format!("{class} {id}{codestream}: offset {offset}, length {}{complete}{aux}", body.len())
}

#[test]
fn a_2_captures_are_shown_message_by_message() {
    let house = House::with_files(&[("a.jp2", pictures::jp2())]);
    let captures = Captures::new();
    for (types, totalled) in [
        ("jpp-stream", "precinct data-bin"),
        ("jpp-stream;ptype=ext", "extended precinct data-bin"),
        ("jpt-stream", "tile data-bin"),
        ("jpt-stream;ttype=ext", "extended tile data-bin"),
    ] {
        let query = format!("/jpip?target=a.jp2&fsiz=4096,4096&type={types}");
        let answer = house.get(&query);
        let (status, shown, said) = captures.inspect(&answer.body);
        assert_eq!((status, said.as_str()), (0, ""), "{types}");
        let response = answer.response();
        let lines: Vec<&str> = shown.lines().map(|line| line.trim_start().split_once("  ").unwrap().1).collect();
        let expected: Vec<String> = response.messages.iter().map(line).collect();
        assert_eq!(lines[..expected.len()], expected, "{types}");
        let end = lines[expected.len()];
        assert_eq!(end, "end of response: 1, image done: all of the target has been sent", "{types}");
        let of_class = |m: &&Message| line(m).starts_with(totalled);
        let all: Vec<&Message> = response.messages.iter().filter(of_class).collect();
        let bytes: usize = all.iter().map(|m| m.body.len()).sum();
        let complete = all.iter().filter(|m| m.complete).count();
        let total =
            format!("{totalled}: {} messages, {bytes} bytes of bodies, {complete} data-bins completed", all.len());
        assert!(lines[expected.len() + 1..].contains(&total.as_str()), "{total}\n{shown}");
        // A URL shows the same as the body that it answers with.
        let (status, of_url, said) = inspect(&format!("{}{query}", house.url()));
        assert_eq!((status, said.as_str()), (0, ""), "{types}");
        assert_eq!(of_url, shown, "{types}");
    }
}

#[test]
fn a_2_positions_are_those_of_the_message_headers() {
    // A whole metadata-bin 0 without bytes, a reserved class, an extended precinct, and text behind the reason.
    let capture = [&[0x70, 8, 0, 0, 0][..], &[0x41, 11, 0, 2, 1, 9, 9], &[0x65, 1, 3, 0, 2, 7, 1, 2], &[0, 4, 1, b'x']];
    let (status, shown, said) = Captures::new().inspect(&capture.concat());
    assert_eq!((status, said.as_str()), (0, ""));
    let lines: Vec<&str> = shown.lines().map(str::trim_start).collect();
    assert_eq!(
        lines,
        [
            "0  metadata-bin 0: offset 0, length 0, complete",
            "5  reserved class 11: length 2",
            "12  extended precinct data-bin 5, codestream 3: offset 0, length 2, aux 7",
            "20  end of response: 4, byte limit: the length that was asked for is reached",
            "24  totals",
            "1  extended precinct data-bin: 1 messages, 2 bytes of bodies, 0 data-bins completed",
            "8  metadata-bin: 1 messages, 0 bytes of bodies, 1 data-bins completed",
        ]
    );
}

#[test]
fn d_3_the_reason_of_the_end_is_in_words() {
    let head = [0x70, 8, 0, 0, 0];
    for (code, words) in [
        (1, "image done"),
        (2, "window done"),
        (3, "window change"),
        (4, "byte limit"),
        (5, "quality limit"),
        (6, "session limit"),
        (7, "response limit"),
        (0xff, "non-specified"),
        (9, "reserved"),
    ] {
        let (status, shown, _) = Captures::new().inspect(&[&head[..], &[0, code, 0]].concat());
        assert_eq!(status, 0);
        assert!(shown.contains(&format!("end of response: {code}, {words}: ")), "{code}: {shown}");
    }
    // A response may just end, and a channel's body may hold more than one.
    let (status, shown, _) = Captures::new().inspect(&head);
    assert!(status == 0 && shown.contains("the bytes end without an end of response"), "{shown}");
    let (status, shown, said) = Captures::new().inspect(&[&head[..], &[0, 2, 0], b"more"].concat());
    assert!(status == 1 && shown.contains("window done"), "{shown}");
    assert!(said.contains("4 bytes follow the end of the response at byte 8"), "{said}");
}

#[test]
fn hostile_captures_end_in_an_error_that_says_where() {
    let captures = Captures::new();
    let head = [0x70, 8, 0, 0, 0];
    let long = [0xff; 40];
    for (what, bytes, words) in [
        ("a prohibited form", vec![0x10, 0, 0], "at byte 5: a message begins with the prohibited byte 0x10"),
        ("a header cut off", vec![0x60, 6, 0], "at byte 5: the bytes end inside a message header"),
        ("a number too long", [&[0x60, 6][..], &long].concat(), "at byte 5: "),
        ("an id too long", long.to_vec(), "at byte 5: "),
        ("a body cut off", vec![0x60, 6, 0, 0, 9, 1], "at byte 5: a body of 9 bytes, of which 1 are there"),
        (
            "a huge body",
            [&[0x60, 6, 0, 0][..], &[0xff; 8], &[0x7f]].concat(),
            "at byte 5: a body of 9223372036854775807",
        ),
        ("an overflow", [&[0x60, 6, 0, 0x81][..], &[0xff; 8], &[0x7f, 1]].concat(), "at byte 5: a message reaches"),
        ("an end cut off", vec![0, 2], "at byte 5: the bytes end inside a message header"),
        ("an end with half a text", vec![0, 2, 3, 1], "at byte 5: a body of 3 bytes, of which 1 are there"),
    ] {
        let (status, shown, said) = captures.inspect(&[&head[..], &bytes].concat());
        assert_eq!(status, 1, "{what}: {shown}");
        assert!(said.contains(words), "{what}: {said}");
        assert!(shown.contains("metadata-bin 0"), "{what}: what came before is shown: {shown}");
    }
    // What is no response at all is called so.
    for bytes in [&b"hello, this is text"[..], b"\xff\xd8\xff\xe0", b"", &[0x41, 11, 0, 0, 1]] {
        let (status, _, said) = captures.inspect(bytes);
        assert_eq!(status, 1, "{bytes:?}");
        assert!(said.contains("neither DICOM nor JPEG 2000 nor the body of a JPIP response"), "{bytes:?}: {said}");
    }
}
