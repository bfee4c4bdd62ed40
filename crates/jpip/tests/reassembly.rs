//! The client's codestream against the original: the same pixels when all is there, decodable when not.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic; clippy sees only the test functions themselves as tests"
)]

use codestream::markers::code;
use codestream::{CodestreamIndex, Limits, Span, index_codestream};
use jpip::client::{
    DataBinStore, ReassembleError, ReassembleOptions, StoreLimits, WindowNeeds, reassemble, window_complete,
};
use jpip::request::window::{FrameSize, Rounding, SamplePair};
use jpip::view_window::ViewWindow;
use jpip::{BinKey, CodestreamId};
use openjpeg::{DecodeParameters, EncodeParameters, Image, Progression, Rect, decode, decode_with_warnings, encode};
use proptest::prelude::*;

const ID: CodestreamId = CodestreamId(3);

/// One data-bin, whole.
type Bin = (BinKey, Vec<u8>);

fn picture(width: u32, height: u32, components: u16, bits: u8) -> Image {
    let count = width * height * u32::from(components);
    let mut noise = 7u32;
    let sample = |at: u32| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let slope = (at / u32::from(components)) % width + at / width / 2;
        i32::try_from((slope * 3 + (noise >> 27)) % (1 << bits)).unwrap()
    };
    let samples: Vec<i32> = (0..count).map(sample).collect();
    Image::from_interleaved(width, height, components, (bits, false), &samples).unwrap()
}

fn index(codestream: &[u8]) -> CodestreamIndex {
    let indexed = index_codestream(&codestream.to_vec(), &Limits::default()).unwrap();
    assert_eq!(indexed.damage, []);
    indexed.index
}

/// The JPP data-bins of a codestream, by the definition of [15444-9 A.3].
fn data_bins(codestream: &[u8]) -> Vec<Bin> {
    let index = index(codestream);
    let part = |span: &Span| &codestream[usize::try_from(span.offset).unwrap()..usize::try_from(span.end()).unwrap()];
    let siz = index.header.siz();
    let main = index.main_segments.iter().filter(|s| ![code::PPM, code::PLM, code::TLM].contains(&s.marker));
    let mut bins = vec![(BinKey::main_header(ID), main.flat_map(|s| part(&s.span)).copied().collect())];
    for tile in &index.tiles {
        let header = tile.header_segments.iter().filter(|s| ![code::PPT, code::PLT].contains(&s.marker));
        bins.push((BinKey::tile_header(ID, tile.tile.0), header.flat_map(|s| part(&s.span)).copied().collect()));
        let geometry = index.geometry(tile);
        for component in 0..siz.component_count() {
            for sequence in 0..geometry.component(component).unwrap().precinct_count() {
                let packets = (0..tile.coding.layers).flat_map(|layer| tile.packet(component, sequence, layer));
                let bytes = packets.flat_map(|span| part(&span).to_vec()).collect();
                let id = codestream::geometry::precinct_id(siz, tile.tile, component, sequence).unwrap();
                bins.push((BinKey::precinct(ID, id), bytes));
            }
        }
    }
    bins
}

fn store(bins: &[Bin]) -> DataBinStore {
    let mut store = DataBinStore::new(StoreLimits::default());
    for (key, bytes) in bins {
        store.insert(*key, 0, bytes, true).unwrap();
    }
    store
}

fn rebuild(store: &DataBinStore) -> Vec<u8> {
    reassemble(store, ID, &ReassembleOptions::default()).unwrap().codestream
}

fn layouts() -> Vec<EncodeParameters> {
    let base = EncodeParameters { levels: 3, layers: vec![30.0, 8.0, 0.0], ..EncodeParameters::default() };
    let precincts = vec![(64, 64), (32, 32)];
    let mut all = vec![base.clone(), EncodeParameters { reversible: false, ..base.clone() }];
    for progression in [Progression::Lrcp, Progression::Rlcp, Progression::Rpcl, Progression::Pcrl, Progression::Cprl] {
        let precincts = precincts.clone();
        let tiled = EncodeParameters { progression, precincts, tiles: Some((64, 50)), ..base.clone() };
        all.push(EncodeParameters { sop: true, eph: true, plt: true, tlm: true, ..tiled.clone() });
        all.push(EncodeParameters { eph: true, tile_part_per_resolution: true, ..tiled.clone() });
        all.push(EncodeParameters { sop: true, code_block_style: 4 | 32, ..tiled });
    }
    all
}

#[test]
fn everything_gives_the_same_pixels_as_the_original() {
    let image = picture(150, 131, 3, 8);
    for parameters in layouts() {
        let original = encode(&image, &EncodeParameters { mct: true, ..parameters.clone() }).unwrap();
        let rebuilt = rebuild(&store(&data_bins(&original)));
        let decoded = decode_with_warnings(&rebuilt, &DecodeParameters::default()).unwrap();
        assert_eq!(decoded.image, decode(&original, &DecodeParameters::default()).unwrap(), "{parameters:?}");
        assert_eq!(decoded.warnings, Vec::<String>::new(), "{parameters:?}");
        // What is rebuilt is a codestream with the same data-bins.
        assert_eq!(data_bins(&rebuilt), data_bins(&original));
    }
}

#[test]
fn a_one_tile_codestream_without_extras_comes_back_byte_for_byte() {
    let original = encode(&picture(64, 64, 1, 12), &EncodeParameters::default()).unwrap();
    assert_eq!(rebuild(&store(&data_bins(&original))), original);
}

