//! Uploading a file: in one piece, or in parts that are never all in memory.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStoreExt as _};
use tempfile::NamedTempFile;
use tokio::task::JoinSet;

use super::bucket::{Bucket, UPLOAD_ROOM};
use super::failure::{of_store, words};
use crate::storage::StorageError;

impl Bucket {
    /// Uploads the file under a key; the server has it when this returns. What fails leaves nothing under the key.
    pub(super) async fn upload(&self, path: &Path, file: NamedTempFile) -> Result<(), StorageError> {
        let len = file.as_file().metadata()?.len();
        let part = part_len(len);
        let in_memory = if len <= IN_ONE { len } else { part.saturating_mul(PARTS_AT_A_TIME as u64) };
        let room = u32::try_from(in_memory.div_ceil(1 << 20)).unwrap_or(UPLOAD_ROOM).clamp(1, UPLOAD_ROOM);
        let _room = self.upload_room.acquire_many(room).await.map_err(io::Error::other)?;
        let file = Arc::new(file);
        if len <= IN_ONE {
            let bytes = read(&file, 0, len).await?;
            return self.writer.put(path, bytes.into()).await.map(drop).map_err(|error| refused(path, &error));
        }
        let mut upload = self.writer.put_multipart(path).await.map_err(|error| refused(path, &error))?;
        upload_in_parts(&mut *upload, path, &file, len, part).await
    }
}

/// Sends the file and completes the upload, or ends it without an object.
async fn upload_in_parts(
    upload: &mut dyn MultipartUpload,
    path: &Path,
    file: &Arc<NamedTempFile>,
    len: u64,
    part: u64,
) -> Result<(), StorageError> {
    let sent = match send(upload, path, file, len, part).await {
        Ok(()) => upload.complete().await.map(drop).map_err(|error| refused(path, &error)),
        Err(error) => Err(error),
    };
    if sent.is_err()
        && let Err(error) = upload.abort().await
    {
        tracing::warn!(error = words(&error), "the parts of an upload that failed may be left in the bucket");
    }
    sent
}

/// Sends the parts, a few at a time; none is under way when this returns.
async fn send(
    upload: &mut dyn MultipartUpload,
    path: &Path,
    file: &Arc<NamedTempFile>,
    len: u64,
    part: u64,
) -> Result<(), StorageError> {
    let mut parts = JoinSet::new();
    let mut at = 0;
    let sent = loop {
        if at >= len || parts.len() >= PARTS_AT_A_TIME {
            match parts.join_next().await {
                None => break Ok(()),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => break Err(refused(path, &error)),
                Some(Err(error)) => break Err(io::Error::other(error).into()),
            }
            continue;
        }
        let bytes = match read(file, at, part.min(len - at)).await {
            Ok(bytes) => bytes,
            Err(error) => break Err(error.into()),
        };
        at += bytes.len() as u64;
        parts.spawn(upload.put_part(bytes.into()));
    };
    parts.shutdown().await;
    sent
}

/// Reads a part of the file aside.
async fn read(file: &Arc<NamedTempFile>, at: u64, len: u64) -> io::Result<Bytes> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = BytesMut::zeroed(usize::try_from(len).map_err(io::Error::other)?);
        file.as_file().read_exact_at(&mut bytes, at)?;
        Ok(bytes.freeze())
    });
    read.await.map_err(io::Error::other)?
}

/// The error of an upload that failed, which is logged here because only here its words are known.
fn refused(path: &Path, error: &Error) -> StorageError {
    tracing::warn!(object.path = %path, error = words(error), "the store did not take an object or index");
    of_store(error).into()
}

/// The length of the parts: the server takes 10 000 of them.
fn part_len(len: u64) -> u64 {
    PART.max(len.div_ceil(MOST_PARTS))
}

/// Up to so many bytes a file is uploaded in one piece.
const IN_ONE: u64 = 16 << 20;

const PART: u64 = 8 << 20;

const MOST_PARTS: u64 = 10_000;

const PARTS_AT_A_TIME: usize = 4;

#[cfg(test)]
mod tests;
