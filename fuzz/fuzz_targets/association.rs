//! Any bytes as what a peer of an association sends, in pieces: no panic, bounded memory, and nothing after the end.
#![no_main]

use dicom_bridge::dimse::{Acceptor, Association, Event, MAX_PDU, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let acceptor = Acceptor { ae_title: "PRECINCT".into(), calling_ae_titles: None };
    let mut association = Association::new(acceptor);
    let mut request = None;
    // The first byte says how long the pieces are.
    let Some((&size, rest)) = data.split_first() else { return };
    for piece in rest.chunks(usize::from(size) * 16 + 1) {
        association.buffer().extend_from_slice(piece);
        loop {
            match association.poll() {
                Ok(Some(Event::Store(store))) => request = Some(store),
                Ok(Some(Event::Data { is_last: true, .. })) => {
                    if let Some(request) = request.take() {
                        association.respond(&request, Status::CannotUnderstand, Some("fuzz"));
                    }
                }
                Ok(Some(Event::Released | Event::Aborted | Event::Rejected { .. })) | Err(_) => {
                    assert!(matches!(association.poll(), Ok(None)), "nothing follows");
                    return;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        assert!(association.buffer().len() <= MAX_PDU as usize + 8192, "at most one PDU is held");
        assert!(association.take_output().len() < 1 << 20);
    }
});
