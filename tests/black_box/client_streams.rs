//! What real JPIP clients need of streams and requests, beside [`crate::client_points`]: the dialects of some, and the
//! requests that each is known to send.

use crate::house::{House, channel_of};
use crate::metadata::with_xml;
use crate::pictures;
use crate::stream::{Cache, MAIN_HEADER, METADATA, PRECINCT, TILE_HEADER};

const ALL: &str = "fsiz=256,256&rsiz=256,256";

#[test]
fn point_15_openhtj2ks_names_of_tile_headers_are_taken() {
    let house = House::with_files(&[("tiles.j2k", pictures::tiles())]);
    let headers = |model: &str| {
        let response = house.jpip(&format!("target=tiles.j2k&fsiz=300,270&model={model}"));
        assert!(!response.classes().contains(&MAIN_HEADER), "{model}");
        response.ids(TILE_HEADER)
    };
    assert!(headers("Hm,Ht*").is_empty());
    assert_eq!(headers("Hm,Ht4"), [0, 1, 2, 3, 5, 6, 7, 8]);
    assert_eq!(headers("Hm,H0-7"), [8]);
}

#[test]
fn point_16_xml_comes_last_and_in_one_message() {
    let house = House::open();
    let document = format!("<?xml version=\"1.0\"?><annotations version=\"1\">{}</annotations>", "é".repeat(25_000));
    house.import("x.jp2", &with_xml(document.as_bytes()));
    let cid = channel_of(&house.get("/jpip?target=x.jp2&cnew=http&len=0")).unwrap();
    for query in [format!("cid={cid}&metareq=[xml_]"), "target=x.jp2&fsiz=256,256&metareq=[xml_]".to_owned()] {
        let response = house.jpip(&query);
        let last = response.messages.iter().rfind(|m| m.class == METADATA).unwrap();
        assert_ne!(last.id, 0, "never in bin 0");
        assert!(last.body == document.as_bytes(), "{query}: {} bytes", last.body.len());
    }
}

/// The shapes of requests that were seen on the wire, one session of each client.
#[test]
fn what_known_clients_send_is_served() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let whole = Cache::of(&house.jpip(&format!("target=a.j2k&{ALL}")));

    // webjpip.js, with a second channel for another view of the same session.
    let opened = house.get("/jpip?target=a.j2k&type=jpp-stream&stream=0&len=10240&qid=1&cnew=http");
    let cid = channel_of(&opened).unwrap();
    let mut cache = Cache::of(&opened.response());
    let window = "wait=yes&fsiz=256,256,closest&rsiz=256,256&roff=0,0";
    cache.add(&house.jpip(&format!("cid={cid}&{window}&layers=1&len=10240&qid=2")));
    let second = house.get(&format!("/jpip?cid={cid}&cnew=http&len=10240&qid=1"));
    let second = channel_of(&second).unwrap();
    cache.add(&house.jpip(&format!("cid={second}&{window}&len=2000000&qid=2")));
    assert!(cache == whole, "both channels have one cache");
    assert_eq!(house.get(&format!("/jpip?cclose=*&cid={cid}")).status, 200);
    assert_eq!(house.get(&format!("/jpip?cid={second}&{window}&qid=3")).status, 503);

    // JHelioviewer: a new connection each time, and a limit that is none.
    let context = "len=2147483647&rsiz=256,256&fsiz=256,256,closest&context=jpxl<0-0>";
    let opened = house.get(&format!("/jpip/a.j2k?{context}&cnew=http&type=jpp-stream&roff=0,0&layers=8"));
    assert!(Cache::of(&opened.response()) == whole);
    // SWHV: to the image's path, then to that of the channel; everything about metadata, window by window.
    let opened = house.get("/jpip/a.j2k?len=512&cnew=http&type=jpp-stream&tid=0");
    let cid = channel_of(&opened).unwrap();
    let mut cache = Cache::of(&opened.response());
    loop {
        let response = house.jpip(&format!("stream=0&metareq=[*]!!&len=2000000&cid={cid}"));
        cache.add(&response);
        if [1, 2].contains(&response.end) {
            break;
        }
    }
    cache.add(&house.jpip(&format!("stream=0&fsiz=256,256,closest&rsiz=256,256&roff=0,0&len=2097152&cid={cid}")));
    assert!(cache == whole);
    assert_eq!(house.get(&format!("/jpip?cclose={cid}&len=0")).status, 200);

    // OpenJPIP's viewer: regions without a target, then the boxes, then the end.
    let opened = house.get("/jpip?target=a.j2k&fsiz=256,256&cnew=http&type=jpt-stream");
    let cid = channel_of(&opened).unwrap();
    for query in ["fsiz=256,256&roff=10,10&rsiz=50,50&type=jpt-stream", "metareq=[xml_]"] {
        assert_eq!(house.jpip(&format!("{query}&cid={cid}")).messages, [], "{query}");
    }
    assert_eq!(house.get(&format!("/jpip?cclose={cid}")).status, 200);

    // OpenHTJ2K: no target, no session, a connection that ends.
    let mut connection = house.connect();
    let query = "/jpip?fsiz=256,256,closest&roff=0,0&rsiz=256,256&comps=0&type=jpp-stream&model=Hm,Ht*,M0,P0,P1,P2";
    let answer = connection.exchange("GET", query, &[("Connection", "close")], &[]);
    assert!(answer.response().ids(PRECINCT).iter().all(|id| *id > 2));
}
