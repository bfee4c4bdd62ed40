//! Objects and indexes in a bucket of an S3-compatible store.
//!
//! The keys are those of a local folder below the prefix: `objects/ab/cd…` and `index/ab/cd….<version>`. What is stored
//! is named by its content, so that two servers on one bucket are no danger to each other and there is no lock; the
//! same key uploaded again is the same bytes, and mends what was damaged.
//!
//! An object is received into the data directory's `tmp`, as for the local store, and uploaded from there. An upload
//! that breaks leaves nothing under its key; parts of it that a crash leaves on the server are never seen, and a rule
//! of the bucket ("abort incomplete multipart uploads") is what removes them.

mod bucket;
mod chunks;
mod failure;
mod object;
mod place;
mod threads;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use catalog::{IndexKey, ObjectKey};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use quick_cache::sync::Cache;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::data_dir::DataDir;
use crate::storage::name::Name;
use crate::storage::{CompleteObject, StorageError, StoredFile, TempIndex};
use bucket::Bucket;
pub(super) use object::RemoteObject;
pub use place::{S3Place, S3PlaceError};
use threads::Threads;

#[derive(Debug)]
pub(super) struct Remote {
    threads: Arc<Threads>,
    bucket: Arc<Bucket>,
    /// Where objects are received.
    tmp: PathBuf,
    open: Cache<Name, Arc<RemoteObject>>,
}

/// Opened objects that are kept between requests; each holds its length and its key.
const OPEN_OBJECTS: usize = 4096;

/// Names that are listed before somebody has taken them.
const NAMES_AHEAD: usize = 256;

impl Remote {
    /// Opens the store and tries that it can be written, read and cleared.
    pub(super) async fn open(
        data: &DataDir,
        place: &S3Place,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let threads = Arc::new(Threads::new()?);
        let bucket = Arc::new(Bucket::new(place, environment)?);
        let tried = Arc::clone(&bucket);
        threads.run(async move { Ok::<_, std::io::Error>(tried.probe().await) }).await??;
        Ok(Self { threads, bucket, tmp: data.tmp(), open: Cache::new(OPEN_OBJECTS) })
    }

    pub(super) fn temp_file(&self) -> Result<NamedTempFile, StorageError> {
        Ok(NamedTempFile::new_in(&self.tmp)?)
    }

    pub(super) fn put_object(&self, object: CompleteObject) -> Result<ObjectKey, StorageError> {
        let key = object.key();
        self.threads.wait(self.upload(Name::Object(key), object.file))?;
        // A reader may hold the length of a damaged twin that was just replaced.
        self.open.remove(&Name::Object(key));
        Ok(key)
    }

    pub(super) fn put_index(&self, key: IndexKey, index: TempIndex) -> Result<u64, StorageError> {
        let file = index.into_file()?;
        let len = file.as_file().metadata()?.len();
        self.threads.wait(self.upload(Name::Index(key), file))?;
        self.open.remove(&Name::Index(key));
        Ok(len)
    }

    pub(super) fn open_blocking(self: &Arc<Self>, name: Name) -> Result<Arc<StoredFile>, StorageError> {
        let object = match self.open.get(&name) {
            Some(object) => object,
            None => {
                let remote = Arc::clone(self);
                self.threads.wait(async move { remote.open_object(name).await })?
            }
        };
        Ok(Arc::new(StoredFile::remote(object)))
    }

    pub(super) async fn stream_object(
        self: &Arc<Self>,
        key: &ObjectKey,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        let (remote, name) = (Arc::clone(self), Name::Object(*key));
        let object = self.threads.run(async move { remote.open_object(name).await }).await?;
        Ok((object.len(), object.stream()))
    }

    pub(super) fn object_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        self.names("objects")
    }

    pub(super) fn index_names(&self) -> BoxStream<'static, Result<String, StorageError>> {
        self.names("index")
    }

    pub(super) async fn remove(&self, name: Name) -> Result<(), StorageError> {
        self.open.remove(&name);
        let (bucket, path) = (Arc::clone(&self.bucket), self.path(&name));
        self.threads.run(async move { bucket.remove(&path, name.object()).await }).await
    }

    /// The names of all that lies in one of the two folders below the prefix, each without the slashes in it.
    fn names(&self, folder: &'static str) -> BoxStream<'static, Result<String, StorageError>> {
        let (sender, receiver) = mpsc::channel(NAMES_AHEAD);
        let bucket = Arc::clone(&self.bucket);
        self.threads.start(async move { bucket.send_names(folder, &sender).await });
        // The threads are those of the store, which may be gone before its names are.
        let state = (receiver, Arc::clone(&self.threads));
        stream::unfold(state, |(mut receiver, threads)| async move {
            let name = receiver.recv().await?;
            Some((name, (receiver, threads)))
        })
        .boxed()
    }

    async fn open_object(&self, name: Name) -> Result<Arc<RemoteObject>, StorageError> {
        let head = async {
            let path = self.path(&name);
            let len = self.bucket.head(&path, name.object()).await?;
            let (bucket, threads) = (Arc::clone(&self.bucket), Arc::clone(&self.threads));
            Ok(Arc::new(RemoteObject::new(bucket, threads, path, *name.object(), len)))
        };
        self.open.get_or_insert_async(&name, head).await
    }

    fn upload(
        &self,
        name: Name,
        file: NamedTempFile,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + 'static {
        let (bucket, path) = (Arc::clone(&self.bucket), self.path(&name));
        async move { bucket.upload(&path, file).await }
    }

    fn path(&self, name: &Name) -> Path {
        self.bucket.root().parts().chain(name.parts().iter().map(|part| part.as_str().into())).collect()
    }
}
