use dicom_ul::pdu::{
    PDataValueType, PresentationContextProposed, PresentationContextResultReason, UserVariableItem, write_pdu,
};
use proptest::prelude::*;

use super::*;
use crate::dimse::{Answer, MAX_COMMAND, MAX_DATA_SET, Progress, Proposal, Root};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const VERIFICATION: &str = "1.2.840.10008.1.1";
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const GET: &str = "1.2.840.10008.5.1.4.1.2.1.3";
const COMMITMENT: &str = "1.2.840.10008.1.20.1";

fn acceptor() -> Acceptor {
    Acceptor::new("PRECINCT")
}

fn request(called: &str, calling: &str) -> AssociationRQ {
    let context = |id, abstract_syntax: &str, last: &str| PresentationContextProposed {
        id,
        abstract_syntax: abstract_syntax.to_owned(),
        transfer_syntaxes: vec![format!("1.2.840.10008.1.2{last}")],
    };
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.into(),
        called_ae_title: called.into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![
            context(1, VERIFICATION, ""),
            context(3, CT, ".4.90"),
            context(5, "1.2.840.10008.5.1.4.31", ""),
            context(3, CT, ".1"),
            context(6, CT, ".1"),
            context(7, FIND, ".1"),
            context(9, GET, ".1"),
            context(11, COMMITMENT, ""),
        ],
        user_variables: vec![UserVariableItem::MaxLength(16_384)],
    }
}

fn put(association: &mut Association, pdu: &Pdu) {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).unwrap();
    association.buffer().extend_from_slice(&bytes);
}

fn sent(association: &mut Association) -> Vec<Pdu> {
    let output = association.take_output();
    let mut rest = Cursor::new(&output[..]);
    let mut pdus = Vec::new();
    while let Some(pdu) = read_pdu(&mut rest, MAX_PDU, true).unwrap() {
        pdus.push(pdu);
    }
    assert_eq!(rest.position(), output.len() as u64);
    pdus
}

fn established() -> Association {
    let mut association = Association::new(acceptor());
    put(&mut association, &Pdu::AssociationRQ(request("PRECINCT", "SENDER")));
    let event = association.poll().unwrap();
    assert_eq!(
        event,
        Some(Event::Established { calling_ae_title: "SENDER".into(), contexts: (5, 8), user_identity: None })
    );
    association
}

fn value(context: u8, value_type: PDataValueType, is_last: bool, data: &[u8]) -> PDataValue {
    PDataValue { presentation_context_id: context, value_type, is_last, data: data.to_vec() }
}

fn command(field: u16, class: &str, instance: Option<&str>, has_data_set: bool) -> Vec<u8> {
    let mut set = Vec::new();
    let mut element = |number: u16, value: &[u8]| {
        set.extend([0, 0]);
        set.extend(number.to_le_bytes());
        set.extend((value.len() as u32).to_le_bytes());
        set.extend(value);
    };
    element(0x0002, class.as_bytes());
    element(0x0100, &field.to_le_bytes());
    element(0x0110, &9u16.to_le_bytes());
    element(0x0800, &if has_data_set { 1u16 } else { 0x0101 }.to_le_bytes());
    if let Some(instance) = instance {
        element(0x1000, instance.as_bytes());
    }
    set
}

/// Puts a command set in one PDU.
fn say(association: &mut Association, context: u8, set: &[u8]) {
    put(association, &Pdu::PData { data: vec![value(context, PDataValueType::Command, true, set)] });
}

fn data(association: &mut Association, context: u8, is_last: bool, bytes: &[u8]) {
    put(association, &Pdu::PData { data: vec![value(context, PDataValueType::Data, is_last, bytes)] });
}

/// The status of the one response that was sent.
fn answered(association: &mut Association) -> u16 {
    let pdus = sent(association);
    let [Pdu::PData { data }] = pdus.as_slice() else { panic!("{pdus:?}") };
    let [value] = data.as_slice() else { panic!("{data:?}") };
    let at = value.data.windows(8).position(|bytes| bytes == [0, 0, 0, 9, 2, 0, 0, 0]).unwrap();
    u16::from_le_bytes(value.data[at + 8..at + 10].try_into().unwrap())
}

