//! A codestream of one precinct a resolution level, presented with small ones: what a window costs and decodes to.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "helpers of tests may panic; clippy sees only the test functions themselves as tests"
)]

use std::io::Cursor;
use std::sync::Arc;

use codestream::annex_i::{FileIndex, IndexWriter, IndexedCodestream, Place};
use codestream::relayout::presented::{is_plain, plain_layout, virtual_layout};
use codestream::{
    ByteSource as _, Extent, FrameExtents, FrameSource, Limits as CodestreamLimits, MainHeader, SparseBytes,
    index_codestream,
};
use jpip::client::{DataBinStore, MessageReader, ReassembleOptions, StoreLimits, reassemble};
use jpip::{CacheModel, CodestreamId, CodestreamSet, Limits, LogicalTarget, Piece, Request, ResponsePlan, metadata};
use openjpeg::{DecodeParameters, EncodeParameters, Image, Progression, Rect, decode, encode};

#[path = "../../codestream/tests/found/frames.rs"]
mod found;

/// A stored object, and where its only codestream lies in it.
struct Stored {
    object: Vec<u8>,
    extents: FrameExtents,
}

/// A codestream in two fragments, the cut somewhere inside a code-block.
fn store(codestream: &[u8]) -> Stored {
    let (first, second) = codestream.split_at(codestream.len() * 2 / 3 + 1);
    let object = [&b"before"[..], first, b"between", second].concat();
    let extents =
        vec![Extent::new(6, first.len() as u64), Extent::new(6 + first.len() as u64 + 7, second.len() as u64)];
    let extents = FrameExtents::new(extents, object.len() as u64).unwrap();
    Stored { object, extents }
}

impl Stored {
    fn as_stored(&self) -> (IndexedCodestream, SparseBytes) {
        let frame = FrameSource::new(&self.object, &self.extents);
        let indexed = index_codestream(&frame, &CodestreamLimits::default()).unwrap();
        let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
        writer.add(&self.extents, &indexed.index, &frame).unwrap();
        let index = SparseBytes::loaded(writer.finish().unwrap().into_inner().into());
        let opened = FileIndex::open(&index).unwrap().codestream(0, &index).unwrap();
        (opened, index)
    }

    fn relaid(&self) -> (IndexedCodestream, SparseBytes) {
        let frame = FrameSource::new(&self.object, &self.extents);
        let relaid = virtual_layout(&frame, &CodestreamLimits::default()).unwrap().unwrap();
        (IndexedCodestream::relaid(relaid, self.extents.clone()), SparseBytes::new(0))
    }

    /// The answer to a request, and in how many runs of the object its body lies once neighbours are joined.
    fn answer(&self, query: &str, opened: (IndexedCodestream, SparseBytes)) -> (Vec<u8>, usize) {
        let (body, batches) = self.batches(query, opened);
        (body, runs(batches.concat(), 0))
    }

    /// The answer to a request, and where the object is read for each batch of it that the server plans at a time.
    fn batches(&self, query: &str, opened: (IndexedCodestream, SparseBytes)) -> (Vec<u8>, Vec<Vec<Extent>>) {
        let (codestream, index) = opened;
        let codestreams = CodestreamSet::File(1);
        let target = LogicalTarget { tid: "t".into(), codestreams, metadata: metadata::raw_codestream() };
        let target = Arc::new(target);
        let limits = Limits::default();
        let request = Request::parse(query.as_bytes(), None).unwrap();
        let model = CacheModel::for_stateless(&request, &target, &limits);
        let mut plan = ResponsePlan::new(&request, target, &limits).unwrap();
        let codestream = Arc::new(codestream);
        for id in plan.codestreams().to_vec() {
            plan.open(id, Arc::clone(&codestream));
        }
        let (mut body, mut batches) = (Vec::new(), Vec::new());
        loop {
            let mut extents = Vec::new();
            assert!(plan.poll_needs(&index).unwrap().is_empty(), "all of the index is there");
            let batch = plan.next(&model, &index, BATCH).unwrap();
            for piece in &batch.pieces {
                match piece {
                    Piece::Inline(range) => body.extend(&batch.inline[range.start as usize..range.end as usize]),
                    Piece::Codestream { span, .. } => {
                        for place in codestream.locate(*span).unwrap() {
                            match place {
                                Place::Inline(bytes) => body.extend_from_slice(&bytes),
                                Place::Object(extent) => {
                                    body.extend(&self.object[extent.offset as usize..extent.end() as usize]);
                                    extents.push(extent);
                                }
                            }
                        }
                    }
                    Piece::Object(_) => unreachable!("a raw codestream has no boxes"),
                }
            }
            batches.push(extents);
            if batch.end.is_some() {
                break;
            }
        }
        (body, batches)
    }
}

/// Reads that bring these extents when neighbours are joined across gaps of up to so many bytes.
fn runs(mut extents: Vec<Extent>, gap: u64) -> usize {
    extents.sort();
    let apart = |pair: &&[Extent]| pair[0].end() + gap < pair[1].offset;
    usize::from(!extents.is_empty()) + extents.windows(2).filter(apart).count()
}

