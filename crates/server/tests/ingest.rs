//! From received bytes to a target that can be asked for: ingest, the catalog's rows, the worker.
#![expect(clippy::single_range_in_vec_init, reason = "one range is what is to be read")]

use catalog::{Catalog, State, TargetRow};
use codestream::testkit::{files, tiny_codestream};
use codestream::{Family, SparseBytes, annex_i::FileIndex};
use dicom_bridge::write::{NewObject, OffsetTable};
use server::data_dir::DataDir;
use server::ingest::{Ingest, IngestError, Ingested, NameError, Outcome};
use server::storage::{Storage, StorageError};
use server::worker::Worker;
use server::worker::presentation::{Colour, Form, Presentation};

const JPEG2000: &str = "1.2.840.10008.1.2.4.90";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// A data directory with all that takes objects in.
struct House {
    storage: Storage,
    catalog: Catalog,
    worker: Worker,
    ingest: Ingest,
    data: DataDir,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    /// A house in which the worker indexes every DICOM object, as it does the large ones.
    async fn in_folder(folder: tempfile::TempDir) -> Self {
        let data = DataDir::open(folder.path()).unwrap();
        let storage = Storage::open(&data).unwrap();
        let catalog = Catalog::open(&format!("sqlite:{}", data.catalog_file().display())).await.unwrap();
        let worker = Worker::new(storage.clone(), catalog.clone(), "local");
        let ingest = Ingest::new(storage.clone(), catalog.clone(), worker.clone()).indexing_at_once(0);
        Self { storage, catalog, worker, ingest, data, folder }
    }

    async fn take(&self, bytes: &[u8], name: Option<&str>) -> Result<Ingested, IngestError> {
        let mut temp = self.storage.new_temp(1 << 30).unwrap();
        temp.write_all(bytes).await.unwrap();
        self.ingest.ingest(temp, name).await
    }

    async fn target(&self, name: &str) -> TargetRow {
        self.catalog.target(name).await.unwrap().unwrap()
    }

    async fn indexed(&self, name: &str) -> TargetRow {
        self.worker.ensure_indexed(&self.target(name).await).await.unwrap()
    }

    /// Opens the stored index as the serving path does.
    async fn index(&self, row: &TargetRow) -> (FileIndex, SparseBytes) {
        let index = row.index.as_ref().unwrap();
        let file = self.storage.open_index(&index.key).unwrap();
        let whole = file.read(vec![0..index.size]).await.unwrap().remove(0);
        let mut bytes = SparseBytes::new(index.size);
        let chunk = usize::try_from(codestream::CHUNK).unwrap();
        (0..).zip((0..whole.len()).step_by(chunk)).for_each(|(number, start)| {
            bytes.insert(number, whole.slice(start..whole.len().min(start + chunk)));
        });
        (FileIndex::open(&bytes).unwrap(), bytes)
    }

    fn is_tidy(&self) -> bool {
        std::fs::read_dir(self.data.tmp()).unwrap().next().is_none()
    }
}

fn object(uid: &str, transfer_syntax: &str) -> NewObject {
    let mut object = NewObject::new(CT, uid, transfer_syntax);
    object.attributes().put(0x0020_000d, "UI", "2.25.1").put(0x0020_000e, "UI", "2.25.2").put(0x0008_0060, "CS", "CT");
    object.attributes().put(0x0010_0010, "PN", "Canary^Cassandra").put(0x0010_0020, "LO", "CANARY-7");
    object.attributes().put(0x0028_0010, "US", "16").put(0x0028_0011, "US", "16");
    object
}

fn dicom(uid: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut object = object(uid, JPEG2000);
    object.attributes().put(0x0028_0008, "IS", &frames.len().to_string());
    object.encapsulate(frames, OffsetTable::Basic, 1).unwrap()
}

