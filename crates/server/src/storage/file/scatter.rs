//! Reading many parts of a file straight to where they belong in one buffer.
//!
//! The parts of a response lie side by side in the file but apart in the response, with message heads between
//! them. One system call reads such a run into all its places, so that no byte is copied a second time.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use rustix::io::{Errno, ReadWriteFlags};

use super::{AT_ONCE, CANNOT_TELL, GAP, LocalFile};

/// A place in a buffer and the first byte of the file that belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The place, half open.
    pub at: Range<usize>,
    /// Offset in the file of the byte at `at.start`.
    pub offset: u64,
}

impl LocalFile {
    /// Fills the holes of `buffer`, which stand in ascending order and apart.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::UnexpectedEof`] if a hole reaches past the end: the file is shorter than what was indexed.
    /// - [`io::ErrorKind::InvalidInput`] if the holes are not in order or not inside the buffer.
    /// - Others as the medium says.
    pub(in crate::storage) async fn fill(
        self: &Arc<Self>,
        mut buffer: BytesMut,
        holes: Vec<Hole>,
    ) -> io::Result<BytesMut> {
        let small = holes.iter().map(|hole| hole.at.len() as u64).sum::<u64>() <= AT_ONCE;
        if small && !CANNOT_TELL.load(Ordering::Relaxed) && self.fill_holes(&mut buffer, &holes, Wait::Never)? {
            return Ok(buffer);
        }
        let file = Arc::clone(self);
        let filled = tokio::task::spawn_blocking(move || {
            file.fill_holes(&mut buffer, &holes, Wait::ForTheDisk)?;
            Ok(buffer)
        });
        filled.await.map_err(io::Error::other)?
    }

    /// False if the page cache lacks something and waiting is not allowed; the holes then hold anything.
    fn fill_holes(&self, buffer: &mut [u8], holes: &[Hole], wait: Wait) -> io::Result<bool> {
        let mut parts = self.places(buffer, holes)?;
        parts.sort_by_key(|part| part.offset);
        let mut parts = parts.into_iter().peekable();
        let mut scratch = Vec::new();
        while let Some(first) = parts.next() {
            let (start, mut end) = (first.offset, first.end());
            let mut run = vec![first];
            let goes_on = |end: u64, next: &Place<'_>| {
                next.offset >= end && next.offset - end <= GAP && next.end() - start <= MOST_RUN
            };
            while let Some(next) = parts.next_if(|next| goes_on(end, next)) {
                end = next.end();
                run.push(next);
            }
            let filled = if end - start < run.len() as u64 * SMALL {
                self.fill_by_copy(start..end, run, &mut scratch, wait)?
            } else {
                self.fill_run(start, run, wait)?
            };
            if !filled {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a run of small neighbours in one piece and copies each to its place: thousands of slices of some bytes
    /// cost the system more than that copy.
    fn fill_by_copy(
        &self,
        range: Range<u64>,
        run: Vec<Place<'_>>,
        scratch: &mut Vec<u8>,
        wait: Wait,
    ) -> io::Result<bool> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        let read = scratch.get_mut(..len).unwrap_or_default();
        if !self.read_slices(&mut [IoSliceMut::new(read)], range.start, wait)? {
            return Ok(false);
        }
        let mut rest = &*read;
        let mut at = range.start;
        for place in run {
            let skip = usize::try_from(place.offset - at).map_err(io::Error::other)?;
            let found = rest.split_at_checked(skip).and_then(|(_, rest)| rest.split_at_checked(place.bytes.len()));
            let (bytes, after) = found.ok_or(io::ErrorKind::InvalidInput)?;
            place.bytes.copy_from_slice(bytes);
            (rest, at) = (after, place.end());
        }
        Ok(true)
    }

    /// The holes as pieces of the buffer, each inside the file.
    fn places<'b>(&self, buffer: &'b mut [u8], holes: &[Hole]) -> io::Result<Vec<Place<'b>>> {
        let mut places = Vec::with_capacity(holes.len());
        let (mut rest, mut at) = (buffer, 0);
        for hole in holes {
            let inside = hole.at.start.checked_sub(at).and_then(|skip| {
                let (_, from) = std::mem::take(&mut rest).split_at_mut_checked(skip)?;
                from.split_at_mut_checked(hole.at.end.checked_sub(hole.at.start)?)
            });
            let (bytes, after) = inside.ok_or(io::ErrorKind::InvalidInput)?;
            let end = hole.offset.checked_add(bytes.len() as u64);
            if end.is_none_or(|end| end > self.len) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !bytes.is_empty() {
                places.push(Place { offset: hole.offset, bytes });
            }
            (rest, at) = (after, hole.at.end);
        }
        Ok(places)
    }

    /// Reads one run of neighbours; what lies between them goes to a scratch buffer.
    fn fill_run(&self, start: u64, run: Vec<Place<'_>>, wait: Wait) -> io::Result<bool> {
        let mut between = Vec::new();
        let mut at = start;
        for place in &run {
            between.push(usize::try_from(place.offset - at).map_err(io::Error::other)?);
            at = place.end();
        }
        let mut scratch = vec![0; between.iter().sum()];
        let mut scratch = scratch.as_mut_slice();
        let mut slices = Vec::with_capacity(run.len() * 2);
        for (place, gap) in run.into_iter().zip(between) {
            if gap > 0
                && let Some((here, rest)) = std::mem::take(&mut scratch).split_at_mut_checked(gap)
            {
                slices.push(IoSliceMut::new(here));
                scratch = rest;
            }
            slices.push(IoSliceMut::new(place.bytes));
        }
        self.read_slices(&mut slices, start, wait)
    }

    fn read_slices(&self, mut slices: &mut [IoSliceMut<'_>], mut offset: u64, wait: Wait) -> io::Result<bool> {
        while !slices.is_empty() {
            let most = slices.len().min(MOST_SLICES);
            let some = slices.get_mut(..most).unwrap_or_default();
            let read = match wait {
                Wait::Never => rustix::io::preadv2(&self.file, some, offset, ReadWriteFlags::NOWAIT),
                Wait::ForTheDisk => rustix::io::preadv(&self.file, some, offset),
            };
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    offset += n as u64;
                    IoSliceMut::advance_slices(&mut slices, n);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if wait == Wait::Never => return Ok(false),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if wait == Wait::Never => {
                    CANNOT_TELL.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(true)
    }
}

/// A piece of the buffer and where its bytes lie in the file.
struct Place<'b> {
    offset: u64,
    bytes: &'b mut [u8],
}

impl Place<'_> {
    const fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Never,
    ForTheDisk,
}

