//! Any bytes as the contents of an XML box: no panic, no region without an area, nothing beyond the limits.
#![no_main]

use annotations::{Annotations, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(found) = Annotations::parse(data, &limits) else { return };
    assert!(found.regions.len() + found.registrations.len() <= limits.max_annotations);
    for region in &found.regions {
        assert!(region.width > 0 && region.height > 0 && region.name.len() <= limits.max_name);
        if let Some(inside) = region.inside(512, 512) {
            assert!(inside.x + inside.width <= 512 && inside.y + inside.height <= 512);
        }
    }
    for registration in &found.registrations {
        assert!(registration.matrix.iter().all(|number| number.is_finite()));
    }
});
