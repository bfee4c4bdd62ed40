//! What real JPIP clients need (the numbered points of the interoperability notes): each line broke somebody.

use std::collections::BTreeSet;
use std::io::Read as _;

use codestream::testkit::{files, tiny_codestream};

use crate::house::{Connection, House, channel_of};
use crate::pictures;
use crate::stream::{Cache, MAIN_HEADER, METADATA, PRECINCT, TILE_HEADER};

const ALL: &str = "fsiz=256,256&rsiz=256,256";

fn house() -> House {
    House::with_files(&[("a.j2k", pictures::precincts())])
}

#[test]
fn point_1_header_names_come_in_exact_case() {
    let house = house();
    let answer = house.get(&format!("/jpip?target=a.j2k&cnew=http&qid=1&{ALL}"));
    assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answer.head);
    for name in [
        "JPIP-cnew",
        "JPIP-tid",
        "JPIP-qid",
        "JPIP-fsiz",
        "JPIP-roff",
        "JPIP-rsiz",
        "Content-Type",
        "Content-Length",
        "Cache-Control",
    ] {
        assert!(answer.header(name).is_some(), "no {name} in\n{}", answer.head);
    }
    for line in answer.head.lines().skip(1).filter(|line| line.contains(':')) {
        let name = line.split(':').next().unwrap();
        assert_ne!(name, name.to_lowercase(), "a name in lower case: {line}");
        assert!(!name.starts_with("Jpip"), "a name in title case: {line}");
    }
}

#[test]
fn point_2_connections_are_kept_and_a_channel_belongs_to_none() {
    let house = house();
    let mut one = house.connect();
    let cid = channel_of(&one.get(&format!("/jpip?target=a.j2k&cnew=http&qid=1&{ALL}&len=900"))).unwrap();
    let second = one.get(&format!("/jpip?cid={cid}&qid=2&{ALL}&len=900"));
    assert_eq!(second.status, 200);
    assert!(second.header("Connection").is_none_or(|word| word != "close"));
    let other = house.get(&format!("/jpip?cid={cid}&qid=3&{ALL}"));
    assert_eq!(other.response().end, 1);
    // The model was that of the channel, not of the connection: nothing came twice.
    assert_eq!(one.get(&format!("/jpip?cid={cid}&qid=4&{ALL}")).response().messages, []);
}

#[test]
fn point_3_a_new_channel_is_announced_in_the_form_that_clients_parse() {
    let house = house();
    let answer = house.get("/jpip?target=a.j2k&cnew=http");
    let cid = channel_of(&answer).unwrap();
    assert_eq!(answer.header("JPIP-cnew").unwrap(), format!("cid={cid},path=jpip,transport=http"));
    assert!(cid.len() >= 32, "128 random bits: {cid}");
    assert!(cid.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)));
    // Not announced a second time on a live channel.
    let again = house.get(&format!("/jpip?cid={cid}&fsiz=16,16"));
    assert_eq!((again.status, again.header("JPIP-cnew")), (200, None));
    // Only what was offered is granted; where nothing fits, the answer is stateless.
    let other = house.get("/jpip?target=a.j2k&cnew=http-carrier-pigeon&fsiz=256,256");
    assert_eq!((other.status, other.header("JPIP-cnew")), (200, None));
    assert_eq!(other.response().end, 1);
    let preferred = house.get("/jpip?target=a.j2k&cnew=http-carrier-pigeon,http");
    assert!(preferred.header("JPIP-cnew").unwrap().ends_with(",transport=http"));
}

#[test]
fn point_3_the_public_url_is_part_of_the_path_of_a_channel() {
    let house = House::open_with(&["--public-url", "http://127.0.0.1/images/"]);
    house.import("a.j2k", &pictures::tiny());
    let answer = house.get("/jpip?cnew=http");
    assert!(answer.header("JPIP-cnew").unwrap().contains(",path=images/jpip,"), "{}", answer.head);
}

