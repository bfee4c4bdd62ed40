//! HTTP/2 by prior knowledge on the port of HTTP/1.1: the same answers, and the faults that are its own (E1, E3, E17,
//! E19 of the fault list).

use std::process::Command;

use crate::frames::{self, Client, DATA, END_STREAM, HEADERS, PING, RST_STREAM};
use crate::house::{House, channel_of};
use crate::pictures;
use crate::stream::Response;

/// As large as a window may be.
const OPEN: u32 = 0x7fff_ffff;

/// What curl says over HTTP/2: the head with its names in lower case, and the body.
fn curl(house: &House, path: &str, options: &[&str]) -> (String, Vec<u8>) {
    let done = Command::new("curl")
        .args(["--silent", "--show-error", "--globoff", "--http2-prior-knowledge", "--include", "--max-time", "60"])
        .args(options)
        .arg(house.url() + path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{path}: {}", String::from_utf8_lossy(&done.stderr));
    let end = done.stdout.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(done.stdout[..end].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/2 "), "{head}");
    (head, done.stdout[end..].to_vec())
}

fn large() -> House {
    House::with_files(&[("noise.j2k", pictures::noise(1024))])
}

#[test]
fn answers_are_those_of_http_1() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    for path in [
        "/jpip?target=a.j2k&fsiz=256,256",
        "/jpip?target=a.j2k&fsiz=64,64&qid=7",
        "/jpip?target=a.j2k&type=jpt-stream&fsiz=64,64",
        "/jpip?target=nothing",
        "/jpip?cid=nothing",
        "/api/v1/targets",
        "/nowhere",
    ] {
        let (head, body) = curl(&house, path, &[]);
        let before = house.get(path);
        assert_eq!(body, before.body, "{path}");
        assert!(head.starts_with(&format!("HTTP/2 {}", before.status)), "{path}: {head}");
        let lines = before.head.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with("Date"));
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let line = format!("\r\n{}: {value}\r\n", name.to_lowercase());
            assert!(head.contains(&line), "{path}: {line} in {head}");
        }
        let (head, body) = curl(&house, path, &["--head"]);
        assert!(body.is_empty());
        let len = format!("content-length: {}\r\n", before.body.len());
        assert!(path.starts_with("/api") || head.contains(&len), "{path}: {head}");
    }
    let (_, posted) = curl(&house, "/jpip", &["--data", "target=a.j2k&fsiz=256,256"]);
    assert_eq!(posted, house.get("/jpip?target=a.j2k&fsiz=256,256").body);
}

#[test]
fn files_are_taken_whole() {
    let house = House::open();
    let file = house.folder().join("noise.j2k");
    std::fs::write(&file, pictures::noise(1024)).unwrap();
    let body = format!("@{}", file.display());
    let (head, _) = curl(&house, "/api/v1/import?name=noise.j2k", &["--data-binary", &body]);
    assert!(head.starts_with("HTTP/2 201"), "{head}");
    assert_eq!(house.jpip("target=noise.j2k&fsiz=1024,1024").end, 1);
}

#[test]
fn hosts_and_origins_are_judged_by_the_same_rules() {
    let house = House::with_files(&[("a.j2k", pictures::tiny())]);
    let path = "/jpip?target=a.j2k";
    let (head, _) = curl(&house, path, &["--header", "Host: evil.example"]);
    assert!(head.starts_with("HTTP/2 403"), "{head}");
    let (head, _) = curl(&house, path, &["--header", "Host: localhost:1", "--header", "Origin: http://localhost:2"]);
    assert!(head.starts_with("HTTP/2 200") && head.contains("\r\naccess-control-allow-origin: http://localhost:2\r\n"));
    let (head, _) = curl(&house, path, &["--header", "Origin: https://evil.example"]);
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    let import = "/api/v1/import?name=b.j2k";
    let (head, _) = curl(&house, import, &["--header", "Origin: https://evil.example", "--request", "POST"]);
    assert!(head.starts_with("HTTP/2 403"), "{head}");
    let long = format!("X-Long: {}", "x".repeat(40 << 10));
    let (head, _) = curl(&house, path, &["--header", &long]);
    assert!(head.starts_with("HTTP/2 431"), "{head}");
}

