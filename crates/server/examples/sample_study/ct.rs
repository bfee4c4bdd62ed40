//! A CT-like series: slices through a chest of ellipses, in Hounsfield units.

use anyhow::{Context as _, Result};
use dicom_bridge::write::OffsetTable;
use openjpeg::{EncodeParameters, Image, encode};

use crate::identity::{Pixels, Sample, new_object, put_pixels, uid};
use crate::shapes::{Ellipse, Grain, clouds, position};

pub(crate) const SLICES: u32 = 12;
const SIZE: u32 = 512;
/// Millimetres from slice to slice.
const THICKNESS: f32 = 5.0;
const SPACING: f32 = 0.75;

/// Slice 1 to [`SLICES`], from the feet upwards.
pub(crate) fn object(slice: u32) -> Result<Vec<u8>> {
    let sample = Sample {
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2",
        modality: "CT",
        series_number: 1,
        series_description: "Phantom, axial",
        instance_number: slice,
    };
    let mut object = new_object(&sample);
    let z = (slice - 1) as f32 * THICKNESS;
    let corner = -SPACING * (SIZE - 1) as f32 / 2.0;
    let attributes = object.attributes();
    put_pixels(
        attributes,
        &Pixels {
            rows: SIZE,
            columns: SIZE,
            samples_per_pixel: 1,
            photometric_interpretation: "MONOCHROME2",
            bits_allocated: 16,
            bits_stored: 16,
            signed: true,
        },
    );
    attributes
        .put(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .put(0x0018_0015, "CS", "CHEST")
        .put(0x0018_0050, "DS", &THICKNESS.to_string())
        .put(0x0018_0060, "DS", "120")
        .put(0x0018_5100, "CS", "HFS")
        .put(0x0020_0012, "IS", "1")
        .put(0x0020_0032, "DS", &format!("{corner}\\{corner}\\{z}"))
        .put(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
        .put(0x0020_0052, "UI", &uid("frame of reference"))
        .put(0x0020_1040, "LO", "")
        .put(0x0020_1041, "DS", &z.to_string())
        .put(0x0028_0030, "DS", &format!("{SPACING}\\{SPACING}"))
        .put(0x0028_1050, "DS", "40")
        .put(0x0028_1051, "DS", "400")
        .put(0x0028_1052, "DS", "0")
        .put(0x0028_1053, "DS", "1")
        .put(0x0028_1054, "LO", "HU");
    let image =
        Image::from_interleaved(SIZE, SIZE, 1, (16, true), &samples(slice)).context("wrong number of samples")?;
    let codestream = encode(&image, &EncodeParameters::default())?;
    Ok(object.encapsulate(&[codestream], OffsetTable::Basic, 1)?)
}

fn samples(slice: u32) -> Vec<i32> {
    // From 0 to 1 through the series; organs grow and shrink along it.
    let t = (slice - 1) as f32 / (SLICES - 1) as f32;
    let bulge = 1.0 - (2.0 * t - 1.0) * (2.0 * t - 1.0) * 0.35;
    let ellipse = |x, y, a, b| Ellipse { x, y, a, b };
    let body = ellipse(0.0, 0.0, 0.82, 0.60);
    let inner = ellipse(0.0, 0.0, 0.76, 0.54);
    let lungs = [ellipse(-0.38, -0.02, 0.30 * bulge, 0.40 * bulge), ellipse(0.38, -0.02, 0.30 * bulge, 0.40 * bulge)];
    let heart = ellipse(0.10, -0.14, 0.26 * bulge, 0.24 * bulge);
    let aorta = ellipse(0.07, 0.17, 0.055, 0.055);
    let spine = ellipse(0.0, 0.33, 0.13, 0.11);
    let canal = ellipse(0.0, 0.41, 0.035, 0.03);
    let nodule = ellipse(-0.45, 0.08, 0.06 * (1.0 - t), 0.06 * (1.0 - t));
    let table = ellipse(0.0, 1.35, 1.3, 0.7);
    let mut grain = Grain::new(slice);
    let mut samples = Vec::with_capacity((SIZE * SIZE) as usize);
    for row in 0..SIZE {
        let y = position(row, SIZE);
        for column in 0..SIZE {
            let x = position(column, SIZE);
            let noise = grain.next() / 6;
            if !body.holds(x, y) {
                let value = if table.holds(x, y) && y > 0.68 { -400 } else { -1000 };
                samples.push(value + noise / 2);
                continue;
            }
            let value = if spine.holds(x, y) {
                if canal.holds(x, y) { 30 } else { 450 + (400.0 * spine.distance(x, y)) as i32 }
            } else if heart.holds(x, y) {
                55
            } else if aorta.holds(x, y) {
                140
            } else if lungs.iter().any(|lung| lung.holds(x, y)) {
                let vessels = clouds(column, row + slice * 3, 24, 2, 77);
                if t < 0.9 && nodule.holds(x, y) {
                    60
                } else if vessels > 0.56 {
                    -300
                } else {
                    -850
                }
            } else if inner.holds(x, y) {
                45
            } else {
                -95
            };
            samples.push(value + noise + (20.0 * clouds(column, row, 64, 2, slice / 4)) as i32);
        }
    }
    samples
}
