//! What counts as delivered: bytes that a socket took, and nothing else. Seen over the wire of the built binary.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use jpip::{
    EorReason,
    client::{Event, MessageReader},
};
use openjpeg::{Component, EncodeParameters, Image};
use tempfile::TempDir;

/// A running server with one target of several megabytes.
struct Server {
    child: Child,
    address: SocketAddr,
    data: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let data = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_precinct"))
            .args(["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data"])
            .arg(data.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("ready http=").unwrap().split(' ').next().unwrap().parse().unwrap();
        let server = Self { child, address, data };
        let head = format!(
            "POST /api/v1/import?name=a.j2k HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            image().len()
        );
        let mut import = server.connect();
        import.write_all(head.as_bytes()).unwrap();
        import.write_all(image()).unwrap();
        assert_eq!(read_head(&mut BufReader::new(import)).0, 201);
        server
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a request on a connection of its own and reads nothing of the answer.
    fn ask(&self, query: &str) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        write!(stream, "GET /jpip?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        BufReader::with_capacity(512, stream)
    }

    fn get(&self, query: &str) -> Answer {
        read_answer(&mut self.ask(query))
    }

    fn text(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.text("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// The same once it does not change any more.
    fn settled(&self, name: &str) -> u64 {
        let (mut value, mut unchanged) = (self.metric(name), 0);
        while unchanged < 30 {
            let now = self.metric(name);
            unchanged = if now == value { unchanged + 1 } else { 0 };
            value = now;
        }
        value
    }

    fn open_channel(&self) -> String {
        let (status, headers) = read_head(&mut self.ask("target=a.j2k&cnew=http&len=0"));
        assert_eq!(status, 200);
        let granted = headers.iter().find_map(|line| line.strip_prefix("JPIP-cnew: cid=")).unwrap();
        granted.split(',').next().unwrap().to_owned()
    }
}

/// Noise that no coder can make small, in precincts of 128 samples.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let size = 2048u32;
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i32
        };
        let samples = (0..size * size).map(|_| next()).collect();
        let component = Component { width: size, height: size, dx: 1, dy: 1, precision: 16, signed: false, samples };
        let image = Image { width: size, height: size, x0: 0, y0: 0, components: vec![component] };
        let parameters = EncodeParameters { precincts: vec![(128, 128); 6], levels: 5, ..EncodeParameters::default() };
        openjpeg::encode(&image, &parameters).unwrap()
    })
}

struct Answer {
    headers: Vec<String>,
    body: Vec<u8>,
}

/// For each data-bin the runs of bytes that came, as offset and length, and why the response ended.
type Messages = (BTreeMap<(u8, u64), Vec<(u64, u64)>>, Option<EorReason>);

impl Answer {
    fn messages(&self) -> Messages {
        let mut runs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut reader = MessageReader::new();
        let mut bytes = self.body.as_slice();
        while let Some(event) = reader.read(&mut bytes).unwrap() {
            if let Event::Message(head) = event {
                runs.entry((head.class.number(), head.id)).or_default().push((head.offset, head.len));
            }
        }
        let end = reader.ended();
        (runs, end)
    }

    fn is_chunked(&self) -> bool {
        self.headers.iter().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"))
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<String>) {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the connection ended in the head");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        headers.push(line.to_owned());
    }
    let status = headers.remove(0).split(' ').nth(1).unwrap().parse().unwrap();
    (status, headers)
}

fn read_answer(reader: &mut BufReader<TcpStream>) -> Answer {
    let (status, headers) = read_head(reader);
    assert_eq!(status, 200);
    let mut answer = Answer { headers, body: Vec::new() };
    if answer.is_chunked() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let len = u64::from_str_radix(line.trim(), 16).unwrap();
            reader.take(len).read_to_end(&mut answer.body).unwrap();
            reader.read_line(&mut line).unwrap();
            if len == 0 {
                return answer;
            }
        }
    }
    let len = answer.headers.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    reader.take(len.parse().unwrap()).read_to_end(&mut answer.body).unwrap();
    answer
}

/// Every byte of every data-bin came once, from its first on.
fn assert_each_byte_once(answers: &[&Answer]) -> u64 {
    let mut joined: BTreeMap<(u8, u64), Vec<(u64, u64)>> = BTreeMap::new();
    for answer in answers {
        for (bin, runs) in answer.messages().0 {
            joined.entry(bin).or_default().extend(runs);
        }
    }
    let mut total = 0;
    for (bin, mut runs) in joined {
        runs.sort_unstable();
        let mut end = 0;
        for (offset, len) in runs {
            assert_eq!(offset, end, "data-bin {bin:?}");
            end += len;
        }
        total += end;
    }
    total
}

/// Bytes of responses that were handed to sockets.
const MADE: &str = "precinct_jpip_body_bytes_total";

const WHOLE: &str = "fsiz=2048,2048&rsiz=2048,2048";

#[test]
fn a_response_whose_connection_broke_is_not_in_the_cache_model() {
    let server = Server::start();
    let cid = server.open_channel();
    let mut broken = server.ask(&format!("cid={cid}&{WHOLE}"));
    assert_eq!(read_head(&mut broken).0, 200);
    let mut some = [0; 4096];
    broken.read_exact(&mut some).unwrap();
    drop(broken);
    let again = server.get(&format!("cid={cid}&{WHOLE}&wait=yes"));
    let bytes = assert_each_byte_once(&[&again]);
    assert!(again.is_chunked() && bytes > 4 << 20, "{bytes}");
    assert_eq!(again.messages().1, Some(EorReason::ImageDone));
    // And what was read to its end is in it.
    let rest = server.get(&format!("cid={cid}&{WHOLE}"));
    assert_eq!(rest.messages(), (BTreeMap::new(), Some(EorReason::ImageDone)));
}

