//! A stored object or index, wherever it lies.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use codestream::ByteSource;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::file::{Hole, LocalFile};
use super::remote::RemoteObject;

/// A stored object or index, open for reading. Its length is that which it had when it was opened.
#[derive(Debug)]
pub struct StoredFile {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Local(Arc<LocalFile>),
    Remote(Arc<RemoteObject>),
}

impl StoredFile {
    pub(super) fn local(file: File) -> io::Result<Self> {
        Ok(Self { place: Place::Local(Arc::new(LocalFile::new(file)?)) })
    }

    /// One that another process has lent.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub(crate) fn lent(file: File) -> io::Result<Self> {
        Self::local(file)
    }

    /// The file of its own that it is, if it is one.
    pub(super) fn to_file(&self) -> Option<io::Result<File>> {
        match &self.place {
            Place::Local(file) => Some(file.to_file()),
            Place::Remote(_) => None,
        }
    }

    pub(super) fn remote(object: Arc<RemoteObject>) -> Self {
        Self { place: Place::Remote(object) }
    }

    /// Reads the ranges if that can be done without waiting for the disk; `None` if it cannot, as never from a bucket.
    ///
    /// # Errors
    ///
    /// As [`StoredFile::read`].
    pub fn read_now(&self, ranges: &[Range<u64>]) -> Option<io::Result<Vec<Bytes>>> {
        match &self.place {
            Place::Local(file) => file.read_now(ranges),
            Place::Remote(_) => None,
        }
    }

    /// The bytes of each range, in the order asked; neighbours are read together.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::UnexpectedEof`] if a range reaches past the end: the file is shorter than what was indexed.
    /// - Others as the medium says.
    pub async fn read(&self, ranges: Vec<Range<u64>>) -> io::Result<Vec<Bytes>> {
        match &self.place {
            Place::Local(file) => file.read(ranges).await,
            Place::Remote(object) => object.read(&ranges).await,
        }
    }

    /// The bytes of these ranges, one after the other, each piece read when it is asked for.
    pub fn stream(self: Arc<Self>, ranges: Vec<Range<u64>>) -> BoxStream<'static, io::Result<Bytes>> {
        let pieces = ranges.into_iter().flat_map(|range| {
            let end = range.end;
            range.step_by(PIECE).map(move |start| start..start.saturating_add(PIECE as u64).min(end))
        });
        let read = move |piece: Range<u64>| {
            let file = Arc::clone(&self);
            async move {
                let read = file.read(vec![piece]).await?;
                read.into_iter().next().ok_or_else(|| io::Error::other("a piece that was not read"))
            }
        };
        stream::iter(pieces).then(read).boxed()
    }

    /// As [`StoredFile::read`], on a thread that may wait.
    ///
    /// # Errors
    ///
    /// As [`StoredFile::read`].
    pub fn read_blocking(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        match &self.place {
            Place::Local(file) => file.read_blocking(ranges),
            Place::Remote(object) => object.read_blocking(ranges.to_vec()),
        }
    }

    /// Fills the holes of `buffer`, which stand in ascending order and apart.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::UnexpectedEof`] if a hole reaches past the end: the file is shorter than what was indexed.
    /// - [`io::ErrorKind::InvalidInput`] if the holes are not in order or not inside the buffer.
    /// - Others as the medium says.
    pub async fn fill(&self, buffer: BytesMut, holes: Vec<Hole>) -> io::Result<BytesMut> {
        match &self.place {
            Place::Local(file) => file.fill(buffer, holes).await,
            Place::Remote(object) => object.fill(buffer, &holes).await,
        }
    }
}

impl ByteSource for StoredFile {
    fn len(&self) -> u64 {
        match &self.place {
            Place::Local(file) => file.len(),
            Place::Remote(object) => object.len(),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match &self.place {
            Place::Local(file) => file.read_at(offset, buf),
            Place::Remote(object) => object.read_at(offset, buf),
        }
    }
}

/// Bytes of a stream that are read at a time.
const PIECE: usize = 256 * 1024;
