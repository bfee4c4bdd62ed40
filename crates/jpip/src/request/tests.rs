use super::window::Rounding;
use super::*;

fn parse(query: &str) -> Result<Request, RequestError> {
    Request::parse(query.as_bytes(), None)
}

#[test]
fn c_1_fields_are_split_before_they_are_decoded() {
    let request = parse("target=a%26b%3Dc=d+e&fsiz=1,1").unwrap();
    assert_eq!(request.target.as_deref(), Some("a&b=c=d+e"));
}

#[test]
fn c_1_unknown_fields_are_ignored_known_ones_come_once() {
    assert!(parse("x&y=%zz&z=1&z=2&len=3&&").is_ok());
    assert!(matches!(parse("len=3&len=3"), Err(RequestError::Malformed { field: "len", .. })));
    assert!(parse("LEN=3&len=4").is_ok());
}

#[test]
fn fields_without_equals_sign() {
    assert!(parse("handled").unwrap().handled);
    assert!(parse("handled=&unknown").unwrap().handled);
    assert!(parse("fsiz").is_err());
}

#[test]
fn the_body_of_a_post_wins() {
    let request = Request::parse(b"len=5&qid=1", Some(b"len=7&fsiz=8,9\r\n")).unwrap();
    assert_eq!((request.len, request.qid), (Some(7), Some(1)));
    assert_eq!(request.fsiz.map(|f| (f.width, f.height)), Some((8, 9)));
    assert!(Request::parse(b"", Some(b"len=7&len=8")).is_err());
}

#[test]
fn brackets_arrive_raw_and_escaped() {
    for query in ["metareq=[xml_]!!&context=jpxl<0-0>", "metareq=%5Bxml_%5D%21%21&context=jpxl%3C0-0%3E"] {
        let request = parse(query).unwrap();
        assert!(request.metareq.unwrap().metadata_only);
        assert_eq!(request.context.len(), 1);
    }
}

#[test]
fn e9_e10_sizes_and_lengths() {
    for bad in [
        "len=-1",
        "len=",
        "fsiz=0,5",
        "fsiz=5,0",
        "fsiz=5",
        "fsiz=4294967296,1",
        "fsiz=99999999999999999999,1",
        "fsiz=1,1,nearest",
        "fsiz=1,1&roff=-1,0",
        "fsiz=1,1&rsiz=1",
        "quality=101",
        "wait=maybe",
        "qid=x",
        "qid=18446744073709551616",
        "layers=",
    ] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.family(), codestream::Family::Malformed, "{bad}");
    }
    assert_eq!(parse("len=9223372036854775808").unwrap().len, Some(1 << 63));
    assert_eq!(parse("len=1.4e+21").unwrap().len, Some(u64::MAX));
    assert_eq!(parse("fsiz=4,3,round-up").unwrap().fsiz.unwrap().rounding, Rounding::Up);
    assert_eq!(parse("fsiz=4,3").unwrap().fsiz.unwrap().rounding, Rounding::Down);
    let far = parse("fsiz=4,3&roff=99999999999,0&rsiz=0,99999999999").unwrap();
    assert_eq!(far.roff, Some(SamplePair { x: u32::MAX, y: 0 }));
    assert_eq!(far.rsiz, Some(SamplePair { x: 0, y: u32::MAX }));
}

#[test]
fn c_1_3_combinations() {
    for bad in ["roff=1,1", "rsiz=1,1", "need=Hm&cid=x", "need=Hm&cnew=http", "tpneed=0.0&cid=x", "cclose=*"] {
        assert!(matches!(parse(bad), Err(RequestError::Combination { .. })), "{bad}");
    }
    assert!(parse("cclose=abc").is_ok());
    assert!(parse("cclose=*&cid=abc&len=0").unwrap().only_closes());
}

#[test]
fn c_3_channels() {
    let request = parse("cnew=http-tcp,http,quic&cid=n.00ff").unwrap();
    let names: Vec<_> = request.cnew.iter().map(Transport::name).collect();
    assert_eq!(names, ["http-tcp", "http", "quic"]);
    assert_eq!(parse("cclose=a,b").unwrap().cclose, Some(CloseList::Channels(vec!["a".into(), "b".into()])));
    assert!(parse("cnew=").is_err());
}

#[test]
fn c_7_3_types() {
    let request = parse("type=image/JPP-stream;ptype=ext,jpt-stream,raw,image/jpeg").unwrap();
    let [first, second, third, fourth] = request.types.as_slice() else { panic!() };
    assert_eq!(*first, ReturnType::JppStream { extended: true });
    assert_eq!(second.content_type(), Some("image/jpt-stream"));
    assert_eq!(*third, ReturnType::Raw);
    assert_eq!(*fourth, ReturnType::Media("image/jpeg".into()));
}

#[test]
fn c_10_preferences() {
    let request = parse("pref=fullwindow/r,color-icc;color-ricc").unwrap();
    assert!(request.pref[0].required && request.pref[0].is_met());
    assert!(!request.pref[1].required && !request.pref[1].is_met());
}

#[test]
fn the_other_fields_are_typed_too() {
    let request = parse(
        "subtarget=0-99&tid=0&comps=0-2,4&srate=12.5&drate=1&roi=island&align=yes&tpmodel=[1],0.1-0.3,-2.0&\
         mset=0-3&upload=image/jp2&cap=cd.8&csf=density:3;1.0&sendto=h:1&abandon=1:2&barrier=3&twait=4",
    )
    .unwrap();
    assert_eq!(request.subtarget, Some((0, 99)));
    assert_eq!(request.comps.len(), 2);
    assert_eq!(request.tpmodel[0].last, (0, 3));
    assert!(request.tpmodel[1].subtractive);
    assert_eq!((request.barrier, request.twait, request.srate), (Some(3), Some(4), Some(12.5)));
    assert!(parse("comps=1-0").is_err());
    assert!(parse(&format!("tid={}", "a".repeat(256))).is_err());
}

#[test]
fn a_target_that_is_no_utf8_names_nothing() {
    assert_eq!(parse("target=%ff").unwrap().target.as_deref(), Some("\0"));
}
