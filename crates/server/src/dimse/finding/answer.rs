//! The identifier of one response to a C-FIND [PS3.4 C.4.1.1.3.2]: every key that was asked for, with what is known of it.

use catalog::Found;
use dicom_bridge::Attribute;
use dicom_bridge::dimse::Identifier;
use dicom_bridge::write::NewAttributes;
use serde_json::{Map, Value};

use crate::finding::attributes;

/// Keys that are answered whether they were asked for or not.
const ALWAYS: [u32; 4] = [0x0008_0005, 0x0008_0052, 0x0008_0054, 0x0008_0056];

/// VRs of which no value is kept, so that none is answered.
const NEVER_KEPT: [&str; 9] = ["OB", "OD", "OF", "OL", "OV", "OW", "SV", "UN", "UV"];

/// The attributes of a match. Text is in UTF-8, and says so.
pub(super) fn attributes(found: &Found, identifier: &Identifier, retrieve_ae_title: &str) -> NewAttributes {
    let wanted: Vec<_> = identifier.keys.iter().map(|key| hex(key.tag)).collect();
    let is_wanted = |tag: &str| wanted.iter().any(|wanted| wanted == tag);
    // What is kept is text as it came; what is worked out stands beside it.
    let mut known = attributes::of(found, is_wanted);
    known.extend(found.attributes.of(is_wanted));
    let mut answer = NewAttributes::new();
    answer.put(0x0008_0005, "CS", "ISO_IR 192").put(0x0008_0052, "CS", identifier.level.as_str());
    answer.put(0x0008_0054, "AE", retrieve_ae_title).put(0x0008_0056, "CS", "ONLINE");
    put_keys(&mut answer, &identifier.keys, &known);
    answer
}

fn put_keys(answer: &mut NewAttributes, keys: &[Attribute], known: &Map<String, Value>) {
    for key in keys.iter().filter(|key| !ALWAYS.contains(&key.tag) && !NEVER_KEPT.contains(&key.vr)) {
        let attribute = known.get(&hex(key.tag));
        let values = attribute.and_then(|attribute| attribute.get("Value")).and_then(Value::as_array);
        let values = values.map(Vec::as_slice).unwrap_or_default();
        if key.vr == "SQ" {
            let inside = key.items.first().filter(|keys| !keys.is_empty());
            let items = values.iter().filter_map(Value::as_object).map(|item| match inside {
                Some(keys) => {
                    let mut attributes = NewAttributes::new();
                    put_keys(&mut attributes, keys, item);
                    attributes
                }
                None => whole_item(item),
            });
            answer.put_sequence(key.tag, items.collect());
            continue;
        }
        put(answer, key.tag, key.vr, attribute, values);
    }
}

/// All that is known of an item whose sequence was asked for as a whole.
fn whole_item(item: &Map<String, Value>) -> NewAttributes {
    let mut attributes = NewAttributes::new();
    for (tag, attribute) in item {
        let Ok(tag) = u32::from_str_radix(tag, 16) else { continue };
        let values = attribute.get("Value").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match attribute.get("vr").and_then(Value::as_str) {
            Some("SQ") => {
                attributes.put_sequence(tag, values.iter().filter_map(Value::as_object).map(whole_item).collect());
            }
            Some(vr) if !NEVER_KEPT.contains(&vr) => put(&mut attributes, tag, vr, Some(attribute), values),
            _ => {}
        }
    }
    attributes
}

/// The VR is that of the object where there is a value, for it suits the value.
fn put(answer: &mut NewAttributes, tag: u32, asked_vr: &str, attribute: Option<&Value>, values: &[Value]) {
    let vr = attribute.and_then(|attribute| attribute.get("vr")).and_then(Value::as_str);
    let vr = vr.filter(|vr| !values.is_empty() && !NEVER_KEPT.contains(vr)).unwrap_or(asked_vr);
    let texts: Vec<_> = values.iter().map(text_of).collect();
    answer.put(tag, vr, &texts.join("\\"));
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn hex(tag: u32) -> String {
    format!("{tag:08X}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_answered_with_a_value_or_empty() {
        let key = |tag, vr, items| Attribute { tag, vr, values: Vec::new(), items };
        let keys = [
            key(0x0008_0050, "SH", Vec::new()),
            key(0x0010_0010, "PN", Vec::new()),
            key(0x0020_1208, "IS", Vec::new()),
            key(0x0028_0010, "US", Vec::new()),
            key(0x0040_0275, "SQ", vec![vec![key(0x0040_0009, "SH", Vec::new()), key(0x0040_1001, "SH", Vec::new())]]),
            key(0x0008_1032, "SQ", Vec::new()),
        ];
        let known = json!({
            "00100010": {"vr": "PN", "Value": ["Wang^XiaoDong=王^小東"]},
            "00201208": {"vr": "IS", "Value": [3]},
            "00280010": {"vr": "US", "Value": ["512"]},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["A"]}, "00400007": {"vr": "LO"}}]},
            "00081032": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["CODE"]}}]},
        });
        let mut answer = NewAttributes::new();
        answer.put(0x0008_0005, "CS", "ISO_IR 192");
        put_keys(&mut answer, &keys, known.as_object().unwrap());
        let mut expect = NewAttributes::new();
        expect.put(0x0008_0005, "CS", "ISO_IR 192");
        let (mut step, mut code) = (NewAttributes::new(), NewAttributes::new());
        step.put(0x0040_0009, "SH", "A").put(0x0040_1001, "SH", "");
        code.put(0x0008_0100, "SH", "CODE");
        expect.put(0x0008_0050, "SH", "").put(0x0010_0010, "PN", "Wang^XiaoDong=王^小東").put(0x0020_1208, "IS", "3");
        expect
            .put(0x0028_0010, "US", "512")
            .put_sequence(0x0040_0275, vec![step])
            .put_sequence(0x0008_1032, vec![code]);
        let bytes = |attributes: &NewAttributes| attributes.to_data_set("1.2.840.10008.1.2.1").unwrap();
        assert_eq!(bytes(&answer), bytes(&expect));
    }
}
