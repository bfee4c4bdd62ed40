//! Any text as a `metareq` and any bytes as the boxes that it chooses from: no panic, and metadata-bin 0 comes first.
#![no_main]

use std::sync::Arc;

use codestream::{Limits as BoxLimits, SparseBytes};
use codestream::jp2::{Jp2File, MetadataTree};
use jpip::target::{CodestreamSet, LogicalTarget};
use jpip::{CacheModel, Limits, Request, ResponsePlan, metadata};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first zero byte, which no query holds, parts the request from the file.
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let text = [b"metareq=", halves.next().unwrap_or_default()].concat();
    let file = [b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a\0\0\0\x09jp2cx", halves.next().unwrap_or_default()].concat();
    let Ok(request) = Request::parse(b"", Some(&text)) else { return };
    let Ok(parsed) = Jp2File::parse(&file, &BoxLimits::default()) else { return };
    let Ok(tree) = MetadataTree::read(&file, &parsed, &BoxLimits::default()) else { return };
    let metadata = metadata::for_file(&parsed, &tree);
    for found in &metadata.boxes {
        assert!(found.bin < metadata.bins.len() && found.own.is_none_or(|own| own < metadata.bins.len()));
    }
    let codestreams = CodestreamSet::File(u32::try_from(parsed.codestreams.len()).unwrap_or(u32::MAX));
    let target = Arc::new(LogicalTarget { tid: "t".into(), codestreams, metadata });
    let limits = Limits::default();
    let Ok(mut plan) = ResponsePlan::new(&request, target, &limits) else { return };
    for id in plan.codestreams().to_vec() {
        plan.without(id);
    }
    let mut model = CacheModel::new(&limits);
    let mut calls = 0;
    loop {
        let batch = plan.next(&model, &SparseBytes::new(0), 1 << 16).unwrap();
        assert!(calls > 0 || batch.inline.first() == Some(&0x70) || batch.inline.first() == Some(&0x60));
        calls += 1;
        if batch.end.is_some() {
            break;
        }
    }
    plan.commit(&mut model);
});
