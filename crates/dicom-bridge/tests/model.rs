//! Attributes as JSON and XML.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use dicom_bridge::ScanLimits;
use dicom_bridge::model::{BulkData, BulkDataPath, ModelForm, find_bulk_data, write_model};
use dicom_bridge::write::{NewAttributes, NewObject, OffsetTable};
use serde_json::{Value, json};

fn model(bytes: &[u8], form: ModelForm) -> String {
    let mut out = Vec::new();
    write_model(&bytes, &ScanLimits::default(), form, "/b/", &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json_of(bytes: &[u8]) -> Value {
    let text = model(bytes, ModelForm::Json);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn small() -> NewObject {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.1");
    let mut item = NewAttributes::new();
    item.put(0x0008_0100, "SH", "T-1").put(0x0008_0104, "LO", "a \"quoted\" meaning");
    object
        .attributes()
        .put(0x0010_0010, "PN", "Yamada^Tarou=山田^太郎")
        .put(0x0010_0020, "LO", "")
        .put(0x0018_0050, "DS", "1.50\\\\+2")
        .put(0x0020_0013, "IS", "007")
        .put(0x0028_0009, "AT", "00181063\\00181065")
        .put(0x0028_0010, "US", "3\\4")
        .put(0x0018_9087, "FD", "0.1")
        .put(0x0009_0010, "LO", "CREATOR & CO")
        .put(0x0009_1001, "OB", "1\\2\\3\\4")
        .put_sequence(0x0008_2112, Vec::new())
        .put_sequence(0x0008_1032, vec![item, NewAttributes::new()]);
    object
}

#[test]
fn f_2_the_json_form_of_each_kind_of_value() {
    let json = json_of(&small().to_bytes().unwrap());
    let expected = json!({
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": ["2.25.1"]},
        "00081032": {"vr": "SQ", "Value": [
            {"00080100": {"vr": "SH", "Value": ["T-1"]}, "00080104": {"vr": "LO", "Value": ["a \"quoted\" meaning"]}},
            {},
        ]},
        "00082112": {"vr": "SQ"},
        "00090010": {"vr": "LO", "Value": ["CREATOR & CO"]},
        "00091001": {"vr": "OB", "InlineBinary": "AQIDBA=="},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO"},
        "00180050": {"vr": "DS", "Value": [1.50, null, 2]},
        "00189087": {"vr": "FD", "Value": [0.1]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00280009": {"vr": "AT", "Value": ["00181063", "00181065"]},
        "00280010": {"vr": "US", "Value": [3, 4]},
    });
    assert_eq!(json, expected);
}

#[test]
fn a_1_6_the_xml_form_names_keywords_creators_and_items() {
    let xml = model(&small().to_bytes().unwrap(), ModelForm::Xml);
    for part in [
        "<DicomAttribute tag=\"00080018\" vr=\"UI\" keyword=\"SOPInstanceUID\"><Value number=\"1\">2.25.1</Value></DicomAttribute>",
        "<DicomAttribute tag=\"00090001\" vr=\"OB\" privateCreator=\"CREATOR &amp; CO\"><InlineBinary>AQIDBA==</InlineBinary>",
        "<PersonName number=\"1\"><Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName></Alphabetic><Ideographic>",
        "<Value number=\"1\">a &quot;quoted&quot; meaning</Value></DicomAttribute></Item><Item number=\"2\"></Item></DicomAttribute>",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
}

#[test]
fn long_values_and_pixel_data_are_named_and_found() {
    let mut object = small();
    let mut item = NewAttributes::new();
    item.put(0x0042_0011, "OB", &["7"; 5000].join("\\"));
    object.attributes().put_sequence(0x0040_a730, vec![NewAttributes::new(), item]);
    let bytes = object.encapsulate(&[vec![1, 2, 3, 4], vec![5, 6]], OffsetTable::Basic, 1).unwrap();
    let json = json_of(&bytes);
    assert_eq!(json["7FE00010"], json!({"vr": "OB", "BulkDataURI": "/b/7FE00010"}));
    let uri = json["0040A730"]["Value"][1]["00420011"]["BulkDataURI"].as_str().unwrap();
    assert_eq!(uri, "/b/0040A730/2/00420011");
    let find =
        |path: &str| find_bulk_data(&bytes, &ScanLimits::default(), &BulkDataPath::parse(path).unwrap()).unwrap();
    let Some(BulkData::Value(value)) = find(uri.strip_prefix("/b/").unwrap()) else { panic!("no value") };
    let extent = value.extent(&(0..value.len())).unwrap();
    assert_eq!(&bytes[extent.offset as usize..][..extent.len as usize], [7; 5000]);
    assert_eq!(value.extent(&(0..5001)), None);
    let Some(BulkData::Fragments(fragments)) = find("7FE00010") else { panic!("no fragments") };
    assert_eq!(fragments.iter().map(|extent| extent.len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(find("0040A730/1/00420011"), None);
    assert_eq!(find("00420011"), None);
}