#[test]
fn point_4_short_answers_have_a_length_and_long_ones_of_a_channel_are_chunked() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(512))]);
    let whole = "fsiz=512,512&rsiz=512,512";
    let stateless = house.get(&format!("/jpip?target=noise.j2k&{whole}"));
    assert!(!stateless.chunked && stateless.body.len() > 256 * 1024);
    let cid = house.channel("noise.j2k");
    let short = house.get(&format!("/jpip?cid={cid}&{whole}&len=20000"));
    assert!(!short.chunked);
    let long = house.get(&format!("/jpip?cid={cid}&{whole}"));
    assert!(long.chunked, "{}", long.head);
    assert_eq!(long.response().end, 1);
    for answer in [stateless, short, long] {
        assert_eq!(answer.header("Content-Type"), Some("image/jpp-stream"));
    }
}

#[test]
fn point_5_every_windowed_reply_names_its_window_and_the_target_id_stays() {
    let house = house();
    let exact = house.get("/jpip?target=a.j2k&fsiz=128,128&roff=8,16&rsiz=40,30&qid=7");
    assert_eq!(exact.header("JPIP-fsiz"), Some("128,128"));
    assert_eq!(exact.header("JPIP-roff"), Some("8,16"));
    assert_eq!(exact.header("JPIP-rsiz"), Some("40,30"));
    assert_eq!(exact.header("JPIP-qid"), Some("7"));
    let plain = house.get("/jpip?target=a.j2k&fsiz=256,256");
    assert_eq!(plain.header("JPIP-roff"), Some("0,0"));
    assert_eq!(plain.header("JPIP-rsiz"), Some("256,256"));
    let rounded = house.get("/jpip?target=a.j2k&fsiz=200,200&roff=50,50&rsiz=100,100");
    assert_eq!(rounded.header("JPIP-fsiz"), Some("128,128"));
    assert_eq!(rounded.header("JPIP-roff"), Some("32,32"));
    assert_eq!(rounded.header("JPIP-rsiz"), Some("64,64"));

    let tid = plain.header("JPIP-tid").unwrap();
    assert!(tid.len() == 32 && tid.bytes().all(|b| b.is_ascii_hexdigit()), "{tid}");
    assert_eq!(house.get("/jpip?target=a.j2k&tid=0").header("JPIP-tid"), Some(tid));
    assert_eq!(house.get(&format!("/jpip?target=a.j2k&tid={tid}")).status, 200);
    let cid = house.channel("a.j2k");
    assert_eq!(house.get(&format!("/jpip?cid={cid}&fsiz=9,9&tid=0")).header("JPIP-tid"), Some(tid));
}

