//! A JP2 file around a reassembled codestream.

use codestream::{Limits, MainHeader};
use jpip::client::{DataBinStore, top_level_box};

/// The codestream in a JP2 (or JPH) file, with the `jp2h` box of the target's metadata-bins.
///
/// A raw codestream is presented without boxes; its header box is made from SIZ.
///
/// # Errors
///
/// When the boxes of the metadata-bins cannot be read.
pub(super) fn wrap(store: &DataBinStore, header: &MainHeader, codestream: &[u8]) -> anyhow::Result<Vec<u8>> {
    let brand = if header.is_htj2k() { *b"jph " } else { *b"jp2 " };
    let mut out = Vec::with_capacity(codestream.len() + 1024);
    append_box(*b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A], &mut out);
    append_box(*b"ftyp", &[brand, [0; 4], brand].concat(), &mut out);
    let delivered = top_level_box(store, *b"jp2h", MAX_HEADER_BOX, &Limits::default())?;
    append_box(*b"jp2h", &delivered.unwrap_or_else(|| made_header_box(header)), &mut out);
    append_box(*b"jp2c", codestream, &mut out);
    Ok(out)
}

/// Contents of a `jp2h` box that says no more than SIZ does [15444-1 I.5.3].
fn made_header_box(header: &MainHeader) -> Vec<u8> {
    let siz = header.siz();
    let (width, height) = siz.reduced_size(0);
    let depths = siz.components.iter().map(|c| c.precision.saturating_sub(1) | u8::from(c.signed) << 7);
    let depths: Vec<u8> = depths.collect();
    let same = depths.windows(2).all(|pair| pair.first() == pair.last());
    let depth = depths.first().copied().filter(|_| same).unwrap_or(DEPTHS_DIFFER);
    let mut ihdr = Vec::new();
    ihdr.extend(height.to_be_bytes());
    ihdr.extend(width.to_be_bytes());
    ihdr.extend(siz.component_count().to_be_bytes());
    // Compression type 7; the colour space is known, no intellectual property box.
    ihdr.extend([depth, 7, 0, 0]);
    let mut out = Vec::new();
    append_box(*b"ihdr", &ihdr, &mut out);
    if !same {
        append_box(*b"bpcc", &depths, &mut out);
    }
    let colour: u32 = if depths.len() >= 3 { ENUMERATED_SRGB } else { ENUMERATED_GREY };
    let mut colr = vec![1, 0, 0];
    colr.extend(colour.to_be_bytes());
    append_box(*b"colr", &colr, &mut out);
    out
}

fn append_box(kind: [u8; 4], contents: &[u8], out: &mut Vec<u8>) {
    let len = contents.len() as u64 + 8;
    match u32::try_from(len) {
        Ok(short) => {
            out.extend(short.to_be_bytes());
            out.extend(kind);
        }
        Err(_) => {
            out.extend(1u32.to_be_bytes());
            out.extend(kind);
            out.extend((len + 8).to_be_bytes());
        }
    }
    out.extend_from_slice(contents);
}

/// Longest header box that is copied, in bytes; colour profiles take a few hundred kilobytes at most.
const MAX_HEADER_BOX: u64 = 64 << 20;

/// BPC of the image header box when components differ in depth.
const DEPTHS_DIFFER: u8 = 255;

const ENUMERATED_SRGB: u32 = 16;
const ENUMERATED_GREY: u32 = 17;
