//! QIDO-RS: the six resources, their keys and what they answer [PS3.18 10.6].

use dicom_bridge::write::NewObject;
use serde_json::{Value, json};

use crate::house::House;

/// Two studies of Müller, with CT and SR; one of Yamada, whose name has three groups of components.
fn archive() -> House {
    let house = House::open();
    let rows = [
        ("2.25.111", "2.25.11", "2.25.1", "Müller^Jörg", "P1", "20240101", "CT", "1"),
        ("2.25.112", "2.25.11", "2.25.1", "Müller^Jörg", "P1", "20240101", "CT", "2"),
        ("2.25.121", "2.25.12", "2.25.1", "Müller^Jörg", "P1", "20240101", "SR", "1"),
        ("2.25.211", "2.25.21", "2.25.2", "Yamada^Tarou=山田^太郎=やまだ^たろう", "P2", "20240215", "MG", "1"),
        ("2.25.311", "2.25.31", "2.25.3", "Müller^Jörg", "P1", "20250301", "CT", "1"),
    ];
    for (uid, series, study, name, id, date, modality, number) in rows {
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", uid, "1.2.840.10008.1.2.1");
        let mut request = dicom_bridge::write::NewAttributes::new();
        request.put(0x0040_0009, "SH", &format!("STEP-{number}"));
        object
            .attributes()
            .put(0x0008_0020, "DA", date)
            .put(0x0008_0060, "CS", modality)
            .put(0x0008_1030, "LO", "Thorax nativ")
            .put(0x0010_0010, "PN", name)
            .put(0x0010_0020, "LO", id)
            .put(0x0020_000d, "UI", study)
            .put(0x0020_000e, "UI", series)
            .put(0x0020_0013, "IS", number)
            .put_sequence(0x0040_0275, vec![request]);
        let answer = house.post("/api/v1/import", &object.to_bytes().unwrap());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    house
}

fn found(house: &House, path: &str) -> Vec<Value> {
    let answer = house.get(&format!("/dicom-web{path}"));
    if answer.status == 204 {
        assert!(answer.body.is_empty());
        return Vec::new();
    }
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/dicom+json"));
    answer.json().as_array().unwrap().clone()
}

fn first<'v>(item: &'v Value, tag: &str) -> &'v Value {
    &item[tag]["Value"][0]
}

