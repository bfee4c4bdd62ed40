//! Documents as they come: those of OpenJPIP, and those of faults B1 to B13.
#![expect(
    clippy::unwrap_used,
    reason = "test code knows what it has made and may panic when that is not what comes back"
)]

use annotations::{AnnotationError, Annotations, Limits, Region, Registration};

fn parse(text: impl AsRef<[u8]>) -> Result<Annotations, AnnotationError> {
    Annotations::parse(text.as_ref(), &Limits::default())
}

fn names(text: impl AsRef<[u8]>) -> Vec<String> {
    parse(text).unwrap().regions.into_iter().map(|region| region.name).collect()
}

fn limited(text: impl AsRef<[u8]>) -> bool {
    matches!(parse(text), Err(AnnotationError::LimitExceeded { .. }))
}

const ISLAND: &str = r#"<roi name="island" x="1890" y="1950" w="770" h="310"/>"#;

#[test]
fn regions_are_found_whatever_is_around_them() {
    let island = Region { name: "island".into(), x: 1890, y: 1950, width: 770, height: 310 };
    let declaration = r#"<?xml version="1.0"?>"#;
    for document in [
        ISLAND.to_owned(),
        format!("{declaration}\n{ISLAND}"),
        format!("\u{feff}{declaration}<anyroot>\n  {ISLAND}</anyroot>\n"),
        format!("<a>text &amp; more</a>{declaration}<b><c><!-- x -->{ISLAND}</c></b><a/>"),
        r#"<roi h="310" w='770' y=" 1950 " x="1890" name="island" extra="1"></roi>"#.to_owned(),
    ] {
        assert_eq!(parse(&document).unwrap().regions, std::slice::from_ref(&island), "{document}");
    }
    assert_eq!(names(format!("{ISLAND}{}", ISLAND.replace("island", "lake"))), ["island", "lake"]);
    assert!(names("").is_empty());
    assert!(names(ISLAND.replace("roi", "x:roi")).is_empty());
}

#[test]
fn registrations_are_kept_as_written() {
    let text = r#"<irt refimg="n.jp2" m1="0.5" m2="0" m3="-1e1" m4="0" m5="1" m6="0" m7="500" m8="1000" m9="1"/>"#;
    let found = parse(text).unwrap().registrations;
    let matrix = [0.5, 0.0, -10.0, 0.0, 1.0, 0.0, 500.0, 1000.0, 1.0];
    assert_eq!(found, [Registration { reference: "n.jp2".into(), matrix }]);
}

#[test]
fn a_region_is_cut_at_the_border_of_the_image() {
    let region = Region { name: "r".into(), x: 10, y: 20, width: 5, height: u32::MAX };
    assert_eq!(region.inside(100, 100), Some(Region { height: 80, ..region.clone() }));
    assert_eq!(region.inside(12, 21), Some(Region { width: 2, height: 1, ..region.clone() }));
    assert_eq!(region.inside(10, 100), None);
    assert_eq!(region.inside(100, 19), None);
}