fn aborts(mut association: Association) {
    let error = association.poll().unwrap_err();
    assert!(matches!(sent(&mut association).last(), Some(Pdu::AbortRQ { .. })), "{error}");
    assert_eq!(association.poll().unwrap(), None, "nothing follows");
}

#[test]
fn ps3_8_9_3_3_contexts_are_answered_one_by_one() {
    let mut association = established();
    let pdus = sent(&mut association);
    let [Pdu::AssociationAC(answer)] = pdus.as_slice() else { panic!("{pdus:?}") };
    let results: Vec<_> =
        answer.presentation_contexts.iter().map(|result| (result.id, result.reason.clone())).collect();
    use PresentationContextResultReason::{AbstractSyntaxNotSupported, Acceptance, NoReason};
    assert_eq!(
        results,
        [
            (1, Acceptance),
            (3, Acceptance),
            (5, AbstractSyntaxNotSupported),
            (3, NoReason),
            (6, NoReason),
            (7, Acceptance),
            (9, Acceptance),
            (11, Acceptance)
        ]
    );
    assert!(answer.user_variables.contains(&UserVariableItem::MaxLength(MAX_PDU)));
}

#[test]
fn d10_wrong_titles_are_rejected() {
    let known = Acceptor { calling_ae_titles: Some(vec!["CT1".into()]), ..acceptor() };
    for (acceptor, called, calling, reason) in
        [(acceptor(), "ANYBODY", "X", 7u8), (acceptor(), "precinct", "X", 7), (known.clone(), "PRECINCT", "CT2", 3)]
    {
        let mut association = Association::new(acceptor);
        put(&mut association, &Pdu::AssociationRQ(request(called, calling)));
        assert!(matches!(association.poll().unwrap(), Some(Event::Rejected { .. })));
        let bytes = association.take_output();
        assert_eq!(bytes, [3, 0, 0, 0, 0, 4, 0, 1, 1, reason], "result 1, source 1");
        assert_eq!(association.poll().unwrap(), None);
    }
    let mut association = Association::new(known);
    put(&mut association, &Pdu::AssociationRQ(request("PRECINCT", "CT1")));
    assert!(matches!(association.poll().unwrap(), Some(Event::Established { .. })));
}

#[test]
fn an_echo_is_answered_and_a_release_too() {
    let mut association = established();
    sent(&mut association);
    say(&mut association, 1, &command(Command::C_ECHO, VERIFICATION, None, false));
    assert_eq!(association.poll().unwrap(), Some(Event::Echo));
    assert_eq!(answered(&mut association), 0);
    put(&mut association, &Pdu::ReleaseRQ);
    assert_eq!(association.poll().unwrap(), Some(Event::Released));
    assert_eq!(sent(&mut association), [Pdu::ReleaseRP]);
}

