use super::*;
use crate::data_bin::CodestreamId;

const NOW: Duration = Duration::from_secs(9);

fn chunk(body: u32, is_last: bool) -> NewChunk<u32> {
    let carries = vec![(BinKey::precinct(CodestreamId(0), u64::from(body)), 100)];
    NewChunk { body, len: 1000, is_last, carries }
}

/// A channel whose client at address 1 has proved it.
fn proved(limits: UdpLimits) -> Sender<u8, u32> {
    let mut sender = Sender::new(limits);
    sender.handle_datagram(NOW, 1, b"n1.ab\r\n\r\n", [5; 8]);
    let Some(Transmit { to: 1, body: Body::Probe(probe) }) = sender.poll_transmit(NOW) else { panic!("a probe") };
    sender.handle_datagram(NOW, 1, &probe, [6; 8]);
    sender.begin(NOW, Some(0x1_0007));
    sender
}

fn sent(sender: &mut Sender<u8, u32>, now: Duration) -> Vec<([u8; 8], u32)> {
    let next = || match sender.poll_transmit(now)?.body {
        Body::Chunk(header, body) => Some((header, body)),
        Body::Probe(_) => panic!("a probe"),
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn k_chunks_name_their_request_and_count() {
    let mut sender = proved(UdpLimits::default());
    assert!(sender.push(NOW, chunk(1, false)) && sender.push(NOW, chunk(2, true)));
    let first = sent(&mut sender, NOW);
    let header = |n: usize| ChunkHeader::decode(first[n].0).unwrap();
    assert_eq!(header(0), ChunkHeader { is_last: false, response: 1, request: 7, number: 0, repeat: 0 });
    assert_eq!(header(1), ChunkHeader { is_last: true, response: 1, request: 7, number: 1, repeat: 0 });
    sender.handle_datagram(NOW, 1, &[first[1].0, first[0].0].concat(), [0; 8]);
    assert!(sender.is_settled() && sender.poll_timeout().is_none());
}

#[test]
fn k_what_is_not_acknowledged_is_sent_again_with_a_higher_count() {
    let mut sender = proved(UdpLimits::default());
    for n in 0..5 {
        assert!(sender.push(NOW, chunk(n, n == 4)));
    }
    let first = sent(&mut sender, NOW);
    assert_eq!(first.len(), 5);
    let later = NOW + Duration::from_millis(50);
    sender.handle_datagram(later, 1, &first[4].0, [0; 8]);
    let again = sent(&mut sender, later + Duration::from_millis(1));
    assert_eq!(again.iter().map(|(_, body)| *body).collect::<Vec<_>>(), [0, 1], "three left after them");
    assert_eq!(ChunkHeader::decode(again[0].0).unwrap().repeat, 1);
    let timeout = sender.poll_timeout().unwrap();
    assert!(timeout <= NOW + Duration::from_millis(60), "the others are lost after 9/8 of a round trip");
    sender.handle_timeout(timeout);
    assert_eq!(sent(&mut sender, later + Duration::from_secs(1)).len(), 2);
    // Either copy will do.
    sender.handle_datagram(later, 1, &first[0].0, [0; 8]);
    sender.handle_datagram(later, 1, &again[1].0, [0; 8]);
    assert!(!sender.is_settled());
}

#[test]
fn e22_only_the_proved_address_acknowledges_and_only_what_was_sent() {
    let mut sender = proved(UdpLimits::default());
    assert!(sender.push(NOW, chunk(1, true)));
    let first = sent(&mut sender, NOW);
    sender.handle_datagram(NOW, 2, &first[0].0, [0; 8]);
    for wrong in [
        ChunkHeader { is_last: true, response: 1, request: 7, number: 0, repeat: 1 },
        ChunkHeader { is_last: false, response: 1, request: 7, number: 0, repeat: 0 },
        ChunkHeader { is_last: true, response: 2, request: 7, number: 0, repeat: 0 },
        ChunkHeader { is_last: true, response: 1, request: 8, number: 0, repeat: 0 },
        ChunkHeader { is_last: true, response: 1, request: 7, number: 1, repeat: 0 },
    ] {
        sender.handle_datagram(NOW, 1, &wrong.encode(), [0; 8]);
    }
    assert!(!sender.is_settled());
}

#[test]
fn an_acknowledgement_of_an_older_response_means_nothing_for_a_newer_one() {
    let mut sender = proved(UdpLimits::default());
    assert!(sender.push(NOW, chunk(1, true)));
    let first = sent(&mut sender, NOW);
    sender.handle_datagram(NOW, 1, &first[0].0, [0; 8]);
    sender.begin(NOW, Some(7));
    assert!(sender.push(NOW, chunk(2, true)));
    sent(&mut sender, NOW);
    sender.handle_datagram(NOW, 1, &first[0].0, [0; 8]);
    assert!(!sender.is_settled(), "the same qid, chunk and repetition, a duplicate from before");
}

#[test]
fn e22_nothing_but_probes_goes_to_an_address_that_proved_nothing() {
    let mut sender: Sender<u8, u32> = Sender::new(UdpLimits::default());
    sender.begin(NOW, None);
    assert!(sender.push(NOW, chunk(1, true)));
    assert_eq!(sender.poll_transmit(NOW), None);
    let (mut received, mut out) = (0, 0);
    for n in 0..100u8 {
        sender.handle_datagram(NOW, 3, b"n1.ab\r\n\r\n", [n; 8]);
        sender.handle_datagram(NOW, 3, &[0; 8], [n; 8]);
        received += 9;
        while let Some(transmit) = sender.poll_transmit(NOW) {
            let Body::Probe(probe) = transmit.body else { panic!("a chunk") };
            out += probe.len();
        }
    }
    assert!(out <= 3 * received);
    assert_eq!(sender.addresses(), (Some(3), None));
}

#[test]
fn k_abandoned_chunks_are_not_sent_again_and_are_told() {
    let mut sender = proved(UdpLimits::default());
    for n in 0..6 {
        assert!(sender.push(NOW, chunk(n, n == 5)));
    }
    let first = sent(&mut sender, NOW);
    sender.handle_datagram(NOW, 1, &[first[0].0, first[5].0].concat(), [0; 8]);
    sender.abandon(8, 0..=100);
    assert_eq!(sender.abandoned(), Some(&[][..]), "another request");
    sender.abandon(7, 0..=3);
    sender.abandon(7, 4..=4);
    let key = |n| (BinKey::precinct(CodestreamId(0), n), 100);
    assert_eq!(sender.abandoned(), Some(&[key(1), key(2), key(3), key(4)][..]));
    assert!(sender.is_settled() && sent(&mut sender, NOW + Duration::from_secs(1)).is_empty());
    assert_eq!(sender.window().0, 0);
    sender.begin(NOW, Some(8));
    assert_eq!(sender.abandoned(), Some(&[][..]));
}

#[test]
fn what_a_channel_holds_is_limited() {
    let limits = UdpLimits { max_chunks: 4, max_fresh: 2, max_abandoned: 3, ..UdpLimits::default() };
    let mut sender = proved(limits);
    assert!(sender.wants_more() && sender.push(NOW, chunk(0, false)) && sender.push(NOW, chunk(1, false)));
    assert!(!sender.wants_more(), "two wait");
    assert!(sender.push(NOW, chunk(2, false)) && sender.push(NOW, chunk(3, false)));
    sent(&mut sender, NOW);
    assert!(!sender.wants_more() && !sender.push(NOW, chunk(4, false)), "four are held");
    assert!(!sender.push(NOW, NewChunk { len: MAX_BODY + 1, ..chunk(4, false) }));
    sender.abandon(7, 0..=9);
    assert_eq!(sender.abandoned(), None, "more than is remembered");
}

#[test]
fn a_peer_that_is_gone_is_given_up() {
    let limits = UdpLimits { max_repeats: 3, ..UdpLimits::default() };
    let mut sender = proved(limits);
    assert!(sender.push(NOW, chunk(0, true)));
    let mut now = NOW;
    let mut datagrams = 0;
    while !sender.has_failed() {
        datagrams += sent(&mut sender, now).len();
        now = sender.poll_timeout().unwrap();
        sender.handle_timeout(now);
        assert!(now <= NOW + limits.patience);
    }
    assert_eq!(datagrams, 4);
    sender.give_up();
    assert!(sender.is_settled());
    sender.begin(now, None);
    assert!(!sender.has_failed(), "the next response has its own chance");
}

#[test]
fn a_client_that_moves_gets_what_its_old_address_did_not() {
    let mut sender = proved(UdpLimits::default());
    assert!(sender.push(NOW, chunk(0, false)) && sender.push(NOW, chunk(1, true)));
    let first = sent(&mut sender, NOW);
    sender.handle_datagram(NOW, 1, &first[0].0, [0; 8]);
    sender.handle_datagram(NOW, 2, b"n1.ab\r\n\r\n", [7; 8]);
    let Some(Transmit { to: 2, body: Body::Probe(probe) }) = sender.poll_transmit(NOW) else { panic!("a probe") };
    sender.handle_datagram(NOW, 2, &probe, [0; 8]);
    let moved = sender.poll_transmit(NOW).unwrap();
    assert!(moved.to == 2 && matches!(moved.body, Body::Chunk(_, 1)));
    sender.handle_datagram(NOW, 1, &first[1].0, [0; 8]);
    assert!(!sender.is_settled(), "the old address does not count any more");
}
