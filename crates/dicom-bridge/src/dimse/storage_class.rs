//! Which SOP classes are stored.

use dicom_core::dictionary::UidDictionary as _;
use dicom_dictionary_std::StandardSopClassDictionary;

/// Whether objects of this SOP class are sent by C-STORE [PS3.4 B.5].
///
/// Those are the classes that the standard names so, every other one in the arc of the storage SOP classes (newer than
/// our dictionary), and all private ones: modalities store by them what only their maker reads.
#[must_use]
pub fn is_storage_class(uid: &str) -> bool {
    if let Some(known) = StandardSopClassDictionary.by_uid(uid) {
        return known.name.contains("Storage") && !known.name.starts_with("Storage Commitment");
    }
    uid.starts_with(STORAGE_ARC) || !(uid.is_empty() || uid == STANDARD_ROOT || uid.starts_with(STANDARD_ARC))
}

/// The arc in which the standard numbers its storage SOP classes.
const STORAGE_ARC: &str = "1.2.840.10008.5.1.4.1.1.";

/// Everything that the standard numbers.
const STANDARD_ROOT: &str = "1.2.840.10008";
const STANDARD_ARC: &str = "1.2.840.10008.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_5_storage_classes_are_told_from_the_others() {
        for uid in [
            "1.2.840.10008.5.1.4.1.1.2",      // CT Image Storage
            "1.2.840.10008.5.1.4.1.1.1.1.1",  // Digital X-Ray Image Storage - For Processing
            "1.2.840.10008.5.1.4.1.1.77.1.6", // VL Whole Slide Microscopy Image Storage
            "1.2.840.10008.5.1.4.34.7",       // RT Beams Delivery Instruction Storage
            "1.2.840.10008.5.1.4.1.1.9999",   // of an edition to come
            "1.3.12.2.1107.5.9.1",            // Siemens CSA Non-Image Storage
            "1.2.840.100080.1",               // private, whatever its first digits
        ] {
            assert!(is_storage_class(uid), "{uid}");
        }
        for uid in [
            "1.2.840.10008.1.1",           // Verification
            "1.2.840.10008.1.20.1",        // Storage Commitment Push Model
            "1.2.840.10008.5.1.4.1.2.2.1", // Study Root Query/Retrieve - FIND
            "1.2.840.10008.5.1.4.31",      // Modality Worklist - FIND
            "1.2.840.10008.1.3.99",
            "1.2.840.10008",
            "",
        ] {
            assert!(!is_storage_class(uid), "{uid}");
        }
    }
}
