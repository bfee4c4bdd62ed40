//! The contract of queries on levels: what C-FIND and QIDO-RS stand on.

use catalog::{Answers, Catalog, Level, Match, NewInstance, Query, Servable, Want};

use super::{facts, instance, key, object};

const PATIENT_NAME: u32 = 0x0010_0010;
const PATIENT_ID: u32 = 0x0010_0020;
const STUDY_UID: u32 = 0x0020_000d;
const SERIES_UID: u32 = 0x0020_000e;
const STUDY_DATE: u32 = 0x0008_0020;
const MODALITY: u32 = 0x0008_0060;
const MODALITIES: u32 = 0x0008_0061;
const DESCRIPTION: u32 = 0x0008_1030;
const INSTANCE_NUMBER: u32 = 0x0020_0013;

/// Three studies of two patients: a CT and an SR series, an MG, another CT.
async fn archive(catalog: &Catalog) {
    let rows = [
        ("1.1.1.1", "1.1.1", "1.1", "Müller^Jörg", "P1", "20240101", "CT", 1),
        ("1.1.1.2", "1.1.1", "1.1", "Müller^Jörg", "P1", "20240101", "CT", 2),
        ("1.1.2.1", "1.1.2", "1.1", "Müller^Jörg", "P1", "20240101", "SR", 1),
        ("1.2.1.1", "1.2.1", "1.2", "Yamada^Tarou=山田^太郎", "P2", "20240215", "MG", 1),
        ("1.3.1.1", "1.3.1", "1.3", "Müller^Jörg", "P1", "20250301", "CT", 1),
    ];
    for (n, (uid, series, study, name, id, date, modality, number)) in rows.into_iter().enumerate() {
        let one = |tag: u32, vr: &str, value: &str| format!(r#""{tag:08X}":{{"vr":"{vr}","Value":["{value}"]}}"#);
        let attributes = [
            one(STUDY_UID, "UI", study),
            one(SERIES_UID, "UI", series),
            one(PATIENT_NAME, "PN", name),
            one(PATIENT_ID, "LO", id),
            one(STUDY_DATE, "DA", date),
            one(MODALITY, "CS", modality),
            one(DESCRIPTION, "LO", "Thorax nativ"),
            one(INSTANCE_NUMBER, "IS", &number.to_string()),
        ];
        let instance = NewInstance {
            series_instance_uid: Some(series.to_owned()),
            study_instance_uid: Some(study.to_owned()),
            modality: Some(modality.to_owned()),
            patient_id: Some(id.to_owned()),
            attributes: format!("{{{}}}", attributes.join(",")),
            ..instance(uid)
        };
        // Both ways into the catalog count.
        let servable = if n % 2 == 0 { Servable::Indexed(facts(None)) } else { Servable::ToIndex };
        catalog.commit_instance(object(n as u8 + 1, servable), instance).await.unwrap();
    }
}

fn query(level: Level, matches: &[(u32, Want)]) -> Query {
    let matches = matches.iter().map(|(tag, want)| Match { path: vec![*tag], want: want.clone() }).collect();
    Query { level, matches, words: None, after: None, offset: 0, limit: 100 }
}

fn is(value: &str) -> Want {
    Want::OneOf(vec![value.to_owned()])
}

/// The first values of an attribute of all answers.
fn values(answers: &Answers, tag: u32) -> Vec<&str> {
    let value = |found: &'_ catalog::Found| {
        found.attributes.of(|_| true).get(&format!("{tag:08X}"))?.get("Value")?.get(0)?.as_str().map(str::to_owned)
    };
    answers.found.iter().map(|found| value(found).unwrap_or_default().leak() as &str).collect()
}

async fn found(catalog: &Catalog, tag: u32, level: Level, matches: &[(u32, Want)]) -> Vec<String> {
    let answers = catalog.find(&query(level, matches)).await.unwrap();
    assert!(!answers.gave_up && answers.next.is_none());
    values(&answers, tag).into_iter().map(str::to_owned).collect()
}

