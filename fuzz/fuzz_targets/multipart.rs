//! Any bytes as a body of several parts, cut anywhere: no panic, bounded memory, the same parts however it is cut.
#![no_main]

use dicom_bridge::multipart::{MultipartEvent, MultipartLimits, MultipartReader};
use libfuzzer_sys::fuzz_target;

/// The events of a body, its data joined, and whether it was refused.
fn read(body: &[u8], size: usize) -> (Vec<MultipartEvent>, bool) {
    let limits = MultipartLimits { max_parts: 50, max_header_bytes: 200, max_preamble_bytes: 100 };
    let mut reader = MultipartReader::new("b", limits).unwrap();
    let mut pieces = body.chunks(size);
    let mut events: Vec<MultipartEvent> = Vec::new();
    loop {
        match (reader.poll(), events.last_mut()) {
            (Err(_), _) => return (events, true),
            (Ok(Some(MultipartEvent::End)), _) => return (events, false),
            (Ok(Some(MultipartEvent::Data(more))), Some(MultipartEvent::Data(bytes))) => {
                *bytes = [&bytes[..], &more[..]].concat().into();
            }
            (Ok(Some(event)), _) => events.push(event),
            (Ok(None), _) => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else { return };
    let (whole, whole_refused) = read(body, body.len().max(1));
    let (cut, cut_refused) = read(body, usize::from(*size).max(1));
    // A limit may stop the two at different bytes of a body that is refused anyway.
    assert_eq!(whole_refused, cut_refused);
    if !whole_refused {
        assert_eq!(whole, cut);
    }
});
