use proptest::prelude::*;

use super::*;

fn header(class: DataBinClass, codestream: u64, id: u64, offset: u64, len: u64, complete: bool) -> MessageHeader {
    MessageHeader { class, codestream: CodestreamId(codestream), id, offset, len, complete, aux: 0 }
}

/// The encoder's output for `headers`, one after the other in one response.
fn encode(headers: &[MessageHeader]) -> Vec<u8> {
    let mut encoder = MessageEncoder::new();
    let mut out = Vec::new();
    for header in headers {
        let before = out.len();
        let announced = encoder.encoded_len(header);
        encoder.encode(header, &mut out);
        assert_eq!(out.len() - before, announced);
    }
    out
}

#[test]
fn a_2_2_bin_ids_are_written_as_in_the_vectors() {
    let rows: [(u64, Presence, bool, &[u8]); 8] = [
        (0, Presence::ClassAndCodestream, true, &[0x70]),
        (15, Presence::Neither, false, &[0x2F]),
        (16, Presence::Neither, true, &[0xB0, 0x10]),
        (67, Presence::Neither, true, &[0xB0, 0x43]),
        (2047, Presence::Class, true, &[0xDF, 0x7F]),
        (2048, Presence::Neither, false, &[0xA0, 0x90, 0x00]),
        (300_000, Presence::Neither, false, &[0xA0, 0x92, 0xA7, 0x60]),
        (1 << 40, Presence::ClassAndCodestream, false, &[0xE0, 0xA0, 0x80, 0x80, 0x80, 0x80, 0x00]),
    ];
    for (id, presence, complete, expect) in rows {
        let mut out = Vec::new();
        encode_bin_id(presence, &header(DataBinClass::Precinct, 0, id, 0, 0, complete), &mut out);
        assert_eq!(out, expect, "{id}");
        assert_eq!(bin_id_len(id), expect.len(), "{id}");
    }
}

#[test]
fn a_2_headers_are_written_and_read_as_in_the_vectors() {
    let metadata = header(DataBinClass::Metadata, 0, 0, 0, 0, true);
    let main_header = header(DataBinClass::MainHeader, 0, 0, 0, 300, true);
    let precinct = header(DataBinClass::Precinct, 0, 67, 1200, 500, false);
    let extended = MessageHeader { aux: 2, ..header(DataBinClass::ExtendedPrecinct, 3, 5, 0, 10, false) };
    let tile = header(DataBinClass::Tile, 0, 1, 0, 4096, true);
    let rows: [(&[MessageHeader], &[u8]); 5] = [
        (&[metadata], &[0x70, 8, 0, 0, 0]),
        (&[metadata, main_header], &[0x70, 8, 0, 0, 0, 0x50, 6, 0, 0x82, 0x2C]),
        (&[metadata, precinct], &[0x70, 8, 0, 0, 0, 0xC0, 0x43, 0, 0x89, 0x30, 0x83, 0x74]),
        (&[extended], &[0x65, 1, 3, 0, 0x0A, 2]),
        (&[tile], &[0x71, 4, 0, 0, 0xA0, 0]),
    ];
    for (headers, expect) in rows {
        let bytes = encode(headers);
        assert_eq!(bytes, expect);
        let mut decoder = MessageDecoder::new();
        let mut at = 0;
        for header in headers {
            let (head, used) = decoder.decode(&bytes[at..]).unwrap().unwrap();
            assert_eq!(head, Head::Message(*header));
            at += used;
        }
        assert_eq!(at, bytes.len());
    }
}