#[test]
fn what_is_refused_before_its_body_has_come_is_told_so() {
    let house = House::with_files(&[("a.j2k", pictures::tiny())]);
    let file = house.folder().join("body");
    for len in [1, 5000, 64 << 10] {
        std::fs::write(&file, vec![b'x'; len]).unwrap();
        let body = format!("@{}", file.display());
        for (path, header, status) in [
            ("/api/v1/import?name=b.j2k", "Origin: https://evil.example", 403),
            ("/jpip?target=b.j2k&upload=image/j2c", "Origin: https://evil.example", 403),
            ("/jpip?target=b.j2k&upload=image/gif", "X-Of: type", 415),
            ("/jpip?target=b.j2k&upload=image/j2c&fsiz=8,8", "X-Of: part", 501),
            ("/api/v1/import?nonsense=1", "X-Of: field", 400),
            ("/nowhere", "X-Of: path", 404),
            ("/healthz", "X-Of: method", 405),
        ] {
            let (head, said) = curl(&house, path, &["--header", header, "--data-binary", &body]);
            assert!(head.starts_with(&format!("HTTP/2 {status}")), "{path} with {len} bytes: {head}");
            assert!(!said.is_empty(), "{path} with {len} bytes: {head}");
        }
    }
    // A longer body is not waited for: the answer is whole, and the reset behind it says that there is no error.
    let mut client = Client::to(&house, OPEN);
    // The server's window for a stream holds from the time that its settings are acknowledged.
    client.settle();
    client.send_bytes(&frames::post(1, "/nowhere"));
    for _ in 0..5 {
        client.send(DATA, 0, 1, &[b'x'; 16 << 10]);
    }
    assert_eq!(client.read_end(1), DATA);
    let reset = std::iter::from_fn(|| client.next()).find(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.payload), (1, vec![0; 4]));
    client.get(3, "/jpip?target=a.j2k&fsiz=16,16");
    assert_eq!(client.read_end(3), DATA, "the connection goes on");
}

#[test]
fn a_session_goes_on_from_one_protocol_to_the_other() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let (head, first) = curl(&house, "/jpip?target=a.j2k&fsiz=256,256&cnew=http&len=2000", &[]);
    let cid = head.split("jpip-cnew: cid=").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(Response::read(&first).end, 4);
    let rest = house.jpip(&format!("cid={cid}&fsiz=256,256"));
    assert_eq!(rest.end, 1);
    // All was taken over the one and the other, so nothing is left.
    assert_eq!(curl(&house, &format!("/jpip?cid={cid}&fsiz=256,256"), &[]).1, [0, 1, 0]);
    let mut client = Client::to(&house, OPEN);
    let other = channel_of(&house.get("/jpip?target=a.j2k&cnew=http&len=0")).unwrap();
    for stream in [1, 3, 5] {
        client.get(stream, &format!("/jpip?cid={other}&fsiz=256,256"));
        assert_eq!(client.read_end(stream), DATA);
        assert_eq!(Response::read(client.body(stream)).messages.is_empty(), stream > 1, "{stream}");
    }
}

#[test]
fn never_6_what_a_window_keeps_back_is_not_held() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let whole = house.jpip("target=a.j2k&fsiz=256,256");
    for (window, more) in [(0, 0), (100, 0), (100, u32::try_from(whole.len).unwrap() - 100)] {
        let cid = house.channel("a.j2k");
        let mut client = Client::to(&house, window);
        client.get(1, &format!("/jpip?cid={cid}&fsiz=256,256"));
        client.read_body(1, window as usize);
        if more > 0 {
            // All but the end of the response.
            client.widen(1, more);
        }
        client.read_body(1, (window + more) as usize);
        client.settle();
        client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes());
        client.get(3, &format!("/jpip?cid={cid}&fsiz=256,256"));
        client.widen(3, 1 << 20);
        assert_eq!(client.read_end(3), DATA);
        let again = Response::read(client.body(3));
        assert_eq!(again.ids(0), whole.ids(0), "with a window of {window} + {more}");
    }
    // The same when it is the connection that ends.
    let cid = house.channel("a.j2k");
    let mut client = Client::to(&house, 100);
    client.get(1, &format!("/jpip?cid={cid}&fsiz=256,256"));
    client.read_body(1, 100);
    drop(client);
    assert_eq!(house.jpip(&format!("cid={cid}&fsiz=256,256")).ids(0), whole.ids(0));
}

#[test]
fn a_newer_request_ends_the_older_of_its_channel_on_the_same_connection() {
    let house = large();
    let whole = house.jpip("target=noise.j2k&fsiz=1024,1024");
    let cid = house.channel("noise.j2k");
    let mut client = Client::to(&house, 1000);
    client.get(1, &format!("/jpip?cid={cid}&fsiz=1024,1024"));
    client.read_body(1, 1000);
    client.get(3, &format!("/jpip?cid={cid}&fsiz=1024,1024&wait=no"));
    client.settle();
    for stream in [1, 3] {
        client.widen(stream, 1 << 28);
        assert_eq!(client.read_end(stream), DATA);
    }
    let (older, newer) = (Response::read(client.body(1)), Response::read(client.body(3)));
    assert_eq!((older.end, newer.end), (3, 1));
    let bytes = |response: &Response| response.messages.iter().map(|message| message.body.len()).sum::<usize>();
    // The first request of the channel brought headers alone, which are not sent again.
    let of_precincts: usize = whole.messages.iter().filter(|message| message.class == 0).map(|m| m.body.len()).sum();
    let both = bytes(&older) + bytes(&newer);
    assert!((of_precincts..=bytes(&whole)).contains(&both), "{both}: every byte comes once");
}

