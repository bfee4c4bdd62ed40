//! Any bytes as a DICOM object: no panic, bounded memory, and every frame lies inside the object.
#![no_main]

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
});
