//! `Fsck` over a house in which something of everything is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use catalog::{Catalog, ObjectKey, State};
use codestream::testkit::tiny_codestream;
use dicom_bridge::write::{NewObject, OffsetTable};
use server::data_dir::DataDir;
use server::fsck::{Finding, Fsck, FsckError, Mending, Treatment};
use server::ingest::Ingest;
use server::storage::Storage;
use server::worker::Worker;

struct House {
    storage: Storage,
    catalog: Catalog,
    worker: Worker,
    ingest: Ingest,
    data: DataDir,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let storage = Storage::open(&data).unwrap();
        let catalog = Catalog::open(&format!("sqlite:{}", data.catalog_file().display())).await.unwrap();
        let worker = Worker::new(storage.clone(), catalog.clone(), data.node());
        let ingest = Ingest::new(storage.clone(), catalog.clone(), worker.clone());
        Self { storage, catalog, worker, ingest, data, _folder: folder }
    }

    /// The same house with no file kept open, as another process finds it.
    fn reopened(self) -> Self {
        let storage = Storage::open(&self.data).unwrap();
        let worker = Worker::new(storage.clone(), self.catalog.clone(), self.data.node());
        let ingest = Ingest::new(storage.clone(), self.catalog.clone(), worker.clone());
        Self { storage, worker, ingest, ..self }
    }

    async fn take(&self, bytes: &[u8], name: Option<&str>) -> ObjectKey {
        let mut temp = self.storage.new_temp(1 << 30).unwrap();
        temp.write_all(bytes).await.unwrap();
        let taken = self.ingest.ingest(temp, name).await.unwrap();
        self.catalog.target(&taken.target).await.unwrap().unwrap().object_key
    }

    async fn found(&self, repairs: bool) -> Vec<Finding> {
        let treatment = if repairs { Treatment::Repair(self.ingest.clone()) } else { Treatment::Look };
        self.found_by(treatment).await.unwrap()
    }

    async fn found_by(&self, treatment: Treatment) -> Result<Vec<Finding>, FsckError> {
        let (mut objects, mut findings) = (0, Vec::new());
        let fsck = Fsck::new(self.storage.clone(), self.catalog.clone(), treatment);
        fsck.run(|_| objects += 1, |finding| findings.push(finding)).await?;
        Ok(findings)
    }

    fn object(&self, key: &ObjectKey) -> PathBuf {
        let name = key.to_string();
        self.data.objects().join(&name[..2]).join(&name[2..])
    }

    fn index(&self, key: &ObjectKey) -> PathBuf {
        let name = key.to_string();
        let folder = self.data.index().join(&name[..2]);
        let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name[2..])).unwrap()
    }
}

