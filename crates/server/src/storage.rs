//! The only place that reads and writes stored bytes.
//!
//! Objects and indexes are immutable and named by content. Writing is: stream into `tmp` with a running SHA-256, sync
//! the file, rename it to its name, sync the folders; only then is the key handed out, so a catalog row never comes
//! before its bytes. A crash leaves at most a file in `tmp` (emptied at the next start) or an object that no row names.
//!
//! The local back end does this itself and not through `object_store`, whose `LocalFileSystem` syncs nothing: its `put`
//! is lost in a power cut. Whole objects are streamed out through `object_store`. A bucket of an S3-compatible store is
//! the other back end: see `remote`.

mod error;
mod file;
mod local;
mod name;
mod remote;
mod room;
mod stored_file;
mod temp;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use catalog::{IndexKey, ObjectKey};
use futures_util::stream::BoxStream;
use tempfile::NamedTempFile;

pub use error::StorageError;
pub use file::Hole;
pub use remote::{S3Place, S3PlaceError};
pub use stored_file::StoredFile;
pub use temp::{CompleteObject, TempIndex, TempObject};

use crate::data_dir::DataDir;
use local::Local;
use name::Name;
use remote::Remote;

/// The store of objects and indexes; cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    backend: Backend,
}

/// Where the bytes lie.
#[derive(Debug, Clone)]
enum Backend {
    Local(Arc<Local>),
    Remote(Arc<Remote>),
}

