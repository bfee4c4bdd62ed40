//! Bytes that are not stored yet: files in `tmp` that go when they are dropped.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;

use catalog::ObjectKey;
use codestream::ByteSource;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::storage::{StorageError, blocking};

/// An object that is being received, with its digest so far.
#[derive(Debug)]
pub struct TempObject {
    /// Away while a write is under way; still away after a write was cancelled or failed.
    written: Option<Written>,
    waiting: Vec<u8>,
    len: u64,
    limit: u64,
}

/// An object that was received wholly.
#[derive(Debug)]
pub struct CompleteObject {
    pub(super) file: NamedTempFile,
    key: ObjectKey,
    len: u64,
}

/// An index that is being written; seekable, for the box lengths that are known last.
#[derive(Debug)]
pub struct TempIndex {
    out: BufWriter<NamedTempFile>,
}

#[derive(Debug)]
struct Written {
    file: NamedTempFile,
    digest: Sha256,
}

/// Bytes gathered before they are hashed and written aside: few enough for many senders at once, enough to make the
/// step to another thread cheap.
const GATHER: usize = 256 * 1024;

impl TempObject {
    pub(super) fn new(file: NamedTempFile, limit: u64) -> Self {
        let written = Some(Written { file, digest: Sha256::new() });
        Self { written, waiting: Vec::new(), len: 0, limit }
    }

    /// Puts a head of a few bytes before everything else; for one that holds nothing yet.
    pub fn begin_with(&mut self, head: &[u8]) {
        self.len = head.len() as u64;
        self.waiting = head.to_vec();
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    ///
    /// - [`StorageError::TooLarge`] if the object grows over its limit.
    /// - [`StorageError::Full`] if there is no room.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        let len = self.len.saturating_add(bytes.len() as u64);
        if len > self.limit {
            return Err(StorageError::TooLarge { limit: self.limit });
        }
        self.len = len;
        while !bytes.is_empty() {
            let take = bytes.len().min(GATHER - self.waiting.len());
            let (now, later) = bytes.split_at(take);
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() == GATHER {
                self.write_waiting().await?;
            }
        }
        Ok(())
    }

    /// Number of bytes so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds all bytes of a file. Blocking.
    ///
    /// # Errors
    ///
    /// As [`TempObject::write_all`], and if the file cannot be read.
    pub fn copy_from(&mut self, file: &std::fs::File) -> Result<(), StorageError> {
        self.copy_with(|_, gathered| io::Read::read(&mut &*file, gathered))
    }

    /// Adds all bytes of something that is stored. Blocking.
    ///
    /// # Errors
    ///
    /// As [`TempObject::write_all`], and if the bytes cannot be read.
    pub fn copy_all(&mut self, source: &dyn ByteSource) -> Result<(), StorageError> {
        self.copy_with(|at, gathered| source.read_at(at, gathered))
    }

    /// Adds what `read` gives, which hears how many bytes it has given so far, until it gives nothing.
    fn copy_with(&mut self, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>) -> Result<(), StorageError> {
        let mut gathered = vec![0; GATHER];
        let before = self.len;
        loop {
            let n = match read(self.len - before, &mut gathered) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StorageError::Io(error)),
            };
            if n == 0 {
                return Ok(());
            }
            self.len = self.len.saturating_add(n as u64);
            if self.len > self.limit {
                return Err(StorageError::TooLarge { limit: self.limit });
            }
            let written = self.written.take().ok_or_else(cut_short)?;
            self.written = Some(written.add(&gathered[..n])?);
        }
    }

    /// The object, now that all its bytes are there. Blocking.
    ///
    /// # Errors
    ///
    /// - [`StorageError::Full`] if there is no room.
    pub fn complete(mut self) -> Result<CompleteObject, StorageError> {
        let written = self.written.take().ok_or_else(cut_short)?.add(&self.waiting)?;
        let key = ObjectKey::new(written.digest.finalize().into());
        Ok(CompleteObject { file: written.file, key, len: self.len })
    }

    async fn write_waiting(&mut self) -> Result<(), StorageError> {
        let written = self.written.take().ok_or_else(cut_short)?;
        let mut waiting = std::mem::take(&mut self.waiting);
        let (written, waiting) = blocking(move || {
            let written = written.add(&waiting)?;
            waiting.clear();
            Ok((written, waiting))
        })
        .await?;
        (self.written, self.waiting) = (Some(written), waiting);
        Ok(())
    }
}

impl Written {
    fn add(mut self, bytes: &[u8]) -> Result<Self, StorageError> {
        self.digest.update(bytes);
        self.file.write_all(bytes)?;
        Ok(self)
    }
}

fn cut_short() -> StorageError {
    StorageError::Io(io::Error::other("an earlier write of this object was cut short"))
}

impl CompleteObject {
    /// The key that it will be stored under.
    #[must_use]
    pub const fn key(&self) -> ObjectKey {
        self.key
    }
}

impl ByteSource for CompleteObject {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.as_file().read_at(buf, offset)
    }
}

impl TempIndex {
    pub(super) fn new(file: NamedTempFile) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, file) }
    }

    /// What was written, from its beginning.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub(crate) fn into_reader(self) -> Result<impl io::Read, StorageError> {
        let mut file = self.into_file()?;
        file.rewind()?;
        Ok(file)
    }

    pub(super) fn into_file(self) -> Result<NamedTempFile, StorageError> {
        self.out.into_inner().map_err(|error| error.into_error().into())
    }
}

impl Write for TempIndex {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.out.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Seek for TempIndex {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.out.seek(to)
    }
}
