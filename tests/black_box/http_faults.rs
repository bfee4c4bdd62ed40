//! Faults E1 to E26 of the fault list that concern what exists: hostile and broken HTTP and JPIP requests.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::house::{Answer, House, channel_of};
use crate::pictures;

fn house() -> House {
    House::with_files(&[("a.j2k", pictures::precincts())])
}

#[test]
fn e1_a_head_that_never_ends_is_closed_within_ten_seconds() {
    let mut house = house();
    let began = Instant::now();
    let mut slow = house.connect();
    slow.send(b"GET /jpip?target=a.j2k HTTP/1.1\r\n");
    thread::scope(|scope| {
        // Other clients are served meanwhile, and half-open connections by the hundred change nothing.
        let crowd: Vec<_> = (0..300).map(|_| house.connect()).collect();
        scope.spawn(|| {
            for _ in 0..20 {
                assert_eq!(house.get("/jpip?target=a.j2k&fsiz=64,64").status, 200);
            }
        });
        let answer = slow.try_answer(false);
        assert!(answer.is_none_or(|answer| answer.status == 408));
        drop(crowd);
    });
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    assert!(house.is_alive());
}

#[test]
fn e2_an_upload_that_falls_silent_is_given_up() {
    let mut house = house();
    let began = Instant::now();
    let mut slow = house.connect();
    slow.send(b"POST /api/v1/import?name=slow.j2k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc");
    assert!(slow.try_answer(false).is_none_or(|answer| answer.status == 408));
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    assert!(house.is_alive());
    assert_eq!(std::fs::read_dir(house.data().join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let house = house();
    {
        let mut connection = house.connect();
        let head = "POST /api/v1/import?name=half.j2k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        connection.send(head.as_bytes());
        connection.send(&pictures::tiny());
    }
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_dir(house.data().join("tmp")).unwrap().count() > 0 {
        assert!(Instant::now() < until, "the temporary file stays");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(house.get("/jpip?target=half.j2k").status, 404);
}

#[test]
fn c18_a_pixel_data_provider_url_is_never_fetched() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/latest/meta-data?target=x", listener.local_addr().unwrap());
    let uid = "1.2.826.0.1.3680043.10.92.1";
    let mut object = pictures::object(uid, "1.2.840.10008.1.2.4.94", 1);
    object.attributes().put(0x0028_7fe0, "UR", &url);
    let mut house = House::open();
    house.import("", &object.to_bytes().unwrap());
    let answer = house.get(&format!("/jpip?target={uid}&fsiz=16,16"));
    assert_eq!(answer.status, 501);
    assert!(!answer.text().contains("latest"), "{}", answer.text());
    assert!(house.is_alive());
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
}

#[test]
fn e3_slow_readers_cost_no_memory() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let whole = house.get("/jpip?target=noise.j2k&fsiz=1024,1024").body.len() as u64;
    assert!(whole > 2 << 20);
    let before = house.resident();
    let readers: Vec<_> = (0..60)
        .map(|_| {
            let mut connection = house.connect();
            connection.send(b"GET /jpip?target=noise.j2k&fsiz=1024,1024 HTTP/1.1\r\nHost: localhost\r\n\r\n");
            connection
        })
        .collect();
    // The answers of others go on meanwhile; each also gives the slow ones time to fill their buffers.
    for _ in 0..20 {
        assert_eq!(house.get("/jpip?target=noise.j2k&fsiz=64,64").status, 200);
    }
    let grown = house.resident().saturating_sub(before);
    assert!(grown < 60 * (512 << 10) + (16 << 20), "{grown} bytes for {} readers", readers.len());
    drop(readers);
}

#[test]
fn e4_an_announced_length_is_refused_before_anything_is_kept() {
    let house = House::open_with(&["--max-import-bytes", "1000000"]);
    let before = house.resident();
    for path in ["/jpip", "/api/v1/import?name=big.j2k"] {
        let mut connection = house.connect();
        connection
            .send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967296\r\n\r\n").as_bytes());
        let answer = connection.answer(false);
        assert_eq!(answer.status, 413, "{path}: {}", answer.text());
    }
    assert!(house.resident() < before + (8 << 20));
}

#[test]
fn e5_and_e6_bodies_are_taken_as_they_are_and_never_inflated() {
    let mut house = house();
    let before = house.resident();
    // The head of a gzip member and of a ZIP entry that announce gigabytes.
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 4000]].concat();
    let zip = [&b"PK\x03\x04\x14\0\0\0\x08\0"[..], &[0xff; 4000]].concat();
    for (encoding, body) in [("gzip", &gzip), ("deflate", &zip), ("identity", &zip)] {
        for path in ["/api/v1/import?name=x.j2k", "/jpip"] {
            let answer = house.connect().exchange("POST", path, &[("Content-Encoding", encoding)], body);
            // As a query the bytes are an unknown field, which is passed over.
            let expected: &[u16] = if path == "/jpip" { &[200, 400, 415] } else { &[415, 422] };
            assert!(expected.contains(&answer.status), "{path} {encoding}: {}", answer.status);
        }
    }
    assert!(house.is_alive() && house.resident() < before + (16 << 20));
}

