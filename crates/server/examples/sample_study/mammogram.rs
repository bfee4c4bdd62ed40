//! A mammogram-like image: cloudy tissue, 4096 by 5120 samples of 12 bits, laid out for JPIP: RPCL with
//! precincts, so that a window costs what it shows.

use anyhow::{Context as _, Result};
use dicom_bridge::write::{NewAttributes, OffsetTable};
use openjpeg::{EncodeParameters, Image, Progression, encode};

use crate::identity::{Pixels, Sample, code, new_object, put_pixels};
use crate::shapes::{Ellipse, Grain, clouds, hash, position};

const COLUMNS: u32 = 4096;
const ROWS: u32 = 5120;

pub(crate) fn object() -> Result<Vec<u8>> {
    let sample = Sample {
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.1.2",
        modality: "MG",
        series_number: 2,
        series_description: "Phantom, L MLO",
        instance_number: 1,
    };
    let mut object = new_object(&sample);
    put_attributes(object.attributes());
    let image =
        Image::from_interleaved(COLUMNS, ROWS, 1, (12, false), &samples()).context("wrong number of samples")?;
    let parameters = EncodeParameters {
        progression: Progression::Rpcl,
        levels: 6,
        precincts: vec![(256, 256), (256, 256), (128, 128), (128, 128), (128, 128), (128, 128), (128, 128)],
        plt: true,
        tlm: true,
        threads: 2,
        ..EncodeParameters::default()
    };
    let codestream = encode(&image, &parameters)?;
    Ok(object.encapsulate(&[codestream], OffsetTable::Basic, 1)?)
}

/// The modules of Digital Mammography X-Ray Image for presentation [PS3.3 A.27].
fn put_attributes(attributes: &mut NewAttributes) {
    put_pixels(
        attributes,
        &Pixels {
            rows: ROWS,
            columns: COLUMNS,
            samples_per_pixel: 1,
            photometric_interpretation: "MONOCHROME2",
            bits_allocated: 16,
            bits_stored: 12,
            signed: false,
        },
    );
    let view_modifiers: Vec<NewAttributes> = Vec::new();
    let mut view = code("399368009", "SCT", "medio-lateral oblique");
    view.put_sequence(0x0054_0222, view_modifiers);
    attributes
        .put(0x0008_0008, "CS", "ORIGINAL\\PRIMARY")
        .put(0x0008_0068, "CS", "FOR PRESENTATION")
        .put(0x0018_0015, "CS", "BREAST")
        .put(0x0018_1164, "DS", "0.05\\0.05")
        .put(0x0018_1508, "CS", "MAMMOGRAPHIC")
        .put(0x0018_7004, "CS", "DIRECT")
        .put(0x0020_0020, "CS", "A\\FR")
        .put(0x0020_0062, "CS", "L")
        .put(0x0028_1040, "CS", "LOG")
        .put(0x0028_1041, "SS", "1")
        .put(0x0028_1050, "DS", "1700")
        .put(0x0028_1051, "DS", "2600")
        .put(0x0028_1052, "DS", "0")
        .put(0x0028_1053, "DS", "1")
        .put(0x0028_1054, "LO", "US")
        .put(0x0018_1405, "IS", "1000")
        .put(0x0040_0316, "DS", "0.0012")
        .put(0x0040_0318, "CS", "BREAST")
        .put(0x2050_0020, "CS", "IDENTITY")
        .put_sequence(0x0008_2218, vec![code("76752008", "SCT", "Breast")])
        .put_sequence(0x0040_0555, Vec::new())
        .put_sequence(0x0054_0220, vec![view]);
}

fn samples() -> Vec<i32> {
    // The tissue is drawn an eighth as large and drawn out; only the grain is fine.
    const SHRINK: u32 = 8;
    let (columns, rows) = (COLUMNS / SHRINK + 2, ROWS / SHRINK + 2);
    let coarse: Vec<Vec<i32>> = (0..rows).map(|row| (0..columns).map(|column| tissue(column, row)).collect()).collect();
    let mut grain = Grain::new(2);
    let mut samples = Vec::with_capacity((COLUMNS * ROWS) as usize);
    let shrink = SHRINK as i32;
    for (nth, pair) in coarse.windows(2).enumerate().take((ROWS / SHRINK) as usize) {
        let [above, below] = pair else { continue };
        for step in 0..shrink {
            let line: Vec<i32> = above.iter().zip(below).map(|(a, b)| a * (shrink - step) + b * step).collect();
            for (column, neighbours) in line.windows(2).take((COLUMNS / SHRINK) as usize).enumerate() {
                let &[left, right] = neighbours else { continue };
                let speck = left > 0 && hash(9, column as u32, nth as u32).is_multiple_of(4001);
                for at in 0..shrink {
                    let smooth = (left * (shrink - at) + right * at) / (shrink * shrink);
                    // Calcifications: a few dots, brighter than anything around them.
                    let dot = if speck && (2..5).contains(&at) && (2..5).contains(&step) { 700 } else { 0 };
                    let noise = if smooth > 0 { grain.next() / 8 } else { 0 };
                    samples.push((smooth + dot + noise).clamp(0, 4095));
                }
            }
        }
    }
    samples
}

/// Brightness of the tissue on a grid of an eighth: 0 outside the breast.
fn tissue(column: u32, row: u32) -> i32 {
    let (x, y) = (position(column, COLUMNS / 8), position(row, ROWS / 8));
    let breast = Ellipse { x: -1.0, y: 0.05, a: 1.45, b: 0.82 };
    let muscle = x + 1.0 < 0.55 * (0.35 - y);
    let edge = breast.distance(x, y);
    if edge >= 1.0 && !muscle {
        return 0;
    }
    let cloud = clouds(column, row, 96, 5, 21);
    let strands = 1.0 - (2.0 * clouds(column, row, 40, 3, 55) - 0.9).abs();
    let thick = if edge < 0.9 { 1.0 } else { ((1.0 - edge) * 10.0).max(0.15) };
    let gland = (cloud * 1500.0 + strands * strands * 700.0) * (1.0 - 0.5 * edge.min(1.0));
    let value = if muscle { 2300.0 + 300.0 * cloud } else { (500.0 + gland) * thick };
    value as i32
}