#[tokio::test]
async fn an_instance_is_stored_then_indexed_and_its_index_leads_to_every_frame() {
    let house = House::new().await;
    let frames: Vec<_> = (1..=3).map(|seed| tiny_codestream().seed(seed).build()).collect();
    let taken = house.take(&dicom("2.25.10", &frames), None).await.unwrap();
    assert_eq!((taken.outcome, taken.target.as_str(), taken.tid), (Outcome::Inserted, "2.25.10", None));
    assert_eq!(house.target("2.25.10").await.state, State::Stored);

    let row = house.indexed("2.25.10").await;
    assert_eq!((row.state, row.reason.as_deref()), (State::Indexed, None));
    let index = row.index.clone().unwrap();
    assert_eq!((index.codestreams, index.width, index.height, index.tid.len()), (3, 16, 16, 32));
    let presentation = Presentation::from_json(&index.presentation).unwrap();
    let image = presentation.image.unwrap();
    assert_eq!((presentation.form, image.components, image.colour), (Form::Frames, vec![(8, false)], Colour::Grey));

    let (file, bytes) = house.index(&row).await;
    assert_eq!(file.codestream_count(), 3);
    let stored = house.storage.open_object(&row.object_key).unwrap();
    for (ordinal, frame) in (0..).zip(&frames) {
        let codestream = file.codestream(ordinal, &bytes).unwrap();
        let extent = codestream.extents().extents()[0];
        let read = stored.read(vec![extent.offset..extent.offset + frame.len() as u64]).await.unwrap();
        assert_eq!(read[0], frame[..]);
    }
    let instance = house.catalog.instance("2.25.10").await.unwrap().unwrap();
    assert_eq!((instance.number_of_frames, instance.tid), (Some(3), Some(index.tid)));
    assert!(house.is_tidy());
}

