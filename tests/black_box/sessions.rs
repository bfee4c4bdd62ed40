//! Sessions of several channels and several targets: who waits for whom, who ends whose response, and who is refused
//! [15444-9 B, C.3].

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use crate::house::{Connection, House, channel_of};
use crate::pictures;
use crate::stream::{Cache, PRECINCT, Response};
use crate::transports::{auxport, chunks, connect};

fn house() -> House {
    House::with_files(&[("a.j2k", pictures::precincts()), ("b.j2k", pictures::tiles())])
}

/// Requests that the server has read so far.
fn requests(house: &House) -> u64 {
    let text = house.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with("precinct_jpip_requests_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Sends a request and waits until the server has read it; the answer is still to come.
fn ask(house: &House, query: &str) -> Connection {
    let before = requests(house);
    let mut connection = house.connect();
    connection.send(format!("GET /jpip?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    house.wait_until("the request is read", |house| requests(house) > before);
    connection
}

/// Bytes of responses that were made.
const MADE: &str = "precinct_jpip_body_bytes_total";

/// What the end of a response and the message heads that chunks have beyond those made may take, in bytes.
const HEADS: u64 = 1024;

#[test]
fn c_3_5_requests_that_overtake_each_other_are_planned_in_the_order_of_their_numbers() {
    let house = house();
    let mut in_order = 0;
    for _ in 0..10 {
        let opened = house.get("/jpip?target=a.j2k&cnew=http&qid=1&len=0");
        let cid = channel_of(&opened).unwrap();
        let mut later = ask(&house, &format!("cid={cid}&qid=3&wait=yes&fsiz=256,256"));
        let earlier = house.jpip(&format!("cid={cid}&qid=2&wait=yes&fsiz=64,64"));
        let later = later.answer(false).response();
        // Whatever the order was, nothing comes twice and nothing is missing.
        let is_in_order = !earlier.messages.is_empty();
        let (first, second) = if is_in_order { (earlier, later) } else { (later, earlier) };
        let mut cache = Cache::of(&first);
        cache.add(&second);
        assert_eq!(cache.bins.keys().filter(|(class, ..)| *class == PRECINCT).count(), 85);
        in_order += u32::from(is_in_order);
    }
    // A machine that is busy with other things may bring one too late.
    assert!(in_order >= 5, "{in_order} of 10");
}

#[test]
fn e13_a_number_that_never_comes_holds_up_nobody() {
    let house = house();
    let cid = channel_of(&house.get("/jpip?target=a.j2k&cnew=http&qid=1&len=0")).unwrap();
    for qid in [3u64, 100, 7, 1_000_000, 4_000_000, 2, 4_294_967_295, 5] {
        let answer = house.get(&format!("/jpip?cid={cid}&qid={qid}&fsiz=64,64"));
        assert_eq!((answer.status, answer.header("JPIP-qid")), (200, Some(qid.to_string().as_str())));
    }
    // One that is refused has been processed all the same.
    let refused = house.get(&format!("/jpip?cid={cid}&qid=6&target=b.j2k&fsiz=64,64"));
    assert_eq!(refused.status, 400);
}

#[test]
fn e21_a_response_that_nobody_fetches_holds_up_its_own_data_bins_and_nothing_else() {
    let house = house();
    let opened = house.get("/jpip?target=a.j2k&fsiz=256,256&cnew=http-tcp");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    // The response waits for a connection that does not come. Another target, and another stream of the same one.
    let other = house.get(&format!("/jpip?cid={cid}&cnew=http&target=b.j2k&fsiz=300,270"));
    assert_eq!(other.response().end, 1, "{}", other.head);
    let b = channel_of(&other).unwrap();
    let tiles = house.get(&format!("/jpip?cid={cid}&cnew=http&type=jpt-stream&fsiz=256,256"));
    assert_eq!((tiles.header("Content-Type"), tiles.response().end), (Some("image/jpt-stream"), 1));
    let again = house.get(&format!("/jpip?cid={b}&fsiz=300,270"));
    assert_eq!(again.response().messages, [], "one session, one model for each target");
    // The same data-bins on another channel of the session: planned once the first response has been acknowledged.
    let mut same = ask(&house, &format!("cid={b}&cnew=http&target=a.j2k&fsiz=256,256"));
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    assert_eq!(Response::read(&chunks(&mut tcp, usize::MAX).concat()).end, 1);
    let same = same.answer(false).response();
    assert_eq!((same.messages, same.end), (Vec::new(), 1), "nothing comes twice");
}

#[test]
fn c_3_6_over_tcp_a_newer_request_ends_a_long_response_at_a_message() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let whole = Cache::of(&house.jpip("target=noise.j2k&fsiz=1024,1024"));
    let before = house.metric(MADE);
    let opened = house.get("/jpip?target=noise.j2k&fsiz=1024,1024&cnew=http-tcp");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    // Nothing is acknowledged yet, so the response stands still.
    let made = house.settled(MADE) - before;
    let mut newer = ask(&house, &format!("cid={cid}&fsiz=64,64"));
    house.settled("precinct_jpip_requests_total");
    assert_eq!(house.metric(MADE) - before, made, "nothing more while the client has enough to take");
    let first = Response::read(&chunks(&mut tcp, usize::MAX).concat());
    assert_eq!(first.end, 3, "the window has changed");
    assert!(made < 256 << 10 && first.len as u64 <= made + HEADS, "{} bytes after {made}", first.len);
    assert_eq!(newer.answer(false).status, 200);
    let second = Response::read(&chunks(&mut tcp, usize::MAX).concat());
    assert_eq!(second.end, 2);
    assert_eq!(house.get(&format!("/jpip?cid={cid}&fsiz=1024,1024")).status, 200);
    let rest = Response::read(&chunks(&mut tcp, usize::MAX).concat());
    let mut cache = Cache::of(&first);
    cache.add(&second);
    cache.add(&rest);
    assert!(!rest.messages.is_empty() && cache == whole);
}

#[test]
fn c_3_6_in_datagrams_a_newer_request_ends_a_long_response_at_a_message() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let here = socket.local_addr().unwrap();
    let before = house.metric(MADE);
    let opened = house.get(&format!("/jpip?target=noise.j2k&fsiz=1024,1024&qid=5&cnew=http-udp&sendto={here}"));
    let cid = channel_of(&opened).unwrap();
    socket.connect(("127.0.0.1", auxport(&opened))).unwrap();
    let (mut newer, mut made) = (None, 0);
    let mut bytes = [0; 2048];
    // Chunks of a response by their numbers, until all up to the last one are there.
    let mut response = |qid: u8| {
        let mut chunks = std::collections::BTreeMap::new();
        let mut last = None;
        while last.is_none_or(|last: u32| chunks.len() <= last as usize) {
            let len = socket.recv(&mut bytes).unwrap();
            if bytes[0] & 0x80 != 0 {
                socket.send(&bytes[..len]).unwrap();
                continue;
            }
            if newer.is_none() {
                made = house.settled(MADE) - before;
                newer = Some(ask(&house, &format!("cid={cid}&qid=6&fsiz=64,64")));
                house.settled("precinct_jpip_requests_total");
                assert_eq!(house.metric(MADE) - before, made, "nothing more while the client has enough to take");
            }
            socket.send(&bytes[..8]).unwrap();
            if bytes[2..4] == [0, qid] {
                let number = u32::from_be_bytes([0, bytes[4], bytes[5], bytes[6]]);
                if bytes[0] & 0x10 != 0 {
                    last = Some(number);
                }
                chunks.insert(number, bytes[8..len].to_vec());
            }
        }
        Response::read(&chunks.into_values().collect::<Vec<_>>().concat())
    };
    let first = response(5);
    assert_eq!(first.end, 3, "the window has changed");
    let second = response(6);
    assert!(made < 512 << 10 && first.len as u64 <= made + made / 50 + HEADS, "{} bytes after {made}", first.len);
    assert_eq!(second.end, 2);
    let mut cache = Cache::of(&first);
    cache.add(&second);
    assert_eq!(newer.unwrap().answer(false).status, 200);
}

#[test]
fn c_3_4_channels_are_closed_while_their_responses_run() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(1024)), ("a.j2k", pictures::precincts())]);
    let one = house.channel("noise.j2k");
    let two = channel_of(&house.get(&format!("/jpip?cid={one}&cnew=http&target=a.j2k&fsiz=8,8"))).unwrap();
    let three = channel_of(&house.get(&format!("/jpip?cid={one}&cnew=http&target=a.j2k&len=0"))).unwrap();
    let mut running = ask(&house, &format!("cid={one}&fsiz=1024,1024"));
    let gone = |cid: &str| house.get(&format!("/jpip?cid={cid}&len=0")).status == 503;
    // Others of the session, by one that stays; then all that are left.
    assert_eq!(house.get(&format!("/jpip?cid={one}&cclose={two}")).status, 200);
    assert!(gone(&two) && !gone(&three));
    assert_eq!(house.get(&format!("/jpip?cid={three}&cclose=*")).status, 200);
    assert!(gone(&one) && gone(&three));
    // What was on its way arrives, to its end.
    assert_eq!(running.answer(false).response().end, 1);
}

