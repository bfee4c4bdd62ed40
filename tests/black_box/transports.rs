//! The transports beside HTTP: the same window by each of them gives the same bytes, over a bad way too; and what a hostile
//! peer does to them costs nobody else anything [15444-9 G, K].

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::{Answer, House, channel_of, run};
use crate::pictures;
use crate::stream::Response;

/// Less than the half minute that the server waits for a client.
const PATIENCE: Duration = Duration::from_secs(25);

/// The port at the end of `JPIP-cnew`.
pub(crate) fn auxport(answer: &Answer) -> u16 {
    let cnew = answer.header("JPIP-cnew").unwrap();
    cnew.rsplit_once(",auxport=").unwrap_or_else(|| panic!("{cnew}")).1.parse().unwrap()
}

pub(crate) fn connect(port: u16, greeting: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    tcp.write_all(greeting.as_bytes()).unwrap();
    tcp
}

/// Reads chunks until one ends as a response ends, and acknowledges so many of them.
pub(crate) fn chunks(tcp: &mut TcpStream, acknowledged: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let mut header = [0; 8];
        tcp.read_exact(&mut header).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[0], header[1]])) - 8];
        tcp.read_exact(&mut body).unwrap();
        if found.len() < acknowledged {
            tcp.write_all(&header).unwrap();
        }
        let is_last = matches!(body[..], [.., 0, 1..=7, 0]);
        found.push(body);
        if is_last {
            return found;
        }
    }
}

fn fetch(url: &str, more: &[&str], house: &House, name: &str) -> Vec<u8> {
    let out = house.folder().join(name);
    let done = run(&[&["fetch", url, "-o", out.to_str().unwrap()], more].concat());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{more:?}: {said}");
    std::fs::read(out).unwrap()
}

#[test]
fn every_transport_brings_the_same_bytes() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(512)), ("a.j2k", pictures::precincts())]);
    for (target, window) in [
        ("noise.j2k", &[][..]),
        ("a.j2k", &[]),
        ("a.j2k", &["--fsiz", "128,128", "--roff", "10,20", "--rsiz", "50,60"]),
    ] {
        let url = format!("{}/jpip?target={target}", house.url());
        let plain = fetch(&url, window, &house, "plain.j2k");
        for transport in ["http", "http-tcp", "http-udp"] {
            let got = fetch(&url, &[window, &["--transport", transport]].concat(), &house, "other.j2k");
            assert!(got == plain, "{target} by {transport}");
        }
    }
}

#[test]
fn datagrams_that_are_lost_come_again() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(512))]);
    let plain = fetch(&format!("{}/jpip", house.url()), &[], &house, "plain.j2k");
    for permille in [0, 10, 50] {
        let bad = BadWay::to(house.address, permille);
        let url = format!("http://{}/jpip", bad.http);
        let got = fetch(&url, &["--transport", "http-udp"], &house, "other.j2k");
        assert!(got == plain, "{permille} of a thousand");
        let (through, lost) = (bad.through.load(Ordering::Relaxed), bad.lost.load(Ordering::Relaxed));
        assert!(through > 100 && (lost > 0) == (permille > 0), "{through} datagrams went this way, {lost} were lost");
    }
}

#[test]
fn c_3_3_the_first_transport_that_is_offered_and_there_is_granted() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    for (offered, granted) in [
        ("http", ",transport=http"),
        ("http,http-tcp", ",transport=http"),
        ("http-tcp,http", ",transport=http-tcp,auxport="),
        ("carrier-pigeon,http-udp,http-tcp", ",transport=http-udp,auxport="),
    ] {
        let answer = house.get(&format!("/jpip?target=a.j2k&fsiz=64,64&cnew={offered}"));
        let cnew = answer.header("JPIP-cnew").unwrap();
        assert!(cnew.contains(&format!(",path=jpip{granted}")), "{offered}: {cnew}");
        let is_aside = granted.contains("auxport");
        assert_eq!(answer.header("Content-Type"), Some("image/jpp-stream"));
        assert_eq!((answer.header("Content-Length") == Some("0"), answer.body.is_empty()), (is_aside, is_aside));
    }
    assert_eq!(house.get("/jpip?target=a.j2k&cnew=carrier-pigeon").header("JPIP-cnew"), None);
}

#[test]
fn d_2_the_transports_and_their_fields_are_named_as_handled() {
    let house = House::with_files(&[("a.j2k", pictures::tiny())]);
    let answer = house.get("/jpip?target=a.j2k&handled");
    let handled = answer.header("JPIP-handled").unwrap();
    assert!(handled.contains(",cnew=http,http-tcp,http-udp,"), "{handled}");
    for field in ["sendto", "abandon", "barrier"] {
        assert!(handled.split(',').any(|named| named == field), "{field} in {handled}");
    }
}