/// What the server plans and reads at a time, and the gaps that it reads through.
const BATCH: usize = 96 * 1024;
const GAP: u64 = 4096;

fn picture(width: u32, height: u32) -> Image {
    let mut noise = 7u32;
    let sample = |at: u32| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from((at % width / 9 + at / width / 7 + (noise >> 28)) % 256).unwrap()
    };
    Image::from_interleaved(width, height, 1, (8, false), &(0..width * height).map(sample).collect::<Vec<_>>()).unwrap()
}

fn rebuilt(body: &[u8]) -> Vec<u8> {
    let mut store = DataBinStore::new(StoreLimits::default());
    let mut reader = MessageReader::new();
    let mut rest = body;
    while let Some(event) = reader.read(&mut rest).unwrap() {
        store.apply(&event).unwrap();
    }
    reassemble(&store, CodestreamId(0), &ReassembleOptions::default()).unwrap().codestream
}

#[test]
fn a_window_costs_what_it_would_cost_in_a_file_with_small_precincts() {
    let image = picture(1300, 1100);
    for layers in [vec![], vec![12.0, 1.0]] {
        let plain = EncodeParameters { layers, ..EncodeParameters::default() };
        let small =
            EncodeParameters { precincts: vec![(128, 128); 6], progression: Progression::Rpcl, ..plain.clone() };
        let stored = store(&encode(&image, &plain).unwrap());
        let really = store(&encode(&image, &small).unwrap());
        let query = "stream=0&fsiz=1300,1100&roff=500,400&rsiz=200,200";
        let (dear, _) = stored.answer(query, stored.as_stored());
        let (cheap, runs) = stored.answer(query, stored.relaid());
        let (truth, _) = really.answer(query, really.as_stored());
        assert!(cheap.len() * 4 < dear.len(), "{} of {}", cheap.len(), dear.len());
        assert!(cheap.len() as f64 <= truth.len() as f64 * 1.01, "{} against {}", cheap.len(), truth.len());
        assert!(runs < 120, "{runs} runs");
        let area = Rect { x0: 500, y0: 400, x1: 700, y1: 600 };
        let window = |codestream: &[u8]| {
            decode(codestream, &DecodeParameters { area: Some(area), ..DecodeParameters::default() }).unwrap()
        };
        let of_window = window(&rebuilt(&cheap));
        assert_eq!((of_window.width, of_window.height), (200, 200));
        assert!(of_window == window(&rebuilt(&dear)), "other samples");
        let whole = "stream=0&fsiz=1300,1100";
        let (everything, _) = stored.answer(whole, stored.relaid());
        assert!(decode(&rebuilt(&everything), &DecodeParameters::default()).unwrap() == image);
    }
}

#[test]
fn codestreams_that_gain_nothing_keep_their_layout() {
    let limits = CodestreamLimits::default();
    let presented = |codestream: Vec<u8>| virtual_layout(&codestream, &limits).unwrap().is_some();
    let large = picture(1300, 1100);
    let plain = EncodeParameters::default();
    let encoded = encode(&large, &plain).unwrap();
    assert!(presented(encoded.clone()));
    assert!(!presented(encoded[..encoded.len() - 1000].to_vec()), "damaged");
    assert!(!presented(encode(&picture(400, 300), &plain).unwrap()), "small");
    assert!(!presented(encode(&large, &EncodeParameters { tiles: Some((256, 256)), ..plain.clone() }).unwrap()));
    assert!(!presented(encode(&large, &EncodeParameters { precincts: vec![(256, 256)], ..plain }).unwrap()));
    let mut cinema = encoded;
    cinema[6..8].copy_from_slice(&[0, 3]);
    assert!(!presented(cinema));
    assert!(!presented(b"no codestream".to_vec()));
}

#[test]
fn a_plain_layout_is_one_for_readers_that_count_stated_precincts() {
    let limits = CodestreamLimits::default();
    let small = picture(300, 200);
    let of = EncodeParameters::default();
    let is = |codestream: &[u8]| is_plain(&MainHeader::parse(main_header(codestream), &limits).unwrap().0);
    let stated = EncodeParameters { precincts: vec![(128, 128)], ..of.clone() };
    for (parameters, plain) in [
        (of.clone(), false),
        (EncodeParameters { progression: Progression::Rpcl, ..of.clone() }, false),
        (stated.clone(), true),
        (EncodeParameters { layers: vec![8.0, 2.0, 0.0], ..stated.clone() }, false),
        (EncodeParameters { layers: vec![8.0, 2.0, 0.0], progression: Progression::Pcrl, ..stated }, true),
        (EncodeParameters { tiles: Some((100, 90)), layers: vec![8.0, 0.0], ..of.clone() }, false),
        // Tiles that begin at every precinct's edge, and between edges.
        (EncodeParameters { tiles: Some((128, 128)), precincts: vec![(128, 128)], ..of.clone() }, true),
        (EncodeParameters { tiles: Some((100, 128)), precincts: vec![(128, 128)], ..of.clone() }, false),
        (EncodeParameters { tiles: Some((128, 90)), precincts: vec![(128, 128)], ..of }, false),
    ] {
        let encoded = encode(&small, &parameters).unwrap();
        assert_eq!(is(&encoded), plain, "{parameters:?}");
        let Some(relaid) = plain_layout(&encoded, &limits).unwrap() else {
            // Small code-blocks of small precincts cannot become those of larger ones.
            assert!(!plain && parameters.tiles.is_some() && !parameters.precincts.is_empty(), "{parameters:?}");
            continue;
        };
        let mut presented = Vec::new();
        relaid.bytes.write_to(&encoded, &mut presented).unwrap();
        assert!(is(&presented), "{parameters:?}");
        let decoded = [&encoded, &presented].map(|bytes| decode(bytes, &DecodeParameters::default()).unwrap());
        assert!(decoded[0] == decoded[1], "other samples: {parameters:?}");
    }
    assert!(plain_layout(&b"no codestream".to_vec(), &limits).unwrap().is_none());
}

