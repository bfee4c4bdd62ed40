//! Any bytes as what a peer of an association sends, in pieces: no panic, bounded memory, and nothing after the end.
#![no_main]

use dicom_bridge::dimse::{
    Acceptor, Answer, Association, CommitmentRequest, Event, Identifier, MAX_PDU, Proposal, Request, Requestor, Root,
    Service, Status, StoreAnnouncement,
};
use libfuzzer_sys::fuzz_target;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fuzz_target!(|data: &[u8]| {
    // The first byte says who asks for the association, and how long the pieces are.
    let Some((&first, rest)) = data.split_first() else { return };
    let mut association = if first & 1 == 0 { Association::new(Acceptor::new("PRECINCT")) } else { asked_for() };
    let mut request = None;
    for piece in rest.chunks(usize::from(first >> 1) * 32 + 1) {
        association.buffer().extend_from_slice(piece);
        loop {
            match association.poll() {
                Ok(Some(Event::Store(store))) => request = Some(store),
                Ok(Some(Event::Data { is_last: true, .. })) => {
                    if let Some(request) = request.take() {
                        association.respond(&request, Status::CannotUnderstand, Some("fuzz"));
                    }
                }
                Ok(Some(Event::Request(request))) => perform(&mut association, &request),
                Ok(Some(Event::Accepted { .. })) => send(&mut association),
                Ok(Some(Event::Released | Event::Aborted | Event::Rejected { .. })) | Err(_) => {
                    assert!(matches!(association.poll(), Ok(None)), "nothing follows");
                    return;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        assert!(association.buffer().len() <= MAX_PDU as usize + 8192, "at most one PDU is held");
        assert!(association.take_output().len() < 4 << 20);
    }
});

/// An association that we asked for.
fn asked_for() -> Association {
    let proposal = Proposal {
        abstract_syntax: CT.into(),
        transfer_syntaxes: vec!["1.2.840.10008.1.2".into()],
        as_provider: false,
    };
    let (ae_title, called_ae_title) = ("PRECINCT".into(), "SINK".into());
    Association::request(Requestor { ae_title, called_ae_title, proposals: vec![proposal] })
}

/// Sends an object in the first context in which that may be done.
fn send(association: &mut Association) {
    let context = association.contexts().iter().find(|context| context.is_ours).map(|context| context.id);
    if let Some(context) = context {
        let object = StoreAnnouncement { sop_class_uid: CT, sop_instance_uid: "1.2", originator: Some(("A", 1)) };
        association.store(context, &object);
        association.send_data(context, &[0; 1000], true);
    }
}

/// What a server does with a request, without what it looks up.
fn perform(association: &mut Association, request: &Request) {
    if let Service::StorageCommitment = request.service {
        let _whatever = CommitmentRequest::parse(request);
    } else if let Ok(identifier) = Identifier::parse(request, Root::Patient) {
        let _whatever = identifier.retrieval();
    }
    send(association);
    association.answer(request, &Answer { data_set: Some(b"x"), ..Answer::of(Status::Pending) });
    association.answer(request, &Answer::of(Status::Success));
}
