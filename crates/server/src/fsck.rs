//! Checks stored bytes, rows and indexes against each other, and rebuilds what can be rebuilt.
//!
//! Every object is read from end to end: its bytes must have the digest that names them and the length of its row, and an
//! index made anew must equal the stored one. Then the store is walked for objects and indexes that no row names: what a
//! deletion or a crash left. To repair, indexes are made again by the worker, and a DICOM object without a row is taken in
//! once more, from its own bytes. To prune, what no row names is removed; nothing else ever is.

use std::io::{self, Read as _};

use catalog::{Catalog, CatalogError, IndexKey, ObjectKey, ObjectRow, State};
use codestream::ByteSource;
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ingest::{Ingest, Outcome};
use crate::storage::{Storage, StorageError, StoredFile};
use crate::worker::index_object::{IndexFailure, index_stored};

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, or what stands in its place in the store.
    pub object: String,
    /// What is wrong, in words.
    pub words: String,
    /// What was done about it.
    pub mending: Mending,
}

/// What becomes of what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// It can be put right, and was not: nobody asked for it.
    Possible,
    /// It was put right, or will be when the worker is through.
    Done,
    /// It cannot be put right from what is stored here.
    Impossible,
    /// It is in nobody's way, and can be removed.
    Removable,
    /// It was removed.
    Removed,
}

/// Why the check could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FsckError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store failed, not one object in it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A catalog without an object names none of those in the store: it may be another store's, or a new one.
    #[error("the catalog is empty: nothing is removed, because it may not be the one of this store")]
    EmptyCatalog,
    /// The check stopped: a mistake of ours.
    #[error("the check stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// A check of everything that is stored.
pub struct Fsck {
    storage: Storage,
    catalog: Catalog,
    treatment: Treatment,
}

/// What is done about what is found.
pub enum Treatment {
    /// Nothing.
    Look,
    /// What can be put right is, by this way in; the worker behind it must run.
    Repair(Ingest),
    /// What no row names is removed.
    Prune,
}

/// Rows that are asked for at a time.
const PAGE: u32 = 256;

impl Fsck {
    /// A check that does this about what it finds.
    #[must_use]
    pub const fn new(storage: Storage, catalog: Catalog, treatment: Treatment) -> Self {
        Self { storage, catalog, treatment }
    }

    /// Checks everything; `progress` hears of each object and its length in bytes, `report` of what is wrong.
    ///
    /// # Errors
    ///
    /// - [`FsckError::EmptyCatalog`] if what no row names is to be removed and no row names anything.
    /// - Others if the catalog or the store as a whole fails.
    pub async fn run(&self, mut progress: impl FnMut(u64), mut report: impl FnMut(Finding)) -> Result<(), FsckError> {
        let mut after = None;
        loop {
            let rows = self.catalog.list_objects(after, PAGE).await?;
            let Some(last) = rows.last() else {
                if after.is_none() && matches!(self.treatment, Treatment::Prune) {
                    return Err(FsckError::EmptyCatalog);
                }
                break;
            };
            after = Some(last.key);
            for row in rows {
                for finding in self.check_row(row).await? {
                    report(finding);
                }
                progress(row.size);
            }
        }
        let mut names = self.storage.object_names();
        while let Some(name) = names.try_next().await? {
            if let Some(finding) = self.check_name(&name).await? {
                report(finding);
            }
        }
        // While objects are taken in once more their indexes come, and have no row yet.
        if matches!(self.treatment, Treatment::Repair(_)) {
            return Ok(());
        }
        let mut names = self.storage.index_names();
        while let Some(name) = names.try_next().await? {
            if let Some(finding) = self.check_index_name(&name).await? {
                report(finding);
            }
        }
        Ok(())
    }

    async fn check_row(&self, row: ObjectRow) -> Result<Vec<Finding>, FsckError> {
        let storage = self.storage.clone();
        let lost = tokio::task::spawn_blocking(move || check_object(&storage, &row)).await??;
        if let Some(words) = lost {
            if row.is_derived {
                return self.requeue(row.key, words).await;
            }
            return Ok(vec![finding(&row.key, words, Mending::Impossible)]);
        }
        // That of what was made of an object is looked at with the row of that.
        let is_elsewhere = row.index.is_some_and(|index| index.key.object != row.key);
        if row.state != State::Indexed || is_elsewhere {
            return Ok(Vec::new());
        }
        let storage = self.storage.clone();
        match tokio::task::spawn_blocking(move || check_index(&storage, &row)).await?? {
            Index::Right => Ok(Vec::new()),
            Index::CannotBeMade(words) => Ok(vec![finding(&row.key, words, Mending::Impossible)]),
            Index::Wrong(words) => self.requeue(row.key, words.to_owned()).await,
        }
    }

    /// Has an index made again, or a derived object.
    async fn requeue(&self, key: ObjectKey, words: String) -> Result<Vec<Finding>, FsckError> {
        let mending = if !matches!(self.treatment, Treatment::Repair(_)) {
            Mending::Possible
        } else if self.catalog.queue_index(key).await? {
            Mending::Done
        } else {
            Mending::Impossible
        };
        Ok(vec![finding(&key, words, mending)])
    }