#[test]
fn a_newer_request_ends_a_long_response_at_a_message_and_nothing_comes_twice() {
    let server = Server::start();
    let cid = server.open_channel();
    let mut long = server.ask(&format!("cid={cid}&{WHOLE}&qid=1"));
    // The head has come, and the socket's buffers are filling up.
    long.fill_buf().unwrap();
    let mut newer = server.ask(&format!("cid={cid}&fsiz=64,64&qid=2"));
    // A request that the server has not read yet cannot have overtaken.
    while server.metric("precinct_jpip_requests_total") < 3 {
        std::thread::yield_now();
    }
    let long = read_answer(&mut long);
    let newer = read_answer(&mut newer);
    assert_eq!(long.messages().1, Some(EorReason::WindowChange));
    // All that the small window needs had gone out before the older response was ended, or comes now.
    assert_eq!(newer.messages().1, Some(EorReason::WindowDone));
    let rest = server.get(&format!("cid={cid}&{WHOLE}&qid=3"));
    assert_eq!(rest.messages().1, Some(EorReason::ImageDone));
    let bytes = assert_each_byte_once(&[&long, &newer, &rest]);
    assert!(bytes > 4 << 20, "{bytes}");
}

#[test]
fn c_3_6_what_a_newer_request_cannot_take_back_is_little() {
    let server = Server::start();
    let cid = server.open_channel();
    let before = server.metric(MADE);
    let mut long = server.ask(&format!("cid={cid}&{WHOLE}&qid=1"));
    long.fill_buf().unwrap();
    let made = server.settled(MADE) - before;
    // In the buffers of a peer that takes nothing, in ours, and read to be written next.
    assert!((96 << 10..512 << 10).contains(&made), "{made}");
    let mut newer = server.ask(&format!("cid={cid}&fsiz=64,64&qid=2"));
    while server.metric("precinct_jpip_requests_total") < 3 {
        std::thread::yield_now();
    }
    // It stands in the queue by now; one that takes nothing for five seconds more would be given up.
    for _ in 0..5 {
        server.metric(MADE);
    }
    let long = read_answer(&mut long);
    assert_eq!(long.messages().1, Some(EorReason::WindowChange));
    let after = long.body.len() as u64 - made;
    assert!(after <= (256 + 2 * 96) << 10, "{after} bytes more than the {made} that were made before");
    assert_eq!(read_answer(&mut newer).messages().1, Some(EorReason::WindowDone));
}

#[test]
fn a_stateless_response_of_any_length_tells_its_length() {
    let server = Server::start();
    let whole = server.get(&format!("target=a.j2k&{WHOLE}"));
    assert!(!whole.is_chunked());
    assert_eq!(whole.messages().1, Some(EorReason::ImageDone));
    assert!(assert_each_byte_once(&[&whole]) > 4 << 20);
}

#[test]
fn d_1_a_response_that_nobody_takes_ends_for_the_newest_request_and_those_between_get_202() {
    let server = Server::start();
    let cid = server.open_channel();
    let mut stalled = server.ask(&format!("cid={cid}&{WHOLE}&qid=1"));
    assert_eq!(read_head(&mut stalled).0, 200);
    // Until the buffers of both sockets are full, the response could still end at a message.
    server.settled(MADE);
    let asked = [2, 3].map(|qid| (qid, server.ask(&format!("cid={cid}&fsiz=64,64&qid={qid}"))));
    let (mut served, mut superseded) = (Vec::new(), 0);
    // Which of the two comes first is not ours to say.
    for (qid, mut reader) in asked {
        if reader.fill_buf().unwrap().starts_with(b"HTTP/1.1 200 ") {
            served.push(read_answer(&mut reader));
            continue;
        }
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 202);
        assert!(headers.contains(&format!("JPIP-qid: {qid}")), "{headers:?}");
        assert!(headers.iter().any(|line| line == "Content-Length: 0"), "{headers:?}");
        superseded += 1;
    }
    assert_eq!((served.len(), superseded), (1, 1));
    assert_eq!(served[0].messages().1, Some(EorReason::WindowDone));
    // Nothing of the response that broke was recorded.
    let rest = server.get(&format!("cid={cid}&{WHOLE}&qid=4"));
    assert!(assert_each_byte_once(&[&served[0], &rest]) > 4 << 20);
}

#[test]
fn an_index_that_is_gone_or_unusable_is_made_again_by_the_request_that_needs_it() {
    let server = Server::start();
    let window = "target=a.j2k&fsiz=64,64&len=1";
    while !server.text("/api/v1/targets").contains("\"indexed\"") {
        std::thread::yield_now();
    }
    let mut indexes = Vec::new();
    let mut folders = vec![server.data.path().join("data/index")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { indexes.push(path) }
        }
    }
    let [index] = indexes.as_slice() else { panic!("{indexes:?}") };
    let good = std::fs::read(index).unwrap();
    std::fs::write(index, vec![0; good.len()]).unwrap();
    server.get(window);
    assert_eq!(std::fs::read(index).unwrap(), good);
}
