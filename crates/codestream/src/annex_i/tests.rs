use std::io::Cursor;
use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::extent::{Extent, FrameExtents, Span};
use crate::geometry::TileIndex;
use crate::index::{CodestreamIndex, IndexedTile, index_codestream};
use crate::jp2::{ForeignIndex, Jp2File};
use crate::limits::Limits;
use crate::markers::code;
use crate::parts::{CHUNK, SparseBytes};
use crate::reader::{ByteSource, FrameSource};
use crate::testkit::{Order, TileParts, TinyCodestream, files, tiny_codestream};

fn indexed(codestream: &[u8]) -> CodestreamIndex {
    index_codestream(&codestream.to_vec(), &Limits::default()).unwrap().index
}

fn whole(len: usize) -> FrameExtents {
    FrameExtents::new(vec![Extent::new(0, len as u64)], len as u64).unwrap()
}

fn index_file(codestreams: &[(FrameExtents, &CodestreamIndex, &[u8])]) -> Vec<u8> {
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    for (extents, index, bytes) in codestreams {
        writer.add(extents, index, &bytes.to_vec()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An index file of which nothing is loaded until somebody asks.
struct Lazy {
    file: Vec<u8>,
    sparse: SparseBytes,
    loads: usize,
}

impl Lazy {
    fn new(file: Vec<u8>) -> Self {
        Self { sparse: SparseBytes::new(file.len() as u64), file, loads: 0 }
    }

    fn run<T>(&mut self, call: impl Fn(&SparseBytes) -> Result<T, OpenError>) -> Result<T, OpenError> {
        loop {
            match call(&self.sparse) {
                Err(OpenError::NotLoaded(missing)) => {
                    assert!(!missing.ranges.is_empty());
                    self.loads += 1;
                    for Range { start, end } in missing.ranges {
                        let piece = Bytes::copy_from_slice(&self.file[start as usize..end as usize]);
                        self.sparse.insert_range(start, piece);
                    }
                }
                done => return done,
            }
        }
    }

    fn open(&mut self, ordinal: u32) -> Result<IndexedCodestream, OpenError> {
        let file = self.run(FileIndex::open)?;
        self.run(|bytes| file.codestream(ordinal, bytes))
    }
}

/// Everything that is read back is what was indexed.
fn check(index: &CodestreamIndex, codestream: &[u8], read: &IndexedCodestream, lazy: &mut Lazy) {
    assert_eq!(read.len(), index.codestream_len);
    assert_eq!(format!("{:?}", read.header()), format!("{:?}", index.header));
    assert_eq!(read.jpt_main_header(), [Span::new(0, index.main_header_len)]);
    let bytes_of = |spans: &[Span]| -> Vec<u8> {
        spans.iter().flat_map(|s| codestream[s.offset as usize..s.end() as usize].to_vec()).collect()
    };
    let kept = |marker: u16| !matches!(marker, code::PPM | code::PLM | code::TLM);
    let expected: Vec<Span> =
        index.main_segments.iter().filter(|segment| kept(segment.marker)).map(|segment| segment.span).collect();
    assert_eq!(bytes_of(read.jpp_main_header()), bytes_of(&expected));
    for number in 0..index.header.siz().tile_count() {
        let tile = TileIndex(number);
        let ours = index.tile(tile);
        assert_eq!(lazy.run(|bytes| read.tile_exists(tile, bytes)).unwrap(), ours.is_some());
        let parts = lazy.run(|bytes| read.tile_parts(tile, bytes)).unwrap();
        assert_eq!(parts, ours.map(|tile| tile.tile_parts.clone()).unwrap_or_default());
        let view = lazy.run(|bytes| read.tile(tile, bytes)).unwrap();
        let coding = ours.map_or(index.header.coding(), |tile| &tile.coding);
        assert_eq!(format!("{:?}", view.geometry.coding()), format!("{coding:?}"));
        let kept = |marker: u16| !matches!(marker, code::PPT | code::PLT);
        let expected: Vec<Span> = ours
            .iter()
            .flat_map(|tile| &tile.header_segments)
            .filter(|segment| kept(segment.marker))
            .map(|segment| segment.span)
            .collect();
        assert_eq!(bytes_of(&view.header), bytes_of(&expected));
        let layers = view.geometry.coding().layers;
        for component in 0..index.header.siz().component_count() {
            let precincts = view.geometry.component(component).unwrap().precinct_count();
            let mut range = read.packet_range(tile, component, 0..precincts, layers);
            let twin = read.packet_header_range(tile, component, 0..precincts, layers);
            assert_eq!(twin.is_some(), read.has_packed_headers());
            if let Some(twin) = twin {
                range.end = range.end.max(twin.end);
            }
            let _ = lazy.run(|bytes| Ok(bytes.require(range.clone())?));
            // With the ranges loaded nothing else is asked for.
            for sequence in 0..precincts {
                for layer in 0..layers {
                    let entry = sequence * u64::from(layers) + u64::from(layer);
                    let found = read.packet(tile, component, entry, &lazy.sparse).unwrap();
                    let expected = ours.map(|tile| parts_of(tile, component, sequence, layer, codestream));
                    assert_eq!(found.to_vec(), expected.unwrap_or_default(), "{tile:?} {component} {entry}");
                }
            }
        }
        assert!(read.packet(tile, 0, u64::MAX, &lazy.sparse).unwrap().is_empty());
    }
    assert!(lazy.run(|bytes| read.tile(TileIndex(u32::MAX), bytes)).is_err());
}

/// The parts as the index has them, but an SOP in place comes before a packed header.
fn parts_of(tile: &IndexedTile, component: u16, sequence: u64, layer: u16, codestream: &[u8]) -> Vec<Span> {
    let mut parts = tile.packet(component, sequence, layer).to_vec();
    if tile.packed_headers.is_some()
        && parts.len() > 1
        && let Some(body) = parts.pop()
    {
        let start = body.offset as usize;
        if tile.coding.sop && codestream[start..].starts_with(&[0xFF, 0x91]) {
            parts.insert(0, Span::new(body.offset, 6));
            parts.push(Span::new(body.offset + 6, body.len - 6));
        } else {
            parts.push(body);
        }
    }
    parts.retain(|part| part.len > 0);
    parts
}

fn round_trip(codestream: &[u8]) {
    let index = indexed(codestream);
    let mut lazy = Lazy::new(index_file(&[(whole(codestream.len()), &index, codestream)]));
    let read = lazy.open(0).unwrap();
    check(&index, codestream, &read, &mut lazy);
}

fn shapes() -> impl Strategy<Value = TinyCodestream> {
    let grid = (1u32..60, 1u32..60, 0u32..9, 0u32..9, 1u32..4, 1u32..4);
    let coding = (0u8..4, 1u16..4, 0usize..5, 1usize..4, any::<bool>(), 0u8..3);
    let extras = (0u8..3, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0u8..4, any::<u64>());
    (grid, coding, extras).prop_map(|(grid, coding, extras)| {
        let (width, height, x, y, across, down) = grid;
        let (levels, layers, order, components, subsampled, precincts) = coding;
        let (packed, sop, eph, plt, overrides, parts, seed) = extras;
        let mut tiny = tiny_codestream()
            .size(width, height)
            .offset(x, y)
            .tiles(across.min(width), down.min(height))
            .subsampling(
                &(0..components).map(|c| if subsampled && c > 0 { (2, 2) } else { (1, 1) }).collect::<Vec<_>>(),
            )
            .levels(levels)
            .layers(layers)
            .progression(Order::ALL[order])
            .seed(seed);
        tiny = match precincts {
            0 => tiny,
            1 => tiny.precincts(&[(3, 3)]),
            _ => tiny.precincts(&[(2, 3), (4, 3)]),
        };
        tiny = match packed {
            0 => tiny,
            1 => tiny.ppm().packed_segment(11),
            _ => tiny.ppt().packed_segment(9),
        };
        tiny = match parts {
            0 => tiny,
            1 => tiny.tile_parts(TileParts::ByResolution).interleave().tlm(),
            2 => tiny.tile_parts(TileParts::ByLayer).psot_zero(),
            _ => tiny.tile_parts(TileParts::Every(3)).comment(30),
        };
        if sop {
            tiny = tiny.sop();
        }
        if eph {
            tiny = tiny.eph();
        }
        if plt {
            tiny = tiny.plt();
        }
        if overrides {
            tiny = tiny.tile_coding(0, Order::Rpcl, 2, 1, &[(4, 4)]).tile_comment(0);
        }
        tiny
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_indexed_is_read_back(tiny in shapes()) {
        let built = tiny.build_with_truth();
        let index = indexed(&built.bytes);
        let mut lazy = Lazy::new(index_file(&[(whole(built.bytes.len()), &index, &built.bytes)]));
        let read = lazy.open(0).unwrap();
        check(&index, &built.bytes, &read, &mut lazy);

        // The parts of all packets are the data of all tile-parts and the packed headers, each byte once.
        let mut found = Vec::new();
        let mut expected = Vec::new();
        for packet in &built.packets {
            let tile = TileIndex(packet.tile);
            let view = lazy.run(|bytes| read.tile(tile, bytes)).unwrap();
            let entry = packet.sequence * u64::from(view.geometry.coding().layers) + u64::from(packet.layer);
            found.extend(lazy.run(|bytes| read.packet(tile, packet.component, entry, bytes)).unwrap());
            expected.extend(packet.packed_header.iter().copied());
            expected.push(packet.in_place);
        }
        let bytes = |spans: Vec<Span>| {
            let mut all: Vec<u64> = spans.iter().flat_map(|span| span.offset..span.end()).collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(bytes(found), bytes(expected));
    }

    #[test]
    fn an_embedded_index_is_sound_and_agrees(tiny in shapes(), raw in any::<bool>()) {
        let codestream = tiny.build();
        let source = if raw { codestream } else { files::jpx_file(&[codestream.clone(), codestream]) };
        let (out, done) = embed(&source, &Limits::default(), Cursor::new(Vec::new())).unwrap();
        prop_assert_eq!(done.codestreams, if raw { 1 } else { 2 });
        let out = out.into_inner();
        let file = Jp2File::parse(&out, &Limits::default()).unwrap();
        prop_assert_eq!(file.foreign_index, ForeignIndex::Sound);
        for extents in &file.codestreams {
            let frame = FrameSource::new(&out, extents);
            let index = index_codestream(&frame, &Limits::default()).unwrap().index;
            let compared = check::compare(&out, &file, extents, &index, &Limits::default()).unwrap();
            prop_assert_eq!(compared, check::Comparison::Agrees);
        }
    }
}

#[test]
fn an_sop_comes_before_a_packed_header() {
    let like = tiny_codestream().size(30, 30).layers(2).precincts(&[(3, 3)]).empty_packets(0).sop().eph();
    let plain = like.build_with_truth();
    for packed in [like.clone().ppm(), like.clone().ppt()] {
        let bytes = packed.packed_segment(5).build();
        let index = indexed(&bytes);
        let mut lazy = Lazy::new(index_file(&[(whole(bytes.len()), &index, &bytes)]));
        let read = lazy.open(0).unwrap();
        for packet in &plain.packets {
            let entry = packet.sequence * 2 + u64::from(packet.layer);
            let parts = lazy.run(|sparse| read.packet(TileIndex(0), 0, entry, sparse)).unwrap();
            let joined: Vec<u8> =
                parts.iter().flat_map(|span| bytes[span.offset as usize..span.end() as usize].to_vec()).collect();
            let span = packet.in_place;
            assert_eq!(joined, plain.bytes[span.offset as usize..span.end() as usize]);
        }
    }
}

#[test]
fn codestreams_keep_their_numbers_and_extents() {
    let one = tiny_codestream().build();
    let two = tiny_codestream().size(40, 40).levels(3).build();
    let (index_one, index_two) = (indexed(&one), indexed(&two));
    let len = two.len() as u64;
    let split = FrameExtents::new(vec![Extent::new(5000, 70), Extent::new(9000, len - 70)], 1 << 20).unwrap();
    let bad = FrameExtents::new(vec![Extent::new(77, 3)], 100).unwrap();
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.add(&whole(one.len()), &index_one, &one).unwrap();
    writer.add_unusable(&bad).unwrap();
    writer.add(&split, &index_two, &two).unwrap();
    let file = writer.finish().unwrap().into_inner();
    let mut lazy = Lazy::new(file);
    let files = lazy.run(FileIndex::open).unwrap();
    assert_eq!(files.codestream_count(), 3);
    assert_eq!(lazy.open(0).unwrap().extents(), &whole(one.len()));
    assert!(matches!(lazy.open(1), Err(OpenError::Unusable(_))));
    let read = lazy.open(2).unwrap();
    assert_eq!(read.extents().extents(), split.extents());
    check(&index_two, &two, &read, &mut lazy);
    assert!(matches!(lazy.open(3), Err(OpenError::Unusable(_))));
    let small_object = lazy.run(|bytes| FileIndex::open_for(bytes, 6000)).unwrap();
    assert!(lazy.run(|bytes| small_object.codestream(0, bytes)).is_ok());
    assert!(matches!(lazy.run(|bytes| small_object.codestream(2, bytes)), Err(OpenError::Unusable(_))));
}

#[test]
fn indexes_lie_beside_each_other_in_one_space() {
    let codestream = tiny_codestream().size(64, 64).tiles(2, 2).layers(2).ppm().tile_comment(1).build();
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.add(&whole(codestream.len()), &indexed(&codestream), &codestream).unwrap();
    let file = writer.finish().unwrap().into_inner();
    let mut lazy = Lazy::new(file.clone());
    let alone = lazy.open(0).unwrap();
    let base = 7 << 40;
    let moved = alone.based_at(base).unwrap();
    let mut space = SparseBytes::new(u64::MAX);
    let mut padded = file;
    padded.resize(padded.len().next_multiple_of(CHUNK as usize), 0);
    space.insert_range(base, padded.into());
    for tile in (0..4).map(TileIndex) {
        let of_tile = lazy.run(|bytes| alone.tile(tile, bytes)).unwrap();
        assert_eq!(moved.tile(tile, &space).unwrap().header, of_tile.header);
        assert_eq!(moved.tile_parts(tile, &space), lazy.run(|bytes| alone.tile_parts(tile, bytes)));
        let range = alone.packet_range(tile, 0, 0..1, 2);
        assert_eq!(moved.packet_range(tile, 0, 0..1, 2), range.start + base..range.end + base);
        for entry in 0..4 {
            let packet = lazy.run(|bytes| alone.packet(tile, 0, entry, bytes));
            assert_eq!(moved.packet(tile, 0, entry, &space), packet);
        }
    }
    assert!(alone.based_at(u64::MAX - 5).is_none());
}

#[test]
fn opening_one_of_many_codestreams_reads_three_places_whatever_its_size() {
    let small = tiny_codestream().build();
    let large = tiny_codestream().size(200, 200).tiles(8, 8).levels(2).precincts(&[(2, 2)]).build();
    let (index_small, index_large) = (indexed(&small), indexed(&large));
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    for _ in 0..500 {
        writer.add(&whole(small.len()), &index_small, &small).unwrap();
    }
    writer.add(&whole(large.len()), &index_large, &large).unwrap();
    let file = writer.finish().unwrap().into_inner();
    let mut lazy = Lazy::new(file);
    let read = lazy.open(500).unwrap();
    assert!(lazy.loads <= 4, "{} loads", lazy.loads);
    assert!(lazy.sparse.loaded_len() <= 5 * 16 * 1024);
    check(&index_large, &large, &read, &mut lazy);
}

#[test]
fn the_tables_cost_eight_bytes_a_packet() {
    let bytes = tiny_codestream().size(250, 250).levels(2).layers(3).precincts(&[(2, 2)]).build();
    let index = indexed(&bytes);
    let packets: u64 = index.tiles.iter().flat_map(|tile| &tile.packets).map(crate::index::PacketTable::len).sum();
    let file = index_file(&[(whole(bytes.len()), &index, &bytes)]);
    assert!(packets > 10_000);
    assert!((file.len() as u64) < packets * 8 + 1024);
}

#[test]
fn every_prefix_of_an_index_file_is_refused() {
    let bytes = tiny_codestream().tiles(2, 2).tile_comment(1).ppt().build();
    let index = indexed(&bytes);
    let file = index_file(&[(whole(bytes.len()), &index, &bytes)]);
    for end in 0..file.len() {
        assert!(matches!(Lazy::new(file[..end].to_vec()).open(0), Err(OpenError::Unusable(_))), "{end}");
    }
}

#[test]
fn a_flipped_byte_is_an_error_or_a_span_inside_the_codestream() {
    let tiny = tiny_codestream().size(20, 20).tiles(2, 2).tile_parts(TileParts::ByResolution);
    for tiny in [tiny.clone().tile_coding(1, Order::Cprl, 2, 1, &[(4, 4)]), tiny.sop().ppm().packed_segment(5)] {
        let bytes = tiny.build();
        let index = indexed(&bytes);
        let half = bytes.len() as u64 / 2;
        let split = vec![Extent::new(0, half), Extent::new(half, bytes.len() as u64 - half)];
        let extents = FrameExtents::new(split, bytes.len() as u64).unwrap();
        let file = index_file(&[(extents, &index, &bytes)]);
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                let mut lazy = Lazy::new(damaged);
                let Ok(read) = lazy.open(0) else { continue };
                for tile in (0..5).map(TileIndex) {
                    let mut spans = Vec::new();
                    if let Ok(parts) = lazy.run(|bytes| read.tile_parts(tile, bytes)) {
                        spans.extend(parts.iter().map(|part| part.span));
                    }
                    if let Ok(view) = lazy.run(|bytes| read.tile(tile, bytes)) {
                        spans.extend(view.header);
                    }
                    let _ = lazy.run(|bytes| read.tile_exists(tile, bytes));
                    for entry in 0..10 {
                        spans.extend(lazy.run(|bytes| read.packet(tile, 0, entry, bytes)).unwrap_or_default());
                    }
                    assert!(spans.iter().all(|span| read.extents().locate(*span).is_ok()));
                    let range = read.packet_range(tile, 0, 0..u64::MAX, u16::MAX);
                    assert!(range.end <= file.len() as u64);
                }
            }
        }
    }
}

#[test]
fn an_index_of_zeros_or_nothing_is_unusable() {
    for file in [Vec::new(), vec![0; 10], vec![0; 4096]] {
        assert!(matches!(Lazy::new(file).open(0), Err(OpenError::Unusable(_))));
    }
}

#[test]
fn tables_out_of_proportion_are_refused_before_anything_is_written() {
    // One rich tile and thousands of poor ones.
    let bytes = tiny_codestream()
        .size(128, 128)
        .tile_size(2, 2)
        .levels(0)
        .tile_coding(0, Order::Lrcp, 2000, 0, &[])
        .empty_packets(1)
        .build();
    let index = indexed(&bytes);
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    let refused = writer.add(&whole(bytes.len()), &index, &bytes);
    assert!(matches!(refused, Err(IndexError::LimitExceeded { .. })), "{refused:?}");
    writer.add_unusable(&whole(bytes.len())).unwrap();
    let file = writer.finish().unwrap().into_inner();
    assert!(matches!(Lazy::new(file).open(0), Err(OpenError::Unusable(_))));
}

#[test]
fn a_codestream_above_4_gib_gets_64_bit_tables() {
    /// A codestream with a hole in its only packet.
    struct Sparse(Vec<u8>, u64);
    impl ByteSource for Sparse {
        fn len(&self) -> u64 {
            self.1
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read_at(offset, buf)?;
            let left = usize::try_from(self.1.saturating_sub(offset)).unwrap().min(buf.len());
            buf[n..left].fill(0);
            Ok(left)
        }
    }
    let bytes = tiny_codestream().tiles(2, 2).psot_zero().without_eoc().build();
    let index = indexed(&bytes);
    let source = Sparse(bytes.clone(), 5 << 30);
    let extents = FrameExtents::new(vec![Extent::new(9, 5 << 30)], 6 << 30).unwrap();
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.add(&extents, &index, &source).unwrap();
    let mut lazy = Lazy::new(writer.finish().unwrap().into_inner());
    let read = lazy.open(0).unwrap();
    check(&index, &bytes, &read, &mut lazy);
}

#[test]
fn embedding_replaces_foreign_boxes_and_mends_lengths() {
    let codestream = tiny_codestream().build();
    let mut source = files::jp2_file(&codestream);
    let at = source.len() - codestream.len() - 8;
    source[at..at + 4].fill(0);
    let zeros = files::boxed(*b"iptr", &[0; 16]);
    source.splice(at..at, zeros);
    let (out, _) = embed(&source, &Limits::default(), Cursor::new(Vec::new())).unwrap();
    let out = out.into_inner();
    let file = Jp2File::parse(&out, &Limits::default()).unwrap();
    let types: Vec<_> = file.boxes.iter().map(|top| &top.header.box_type[..]).collect();
    assert_eq!(types, [&b"jP  "[..], b"ftyp", b"jp2h", b"iptr", b"jp2c", b"cidx", b"fidx"]);
    assert!(out.windows(4).any(|four| four == b"jpip"));
    assert_eq!(file.codestreams[0].len(), codestream.len() as u64);
    assert!(file.boxes.iter().all(|top| top.header.declared_len == top.header.span.len));
}

#[test]
fn a_lie_in_an_embedded_index_is_found() {
    let codestream = tiny_codestream().size(40, 40).levels(2).build();
    let (out, _) = embed(&codestream, &Limits::default(), Cursor::new(Vec::new())).unwrap();
    let out = out.into_inner();
    // The last table is that of the packets; its first cell follows version, NMAX and M.
    let faix = out.windows(4).rposition(|four| four == b"faix").unwrap();
    let mut lying = out;
    lying[faix + 4 + 9 + 3] ^= 1;
    let file = Jp2File::parse(&lying, &Limits::default()).unwrap();
    assert_eq!(file.foreign_index, ForeignIndex::Sound);
    let index = index_codestream(&FrameSource::new(&lying, &file.codestreams[0]), &Limits::default()).unwrap().index;
    let compared = check::compare(&lying, &file, &file.codestreams[0], &index, &Limits::default()).unwrap();
    assert!(matches!(compared, check::Comparison::Disagrees { table, .. } if &table == b"ppix"), "{compared:?}");
}

#[test]
fn a_truncated_codestream_is_stored_as_far_as_it_goes() {
    let bytes = tiny_codestream().size(40, 40).tiles(3, 3).levels(1).tile_comment(2).build();
    for end in (0..bytes.len()).step_by(7) {
        if index_codestream(&bytes[..end].to_vec(), &Limits::default()).is_ok() {
            round_trip(&bytes[..end]);
        }
    }
}