#[test]
fn a_store_in_many_pieces_comes_out_as_it_went_in() {
    let mut association = established();
    sent(&mut association);
    let set = command(Command::C_STORE, CT, Some("1.2.3"), true);
    let (first, second) = set.split_at(13);
    let mut bytes = Vec::new();
    for data in [
        vec![value(3, PDataValueType::Command, false, first)],
        // A command and the beginning of its data set in one PDU.
        vec![value(3, PDataValueType::Command, true, second), value(3, PDataValueType::Data, false, b"ab")],
        vec![value(3, PDataValueType::Data, false, b""), value(3, PDataValueType::Data, true, b"cd")],
    ] {
        write_pdu(&mut bytes, &Pdu::PData { data }).unwrap();
    }
    let (mut events, mut received) = (Vec::new(), Vec::new());
    for byte in bytes {
        association.buffer().extend_from_slice(&[byte]);
        while let Some(event) = association.poll().unwrap() {
            if let Event::Data { bytes, .. } = &event {
                received.extend_from_slice(bytes);
            }
            events.push(event);
        }
    }
    let [Event::Store(request), .., Event::Data { is_last: true, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((request.sop_class_uid.as_str(), request.sop_instance_uid.as_str()), (CT, "1.2.3"));
    assert_eq!(request.transfer_syntax_uid, "1.2.840.10008.1.2.4.90");
    assert_eq!(received, b"abcd");
    association.respond(request, Status::DuplicateInstance, Some("kept the first"));
    assert_eq!(answered(&mut association), 0x0111);
    assert!(association.is_between_messages());
}

#[test]
fn what_is_not_done_is_refused_and_the_association_goes_on() {
    let mut association = established();
    sent(&mut association);
    for (set, status) in [
        (command(0x0020, CT, None, true), 0x0211),
        (command(Command::C_STORE, "1.2.840.10008.5.1.4.1.1.4", Some("1.2"), true), 0x0122),
        (command(Command::C_STORE, CT, None, true), 0xC000),
        (command(Command::C_STORE, CT, Some("1.2"), false), 0xC000),
    ] {
        let has_data = set.windows(10).any(|bytes| bytes == [0, 0, 0, 8, 2, 0, 0, 0, 1, 0]);
        say(&mut association, 3, &set);
        if has_data {
            data(&mut association, 3, false, b"nobody");
            data(&mut association, 3, true, b"wants this");
        }
        assert!(matches!(association.poll().unwrap(), Some(Event::Refused { .. })));
        assert_eq!(answered(&mut association), status);
        assert_eq!(association.poll().unwrap(), None, "what was refused is not handed out");
        assert!(association.is_between_messages());
    }
    say(&mut association, 1, &command(Command::C_ECHO, VERIFICATION, None, false));
    assert_eq!(association.poll().unwrap(), Some(Event::Echo));
}

#[test]
fn d11_a_context_that_was_not_accepted_breaks_the_association() {
    for context in [5, 6, 13, 0, 255] {
        let mut association = established();
        say(&mut association, context, &command(Command::C_ECHO, VERIFICATION, None, false));
        aborts(association);
    }
    let mut association = established();
    say(&mut association, 3, &command(Command::C_STORE, CT, Some("1.2"), true));
    assert!(matches!(association.poll().unwrap(), Some(Event::Store(_))));
    data(&mut association, 1, true, b"on another context");
    aborts(association);
}

#[test]
fn what_comes_out_of_turn_breaks_the_association() {
    let mut before = Association::new(acceptor());
    put(&mut before, &Pdu::ReleaseRQ);
    aborts(before);
    for pdu in [
        Pdu::AssociationRQ(request("PRECINCT", "X")),
        Pdu::ReleaseRP,
        Pdu::Unknown { pdu_type: 0x44, data: vec![1, 2, 3] },
        Pdu::PData { data: vec![value(3, PDataValueType::Data, true, b"without a command")] },
    ] {
        let mut association = established();
        put(&mut association, &pdu);
        aborts(association);
    }
    let mut association = established();
    say(&mut association, 3, &command(Command::C_STORE, CT, Some("1.2"), true));
    assert!(association.poll().unwrap().is_some());
    say(&mut association, 3, &command(Command::C_STORE, CT, Some("1.3"), true));
    aborts(association);
}

#[test]
fn d1_d2_d3_pdus_of_impossible_length_and_no_pdus_at_all() {
    for bytes in [
        &[1, 0, 0xff, 0xff, 0xff, 0xff, 0, 1][..],
        &[4, 0, 0, 2, 0, 1],
        &[1, 0, 0, 0, 0, 0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
    ] {
        let mut association = Association::new(acceptor());
        association.buffer().extend_from_slice(bytes);
        aborts(association);
    }
    // A PDU just as long as is allowed is waited for, and nothing is set aside for it before it comes.
    let mut association = established();
    let head = [&[4, 0][..], &MAX_PDU.to_be_bytes()].concat();
    association.buffer().extend_from_slice(&head);
    assert_eq!(association.poll().unwrap(), None);
}

#[test]
fn a_command_set_without_end_is_not_gathered() {
    let mut association = established();
    sent(&mut association);
    for _ in 0..MAX_COMMAND / 1000 {
        put(&mut association, &Pdu::PData { data: vec![value(3, PDataValueType::Command, false, &[0; 1000])] });
        assert_eq!(association.poll().unwrap(), None);
    }
    put(&mut association, &Pdu::PData { data: vec![value(3, PDataValueType::Command, false, &[0; 1000])] });
    aborts(association);
}

#[test]
fn a_peer_that_takes_next_to_nothing_gets_its_answer_in_pieces() {
    let mut association = Association::new(acceptor());
    let variables = vec![UserVariableItem::MaxLength(1)];
    let narrow = AssociationRQ { user_variables: variables, ..request("PRECINCT", "X") };
    put(&mut association, &Pdu::AssociationRQ(narrow));
    association.poll().unwrap();
    sent(&mut association);
    say(&mut association, 3, &command(Command::C_STORE, CT, Some("1.2"), true));
    let Some(Event::Store(request)) = association.poll().unwrap() else { panic!() };
    data(&mut association, 3, true, b"");
    association.poll().unwrap();
    association.respond(&request, Status::Success, Some(&"x".repeat(64)));
    let pdus = sent(&mut association);
    assert_eq!(pdus.len(), 2);
    let lasts: Vec<_> =
        pdus.iter().map(|pdu| matches!(pdu, Pdu::PData { data } if data.iter().all(|value| value.is_last))).collect();
    assert_eq!(lasts, [false, true]);
}

/// Puts a request whose data set is `set`, in pieces.
fn ask(association: &mut Association, context: u8, field: u16, class: &str, set: &[u8]) -> Option<Event> {
    say(association, context, &command(field, class, None, true));
    for piece in set.chunks(MAX_PDU as usize - 6) {
        assert_eq!(association.poll().unwrap(), None);
        data(association, context, false, piece);
    }
    data(association, context, true, b"");
    association.poll().unwrap()
}

fn cancel(association: &mut Association, context: u8, message: u16) {
    let mut set = command(Command::C_CANCEL, FIND, None, false);
    set.extend([&[0, 0, 0x20, 1, 2, 0, 0, 0][..], &message.to_le_bytes()].concat());
    say(association, context, &set);
}

#[test]
fn ps3_7_9_1_2_a_query_is_handed_on_whole_answered_many_times_and_cancelled_once() {
    let mut association = established();
    sent(&mut association);
    let Some(Event::Request(request)) = ask(&mut association, 7, Command::C_FIND, FIND, b"identifier") else {
        panic!()
    };
    assert_eq!((request.service, request.data_set.as_slice()), (Service::Find(Root::Study), &b"identifier"[..]));
    assert_eq!(request.transfer_syntax_uid, "1.2.840.10008.1.2.1");
    assert!(!association.is_between_messages(), "it is being performed");
    let pending = Answer { data_set: Some(b"a match"), ..Answer::of(Status::Pending) };
    association.answer(&request, &pending);
    let pdus = sent(&mut association);
    let [Pdu::PData { data: first }, Pdu::PData { data: second }] = pdus.as_slice() else { panic!("{pdus:?}") };
    assert_eq!((first[0].value_type.clone(), first[0].is_last), (PDataValueType::Command, true));
    assert_eq!((second[0].value_type.clone(), second[0].data.as_slice()), (PDataValueType::Data, &b"a match"[..]));
    cancel(&mut association, 7, 8);
    assert_eq!(association.poll().unwrap(), None, "another message's");
    cancel(&mut association, 7, 9);
    assert_eq!(association.poll().unwrap(), Some(Event::Cancelled));
    association.answer(&request, &Answer::of(Status::Cancelled));
    assert_eq!(answered(&mut association), 0xFE00);
    assert!(association.is_between_messages());
    cancel(&mut association, 7, 9);
    assert_eq!(association.poll().unwrap(), None, "too late");
}

#[test]
fn a_data_set_without_end_is_refused_and_passed_over() {
    let mut association = established();
    sent(&mut association);
    let event = {
        say(&mut association, 7, &command(Command::C_FIND, FIND, None, true));
        let mut refused = None;
        for _ in 0..=MAX_DATA_SET / 100_000 {
            data(&mut association, 7, false, &[0; 100_000]);
            if let Some(event) = association.poll().unwrap() {
                assert_eq!(refused.replace(event), None, "once");
            }
        }
        refused
    };
    assert_eq!(event, Some(Event::Refused { status: Status::ResourceLimitation }));
    data(&mut association, 7, true, b"");
    assert_eq!(association.poll().unwrap(), None);
    assert!(association.is_between_messages());
}

#[test]
fn an_operation_belongs_into_a_context_of_its_service() {
    for (context, field, class) in [
        (3, Command::C_FIND, CT),
        (7, Command::C_GET, FIND),
        (7, Command::C_MOVE, FIND),
        (9, Command::C_FIND, GET),
        (1, Command::N_ACTION, VERIFICATION),
        (11, Command::N_EVENT_REPORT, COMMITMENT),
    ] {
        let mut association = established();
        sent(&mut association);
        say(&mut association, context, &command(field, class, None, false));
        assert_eq!(association.poll().unwrap(), Some(Event::Refused { status: Status::UnrecognizedOperation }));
        assert_eq!(answered(&mut association), 0x0211);
    }
    let mut association = established();
    sent(&mut association);
    say(&mut association, 9, &command(Command::C_GET, GET, None, false));
    assert_eq!(association.poll().unwrap(), Some(Event::Refused { status: Status::DoesNotMatch }), "no identifier");
}

#[test]
fn a_second_request_while_one_is_performed_breaks_the_association() {
    let mut association = established();
    assert!(matches!(ask(&mut association, 9, Command::C_GET, GET, b"x"), Some(Event::Request(_))));
    say(&mut association, 1, &command(Command::C_ECHO, VERIFICATION, None, false));
    aborts(association);
}

/// Both sides in memory: whatever one sends is put into the other.
fn carry(from: &mut Association, to: &mut Association) {
    let output = from.take_output();
    to.buffer().extend_from_slice(&output);
}

/// An association that we asked for, and the peer that accepted it.
fn pair() -> (Association, Association) {
    let proposal = |class: &str, last: &str| Proposal {
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec![format!("1.2.840.10008.1.2{last}")],
        as_provider: class == COMMITMENT,
    };
    let mut ours = Association::request(Requestor {
        ae_title: "PRECINCT".into(),
        called_ae_title: "SINK".into(),
        proposals: vec![proposal(CT, ".4.90"), proposal("1.2.840.10008.5.1.4.31", ""), proposal(VERIFICATION, "")],
    });
    let mut theirs = Association::new(Acceptor::new("SINK"));
    carry(&mut ours, &mut theirs);
    let event = theirs.poll().unwrap();
    assert!(matches!(event, Some(Event::Established { contexts: (2, 3), .. })), "{event:?}");
    carry(&mut theirs, &mut ours);
    assert_eq!(ours.poll().unwrap(), Some(Event::Accepted { contexts: (2, 3) }));
    (ours, theirs)
}

#[test]
fn an_object_that_we_send_arrives_as_it_is() {
    let (mut ours, mut theirs) = pair();
    let context = ours.contexts()[0].clone();
    assert!(context.is_ours);
    let object = StoreAnnouncement { sop_class_uid: CT, sop_instance_uid: "1.2.3", originator: Some(("MOVER", 7)) };
    ours.store(context.id, &object);
    let long: Vec<u8> = (0..400_000u32).map(|n| n as u8).collect();
    ours.send_data(context.id, &long[..300_000], false);
    ours.send_data(context.id, &long[300_000..], false);
    ours.send_data(context.id, b"", true);
    carry(&mut ours, &mut theirs);
    let Some(Event::Store(request)) = theirs.poll().unwrap() else { panic!() };
    assert_eq!((request.sop_class_uid.as_str(), request.sop_instance_uid.as_str()), (CT, "1.2.3"));
    let mut received = Vec::new();
    while let Some(Event::Data { bytes, .. }) = theirs.poll().unwrap() {
        received.extend(bytes);
    }
    assert!(received == long);
    theirs.respond(&request, Status::OutOfResources, Some("no"));
    carry(&mut theirs, &mut ours);
    assert_eq!(ours.poll().unwrap(), Some(Event::Response { status: 0xA700 }));
    ours.echo(5);
    carry(&mut ours, &mut theirs);
    assert_eq!(theirs.poll().unwrap(), Some(Event::Echo));
    carry(&mut theirs, &mut ours);
    assert_eq!(ours.poll().unwrap(), Some(Event::Response { status: 0 }));
    ours.release();
    carry(&mut ours, &mut theirs);
    assert_eq!(theirs.poll().unwrap(), Some(Event::Released));
    carry(&mut theirs, &mut ours);
    assert_eq!(ours.poll().unwrap(), Some(Event::Released));
    ours.send_data(1, b"nobody", true);
    assert!(ours.take_output().is_empty(), "nothing is sent after the end");
}

#[test]
fn an_acceptor_that_does_not_answer_as_it_must_is_broken_off() {
    let response = |message: u16| {
        let mut set = command(0x8001, CT, None, false);
        set.extend([&[0, 0, 0x20, 1, 2, 0, 0, 0][..], &message.to_le_bytes()].concat());
        set.extend([0, 0, 0, 9, 2, 0, 0, 0, 0, 0]);
        set
    };
    let without_status = || response(1)[..response(1).len() - 10].to_vec();
    for set in [response(2), response(0), without_status(), command(Command::C_ECHO, VERIFICATION, None, false)] {
        let (mut ours, _) = pair();
        ours.store(1, &StoreAnnouncement { sop_class_uid: CT, sop_instance_uid: "1.2", originator: None });
        ours.take_output();
        say(&mut ours, 1, &set);
        aborts(ours);
    }
    let (mut ours, _) = pair();
    say(&mut ours, 1, &response(1));
    aborts(ours);
    let mut ours = Association::request(Requestor {
        ae_title: "PRECINCT".into(),
        called_ae_title: "SINK".into(),
        proposals: Vec::new(),
    });
    assert!(matches!(sent(&mut ours).as_slice(), [Pdu::AssociationRQ(_)]));
    put(&mut ours, &Pdu::AssociationRQ(request("PRECINCT", "X")));
    aborts(ours);
}

#[test]
fn a_rejection_is_told_from_an_acceptance() {
    let mut ours = Association::request(Requestor {
        ae_title: "PRECINCT".into(),
        called_ae_title: "SINK".into(),
        proposals: Vec::new(),
    });
    let mut theirs = Association::new(Acceptor::new("OTHER"));
    carry(&mut ours, &mut theirs);
    assert!(matches!(theirs.poll().unwrap(), Some(Event::Rejected { .. })));
    carry(&mut theirs, &mut ours);
    let Some(Event::Rejected { reason }) = ours.poll().unwrap() else { panic!() };
    assert!(!reason.is_empty());
    assert_eq!(ours.poll().unwrap(), None);
}

#[test]
fn ps3_7_9_1_3_objects_go_out_on_the_association_of_a_get() {
    let mut association = established();
    sent(&mut association);
    let Some(Event::Request(request)) = ask(&mut association, 9, Command::C_GET, GET, b"x") else { panic!() };
    assert_eq!(request.service, Service::Get(Root::Patient));
    association.store(3, &StoreAnnouncement { sop_class_uid: CT, sop_instance_uid: "1.2.3", originator: None });
    association.send_data(3, b"object", true);
    sent(&mut association);
    let mut response = command(0x8001, CT, Some("1.2.3"), false);
    response.extend([0, 0, 0x20, 1, 2, 0, 0, 0, 1, 0]);
    response.extend([0, 0, 0, 9, 2, 0, 0, 0, 0x00, 0xB0]);
    say(&mut association, 3, &response);
    assert_eq!(association.poll().unwrap(), Some(Event::Response { status: 0xB000 }));
    let progress = Some(Progress { completed: 1, ..Progress::default() });
    association.answer(&request, &Answer { progress, ..Answer::of(Status::Success) });
    assert_eq!(answered(&mut association), 0);
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_event_an_error_or_nothing(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        begun in any::<bool>(),
        kinds in prop::collection::vec(1u8..8, 20),
    ) {
        let mut association = if begun { established() } else { Association::new(acceptor()) };
        for (piece, kind) in pieces.iter().zip(kinds) {
            let len = u32::try_from(piece.len()).unwrap();
            association.buffer().extend_from_slice(&[kind, 0]);
            association.buffer().extend_from_slice(&len.to_be_bytes());
            association.buffer().extend_from_slice(piece);
            while let Ok(Some(_)) = association.poll() {}
        }
        let _output = association.take_output();
    }
}