#[test]
fn point_19_http_tcp_as_openjpips_viewer_does_it() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let plain = house.jpip("target=a.j2k&fsiz=64,64");
    let opened = house.get("/jpip?target=a.j2k&fsiz=64,64&cnew=http-tcp&type=jpp-stream");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    // A connection for each response, with one line end or two.
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    let first = chunks(&mut tcp, usize::MAX);
    drop(tcp);
    assert_eq!(Response::read(&first.concat()).messages.len(), plain.messages.len());
    let more = house.get(&format!("/jpip?cid={cid}&fsiz=256,256"));
    assert!(more.status == 200 && more.body.is_empty() && more.header("JPIP-fsiz") == Some("256,256"));
    let mut tcp = connect(port, &format!("{cid}\r\n\r\n"));
    let second = Response::read(&chunks(&mut tcp, usize::MAX).concat());
    assert_eq!(second.end, 1);
    assert!(!second.ids(0).is_empty() && second.ids(6).is_empty(), "the headers were acknowledged before");
    // On the connection that is there, and there is nothing new.
    house.get(&format!("/jpip?cid={cid}&fsiz=256,256"));
    assert_eq!(chunks(&mut tcp, usize::MAX), [[0, 1, 0]]);
    assert_eq!(house.get(&format!("/jpip?cclose={cid}")).status, 200);
    assert_eq!(tcp.read(&mut [0; 8]).unwrap(), 0, "the channel is gone, and its connection");
    assert_eq!(house.get(&format!("/jpip?cid={cid}&fsiz=256,256")).status, 503);
}

#[test]
fn never_6_what_was_not_acknowledged_is_not_held() {
    // A few chunks, all of which may be under way at once.
    let house = House::with_files(&[("noise.j2k", pictures::noise(160))]);
    let opened = house.get("/jpip?target=noise.j2k&fsiz=160,160&cnew=http-tcp");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    let all = chunks(&mut tcp, 1);
    assert!(all.len() > 2);
    drop(tcp);
    // What the lost connection left comes again on the next.
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    assert!(chunks(&mut tcp, 1) == all[1..]);
    drop(tcp);
    // A newer request does not wait for a client that is away: the response before ends, and nothing of it counts.
    let newer = house.get(&format!("/jpip?cid={cid}&fsiz=160,160"));
    assert_eq!(newer.status, 200);
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    assert_eq!(chunks(&mut tcp, usize::MAX).concat(), [0, 3, 0]);
    let again = chunks(&mut tcp, usize::MAX).concat();
    assert!(Response::read(&again).messages == Response::read(&all.concat()).messages);
    house.get(&format!("/jpip?cid={cid}&fsiz=160,160"));
    assert_eq!(chunks(&mut tcp, usize::MAX).concat(), [0, 1, 0], "now it is held");
}

#[test]
fn e21_garbage_on_the_connection_of_a_channel_hurts_nobody() {
    let mut house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let opened = house.get("/jpip?target=a.j2k&fsiz=256,256&cnew=http-tcp");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    let long = "x".repeat(5000);
    for greeting in ["GET / HTTP/1.1\r\n\r\n", "\r\n", "n1.0123456789abcdef\r\n", long.as_str(), "\0\0\0\n"] {
        let mut tcp = connect(port, greeting);
        // Closed, or reset because not all of it was read.
        assert!(matches!(tcp.read(&mut [0; 8]), Ok(0) | Err(_)), "{greeting:?}");
    }
    // One that names the channel and then acknowledges what was never sent loses its connection, not the channel.
    let mut tcp = connect(port, &format!("{cid}\r\nacknowledge me, please"));
    let mut rest = Vec::new();
    let _reset = tcp.read_to_end(&mut rest);
    let mut tcp = connect(port, &format!("{cid}\r\n"));
    assert_eq!(Response::read(&chunks(&mut tcp, usize::MAX).concat()).end, 1);
    // Connections that say nothing take no other's place.
    let silent: Vec<TcpStream> = (0..50).map(|_| connect(port, "")).collect();
    house.get(&format!("/jpip?cid={cid}&fsiz=256,256"));
    assert_eq!(chunks(&mut tcp, usize::MAX).concat(), [0, 1, 0]);
    drop(silent);
    assert!(house.is_alive());
}