#[test]
fn e14_a_session_has_a_limited_number_of_channels() {
    let house = house();
    let first = house.channel("a.j2k");
    let mut opened = 1;
    let refused = loop {
        let answer = house.get(&format!("/jpip?cid={first}&cnew=http&len=0"));
        if channel_of(&answer).is_none() {
            break answer;
        }
        opened += 1;
        assert!(opened < 1000, "no limit");
    };
    assert_eq!((opened, refused.status), (32, 503));
    assert!(refused.header("Retry-After").is_some() && refused.text().contains("session"), "{}", refused.text());
    assert_eq!(house.get(&format!("/jpip?cid={first}&fsiz=64,64")).status, 200, "no error closes a channel");
    assert!(!house.channel("a.j2k").is_empty(), "another session has its own");
}

#[test]
fn e20_channels_of_one_session_from_many_sockets_send_every_byte_once() {
    let house = house();
    let one = house.channel("a.j2k");
    let channels: Vec<String> =
        (0..5).map(|_| channel_of(&house.get(&format!("/jpip?cid={one}&cnew=http&len=0"))).unwrap()).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let sockets: Vec<_> = (0..50)
            .map(|n| {
                let (house, cid) = (&house, &channels[n % channels.len()]);
                scope.spawn(move || house.get(&format!("/jpip?cid={cid}&wait=yes&qid={n}&fsiz=256,256&len=900")))
            })
            .collect();
        sockets.into_iter().map(|socket| socket.join().unwrap()).collect()
    });
    let rest = house.jpip(&format!("cid={one}&fsiz=256,256"));
    let whole = Cache::of(&house.jpip("target=a.j2k&fsiz=256,256"));
    let bytes = |response: &Response| response.messages.iter().map(|m| m.body.len()).sum::<usize>();
    assert!(answers.iter().all(|answer| answer.status == 200));
    let sent = answers.iter().map(|answer| bytes(&answer.response())).sum::<usize>() + bytes(&rest);
    assert_eq!(sent, whole.bins.values().map(|(bytes, _)| bytes.len()).sum::<usize>());
}
