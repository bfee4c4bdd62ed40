//! Any bytes as what either peer of an http-tcp connection sends, in pieces: no panic, bounded memory, the same bodies
//! however they are cut, and a chunk that was not acknowledged is never forgotten.
#![no_main]

use std::time::Duration;

use jpip::http_tcp::{Greeting, HEADER_LEN, Receiver, Sender, TcpLimits};
use libfuzzer_sys::fuzz_target;

fn bodies(data: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut receiver, mut bodies, mut acknowledgements) = (Receiver::new(), Vec::new(), Vec::new());
    for mut piece in data.chunks(step) {
        while let Some(body) = receiver.read(&mut piece).ok()? {
            bodies.extend_from_slice(body);
        }
        acknowledgements.extend(receiver.take_acknowledgements());
    }
    Some((bodies, acknowledgements))
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let step = usize::from(step).max(1);
    assert_eq!(bodies(data, step), bodies(data, data.len().max(1)));

    // The server half: a greeting, then acknowledgements; 0xff stands for the next that is due.
    let mut greeting = Greeting::new();
    let mut rest = data;
    if !matches!(greeting.read(&mut rest), Ok(Some(_))) {
        return;
    }
    let limits = TcpLimits { max_chunks: 64, ..TcpLimits::default() };
    let mut sender: Sender<u32> = Sender::new(limits);
    let (mut now, mut pushed, mut acknowledged) = (Duration::ZERO, 0u32, 0u32);
    let mut due = std::collections::VecDeque::new();
    sender.connect(now);
    for &byte in rest {
        now += Duration::from_millis(u64::from(byte & 3));
        match byte {
            0..=0x3f => pushed += u32::from(sender.push(now, pushed, usize::from(byte) * 300)),
            0x40..=0x7f => {
                while let Some(chunk) = sender.poll_transmit(now) {
                    due.push_back((chunk.header, chunk.body));
                }
            }
            0x80..=0x8f => {
                sender.connect(now);
                due.clear();
            }
            0xff => {
                let Some((header, body)) = due.pop_front() else { continue };
                sender.handle_bytes(now, &header).expect("it was sent on this connection");
                assert_eq!(body, acknowledged);
                acknowledged += 1;
            }
            _ => {
                if sender.handle_bytes(now, &[byte; HEADER_LEN]).is_err() {
                    sender.connect(now);
                    due.clear();
                }
            }
        }
        assert!(pushed - acknowledged <= 64);
        assert_eq!(sender.is_settled(), pushed == acknowledged);
    }
});
