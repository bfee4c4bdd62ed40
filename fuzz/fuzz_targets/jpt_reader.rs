//! Any bytes as tiles of a JPT-stream behind a main header that is sound, or behind any bytes: no panic, and what has
//! arrived becomes a codestream that can be read, if it becomes one.
#![no_main]

use codestream::testkit::{TileParts, TinyCodestream, tiny_codestream};
use codestream::{Limits, index_codestream};
use jpip::client::{
    DataBinStore, MessageReader, ReassembleOptions, StoreLimits, WindowNeeds, reassemble, window_complete,
};
use jpip::view_window::ViewWindow;
use jpip::{BinKey, CodestreamId};
use libfuzzer_sys::fuzz_target;

/// Codestreams whose main headers matter to tiles: none, plain, packed headers with and without TLM, markers in packets.
fn main_header(kind: u8) -> Option<Vec<u8>> {
    let tiles = || tiny_codestream().size(24, 24).tiles(2, 2).layers(2);
    let built = |codestream: TinyCodestream| {
        let built = codestream.build_with_truth();
        built.bytes.get(..usize::try_from(built.main_header_len).ok()?).map(<[u8]>::to_vec)
    };
    match kind % 5 {
        0 => None,
        1 => built(tiles()),
        2 => built(tiles().ppm().packed_segment(9).tile_parts(TileParts::Every(2))),
        3 => built(tiles().ppm().tlm().tile_parts(TileParts::Every(2)).interleave()),
        _ => built(tiles().sop().eph().ppt()),
    }
}

fn read(data: &[u8], cut: usize, header: Option<&[u8]>) -> Option<DataBinStore> {
    let mut store = DataBinStore::new(StoreLimits { max_memory: 1 << 22, max_bin_len: 1 << 24 });
    if let Some(header) = header {
        store.insert(BinKey::main_header(CodestreamId(0)), 0, header, true).ok()?;
    }
    let mut reader = MessageReader::new();
    for piece in data.chunks(cut) {
        let mut input = piece;
        loop {
            match reader.read(&mut input) {
                Ok(Some(event)) => store.apply(&event).ok()?,
                Ok(None) => break,
                Err(_) => return None,
            }
        }
    }
    Some(store)
}

fuzz_target!(|data: &[u8]| {
    let [cut, kind, data @ ..] = data else { return };
    let header = main_header(*kind);
    let Some(store) = read(data, usize::from(*cut).max(1), header.as_deref()) else { return };
    let limits = Limits { max_packets: 1 << 16, max_code_blocks: 1 << 16, ..Limits::default() };
    let options = ReassembleOptions { limits, max_len: 1 << 22 };
    let Ok(rebuilt) = reassemble(&store, CodestreamId(0), &options) else { return };
    if rebuilt.tiles > 0 {
        let index = index_codestream(&rebuilt.codestream, &limits).map(|indexed| indexed.index);
        let Ok(index) = index else { return };
        let window = ViewWindow::whole(index.header.siz());
        let _ = window_complete(&store, CodestreamId(0), &window, &WindowNeeds::default(), &limits);
    }
});
