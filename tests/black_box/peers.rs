//! What one request does to other JPIP servers (they die, loop, walk out of their folder, or send the wrong thing), each
//! asked of ours.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;

use codestream::testkit::{files, tiny_codestream};

use crate::house::{House, channel_of, command};
use crate::pictures;
use crate::stream::{Cache, PRECINCT, Response, TILE_HEADER};

fn house() -> House {
    House::with_files(&[("a.j2k", pictures::precincts())])
}

#[test]
fn openjpip_dies_without_index_boxes() {
    let house = House::with_files(&[("plain.jp2", pictures::jp2())]);
    assert_eq!(house.jpip("fsiz=256,256").end, 1);
}

#[test]
fn openjpip_dies_of_a_target_id_alone() {
    let mut house = house();
    let tid = house.get("/jpip?target=a.j2k").header("JPIP-tid").unwrap().to_owned();
    assert_eq!(house.get(&format!("/jpip?tid={tid}&fsiz=8,8")).status, 200, "there is just one target");
    house.import("b.j2k", &pictures::tiny());
    assert!([200, 400, 404].contains(&house.get("/jpip?tid=nonsense").status));
    assert!(house.is_alive());
}

#[test]
fn openjpip_dies_of_a_new_channel_without_a_target() {
    let mut house = house();
    assert!(channel_of(&house.get("/jpip?cnew=http")).is_some(), "the only target there is");
    house.import("b.j2k", &pictures::tiny());
    assert_eq!(house.get("/jpip?cnew=http").status, 404);
    assert!(house.is_alive());
}

#[test]
fn openjpip_dies_of_closing_a_live_channel() {
    let mut house = house();
    for _ in 0..20 {
        let cid = house.channel("a.j2k");
        assert_eq!(house.get(&format!("/jpip?cclose={cid}")).status, 200);
    }
    assert!(house.is_alive());
}

#[test]
fn openjpip_dies_of_metareq_without_brackets() {
    let mut house = house();
    assert_eq!(house.get("/jpip?target=a.j2k&metareq=xml_").status, 400);
    assert!(house.is_alive());
}

#[test]
fn openjpip_dies_of_a_long_target_and_of_a_long_model() {
    let mut house = house();
    assert_eq!(house.get(&format!("/jpip?target={}", "x".repeat(300))).status, 404);
    let model: Vec<String> = (0..200).map(|n| format!("P{n}")).collect();
    assert_eq!(house.get(&format!("/jpip?target=a.j2k&fsiz=8,8&model={}", model.join(","))).status, 200);
    assert!(house.is_alive());
}

#[test]
fn openjpips_decoder_dies_of_the_standards_tile_headers_and_a_channel_keeps_its_dialect() {
    let house = house();
    let tile_header = |response: Response| {
        let is_header = |message: &&crate::stream::Message| message.class == TILE_HEADER;
        response.messages.iter().find(is_header).map(|message| message.body.clone())
    };
    let in_dialect = Some([0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0x93].to_vec());
    // As OpenJPIP's viewer says it, which knows a target's name and nothing else.
    let opened = house.get("/jpip?target=a.j2k&dialect=openjpip&fsiz=64,64&cnew=http&type=jpp-stream");
    let cid = channel_of(&opened).unwrap();
    let tid = opened.header("JPIP-tid").unwrap().to_owned();
    assert_eq!(opened.header("Content-Type"), Some("image/jpp-stream"));
    assert_eq!(tile_header(opened.response()), in_dialect);
    let next = house.get(&format!("/jpip?fsiz=256,256&cid={cid}&type=jpp-stream"));
    assert_eq!(next.header("JPIP-tid"), Some(tid.as_str()));
    let next = next.response();
    assert!(next.messages.iter().all(|message| message.class == PRECINCT), "the rest of it");
    // Another channel of the session speaks as the first does; a target can be asked for by the identifier alone.
    let second = house.get(&format!("/jpip?cid={cid}&cnew=http&fsiz=256,256"));
    assert_eq!((second.header("JPIP-tid"), second.response().messages), (Some(tid.as_str()), vec![]));
    house.import("b.j2k", &pictures::tiles());
    assert_eq!(tile_header(house.jpip(&format!("tid={tid}&dialect=openjpip"))), in_dialect);
    let standard = house.get("/jpip?target=a.j2k&fsiz=64,64");
    assert_ne!(standard.header("JPIP-tid"), Some(tid.as_str()));
    assert_eq!(tile_header(standard.response()), Some(vec![]));
    assert_eq!(house.get("/jpip?target=a.j2k&dialect=kakadu").status, 400);
}

