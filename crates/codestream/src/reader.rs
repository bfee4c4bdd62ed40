//! Random access to bytes that lie elsewhere: a stored object, or a frame inside one.

use std::io;

use crate::extent::{FrameExtents, Span};

/// Bytes that can be read at any offset. Reading never moves a position, so `&self` is enough.
pub trait ByteSource {
    /// Number of bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills a prefix of `buf` from `offset` and returns its length; 0 only at the end or for an empty `buf`.
    ///
    /// # Errors
    ///
    /// Whatever the medium reports; end of data is not an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Fills all of `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the data end first, otherwise as [`ByteSource::read_at`].
    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.read_at(offset, buf)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += n as u64;
            buf = buf.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }
}

impl ByteSource for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl ByteSource for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<S: ByteSource + ?Sized> ByteSource for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buf)
    }
}

/// One frame of a stored object, seen as a codestream that begins at offset 0.
#[derive(Debug, Clone, Copy)]
pub struct FrameSource<'a, S: ?Sized> {
    object: &'a S,
    extents: &'a FrameExtents,
}

impl<'a, S: ByteSource + ?Sized> FrameSource<'a, S> {
    /// The frame that lies at `extents` of `object`.
    pub const fn new(object: &'a S, extents: &'a FrameExtents) -> Self {
        Self { object, extents }
    }
}

impl<S: ByteSource + ?Sized> ByteSource for FrameSource<'_, S> {
    fn len(&self) -> u64 {
        self.extents.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.extents.len().saturating_sub(offset);
        let want = left.min(buf.len() as u64);
        let located = self.extents.locate(Span::new(offset.min(self.extents.len()), want)).map_err(io::Error::other)?;
        let Some(first) = located.first() else { return Ok(0) };
        // One extent a call: the caller loops, and most frames have just one.
        let n = usize::try_from(first.len).unwrap_or(usize::MAX).min(buf.len());
        self.object.read_at(first.offset, buf.get_mut(..n).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Extent;

    #[test]
    fn a_frame_of_two_fragments_reads_as_one_codestream() {
        let object: Vec<u8> = (0..100).collect();
        let extents = FrameExtents::new(vec![Extent::new(10, 3), Extent::new(50, 4)], 100).unwrap();
        let frame = FrameSource::new(&object, &extents);
        let mut all = [0u8; 7];
        frame.read_exact_at(0, &mut all).unwrap();
        assert_eq!(all, [10, 11, 12, 50, 51, 52, 53]);
        let mut tail = [0u8; 9];
        assert_eq!(frame.read_at(5, &mut tail).unwrap(), 2);
        assert_eq!(frame.read_at(7, &mut tail).unwrap(), 0);
        assert_eq!(frame.read_at(u64::MAX, &mut tail).unwrap(), 0);
    }
}