#[test]
fn a_window_decodes_exactly_when_only_its_precincts_are_there() {
    let image = picture(256, 192, 1, 8);
    let parameters = EncodeParameters {
        levels: 3,
        precincts: vec![(32, 32)],
        code_block: (16, 16),
        progression: Progression::Rpcl,
        ..EncodeParameters::default()
    };
    let original = encode(&image, &parameters).unwrap();
    let bins = data_bins(&original);
    let header = index(&original).header;
    let fsiz = FrameSize { width: 128, height: 96, rounding: Rounding::Down };
    let (roff, rsiz) = (SamplePair { x: 37, y: 21 }, SamplePair { x: 30, y: 25 });
    let window = ViewWindow::map(fsiz, Some(roff), Some(rsiz), header.siz(), header.max_decomposition_levels());
    let complete = |store: &DataBinStore| {
        window_complete(store, ID, &window, &WindowNeeds::default(), &Limits::default()).unwrap()
    };
    // Keep what `window_complete` misses, and nothing else.
    let (headers, precincts): (Vec<_>, Vec<_>) =
        bins.iter().cloned().partition(|(key, _)| *key == BinKey::main_header(ID) || key.class.number() == 2);
    assert!(!complete(&store(&headers)));
    let needed = precincts.iter().filter(|(key, _)| !complete(&store(&without(&bins, *key)))).cloned();
    let needed: Vec<_> = headers.iter().cloned().chain(needed).collect();
    assert!(complete(&store(&needed)) && needed.len() < bins.len() / 2, "{} of {}", needed.len(), bins.len());

    let region = window.region;
    let area = Some(Rect { x0: region.x0 * 2, y0: region.y0 * 2, x1: region.x1 * 2, y1: region.y1 * 2 });
    let parameters = DecodeParameters { reduce: 1, area, ..DecodeParameters::default() };
    assert_eq!(decode(&rebuild(&store(&needed)), &parameters), decode(&original, &parameters));
}

fn without(bins: &[Bin], key: BinKey) -> Vec<Bin> {
    bins.iter().filter(|(held, _)| *held != key).cloned().collect()
}

#[test]
fn missing_tiles_are_left_out_and_a_lone_header_still_decodes() {
    let image = picture(120, 80, 1, 8);
    let parameters = EncodeParameters { tiles: Some((40, 40)), levels: 2, ..EncodeParameters::default() };
    let original = encode(&image, &parameters).unwrap();
    let bins = data_bins(&original);
    let tile_of = |key: &BinKey| key.id % 6;
    let some: Vec<_> = bins.iter().filter(|(key, _)| key.class.number() == 6 || tile_of(key) == 4).cloned().collect();
    let reassembled = reassemble(&store(&some), ID, &ReassembleOptions::default()).unwrap();
    assert_eq!((reassembled.tiles, reassembled.missing_packets), (1, 0));
    let area = Some(Rect { x0: 40, y0: 40, x1: 80, y1: 80 });
    for area in [None, area] {
        let parameters = DecodeParameters { area, ..DecodeParameters::default() };
        let decoded = decode(&reassembled.codestream, &parameters).unwrap();
        if area.is_some() {
            assert_eq!(decoded, decode(&original, &parameters).unwrap());
        }
    }
    let headers: Vec<_> = bins.iter().filter(|(key, _)| key.class.number() != 0).cloned().collect();
    let reassembled = reassemble(&store(&headers), ID, &ReassembleOptions::default()).unwrap();
    assert_eq!((reassembled.tiles, reassembled.packets), (1, 0));
    decode(&reassembled.codestream, &DecodeParameters::default()).unwrap();

    assert!(matches!(
        reassemble(&store(&without(&bins, BinKey::main_header(ID))), ID, &ReassembleOptions::default()),
        Err(ReassembleError::NoMainHeader(ID))
    ));
    let short = ReassembleOptions { max_len: 200, ..ReassembleOptions::default() };
    assert!(matches!(reassemble(&store(&bins), ID, &short), Err(ReassembleError::TooLong(200))));
}

#[test]
fn a_header_that_announces_millions_of_packets_costs_no_more_than_allowed() {
    let image = picture(64, 64, 1, 8);
    let parameters = EncodeParameters { levels: 1, layers: vec![2.0, 0.0], ..EncodeParameters::default() };
    let mut bins = data_bins(&encode(&image, &parameters).unwrap());
    let main = &mut bins[0].1;
    let cod = main.windows(2).position(|marker| marker == [0xFF, 0x52]).unwrap();
    main[8..16].fill(0x0F);
    main[24..32].fill(0x7F);
    main[cod + 6..cod + 8].copy_from_slice(&[0xFF, 0xFF]);
    let options = ReassembleOptions { max_len: 1 << 20, ..ReassembleOptions::default() };
    assert!(reassemble(&store(&bins), ID, &options).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_has_arrived_decodes(layout in 0usize..17, seed in any::<u64>(), arrived in 0u32..100) {
        let image = picture(150, 131, 1, 8);
        let layouts = layouts();
        let original = encode(&image, &layouts[layout % layouts.len()]).unwrap();
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(random >> 33).unwrap()
        };
        let mut partial = DataBinStore::new(StoreLimits::default());
        for (key, bytes) in data_bins(&original) {
            if key.class.number() != 0 || next() % 100 < arrived {
                partial.insert(key, 0, &bytes, true).unwrap();
            } else {
                let cut = next() as usize % (bytes.len() + 1);
                partial.insert(key, 0, &bytes[..cut], false).unwrap();
            }
        }
        let rebuilt = rebuild(&partial);
        let decoded = decode(&rebuilt, &DecodeParameters::default()).unwrap();
        prop_assert_eq!((decoded.width, decoded.height), (150, 131));
        index(&rebuilt);
    }
}