#[test]
fn d_3_end_of_response_is_three_bytes_and_changes_no_state() {
    let mut out = Vec::new();
    encode_eor(EorReason::WindowDone, &mut out);
    encode_eor(EorReason::ByteLimit, &mut out);
    assert_eq!(out, [0, 2, 0, 0, 4, 0]);
    let mut decoder = MessageDecoder::new();
    decoder.decode(&[0x61, 6, 9, 0, 0]).unwrap().unwrap();
    assert_eq!(decoder.decode(&out), Ok(Some((Head::EndOfResponse { reason: EorReason::WindowDone, len: 0 }, 3))));
    let (head, _) = decoder.decode(&[0x21, 0, 0]).unwrap().unwrap();
    assert_eq!(head, Head::Message(header(DataBinClass::MainHeader, 9, 1, 0, 0, false)));
    // A code that the standard leaves open, with text.
    let open = decoder.decode(&[0, 77, 5]).unwrap();
    assert_eq!(open, Some((Head::EndOfResponse { reason: EorReason::NonSpecified, len: 5 }, 3)));
}

#[test]
fn a_2_2_what_follows_a_first_header_without_class_is_class_0_of_codestream_0() {
    let (head, used) = MessageDecoder::new().decode(&[0x35, 0, 7]).unwrap().unwrap();
    assert_eq!((head, used), (Head::Message(header(DataBinClass::Precinct, 0, 5, 0, 7, true)), 3));
}

#[test]
fn reserved_classes_are_skipped_with_their_aux() {
    let mut decoder = MessageDecoder::new();
    assert_eq!(decoder.decode(&[0x40, 3, 0, 9, 1]), Ok(Some((Head::Reserved { class: 3, len: 9 }, 5))));
    assert_eq!(decoder.decode(&[0x40, 10, 0, 9]), Ok(Some((Head::Reserved { class: 10, len: 9 }, 4))));
}

#[test]
fn broken_headers_are_refused() {
    for first in [0x01, 0x10, 0x80, 0x9F] {
        let refused = MessageDecoder::new().decode(&[first, 0, 0, 0]);
        assert_eq!(refused, Err(MessageError::ProhibitedBinId(first)));
    }
    let mut overlong_id = vec![0xEF];
    overlong_id.extend([0xFF; 12]);
    assert!(MessageDecoder::new().decode(&overlong_id).is_err());
    let mut overflow = vec![0x70, 0, 0];
    encode_vbas(u64::MAX, &mut overflow);
    encode_vbas(1, &mut overflow);
    assert_eq!(MessageDecoder::new().decode(&overflow), Err(MessageError::Overflow { offset: u64::MAX, len: 1 }));
}

fn any_header() -> impl Strategy<Value = MessageHeader> {
    let class = prop::sample::select(vec![
        DataBinClass::Precinct,
        DataBinClass::ExtendedPrecinct,
        DataBinClass::TileHeader,
        DataBinClass::Tile,
        DataBinClass::ExtendedTile,
        DataBinClass::MainHeader,
        DataBinClass::Metadata,
    ]);
    let number = || prop_oneof![0u64..300, any::<u64>()];
    (class, prop_oneof![0u64..3, any::<u64>()], number(), 0u64..1 << 62, 0u64..1 << 62, any::<bool>(), number())
        .prop_map(|(class, codestream, id, offset, len, complete, aux)| MessageHeader {
            aux: if class.has_aux() { aux } else { 0 },
            ..header(class, codestream, id, offset, len, complete)
        })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_and_no_prefix_is(headers in prop::collection::vec(any_header(), 1..12)) {
        let bytes = encode(&headers);
        let mut decoder = MessageDecoder::new();
        let mut at = 0;
        for expect in &headers {
            let whole = decoder.clone().decode(&bytes[at..]).unwrap().unwrap().1;
            prop_assert!(whole <= MAX_MESSAGE_HEADER);
            for cut in 0..whole {
                prop_assert_eq!(decoder.decode(&bytes[at..at + cut]), Ok(None));
            }
            let (head, used) = decoder.decode(&bytes[at..]).unwrap().unwrap();
            prop_assert_eq!(head, Head::Message(*expect));
            at += used;
        }
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let taken = MessageDecoder::new().decode(&bytes);
        if bytes.len() >= MAX_MESSAGE_HEADER {
            prop_assert!(!matches!(taken, Ok(None)));
        }
    }
}
