//! A codestream of one precinct a resolution level, presented with small ones: what a window costs and decodes to.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests may panic; clippy sees only the test functions themselves as tests"
)]

use std::io::Cursor;
use std::sync::Arc;

use codestream::annex_i::{FileIndex, IndexWriter, IndexedCodestream, Place};
use codestream::relayout::presented::virtual_layout;
use codestream::{Extent, FrameExtents, FrameSource, Limits as CodestreamLimits, SparseBytes, index_codestream};
use jpip::client::{DataBinStore, MessageReader, ReassembleOptions, StoreLimits, reassemble};
use jpip::{CacheModel, CodestreamId, CodestreamSet, Limits, LogicalTarget, Piece, Request, ResponsePlan, metadata};
use openjpeg::{DecodeParameters, EncodeParameters, Image, Progression, Rect, decode, encode};

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
    fn answer(&self, query: &str, (codestream, index): (IndexedCodestream, SparseBytes)) -> (Vec<u8>, usize) {
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
        let (mut body, mut extents) = (Vec::new(), Vec::new());
        loop {
            assert!(plan.poll_needs(&index).unwrap().is_empty(), "all of the index is there");
            let batch = plan.next(&model, &index, 1 << 16).unwrap();
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
            if batch.end.is_some() {
                break;
            }
        }
        extents.sort();
        let runs = 1 + extents.windows(2).filter(|pair| pair[0].end() != pair[1].offset).count();
        (body, runs)
    }
}

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