impl Storage {
    /// The store in the data directory.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn open(data: &DataDir) -> Result<Self, StorageError> {
        Ok(Self { backend: Backend::Local(Arc::new(Local::new(data, None)?)) })
    }

    /// The store in a folder of its own, which is locked and laid out like a data directory.
    ///
    /// # Errors
    ///
    /// If the folder is held by another process or the file system refuses.
    pub fn open_folder(folder: &Path) -> anyhow::Result<Self> {
        let data = Arc::new(DataDir::open(folder)?);
        let local = Local::new(&data, Some(Arc::clone(&data)))?;
        Ok(Self { backend: Backend::Local(Arc::new(local)) })
    }

    /// The store in a bucket; what is received lies in the data directory until it is uploaded. It is tried once, with
    /// a few bytes that are written, read and removed. Credentials and endpoint are those of the `AWS_…` variables of
    /// `environment`, by the names that Amazon's tools know.
    ///
    /// # Errors
    ///
    /// If the variables are not right, or the bucket cannot be reached, written or read.
    pub async fn open_s3(
        data: &DataDir,
        place: &S3Place,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        Ok(Self { backend: Backend::Remote(Arc::new(Remote::open(data, place, environment).await?)) })
    }

    /// A place for the bytes of a new object, `limit` bytes at most; gone when dropped.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Full`] if the disk is nearly full.
    /// - Others if the file system refuses.
    pub fn new_temp(&self, limit: u64) -> Result<TempObject, StorageError> {
        let file = match &self.backend {
            Backend::Local(local) => local.temp_file()?,
            Backend::Remote(remote) => remote.temp_file()?,
        };
        if file.path().parent().is_some_and(room::is_nearly_full) {
            return Err(StorageError::Full);
        }
        Ok(TempObject::new(file, limit))
    }

    /// A place for a new index; gone when dropped. Blocking.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn new_temp_index(&self) -> Result<TempIndex, StorageError> {
        match &self.backend {
            Backend::Local(local) => Ok(TempIndex::new(local.temp_file()?)),
            Backend::Remote(remote) => Ok(TempIndex::new(remote.temp_file()?)),
        }
    }

    /// Stores the object; it is durable when this returns. Content that is there already is replaced by itself, which
    /// mends it if it was damaged. Blocking.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Full`] if there is no room.
    /// - [`StorageError::Broken`] if the medium failed to make something durable, now or earlier.
    pub fn put(&self, object: CompleteObject) -> Result<ObjectKey, StorageError> {
        match &self.backend {
            Backend::Local(local) => local.put_object(object),
            Backend::Remote(remote) => remote.put_object(object),
        }
    }

    /// Stores an index; it is durable when this returns. Returns its length in bytes. Blocking.
    ///
    /// # Errors
    ///
    /// As [`Storage::put`].
    pub fn put_index(&self, key: IndexKey, index: TempIndex) -> Result<u64, StorageError> {
        match &self.backend {
            Backend::Local(local) => local.put_index(key, index),
            Backend::Remote(remote) => remote.put_index(key, index),
        }
    }

    /// The stored object, for reading; open files are kept. The first time a bucket is asked for its length: this waits
    /// for the answer.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Missing`] if it is not there.
    pub fn open_object(&self, key: &ObjectKey) -> Result<Arc<StoredFile>, StorageError> {
        match &self.backend {
            Backend::Local(local) => local.open_object(key),
            Backend::Remote(remote) => remote.open_blocking(Name::Object(*key)),
        }
    }

    /// A stored object as a file of its own, to be lent to another process. Blocking; what lies in a bucket is copied.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Missing`] if it is not there.
    pub(crate) fn lend_object(&self, key: &ObjectKey) -> Result<File, StorageError> {
        let object = self.open_object(key)?;
        if let Some(file) = object.to_file() {
            return Ok(file?);
        }
        let mut temp = self.new_temp(u64::MAX)?;
        temp.copy_all(&*object)?;
        Ok(temp.complete()?.file.into_file())
    }

    /// A file for another process to write, on the file system of what is not stored yet; gone when dropped.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub(crate) fn new_scratch(&self) -> Result<NamedTempFile, StorageError> {
        match &self.backend {
            Backend::Local(local) => local.temp_file(),
            Backend::Remote(remote) => remote.temp_file(),
        }
    }

    /// The stored index, for reading; open files are kept.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Missing`] if it is not there.
    pub fn open_index(&self, key: &IndexKey) -> Result<Arc<StoredFile>, StorageError> {
        match &self.backend {
            Backend::Local(local) => local.open_index(key),
            Backend::Remote(remote) => remote.open_blocking(Name::Index(*key)),
        }
    }

    /// The whole object, front to back: its length in bytes, and the bytes.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Missing`] if it is not there; later failures come in the stream.
    pub async fn stream_object(
        &self,
        key: &ObjectKey,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        match &self.backend {
            Backend::Local(local) => local.stream_object(key).await,
            Backend::Remote(remote) => remote.stream_object(key).await,
        }
    }

    /// The names of everything that lies where objects lie, in no order; of an object it is its key.
    #[must_use]
    pub fn object_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        match &self.backend {
            Backend::Local(local) => local.object_names(),
            Backend::Remote(remote) => remote.object_names(),
        }
    }

    /// As [`Storage::object_names`], of the indexes.
    #[must_use]
    pub fn index_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        match &self.backend {
            Backend::Local(local) => local.index_names(),
            Backend::Remote(remote) => remote.index_names(),
        }
    }

    /// Removes an object that no row names; one that is not there is removed. Who reads it goes on reading where the
    /// store is a folder.
    ///
    /// # Errors
    ///
    /// If the store refuses.
    pub async fn remove_object(&self, key: ObjectKey) -> Result<(), StorageError> {
        self.remove(Name::Object(key)).await
    }

    /// As [`Storage::remove_object`], for an index.
    ///
    /// # Errors
    ///
    /// If the store refuses.
    pub async fn remove_index(&self, key: IndexKey) -> Result<(), StorageError> {
        self.remove(Name::Index(key)).await
    }

    async fn remove(&self, name: Name) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(local) => {
                let local = Arc::clone(local);
                blocking(move || local.remove(name)).await
            }
            Backend::Remote(remote) => remote.remove(name).await,
        }
    }

    /// Whether objects are taken: `false` after the medium failed to make one durable. An upload that fails is its
    /// object's matter alone.
    #[must_use]
    pub fn takes_objects(&self) -> bool {
        match &self.backend {
            Backend::Local(local) => !local.is_broken(),
            Backend::Remote(_) => true,
        }
    }
}

/// Runs blocking work aside; a panic or a shutdown in it becomes an error.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StorageError::Io(std::io::Error::other(error))),
    }
}
