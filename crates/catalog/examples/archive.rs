//! Fills a catalog with made-up studies for the bench: `archive URL INSTANCES`, 600 instances a study in six series.
//!
//! Nothing is stored: the rows are those of instances that are indexed already. A catalog that holds some is added to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use catalog::{Catalog, IndexFacts, NewInstance, NewObject, ObjectKey, Servable};

const SERIES_OF_STUDY: u64 = 6;
const INSTANCES_OF_SERIES: u64 = 100;
const WRITERS: u64 = 64;
const NAMES: [&str; 12] =
    ["Müller", "Schmidt", "Yamada", "Garcia", "Smith", "Novak", "Rossi", "Dubois", "Kowalski", "Silva", "Ng", "Okafor"];
const MODALITIES: [&str; 4] = ["CT", "MR", "MG", "CR"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(wanted)) = (args.next(), args.next()) else { return Err("archive URL INSTANCES".into()) };
    let wanted: u64 = wanted.parse()?;
    let catalog = Catalog::open(&url).await?;
    let there = catalog.counts().await?.instances;
    let next = Arc::new(AtomicU64::new(there));
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (catalog, next) = (catalog.clone(), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= wanted {
                    return Ok::<_, Failure>(());
                }
                catalog.commit_instance(object(n), instance(n)).await?;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    let (added, time) = (wanted.saturating_sub(there), begun.elapsed().as_secs_f64());
    println!("{added} instances in {time:.1} s, {:.0} a second", added as f64 / time.max(1e-9));
    catalog.close().await;
    Ok(())
}

fn object(n: u64) -> NewObject {
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..16].copy_from_slice(&n.to_be_bytes());
    let facts = IndexFacts {
        version: 1,
        size: 700,
        codestreams: 1,
        width: 512,
        height: 512,
        media_type: None,
        tid: format!("{n:032x}"),
        presentation: "{}".to_owned(),
        damage: None,
    };
    NewObject {
        key: ObjectKey::new(key),
        size: 180_000,
        media_type: "application/dicom".to_owned(),
        servable: Servable::Indexed(facts),
    }
}

fn instance(n: u64) -> NewInstance {
    let series = n / INSTANCES_OF_SERIES;
    let study = series / SERIES_OF_STUDY;
    // The second study is one long series, for a viewer that opens it.
    let series = if study == 1 { SERIES_OF_STUDY } else { series };
    let patient = study / 3;
    let modality = MODALITIES[study as usize % MODALITIES.len()];
    let name = format!("{}{:05}^Anna", NAMES[patient as usize % NAMES.len()], patient);
    let date = format!("20{:02}{:02}{:02}", study % 25, study % 12 + 1, study % 28 + 1);
    let texts = [
        ("00080018", "UI", format!("2.25.9.{n}")),
        ("00080020", "DA", date),
        ("00080030", "TM", "101500".to_owned()),
        ("00080050", "SH", format!("A{study:07}")),
        ("00080060", "CS", modality.to_owned()),
        ("00080090", "PN", "Referring^Doctor".to_owned()),
        ("00081030", "LO", format!("{modality} Thorax nativ")),
        ("0008103E", "LO", format!("Series {series}")),
        ("00100010", "PN", name),
        ("00100020", "LO", format!("P{patient:07}")),
        ("00100030", "DA", "19700101".to_owned()),
        ("00100040", "CS", "F".to_owned()),
        ("0020000D", "UI", format!("2.25.7.{study}")),
        ("0020000E", "UI", format!("2.25.8.{series}")),
        ("00200010", "SH", study.to_string()),
        ("00200011", "IS", (series % SERIES_OF_STUDY).to_string()),
        ("00200013", "IS", (n % 600).to_string()),
        ("00200032", "DS", "-125.5\",\"-125.5\",\"0".to_owned()),
        ("00280010", "US", "512".to_owned()),
        ("00280011", "US", "512".to_owned()),
        ("00280100", "US", "16".to_owned()),
    ];
    let attributes: Vec<_> =
        texts.iter().map(|(tag, vr, value)| format!(r#""{tag}":{{"vr":"{vr}","Value":["{value}"]}}"#)).collect();
    NewInstance {
        sop_instance_uid: format!("2.25.9.{n}"),
        series_instance_uid: Some(format!("2.25.8.{series}")),
        study_instance_uid: Some(format!("2.25.7.{study}")),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
        transfer_syntax_uid: "1.2.840.10008.1.2.4.90".to_owned(),
        modality: Some(modality.to_owned()),
        patient_id: Some(format!("P{patient:07}")),
        instance_number: Some((n % 600) as i64),
        rows: Some(512),
        columns: Some(512),
        number_of_frames: Some(1),
        attributes: format!("{{{}}}", attributes.join(",")),
    }
}