#[test]
fn a_response_that_nobody_takes_gives_way_to_a_newer_one() {
    let house = large();
    let cid = house.channel("noise.j2k");
    let mut client = Client::to(&house, 1000);
    client.get(1, &format!("/jpip?cid={cid}&fsiz=1024,1024"));
    client.read_body(1, 1000);
    client.get(3, &format!("/jpip?cid={cid}&fsiz=32,32"));
    assert_eq!(client.read_end(1), RST_STREAM);
    client.widen(3, 1 << 20);
    assert_eq!(client.read_end(3), DATA);
    assert_eq!(Response::read(client.body(3)).end, 2);
}

#[test]
fn e1_heads_that_never_end_are_closed() {
    let mut house = House::with_files(&[("a.j2k", pictures::tiny())]);
    let preface = house.connect();
    let mut silent = Client::to(&house, OPEN);
    let mut half = Client::to(&house, OPEN);
    let request = frames::get(1, "/jpip?target=a.j2k");
    half.send_bytes(&request[..request.len() - 3]);
    let mut open = Client::to(&house, OPEN);
    // A header block that is to be continued.
    open.send(HEADERS, END_STREAM, 1, &[0x82]);
    let mut preface = preface;
    preface.send(b"PRI * HTTP/2.0\r\n");
    for client in [&mut silent, &mut half, &mut open] {
        client.read_to_end();
    }
    assert!(preface.try_answer(false).is_none_or(|answer| answer.status == 408));
    assert!(house.is_alive());
}

#[test]
fn e3_slow_readers_cost_no_memory() {
    let house = large();
    let before = house.resident();
    let mut clients = Vec::new();
    for window in [OPEN, 70_000] {
        for _ in 0..2 {
            let mut client = Client::to(&house, window);
            client.settle();
            assert_eq!(client.max_streams, Some(32));
            client.send(frames::WINDOW_UPDATE, 0, 0, &(OPEN - 65_535).to_be_bytes());
            for n in 0..32 {
                client.get(2 * n + 1, "/jpip?target=noise.j2k&fsiz=1024,1024");
            }
            clients.push(client);
        }
    }
    // The answers of others go on meanwhile; each also gives the slow ones time to fill their buffers.
    for _ in 0..20 {
        assert_eq!(house.get("/jpip?target=noise.j2k&fsiz=64,64").status, 200);
    }
    let grown = house.resident().saturating_sub(before);
    assert!(grown < 128 * (256 << 10) + (16 << 20), "{grown} bytes for 128 responses");
}

#[test]
fn e17_floods_end_the_connection() {
    let mut house = House::with_files(&[("a.j2k", pictures::tiny())]);
    let rapid: Vec<u8> = (0..3000)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            let reset = frames::frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
            [frames::get(stream, "/jpip?target=a.j2k&fsiz=16,16"), reset].concat()
        })
        .collect();
    let empty = [frames::post(1, "/jpip"), frames::frame(DATA, 0, 1, &[]).repeat(3000)].concat();
    let pings = frames::frame(PING, 0, 0, b"in order").repeat(3000);
    for (name, bytes) in [("resets", rapid), ("empty data", empty), ("pings", pings)] {
        let mut client = Client::to(&house, OPEN);
        client.send_bytes(&bytes);
        client.read_to_end();
        assert!(house.is_alive(), "{name}");
    }
    // A client that changes its mind now and then is none of these.
    let mut client = Client::to(&house, OPEN);
    for n in 0..100 {
        client.get(4 * n + 1, "/jpip?target=a.j2k&fsiz=16,16");
        client.send(RST_STREAM, 0, 4 * n + 1, &8u32.to_be_bytes());
        client.get(4 * n + 3, "/jpip?target=a.j2k&fsiz=16,16");
        assert_eq!(client.read_end(4 * n + 3), DATA);
    }
}

#[test]
fn e19_work_stops_when_a_stream_is_reset() {
    let house = large();
    let aborted = |house: &House| house.metric("precinct_jpip_aborted_total");
    let before = aborted(&house);
    let mut client = Client::to(&house, 1000);
    client.get(1, "/jpip?target=noise.j2k&fsiz=1024,1024");
    client.read_body(1, 1000);
    assert_eq!(aborted(&house), before);
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    house.wait_until("the response is given up", |house| aborted(house) == before + 1);
    client.get(3, "/jpip?target=noise.j2k&fsiz=16,16");
    client.widen(3, 1 << 20);
    assert_eq!(client.read_end(3), DATA, "the connection goes on");
}

#[test]
fn f14_a_drain_lets_responses_end_and_says_so() {
    let house = large();
    let mut client = Client::to(&house, 1000);
    client.get(1, "/jpip?target=noise.j2k&fsiz=1024,1024");
    client.read_body(1, 1000);
    house.signal("TERM");
    client.widen(1, 1 << 28);
    assert_eq!(client.read_end(1), DATA);
    assert_eq!(Response::read(client.body(1)).end, 1);
    client.read_to_end();
    let (status, _) = house.wait();
    assert!(status.success(), "{status:?}");
}