#[test]
fn e7_bodies_of_a_hundred_thousand_parts_are_no_files() {
    let mut house = house();
    let before = house.resident();
    let part = "--x\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n".repeat(100_000);
    let kind = [("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=x")];
    // With the boundary that ends it, and without.
    for body in [format!("{part}--x--\r\n"), part] {
        let answer = house.connect().exchange("POST", "/api/v1/import?name=x.dcm", &kind, body.as_bytes());
        assert!([415, 422].contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    assert!(house.is_alive() && house.resident() < before + (32 << 20));
}

#[test]
fn e8_request_lines_forms_and_heads_have_limits() {
    let mut house = house();
    let long = house.get(&format!("/jpip?target=a.j2k&label={}", "x".repeat(17 << 10)));
    assert!([414, 431].contains(&long.status), "{}", long.status);
    // Just below it is taken.
    assert_eq!(house.get(&format!("/jpip?target=a.j2k&label={}", "x".repeat(15 << 10))).status, 200);
    // A form may be long: models are.
    let model = (0..400_000).map(|n| format!("P{n}")).collect::<Vec<_>>().join(",");
    let form = format!("target=a.j2k&fsiz=256,256&model={model}");
    assert_eq!(house.post("/jpip", form.as_bytes()).status, 200);
    let mut connection = house.connect();
    connection.send(b"POST /jpip HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..18 {
        connection.send(&piece);
    }
    connection.send(b"0\r\n\r\n");
    assert!(connection.try_answer(false).is_none_or(|answer| answer.status == 413));
    assert!(house.is_alive());
}

#[test]
fn e9_byte_limits() {
    let house = house();
    for (len, status) in [("-1", 400), ("9223372036854775808", 200), ("0", 200), ("", 400), ("1.5", 400), ("0x10", 400)]
    {
        let answer = house.get(&format!("/jpip?target=a.j2k&fsiz=64,64&len={len}"));
        assert_eq!(answer.status, status, "len={len}: {}", answer.text());
    }
    assert_eq!(house.get("/jpip?target=a.j2k&fsiz=64,64&len=0").body, [0, 4, 0]);
    let small = house.get("/jpip?target=a.j2k&fsiz=64,64&len=1");
    assert_eq!(small.body, [0, 4, 0]);
    assert!(small.header("JPIP-len").unwrap().parse::<u64>().unwrap() > 1);
}

#[test]
fn e10_windows_of_nothing() {
    let house = house();
    for fields in [
        "fsiz=0,5",
        "fsiz=5,0",
        "fsiz=0,0",
        "fsiz=4294967296,1",
        "fsiz=-1,1",
        "fsiz=1",
        "fsiz=1,2,3",
        "rsiz=5,5",
        "fsiz=1,1,nearest",
        "fsiz=8,8&roff=-1,0",
        "fsiz=8,8&fsiz=9,9",
    ] {
        let answer = house.get(&format!("/jpip?target=a.j2k&{fields}"));
        assert_eq!(answer.status, 400, "{fields}: {}", answer.text());
    }
    for fields in [
        "fsiz=256,256&rsiz=0,5",
        "fsiz=256,256&roff=256,0&rsiz=5,5",
        "fsiz=256,256&roff=4294967295,9&rsiz=4294967295,9",
    ] {
        let response = house.jpip(&format!("target=a.j2k&{fields}"));
        assert_eq!(response.end, 2, "{fields}");
        assert!(response.messages.iter().all(|m| m.class != 0), "{fields}: headers only");
    }
}

#[test]
fn e11_models_of_a_million_descriptors() {
    let mut house = house();
    let before = house.resident();
    let ask =
        |count| house.post("/jpip", format!("target=a.j2k&fsiz=256,256&model={}Hm", "P0,".repeat(count)).as_bytes());
    assert_eq!(ask(999_999).status, 200);
    assert_eq!(ask(1_000_000).status, 400, "one more than a request may name");
    for model in [
        "P*",
        "P0-18446744073709551615",
        "[0-18446744073709551615]P*,H*",
        "t*c*r*p*",
        "[7],Hm,P0",
        "-P*",
        "P3:L1,-P3:2",
    ] {
        assert_eq!(house.get(&format!("/jpip?target=a.j2k&fsiz=256,256&model={model}")).status, 200, "{model}");
    }
    // Of another codestream: this one is sent whole.
    let other: BTreeSet<u64> = house.jpip("target=a.j2k&fsiz=256,256&model=[7],Hm,P*").ids(0).into_iter().collect();
    assert_eq!(other.len(), 85);
    for model in ["P", "Q1", "P1:", "[0", "P1;P2"] {
        assert_eq!(house.get(&format!("/jpip?target=a.j2k&fsiz=256,256&model={model}")).status, 400, "{model}");
    }
    assert!(house.resident() < before + (100 << 20));
    assert!(house.is_alive());
}

#[test]
fn e12_unknown_expired_and_foreign_channels_look_the_same() {
    let (house, other) = (house(), house());
    let closed = house.channel("a.j2k");
    house.get(&format!("/jpip?cclose={closed}"));
    let foreign = other.channel("a.j2k");
    let mut bodies: Vec<_> = [closed, foreign, "0.ffffffffffffffffffffffffffffffff".to_owned()]
        .iter()
        .map(|cid| {
            let answer = house.get(&format!("/jpip?cid={cid}&fsiz=8,8"));
            (answer.status, answer.body)
        })
        .collect();
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0].0, 503);
}