fn uids(house: &House, path: &str, tag: &str) -> Vec<String> {
    found(house, path).iter().map(|item| first(item, tag).as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_resource_answers_the_attributes_of_its_level() {
    let house = archive();
    let studies = found(&house, "/studies");
    assert_eq!(studies.len(), 3);
    let study = &studies[0];
    assert_eq!(first(study, "00080005"), "ISO_IR 192");
    assert_eq!(first(study, "00080056"), "ONLINE");
    assert_eq!(study["00080061"], json!({"vr": "CS", "Value": ["CT", "SR"]}));
    assert_eq!(first(study, "00100010"), &json!({"Alphabetic": "Müller^Jörg"}));
    assert_eq!((first(study, "00201206"), first(study, "00201208")), (&json!(2), &json!(3)));
    assert_eq!(study["00080050"], json!({"vr": "SH"}), "no Accession Number is no reason to leave it out");
    let url = format!("http://{}/dicom-web/studies/2.25.1", house.address);
    assert_eq!(first(study, "00081190"), &json!(url));
    assert!(study.get("00280010").is_none() && study.get("0020000E").is_none());
    let yamada = &json!({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"});
    assert_eq!(first(&studies[1], "00100010"), yamada);

    let series = found(&house, "/studies/2.25.1/series");
    assert_eq!(series.len(), 2);
    assert_eq!((first(&series[0], "0020000E"), first(&series[0], "00201209")), (&json!("2.25.11"), &json!(2)));
    assert_eq!(first(&series[0], "00080060"), "CT");
    assert_eq!(series[0]["00400275"]["Value"][0]["00400009"]["Value"][0], "STEP-1");
    assert!(series[0].get("00100010").is_none(), "the path says which study");
    assert!(found(&house, "/series")[0].get("00100010").is_some());

    let instances = found(&house, "/studies/2.25.1/series/2.25.11/instances");
    assert_eq!(instances.iter().map(|item| first(item, "00200013")).collect::<Vec<_>>(), [&json!(1), &json!(2)]);
    assert_eq!(first(&instances[0], "00080018"), "2.25.111");
    assert_eq!(first(&instances[0], "00081190"), &json!(format!("{url}/series/2.25.11/instances/2.25.111")));
    assert_eq!(found(&house, "/studies/2.25.1/instances").len(), 3);
    let all = found(&house, "/instances");
    assert_eq!(all.len(), 5);
    assert!(all[0].get("00080060").is_some() && all[0].get("00100010").is_some());
}

#[test]
fn keys_match_by_keyword_tag_and_path() {
    let house = archive();
    let studies = |query: &str| uids(&house, &format!("/studies?{query}"), "0020000D");
    for (query, expected) in [
        ("PatientName=M%C3%9CLLER*", vec!["2.25.1", "2.25.3"]),
        ("00100010=*jorg", vec!["2.25.1", "2.25.3"]),
        ("PatientName=%E5%B1%B1%E7%94%B0*", vec!["2.25.2"]),
        ("PatientName=tarou%20yam&fuzzymatching=true", vec!["2.25.2"]),
        ("PatientName=tarou%20yam", vec![]),
        ("PatientID=P1&StudyDate=20250101-", vec!["2.25.3"]),
        ("StudyDate=20240101-20240215", vec!["2.25.1", "2.25.2"]),
        ("StudyInstanceUID=2.25.3,2.25.2", vec!["2.25.2", "2.25.3"]),
        ("ModalitiesInStudy=SR", vec!["2.25.1"]),
        ("StudyDescription=*nativ&PatientID=P2", vec!["2.25.2"]),
        ("PatientID=P1,P2", vec![]),
        ("PatientID=P1,P2&multiplevaluematching=true", vec!["2.25.1", "2.25.2", "2.25.3"]),
        ("AccessionNumber=%22%22&emptyvaluematching=true&limit=1", vec!["2.25.1"]),
        ("PatientID=", vec!["2.25.1", "2.25.2", "2.25.3"]),
        ("NoSuchKeyword=1&limit=1&offset=1", vec!["2.25.2"]),
    ] {
        assert_eq!(studies(query), expected, "{query}");
    }
    assert_eq!(uids(&house, "/series?Modality=SR", "0020000E"), ["2.25.12"]);
    let step = "/instances?RequestAttributesSequence.ScheduledProcedureStepID=STEP-2";
    assert_eq!(uids(&house, step, "00080018"), ["2.25.112"]);
    assert_eq!(uids(&house, "/instances?00400275.00400009=STEP-2&PatientID=P1", "00080018"), ["2.25.112"]);
    assert_eq!(uids(&house, "/instances?InstanceNumber=1&Modality=CT", "00080018"), ["2.25.111", "2.25.311"]);
}

#[test]
fn fields_are_included_when_asked_for_and_pages_say_that_there_is_more() {
    let house = archive();
    let one = found(&house, "/studies/2.25.1/series?includefield=StudyDescription&limit=1");
    assert_eq!(first(&one[0], "00081030"), "Thorax nativ");
    let everything = found(&house, "/studies/2.25.1/series/2.25.11/instances?includefield=all");
    assert!(everything[0].get("00081030").is_some() && everything[0].get("00100010").is_some());
    let answer = house.get("/dicom-web/studies?limit=2");
    assert!(answer.header("Warning").unwrap().starts_with("299 "), "{}", answer.head);
    assert!(house.get("/dicom-web/studies?limit=2&offset=1").header("Warning").is_none());
}

#[test]
fn answers_come_in_xml_to_who_asks_for_it() {
    let house = archive();
    let path = "/dicom-web/studies/2.25.1/series";
    let ask = |accept: &str| house.connect().exchange("GET", path, &[("Accept", accept)], &[]);
    let answer = ask("multipart/related; type=\"application/dicom+xml\"");
    assert_eq!(answer.status, 200);
    assert!(answer.header("Content-Type").unwrap().starts_with("multipart/related; type=\"application/dicom+xml\""));
    let text = answer.text();
    assert_eq!(text.matches("<NativeDicomModel ").count(), 2, "a part for each series");
    let uid = r#"<DicomAttribute tag="0020000E" vr="UI" keyword="SeriesInstanceUID"><Value number="1">2.25.11</Value>"#;
    assert!(text.contains(uid), "{text}");
    assert_eq!(ask("application/json").status, 200);
    assert_eq!(ask("text/html").status, 406);
}

#[test]
fn what_cannot_be_read_is_400_and_what_is_not_there_is_204() {
    let house = archive();
    for wrong in ["limit=many", "offset=-1", "fuzzymatching=perhaps", "includefield=Nonsense", "PatientID=%FF"] {
        assert_eq!(house.get(&format!("/dicom-web/studies?{wrong}")).status, 400, "{wrong}");
    }
    let many = "PatientID=P1&".repeat(300);
    assert_eq!(house.get(&format!("/dicom-web/studies?{many}")).status, 400);
    assert_eq!(house.get("/dicom-web/studies/2.25.9/series").status, 204);
    assert_eq!(house.get("/dicom-web/studies?PatientID=%27%20OR%201%3D1%20--").status, 204);
    assert_eq!(house.get("/dicom-web/studies/%FF/series").status, 404);
}
