//! Attributes in DICOM JSON as the Native DICOM Model; made for answers that hold no bulk data.

use std::io;

use serde_json::{Map, Value as Json};

use super::{Attribute, Form, Value, xml};

/// Writes attributes as one XML document. What is no attribute of DICOM JSON is left out, and so is inline binary.
///
/// # Errors
///
/// Those of `out`.
pub fn write_xml_of_json(attributes: &Map<String, Json>, out: &mut dyn io::Write) -> io::Result<()> {
    let mut writer = xml::Writer::new(out);
    writer.begin()?;
    write_all(attributes, &mut writer)?;
    writer.end()
}

/// Calls itself for items: JSON that was read is nested 128 deep at most.
fn write_all(attributes: &Map<String, Json>, form: &mut dyn Form) -> io::Result<()> {
    for (tag, attribute) in attributes {
        let vr = attribute.get("vr").and_then(Json::as_str).and_then(|vr| VRS.iter().find(|known| **known == vr));
        let (Ok(tag), Some(&vr)) = (u32::from_str_radix(tag, 16), vr) else { continue };
        let named = Attribute { tag, vr, private_creator: None };
        let values = attribute.get("Value").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        if vr != "SQ" {
            form.value(&named, &value(vr, values))?;
            continue;
        }
        form.begin_sequence(&named)?;
        for item in values.iter().filter_map(Json::as_object) {
            form.begin_item()?;
            write_all(item, form)?;
            form.end_item()?;
        }
        form.end_sequence()?;
    }
    Ok(())
}

fn value(vr: &str, values: &[Json]) -> Value {
    if values.is_empty() {
        return Value::Empty;
    }
    if vr == "PN" {
        return Value::PersonNames(values.iter().map(name).collect());
    }
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Value::Text(values.iter().map(text).collect())
}

/// A person's name as DICOM writes it: groups of components between equals signs.
fn name(groups: &Json) -> String {
    let group = |called: &str| groups.get(called).and_then(Json::as_str).unwrap_or_default();
    let name = ["Alphabetic", "Ideographic", "Phonetic"].map(group).join("=");
    name.trim_end_matches('=').to_owned()
}

/// The VRs that an answer without bulk data may hold.
const VRS: [&str; 27] = [
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SQ", "SS", "ST", "SV",
    "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_has_its_form() {
        let attributes = json!({
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080050": {"vr": "SH"},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
            "00280030": {"vr": "DS", "Value": [0.5, null]},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["<A>"]}}]},
            "nonsense": {"vr": "CS"}, "00080008": {"vr": "xx"}
        });
        let mut out = Vec::new();
        write_xml_of_json(attributes.as_object().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (_, body) = text.split_once("preserve\">").unwrap();
        let expected = [
            r#"<DicomAttribute tag="00080005" vr="CS" keyword="SpecificCharacterSet"><Value number="1">ISO_IR 192</Value></DicomAttribute>"#,
            r#"<DicomAttribute tag="00080050" vr="SH" keyword="AccessionNumber"></DicomAttribute>"#,
            r#"<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">"#,
            "<Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName></Alphabetic>",
            "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>",
            "</PersonName></DicomAttribute>",
            r#"<DicomAttribute tag="00280030" vr="DS" keyword="PixelSpacing"><Value number="1">0.5</Value><Value number="2"></Value></DicomAttribute>"#,
            r#"<DicomAttribute tag="00400275" vr="SQ" keyword="RequestAttributesSequence"><Item number="1">"#,
            r#"<DicomAttribute tag="00400009" vr="SH" keyword="ScheduledProcedureStepID"><Value number="1">&lt;A&gt;</Value></DicomAttribute>"#,
            "</Item></DicomAttribute></NativeDicomModel>\n",
        ];
        assert_eq!(body, expected.concat());
    }
}