#[test]
fn e21_clients_that_never_come_for_their_responses_cost_little() {
    let mut house = House::with_files(&[("noise.j2k", pictures::noise(1024))]);
    let open = |house: &House, transport: &str| {
        let answer = house.get(&format!("/jpip?target=noise.j2k&fsiz=1024,1024&cnew={transport}"));
        assert_eq!(answer.status, 200);
        channel_of(&answer).unwrap()
    };
    for transport in ["http-tcp", "http-udp"] {
        open(&house, transport);
        let before = house.resident();
        let cids: Vec<_> = (0..300).map(|_| open(&house, transport)).collect();
        let grown = house.resident().saturating_sub(before);
        assert!(grown < 300 * (64 << 10), "{grown} bytes for {} channels of {transport}", cids.len());
        // Closed, they hold nothing that waits.
        let (aborted, began) = (house.metric("precinct_jpip_aborted_total"), Instant::now());
        for cid in cids {
            assert_eq!(house.get(&format!("/jpip?cclose={cid}")).status, 200);
        }
        house.wait_until("the responses are given up", |house| {
            house.metric("precinct_jpip_aborted_total") == aborted + 300
        });
        assert!(began.elapsed() < PATIENCE, "not only because nobody came");
    }
    assert!(house.is_alive());
}

#[test]
fn e21_a_channel_that_is_closed_before_its_client_came_holds_up_nothing() {
    let house = House::with_files(&[("a.j2k", pictures::precincts()), ("b.j2k", pictures::tiny())]);
    for transport in ["http-tcp", "http-udp"] {
        let began = Instant::now();
        let opened = house.get(&format!("/jpip?target=a.j2k&fsiz=256,256&cnew={transport}"));
        let cid = channel_of(&opened).unwrap();
        let other = house.get(&format!("/jpip?cid={cid}&cnew=http&target=b.j2k&fsiz=8,8"));
        let (other, whole) = (channel_of(&other).unwrap(), house.jpip("target=a.j2k&fsiz=256,256"));
        let asked = house.metric("precinct_jpip_requests_total");
        // The client tries another way, on the same data-bins, and closes the one that did not work.
        let mut same = house.connect();
        let path = format!("/jpip?cid={other}&cnew=http&target=a.j2k&fsiz=256,256");
        same.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        house.wait_until("the request is there", |house| house.metric("precinct_jpip_requests_total") > asked);
        assert_eq!(house.metric("precinct_jpip_aborted_total"), u64::from(transport == "http-udp"));
        assert_eq!(house.get(&format!("/jpip?cclose={cid}")).status, 200);
        house.wait_until("the response is given up", |house| {
            house.metric("precinct_jpip_aborted_total") == 1 + u64::from(transport == "http-udp")
        });
        assert_eq!(same.answer(false).response().messages, whole.messages, "{transport}: nothing was held");
        assert!(began.elapsed() < PATIENCE, "not only because nobody came");
    }
}

#[test]
fn e22_whoever_proves_nothing_gets_at_most_three_times_what_it_sent() {
    let mut house = House::with_files(&[("noise.j2k", pictures::noise(256))]);
    let opened = house.get("/jpip?target=noise.j2k&fsiz=256,256&cnew=http-udp");
    let (cid, port) = (channel_of(&opened).unwrap(), auxport(&opened));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut sent = 0;
    for n in 0..200u8 {
        for datagram in [
            cid.as_bytes(),
            b"n1.unknown",
            &[0, 1, 0, 0, 0, 0, n, 0],
            &[0x80, 0, 0, 0, 0, 0, 0, 0, n, 1, 2, 3, 4, 5, 6, 7],
        ] {
            sent += socket.send(datagram).unwrap();
        }
    }
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (mut received, mut bytes) = (0, [0; 2048]);
    while let Ok(len) = socket.recv(&mut bytes) {
        assert_eq!((len, bytes[0]), (16, 0x80), "nothing but probes");
        received += len;
    }
    assert!(received > 0 && received <= 3 * sent, "{received} for {sent}");
    // To nobody else, and by no other name.
    for sendto in ["192.0.2.1:9", "localhost:9", "nonsense"] {
        let answer = house.get(&format!("/jpip?cid={cid}&fsiz=256,256&sendto={sendto}"));
        assert_eq!(answer.status, 501, "{sendto}");
    }
    assert_eq!(house.get(&format!("/jpip?cid={cid}&fsiz=256,256&abandon=what")).status, 400);
    assert!(house.is_alive());
}

