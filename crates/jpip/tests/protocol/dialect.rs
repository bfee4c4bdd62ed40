//! JPP-streams in the dialect of OpenJPIP's programs (`dialect=openjpip`).

use std::collections::BTreeMap;

use codestream::testkit::{Order, TileParts, TinyCodestream, tiny_codestream};
use jpip::client::{ReassembleOptions, reassemble};
use jpip::data_bin::{BinKey, DataBinClass};
use jpip::{CacheModel, CodestreamId, RequestError};

use super::pair::*;

const WHOLE: &str = "fsiz=999999,999999";

/// Tiles in several tile-parts, two of which have coding styles of their own.
fn tiled() -> TinyCodestream {
    tiny_codestream()
        .size(64, 48)
        .tiles(2, 2)
        .levels(2)
        .tile_parts(TileParts::ByResolution)
        .tile_coding(1, Order::Rlcp, 2, 1, &[])
        .tile_coding(2, Order::Cprl, 1, 3, &[])
}

/// Data-bins by class and number.
fn bins(body: &[u8]) -> BTreeMap<(DataBinClass, u64), Vec<u8>> {
    let mut store = new_store();
    receive(&mut store, body);
    let classes = [DataBinClass::Precinct, DataBinClass::TileHeader, DataBinClass::MainHeader, DataBinClass::Metadata];
    let mut found = BTreeMap::new();
    for class in classes {
        for (id, bin) in store.bins_of(CodestreamId(0), class) {
            assert!(bin.is_complete());
            found.insert((class, id), bin.prefix().to_vec());
        }
    }
    found
}

#[test]
fn tile_headers_of_the_dialect_stand_between_the_fields_of_sot_and_sod() {
    for codestream in [tiled(), tiled().ppt(), tiled().plt()] {
        let server = server(&codestream);
        let standard = server.stateless(WHOLE);
        let dialect = server.stateless(&format!("{WHOLE}&dialect=openjpip"));
        assert_eq!(dialect.end, standard.end);
        let mut expected = bins(&standard.body);
        for ((_, tile), header) in expected.iter_mut().filter(|((class, _), _)| *class == DataBinClass::TileHeader) {
            let fields = [0, 10, 0, *tile as u8, 0, 0, 0, 0, 0, 1];
            *header = [&fields[..], header, &[0xFF, 0x93]].concat();
        }
        assert!(
            expected[&(DataBinClass::TileHeader, 1)].len() > 12 && expected[&(DataBinClass::TileHeader, 0)].len() == 12
        );
        assert_eq!(bins(&dialect.body), expected);
    }
}

#[test]
fn the_dialect_is_another_presentation() {
    let server = server(&tiled());
    let tid = |query: &str| server.stateless(query).header("JPIP-tid").map(str::to_owned);
    let (standard, dialect, jpt) = (tid(""), tid("dialect=openjpip"), tid("type=jpt-stream"));
    assert!(standard != dialect && dialect != jpt && standard != jpt);
    // OpenJPIP reads JPT-streams as the standard has them.
    assert_eq!(tid("type=jpt-stream&dialect=openjpip"), jpt);
    let query = format!("{WHOLE}&type=jpt-stream");
    assert_eq!(server.stateless(&format!("{query}&dialect=openjpip")).body, server.stateless(&query).body);
    // What a client holds of one presentation says nothing of the other.
    let held = format!("{WHOLE}&model=H*,Hm");
    let is_header = |m: &jpip::message::MessageHeader| m.class == DataBinClass::TileHeader;
    let headers = |query: &str| server.stateless(query).messages().into_iter().filter(is_header).count();
    assert_eq!(headers(&format!("{held}&dialect=openjpip&tid={}", standard.unwrap())), 4);
    assert_eq!(headers(&format!("{held}&dialect=openjpip&tid={}", dialect.unwrap())), 0);
}

#[test]
fn the_dialect_has_no_extended_messages() {
    let server = server(&tiled());
    let reply = server.stateless(&format!("{WHOLE}&type=jpp-stream;ptype=ext&dialect=openjpip"));
    assert_eq!(reply.plan.content_type(), "image/jpp-stream");
    assert!(reply.messages().iter().all(|m| !m.class.has_aux()));
}

#[test]
fn the_client_reads_tile_headers_of_the_dialect() {
    let server = server(&tiled());
    let [standard, dialect] = [WHOLE.to_owned(), format!("{WHOLE}&dialect=openjpip")].map(|query| {
        let mut store = new_store();
        receive(&mut store, &server.stateless(&query).body);
        assert!(store.bin(&BinKey::tile_header(CodestreamId(0), 0)).is_some());
        reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap()
    });
    assert_eq!(standard.missing_packets, 0);
    assert_eq!(dialect, standard);
}

#[test]
fn other_dialects_are_refused() {
    let server = server(&tiny_codestream());
    for other in ["kakadu", "OpenJPIP2", ""] {
        let error = server.plan(&format!("dialect={other}"), &CacheModel::new(&server.limits)).err().unwrap();
        assert_eq!(error, RequestError::Malformed { field: "dialect", what: "not openjpip" }, "{other}");
    }
}