#[test]
fn b1_to_b4_no_document_type_of_any_kind() {
    let laughs = r#"<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>"#;
    let quadratic = format!(r#"<!DOCTYPE l [<!ENTITY a "{}">]><l>{}</l>"#, "a".repeat(50_000), "&a;".repeat(50_000));
    let external = r#"<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l>&a;</l>"#;
    for document in [laughs, &quadratic, external, "<!DOCTYPE html><html/>", "<a/><!doctype b><b/>"] {
        assert!(matches!(parse(document), Err(AnnotationError::Unsupported { .. })), "{:.40}", document);
    }
    assert!(parse(r#"<roi name="&b;" x="1" y="1" w="1" h="1"/>"#).is_err(), "an entity that nothing defines");
}

#[test]
fn b5_and_b6_attributes_by_the_thousand() {
    let many: String = (0..80_000).map(|n| format!(" a{n}=\"1\"")).collect();
    assert!(limited(format!("<roi{many}/>")));
    assert!(names(format!("<other{many}/>")).is_empty(), "not looked at");
    let spaces: String = (0..200_000).map(|n| format!(" xmlns:a{n}='u'")).collect();
    assert!(limited(format!("<roi {spaces}/>")));
}

#[test]
fn b7_depth_is_limited() {
    assert!(limited("<a>".repeat(100_000)));
    assert!(limited(format!("{}{}", "<a>".repeat(65), "</a>".repeat(65))));
    assert!(parse(format!("{}{}", "<a>".repeat(64), "</a>".repeat(64))).is_ok());
}

#[test]
fn b8_length_is_limited() {
    assert!(limited("a".repeat((4 << 20) + 1)));
    assert!(parse("a".repeat(4 << 20)).is_ok());
}

#[test]
fn b9_other_encodings_are_refused() {
    let wide: Vec<u8> = ISLAND.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(parse([&[0xFF, 0xFE][..], &wide].concat()), Err(AnnotationError::Unsupported { .. })));
    assert!(matches!(parse([0xFE, 0xFF, 0, b'<']), Err(AnnotationError::Unsupported { .. })));
    assert!(matches!(parse(b"<a>\xff</a>"), Err(AnnotationError::Malformed { offset: 3, .. })));
}

#[test]
fn b10_regions_that_make_no_sense_are_left_out() {
    for bad in ["NaN", "-1", "+1", "1.5", "", "4294967296", "0x10", "1e3"] {
        let found = parse(ISLAND.replace("1890", bad) + &ISLAND.replace("island", "lake")).unwrap();
        assert_eq!((found.regions.len(), found.left_out), (1, 1), "{bad}");
    }
    for missing in ["name=\"island\" ", "x=\"1890\" ", "h=\"310\""] {
        assert_eq!(parse(ISLAND.replace(missing, "")).unwrap().left_out, 1, "{missing}");
    }
    assert_eq!(parse(ISLAND.replace("770", "0")).unwrap().left_out, 1);
    assert_eq!(parse(ISLAND.replace("island", &"a".repeat(256))).unwrap().left_out, 1);
    assert!(limited(r#"<roi name="a" x="1" y="1" w="1" h="1"/>"#.repeat(50_000)));
    assert!(limited("<roi/>".repeat(10_001)));
    assert_eq!(parse("<roi/>".repeat(10_000)).unwrap().left_out, 10_000);
}

#[test]
fn b11_names_may_repeat() {
    assert_eq!(names(format!("{ISLAND}{}", ISLAND.replace("770", "7"))), ["island", "island"]);
}

#[test]
fn b12_a_registration_without_all_its_numbers_is_left_out() {
    for bad in [
        r#"<irt refimg="n.jp2"/>"#,
        r#"<irt refimg="n.jp2" m1="1" m2="0" m3="0" m4="0" m5="1" m6="0" m7="0" m8="0"/>"#,
        r#"<irt refimg="n.jp2" m1="NaN" m2="0" m3="0" m4="0" m5="1" m6="0" m7="0" m8="0" m9="1"/>"#,
        r#"<irt m1="1" m2="0" m3="0" m4="0" m5="1" m6="0" m7="0" m8="0" m9="1"/>"#,
    ] {
        let found = parse(bad).unwrap();
        assert!(found.registrations.is_empty() && found.left_out == 1, "{bad}");
    }
}

#[test]
fn b13_names_are_kept_verbatim() {
    let text = r#"<roi name="]]&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#x41;" x="1" y="1" w="1" h="1"/>"#;
    assert_eq!(names(text), ["]]><script>alert(1)</script>A"]);
}

#[test]
fn documents_that_break_off_are_refused() {
    for bad in ["<a>", "<a", "<a></b>", "</a>", "<roi name=\"x", "<a><b></a></b>", "<!-- ", "<![CDATA[ "] {
        assert!(matches!(parse(bad), Err(AnnotationError::Malformed { .. })), "{bad}");
    }
    let whole = format!("<?xml version=\"1.0\"?><a>{ISLAND}</a>");
    for end in 0..whole.len() {
        let _survived = parse(&whole[..end]);
    }
}
