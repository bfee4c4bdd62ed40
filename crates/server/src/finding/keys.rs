//! Matching keys as DICOM writes them [PS3.4 C.2.2.2, PS3.18 8.3.4].

use catalog::{Match, Want};
use dicom_bridge::dictionary::attribute_named;

/// Nesting of sequences in a key, and values of a list.
const MOST_LEVELS: usize = 8;
const MOST_VALUES: usize = 1000;

/// How values are compared beside what their VR says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Person names match by the beginnings of their words.
    pub(crate) fuzzy: bool,
    /// A comma separates values of any VR, not only UIDs.
    pub(crate) several: bool,
    /// Two quotation marks stand for an attribute without a value.
    pub(crate) empty: bool,
}

/// An attribute that the dictionary knows: the tags that lead to it, and its VR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) path: Vec<u32>,
    pub(crate) vr: &'static str,
}

impl Attribute {
    /// Reads `PatientName`, `00100010`, or either with dots between sequences and what is in them.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut path = Vec::new();
        let mut vr = "UN";
        for part in name.split('.') {
            if path.len() >= MOST_LEVELS {
                return None;
            }
            let tag;
            (tag, vr) = attribute_named(part)?;
            path.push(tag);
        }
        (!path.is_empty()).then_some(Self { path, vr })
    }

    /// The key that a value of this attribute is; `None` for one that everything matches.
    pub(crate) fn key(&self, value: &str, manner: Manner) -> Option<Match> {
        want(self.vr, value, manner).map(|want| Match { path: self.path.clone(), want })
    }
}

/// What a value must be; `None` if anything will do: universal matching.
pub(crate) fn want(vr: &str, value: &str, manner: Manner) -> Option<Want> {
    if manner.empty && value == "\"\"" {
        return Some(Want::Empty);
    }
    let trimmed = value.trim_matches([' ', '\0']);
    if trimmed.is_empty() || trimmed == "*" && has_wildcards(vr) {
        return None;
    }
    if matches!(vr, "DA" | "TM" | "DT")
        && let Some(range) = range(trimmed, vr)
    {
        return Some(range);
    }
    if vr == "PN" {
        let name = trimmed.to_owned();
        return Some(if manner.fuzzy { Want::NameWords(name) } else { Want::Name(name) });
    }
    let values = || trimmed.split(move |c| c == '\\' || (c == ',' && (vr == "UI" || manner.several)));
    let values: Vec<_> = values().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect();
    match values.as_slice() {
        [] => None,
        [one] if has_wildcards(vr) && one.contains(['*', '?']) => Some(Want::Like(one.clone())),
        _ => Some(Want::OneOf(values.into_iter().take(MOST_VALUES).collect())),
    }
}

/// A range has one hyphen in the middle or at an end; the offset of a time zone has one, too, and is no range.
fn range(text: &str, vr: &str) -> Option<Want> {
    let (from, to) = text.split_once('-')?;
    let is_offset = vr == "DT" && to.len() == 4 && from.len() >= 8 && !to.starts_with("19") && !to.starts_with("20");
    if is_offset {
        return None;
    }
    let end = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    Some(Want::Range(end(from), end(to)))
}

/// The VRs in which `*` and `?` are wildcards [PS3.4 C.2.2.2.4].
fn has_wildcards(vr: &str) -> bool {
    matches!(vr, "AE" | "CS" | "LO" | "LT" | "PN" | "SH" | "ST" | "UC" | "UR" | "UT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_by_keyword_tag_and_path() {
        let named = |name| Attribute::named(name).map(|found| (found.path, found.vr));
        assert_eq!(named("PatientName"), Some((vec![0x0010_0010], "PN")));
        assert_eq!(named("00100010"), Some((vec![0x0010_0010], "PN")));
        let path = Some((vec![0x0040_0275, 0x0040_0009], "SH"));
        assert_eq!(named("RequestAttributesSequence.ScheduledProcedureStepID"), path);
        assert_eq!(named("00400275.00400009"), path);
        for wrong in ["", "NoSuchName", "0010001", "PatientName.", ".", &"00400275.".repeat(9)] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_match_as_their_vr_says() {
        let plain = Manner::default();
        let one_of = |values: &[&str]| Some(Want::OneOf(values.iter().map(|&value| value.to_owned()).collect()));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(want("UI", "1.2,1.3", plain), one_of(&["1.2", "1.3"]));
        assert_eq!(want("UI", "1.2\\1.3", plain), one_of(&["1.2", "1.3"]));
        assert_eq!(want("LO", "a,b", plain), one_of(&["a,b"]));
        assert_eq!(want("LO", "a,b", Manner { several: true, ..plain }), one_of(&["a", "b"]));
        assert_eq!(want("LO", "a*", plain), Some(Want::Like("a*".to_owned())));
        assert_eq!(want("IS", "1*", plain), one_of(&["1*"]), "numbers have no wildcards");
        assert_eq!(want("DA", "20240101-", plain), Some(Want::Range(text("20240101"), None)));
        assert_eq!(want("TM", "10-12", plain), Some(Want::Range(text("10"), text("12"))));
        assert_eq!(want("DT", "20240101120000-0500", plain), one_of(&["20240101120000-0500"]));
        assert_eq!(want("DA", "20240101", plain), one_of(&["20240101"]));
        assert_eq!(want("PN", "Doe^J*", plain), Some(Want::Name("Doe^J*".to_owned())));
        assert_eq!(want("PN", "doe", Manner { fuzzy: true, ..plain }), Some(Want::NameWords("doe".to_owned())));
        assert_eq!(want("LO", "\"\"", Manner { empty: true, ..plain }), Some(Want::Empty));
        for universal in ["", "  ", "*"] {
            assert_eq!(want("LO", universal, plain), None);
        }
    }
}