/// A run of places that take up fewer bytes than this each, the gaps between them counted, is read in one piece.
const SMALL: u64 = 512;

/// Bytes from the first to the last of a run: it bounds what is read only to be dropped.
const MOST_RUN: u64 = 256 * 1024;

/// Slices of one system call; Linux takes 1024.
const MOST_SLICES: usize = 1024;

#[cfg(test)]
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
    fn a_hole_past_the_end_or_out_of_order_is_refused() {
        let file = stored(100);
        let kind = |holes: &[Hole]| file.fill_holes(&mut [0; 20], holes, Wait::ForTheDisk).map_err(|e| e.kind());
        let hole = |at: Range<usize>, offset| Hole { at, offset };
        assert_eq!(kind(&[hole(0..10, 91)]), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(&[hole(0..10, u64::MAX)]), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(&[hole(5..10, 0), hole(9..12, 0)]), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(&[hole(15..21, 0)]), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(&[hole(0..10, 90), hole(10..10, 0)]), Ok(true));
    }

    #[tokio::test]
    async fn a_file_cut_short_after_opening_is_an_error_not_a_short_answer() {
        let file = Arc::new(stored(10_000));
        file.file.set_len(5000).unwrap();
        let holes = vec![Hole { at: 0..20, offset: 4990 }];
        let error = file.fill(BytesMut::zeroed(20), holes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn more_slices_than_one_call_takes_are_read_in_several() {
        let file = stored(9000);
        let holes: Vec<_> = (0..3000).map(|n| Hole { at: n * 2..n * 2 + 1, offset: n as u64 * 3 }).collect();
        let mut buffer = vec![7; 6000];
        assert!(file.fill_holes(&mut buffer, &holes, Wait::ForTheDisk).unwrap());
        for n in 0..3000 {
            assert_eq!((buffer[n * 2], buffer[n * 2 + 1]), ((n * 3 % 251) as u8, 7));
        }
    }

    proptest! {
        #[test]
        fn every_hole_gets_its_own_bytes_and_nothing_else_changes(
            parts in prop::collection::vec((0u64..30_000, prop_oneof![0usize..9000, 0usize..30], 0usize..40), 0..24),
        ) {
            let file = stored(39_000);
            let mut holes = Vec::new();
            let mut at = 0;
            for (offset, len, head) in parts {
                holes.push(Hole { at: at + head..at + head + len, offset });
                at += head + len;
            }
            for wait in [Wait::ForTheDisk, Wait::Never] {
                let mut buffer = vec![255; at];
                if !file.fill_holes(&mut buffer, &holes, wait).unwrap() {
                    continue;
                }
                let mut expected = vec![255; at];
                for hole in &holes {
                    for (n, byte) in expected[hole.at.clone()].iter_mut().enumerate() {
                        *byte = ((hole.offset as usize + n) % 251) as u8;
                    }
                }
                prop_assert_eq!(&buffer, &expected);
            }
        }
    }
}