    /// Looks at something in the store: is it an object that a row names?
    async fn check_name(&self, name: &str) -> Result<Option<Finding>, FsckError> {
        let of = |words: &str, mending| Ok(Some(Finding { object: name.to_owned(), words: words.to_owned(), mending }));
        let Some(key) = ObjectKey::parse(name) else {
            return of("not an object: nothing of ours has such a name", Mending::Impossible);
        };
        if self.catalog.object_state(key).await?.is_some() {
            return Ok(None);
        }
        let ingest = match &self.treatment {
            Treatment::Look => return of("no row names this object, which --prune removes", Mending::Possible),
            Treatment::Repair(ingest) => ingest,
            Treatment::Prune => {
                self.storage.remove_object(key).await?;
                return of("no row names this object", Mending::Removed);
            }
        };
        let storage = self.storage.clone();
        let copy = tokio::task::spawn_blocking(move || {
            let object = storage.open_object(&key)?;
            let mut temp = storage.new_temp(u64::MAX)?;
            temp.copy_all(&*object)?;
            Ok::<_, StorageError>(temp)
        });
        // A file of the JP2 family has no name by which it could be asked for.
        match ingest.ingest(copy.await??, None).await {
            Ok(taken) if taken.outcome != Outcome::Conflict => of("no row named this object", Mending::Done),
            Ok(_) => of("no row names this object, and another one has its SOP Instance UID", Mending::Impossible),
            // One that the worker has just made.
            Err(_) if self.catalog.object_state(key).await?.is_some() => Ok(None),
            Err(error) => of(&format!("no row names this object, and none can: {error}"), Mending::Impossible),
        }
    }

    /// Looks at something where indexes lie: is it an index that a row names?
    async fn check_index_name(&self, name: &str) -> Result<Option<Finding>, FsckError> {
        let of = |words: &str, mending| Ok(Some(Finding { object: name.to_owned(), words: words.to_owned(), mending }));
        let Some(key) = IndexKey::parse(name) else {
            return of("not an index: nothing of ours has such a name", Mending::Impossible);
        };
        if self.catalog.has_index(key).await? {
            return Ok(None);
        }
        if matches!(self.treatment, Treatment::Prune) {
            self.storage.remove_index(key).await?;
            return of("no row names this index", Mending::Removed);
        }
        of("no row names this index", Mending::Removable)
    }
}

fn finding(key: &ObjectKey, words: String, mending: Mending) -> Finding {
    Finding { object: key.to_string(), words, mending }
}

/// What is wrong with the bytes of an object. Blocking.
fn check_object(storage: &Storage, row: &ObjectRow) -> Result<Option<String>, FsckError> {
    let object = match storage.open_object(&row.key) {
        Ok(object) => object,
        Err(StorageError::Missing) => return Ok(Some("its bytes are missing".to_owned())),
        // What is wrong with the process or the whole store is no finding about this object.
        Err(error) if error.is_of_the_process() => return Err(error.into()),
        Err(error) => return Ok(Some(format!("it cannot be opened: {error}"))),
    };
    if object.len() != row.size {
        return Ok(Some(format!("it has {} bytes and should have {}", object.len(), row.size)));
    }
    let mut digest = Sha256::new();
    if let Err(error) = io::copy(&mut reader(&object), &mut digest) {
        return Ok(Some(format!("it cannot be read: {error}")));
    }
    let is_right = ObjectKey::new(digest.finalize().into()) == row.key;
    Ok((!is_right).then(|| "its bytes are not those that were stored".to_owned()))
}

/// How an index stands to its object.
enum Index {
    Right,
    Wrong(&'static str),
    CannotBeMade(String),
}

/// Compares the stored index with one made anew. Blocking.
fn check_index(storage: &Storage, row: &ObjectRow) -> Result<Index, FsckError> {
    let Some(served) = row.index else { return Ok(Index::Wrong("the row of its index is missing")) };
    let stored = match storage.open_index(&served.key) {
        Ok(stored) => stored,
        Err(StorageError::Missing) => return Ok(Index::Wrong("its index is missing")),
        Err(error) if error.is_of_the_process() => return Err(error.into()),
        Err(_) => return Ok(Index::Wrong("its index cannot be opened")),
    };
    let made = match index_stored(storage, row.key) {
        Ok(made) => made,
        Err(IndexFailure::Object(reason)) => return Ok(Index::CannotBeMade(format!("no index can be made: {reason}"))),
        Err(IndexFailure::Store(error) | IndexFailure::Write(error)) => return Err(error.into()),
    };
    if made.facts.version != served.key.version {
        return Ok(Index::Wrong("its index is of an older version"));
    }
    let (mut ours, mut theirs) = (Sha256::new(), Sha256::new());
    io::copy(&mut made.bytes.into_reader()?, &mut ours).map_err(StorageError::from)?;
    let is_read = io::copy(&mut reader(&stored), &mut theirs).is_ok();
    let is_right = is_read && stored.len() == served.size && ours.finalize() == theirs.finalize();
    Ok(if is_right { Index::Right } else { Index::Wrong("its index is damaged") })
}

/// A stored file from its beginning, in pieces large enough for a disk.
fn reader(file: &StoredFile) -> impl io::Read + '_ {
    struct Reader<'a>(&'a StoredFile, u64);
    impl io::Read for Reader<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read_at(self.1, buf)?;
            self.1 += n as u64;
            Ok(n)
        }
    }
    io::BufReader::with_capacity(1 << 20, Reader(file, 0)).take(u64::MAX)
}
