//! The answers of the catalog as attributes: DICOM JSON Model [PS3.18 F.2], with what is worked out rather than stored.

use catalog::Found;
use serde_json::{Map, Number, Value, json};

/// Those attributes of an answer that are wanted, by tag as eight hex digits.
pub(crate) fn of(found: &Found, is_wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut attributes = typed(&found.attributes.of(&is_wanted));
    let mut put = |tag: &str, vr: &str, values: Vec<Value>| {
        if is_wanted(tag) {
            attributes.insert(tag.to_owned(), json!({ "vr": vr, "Value": values }));
        }
    };
    put("00080005", "CS", vec!["ISO_IR 192".into()]);
    put("00080056", "CS", vec!["ONLINE".into()]);
    if let Some(study) = &found.study {
        put("00080061", "CS", study.modalities.iter().map(|code| Value::from(code.as_str())).collect());
        put("00201206", "IS", vec![study.series.into()]);
        put("00201208", "IS", vec![study.instances.into()]);
    }
    if let Some(series) = &found.series {
        put("00201209", "IS", vec![series.instances.into()]);
    }
    if let Some(instance) = &found.instance {
        put("00080018", "UI", vec![instance.sop_instance_uid.as_str().into()]);
        put("00080016", "UI", vec![instance.sop_class_uid.as_str().into()]);
        put("00083002", "UI", vec![instance.transfer_syntax_uid.as_str().into()]);
    }
    attributes
}

/// The attributes that the catalog keeps, whose values are all text, in the form that DICOM JSON wants.
fn typed(attributes: &Map<String, Value>) -> Map<String, Value> {
    attributes.iter().map(|(tag, attribute)| (tag.clone(), typed_attribute(attribute))).collect()
}

fn typed_attribute(attribute: &Value) -> Value {
    let vr = attribute.get("vr").and_then(Value::as_str).unwrap_or("UN");
    let values = attribute.get("Value").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if values.is_empty() {
        return json!({ "vr": vr });
    }
    json!({ "vr": vr, "Value": values.iter().map(|value| typed_value(vr, value)).collect::<Vec<_>>() })
}

fn typed_value(vr: &str, value: &Value) -> Value {
    let text = match value {
        Value::Object(item) => return typed(item).into(),
        Value::String(text) if text.is_empty() => return Value::Null,
        Value::String(text) => text,
        other => return other.clone(),
    };
    match vr {
        "PN" => {
            let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.split('='));
            let groups = groups.filter(|(_, group)| !group.is_empty());
            Value::Object(groups.map(|(name, group)| (name.to_owned(), group.into())).collect())
        }
        "IS" | "SL" | "SS" | "UL" | "US" | "SV" | "UV" => {
            let number = text.trim().trim_start_matches('+').parse::<i64>();
            number.map_or_else(|_not_one| value.clone(), Value::from)
        }
        // What is no number stays a text, which is also allowed, rather than being lost.
        "DS" | "FL" | "FD" => {
            let number = text.trim().trim_start_matches('+').parse::<f64>().ok().and_then(Number::from_f64);
            number.map_or_else(|| value.clone(), Value::Number)
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_of_dicom_json() {
        let kept = json!({
            "00100010": {"vr": "PN", "Value": ["Yamada^Tarou=山田^太郎"]},
            "00200013": {"vr": "IS", "Value": ["+7"]},
            "00280030": {"vr": "DS", "Value": ["0.5", "", "half"]},
            "00280010": {"vr": "US", "Value": ["512"]},
            "00080050": {"vr": "SH", "Value": []},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["A"]}}]},
        });
        let expected = json!({
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
            "00200013": {"vr": "IS", "Value": [7]},
            "00280030": {"vr": "DS", "Value": [0.5, null, "half"]},
            "00280010": {"vr": "US", "Value": [512]},
            "00080050": {"vr": "SH"},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["A"]}}]},
        });
        assert_eq!(Value::Object(typed(kept.as_object().unwrap())), expected);
    }
}
