//! Any bytes as a DICOM object: no panic, bounded memory, every frame lies inside the object, and what can be scanned can
//! be written as JSON and XML.
#![no_main]

use dicom_bridge::model::{ModelForm, write_model};
use dicom_bridge::{PixelData, ScanLimits, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = ScanLimits { max_inflated_bytes: 1 << 22, ..ScanLimits::default() };
    let Ok(object) = scan(&data, &limits) else { return };
    if let PixelData::Encapsulated { frames, .. } = &object.pixel_data {
        for frame in frames {
            for extent in frame.extents() {
                assert!(extent.offset + extent.len <= data.len() as u64);
            }
        }
    }
    for form in [ModelForm::Json, ModelForm::Xml] {
        write_model(&data, &limits, form, "/", &mut std::io::sink()).expect("what was scanned is written");
    }
});
