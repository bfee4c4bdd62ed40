//! The index against an independent computation of data-bins, `expected_bins.json` of the test data.
//!
//! The data are outside the repository: `PRECINCT_TESTDATA`, or `../shared/testdata` beside the workspace.
//! Without them the test says so and passes, unless CI is set.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reads files and may panic"
)]

use codestream::{
    ByteSource, FrameExtents, FrameSource, Indexed, Limits, Span, geometry::precinct_id, index_codestream,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use found::{contiguous, dicom_frame, testdata};

#[path = "found/frames.rs"]
mod found;

#[test]
fn every_expected_bin_is_found() {
    let Some(root) = testdata() else { return };
    let text = std::fs::read_to_string(root.join("expected_bins.json")).expect("expected_bins.json");
    let all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let mut failures = Vec::new();
    for entry in &all {
        let file = entry["file"].as_str().expect("file");
        let bytes = std::fs::read(root.join(file)).expect(file);
        let extents = match entry["frame"].as_u64() {
            None => contiguous(&bytes),
            Some(frame) => dicom_frame(&bytes, frame),
        };
        let Some(extents) = extents else {
            failures.push(format!("{file}: no codestream found"));
            continue;
        };
        let extents = FrameExtents::new(extents, bytes.len() as u64).expect("extents");
        let frame = FrameSource::new(&bytes, &extents);
        match index_codestream(&frame, &Limits::default()) {
            Err(error) => failures.push(format!("{file} {}: refused: {error}", entry["frame"])),
            Ok(indexed) => compare(&frame, &indexed, entry, &mut failures),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
}

fn compare(source: &dyn ByteSource, indexed: &Indexed, entry: &Value, failures: &mut Vec<String>) {
    let file = format!("{} {}", entry["file"], entry["frame"]);
    let index = &indexed.index;
    let siz = index.header.siz();
    let mut bins: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut packets = 0u64;
    let read = |span: Span, out: &mut Vec<u8>| {
        let from = out.len();
        out.resize(from + usize::try_from(span.len).unwrap(), 0);
        source.read_exact_at(span.offset, &mut out[from..]).unwrap();
    };
    for tile in &index.tiles {
        let geometry = index.geometry(tile);
        for component in 0..siz.component_count() {
            for sequence in 0..geometry.component(component).unwrap().precinct_count() {
                let mut bin = Vec::new();
                for layer in 0..tile.coding.layers {
                    let parts = tile.packet(component, sequence, layer);
                    packets += u64::from(!parts.is_empty());
                    parts.iter().for_each(|span| read(*span, &mut bin));
                }
                bins.push((precinct_id(siz, tile.tile, component, sequence).unwrap(), bin));
            }
        }
    }
    bins.sort_by_key(|bin| bin.0);
    let mut tile_bins = Vec::new();
    for tile in &index.tiles {
        let mut bin = Vec::new();
        for part in &tile.tile_parts {
            let from = bin.len();
            read(part.span, &mut bin);
            if part.psot_zero {
                bin[from + 6..from + 10].copy_from_slice(&u32::try_from(part.span.len).unwrap().to_be_bytes());
            }
        }
        tile_bins.push((u64::from(tile.tile.0), bin));
    }
    let mut check = |what: &str, found: Value| {
        if entry[what] != found {
            failures.push(format!("{file}: {what} {found}, expected {}; damage {:?}", entry[what], indexed.damage));
        }
    };
    check("packets", packets.into());
    check("layers", index.header.coding().layers.into());
    check("components", siz.component_count().into());
    check("tiles", siz.tile_count().into());
    check("precinct_bins", bins.len().into());
    check("width", siz.reduced_size(0).0.into());
    check("height", siz.reduced_size(0).1.into());
    check("precincts_sha256", digest(&bins).into());
    check("tile_bins_sha256", digest(&tile_bins).into());
    if !indexed.damage.is_empty() {
        failures.push(format!("{file}: damage {:?}", indexed.damage));
    }
}

fn digest(bins: &[(u64, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    for (id, bytes) in bins {
        hash.update(id.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
