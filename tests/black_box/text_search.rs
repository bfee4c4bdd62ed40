//! Search for words over the studies, page by page, and text in every character set as UTF-8.

use dicom_bridge::write::NewObject;
use serde_json::{Value, json};

use crate::house::House;

fn import(house: &House, number: u32, attributes: &[(u32, &str, &str)]) {
    let uid = format!("2.25.{number}.1.1");
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", &uid, "1.2.840.10008.1.2.1");
    object.attributes().put(0x0008_0060, "CS", "CT");
    for (tag, vr, value) in attributes {
        object.attributes().put(*tag, vr, value);
    }
    object.attributes().put(0x0020_000d, "UI", &format!("2.25.{number}"));
    object.attributes().put(0x0020_000e, "UI", &format!("2.25.{number}.1")).put(0x0020_0011, "IS", "7");
    let answer = house.post("/api/v1/import", &object.to_bytes().unwrap());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn found(house: &House, query: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/api/v1/studies?{query}{cursor}"));
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        let page = page.json();
        items.extend(page["items"].as_array().unwrap().iter().map(|item| item["study_instance_uid"].clone()));
        let Some(next) = page["next"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn words_find_studies_by_name_id_accession_number_and_description() {
    let house = House::open();
    let name = "Yamada^Tarou=山田^太郎=やまだ^たろう";
    import(
        &house,
        1,
        &[(0x0010_0010, "PN", "Müller^Jörg"), (0x0010_0020, "LO", "P-100"), (0x0008_1030, "LO", "Thorax")],
    );
    import(&house, 2, &[(0x0010_0010, "PN", name), (0x0008_0050, "SH", "ACC2024"), (0x0008_1030, "LO", "CT Schädel")]);
    import(&house, 3, &[(0x0010_0010, "PN", "Müller^Anna"), (0x0008_0020, "DA", "20240131")]);
    for (query, expected) in [
        ("q=muller", vec!["2.25.1", "2.25.3"]),
        ("q=M%C3%BCll+ann", vec!["2.25.3"]),
        ("q=%E5%B1%B1%E7%94%B0", vec!["2.25.2"]),
        ("q=acc2024", vec!["2.25.2"]),
        ("q=schadel+ct", vec!["2.25.2"]),
        ("q=p-100", vec!["2.25.1"]),
        ("q=nobody", vec![]),
        ("q=%22+OR+*+NEAR(", vec![]),
        ("q=", vec!["2.25.1", "2.25.2", "2.25.3"]),
        ("limit=1", vec!["2.25.1", "2.25.2", "2.25.3"]),
        ("q=muller&limit=1", vec!["2.25.1", "2.25.3"]),
    ] {
        assert_eq!(found(&house, query), expected, "{query}");
    }
    let study = &house.get("/api/v1/studies?q=thorax").json()["items"][0];
    let expected = json!({
        "study_instance_uid": "2.25.1", "patient_name": "Müller^Jörg", "patient_id": "P-100", "study_date": null,
        "accession_number": null, "description": "Thorax", "modalities": ["CT"], "series": 1, "instances": 1,
    });
    assert_eq!(study, &expected);
    assert_eq!(house.get("/api/v1/studies?q=acc2024").json()["items"][0]["patient_name"], name);
    let series = house.get("/api/v1/series?StudyInstanceUID=2.25.2").json();
    let expected = json!({
        "series_instance_uid": "2.25.2.1", "study_instance_uid": "2.25.2", "modality": "CT", "series_number": "7",
        "description": null, "instances": 1, "target": "series/2.25.2.1",
        "jpip_url": format!("{}/jpip?target=series/2.25.2.1", house.url()),
    });
    assert_eq!(series, json!({"items": [expected], "next": null}));
    assert_eq!(house.get("/api/v1/series?limit=2").json()["items"].as_array().unwrap().len(), 2);
    for wrong in
        ["studies?words=x", "studies?limit=0", "studies?cursor=x", "series?q=x", "studies?q=a&q=b", "studies?q=%FF"]
    {
        assert_eq!(house.get(&format!("/api/v1/{wrong}")).status, 400, "{wrong}");
    }
}