fn dicom(uid: &str, seed: u64) -> Vec<u8> {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.4.90");
    object.attributes().put(0x0028_0010, "US", "16").put(0x0028_0011, "US", "16");
    object.encapsulate(&[tiny_codestream().seed(seed).build()], OffsetTable::Basic, 1).unwrap()
}

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_is_left_alone_and_what_is_wrong_is_named_and_mended() {
    let house = House::new().await;
    let keys = [
        house.take(&dicom("2.25.1", 1), None).await,
        house.take(&dicom("2.25.2", 2), None).await,
        house.take(&dicom("2.25.3", 3), None).await,
        house.take(&dicom("2.25.4", 4), None).await,
        house.take(&tiny_codestream().seed(5).build(), Some("five.j2k")).await,
        house.take(&dicom("2.25.6", 6), None).await,
        house.take(&dicom("2.25.8", 8), None).await,
    ];
    assert_eq!(house.found(false).await, []);

    let [flipped, cut, gone, bad_index, no_index, _right, shut] = keys;
    flip(&house.object(&flipped), 200);
    std::fs::File::options().write(true).open(house.object(&cut)).unwrap().set_len(100).unwrap();
    std::fs::remove_file(house.object(&gone)).unwrap();
    std::fs::remove_file(house.object(&shut)).unwrap();
    // Short, as names of sockets have to be; nothing opens a socket like a file.
    let socket = house.data.tmp().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    std::fs::rename(socket, house.object(&shut)).unwrap();
    let len = std::fs::metadata(house.index(&bad_index)).unwrap().len();
    flip(&house.index(&bad_index), usize::try_from(len).unwrap() - 70);
    std::fs::remove_file(house.index(&no_index)).unwrap();
    // An object whose row was lost, and something that nobody here put there.
    let orphan = dicom("2.25.7", 7);
    let other = House::new().await;
    let lost = other.take(&orphan, None).await;
    std::fs::create_dir_all(house.object(&lost).parent().unwrap()).unwrap();
    std::fs::write(house.object(&lost), &orphan).unwrap();
    std::fs::write(house.data.objects().join("readme"), "x").unwrap();
    let house = house.reopened();

    let of = |findings: &[Finding], object: &str| {
        let mut all = findings.iter().filter(|finding| finding.object == object);
        let found = all.next().map(|finding| (finding.mending, finding.words.clone()));
        assert!(all.next().is_none(), "{object} is named once");
        found
    };
    use Mending::{Done, Impossible, Possible};
    for (repairs, mendable) in [(false, Possible), (true, Done)] {
        let findings = house.found(repairs).await;
        for (object, mending, words) in [
            (flipped.to_string(), Impossible, "not those that were stored"),
            (cut.to_string(), Impossible, "100 bytes"),
            (gone.to_string(), Impossible, "missing"),
            (shut.to_string(), Impossible, "cannot be opened"),
            (bad_index.to_string(), mendable, "index is damaged"),
            (no_index.to_string(), mendable, "index is missing"),
            (lost.to_string(), mendable, "no row"),
            ("readme".to_owned(), Impossible, "not an object"),
        ] {
            let found = of(&findings, &object).unwrap_or_else(|| panic!("{words}: nothing is found, {findings:?}"));
            assert!(found.0 == mending && found.1.contains(words), "{words}: {found:?}");
        }
        assert_eq!(findings.len(), 8, "{findings:?}");
    }
    // What the worker makes again is then as it was.
    for target in ["2.25.4", "five.j2k", "2.25.7"] {
        let row = house.catalog.target(target).await.unwrap().unwrap();
        assert_eq!(house.worker.ensure_indexed(&row).await.unwrap().state, State::Indexed, "{target}");
    }
    assert!(house.found(false).await.iter().all(|finding| finding.mending == Impossible));
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_a_lost_catalog_is_rebuilt_from_the_objects() {
    let house = House::new().await;
    for n in 1..=5 {
        house.take(&dicom(&format!("2.25.{n}"), n), None).await;
    }
    house.take(&tiny_codestream().build(), Some("named.j2k")).await;
    house.catalog.close().await;
    std::fs::remove_file(house.data.catalog_file()).unwrap();
    let catalog = Catalog::open(&format!("sqlite:{}", house.data.catalog_file().display())).await.unwrap();
    let worker = Worker::new(house.storage.clone(), catalog.clone(), "node");
    let ingest = Ingest::new(house.storage.clone(), catalog.clone(), worker.clone());
    let house = House { catalog, worker, ingest, ..house };
    let findings = house.found(true).await;
    let (done, left): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.mending == Mending::Done);
    assert_eq!((done.len(), left.len()), (5, 1), "an image file has no name of its own: {findings:?}");
    for n in 1..=5 {
        assert_eq!(house.catalog.target(&format!("2.25.{n}")).await.unwrap().unwrap().state, State::Indexed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_row_names_is_removed_and_nothing_else() {
    let house = House::new().await;
    let kept = house.take(&dicom("2.25.1", 1), None).await;
    let gone = house.take(&dicom("2.25.2", 2), None).await;
    // A crash between the two leaves an index alone; it is found as well.
    let half = house.take(&dicom("2.25.3", 3), None).await;
    for uid in ["2.25.2", "2.25.3"] {
        house.catalog.delete_instance(uid).await.unwrap().unwrap();
    }
    std::fs::remove_file(house.object(&half)).unwrap();
    std::fs::write(house.data.objects().join("readme"), "x").unwrap();
    std::fs::write(house.data.index().join("readme"), "x").unwrap();
    let (object, indexes) = (house.object(&gone), [house.index(&gone), house.index(&half)]);

    let found = house.found(false).await;
    let count = |found: &[Finding], mending| found.iter().filter(|finding| finding.mending == mending).count();
    assert_eq!((count(&found, Mending::Possible), count(&found, Mending::Removable)), (1, 2), "{found:?}");
    assert!(object.exists() && indexes.iter().all(|path| path.exists()), "looking removes nothing");

    let found = house.found_by(Treatment::Prune).await.unwrap();
    assert_eq!((count(&found, Mending::Removed), count(&found, Mending::Impossible)), (3, 2), "{found:?}");
    assert!(!object.exists() && indexes.iter().all(|path| !path.exists()));
    assert!(house.object(&kept).exists() && house.index(&kept).exists());
    assert!(house.data.objects().join("readme").exists(), "what is not ours is left alone");
    assert!(house.found_by(Treatment::Prune).await.unwrap().iter().all(|one| one.mending == Mending::Impossible));
    // The same bytes again are a new object.
    assert_eq!(house.take(&dicom("2.25.2", 2), None).await, gone);
    assert!(house.object(&gone).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_names_nothing_removes_nothing() {
    let house = House::new().await;
    let key = house.take(&dicom("2.25.1", 1), None).await;
    house.catalog.delete_instance("2.25.1").await.unwrap().unwrap();
    assert!(matches!(house.found_by(Treatment::Prune).await, Err(FsckError::EmptyCatalog)));
    assert!(house.object(&key).exists());
}