#[test]
fn openjpip_ends_when_anybody_says_so() {
    let mut house = house();
    for path in ["/jpip?quitJPIP", "/jpip?target=a.j2k&quitJPIP", "/quitJPIP", "/?quitJPIP"] {
        house.get(path);
    }
    assert!(house.is_alive());
}

#[test]
fn openjpip_loops_on_index_boxes_of_zeros() {
    let codestream = pictures::tiny();
    let mut file = files::jp2_file(&codestream);
    for name in [*b"iptr", *b"cidx", *b"fidx"] {
        file.extend(files::boxed(name, &[0; 16]));
    }
    // An index box that points at itself, and one that claims to reach the end.
    file.extend(files::boxed(*b"fidx", &files::boxed(*b"prxy", &[0xff; 33])));
    let house = House::with_files(&[("zero.jp2", file), ("plain.jp2", files::jp2_file(&codestream))]);
    let bins = |name: &str| {
        let mut cache = Cache::of(&house.jpip(&format!("target={name}&fsiz=16,16")));
        cache.bins.retain(|(class, _, _), _| *class != 8);
        cache
    };
    assert_eq!(bins("zero.jp2"), bins("plain.jp2"));
}

#[test]
fn openjpip_and_esajpip_walk_out_of_their_folder() {
    let house = house();
    let secret = house.folder().join("secret.j2k");
    std::fs::write(&secret, pictures::tiny()).unwrap();
    for target in [
        "../secret.j2k",
        "..%2fsecret.j2k",
        "%2e%2e/secret.j2k",
        "%2e%2e%2fsecret.j2k",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        secret.to_str().unwrap(),
        "a.j2k/../../secret.j2k",
        "a.j2k%00",
        "./a.j2k",
        "objects",
        "catalog.sqlite",
    ] {
        for path in [format!("/jpip?target={target}"), format!("/jpip/{target}")] {
            let status = house.get(&path).status;
            assert!([400, 404].contains(&status), "{path}: {status}");
        }
    }
}

#[test]
fn openjpip_never_frees_a_session() {
    let house = house();
    let mut memory = Vec::new();
    for _ in 0..3 {
        for _ in 0..300 {
            let cid = house.channel("a.j2k");
            house.get(&format!("/jpip?cid={cid}&fsiz=256,256"));
            house.get(&format!("/jpip?cclose={cid}"));
        }
        memory.push(house.resident());
    }
    assert!(memory[2] < memory[0] + (8 << 20), "{memory:?}");
}

#[test]
fn openjpip_ignores_most_fields() {
    let house = House::with_files(&[("three.jpx", pictures::jpx(3)), ("a.j2k", pictures::precincts())]);
    let whole = house.jpip("target=a.j2k&fsiz=256,256");
    assert!(house.jpip("target=a.j2k&fsiz=256,256&len=500").len <= 500);
    assert!(house.jpip("target=a.j2k&fsiz=256,256&model=P0-80").len < whole.len);
    assert!(house.jpip("target=a.j2k&fsiz=256,256&need=P3").len < whole.len);
    assert!(house.jpip("target=three.jpx&stream=1&fsiz=16,16").messages.iter().any(|m| m.codestream == 1));
    let other = house.get("/jpip?target=a.j2k&fsiz=256,256&quality=50&qid=3&roi=nowhere");
    // One of two layers; what was kept back is told.
    assert_eq!((other.header("JPIP-quality"), Response::read(&other.body).end), (Some("50"), 5));
    assert_eq!(other.header("JPIP-qid"), Some("3"));
    assert_eq!(other.header("JPIP-roi"), Some("roi=no-roi"));
    for (rounding, size) in [("round-down", "128,128"), ("round-up", "256,256"), ("closest", "128,128")] {
        let answer = house.get(&format!("/jpip?target=a.j2k&fsiz=150,150,{rounding}"));
        assert_eq!(answer.header("JPIP-fsiz"), Some(size), "{rounding}");
    }
}

