//! Indexing speed: large lossless 16-bit images with real headers and packet headers, bodies left as holes.
//!
//! `cargo bench -p codestream --bench index`; bytes a second count the whole codestream, as a file of it
//! would be long.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench makes its own input"
)]

mod holed;

use codestream::{Limits, index_codestream};
use divan::counter::BytesCount;
use holed::{Holed, Layout};

fn main() {
    divan::main();
}

/// Lossless 16-bit images: side of the image and of a tile, precincts, progression order.
const LAYOUTS: [Layout; 4] = [
    Layout { side: 8192, tile: 8192, precinct: 8, order: 2, layers: 1, block: 6 },
    Layout { side: 8192, tile: 1024, precinct: 15, order: 0, layers: 1, block: 6 },
    Layout { side: 8192, tile: 8192, precinct: 8, order: 0, layers: 6, block: 6 },
    Layout { side: 4096, tile: 4096, precinct: 7, order: 3, layers: 1, block: 2 },
];

#[divan::bench(args = LAYOUTS)]
fn index(bencher: divan::Bencher<'_, '_>, layout: Layout) {
    let holed = Holed::new(layout);
    bencher.counter(BytesCount::new(codestream::ByteSource::len(&holed))).bench(|| {
        let indexed = index_codestream(&holed, &Limits::default()).unwrap();
        assert!(indexed.damage.is_empty());
        indexed
    });
}