#[test]
fn e13_request_ids_used_twice_and_out_of_order() {
    let house = house();
    let cid = house.channel("a.j2k");
    for qid in [5u64, 5, 3, 4_294_967_295, 1] {
        let answer = house.get(&format!("/jpip?cid={cid}&qid={qid}&fsiz=256,256&len=700"));
        assert_eq!((answer.status, answer.header("JPIP-qid")), (200, Some(qid.to_string().as_str())));
    }
}

#[test]
fn e14_a_flood_of_channels_is_refused_and_the_first_ones_live_on() {
    let mut house = House::open_with(&["--max-channels", "20"]);
    house.import("a.j2k", &pictures::tiny());
    let mut refused = 0;
    let mut cids = Vec::new();
    for _ in 0..100 {
        let answer = house.get("/jpip?target=a.j2k&cnew=http&fsiz=16,16");
        match channel_of(&answer) {
            Some(cid) => cids.push(cid),
            None => {
                assert_eq!(answer.status, 503);
                assert!(answer.header("Retry-After").is_some(), "{}", answer.head);
                refused += 1;
            }
        }
    }
    assert_eq!((cids.len(), refused), (20, 80));
    assert_eq!(house.get(&format!("/jpip?cid={}&fsiz=16,16", cids[0])).status, 200);
    assert_eq!(house.get(&format!("/jpip?cclose={}", cids[1])).status, 200);
    assert!(channel_of(&house.get("/jpip?target=a.j2k&cnew=http")).is_some(), "a place has become free");
    assert!(house.is_alive());
}

