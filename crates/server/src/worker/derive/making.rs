//! The task itself, in its own process: from a DICOM object to the derived one.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use codestream::markers::ProgressionOrder;
use codestream::relayout::{Precincts, TileParts};
use codestream::{ByteSource, Layout};
use dicom_bridge::write::{FragmentWriter, NewObject};
use dicom_bridge::{ScanLimits, ScannedObject, scan};
use lossless::{BlockCoder, Parameters, Tiles};
use openjpeg::Image;
use serde::Deserialize;
use serde_json::{Value, json};

use super::samples::{Meaning, Samples};
use super::{DERIVED_SOP_CLASS, Derive};
use crate::storage::StoredFile;
use crate::worker::apart::Refusal;

/// What the task is told.
#[derive(Debug, Deserialize)]
struct Arguments {
    kind: Derive,
}

/// High-Throughput JPEG 2000 with RPCL Options (Lossless Only), and JPEG 2000 (Lossless Only).
const HTJ2K_LOSSLESS_RPCL: &str = "1.2.840.10008.1.2.4.202";
const JPEG2000_LOSSLESS: &str = "1.2.840.10008.1.2.4.90";

/// Samples of one frame: what the memory of the process suffices for.
const MAX_SAMPLES: u64 = 80_000_000;

/// Longest side that an HT tile can have.
const MOST_IN_TILE: u32 = 16_384;

/// Makes the derived object.
///
/// # Errors
///
/// The outer error is of the process, the inner one of the object.
pub(crate) fn run(arguments: &str, input: File, output: File) -> anyhow::Result<Result<Value, Refusal>> {
    let Arguments { kind } = serde_json::from_str(arguments)?;
    let object = StoredFile::lent(input)?;
    let scanned = match scan(&object, &ScanLimits::default()) {
        Ok(scanned) => scanned,
        Err(error) => return Ok(Err(Refusal { is_unsupported: false, words: error.to_string() })),
    };
    let mut samples = match Samples::open(&object, &scanned, MAX_SAMPLES) {
        Ok(samples) => samples,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut out = BufWriter::new(output);
    let mut fragments = FragmentWriter::begin(head(&scanned, &samples, kind)?, &mut out)?;
    for number in 1..=samples.frames() {
        let frame = samples.frame(number).and_then(|image| encode(&image, samples.meaning(), kind));
        match frame {
            Ok(codestream) => fragments.fragment(&codestream)?,
            Err(Refusal { is_unsupported, words }) => {
                let words = if samples.frames() > 1 { format!("frame {number}: {words}") } else { words };
                return Ok(Err(Refusal { is_unsupported, words }));
            }
        }
    }
    fragments.end()?;
    out.flush()?;
    Ok(Ok(json!({ "frames": samples.frames(), "bytes": object.len() })))
}

/// The object without its pixel data.
fn head(scanned: &ScannedObject, samples: &Samples<'_>, kind: Derive) -> anyhow::Result<NewObject> {
    let transfer_syntax = if kind == Derive::J2k { JPEG2000_LOSSLESS } else { HTJ2K_LOSSLESS_RPCL };
    let attributes = &scanned.attributes;
    let mut object = NewObject::new(DERIVED_SOP_CLASS, &attributes.sop_instance_uid, transfer_syntax);
    let (width, height) = samples.size();
    let (precision, signed) = samples.depth();
    let allocated = u32::from(precision).next_multiple_of(8).max(8);
    let numbers = [
        (0x0028_0002, samples.components()),
        (0x0028_0010, height),
        (0x0028_0011, width),
        (0x0028_0100, allocated),
        (0x0028_0101, precision.into()),
        (0x0028_0102, u32::from(precision) - 1),
        (0x0028_0103, signed.into()),
    ];
    let to = object.attributes();
    for (tag, number) in numbers {
        to.put(tag, "US", &number.to_string());
    }
    to.put(0x0028_0004, "CS", samples.meaning().photometric_interpretation());
    to.put(0x0028_0008, "IS", &samples.frames().to_string());
    if samples.components() > 1 {
        to.put(0x0028_0006, "US", "0");
    }
    Ok(object)
}

fn encode(image: &Image, meaning: Meaning, kind: Derive) -> Result<Vec<u8>, Refusal> {
    let is_wide = image.width > MOST_IN_TILE || image.height > MOST_IN_TILE;
    let tiles = Tiles { x0: 0, y0: 0, width: MOST_IN_TILE, height: MOST_IN_TILE };
    let parameters = Parameters {
        coder: if kind == Derive::J2k { BlockCoder::Part1 } else { BlockCoder::Ht },
        component_transform: meaning == Meaning::Rgb,
        tiles: is_wide.then_some(tiles),
        layout: Layout {
            precincts: Precincts::Wanted([(8, 8), (8, 8), (7, 7)].into_iter().collect()),
            progression: Some(ProgressionOrder::Rpcl),
            tile_parts: TileParts::ByResolution,
            plt: true,
            tlm: true,
            ..Layout::default()
        },
        ..Parameters::default()
    };
    let encoded = lossless::encode(image, &parameters)
        .map_err(|error| Refusal { is_unsupported: true, words: error.to_string() })?;
    Ok(encoded.codestream)
}