#[test]
fn k_what_is_abandoned_is_sent_again_with_the_next_request() {
    let house = House::with_files(&[("noise.j2k", pictures::noise(256))]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let here = socket.local_addr().unwrap();
    let opened = house.get(&format!("/jpip?target=noise.j2k&fsiz=256,256&qid=5&cnew=http-udp&sendto={here}"));
    let cid = channel_of(&opened).unwrap();
    socket.connect(("127.0.0.1", auxport(&opened))).unwrap();
    // All but the second chunk are taken; that one never is.
    let mut bytes = [0; 2048];
    let (mut missing, mut last, mut seen) = (Vec::new(), None, std::collections::BTreeSet::new());
    while last.is_none_or(|last| seen.len() < last) {
        let len = socket.recv(&mut bytes).unwrap();
        if bytes[0] & 0x80 != 0 {
            socket.send(&bytes[..len]).unwrap();
            continue;
        }
        assert_eq!(bytes[2..4], [0, 5], "the request's number");
        let number = u32::from_be_bytes([0, bytes[4], bytes[5], bytes[6]]);
        if number == 1 {
            missing = bytes[8..len].to_vec();
            continue;
        }
        if bytes[0] & 0x10 != 0 {
            last = Some(number as usize);
        }
        seen.insert(number);
        socket.send(&bytes[..8]).unwrap();
    }
    assert!(!missing.is_empty());
    let next = house.get(&format!("/jpip?cid={cid}&fsiz=256,256&qid=6&barrier=5&abandon=5:1"));
    assert_eq!(next.status, 200);
    let mut again = Vec::new();
    loop {
        let len = socket.recv(&mut bytes).unwrap();
        if bytes[2..4] == [0, 6] {
            again.extend_from_slice(&bytes[8..len]);
            socket.send(&bytes[..8]).unwrap();
            if bytes[0] & 0x10 != 0 {
                break;
            }
        }
    }
    let (again, missing) = (Response::read(&again), Response::read(&[&missing[..], &[0, 2, 0]].concat()));
    let bins = |response: &Response| -> std::collections::BTreeSet<(u64, u64)> {
        response.messages.iter().map(|message| (message.class, message.id)).collect()
    };
    assert_eq!(bins(&again), bins(&missing), "what was in the chunk, and nothing else");
    assert_eq!(again.end, 1);
}

/// A server seen over a way that loses datagrams: HTTP passes, but for the port of the datagrams in `JPIP-cnew`.
struct BadWay {
    http: SocketAddr,
    through: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl BadWay {
    fn to(server: SocketAddr, permille: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        let way = Self { http, through: Arc::default(), lost: Arc::default() };
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let far = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = Arc::new(Mutex::new(None));
        let chance = Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15u64 ^ permille));
        for up in [true, false] {
            let (near, far, client, chance) =
                (Arc::clone(&near), Arc::clone(&far), Arc::clone(&client), Arc::clone(&chance));
            let (through, lost) = (Arc::clone(&way.through), Arc::clone(&way.lost));
            // Ends with the test program: nothing tells a socket that its test is over.
            thread::spawn(move || {
                let mut bytes = [0; 2048];
                loop {
                    let received = if up { near.recv_from(&mut bytes) } else { far.recv_from(&mut bytes) };
                    let Ok((len, from)) = received else { continue };
                    if up {
                        *client.lock().unwrap() = Some(from);
                    }
                    through.fetch_add(1, Ordering::Relaxed);
                    let mut state = chance.lock().unwrap();
                    *state ^= *state << 13;
                    *state ^= *state >> 7;
                    *state ^= *state << 17;
                    if (*state >> 20) % 1000 < permille {
                        lost.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    drop(state);
                    let to = *client.lock().unwrap();
                    let _lost = match to {
                        _ if up => far.send(&bytes[..len]),
                        Some(client) => near.send_to(&bytes[..len], client),
                        None => Ok(0),
                    };
                }
            });
        }
        let port = near.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let far = Arc::clone(&far);
                let (mut up, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut up, &mut to));
                thread::spawn(move || pass_answers(server, client, port, &far));
            }
        });
        way
    }
}

/// Passes answers on; the port of the datagrams becomes `port`, and `far` learns the true one.
fn pass_answers(mut server: TcpStream, mut client: TcpStream, port: u16, far: &UdpSocket) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = server.read(&mut bytes) {
        let mut bytes = bytes[..len].to_vec();
        // The head of an answer comes in one piece.
        if let Some(at) = bytes.windows(8).position(|eight| eight == b"auxport=") {
            let digits = at + 8..at + 8 + bytes[at + 8..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let true_port: u16 = std::str::from_utf8(&bytes[digits.clone()]).unwrap().parse().unwrap();
            far.connect(("127.0.0.1", true_port)).unwrap();
            bytes.splice(digits, port.to_string().into_bytes());
        }
        if client.write_all(&bytes).is_err() {
            return;
        }
    }
    let _gone = client.shutdown(std::net::Shutdown::Write);
}
