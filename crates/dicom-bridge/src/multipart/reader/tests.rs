use proptest::prelude::*;

use super::*;
use crate::multipart::MultipartWriter;

type Parts = Vec<(PartHeaders, Vec<u8>)>;

/// Reads a body that comes in pieces of `size` bytes.
fn read(boundary: &str, body: &[u8], size: usize, limits: MultipartLimits) -> Result<Parts, MultipartError> {
    let mut reader = MultipartReader::new(boundary, limits)?;
    let mut pieces = body.chunks(size.max(1));
    let (mut parts, mut open) = (Vec::new(), None::<(PartHeaders, Vec<u8>)>);
    loop {
        match reader.poll()? {
            Some(MultipartEvent::Part(headers)) => assert!(open.replace((headers, Vec::new())).is_none()),
            Some(MultipartEvent::Data(bytes)) => open.as_mut().unwrap().1.extend_from_slice(&bytes),
            Some(MultipartEvent::PartEnd) => parts.push(open.take().unwrap()),
            Some(MultipartEvent::End) => return Ok(parts),
            None => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
        }
        assert!(reader.held.len() <= size.max(1) + 80 + reader.limits.max_header_bytes, "more is held than must be");
    }
}

fn usual(body: &[u8]) -> Result<Parts, MultipartError> {
    let whole = read("b", body, body.len(), MultipartLimits::default());
    for size in [1, 2, 3, 7] {
        assert_eq!(read("b", body, size, MultipartLimits::default()), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn parts_are_read_with_their_header_fields() {
    let body = b"ignored\r\n--b\r\nContent-Type: application/dicom\r\nContent-Location:  /x \r\n\r\nAB\r\n-\r\n--b \t\r\n\r\n\r\n--b--\r\nrest";
    let parts = usual(body).unwrap();
    assert_eq!(parts[0].0.field("content-type"), Some("application/dicom"));
    assert_eq!(parts[0].0.field("content-location"), Some("/x"));
    assert_eq!((parts[0].1.as_slice(), parts[1].1.as_slice(), parts.len()), (&b"AB\r\n-"[..], &b""[..], 2));
    assert_eq!(parts[1].0, PartHeaders::default());
}

#[test]
fn a_part_without_bytes_may_lack_the_empty_line() {
    let parts = usual(b"--b\r\nA: b\r\n\r\n--b\r\n\r\n--b--").unwrap();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|(_, bytes)| bytes.is_empty()));
}

#[test]
fn what_only_begins_like_a_boundary_is_data() {
    let parts = usual(b"--b\r\n\r\n\r\r\n--\r\n--a--b\r\n--b--").unwrap();
    assert_eq!(parts[0].1, b"\r\r\n--\r\n--a--b");
}

#[test]
fn what_is_no_body_of_parts_is_refused() {
    assert_eq!(usual(b"").unwrap_err(), MultipartError::Truncated { part: 0 });
    assert_eq!(usual(b"no boundary at all").unwrap_err(), MultipartError::Truncated { part: 0 });
    assert_eq!(usual(b"--b\r\n\r\nABC").unwrap_err(), MultipartError::Truncated { part: 1 });
    assert_eq!(usual(b"--b\r\n\r\nABC\r\n--b").unwrap_err(), MultipartError::Truncated { part: 1 });
    assert_eq!(usual(b"--bc\r\n\r\nABC\r\n--b--").unwrap_err(), MultipartError::Delimiter { part: 0 });
    for header in ["no colon", ": no name", "Na me: x", "A: \0", "A: \u{80}b\nc: d"] {
        let body = format!("--b\r\n{header}\r\n\r\nABC\r\n--b--");
        assert_eq!(usual(body.as_bytes()).unwrap_err(), MultipartError::Header { part: 1 }, "{header:?}");
    }
    assert_eq!(usual(b"--b\r\nA: \xff\r\n\r\n\r\n--b--").unwrap_err(), MultipartError::Header { part: 1 });
}

#[test]
fn boundaries_are_those_of_the_standard() {
    let long = "x".repeat(71);
    for boundary in ["", "a ", "ä", "a\"b", "a\r\nb", long.as_str()] {
        assert_eq!(
            MultipartReader::new(boundary, MultipartLimits::default()).unwrap_err(),
            MultipartError::Boundary,
            "{boundary:?}"
        );
    }
    assert!(MultipartReader::new(&long[1..], MultipartLimits::default()).is_ok());
}

#[test]
fn every_limit_holds() {
    let tiny = MultipartLimits { max_parts: 2, max_header_bytes: 16, max_preamble_bytes: 8 };
    let what = |body: &[u8]| match read("b", body, 1, tiny.clone()) {
        Err(MultipartError::LimitExceeded { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(b"--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b--"), "parts");
    assert_eq!(what(b"--b\r\nA: 0123456789012345\r\n\r\n\r\n--b--"), "bytes of a part's header fields");
    assert_eq!(what(&[b"--b\r\n", &[b'x'; 1000][..]].concat()), "bytes of a part's header fields");
    assert_eq!(what(b"0123456789\r\n--b--"), "bytes before the first boundary");
    assert_eq!(what(&[b'\r'; 1000]), "bytes before the first boundary");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        bodies in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-abpr".to_vec()), 0..60), 0..6),
        size in 1usize..40,
    ) {
        let mut writer = MultipartWriter::new([7; 16]);
        let content_type = crate::media_type::MediaType::parse(&writer.content_type("application/dicom")).unwrap();
        prop_assert_eq!(content_type.parameter("type"), Some("application/dicom"));
        let mut body = Vec::new();
        for (nth, bytes) in bodies.iter().enumerate() {
            body.extend(writer.part(&[("Content-Type", "application/dicom"), ("Content-Location", &nth.to_string())]).bytes());
            body.extend(bytes);
        }
        body.extend(writer.end().bytes());
        let parts = read(content_type.parameter("boundary").unwrap(), &body, size, MultipartLimits::default()).unwrap();
        prop_assert_eq!(parts.len(), bodies.len());
        for (nth, (headers, bytes)) in parts.iter().enumerate() {
            prop_assert_eq!(headers.field("content-location").map(str::to_owned), Some(nth.to_string()));
            prop_assert_eq!(bytes, &bodies[nth]);
        }
    }

    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(
        body in prop::collection::vec(prop::sample::select(b"\r\n-b :A".to_vec()), 0..120),
    ) {
        let body = [&b"--b\r\n"[..], &body].concat();
        drop(usual(&body));
    }
}
