//! Files of the world: boxes are read, indexes stored, read back and embedded, and nothing panics.
//!
//! The data are outside the repository: `PRECINCT_TESTDATA`, or `../shared/testdata` beside the workspace.
//! Without them the test says so and passes, unless CI is set.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test reads files, may panic, and says what it skipped"
)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use codestream::annex_i::check::{Comparison, compare};
use codestream::annex_i::{FileIndex, IndexWriter, embed};
use codestream::boxes::tree::box_tree;
use codestream::jp2::{FileKind, ForeignIndex, Jp2File, sniff};
use codestream::{
    ByteSource, Extent, FrameExtents, FrameSource, Indexed, Limits, SparseBytes, TileIndex, index_codestream,
};

#[test]
fn every_real_file_is_stored_as_an_index_and_read_back() {
    let Some(root) = testdata() else { return };
    let mut files = Vec::new();
    collect(&root.join("real/opj"), &mut files);
    collect(&root.join("real/ojph"), &mut files);
    let mut failures = Vec::new();
    let mut codestreams = 0u32;
    for path in &files {
        let bytes = std::fs::read(path).expect("a file of the test data");
        let name = path.strip_prefix(&root).expect("below the root").display().to_string();
        let mut failed = |what: String| failures.push(format!("{name}: {what}"));
        let all = match sniff(&bytes) {
            Some(FileKind::RawCodestream) => {
                vec![FrameExtents::new(vec![Extent::new(0, bytes.len() as u64)], bytes.len() as u64).unwrap()]
            }
            Some(FileKind::Jp2Family) => {
                box_tree(&bytes, &Limits::default()).expect("a tree");
                match Jp2File::parse(&bytes, &Limits::default()) {
                    Ok(file) => file.codestreams,
                    Err(error) => {
                        println!("{name}: refused: {error}");
                        continue;
                    }
                }
            }
            None => continue,
        };
        let mut whole = true;
        for extents in &all {
            match index_codestream(&FrameSource::new(&bytes, extents), &Limits::default()) {
                Ok(indexed) => {
                    codestreams += 1;
                    if let Err(what) = round_trip(&bytes, extents, &indexed) {
                        failed(what);
                    }
                }
                Err(error) => {
                    println!("{name}: refused: {error}");
                    whole = false;
                }
            }
        }
        if whole && let Err(what) = embedded(&bytes) {
            failed(what);
        }
    }
    println!("{codestreams} codestreams in {} files", files.len());
    assert!(codestreams > 90, "only {codestreams} codestreams could be indexed");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn round_trip(bytes: &Vec<u8>, extents: &FrameExtents, indexed: &Indexed) -> Result<(), String> {
    let frame = FrameSource::new(bytes, extents);
    let index = &indexed.index;
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).map_err(|e| e.to_string())?;
    writer.add(extents, index, &frame).map_err(|e| e.to_string())?;
    let file = writer.finish().map_err(|e| e.to_string())?.into_inner();
    let file = SparseBytes::loaded(Bytes::from(file));
    let opened = FileIndex::open_for(&file, bytes.len() as u64).map_err(|e| e.to_string())?;
    let read = opened.codestream(0, &file).map_err(|e| e.to_string())?;
    let mut covered = Vec::new();
    for number in 0..index.header.siz().tile_count() {
        let tile = TileIndex(number);
        let view = read.tile(tile, &file).map_err(|e| e.to_string())?;
        let Some(ours) = index.tile(tile) else { continue };
        if read.tile_parts(tile, &file).map_err(|e| e.to_string())? != ours.tile_parts {
            return Err(format!("tile-parts of {tile:?}"));
        }
        let layers = ours.coding.layers;
        for component in 0..index.header.siz().component_count() {
            let precincts = view.geometry.component(component).map_or(0, |c| c.precinct_count());
            for (sequence, layer) in (0..precincts).flat_map(|s| (0..layers).map(move |l| (s, l))) {
                let entry = sequence * u64::from(layers) + u64::from(layer);
                let parts = read.packet(tile, component, entry, &file).map_err(|e| e.to_string())?;
                let expected = ours.packet(component, sequence, layer);
                let total = |parts: &[codestream::Span]| parts.iter().map(|part| part.len).sum::<u64>();
                if total(&parts) != total(&expected) {
                    return Err(format!("packet {entry} of {tile:?}"));
                }
                covered.extend(parts.iter().filter(|part| extents.locate(**part).is_ok()).copied());
            }
        }
    }
    covered.sort();
    if covered.windows(2).any(|pair| pair[0].end() > pair[1].offset) {
        return Err("packets overlap".to_owned());
    }
    Ok(())
}

fn embedded(bytes: &dyn ByteSource) -> Result<(), String> {
    let (out, _) = embed(bytes, &Limits::default(), Cursor::new(Vec::new())).map_err(|e| e.to_string())?;
    let out = out.into_inner();
    let file = Jp2File::parse(&out, &Limits::default()).map_err(|e| e.to_string())?;
    if file.foreign_index != ForeignIndex::Sound {
        return Err(format!("the embedded index is {:?}", file.foreign_index));
    }
    for extents in &file.codestreams {
        let indexed = index_codestream(&FrameSource::new(&out, extents), &Limits::default());
        let index = indexed.map_err(|e| e.to_string())?.index;
        let compared = compare(&out, &file, extents, &index, &Limits::default()).map_err(|e| e.to_string())?;
        if compared != Comparison::Agrees {
            return Err(format!("the embedded index: {compared:?}"));
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the test data") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
    files.sort();
}

fn testdata() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata"));
    let root = std::env::var_os("PRECINCT_TESTDATA").map_or_else(beside, PathBuf::from);
    if root.join("real").is_dir() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no test data at {}", root.display());
    println!("skipped: no test data at {}", root.display());
    None
}