#[test]
fn e15_names_that_want_to_be_paths() {
    let house = house();
    for name in
        ["../x.j2k", "a/../../x.j2k", "/etc/x.j2k", "a%00b.j2k", "a%0ab.j2k", "", "%2e", "1.2.840.10008", "series/x"]
    {
        let answer = house.post(&format!("/api/v1/import?name={name}"), &pictures::tiny());
        assert!([400, 422].contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
    }
    assert!(!house.folder().join("x.j2k").exists());
}

#[test]
fn e16_types_and_fields_that_are_not_ours() {
    let house = house();
    for types in ["image/gif", "text/html,image/png"] {
        assert_eq!(house.get(&format!("/jpip?target=a.j2k&type={types}")).status, 415, "{types}");
    }
    assert_eq!(house.get("/jpip?target=a.j2k&type=image/gif,jpp-stream").status, 200);
    assert_eq!(house.get("/jpip?target=a.j2k&mcres=5&barset=1&x=%zz&fsiz=8,8").status, 200);
}

#[test]
fn e18_a_request_framed_in_two_ways_is_refused() {
    let mut house = house();
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
    ] {
        let mut connection = house.connect();
        connection.send(
            format!(
                "POST /jpip HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            .as_bytes(),
        );
        let first = connection.try_answer(false);
        assert!(first.as_ref().is_none_or(|answer| answer.status == 400), "{framing}: {}", first.unwrap().head);
        assert!(connection.try_answer(false).is_none(), "{framing}: what was smuggled was answered");
    }
    assert!(house.is_alive());
}

#[test]
fn e19_work_stops_when_the_client_has_gone() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let cid = house.channel("noise.j2k");
    {
        let mut connection = house.connect();
        connection.send(format!("GET /jpip?cid={cid}&fsiz=1024,1024 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    }
    // What was not delivered is not in the cache model: the next request of the channel gets all of it.
    // The server may come to the lost request last, which then ends the one after it early, as any newer one does.
    let mut cache = crate::stream::Cache::default();
    let end = loop {
        let response = house.jpip(&format!("cid={cid}&fsiz=1024,1024"));
        cache.add(&response);
        if response.end != 3 {
            break response.end;
        }
    };
    let all = house.jpip("target=noise.j2k&fsiz=1024,1024");
    assert_eq!((cache.bins, end), (crate::stream::Cache::of(&all).bins, all.end));
}

#[test]
fn e20_one_channel_from_fifty_sockets() {
    let house = house();
    let whole = crate::stream::Cache::of(&house.jpip("target=a.j2k&fsiz=256,256"));
    let cid = house.channel("a.j2k");
    let mut answers: Vec<_> = thread::scope(|scope| {
        let sockets: Vec<_> = (0..50)
            .map(|_| {
                let (house, cid) = (&house, &cid);
                scope.spawn(move || house.get(&format!("/jpip?cid={cid}&wait=yes&fsiz=256,256&len=600")))
            })
            .collect();
        sockets.into_iter().map(|socket| socket.join().unwrap()).collect()
    });
    loop {
        let answer = house.get(&format!("/jpip?cid={cid}&fsiz=256,256"));
        let end = answer.response().end;
        answers.push(answer);
        if end != 4 {
            break;
        }
    }
    // Whatever the order was, every byte has come exactly once.
    let mut bytes = 0;
    for answer in answers.iter().filter(|answer| answer.status == 200 && !answer.body.is_empty()) {
        bytes += answer.response().messages.iter().map(|m| m.body.len()).sum::<usize>();
    }
    assert_eq!(bytes, whole.bins.values().map(|(bytes, _)| bytes.len()).sum::<usize>());
}

#[test]
fn d_2_numbers_and_what_is_handled_are_told_in_every_answer() {
    let house = house();
    let cid = house.channel("a.j2k");
    let told = |answer: &Answer| {
        assert_eq!(answer.header("JPIP-qid"), Some("7"), "{}", answer.head);
        let handled = answer.header("JPIP-handled").unwrap_or_default();
        assert!(handled.starts_with("target,") && handled.ends_with(",dialect=openjpip"), "{}", answer.head);
        answer.status
    };
    for (query, status) in [
        ("target=a.j2k&fsiz=16,16".to_owned(), 200),
        ("target=a.j2k&type=raw".to_owned(), 200),
        ("target=a.j2k&type=foo/bar".to_owned(), 415),
        ("target=none".to_owned(), 404),
        ("target=a.j2k&fsiz=x".to_owned(), 400),
        ("target=a.j2k&subtarget=0-9".to_owned(), 501),
        ("cid=none".to_owned(), 503),
        (format!("cid={cid}&target=none"), 404),
        (format!("cid={cid}&cclose=none"), 503),
        (format!("cid={cid}&cclose=*"), 200),
    ] {
        let answer = house.get(&format!("/jpip?{query}&qid=7&handled"));
        assert_eq!(told(&answer), status, "{query}");
    }
    let wrong = b"qid=7&handled&fsiz=x\r\n";
    assert_eq!(told(&house.post("/jpip?target=a.j2k&qid=8", wrong)), 400, "the body goes before the query");
    assert_eq!(told(&house.post("/jpip?target=b.j2k&upload=image/png&qid=7&handled", b"?")), 415);
    let plain = house.get("/jpip?target=none");
    assert_eq!((plain.header("JPIP-qid"), plain.header("JPIP-handled")), (None, None));
}

#[test]
fn e23_metadata_requests_of_any_size() {
    let mut house = house();
    let terms = vec!["[xml_:5;asoc/wsg!]R0D3"; 100_000].join(",");
    let answer = house.post("/jpip", format!("target=a.j2k&metareq={terms}").as_bytes());
    assert!([200, 400, 413].contains(&answer.status), "{}", answer.status);
    assert_eq!(house.get(&format!("/jpip?target=a.j2k&metareq={}", "[".repeat(9000))).status, 400);
    assert!(house.is_alive());
}

#[test]
fn e17_a_peer_that_says_no_more_than_an_http_2_preface_does_no_harm() {
    let mut house = house();
    let mut connection = house.connect();
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(connection.try_answer(false).is_none_or(|answer| answer.status >= 400));
    assert!(house.is_alive());
}

#[test]
fn e24_ranges_by_the_hundred_thousand_change_nothing() {
    let mut house = house();
    let uid = "1.2.826.0.1.3680043.10.93.1";
    house.import("", &pictures::dicom(uid, 1));
    let ranges = |count| format!("bytes={}", vec!["0-"; count].join(","));
    for (path, whole) in [
        (format!("/api/v1/instances/{uid}/file"), pictures::dicom(uid, 1)),
        ("/jpip?target=a.j2k&type=raw".to_owned(), pictures::precincts()),
        ("/jpip?target=a.j2k&fsiz=64,64".to_owned(), house.get("/jpip?target=a.j2k&fsiz=64,64").body),
    ] {
        let answer = house.connect().exchange("GET", &path, &[("Range", &ranges(100_000))], &[]);
        assert_eq!(answer.status, 431, "{path}");
        // As many as a head may hold, all of which overlap: what is served is all of it, once.
        let answer = house.connect().exchange("GET", &path, &[("Range", &ranges(5400))], &[]);
        assert!((answer.status, answer.body.len()) == (200, whole.len()) && answer.body == whole, "{path}");
    }
    assert!(house.is_alive());
}

#[test]
fn e25_heads_of_64_kilobytes() {
    let mut house = house();
    let mut connection = house.connect();
    let accept = "text/html;q=0.5,".repeat(6000);
    let answer = connection.exchange("GET", "/healthz", &[("Accept", accept.trim_end_matches(','))], &[]);
    assert_eq!(answer.status, 431);
    assert!(house.is_alive());
}

#[test]
fn e26_pages_of_other_sites_change_nothing() {
    let house = House::open();
    let tiny = pictures::tiny();
    for headers in [
        [("Origin", "https://evil.example"), ("Content-Type", "text/plain")],
        [("Sec-Fetch-Site", "cross-site"), ("Content-Type", "application/octet-stream")],
    ] {
        // A connection each: who is refused before the body has come may find the connection closed after the answer.
        let answer = house.connect().exchange("POST", "/api/v1/import?name=a.j2k", &headers, &tiny);
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    // DNS rebinding: a foreign name that leads to loopback.
    let mut other = house.connect();
    other.send(b"GET /api/v1/targets HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(other.answer(false).status, 403);
    let own = [("Origin", "http://127.0.0.1:3000")];
    assert_eq!(house.connect().exchange("POST", "/api/v1/import?name=a.j2k", &own, &tiny).status, 201);
}

#[test]
fn methods_and_routes_that_do_not_exist() {
    let house = house();
    let mut connection = house.connect();
    assert_eq!(connection.get("/nothing").status, 404);
    assert_eq!(connection.exchange("DELETE", "/jpip?target=a.j2k", &[], &[]).status, 405);
    assert_eq!(connection.exchange("HEAD", "/jpip?target=a.j2k&fsiz=64,64", &[], &[]).status, 200);
    assert!([404, 405].contains(&connection.exchange("PUT", "/api/v1/import", &[], b"x").status));
}

#[test]
fn more_connections_than_allowed_are_told_so() {
    let mut house = House::open_with(&["--max-connections", "5"]);
    let held: Vec<_> = (0..5)
        .map(|_| {
            let mut connection = house.connect();
            assert_eq!(connection.get("/healthz").status, 200);
            connection
        })
        .collect();
    let mut one_more = house.connect();
    one_more.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(one_more.try_answer(false).is_none_or(|answer| answer.status == 503));
    drop(held);
    let until = Instant::now() + Duration::from_secs(10);
    while !house.is_alive_now() {
        assert!(Instant::now() < until, "places do not become free");
    }
}