#[tokio::test]
async fn a_small_instance_is_indexed_before_it_is_acknowledged() {
    let mut house = House::new().await;
    let bytes = dicom("2.25.10", &[tiny_codestream().build()]);
    house.ingest = house.ingest.indexing_at_once(bytes.len() as u64);
    let taken = house.take(&bytes, None).await.unwrap();
    let row = house.target("2.25.10").await;
    assert_eq!(row.state, State::Indexed);
    assert_eq!((taken.outcome, taken.tid), (Outcome::Inserted, row.index.clone().map(|index| index.tid)));
    assert_eq!(house.index(&row).await.0.codestream_count(), 1);
    assert_eq!(house.catalog.counts().await.unwrap().jobs, 0);
    // One byte longer, and it is the worker's.
    let mut longer = object("2.25.11", JPEG2000);
    longer.attributes().put(0x0008_1030, "LO", "longer");
    let longer = longer.encapsulate(&[tiny_codestream().build()], OffsetTable::Basic, 1).unwrap();
    assert!(longer.len() > bytes.len());
    assert_eq!(house.take(&longer, None).await.unwrap().tid, None);
    assert_eq!(house.target("2.25.11").await.state, State::Stored);
    // A broken image is no reason to refuse the object, and no work for anybody.
    let broken = dicom("2.25.12", &[vec![7; 60]]);
    assert_eq!(house.take(&broken, None).await.unwrap().outcome, Outcome::Inserted);
    assert_eq!(house.target("2.25.12").await.state, State::Unservable);
    assert_eq!(house.catalog.counts().await.unwrap().jobs, 1);
    assert!(house.is_tidy());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_index_cannot_be_stored_is_left_to_the_worker() {
    let mut house = House::new().await;
    house.ingest = house.ingest.indexing_at_once(u64::MAX);
    let index = house.data.index();
    std::fs::remove_dir(&index).unwrap();
    std::fs::write(&index, "no folder").unwrap();
    let taken = house.take(&dicom("2.25.10", &[tiny_codestream().build()]), None).await.unwrap();
    assert_eq!((taken.outcome, taken.tid), (Outcome::Inserted, None));
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    assert_eq!(house.indexed("2.25.10").await.state, State::Indexed);
}

#[tokio::test]
async fn c_13_other_bytes_under_a_known_uid_are_a_conflict_and_leave_nothing() {
    let house = House::new().await;
    let first = dicom("2.25.10", &[tiny_codestream().build()]);
    house.take(&first, None).await.unwrap();
    let kept = house.target("2.25.10").await.object_key;
    let other = dicom("2.25.10", &[tiny_codestream().seed(9).build()]);
    assert_eq!(house.take(&other, None).await.unwrap().outcome, Outcome::Conflict);
    assert_eq!(house.target("2.25.10").await.object_key, kept);
    assert_eq!(stored_objects(&house), 1);
}

#[tokio::test]
async fn c_14_the_same_data_set_in_another_file_is_a_duplicate_too() {
    let house = House::new().await;
    let first = dicom("2.25.10", &[tiny_codestream().build()]);
    house.take(&first, None).await.unwrap();
    // Another program wrote its own name into the File Meta Information.
    let at = first.windows(8).position(|bytes| bytes == b"PRECINCT").unwrap();
    let mut other = first.clone();
    other[at..at + 8].copy_from_slice(b"SOMEBODY");
    assert_eq!(house.take(&other, None).await.unwrap().outcome, Outcome::Duplicate);
    // One bit of the data set, and it is another object.
    let in_the_frame = other.len() - 12;
    other[in_the_frame] ^= 1;
    assert_eq!(house.take(&other, None).await.unwrap().outcome, Outcome::Conflict);
    assert_eq!(stored_objects(&house), 1);
}

#[tokio::test]
async fn c_14_the_same_bytes_again_are_a_duplicate_with_the_tid() {
    let house = House::new().await;
    let bytes = dicom("2.25.10", &[tiny_codestream().build()]);
    house.take(&bytes, None).await.unwrap();
    let tid = house.indexed("2.25.10").await.index.unwrap().tid;
    let again = house.take(&bytes, Some("unused")).await.unwrap();
    assert_eq!((again.outcome, again.tid), (Outcome::Duplicate, Some(tid)));
    assert_eq!(stored_objects(&house), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_first_and_what_a_row_names_is_there() {
    let house = House::new().await;
    // Twice each of 8 contents under one UID, and of 8 files under one name.
    let taken = (0..32u64).map(|n| {
        let (storage, ingest) = (house.storage.clone(), house.ingest.clone());
        let image = tiny_codestream().seed(n / 4).build();
        let bytes = if n % 2 == 0 { dicom("2.25.10", &[image]) } else { image };
        tokio::spawn(async move {
            let mut temp = storage.new_temp(1 << 30).unwrap();
            temp.write_all(&bytes).await.unwrap();
            (n % 2 == 0, ingest.ingest(temp, Some("x.j2k")).await.unwrap())
        })
    });
    let mut outcomes = Vec::new();
    for task in taken.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    let count = |dicom, outcome| outcomes.iter().filter(|(is, took)| (*is, took.outcome) == (dicom, outcome)).count();
    assert_eq!([Outcome::Inserted, Outcome::Duplicate, Outcome::Conflict].map(|what| count(true, what)), [1, 1, 14]);
    assert_eq!(count(false, Outcome::Inserted), 1);
    assert_eq!(count(false, Outcome::Replaced) + count(false, Outcome::Duplicate), 15);
    let file = house.target("x.j2k").await;
    assert!(outcomes.iter().any(|(_, took)| took.tid.as_deref() == Some(&file.index.as_ref().unwrap().tid)));
    for row in [file, house.indexed("2.25.10").await] {
        assert_eq!(row.state, State::Indexed);
        assert_eq!(house.storage.open_object(&row.object_key).unwrap().read_blocking(&[0..2]).unwrap().len(), 1);
    }
    assert!(house.is_tidy());
}

#[tokio::test]
async fn objects_without_jpeg_2000_are_kept_with_the_reason() {
    let house = House::new().await;
    let report = object("2.25.1", EXPLICIT).to_bytes().unwrap();
    let mut native = object("2.25.2", EXPLICIT);
    native.attributes().put(0x7fe0_0010, "OW", "258");
    let native = native.to_bytes().unwrap();
    let random = dicom("2.25.3", &[vec![7; 100]]);
    let cut = dicom("2.25.4", &[tiny_codestream().build()[..30].to_vec()]);
    for (bytes, uid, reason) in [
        (report, "2.25.1", "no-pixel-data: "),
        (native, "2.25.2", "not-jpeg2000: "),
        (random, "2.25.3", "damaged: "),
        (cut, "2.25.4", "damaged: "),
    ] {
        assert_eq!(house.take(&bytes, None).await.unwrap().outcome, Outcome::Inserted);
        let row = house.indexed(uid).await;
        let found = row.reason.unwrap();
        assert!(row.state == State::Unservable && found.starts_with(reason) && found.len() > reason.len(), "{found}");
        assert!(!found.contains("anary"));
    }
    assert_eq!(house.catalog.counts().await.unwrap().jobs, 0);
}

#[tokio::test]
async fn a_frame_that_cannot_be_indexed_keeps_its_number_and_is_named() {
    let house = House::new().await;
    let good = tiny_codestream().build();
    let bytes = dicom("2.25.10", &[good.clone(), vec![7; 100], good]);
    house.take(&bytes, None).await.unwrap();
    let row = house.indexed("2.25.10").await;
    let reason = row.reason.clone().unwrap();
    assert!(row.state == State::Indexed && reason.contains("frame 2: not served: "), "{reason}");
    let (file, bytes) = house.index(&row).await;
    assert!(file.codestream(0, &bytes).is_ok() && file.codestream(1, &bytes).is_err());
    assert!(file.codestream(2, &bytes).is_ok());
}

#[tokio::test]
async fn a_frame_that_holds_a_whole_jp2_file_is_narrowed_to_its_codestream() {
    let house = House::new().await;
    let codestream = tiny_codestream().build();
    house.take(&dicom("2.25.10", &[files::jp2_file(&codestream)]), None).await.unwrap();
    let row = house.indexed("2.25.10").await;
    let (file, bytes) = house.index(&row).await;
    let extent = file.codestream(0, &bytes).unwrap().extents().extents()[0];
    let stored = house.storage.open_object(&row.object_key).unwrap();
    let read = stored.read(vec![extent.offset..extent.offset + codestream.len() as u64]).await.unwrap();
    assert_eq!(read[0], codestream[..]);
}

#[tokio::test]
async fn files_come_with_their_index_and_a_name_points_to_the_latest() {
    let house = House::new().await;
    let codestream = tiny_codestream().build();
    let rows = [
        ("a/x.jp2", files::jp2_file(&codestream), "image/jp2", Form::Jp2Family, 1),
        ("x.jph", files::jph_file(&codestream), "image/jph", Form::Jp2Family, 1),
        ("x.jpx", files::jpx_file(&[codestream.clone(), codestream.clone()]), "image/jpx", Form::Jp2Family, 2),
        ("f.jpx", files::fragmented_jpx_file(&codestream, 50), "image/jpx", Form::Jp2Family, 1),
        ("x.j2k", codestream.clone(), "image/j2c", Form::RawCodestream, 1),
    ];
    for (name, bytes, media_type, form, codestreams) in rows {
        let taken = house.take(&bytes, Some(name)).await.unwrap();
        let row = house.target(name).await;
        let index = row.index.clone().unwrap();
        assert_eq!((taken.outcome, taken.tid.as_deref()), (Outcome::Inserted, Some(index.tid.as_str())), "{name}");
        assert_eq!((row.media_type.as_str(), index.codestreams), (media_type, codestreams), "{name}");
        assert_eq!(Presentation::from_json(&index.presentation).unwrap().form, form, "{name}");
        let again = house.take(&bytes, Some(name)).await.unwrap();
        assert_eq!((again.outcome, again.tid), (Outcome::Duplicate, taken.tid), "{name}");
    }
    let old = house.target("x.j2k").await.index.unwrap().tid;
    let newer = tiny_codestream().seed(5).build();
    let taken = house.take(&newer, Some("x.j2k")).await.unwrap();
    assert_eq!(taken.outcome, Outcome::Replaced);
    assert_ne!(taken.tid, Some(old));
}

#[tokio::test]
async fn files_that_cannot_be_served_or_named_are_refused_and_leave_nothing() {
    let house = House::new().await;
    let good = tiny_codestream().build();
    let refused = async |bytes: &[u8], name| house.take(bytes, name).await.unwrap_err();
    for name in ["../x", "1.2.3", "series/x", ""] {
        assert!(matches!(refused(&good, Some(name)).await, IngestError::Name(_)), "{name}");
    }
    assert!(matches!(refused(&good, None).await, IngestError::Name(NameError::Missing)));
    assert!(matches!(refused(b"", Some("x")).await, IngestError::NotAnImage));
    assert!(matches!(refused(b"hello", Some("x")).await, IngestError::NotAnImage));
    let error = refused(&good[..20], Some("x")).await;
    assert!(matches!(error, IngestError::NoCodestream(_)) && error.family() == Family::Malformed, "{error}");
    let empty = files::jp2_file(&[]);
    assert!(matches!(refused(&empty, Some("x")).await, IngestError::NoCodestream(_)));
    let cut = dicom("2.25.10", std::slice::from_ref(&good));
    let error = refused(&cut[..cut.len() - 20], None).await;
    assert!(matches!(error, IngestError::Object(_)) && !error.to_string().contains("2.25.10"), "{error}");
    assert_eq!(house.catalog.counts().await.unwrap(), catalog::Counts::default());
    assert_eq!(stored_objects(&house), 0);
    assert!(house.is_tidy());
}

#[tokio::test]
async fn an_object_over_the_limit_is_told_apart() {
    let house = House::new().await;
    let mut temp = house.storage.new_temp(100).unwrap();
    let error = IngestError::from(temp.write_all(&[0; 101]).await.unwrap_err());
    assert!(matches!(error, IngestError::Storage(StorageError::TooLarge { limit: 100 })));
    assert_eq!(error.family(), Family::LimitExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_left_by_a_killed_process_are_done_by_the_next() {
    let house = House::new().await;
    for n in 1..=5 {
        house.take(&dicom(&format!("2.25.{n}"), &[tiny_codestream().seed(n).build()]), None).await.unwrap();
    }
    house.catalog.claim_jobs(catalog::JobKind::Index, "local", 2).await.unwrap();
    // Neither the worker is stopped nor the catalog closed.
    let House { folder, data, .. } = house;
    drop(data);
    let house = House::in_folder(folder).await;
    house.worker.start();
    while house.catalog.counts().await.unwrap().jobs > 0 {
        tokio::task::yield_now().await;
    }
    for n in 1..=5 {
        assert_eq!(house.target(&format!("2.25.{n}")).await.state, State::Indexed);
    }
    house.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_ask_at_once_share_one_index_run_beside_the_jobs() {
    let house = House::new().await;
    house.take(&dicom("2.25.10", &[tiny_codestream().build()]), None).await.unwrap();
    let row = house.target("2.25.10").await;
    house.worker.start();
    let asked = (0..32).map(|_| {
        let (worker, row) = (house.worker.clone(), row.clone());
        tokio::spawn(async move { worker.ensure_indexed(&row).await.unwrap() })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap().state, State::Indexed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_object_fails_alone() {
    let house = House::new().await;
    for uid in ["2.25.1", "2.25.2"] {
        house.take(&dicom(uid, &[tiny_codestream().seed(uid.len() as u64).build()]), None).await.unwrap();
    }
    let name = house.target("2.25.1").await.object_key.to_string();
    std::fs::remove_file(house.data.objects().join(&name[..2]).join(&name[2..])).unwrap();
    let lost = house.indexed("2.25.1").await;
    assert_eq!((lost.state, lost.reason.unwrap().starts_with("failed: ")), (State::Unservable, true));
    assert_eq!(house.indexed("2.25.2").await.state, State::Indexed);
    let again = dicom("2.25.1", &[tiny_codestream().seed(6).build()]);
    assert_eq!(house.take(&again, None).await.unwrap().outcome, Outcome::Duplicate);
    assert_eq!(house.indexed("2.25.1").await.state, State::Indexed, "coming again mends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_written_does_not_condemn_the_object() {
    let house = House::new().await;
    house.take(&dicom("2.25.10", &[tiny_codestream().build()]), None).await.unwrap();
    std::fs::remove_dir(house.data.tmp()).unwrap();
    house.worker.ensure_indexed(&house.target("2.25.10").await).await.unwrap_err();
    let row = house.target("2.25.10").await;
    assert_eq!((row.state, row.reason), (State::Stored, None));
    std::fs::create_dir(house.data.tmp()).unwrap();
    assert_eq!(house.indexed("2.25.10").await.state, State::Indexed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_put_off_is_as_new_after_an_orderly_end() {
    let house = House::new().await;
    house.take(&dicom("2.25.10", &[tiny_codestream().build()]), None).await.unwrap();
    std::fs::remove_dir(house.data.tmp()).unwrap();
    house.worker.start();
    while !house.worker.has_put_off() {
        tokio::task::yield_now().await;
    }
    house.worker.stop().await;
    let jobs = house.catalog.claim_jobs(catalog::JobKind::Index, "local", 9).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.attempts).collect::<Vec<_>>(), [1]);
}

fn stored_objects(house: &House) -> usize {
    let list = |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    list(house.data.objects()).flat_map(list).count()
}
