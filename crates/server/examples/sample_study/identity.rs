//! Who and what the samples are: one invented patient, one study, UIDs that are always the same.

use dicom_bridge::write::{NewAttributes, NewObject};
use sha2::{Digest as _, Sha256};

/// JPEG 2000 Image Compression (Lossless Only) [PS3.5 A.4.4].
const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.4.90";

/// What sets one sample apart from the others.
pub(crate) struct Sample<'a> {
    pub(crate) sop_class_uid: &'a str,
    pub(crate) modality: &'a str,
    pub(crate) series_number: u32,
    pub(crate) series_description: &'a str,
    pub(crate) instance_number: u32,
}

/// The object with all that patient, study, series, equipment and general image modules want [PS3.3 C.7].
pub(crate) fn new_object(sample: &Sample<'_>) -> NewObject {
    let Sample { sop_class_uid, modality, series_number, series_description, instance_number } = sample;
    let sop_instance_uid = uid(&format!("instance {series_number} {instance_number}"));
    let mut object = NewObject::new(sop_class_uid, &sop_instance_uid, TRANSFER_SYNTAX);
    object
        .attributes()
        .put(0x0008_0020, "DA", "20260102")
        .put(0x0008_0021, "DA", "20260102")
        .put(0x0008_0022, "DA", "20260102")
        .put(0x0008_0023, "DA", "20260102")
        .put(0x0008_0030, "TM", "101500")
        .put(0x0008_0031, "TM", "101500")
        .put(0x0008_0032, "TM", "101500")
        .put(0x0008_0033, "TM", "101500")
        .put(0x0008_0050, "SH", "SAMPLE-1")
        .put(0x0008_0060, "CS", modality)
        .put(0x0008_0070, "LO", "Precinct")
        .put(0x0008_0080, "LO", "Nowhere")
        .put(0x0008_0090, "PN", "")
        .put(0x0008_1030, "LO", "Synthetic sample study")
        .put(0x0008_103e, "LO", series_description)
        .put(0x0008_1090, "LO", "sample_study")
        .put(0x0010_0010, "PN", "Synthetic^Sample")
        .put(0x0010_0020, "LO", "PRECINCT-SAMPLE")
        .put(0x0010_0030, "DA", "19700101")
        .put(0x0010_0040, "CS", "O")
        .put(0x0018_1000, "LO", "1")
        .put(0x0018_1020, "LO", "1")
        .put(0x0020_000d, "UI", &uid("study"))
        .put(0x0020_000e, "UI", &uid(&format!("series {series_number}")))
        .put(0x0020_0010, "SH", "1")
        .put(0x0020_0011, "IS", &series_number.to_string())
        .put(0x0020_0013, "IS", &instance_number.to_string())
        .put(0x0028_0301, "CS", "NO")
        .put(0x0028_2110, "CS", "00");
    object
}

/// What describes the samples of an image [PS3.3 C.7.6.3].
pub(crate) struct Pixels {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    /// 1 or 3.
    pub(crate) samples_per_pixel: u32,
    pub(crate) photometric_interpretation: &'static str,
    pub(crate) bits_allocated: u32,
    pub(crate) bits_stored: u32,
    pub(crate) signed: bool,
}

pub(crate) fn put_pixels(attributes: &mut NewAttributes, pixels: &Pixels) {
    attributes
        .put(0x0028_0002, "US", &pixels.samples_per_pixel.to_string())
        .put(0x0028_0004, "CS", pixels.photometric_interpretation)
        .put(0x0028_0010, "US", &pixels.rows.to_string())
        .put(0x0028_0011, "US", &pixels.columns.to_string())
        .put(0x0028_0100, "US", &pixels.bits_allocated.to_string())
        .put(0x0028_0101, "US", &pixels.bits_stored.to_string())
        .put(0x0028_0102, "US", &(pixels.bits_stored - 1).to_string())
        .put(0x0028_0103, "US", if pixels.signed { "1" } else { "0" });
    if pixels.samples_per_pixel > 1 {
        attributes.put(0x0028_0006, "US", "0");
    }
}

/// A coded concept [PS3.3 8.8].
pub(crate) fn code(value: &str, scheme: &str, meaning: &str) -> NewAttributes {
    let mut item = NewAttributes::new();
    item.put(0x0008_0100, "SH", value).put(0x0008_0102, "SH", scheme).put(0x0008_0104, "LO", meaning);
    item
}

/// A UID made of a UUID [PS3.5 B.2] that depends on `name` alone.
pub(crate) fn uid(name: &str) -> String {
    let digest = Sha256::digest(format!("precinct sample study: {name}"));
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    // Version 8, "made some other way", and the usual variant [RFC 9562 5.8].
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(uuid))
}