/// The main header of a codestream.
fn main_header(codestream: &[u8]) -> &[u8] {
    let at = codestream.windows(4).position(|bytes| bytes == [0xFF, 0x90, 0, 10]).unwrap();
    &codestream[..at]
}

/// The answer for 1024 × 1024 samples in the middle, presented virtually, and its reads: when all of it is read at
/// once, and when it is read batch by batch.
fn middle(stored: &Stored, (width, height): (u32, u32)) -> (Vec<u8>, usize, usize) {
    let (x, y) = ((width - 1024) / 2, (height - 1024) / 2);
    let query = format!("stream=0&fsiz={width},{height}&roff={x},{y}&rsiz=1024,1024");
    let (body, batches) = stored.batches(&query, stored.relaid());
    let by_batches = batches.iter().map(|batch| runs(batch.clone(), GAP)).sum();
    (body, runs(batches.concat(), GAP), by_batches)
}

/// The window's bytes in a file that was written with the virtual layout's precincts.
fn really(image: &Image, plain: &EncodeParameters) -> usize {
    let small = EncodeParameters { precincts: vec![(128, 128); 6], progression: Progression::Rpcl, ..plain.clone() };
    let stored = store(&encode(image, &small).unwrap());
    let (width, height) = (image.width, image.height);
    let (x, y) = ((width - 1024) / 2, (height - 1024) / 2);
    let query = format!("stream=0&fsiz={width},{height}&roff={x},{y}&rsiz=1024,1024");
    stored.answer(&query, stored.as_stored()).0.len()
}

#[test]
fn a_window_of_a_mammogram_costs_few_reads_and_what_it_would_cost_in_small_precincts() {
    let (width, height) = (4096, 5120);
    let image = picture(width, height);
    let plain = EncodeParameters { threads: 2, ..EncodeParameters::default() };
    let stored = store(&encode(&image, &plain).unwrap());
    let (body, reads, by_batches) = middle(&stored, (width, height));
    let truth = really(&image, &plain);
    println!("{} bytes against {truth}, {reads} reads, {by_batches} in batches", body.len());
    assert!(body.len() as f64 <= truth as f64 * 1.01, "{} against {truth}", body.len());
    assert!(reads <= 80, "{reads} reads");
    assert!(by_batches <= 2 * reads, "{by_batches} reads in batches against {reads}");
}

#[test]
fn windows_of_real_files_cost_few_reads_and_what_they_would_cost_in_small_precincts() {
    let Some(root) = found::testdata() else { return };
    for (file, in_dicom, most) in [
        ("real/enet4/WG04/J2KR/RG3_J2KR", true, 80),
        ("real/csjs/openjphjs/j2c/RG3.j2c", false, 80),
        // Twelve layers lie one after the other, and each has its runs.
        ("real/pylibjpeg/JPEG2000Lossless/NM_Kakadu44_SOTmarkerincons.dcm", true, 100),
    ] {
        let object = std::fs::read(root.join(file)).unwrap();
        let extents = if in_dicom { found::dicom_frame(&object, 1) } else { found::contiguous(&object) };
        let extents = FrameExtents::new(extents.unwrap(), object.len() as u64).unwrap();
        let stored = Stored { object, extents };
        let frame = FrameSource::new(&stored.object, &stored.extents);
        let mut codestream = vec![0; usize::try_from(stored.extents.len()).unwrap()];
        frame.read_exact_at(0, &mut codestream).unwrap();
        let image = decode(&codestream, &DecodeParameters::default()).unwrap();
        let (body, reads, by_batches) = middle(&stored, (image.width, image.height));
        println!("{file}: {} bytes, {reads} reads, {by_batches} in batches", body.len());
        assert!(reads <= most, "{file}: {reads} reads");
        // OpenJPEG writes the same samples with and without such precincts: what another encoder makes of them is not
        // compared with.
        let plain = EncodeParameters::default();
        let again = store(&encode(&image, &plain).unwrap());
        let (body, ..) = middle(&again, (image.width, image.height));
        let truth = really(&image, &plain);
        assert!(body.len() as f64 <= truth as f64 * 1.01, "{file}: {} against {truth}", body.len());
    }
}
