//! Any bytes as a file of the JP2 family: no panic, and no codestream that leaves the file.
#![no_main]

use codestream::Limits;
use codestream::jp2::{Jp2File, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = sniff(data);
    let Ok(file) = Jp2File::parse(&data, &Limits::default()) else { return };
    for top in &file.boxes {
        assert!(top.header.span.offset + top.header.span.len <= data.len() as u64);
        assert!(top.header.contents.offset + top.header.contents.len <= data.len() as u64);
    }
    for frame in &file.codestreams {
        for extent in frame.extents() {
            assert!(extent.offset + extent.len <= data.len() as u64);
        }
    }
});
