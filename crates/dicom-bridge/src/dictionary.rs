//! The names of attributes [PS3.6].

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_dictionary_std::StandardDataDictionary;

/// The tag, group in the upper 16 bits, and the VR of a public attribute that is named by its keyword or by eight hex
/// digits; a tag that the dictionary does not know has VR UN.
#[must_use]
pub fn attribute_named(name: &str) -> Option<(u32, &'static str)> {
    if name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let tag = u32::from_str_radix(name, 16).ok()?;
        return Some((tag, vr_of(tag)));
    }
    let entry = StandardDataDictionary.by_name(name)?;
    let Tag(group, element) = entry.tag();
    Some((u32::from(group) << 16 | u32::from(element), entry.vr().relaxed().to_string()))
}

/// The VR of an attribute, UN if the dictionary does not know it.
#[must_use]
pub fn vr_of(tag: u32) -> &'static str {
    let [a, b, c, d] = tag.to_be_bytes();
    let tag = Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    StandardDataDictionary.by_tag(tag).map_or("UN", |entry| entry.vr().relaxed().to_string())
}
