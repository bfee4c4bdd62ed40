//! http-tcp [15444-9 G]: a byte stream each way, which breaks now and then.

use std::time::Duration;

use jpip::EorReason;
use jpip::client::MessageReader;
use jpip::http_tcp::{FORM, Greeting, Receiver, Sender, TcpLimits, encode_greeting};

use crate::chance::Chance;
use crate::responses::{Bytes, check_same, chunks, read_into, response, store_of};

/// Bytes on their way in one direction of a connection.
#[derive(Default)]
struct Pipe(Vec<u8>);

impl Pipe {
    /// Some of them arrive.
    fn arrive(&mut self, chance: &mut Chance) -> Vec<u8> {
        let len = chance.below(20_000) as usize + 1;
        self.0.drain(..len.min(self.0.len())).collect()
    }
}

/// Fetches three responses as OpenJPIP's viewer does, on a new connection each, of which so many of a thousand steps break
/// it; returns how many connections it took.
fn fetch(seed: u64, breaks: u64) -> u32 {
    let mut chance = Chance::new(seed);
    let mut sender: Sender<Bytes> = Sender::new(TcpLimits::default());
    let mut now = Duration::ZERO;
    let mut connections = 0;
    for n in 0..3 {
        let sent = response(n * 50, 40, &mut chance);
        let mut to_push = chunks(&sent, FORM).into_iter().peekable();
        let mut store = jpip::client::DataBinStore::new(jpip::client::StoreLimits::default());
        let mut ended = None;
        while ended.is_none() {
            connections += 1;
            assert!(connections < 2000, "no progress");
            let (mut up, mut down) = (Pipe(encode_greeting("n1.ab")), Pipe::default());
            let (mut greeting, mut receiver, mut is_named) = (Greeting::new(), Receiver::new(), false);
            let mut body = Vec::new();
            while ended.is_none() && !chance.permille(breaks) {
                now += Duration::from_millis(1);
                while sender.wants_more()
                    && let Some(chunk) = to_push.next()
                {
                    assert!(sender.push(now, chunk.body, chunk.len));
                }
                let bytes = up.arrive(&mut chance);
                let mut rest = bytes.as_slice();
                if !is_named {
                    is_named = greeting.read(&mut rest).unwrap() == Some("n1.ab");
                    if is_named {
                        sender.connect(now);
                    }
                }
                if is_named {
                    sender.handle_bytes(now, rest).unwrap();
                }
                while let Some(chunk) = sender.poll_transmit(now) {
                    down.0.extend_from_slice(&chunk.header);
                    down.0.extend_from_slice(&chunk.body);
                }
                let bytes = down.arrive(&mut chance);
                let mut rest = bytes.as_slice();
                while let Some(part) = receiver.read(&mut rest).unwrap() {
                    body.extend_from_slice(part);
                    if receiver.is_between_chunks() {
                        read_into(&mut store, &body);
                        ended = MessageReader::new_end_of(&body);
                        body.clear();
                    }
                }
                up.0.extend(receiver.take_acknowledgements());
            }
            if ended.is_some() {
                // A viewer that closes has sent its last acknowledgement.
                sender.handle_bytes(now, &up.0).unwrap();
                assert!(sender.is_settled(), "every chunk was acknowledged");
            }
            sender.disconnect();
        }
        assert_eq!(ended, Some(EorReason::WindowDone));
        check_same(&store, &store_of([sent.as_slice()]));
    }
    connections
}

trait EndOf {
    fn new_end_of(body: &[u8]) -> Option<EorReason>;
}

impl EndOf for MessageReader {
    /// Looks where that viewer looks: at the last three bytes of a chunk.
    fn new_end_of(body: &[u8]) -> Option<EorReason> {
        match body {
            [.., 0, code @ 1..=7, 0] => Some(EorReason::from_code(*code)),
            _ => None,
        }
    }
}

#[test]
fn g_a_viewer_that_connects_anew_for_each_response_gets_them() {
    for seed in 0..10 {
        assert_eq!(fetch(seed, 0), 3);
    }
}

#[test]
fn g_broken_connections_cost_nothing_but_time() {
    for seed in 0..10 {
        assert!(fetch(seed, 100) > 3);
    }
}
