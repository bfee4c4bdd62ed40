//! Any bytes as a codestream in any layout: no panic, bounded work, and what comes out is indexed as it was promised.
#![no_main]

use codestream::markers::ProgressionOrder;
use codestream::relayout::{Precincts, RopeSource, TileParts};
use codestream::{Layout, Limits, index_codestream, relayout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first bytes choose the layout, the rest is the codestream.
    let Some((&[choice, sizes, more], data)) = data.split_first_chunk::<3>() else { return };
    let layout = Layout {
        precincts: match choice & 3 {
            0 => Precincts::Keep,
            1 => Precincts::Wanted([(sizes & 15, sizes >> 4)].into_iter().collect()),
            _ => Precincts::Wanted([(sizes & 15, sizes >> 4), (more & 15, more >> 4)].into_iter().collect()),
        },
        progression: ProgressionOrder::from_code(choice >> 2 & 7),
        tile_parts: if choice & 32 != 0 { TileParts::ByResolution } else { TileParts::One },
        sop: choice & 64 != 0,
        eph: choice & 64 != 0,
        plt: choice & 128 != 0,
        tlm: choice & 128 != 0,
    };
    // Small limits, so that one input stays within a second whatever it announces.
    let limits = Limits { max_packets: 1 << 18, max_code_blocks: 1 << 18, ..Limits::default() };
    let Ok(indexed) = index_codestream(&data, &limits) else { return };
    let Ok(relaid) = relayout(&data, &indexed, &layout, &limits) else { return };
    let source = RopeSource::new(&relaid.bytes, data);
    let found = index_codestream(&source, &Limits::default()).expect("our own codestream").index;
    assert_eq!(found.main_segments, relaid.index.main_segments);
    for (found, ours) in found.tiles.iter().zip(&relaid.index.tiles) {
        assert_eq!(found.tile_parts, ours.tile_parts);
        for (found, ours) in found.packets.iter().zip(&ours.packets) {
            assert!(found.iter().eq(ours.iter()));
        }
    }
});
