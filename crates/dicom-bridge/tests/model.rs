//! Attributes as JSON and XML.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use dicom_bridge::model::{
    BulkData, BulkDataPath, BulkPart, Described, DescriptionError, ModelForm, Piece, find_bulk_data, write_model,
};
use dicom_bridge::write::{NewAttributes, NewObject, OffsetTable};
use dicom_bridge::{PixelData, ScanLimits, scan};
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

/// The file that a description makes, with bulk data of these bytes.
fn made(json: &Value, bulk: &[(BulkPart, Vec<u8>)]) -> Result<Vec<u8>, DescriptionError> {
    let parts: Vec<BulkPart> = bulk.iter().map(|(part, _)| part.clone()).collect();
    let mut all = Described::parse_all(json.to_string().as_bytes())?;
    let pieces = all.remove(0)?.pieces(&parts)?;
    let bytes = pieces.into_iter().map(|piece| match piece {
        Piece::Bytes(bytes) => bytes,
        Piece::Bulk(nth) => bulk[nth].1.clone(),
    });
    Ok(bytes.collect::<Vec<_>>().concat())
}

fn bulk(location: &str, bytes: &[u8], syntax: Option<&str>) -> (BulkPart, Vec<u8>) {
    let transfer_syntax_uid = syntax.map(str::to_owned);
    (BulkPart { location: location.to_owned(), len: bytes.len() as u64, transfer_syntax_uid }, bytes.to_vec())
}

#[test]
fn an_object_that_is_described_is_the_object() {
    let json = json_of(&small().to_bytes().unwrap());
    assert_eq!(json_of(&made(&json, &[]).unwrap()), json);
    assert_eq!(json_of(&made(&json!([json]), &[]).unwrap()), json);
}

#[test]
fn bulk_data_become_values_or_fragments() {
    let mut json = json_of(&small().to_bytes().unwrap());
    json["7FE00010"] = json!({"vr": "OW", "BulkDataURI": "/x"});
    let native = made(&json, &[bulk("/y", b"no", None), bulk("/x", b"abc", None)]).unwrap();
    let PixelData::Native(value) = scan(&native, &ScanLimits::default()).unwrap().pixel_data else { panic!("native") };
    assert_eq!((value.len(), &native[native.len() - 4..]), (4, &b"abc "[..]));
    let frames = [bulk("/x", &[0xff, 0x4f, 0xff, 0x51, 1], Some("1.2.840.10008.1.2.4.90")), bulk("/x", &[2, 3], None)];
    let compressed = made(&json, &frames).unwrap();
    let scanned = scan(&compressed, &ScanLimits::default()).unwrap();
    assert_eq!(scanned.transfer_syntax.uid(), "1.2.840.10008.1.2.4.90");
    assert!(matches!(scanned.pixel_data, PixelData::Encapsulated { .. }));
    assert_eq!(made(&json, &[]), Err(DescriptionError::BulkData("7FE00010".to_owned())));
}

#[test]
fn what_describes_no_object_is_refused() {
    let with = |tag: &str, attribute: Value| {
        let mut json = json_of(&small().to_bytes().unwrap());
        json[tag] = attribute;
        made(&json, &[])
    };
    for (tag, attribute) in [
        ("00280010", json!({"vr": "US", "Value": [65536]})),
        ("00280010", json!({"vr": "US", "Value": [-1]})),
        ("00280010", json!({"vr": "US", "Value": [1.5]})),
        ("00280010", json!({"vr": "US", "Value": 1})),
        ("00280010", json!({"vr": "XX", "Value": [1]})),
        ("00280010", json!({"Value": [1]})),
        ("00280010", json!(7)),
        ("00280009", json!({"vr": "AT", "Value": ["0018106"]})),
        ("00100010", json!({"vr": "PN", "Value": [[1]]})),
        ("00081032", json!({"vr": "SQ", "Value": ["x"]})),
        ("00091001", json!({"vr": "OB", "InlineBinary": "*"})),
        ("00091001", json!({"vr": "OB", "BulkDataURI": 1})),
        ("00080060", json!({"vr": "CS", "Value": ["X".repeat(70_000)]})),
    ] {
        assert_eq!(with(tag, attribute.clone()), Err(DescriptionError::Value(tag.to_owned())), "{attribute}");
    }
    assert_eq!(with("nonsense", json!({"vr": "CS"})), Err(DescriptionError::Syntax));
    assert_eq!(with("00080018", json!({"vr": "UI", "Value": ["../x"]})), Err(DescriptionError::Identity));
    for text in ["", "7", "[7]", "{", "\"x\""] {
        assert_eq!(Described::parse_all(text.as_bytes()).err(), Some(DescriptionError::Syntax), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(Described::parse_all(deep.as_bytes()).err(), Some(DescriptionError::Syntax));
}