pub(super) async fn levels_are_counted_as_instances_arrive(catalog: &Catalog) {
    archive(catalog).await;
    let studies = catalog.find(&query(Level::Study, &[])).await.unwrap();
    let counts: Vec<_> = studies.found.iter().map(|found| found.study.clone().unwrap()).collect();
    let counts: Vec<_> =
        counts.iter().map(|study| (study.series, study.instances, study.modalities.join(" "))).collect();
    assert_eq!(counts, [(2, 3, "CT SR".to_owned()), (1, 1, "MG".to_owned()), (1, 1, "CT".to_owned())]);
    let series = catalog.find(&query(Level::Series, &[(STUDY_UID, is("1.1"))])).await.unwrap();
    assert_eq!(series.found.iter().map(|found| found.series.clone().unwrap().instances).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(values(&series, PATIENT_ID), ["P1", "P1"], "attributes of the levels above come along");
    let instances = catalog.find(&query(Level::Instance, &[(SERIES_UID, is("1.1.1"))])).await.unwrap();
    let uids: Vec<_> = instances.found.iter().map(|found| found.instance.clone().unwrap().sop_instance_uid).collect();
    assert_eq!(uids, ["1.1.1.1", "1.1.1.2"]);
    assert_eq!(found(catalog, PATIENT_ID, Level::Patient, &[]).await, ["P1", "P2"]);
    // The same again counts once.
    catalog.commit_instance(object(1, Servable::ToIndex), instance("1.1.1.1")).await.unwrap();
    assert_eq!(catalog.find(&query(Level::Study, &[])).await.unwrap().found[0].study.clone().unwrap().instances, 3);
}

pub(super) async fn keys_match_as_their_kind_says(catalog: &Catalog) {
    archive(catalog).await;
    let name = |pattern: &str| vec![(PATIENT_NAME, Want::Name(pattern.to_owned()))];
    let range = |from: Option<&str>, to: Option<&str>| {
        vec![(STUDY_DATE, Want::Range(from.map(str::to_owned), to.map(str::to_owned)))]
    };
    let cases = [
        (name("MULLER*"), vec!["1.1", "1.3"]),
        (name("müller^jörg"), vec!["1.1", "1.3"]),
        (name("*jorg"), vec!["1.1", "1.3"]),
        (name("山田*"), vec!["1.2"]),
        (name("Mueller*"), vec![]),
        (vec![(PATIENT_NAME, Want::NameWords("tar yam".to_owned()))], vec!["1.2"]),
        (vec![(PATIENT_ID, is("P1"))], vec!["1.1", "1.3"]),
        (vec![(PATIENT_ID, Want::Like("P?".to_owned()))], vec!["1.1", "1.2", "1.3"]),
        (vec![(PATIENT_ID, Want::Like("p*".to_owned()))], vec![]),
        (range(Some("20240215"), None), vec!["1.2", "1.3"]),
        (range(None, Some("20240101")), vec!["1.1"]),
        (range(Some("20240102"), Some("20241231")), vec!["1.2"]),
        (vec![(STUDY_DATE, is("20250301"))], vec!["1.3"]),
        (vec![(STUDY_UID, Want::OneOf(vec!["1.3".to_owned(), "1.2".to_owned(), "9".to_owned()]))], vec!["1.2", "1.3"]),
        (vec![(MODALITIES, is("CT")), (PATIENT_ID, is("P1"))], vec!["1.1", "1.3"]),
        (vec![(MODALITIES, is("SR"))], vec!["1.1"]),
        (vec![(MODALITIES, Want::Like("?R".to_owned()))], vec!["1.1"]),
        (vec![(MODALITIES, Want::Like("M*".to_owned()))], vec!["1.2"]),
        (vec![(MODALITIES, Want::Like("_R".to_owned()))], vec![]),
        (vec![(MODALITIES, Want::Empty)], vec![]),
        (vec![(DESCRIPTION, Want::Like("*nativ".to_owned())), (STUDY_DATE, is("20240215"))], vec!["1.2"]),
        (vec![(DESCRIPTION, Want::Empty)], vec![]),
        (vec![(0x0008_0050, Want::Empty)], vec!["1.1", "1.2", "1.3"]),
        // What a study does not have is not asked of it.
        (vec![(INSTANCE_NUMBER, is("7"))], vec!["1.1", "1.2", "1.3"]),
    ];
    for (matches, expected) in cases {
        assert_eq!(found(catalog, STUDY_UID, Level::Study, &matches).await, expected, "{matches:?}");
    }
    let modality = [(MODALITY, is("CT"))];
    assert_eq!(found(catalog, SERIES_UID, Level::Series, &modality).await, ["1.1.1", "1.3.1"]);
    let number = [(INSTANCE_NUMBER, is("1")), (PATIENT_NAME, Want::Name("m*".to_owned()))];
    assert_eq!(found(catalog, SERIES_UID, Level::Instance, &number).await, ["1.1.1", "1.1.2", "1.3.1"]);
}

pub(super) async fn pages_of_answers_leave_nothing_out(catalog: &Catalog) {
    archive(catalog).await;
    for matches in [vec![], vec![(PATIENT_NAME, Want::Name("*".to_owned()))]] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let answers = catalog.find(&Query { after, limit: 2, ..query(Level::Instance, &matches) }).await.unwrap();
            seen.extend(answers.found.into_iter().map(|found| found.instance.unwrap().sop_instance_uid));
            after = answers.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.2.1.1", "1.3.1.1"]);
        let skipped = catalog.find(&Query { offset: 3, limit: 1, ..query(Level::Instance, &matches) }).await.unwrap();
        assert_eq!(skipped.found[0].instance.as_ref().unwrap().sop_instance_uid, "1.2.1.1");
        assert!(skipped.next.is_some());
    }
}

