//! Any datagrams to either end of an http-udp channel: no panic, bounded memory, nothing but a few probes to an address
//! that proved nothing, and no chunk counts as held that did not leave.
#![no_main]

use std::time::Duration;

use jpip::udp::{Body, NewChunk, Receiver, ReceiverLimits, Sender, UdpLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = ReceiverLimits { max_responses: 4, max_runs: 16, max_waiting: 4096 };
    let mut receiver = Receiver::new("n1.ab", limits);
    let mut sender: Sender<u8, u32> = Sender::new(UdpLimits { max_chunks: 64, ..UdpLimits::default() });
    let (mut now, mut pushed, mut received, mut probes) = (Duration::ZERO, 0u32, 0usize, 0usize);
    let (mut last, mut left) = (None, 0u32);
    sender.begin(now, Some(1));
    let mut rest = data;
    while let Some((&kind, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(kind & 31)));
        rest = tail;
        now += Duration::from_millis(u64::from(kind));
        receiver.handle_datagram(datagram);
        match kind >> 5 {
            0 => {
                let chunk = NewChunk { body: pushed, len: 1000, is_last: kind & 1 == 1, carries: Vec::new() };
                pushed += u32::from(sender.push(now, chunk));
            }
            // The client answers, or acknowledges what came last.
            1 => {
                if let Some(datagram) = last.take() {
                    let datagram: Vec<u8> = datagram;
                    received += datagram.len();
                    sender.handle_datagram(now, 1, &datagram, [kind; 8]);
                }
            }
            2 => sender.handle_timeout(now),
            3 => sender.abandon(1, 0..=u32::from(kind & 7)),
            _ => {
                received += datagram.len();
                sender.handle_datagram(now, 1, datagram, [kind; 8]);
            }
        }
        while let Some(transmit) = sender.poll_transmit(now) {
            match transmit.body {
                Body::Probe(bytes) => {
                    probes += bytes.len();
                    last = Some(bytes.to_vec());
                }
                Body::Chunk(header, _) => {
                    assert!(sender.addresses().1.is_some());
                    left += 1;
                    last = Some(header.to_vec());
                }
            }
        }
        assert!(probes <= 3 * received);
        assert!(left > 0 || pushed == 0 || !sender.is_settled() || kind >> 5 == 3 || sender.abandoned().is_some());
        while receiver.poll_transmit(now).is_some() {}
    }
});
