//! One file of the local store, open for reading: at once when the page cache has the bytes, aside when it has not.

mod scatter;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use codestream::ByteSource;
use rustix::io::{Errno, ReadWriteFlags};
pub use scatter::Hole;

/// A file of the local store. Its length is that of the file when it was opened.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: File,
    len: u64,
}

/// Neighbours closer than this are read in one go: a gap of a page costs less than another system call.
const GAP: u64 = 4096;

/// More than this is read aside even if the page cache has it, so that copying does not hold up other requests.
const AT_ONCE: u64 = 512 * 1024;

/// Set once a file system says that it cannot tell whether it would block.
static CANNOT_TELL: AtomicBool = AtomicBool::new(false);

impl LocalFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    pub(super) fn to_file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Reads the ranges if that can be done without waiting for the disk; `None` if it cannot.
    ///
    /// # Errors
    ///
    /// As [`LocalFile::read`].
    pub(super) fn read_now(&self, ranges: &[Range<u64>]) -> Option<io::Result<Vec<Bytes>>> {
        let runs = match self.runs(ranges) {
            Ok(runs) => runs,
            Err(error) => return Some(Err(error)),
        };
        if CANNOT_TELL.load(Ordering::Relaxed) || runs.iter().map(|run| run.end - run.start).sum::<u64>() > AT_ONCE {
            return None;
        }
        let read = runs.iter().map(|run| self.run_now(run)).collect::<Option<io::Result<Vec<Bytes>>>>()?;
        Some(read.map(|bytes| slices(ranges, &runs, &bytes)))
    }

    /// The bytes of each range, in the order asked; neighbours are read together.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::UnexpectedEof`] if a range reaches past the end: the file is shorter than what was indexed.
    /// - Others as the medium says.
    pub(super) async fn read(self: &Arc<Self>, ranges: Vec<Range<u64>>) -> io::Result<Vec<Bytes>> {
        if let Some(read) = self.read_now(&ranges) {
            return read;
        }
        let file = Arc::clone(self);
        tokio::task::spawn_blocking(move || file.read_blocking(&ranges)).await.map_err(io::Error::other)?
    }

    /// As [`LocalFile::read`], on a thread that may wait.
    ///
    /// # Errors
    ///
    /// As [`LocalFile::read`].
    pub(super) fn read_blocking(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let runs = self.runs(ranges)?;
        let read = runs.iter().map(|run| {
            let mut bytes = BytesMut::zeroed(length(run)?);
            self.file.read_exact_at(&mut bytes, run.start)?;
            Ok(bytes.freeze())
        });
        let bytes = read.collect::<io::Result<Vec<Bytes>>>()?;
        Ok(slices(ranges, &runs, &bytes))
    }

    /// The runs to read: sorted, apart by more than [`GAP`], each inside the file; empty ranges are in none.
    fn runs(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Range<u64>>> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let mut runs: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match runs.last_mut() {
                Some(last) if range.start.saturating_sub(last.end) <= GAP => last.end = last.end.max(range.end),
                _ => runs.push(range),
            }
        }
        Ok(runs)
    }

    fn run_now(&self, run: &Range<u64>) -> Option<io::Result<Bytes>> {
        let mut bytes = BytesMut::zeroed(length(run).ok()?);
        let mut done = 0;
        while done < bytes.len() {
            let rest = bytes.get_mut(done..).unwrap_or_default();
            let offset = run.start + done as u64;
            match rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(rest)], offset, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    CANNOT_TELL.store(true, Ordering::Relaxed);
                    return None;
                }
                Err(errno) => return Some(Err(errno.into())),
            }
        }
        Some(Ok(bytes.freeze()))
    }
}

impl ByteSource for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
}

fn length(run: &Range<u64>) -> io::Result<usize> {
    usize::try_from(run.end - run.start).map_err(io::Error::other)
}

/// Cuts each range out of the run that holds it.
fn slices(ranges: &[Range<u64>], runs: &[Range<u64>], bytes: &[Bytes]) -> Vec<Bytes> {
    let cut = |range: &Range<u64>| {
        let run = runs.partition_point(|run| run.start <= range.start).checked_sub(1)?;
        let (run, bytes) = (runs.get(run)?, bytes.get(run)?);
        let start = usize::try_from(range.start - run.start).ok()?;
        let end = usize::try_from(range.end.checked_sub(run.start)?).ok()?;
        (start < end && end <= bytes.len()).then(|| bytes.slice(start..end))
    };
    ranges.iter().map(|range| cut(range).unwrap_or_default()).collect()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is to be read")]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn stored(len: usize) -> LocalFile {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        LocalFile::new(file).unwrap()
    }

    #[test]
    fn neighbours_are_read_together() {
        let file = stored(100_000);
        let runs = file.runs(&[50_000..50_010, 0..10, 10..20, 4000..4010, 60_000..60_000, 5..8]).unwrap();
        assert_eq!(runs, [0..4010, 50_000..50_010]);
    }

    #[test]
    fn what_lies_past_the_end_is_an_error_of_that_read_alone() {
        let file = stored(100);
        assert_eq!(file.read_blocking(&[90..101]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(file.read_now(&[u64::MAX - 1..u64::MAX]).unwrap().is_err());
        assert_eq!(file.read_blocking(&[99..100, 100..100]).unwrap(), [&[99u8][..], &[]]);
    }

    #[tokio::test]
    async fn a_file_cut_short_after_opening_is_an_error_not_a_short_answer() {
        let file = stored(10_000);
        file.file.set_len(5000).unwrap();
        let file = Arc::new(file);
        let error = file.read(vec![0..10, 4990..5001]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.read(vec![0..2]).await.unwrap(), [&[0u8, 1][..]]);
    }

    proptest! {
        #[test]
        fn every_range_gets_its_own_bytes(ranges in prop::collection::vec((0u64..30_000, 0u64..9000), 0..12)) {
            let file = stored(39_000);
            let ranges: Vec<_> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let whole: Vec<u8> = (0..39_000).map(|n| (n % 251) as u8).collect();
            for read in [Some(file.read_blocking(&ranges)), file.read_now(&ranges)].into_iter().flatten() {
                let read = read.unwrap();
                prop_assert_eq!(read.len(), ranges.len());
                for (bytes, range) in read.iter().zip(&ranges) {
                    prop_assert_eq!(&bytes[..], &whole[range.start as usize..range.end as usize]);
                }
            }
        }
    }
}
