//! A running `precinct serve` with a data directory of its own, and a plain HTTP client that shows every byte.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::stream::Response;

pub(crate) const PRECINCT: &str = env!("CARGO_BIN_EXE_precinct");

/// Longer than any answer takes, shorter than a person waits for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with the test.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) dicom: SocketAddr,
    folder: TempDir,
    data: PathBuf,
    child: Child,
}

impl House {
    pub(crate) fn open() -> Self {
        Self::open_with(&[])
    }

    pub(crate) fn open_with(options: &[&str]) -> Self {
        Self::open_in(TempDir::new().unwrap(), options)
    }

    pub(crate) fn open_in(folder: TempDir, options: &[&str]) -> Self {
        let data = folder.path().join("data");
        Self::launch(folder, data, options, &[])
    }

    /// A server whose data directory is somewhere else, with some variables in its environment.
    pub(crate) fn open_on(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::launch(TempDir::new().unwrap(), data.to_owned(), &[], variables)
    }

    /// A server with options and with some variables in its environment.
    pub(crate) fn open_as(folder: TempDir, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = folder.path().join("data");
        Self::launch(folder, data, options, variables)
    }

    fn launch(folder: TempDir, data: PathBuf, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = command()
            .args(["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(options)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let field = |name: &str| line.split(name).nth(1)?.split_whitespace().next()?.parse().ok();
        let (Some(address), Some(dicom)) = (field(" http="), field(" dicom=")) else {
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            panic!("no ready line but {line:?}; {log}");
        };
        Self { address, dicom, folder, data, child }
    }

    /// A house with these files in it, each already indexed.
    pub(crate) fn with_files(files: &[(&str, Vec<u8>)]) -> Self {
        let house = Self::open();
        for (name, bytes) in files {
            house.import(name, bytes);
        }
        house
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Memory that the server holds now, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// A counter or gauge of the server.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The same once it does not change any more.
    pub(crate) fn settled(&self, name: &str) -> u64 {
        let (mut value, mut unchanged) = (self.metric(name), 0);
        while unchanged < 30 {
            let now = self.metric(name);
            unchanged = if now == value { unchanged + 1 } else { 0 };
            value = now;
        }
        value
    }

    /// Imports one file over HTTP, waits for its index, and returns what the server said.
    pub(crate) fn import(&self, name: &str, bytes: &[u8]) -> Value {
        let answer = self.post(&format!("/api/v1/import?name={name}"), bytes);
        assert!([200, 201].contains(&answer.status), "import of {name}: {} {}", answer.status, answer.text());
        let said = answer.json();
        // A request on a target that is still `stored` builds the index.
        let target = said["target"].as_str().unwrap();
        self.get(&format!("/jpip?target={target}"));
        said
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.connect().exchange("POST", path, &[], body)
    }

    /// A JPIP request that is answered with a JPP-stream.
    pub(crate) fn jpip(&self, query: &str) -> Response {
        self.get(&format!("/jpip?{query}")).response()
    }

    /// A new channel on `target`; its id.
    pub(crate) fn channel(&self, target: &str) -> String {
        let answer = self.get(&format!("/jpip?target={target}&cnew=http&type=jpp-stream&len=0"));
        channel_of(&answer).unwrap_or_else(|| panic!("no channel: {}", answer.head))
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none() && self.get("/healthz").status == 200
    }

    /// Whether a connection is served at once; a busy server says no.
    pub(crate) fn is_alive_now(&mut self) -> bool {
        let mut connection = self.connect();
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.try_answer(false).is_some_and(|answer| answer.status == 200)
    }

    /// Kills the server as a crash would; what it had is left as it was.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    /// Waits until `is_so`; a test that waits in vain fails with these words.
    pub(crate) fn wait_until(&self, words: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "never came: {words}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for the server's end; the folder stays for a look inside.
    pub(crate) fn wait(mut self) -> (ExitStatus, TempDir) {
        let status = wait_for(&mut self.child);
        (status, std::mem::replace(&mut self.folder, TempDir::new().unwrap()))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

pub(crate) fn wait_for(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the process does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The binary in an environment that settles nothing.
pub(crate) fn command() -> Command {
    let mut command = Command::new(PRECINCT);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PRECINCT_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

/// The channel id of a `JPIP-cnew` header.
pub(crate) fn channel_of(answer: &Answer) -> Option<String> {
    let cnew = answer.header("JPIP-cnew")?;
    Some(cnew.strip_prefix("cid=")?.split(',').next()?.to_owned())
}

/// One connection, byte by byte.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pending: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, pending: Vec::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.exchange("GET", path, &[], &[])
    }

    pub(crate) fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.socket.peer_addr().unwrap());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method == "POST" || !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{head}\r\n").as_bytes());
        self.send(body);
        self.answer(method == "HEAD")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A server that has already refused may have closed: its answer is what counts.
        let _may_be_closed = self.socket.write_all(bytes);
    }

    /// Bytes that were read past this client belong before those that come.
    pub(crate) fn push_back(&mut self, bytes: &[u8]) {
        self.pending.splice(0..0, bytes.iter().copied());
    }

    /// The next answer; `None` if the connection ends before one begins.
    pub(crate) fn try_answer(&mut self, bodiless: bool) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8(self.pending.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), chunked: false };
        if bodiless || status == 204 || status == 304 {
            return Some(answer);
        }
        if answer.header("Transfer-Encoding").is_some_and(|form| form == "chunked") {
            answer.chunked = true;
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                answer.body.extend(self.take(size));
                assert_eq!(self.line(), "");
                if size == 0 {
                    return Some(answer);
                }
            }
        }
        match answer.header("Content-Length") {
            Some(len) => answer.body = self.take(len.parse().unwrap()),
            None => {
                while self.more() {}
                answer.body = std::mem::take(&mut self.pending);
            }
        }
        Some(answer)
    }

    pub(crate) fn answer(&mut self, bodiless: bool) -> Answer {
        self.try_answer(bodiless).expect("the connection ended without an answer")
    }

    fn more(&mut self) -> bool {
        let mut buffer = vec![0; 1 << 16];
        match self.socket.read(&mut buffer) {
            Ok(n) => {
                self.pending.extend_from_slice(&buffer[..n]);
                n > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("waiting for the server: {error}"),
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.pending.len() < len {
            assert!(self.more(), "the body ends after {} of {len} bytes", self.pending.len());
        }
        self.pending.drain(..len).collect()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.pending.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).unwrap();
            }
            assert!(self.more(), "a chunk is cut off");
        }
    }
}

/// One HTTP answer; `head` as it came over the wire.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) chunked: bool,
}

impl Answer {
    /// The value of a header whose name is spelled exactly so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as a JPP-stream.
    pub(crate) fn response(&self) -> Response {
        assert_eq!(self.status, 200, "{}{}", self.head, self.text());
        Response::read(&self.body)
    }
}