pub(super) async fn words_are_found_by_their_beginnings(catalog: &Catalog) {
    archive(catalog).await;
    for (words, expected) in [
        ("mull", 2),
        ("MÜLLER thor", 2),
        ("p2", 1),
        ("山田", 1),
        ("mull p2", 0),
        ("\" * : & | ( )", 3),
        ("OR x' ) --", 0),
    ] {
        let asked = Query { words: Some(words.to_owned()), ..query(Level::Study, &[]) };
        assert_eq!(catalog.find(&asked).await.unwrap().found.len(), expected, "{words}");
    }
}

pub(super) async fn a_deleted_instance_is_gone_from_every_level(catalog: &Catalog) {
    archive(catalog).await;
    assert_eq!(catalog.delete_instance("1.1.1.2").await, Ok(Some(key(2))));
    assert_eq!(catalog.delete_instance("1.1.1.2").await, Ok(None));
    assert_eq!(catalog.target("1.1.1.2").await, Ok(None));
    let study = catalog.find(&query(Level::Study, &[(STUDY_UID, is("1.1"))])).await.unwrap();
    assert_eq!(study.found[0].study.as_ref().unwrap().instances, 2);
    assert_eq!(catalog.delete_instance("1.2.1.1").await, Ok(Some(key(4))));
    assert_eq!(found(catalog, STUDY_UID, Level::Study, &[]).await, ["1.1", "1.3"]);
    let words = Query { words: Some("yamada".to_owned()), ..query(Level::Study, &[]) };
    assert!(catalog.find(&words).await.unwrap().found.is_empty());
    let objects = catalog.list_objects(None, 9).await.unwrap();
    assert_eq!(objects.iter().map(|row| row.key).collect::<Vec<_>>(), [key(1), key(3), key(5)]);
    // It may come again.
    archive(catalog).await;
    assert_eq!(found(catalog, STUDY_UID, Level::Study, &[]).await, ["1.1", "1.3", "1.2"]);
}

#[tokio::test]
async fn an_older_catalog_gets_its_levels_when_it_is_opened() {
    use sqlx::Connection as _;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("catalog.sqlite").display());
    let catalog = Catalog::open(&url).await.unwrap();
    archive(&catalog).await;
    catalog.close().await;
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DELETE FROM series; DELETE FROM studies").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let catalog = Catalog::open(&url).await.unwrap();
    let studies = catalog.find(&query(Level::Study, &[])).await.unwrap();
    assert_eq!(studies.found.iter().map(|found| found.study.clone().unwrap().instances).collect::<Vec<_>>(), [3, 1, 1]);
    catalog.close().await;
}