#[test]
fn openjpip_compares_a_window_with_the_precincts_of_lower_resolutions_unscaled() {
    // Precincts that change with the resolution level: 64 at full size, 8 below. The lower right corner needs the
    // lower right precinct of each level.
    let file = tiny_codestream().size(256, 256).levels(2).precincts(&[(3, 3), (4, 4), (6, 6)]).build();
    let house = House::with_files(&[("a.j2k", file)]);
    let ids: BTreeSet<u64> =
        house.jpip("target=a.j2k&fsiz=256,256&roff=240,240&rsiz=16,16").ids(PRECINCT).into_iter().collect();
    // Level 0: 8 × 8 precincts; level 1: 8 × 8; level 2: 4 × 4.
    for last in [63, 127, 143] {
        assert!(ids.contains(&last), "{ids:?}");
    }
    assert!(!ids.contains(&0) && !ids.contains(&64) && !ids.contains(&128), "{ids:?}");
}

#[test]
fn esajpip_dies_without_stream_and_is_silent_without_len() {
    let house = house();
    let answer = house.get("/jpip?target=a.j2k&fsiz=256,256&roff=0,0&rsiz=256,256&type=jpp-stream");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.response().end, 1);
}

#[test]
fn esajpip_sends_one_precinct_when_no_region_is_given() {
    let response = house().jpip("target=a.j2k&fsiz=256,256");
    let ids: BTreeSet<u64> = response.ids(PRECINCT).into_iter().collect();
    assert_eq!(ids.len(), 85);
}

#[test]
fn esajpip_needs_plt_and_one_tile() {
    let house = House::with_files(&[("tiles.j2k", pictures::tiles())]);
    assert_eq!(house.jpip("fsiz=300,270").end, 1);
}

#[test]
fn esajpip_hands_out_the_path_of_the_file() {
    let house = house();
    let answer = house.get("/jpip?target=a.j2k&cnew=http");
    assert!(!answer.header("JPIP-tid").unwrap().contains('/'));
    assert!(!answer.head.contains("a.j2k") && !answer.head.contains("data"), "{}", answer.head);
}

#[test]
fn openhtj2k_serves_one_codestream_to_one_client_at_a_time() {
    let house = House::with_files(&[("a.j2k", pictures::precincts()), ("tiles.j2k", pictures::tiles())]);
    let slow = {
        let mut connection = house.connect();
        connection.send(b"GET /jpip?target=a.j2k&fsiz=256,256 HTTP/1.1\r\n");
        connection
    };
    thread::scope(|scope| {
        for turn in 0..8 {
            let house = &house;
            scope.spawn(move || {
                let mut connection = house.connect();
                for _ in 0..10 {
                    let (name, size) = if turn % 2 == 0 { ("a.j2k", "256,256") } else { ("tiles.j2k", "300,270") };
                    let answer = connection.get(&format!("/jpip?target={name}&fsiz={size}"));
                    assert_eq!(answer.response().end, 1);
                }
            });
        }
    });
    drop(slow);
}

#[test]
fn openhtj2k_loads_nothing_that_has_tiles_and_ships_index_boxes_in_the_first_answer() {
    // A file of many tiny precincts: the whole response stays near the payload.
    let file = tiny_codestream().size(1024, 1024).levels(1).precincts(&[(4, 4)]).code_block(2, 2).build();
    let payload = file.len();
    let house = House::with_files(&[("small_precincts.j2k", file)]);
    let answer = house.get("/jpip?fsiz=1024,1024");
    let precincts = answer.response().ids(PRECINCT).len();
    assert!(answer.body.len() < payload + precincts * 6 + 500, "{} for {payload}", answer.body.len());
}

#[test]
fn a_client_that_goes_away_takes_nothing_with_it() {
    let mut house = House::with_files(&[("noise.j2k", pictures::noise(512))]);
    for _ in 0..50 {
        let mut connection = house.connect();
        connection.send(b"GET /jpip?target=noise.j2k&fsiz=512,512 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        drop(connection);
    }
    let stdin = command().arg("--version").stdout(Stdio::null()).status().unwrap();
    assert!(stdin.success() && house.is_alive());
}
