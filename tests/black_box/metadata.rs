//! Boxes of files as clients reach them: metareq, regions of interest, layers, target identifiers. Faults B1 to B13 as
//! the XML box of a file.

use std::fs;

use codestream::testkit::{files::boxed, tiny_codestream};

use crate::house::{House, run};
use crate::pictures;
use crate::stream::{METADATA, Response};

/// A picture of 256 by 256 with an XML box at its end.
pub(crate) fn with_xml(document: &[u8]) -> Vec<u8> {
    [pictures::jp2(), boxed(*b"xml ", document)].concat()
}

const ISLAND: &str = r#"<roi name="island" x="100" y="120" w="40" h="30"/>"#;

fn metadata(response: &Response) -> Vec<(u64, Vec<u8>)> {
    response.messages.iter().filter(|m| m.class == METADATA).map(|m| (m.id, m.body.clone())).collect()
}

#[test]
fn c_4_8_a_region_of_an_xml_box_is_a_window_whatever_is_around_it() {
    let house = House::open();
    let declaration = "<?xml version=\"1.0\"?>";
    for (n, document) in [
        format!("{declaration}<anyroot>{ISLAND}</anyroot>"),
        format!("{declaration}{ISLAND}<roi name=\"lake\" x=\"0\" y=\"0\" w=\"1\" h=\"1\"/>"),
        format!("{declaration}<a/><b>{ISLAND}</b>"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("{n}.jp2");
        house.import(&name, &with_xml(document.as_bytes()));
        let named = house.get(&format!("/jpip?target={name}&roi=island"));
        assert_eq!(named.header("JPIP-roi"), Some("roi=island;fsiz=256,256;roff=100,120;rsiz=40,30"));
        assert_eq!(named.header("JPIP-fsiz"), Some("256,256"));
        let asked = house.get(&format!("/jpip?target={name}&fsiz=256,256&roff=100,120&rsiz=40,30"));
        assert_eq!(named.body, asked.body);
        let unknown = house.get(&format!("/jpip?target={name}&roi=atoll&fsiz=64,64"));
        assert_eq!(unknown.header("JPIP-roi"), Some("roi=no-roi"));
        assert_eq!(unknown.body, house.get(&format!("/jpip?target={name}&fsiz=64,64")).body);
    }
    // At the border of the image, and outside of it.
    let border = r#"<roi name="edge" x="250" y="0" w="99" h="5"/><roi name="out" x="256" y="0" w="1" h="1"/>"#;
    house.import("edge.jp2", &with_xml(border.as_bytes()));
    let edge = house.get("/jpip?target=edge.jp2&roi=edge");
    assert_eq!(edge.header("JPIP-roi"), Some("roi=edge;fsiz=256,256;roff=250,0;rsiz=6,5"));
    assert_eq!(house.get("/jpip?target=edge.jp2&roi=out").header("JPIP-roi"), Some("roi=no-roi"));
}

#[test]
fn b1_to_b13_a_box_that_is_not_understood_is_served_and_so_is_the_image() {
    let house = House::open();
    let island = |with: &str| ISLAND.replace("island", with);
    let attributes: String = (0..80_000).map(|n| format!(" a{n}=\"1\"")).collect();
    let documents: Vec<Vec<u8>> = vec![
        b"<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><l>&b;</l>".to_vec(),
        format!("<!DOCTYPE l [<!ENTITY a \"{}\">]><l>{}</l>", "a".repeat(9999), "&a;".repeat(9999)).into(),
        b"<!DOCTYPE l [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><roi name=\"&a;\" x=\"1\" y=\"1\" w=\"1\" h=\"1\"/>"
            .to_vec(),
        format!("<!DOCTYPE html>{ISLAND}").into(),
        format!("<roi{attributes}/>{ISLAND}").into(),
        format!("<roi{}/>{ISLAND}", " xmlns:a='u'".repeat(100_000)).into(),
        format!("{}{ISLAND}", "<a>".repeat(100_000)).into(),
        format!("<a>{}</a>{ISLAND}", "text".repeat(2 << 20)).into(),
        format!("{ISLAND}\u{0}").into_bytes().into_iter().chain([0xFF, 0xFE]).collect(),
        ISLAND.replace("100", "NaN").into(),
        ISLAND.replace("100", "-1").into(),
        island("x").repeat(100_000).into(),
        b"<irt refimg=\"n.jp2\"/>".to_vec(),
        island("]]&gt;&lt;script&gt;").into(),
    ];
    for (n, document) in documents.iter().enumerate() {
        let name = format!("{n}.jp2");
        house.import(&name, &with_xml(document));
        let reply = house.get(&format!("/jpip?target={name}&roi=island&fsiz=64,64"));
        assert_eq!((reply.status, reply.header("JPIP-roi")), (200, Some("roi=no-roi")), "document {n}");
        let text: Vec<u8> = house
            .jpip(&format!("target={name}&metareq=[xml_]!!"))
            .messages
            .iter()
            .filter(|m| m.id == 1)
            .flat_map(|m| m.body.clone())
            .collect();
        assert!(text == *document, "document {n} comes as it is");
    }
    let script = house.get("/jpip?target=13.jp2&roi=]]%3E%3Cscript%3E");
    let answer = script.header("JPIP-roi").unwrap();
    assert!(answer.starts_with("roi=%5D%5D%3E%3Cscript%3E;fsiz="), "{answer}");
    house.import("twice.jp2", &with_xml((ISLAND.to_owned() + &ISLAND.replace("100", "7")).as_bytes()));
    let twice = house.get("/jpip?target=twice.jp2&roi=island");
    assert_eq!(twice.header("JPIP-roff"), Some("100,120"), "of two regions with one name the first counts");
}

#[test]
fn a_3_6_association_boxes_are_reached_bin_by_bin() {
    let text = |word: &str| boxed(*b"xml ", format!("<?xml version=\"1.0\"?><{word}/>").as_bytes());
    let mut region = vec![1, 1, 0, 0];
    [4u32, 4, 4, 4].iter().for_each(|number| region.extend(number.to_be_bytes()));
    let inner = boxed(*b"asoc", &[boxed(*b"roid", &region), boxed(*b"lbl ", b"spot"), text("spot")].concat());
    let about_second = boxed(*b"asoc", &[boxed(*b"nlst", &[1, 0, 0, 1]), inner, text("second")].concat());
    let file = [pictures::jpx(2), about_second, text("all")].concat();
    let house = House::with_files(&[("a.jpx", file.clone())]);
    let bins = |query: &str| metadata(&house.jpip(&format!("target=a.jpx&metareq={query}")));
    let ids = |query: &str| bins(query).iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids("[*]!!"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(ids("[xml_/g]!!"), [0, 5]);
    assert_eq!(ids("[xml_/s]!!&stream=1"), [0, 1, 4]);
    assert_eq!(ids("[xml_/s]!!&stream=0"), [0]);
    assert_eq!(ids("[xml_/w]!!&stream=1&fsiz=16,16&roff=0,0&rsiz=5,5"), [0, 1, 2, 3]);
    assert_eq!(ids("[xml_/w]!!&stream=1&fsiz=16,16&roff=9,9&rsiz=5,5"), [0]);
    assert_eq!(ids("[xml_/a]R1D0!!"), [0, 1, 4]);
    assert_eq!(bins("[xml_:9/g]!!")[1], (5, b"<?xml ver".to_vec()));
    // The file can be put together again: placeholders replaced by their boxes, the codestreams aside.
    let all = bins("[*]!!");
    let expand = |bin: &[u8]| expanded(bin, &all);
    let whole = expand(&all[0].1);
    let codestreams: Vec<u8> = (0..2).flat_map(|n| boxed(*b"jp2c", &tiny_codestream().seed(n + 1).build())).collect();
    let at = file.windows(codestreams.len()).position(|part| part == codestreams).unwrap();
    assert!(whole == [&file[..at], &file[at + codestreams.len()..]].concat());
    let spot = house.get("/jpip?target=a.jpx&roi=spot");
    assert_eq!(spot.header("JPIP-roi"), Some("roi=spot;fsiz=16,16;roff=4,4;rsiz=4,4"), "a label names a region, too");
}

/// The boxes of a bin, with what placeholders stand for in their places; codestreams are left out.
fn expanded(bin: &[u8], bins: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bin;
    while !rest.is_empty() {
        let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (found, after) = rest.split_at(len);
        rest = after;
        if &found[4..8] != b"phld" {
            out.extend_from_slice(found);
        } else if found[11] & 1 == 1 {
            let id = u64::from_be_bytes(found[12..20].try_into().unwrap());
            let contents = &bins.iter().find(|(known, _)| *known == id).unwrap().1;
            out.extend_from_slice(&found[20..28]);
            out.extend(if &found[24..28] == b"asoc" { expanded(contents, bins) } else { contents.clone() });
        }
    }
    out
}

#[test]
fn c_4_7_layers_stand_for_codestreams_and_other_contexts_are_refused() {
    let registered = boxed(*b"creg", &[0, 1, 0, 1, 0, 2, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
    let layers = [boxed(*b"jplh", b""), boxed(*b"jplh", &registered)].concat();
    let house = House::with_files(&[("a.jpx", [pictures::jpx(3), layers].concat()), ("b.jpx", pictures::jpx(3))]);
    for (query, header) in [
        ("a.jpx&context=jpxl%3C1%3E", Some("jpxl<1>=2;0")),
        ("a.jpx&context=jpxl<0-1>", Some("jpxl<0-1>=0;2")),
        ("b.jpx&context=jpxl<1-2>", Some("jpxl<1-2>=1-2")),
        ("b.jpx&stream=1&context=mj2t<1>", None),
    ] {
        let answer = house.get(&format!("/jpip?target={query}&fsiz=16,16"));
        assert_eq!((answer.status, answer.header("JPIP-context")), (200, header), "{query}");
    }
    let refused = house.get("/jpip?target=b.jpx&context=mj2t<1>&fsiz=16,16&handled");
    assert_eq!(refused.status, 501);
    assert!(refused.header("JPIP-handled").is_some_and(|fields| fields.contains("context")), "told on errors too");
    assert_eq!(house.get("/jpip?handled&fsiz=0,0").header("JPIP-handled").map(|_| ()), Some(()));
}

#[test]
fn c_2_3_a_target_is_found_by_its_identifier_alone() {
    let house = House::with_files(&[("a.jp2", pictures::jp2()), ("b.j2k", pictures::tiny())]);
    let tid = |name: &str| house.get(&format!("/jpip?target={name}&tid=0")).header("JPIP-tid").unwrap().to_owned();
    let (a, b) = (tid("a.jp2"), tid("b.j2k"));
    assert_ne!(a, b);
    let by_name = house.get("/jpip?target=a.jp2&fsiz=64,64");
    let by_tid = house.get(&format!("/jpip?tid={a}&fsiz=64,64"));
    assert_eq!((by_tid.status, by_tid.header("JPIP-tid")), (200, Some(a.as_str())));
    assert_eq!(by_tid.body, by_name.body);
    assert_eq!(house.get("/jpip?tid=0123456789abcdef0123456789abcdef&fsiz=64,64").status, 404);
    assert_eq!(house.get("/jpip?tid=0&fsiz=64,64").status, 404, "several targets, none named");

    // Other content under the name: another identifier, and what the client says that it holds is passed over.
    let whole = house.get(&format!("/jpip?target=a.jp2&tid={a}&fsiz=64,64&model=Hm,H*,P*,M0"));
    assert!(whole.response().messages.is_empty());
    house.import("a.jp2", &with_xml(ISLAND.as_bytes()));
    let changed = house.get(&format!("/jpip?target=a.jp2&tid={a}&fsiz=64,64&model=Hm,H*,P*,M0"));
    assert_ne!(changed.header("JPIP-tid"), Some(a.as_str()));
    assert_eq!(changed.body, house.get("/jpip?target=a.jp2&fsiz=64,64").body);
}

#[test]
fn add_xml_writes_a_box_that_is_served_and_fetch_asks_for_its_region() {
    let house = House::open();
    let path = |name: &str| house.folder().join(name).to_str().unwrap().to_owned();
    fs::write(path("in.jp2"), pictures::jp2()).unwrap();
    fs::write(path("roi.xml"), ISLAND).unwrap();
    let added = run(&["add-xml", &path("in.jp2"), &path("roi.xml"), &path("out.jp2")]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    let written = fs::read(path("out.jp2")).unwrap();
    assert!(written == with_xml(format!("{declaration}{ISLAND}").as_bytes()), "the file, and the box behind it");
    house.import("out.jp2", &written);
    let last = metadata(&house.jpip("target=out.jp2&metareq=[xml_]")).pop().unwrap();
    assert!(last.1.starts_with(b"<?xml "));

    let url = format!("{}/jpip/out.jp2", house.url());
    let fetched = run(&["fetch", &url, "--roi", "island", "-o", &path("island.pgm")]);
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    assert!(fs::read(path("island.pgm")).unwrap().starts_with(b"P5\n40 30\n255\n"));
    let asked = ["--fsiz", "256,256", "--roff", "100,120", "--rsiz", "40,30"];
    let whole = run(&[&["fetch", &url, "-o", &path("window.pgm")][..], &asked].concat());
    assert!(whole.status.success());
    assert!(fs::read(path("island.pgm")).unwrap() == fs::read(path("window.pgm")).unwrap());
    let unknown = run(&["fetch", &url, "--roi", "atoll", "-o", &path("atoll.pgm")]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("atoll"));

    fs::write(path("bad.xml"), "<!DOCTYPE a><a/>").unwrap();
    fs::write(path("raw.j2k"), pictures::tiny()).unwrap();
    for (file, document) in [("in.jp2", "bad.xml"), ("raw.j2k", "roi.xml"), ("in.jp2", "none.xml")] {
        let refused = run(&["add-xml", &path(file), &path(document), &path("no.jp2")]);
        assert_eq!(refused.status.code(), Some(1), "{file} {document}");
        assert!(!house.folder().join("no.jp2").exists());
    }
}
