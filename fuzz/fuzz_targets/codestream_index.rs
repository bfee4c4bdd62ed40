//! Any bytes as a codestream: no panic, bounded work, and every span that comes out lies inside the input.
#![no_main]

use codestream::{ByteSource, Limits, MainHeader, index_codestream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Small limits, so that one input stays within a second whatever it announces.
    let limits = Limits { max_packets: 1 << 18, max_code_blocks: 1 << 18, ..Limits::default() };
    let _ = MainHeader::parse(data, &limits);
    let Ok(indexed) = index_codestream(&data, &limits) else { return };
    let index = &indexed.index;
    let len = ByteSource::len(&data);
    assert!(index.codestream_len <= len && index.main_header_len <= index.codestream_len);
    for segment in &index.main_segments {
        assert!(segment.span.offset + segment.span.len <= index.main_header_len);
    }
    for tile in &index.tiles {
        let mut bytes = 0;
        for part in &tile.tile_parts {
            assert!(part.span.offset + part.span.len <= len);
            bytes += part.span.len;
        }
        for segment in &tile.header_segments {
            assert!(segment.span.offset + segment.span.len <= len);
        }
        let geometry = index.geometry(tile);
        let mut packets = 0;
        for component in 0..u16::try_from(index.header.siz().components.len()).unwrap_or(u16::MAX) {
            let Some(part) = geometry.component(component) else { continue };
            for sequence in 0..part.precinct_count().min(1 << 12) {
                for layer in 0..tile.coding.layers.min(8) {
                    for span in tile.packet(component, sequence, layer) {
                        assert!(span.offset + span.len <= len);
                        packets += span.len;
                    }
                }
            }
        }
        // Packed headers lie in the main header, everything else in the tile-parts.
        assert!(packets <= bytes + index.main_header_len);
    }
});
