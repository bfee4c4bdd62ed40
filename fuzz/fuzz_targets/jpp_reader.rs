//! Any bytes as a JPP-stream, cut anywhere: no panic, the same data-bins however it is cut, and whatever has arrived
//! can be asked to become a codestream.
#![no_main]

use codestream::Limits;
use jpip::CodestreamId;
use jpip::client::{DataBinStore, MessageReader, ReassembleOptions, StoreLimits, reassemble};
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8], cut: usize) -> Option<DataBinStore> {
    let mut store = DataBinStore::new(StoreLimits { max_memory: 1 << 22, max_bin_len: 1 << 24 });
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
    let Some((first, data)) = data.split_first() else { return };
    let whole = read(data, data.len().max(1));
    let pieces = read(data, usize::from(*first).max(1));
    let (Some(whole), Some(pieces)) = (whole, pieces) else { return };
    assert_eq!(whole.model(), pieces.model());
    let limits = Limits { max_packets: 1 << 16, max_code_blocks: 1 << 16, ..Limits::default() };
    let options = ReassembleOptions { limits, max_len: 1 << 22 };
    let _ = reassemble(&whole, CodestreamId(0), &options);
});
