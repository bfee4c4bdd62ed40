//! `target=series/<Series Instance UID>`: the frames of all instances of a series as the codestreams of one target.

use codestream::testkit::tiny_codestream;
use dicom_bridge::write::{NewObject, OffsetTable};
use serde_json::Value;

use crate::house::{House, channel_of};
use crate::pictures;
use crate::stream::{Cache, MAIN_HEADER, METADATA, PRECINCT};

const SERIES: &str = "2.25.77";

/// An instance of the series; each frame another picture.
fn slice(uid: &str, number: u32, frames: usize) -> Vec<u8> {
    let mut object: NewObject = pictures::object(uid, "1.2.840.10008.1.2.4.90", frames);
    object.attributes().put(0x0020_000e, "UI", SERIES).put(0x0020_0013, "IS", &number.to_string());
    let seed = u64::from(number) * 100;
    let frame = |n: usize| tiny_codestream().size(32, 32).levels(2).seed(seed + n as u64).build();
    object.encapsulate(&(0..frames).map(frame).collect::<Vec<_>>(), OffsetTable::Basic, 1).unwrap()
}

fn import(house: &House, bytes: &[u8]) {
    let answer = house.post("/api/v1/import", bytes);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn listed(house: &House) -> Vec<Value> {
    house.get("/api/v1/targets?kind=series").json()["items"].as_array().unwrap().clone()
}

/// The data-bins of one codestream of a cache, without its number.
fn bins(cache: &Cache, codestream: u64) -> Vec<(u64, u64, Vec<u8>)> {
    let of = cache.bins.iter().filter(|((class, number, _), _)| *class != METADATA && *number == codestream);
    of.map(|((class, _, id), (bytes, _))| (*class, *id, bytes.clone())).collect()
}

#[test]
fn one_request_brings_all_slices_in_the_order_of_their_numbers() {
    let house = House::open();
    // Arrived out of order; one has two frames, one no image at all.
    for bytes in [slice("2.25.103", 3, 1), slice("2.25.101", 1, 1), slice("2.25.102", 2, 2)] {
        import(&house, &bytes);
    }
    let mut report = NewObject::new("1.2.840.10008.5.1.4.1.1.88.11", "2.25.109", "1.2.840.10008.1.2.1");
    report.attributes().put(0x0020_000e, "UI", SERIES).put(0x0020_0013, "IS", "0");
    import(&house, &report.to_bytes().unwrap());

    let target = format!("series/{SERIES}");
    let all = house.jpip(&format!("target={target}&stream=1-&fsiz=8,8"));
    assert_eq!(all.end, 2);
    let cache = Cache::of(&all);
    let frames = [("2.25.101", 1), ("2.25.102", 1), ("2.25.102", 2), ("2.25.103", 1)];
    for (number, (instance, frame)) in (1..).zip(frames) {
        let alone = Cache::of(&house.jpip(&format!("target={instance}&stream={frame}&fsiz=8,8")));
        assert_eq!(bins(&cache, number), bins(&alone, frame), "codestream {number} is frame {frame} of {instance}");
        assert!(bins(&cache, number).iter().any(|(class, ..)| *class == PRECINCT));
    }
    assert!(bins(&cache, 5).is_empty() && bins(&cache, 0).is_empty());
    let bin_0 = &cache.bins[&(METADATA, 0, 0)].0;
    assert!(bin_0.ends_with(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4]), "a placeholder for codestreams 1 to 4");

    let header = |query: &str, name: &str| house.get(&format!("/jpip?{query}")).header(name).map(str::to_owned);
    assert_eq!(header(&format!("target={target}&stream=2-9&fsiz=8,8"), "JPIP-stream").as_deref(), Some("2-4"));
    assert_eq!(house.jpip(&format!("target={target}&stream=1-4:2&fsiz=8,8")).ids(MAIN_HEADER).len(), 1);
    assert_eq!(house.get(&format!("/jpip/{target}?fsiz=8,8")).status, 200, "in the path, too");
    for missing in ["series/2.25.78", "series/", "series"] {
        assert_eq!(house.get(&format!("/jpip?target={missing}&fsiz=8,8")).status, 404, "{missing}");
    }
    let whole = house.jpip(&format!("target={target}&stream=1-&fsiz=32,32"));
    assert_eq!(whole.end, 1, "nothing else is there");
}

#[test]
fn a_session_scrolls_through_a_series_and_nothing_comes_twice() {
    let house = House::open();
    for number in 1..=40 {
        import(&house, &slice(&format!("2.25.{}", 1000 + number), number, 1));
    }
    let opened = house.get(&format!("/jpip?target=series/{SERIES}&cnew=http&stream=1-&fsiz=8,8"));
    let cid = channel_of(&opened).unwrap();
    let mut cache = Cache::of(&opened.response());
    for number in [1, 2, 40, 39, 7] {
        let response = house.jpip(&format!("cid={cid}&stream={number}&fsiz=32,32"));
        assert!(response.messages.iter().all(|m| m.codestream == number && m.class == PRECINCT));
        assert!(!response.messages.is_empty());
        cache.add(&response);
        assert!(house.jpip(&format!("cid={cid}&stream={number}&fsiz=32,32")).messages.is_empty());
    }
    let alone = Cache::of(&house.jpip("target=2.25.1007&fsiz=32,32"));
    assert_eq!(bins(&cache, 7), bins(&alone, 0));
}

#[test]
fn a_series_has_the_identifier_of_its_content_and_is_listed() {
    let house = House::open();
    import(&house, &slice("2.25.102", 2, 1));
    import(&house, &slice("2.25.101", 1, 1));
    let tid = |house: &House| {
        let answer = house.get(&format!("/jpip?target=series/{SERIES}&tid=0"));
        answer.header("JPIP-tid").unwrap().to_owned()
    };
    let first = tid(&house);
    assert_eq!(first.len(), 32);
    assert_eq!(house.get(&format!("/jpip?tid={first}&stream=1-&fsiz=8,8")).header("JPIP-tid"), Some(first.as_str()));
    let [item] = &listed(&house)[..] else { panic!("one series") };
    for (key, value) in [
        ("target", Value::from(format!("series/{SERIES}"))),
        ("kind", "series".into()),
        ("sop_instance_uid", Value::Null),
        ("width", 32.into()),
        ("codestreams", 2.into()),
        ("tid", first.clone().into()),
        ("state", "indexed".into()),
        ("reason", Value::Null),
    ] {
        assert_eq!(item[key], value, "{key}");
    }
    let url = item["jpip_url"].as_str().unwrap().strip_prefix(&house.url()).unwrap().to_owned();
    assert_eq!(house.get(&format!("{url}&fsiz=8,8")).status, 200, "{url}");

    let cid = channel_of(&house.get(&format!("/jpip?target=series/{SERIES}&cnew=http&len=0"))).unwrap();
    import(&house, &slice("2.25.103", 3, 1));
    let second = tid(&house);
    assert_ne!(second, first, "another instance");
    assert_eq!(
        house.jpip(&format!("cid={cid}&stream=1-&fsiz=8,8")).ids(MAIN_HEADER),
        [0],
        "the session goes on as it was"
    );
    assert_eq!(house.get(&format!("/jpip?cid={cid}&stream=3&fsiz=8,8")).header("JPIP-stream"), None);

    // The same after a restart, and where the instances came in another order.
    let house = House::open_in(house.kill(), &[]);
    assert_eq!(tid(&house), second);
    let other = House::open();
    for number in [3, 1, 2] {
        import(&other, &slice(&format!("2.25.10{number}"), number, 1));
    }
    assert_eq!(tid(&other), second);
}
