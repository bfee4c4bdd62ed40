//! A colour multi-frame: a beating shape in a fan of speckle, with a patch of colour flow.

use anyhow::{Context as _, Result};
use dicom_bridge::write::OffsetTable;
use openjpeg::{EncodeParameters, Image, encode};

use crate::identity::{Pixels, Sample, new_object, put_pixels};
use crate::shapes::{Ellipse, Grain, clouds, position};

const FRAMES: u32 = 8;
const COLUMNS: u32 = 640;
const ROWS: u32 = 480;

pub(crate) fn object() -> Result<Vec<u8>> {
    let sample = Sample {
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.3.1",
        modality: "US",
        series_number: 3,
        series_description: "Phantom, colour",
        instance_number: 1,
    };
    let mut object = new_object(&sample);
    let attributes = object.attributes();
    put_pixels(
        attributes,
        &Pixels {
            rows: ROWS,
            columns: COLUMNS,
            samples_per_pixel: 3,
            // The reversible component transform of the codestream [PS3.5 8.2.4].
            photometric_interpretation: "YBR_RCT",
            bits_allocated: 8,
            bits_stored: 8,
            signed: false,
        },
    );
    attributes
        .put(0x0008_0008, "CS", "ORIGINAL\\PRIMARY")
        .put(0x0018_0040, "IS", "25")
        .put(0x0018_1063, "DS", "40")
        .put(0x0020_0020, "CS", "")
        .put(0x0020_0060, "CS", "")
        .put(0x0028_0008, "IS", &FRAMES.to_string())
        .put(0x0028_0009, "AT", "00181063")
        .put(0x0028_0014, "US", "1");
    let mut codestreams = Vec::new();
    for frame in 0..FRAMES {
        let image = Image::from_interleaved(COLUMNS, ROWS, 3, (8, false), &samples(frame))
            .context("wrong number of samples")?;
        codestreams.push(encode(&image, &EncodeParameters { mct: true, ..EncodeParameters::default() })?);
    }
    Ok(object.encapsulate(&codestreams, OffsetTable::Basic, 1)?)
}

fn samples(frame: u32) -> Vec<i32> {
    // Out and back in eight frames.
    let beat = 0.02 * (4.0 - (frame as f32 - 4.0).abs());
    let chamber = Ellipse { x: -0.05, y: 0.05, a: 0.28 + beat, b: 0.36 + beat };
    let wall = Ellipse { x: -0.05, y: 0.05, a: 0.36 + beat, b: 0.46 + beat };
    let flow = Ellipse { x: -0.05, y: 0.20 - beat, a: 0.12, b: 0.22 };
    let mut grain = Grain::new(100 + frame);
    let mut samples = Vec::with_capacity((COLUMNS * ROWS * 3) as usize);
    for row in 0..ROWS {
        let y = position(row, ROWS);
        for column in 0..COLUMNS {
            let x = position(column, COLUMNS);
            let (dx, dy) = (x * 4.0 / 3.0, y + 1.05);
            let depth = (dx * dx + dy * dy).sqrt();
            // A grey bar at the right edge, as such devices draw one.
            if column >= COLUMNS - 24 && (40..440).contains(&row) {
                samples.extend([(255 - (row - 40) * 255 / 400) as i32; 3]);
                continue;
            }
            if !(0.12..1.95).contains(&depth) || dx.abs() > 0.8 * dy {
                samples.extend([0; 3]);
                continue;
            }
            let speckle = grain.next();
            let base = if chamber.holds(x, y) {
                8.0
            } else if wall.holds(x, y) {
                150.0
            } else {
                40.0 + 90.0 * clouds(column, row, 32, 3, 300)
            };
            let grey = (base * (1.1 - 0.3 * depth)) as i32;
            let grey = (grey + grey * speckle / 160).clamp(0, 255);
            if flow.holds(x, y) {
                let speed = ((1.0 - flow.distance(x, y)) * 200.0) as i32 + speckle / 8;
                let away = frame >= FRAMES / 2;
                let (red, blue) = if away { (20, speed) } else { (speed, 20) };
                samples.extend([red, (speed - 120).max(0), blue].map(|value| value.clamp(0, 255)));
            } else {
                samples.extend([grey; 3]);
            }
        }
    }
    samples
}