#[test]
fn point_6_pages_of_loopback_origins_can_read_the_headers() {
    let house = house();
    let mut connection = house.connect();
    let origin = [("Origin", "http://localhost:5173")];
    let answer = connection.exchange("GET", "/jpip?target=a.j2k&cnew=http&fsiz=8,8", &origin, &[]);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("http://localhost:5173"));
    let exposed = answer.header("Access-Control-Expose-Headers").unwrap();
    for name in ["JPIP-cnew", "JPIP-tid", "JPIP-qid", "JPIP-fsiz", "JPIP-roff", "JPIP-rsiz"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let preflight = [origin[0], ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-a")];
    let answer = connection.exchange("OPTIONS", "/jpip", &preflight, &[]);
    assert!(answer.status < 300 && answer.header("Access-Control-Allow-Methods").unwrap().contains("POST"));
    let foreign = connection.exchange("GET", "/jpip?target=a.j2k", &[("Origin", "https://evil.example")], &[]);
    assert_eq!(foreign.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn point_7_query_text_is_taken_as_clients_send_it() {
    let house = house();
    let mut connection = house.connect();
    for path in [
        "/jpip?target=a.j2k&metareq=[*]!!&stream=0",
        "/jpip?target=a.j2k&context=jpxl<0-0>&fsiz=64,64,closest&rsiz=64,64&roff=0,0&layers=1&len=2147483647",
        "/jpip?target=a.j2k&context=jpxl%3C0-0%3E&fsiz=64,64",
        "/jpip?target=a.j2k&unknown=\"<>\"&fsiz=64,64",
        "/jpip?target=a.j2k&unknown&handled&fsiz=64,64",
        "/jpip?target=a.j2k&&fsiz=64,64&",
        "//jpip?target=a.j2k&fsiz=64,64",
        "/jpip/a.j2k?fsiz=64,64",
        "/jpip?fsiz=64,64",
        "/jpip?target=a%2Ej2k&fsiz=64%2C64",
        "/jpip?target=a.j2k&stream=0:0&fsiz=64,64",
        "/jpip?target=a.j2k&type=image/jpp-stream&fsiz=64,64",
        "/jpip?target=a.j2k&type=JPP-STREAM&fsiz=64,64",
        "/jpip?target=a.j2k&len=1400000000000000000000&fsiz=64,64",
        "/jpip?target=a.j2k&len=1.4e+21&fsiz=64,64",
    ] {
        let answer = connection.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let response = answer.response();
        assert!([1, 2].contains(&response.end), "{path} ended with {}", response.end);
    }
    // Bytes above 0x7F, as some clients write names.
    connection.send(b"GET /jpip?target=a.j2k&fsiz=64,64&label=\xc3\xa4\xff HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.answer(false).status, 200);
    // The connection has served all of this, and a body afterwards.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = connection.exchange("POST", "/jpip?target=nothing", &form, b"target=a.j2k&fsiz=64,64&model=Hm");
    assert_eq!(posted.status, 200, "the body wins over the URL: {}", posted.text());
    assert!(!posted.response().classes().contains(&MAIN_HEADER));
}

#[test]
fn point_7_a_bare_jpip_with_several_targets_says_so() {
    let house = house();
    house.import("b.j2k", &pictures::tiny());
    let answer = house.get("/jpip?fsiz=64,64");
    assert_eq!(answer.status, 404);
    assert!(answer.text().len() > 20, "{}", answer.text());
}

#[test]
fn point_8_an_unknown_channel_is_503_with_a_reason() {
    let house = house();
    let unknown = house.get("/jpip?cid=0.00000000000000000000000000000000&fsiz=8,8");
    let cid = house.channel("a.j2k");
    assert_eq!(house.get(&format!("/jpip?cid={cid}&cclose=*")).status, 200);
    let closed = house.get(&format!("/jpip?cid={cid}&fsiz=8,8"));
    let nonsense = house.get("/jpip?cid=x&fsiz=8,8");
    for answer in [unknown, closed, nonsense] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text(), "the channel is not known here, or has expired\n");
    }
}

#[test]
fn point_9_the_first_message_of_every_response_carries_class_and_codestream() {
    let house = house();
    let cid = house.channel("a.j2k");
    let mut seen = 0;
    loop {
        let response = house.jpip(&format!("cid={cid}&{ALL}&len=700"));
        let Some(first) = response.messages.first() else { break };
        assert_eq!(first.first >> 5 & 3, 3, "{first:?}");
        seen += 1;
    }
    assert!(seen > 3);
}

#[test]
fn point_10_every_response_ends_with_its_reason() {
    let house = house();
    assert_eq!(house.jpip(&format!("target=a.j2k&{ALL}&len=500")).end, 4);
    assert_eq!(house.jpip("target=a.j2k&fsiz=64,64&rsiz=9,9").end, 2);
    let cid = house.channel("a.j2k");
    assert_eq!(house.jpip(&format!("cid={cid}&{ALL}")).end, 1);
    let nothing = house.get(&format!("/jpip?cid={cid}&{ALL}"));
    assert_eq!(nothing.body, [0, 1, 0], "three bytes when there is nothing new");
    let region = house.channel("a.j2k");
    house.jpip(&format!("cid={region}&fsiz=64,64&rsiz=9,9"));
    assert_eq!(house.get(&format!("/jpip?cid={region}&fsiz=64,64&rsiz=9,9")).body, [0, 2, 0]);
}

#[test]
fn point_11_headers_come_first_and_alone_when_no_window_is_asked() {
    let house = House::with_files(&[
        ("a.j2k", pictures::precincts()),
        ("tiles.j2k", pictures::tiles()),
        ("b.jp2", files::jp2_file(&pictures::tiny())),
    ]);
    let raw = house.jpip("target=a.j2k&type=jpp-stream&stream=0");
    assert_eq!(raw.classes(), [METADATA, MAIN_HEADER, TILE_HEADER]);
    assert!(raw.messages.iter().all(|m| m.complete));
    assert_eq!(raw.messages[0].body, b"", "a raw codestream has an empty metadata-bin 0");
    assert_eq!(&raw.messages[1].body[..2], [0xff, 0x4f]);
    assert_eq!(raw.messages[2].body, b"", "an empty tile header is signalled");
    assert_eq!(raw.end, 2);

    let tiles = house.jpip("target=tiles.j2k");
    assert_eq!(tiles.ids(TILE_HEADER), (0..9).collect::<Vec<_>>());
    let with_marker = tiles.messages.iter().find(|m| m.class == TILE_HEADER && m.id == 4).unwrap();
    assert_eq!(&with_marker.body[..2], [0xff, 0x64], "the COM segment without SOT and SOD");

    let boxed = house.jpip("target=b.jp2");
    let meta = &boxed.messages[0].body;
    assert_eq!((boxed.messages[0].class, boxed.messages[0].id), (METADATA, 0));
    for name in [&b"jP  "[..], b"ftyp", b"jp2h", b"phld"] {
        assert!(meta.windows(4).any(|four| four == name), "no {}", String::from_utf8_lossy(name));
    }
}

#[test]
fn point_12_a_byte_limit_resumes_exactly() {
    let house = house();
    let whole = Cache::of(&house.jpip(&format!("target=a.j2k&{ALL}")));
    // As webjpip.js asks: with a session and no model, the limit doubled until the end.
    let mut cache = Cache::default();
    let mut answer = house.get(&format!("/jpip?target=a.j2k&cnew=http&{ALL}&len=100&qid=1"));
    let cid = channel_of(&answer).unwrap();
    let mut len = 100;
    for qid in 2.. {
        let response = answer.response();
        assert!(response.len <= len, "{} bytes for len={len}", response.len);
        cache.add(&response);
        if response.end != 4 {
            assert!([1, 2].contains(&response.end));
            break;
        }
        len *= 2;
        answer = house.get(&format!("/jpip?cid={cid}&wait=yes&{ALL}&len={len}&qid={qid}"));
        assert!(qid < 30, "no end");
    }
    assert_eq!(cache, whole);
    // And in many small steps of the same length.
    let (mut cache, cid) = (Cache::default(), house.channel("a.j2k"));
    loop {
        let response = house.jpip(&format!("cid={cid}&{ALL}&len=333"));
        cache.add(&response);
        if response.end != 4 {
            break;
        }
        assert!(!response.messages.is_empty(), "no progress");
    }
    assert_eq!(cache, whole);
}

#[test]
fn point_12_len_0_sends_nothing_and_changes_nothing() {
    let house = house();
    let cid = house.channel("a.j2k");
    let nothing = house.jpip(&format!("cid={cid}&{ALL}&len=0"));
    assert_eq!((nothing.messages.len(), nothing.end), (0, 4));
    assert_eq!(Cache::of(&house.jpip(&format!("cid={cid}&{ALL}"))).bins.len(), 3 + 85);
}

/// webjpip.js waits for exactly the precincts that meet the region widened by 4 samples on each side, in the grid of
/// each resolution level.
#[test]
fn point_13_a_region_brings_the_precincts_that_clients_wait_for() {
    let house = house();
    // Precincts of 32 on resolutions of 32, 64, 128 and 256: 1, 4, 16 and 64 of them.
    let first = [0u64, 1, 5, 21];
    for (x, y, w, h) in [(0, 0, 1, 1), (95, 100, 30, 29), (130, 4, 1, 120), (28, 28, 5, 5), (200, 200, 56, 56)] {
        let response = house.jpip(&format!("target=a.j2k&fsiz=256,256&roff={x},{y}&rsiz={w},{h}"));
        let sent: BTreeSet<u64> = response.ids(PRECINCT).into_iter().collect();
        let mut wanted = BTreeSet::new();
        let mut bare = BTreeSet::new();
        for (level, start) in first.into_iter().enumerate() {
            let d = 1u32 << (3 - level);
            let side = 256 / d;
            for (margin, set) in [(4, &mut wanted), (0, &mut bare)] {
                let low = |v: u32| (v / d).saturating_sub(margin) / 32;
                let high = |v: u32| ((v.div_ceil(d) + margin).min(side) - 1) / 32;
                for py in low(y)..=high(y + h) {
                    for px in low(x)..=high(x + w) {
                        set.insert(start + u64::from(py * (side / 32) + px));
                    }
                }
            }
        }
        assert!(sent.is_superset(&wanted), "{x},{y} {w}x{h}: missing {:?}", wanted.difference(&sent));
        assert!(sent.is_superset(&bare));
        assert!(sent.len() < 85, "{x},{y} {w}x{h}: everything was sent");
    }
}

#[test]
fn point_17_channels_are_closed_in_every_way_that_clients_write() {
    let house = house();
    let gone = |cid: &str| house.get(&format!("/jpip?cid={cid}&fsiz=8,8")).status == 503;

    let star = house.channel("a.j2k");
    let closed = house.get(&format!("/jpip?cclose=*&cid={star}"));
    assert_eq!(closed.status, 200);
    assert!(gone(&star));

    let without_cid = house.channel("a.j2k");
    assert_eq!(house.get(&format!("/jpip?cclose={without_cid}")).status, 200);
    assert!(gone(&without_cid));

    let with_len = house.channel("a.j2k");
    assert_eq!(house.get(&format!("/jpip?cclose={with_len}&len=0")).status, 200);
    assert!(gone(&with_len));

    // All channels of a session, after the response to the rest of the request.
    let one = house.channel("a.j2k");
    let two = channel_of(&house.get(&format!("/jpip?cid={one}&cnew=http&fsiz=8,8"))).unwrap();
    let last = house.get(&format!("/jpip?cid={two}&cclose=*&fsiz=64,64&rsiz=9,9"));
    assert!(!last.response().messages.is_empty());
    assert!(gone(&one) && gone(&two));

    // A channel that was opened by a request which then fails is not left behind, for nobody knows its name.
    let open = || {
        let metrics = String::from_utf8(house.get("/metrics").body).unwrap();
        metrics.lines().find(|line| line.starts_with("precinct_jpip_channels")).map(str::to_owned)
    };
    let before = open();
    assert!(before.is_some());
    assert_eq!(house.get("/jpip?target=a.j2k&cnew=http&cclose=n1.unknown&fsiz=8,8").status, 503);
    assert_eq!(open(), before);
}

#[test]
fn point_18_the_head_and_the_first_bytes_of_the_body_arrive_together() {
    let house = house();
    let cid = house.channel("a.j2k");
    for query in [format!("target=a.j2k&{ALL}"), format!("cid={cid}&{ALL}"), format!("cid={cid}&{ALL}")] {
        let mut connection = Connection::to(house.address);
        connection.send(format!("GET /jpip?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        // One look, as OpenJPIP's viewer takes it.
        let mut buffer = vec![0; 1 << 20];
        let n = connection.socket.read(&mut buffer).unwrap();
        let end = buffer[..n].windows(4).position(|four| four == b"\r\n\r\n").expect("not even the head") + 4;
        assert!(n > end, "the head came alone");
    }
}

#[test]
fn windows_of_several_codestreams_and_components() {
    let house = House::with_files(&[("three.jpx", pictures::jpx(3)), ("tiles.j2k", pictures::tiles())]);
    let two = house.jpip("target=three.jpx&stream=0,2&fsiz=16,16");
    let streams: BTreeSet<u64> = two.messages.iter().filter(|m| m.class != METADATA).map(|m| m.codestream).collect();
    assert_eq!(streams, BTreeSet::from([0, 2]));
    let open = house.jpip("target=three.jpx&stream=1-&fsiz=16,16");
    assert_eq!(open.messages.iter().map(|m| m.codestream).max(), Some(2));
    // Components are the second digit of the in-class identifier: I = t + (c + s·3)·9.
    let one = house.jpip("target=tiles.j2k&fsiz=300,270&comps=1");
    assert!(one.ids(PRECINCT).iter().all(|id| id / 9 % 3 == 1));
    assert!(!one.ids(PRECINCT).is_empty());
}

#[test]
fn frames_of_an_object_count_from_1_and_0_is_the_first() {
    let house = House::open();
    let uid = "1.2.826.0.1.3680043.10.99.5";
    house.import("", &pictures::dicom(uid, 3));
    let bins = |stream: &str, number: u64| {
        let cache = Cache::of(&house.jpip(&format!("target={uid}&stream={stream}&fsiz=16,16")));
        let mine = cache.bins.into_iter().filter(|((class, csn, _), _)| *class != METADATA && *csn == number);
        mine.map(|((class, _, id), bytes)| (class, id, bytes)).collect::<Vec<_>>()
    };
    assert!(!bins("1", 1).is_empty());
    assert_eq!(bins("0", 0), bins("1", 1), "id 0 is frame 1 under another number");
    assert_ne!(bins("2", 2), bins("1", 1));
    let all = house.jpip(&format!("target={uid}&stream=1-&fsiz=16,16"));
    let streams: BTreeSet<u64> = all.messages.iter().filter(|m| m.class != METADATA).map(|m| m.codestream).collect();
    assert_eq!(streams, BTreeSet::from([1, 2, 3]));
    let default = house.jpip(&format!("target={uid}&fsiz=16,16"));
    assert!(default.messages.iter().all(|m| m.codestream == 0));
}

#[test]
fn a_model_spares_what_the_client_has_and_need_asks_for_just_that() {
    let house = house();
    let with = house.jpip(&format!("target=a.j2k&{ALL}&model=M0,Hm,H*,P0-3,P5:7"));
    assert!(!with.classes().iter().any(|class| [METADATA, MAIN_HEADER, TILE_HEADER].contains(class)));
    assert!(with.ids(PRECINCT).iter().all(|id| *id > 3));
    assert_eq!(with.messages.iter().find(|m| m.id == 5).unwrap().offset, 7);
    let need = house.jpip(&format!("target=a.j2k&{ALL}&need=P0,P7"));
    let ids: BTreeSet<u64> = need.ids(PRECINCT).into_iter().collect();
    assert_eq!(ids, BTreeSet::from([0, 7]));
    let layers = house.jpip(&format!("target=a.j2k&{ALL}&layers=1"));
    assert!(layers.messages.iter().filter(|m| m.class == PRECINCT).any(|m| !m.complete));
    assert_eq!(house.get(&format!("/jpip?target=a.j2k&{ALL}&layers=9")).header("JPIP-layers"), Some("2"));
}

#[test]
fn a_prefix_of_any_length_is_useful() {
    // Every response that fits the headers has metadata, main header and tile header before the first precinct, and
    // the lowest resolution before the others.
    let house =
        House::with_files(&[("a.j2k", tiny_codestream().size(256, 256).levels(3).precincts(&[(5, 5)]).build())]);
    let response = house.jpip("target=a.j2k&fsiz=256,256");
    let order: Vec<u64> = response.ids(PRECINCT);
    assert_eq!(order[0], 0);
    let level = |id: u64| [0u64, 1, 5, 21].iter().rposition(|first| id >= *first).unwrap();
    assert!(order.windows(2).all(|two| level(two[0]) <= level(two[1])), "{order:?}");
}
