//! Objects and indexes in a local folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use catalog::{IndexKey, ObjectKey};
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use quick_cache::sync::Cache;
use tempfile::NamedTempFile;

use crate::data_dir::DataDir;
use crate::storage::name::{Name, split};
use crate::storage::{CompleteObject, StorageError, StoredFile, TempIndex};

#[derive(Debug)]
pub(super) struct Local {
    objects: PathBuf,
    index: PathBuf,
    tmp: PathBuf,
    /// The same objects, seen through the interface that remote stores share.
    streams: LocalFileSystem,
    indexes: LocalFileSystem,
    open: Cache<Name, Arc<StoredFile>>,
    /// Held by who makes the folders of objects, and those of indexes; set once they are on the disk.
    object_folders: Mutex<bool>,
    index_folders: Mutex<bool>,
    broken: AtomicBool,
    /// The store's own lock, where it is not in the data directory.
    _held: Option<Arc<DataDir>>,
}

/// Files that are kept open between requests; well below the usual limit of 1024 descriptors.
const OPEN_FILES: usize = 256;

impl Local {
    pub(super) fn new(data: &DataDir, held: Option<Arc<DataDir>>) -> Result<Self, StorageError> {
        let objects = data.objects();
        let streams = LocalFileSystem::new_with_prefix(&objects).map_err(io::Error::other)?;
        let indexes = LocalFileSystem::new_with_prefix(data.index()).map_err(io::Error::other)?;
        Ok(Self {
            streams,
            indexes,
            objects,
            index: data.index(),
            tmp: data.tmp(),
            open: Cache::new(OPEN_FILES),
            object_folders: Mutex::default(),
            index_folders: Mutex::default(),
            broken: AtomicBool::new(false),
            _held: held,
        })
    }

    pub(super) fn temp_file(&self) -> Result<NamedTempFile, StorageError> {
        self.check()?;
        Ok(NamedTempFile::new_in(&self.tmp)?)
    }

    pub(super) fn put_object(&self, object: CompleteObject) -> Result<ObjectKey, StorageError> {
        let key = object.key();
        self.put(object.file, (&self.objects, &self.object_folders), &key.to_string(), &key)?;
        // A reader may hold the bytes of a damaged twin that were just replaced.
        self.open.remove(&Name::Object(key));
        Ok(key)
    }

    pub(super) fn put_index(&self, key: IndexKey, index: TempIndex) -> Result<u64, StorageError> {
        let file = index.into_file()?;
        let len = file.as_file().metadata()?.len();
        self.put(file, (&self.index, &self.index_folders), &key.to_string(), &key.object)?;
        self.open.remove(&Name::Index(key));
        Ok(len)
    }

    pub(super) fn open_object(&self, key: &ObjectKey) -> Result<Arc<StoredFile>, StorageError> {
        self.open(Name::Object(*key), &self.objects, &key.to_string(), key)
    }

    pub(super) fn open_index(&self, key: &IndexKey) -> Result<Arc<StoredFile>, StorageError> {
        self.open(Name::Index(*key), &self.index, &key.to_string(), &key.object)
    }

    pub(super) async fn stream_object(
        &self,
        key: &ObjectKey,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        let name = key.to_string();
        let path = object_store::path::Path::from_iter(split(&name));
        let found = self.streams.get(&path).await.map_err(store_error)?;
        Ok((found.meta.size, found.into_stream().map(|part| part.map_err(store_error)).boxed()))
    }

    pub(super) fn object_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        names(&self.streams)
    }

    pub(super) fn index_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        names(&self.indexes)
    }

    /// Not synced: what comes back after a power cut is found again.
    pub(super) fn remove(&self, name: Name) -> Result<(), StorageError> {
        let (top, file) = match &name {
            Name::Object(key) => (&self.objects, key.to_string()),
            Name::Index(key) => (&self.index, key.to_string()),
        };
        self.open.remove(&name);
        let [folder, rest] = split(&file);
        match fs::remove_file(top.join(folder).join(rest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Makes the file durable under its name: its bytes, then its entry in the folder.
    fn put(
        &self,
        file: NamedTempFile,
        (top, folders): (&Path, &Mutex<bool>),
        name: &str,
        key: &ObjectKey,
    ) -> Result<(), StorageError> {
        self.check()?;
        self.make_folders(top, folders)?;
        let [ab, rest] = split(name);
        let folder = top.join(ab);
        self.sync(file.as_file().sync_all(), key)?;
        file.persist(folder.join(rest)).map_err(|refused| refused.error)?;
        self.sync(File::open(&folder)?.sync_all(), key)
    }

    /// Makes all folders below `top`, once in a process, with one sync for all of them: those that exist may be of a
    /// process that died before it could sync them.
    fn make_folders(&self, top: &Path, are_made: &Mutex<bool>) -> Result<(), StorageError> {
        let mut are_made = are_made.lock().unwrap_or_else(PoisonError::into_inner);
        if *are_made {
            return Ok(());
        }
        for folder in 0..=u8::MAX {
            match fs::create_dir(top.join(format!("{folder:02x}"))) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        self.sync_result(File::open(top)?.sync_all())?;
        *are_made = true;
        Ok(())
    }

    fn sync(&self, synced: io::Result<()>, key: &ObjectKey) -> Result<(), StorageError> {
        self.sync_result(synced).inspect_err(|error| tracing::error!(object.key = %key, %error, "a sync failed"))
    }

    /// After a failed sync the kernel may have dropped the pages and marked them clean: another sync would lie.
    fn sync_result(&self, synced: io::Result<()>) -> Result<(), StorageError> {
        match synced.map_err(StorageError::from) {
            // Delayed allocation tells only now that there is no room; nothing else was put at risk by that.
            Err(StorageError::Full) => Err(StorageError::Full),
            Err(_) => {
                self.broken.store(true, Ordering::Release);
                Err(StorageError::Broken)
            }
            Ok(()) => Ok(()),
        }
    }

    fn check(&self) -> Result<(), StorageError> {
        if self.is_broken() { Err(StorageError::Broken) } else { Ok(()) }
    }

    fn open(&self, name: Name, top: &Path, file: &str, key: &ObjectKey) -> Result<Arc<StoredFile>, StorageError> {
        self.open.get_or_insert_with(&name, || {
            let path = split(file).iter().fold(top.to_owned(), |path, part| path.join(part));
            let opened = File::open(&path).or_else(|error| {
                // Out of descriptors: those that are only kept for later are given up first.
                let out = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
                if !out.contains(&error.raw_os_error()) {
                    return Err(error);
                }
                self.open.clear();
                File::open(&path)
            });
            let opened = opened.and_then(StoredFile::local).map_err(StorageError::from);
            opened.map(Arc::new).inspect_err(|error| {
                tracing::error!(object.key = %key, %error, "a stored file cannot be opened");
            })
        })
    }
}

/// The names of all that lies in a folder, each without the slashes in it.
fn names(folder: &LocalFileSystem) -> BoxStream<'static, Result<String, StorageError>> {
    let names = folder
        .list(None)
        .map(|found| Ok(found.map_err(store_error)?.location.parts().map(|part| part.as_ref().to_owned()).collect()));
    names.boxed()
}

fn store_error(error: object_store::Error) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::Missing,
        other => StorageError::Io(io::Error::other(other)),
    }
}
