//! The two offset spaces and the only bridge between them.
//!
//! A [`Span`] counts bytes from the start of a codestream, an [`Extent`] from the start of a stored
//! object. [`FrameExtents::locate`] turns one into the other and refuses every span that is not wholly
//! inside the frame, so no byte outside the frame can leave, whatever an index or a request says.

use smallvec::SmallVec;
use thiserror::Error;

/// A half-open run of bytes of a codestream: `offset..offset + len`, SOC at offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte, counted from the first byte of SOC.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// A half-open run of bytes of a stored object: `offset..offset + len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Extent {
    /// First byte, counted from the first byte of the stored object.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// The extents of one located span, in codestream order; nearly always one.
pub type Extents = SmallVec<[Extent; 1]>;

impl Span {
    /// A span from its first byte and its length.
    #[must_use]
    pub const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len }
    }

    /// One past the last byte, saturating.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Extent {
    /// An extent from its first byte and its length.
    #[must_use]
    pub const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len }
    }

    /// One past the last byte, saturating.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// Where one frame's codestream lies in its stored object: one or more extents, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameExtents {
    extents: Vec<Extent>,
    /// Codestream offset at which each extent begins, same length as `extents`.
    starts: Vec<u64>,
    len: u64,
}

/// Why extents or a span were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExtentError {
    /// An extent reaches past the end of the stored object.
    #[error("extent {offset}+{len} is not inside the object of {object_len} bytes")]
    OutsideObject {
        /// First byte of the extent.
        offset: u64,
        /// Length of the extent in bytes.
        len: u64,
        /// Length of the stored object in bytes.
        object_len: u64,
    },
    /// The extents' lengths do not fit 64 bits.
    #[error("the extents' total length overflows")]
    Overflow,
    /// A span reaches past the end of the frame.
    #[error("span {offset}+{len} is not inside the frame of {frame_len} bytes")]
    OutsideFrame {
        /// First byte of the span.
        offset: u64,
        /// Length of the span in bytes.
        len: u64,
        /// Length of the frame in bytes.
        frame_len: u64,
    },
}

impl FrameExtents {
    /// The frame that the given extents make up, in this order; empty extents are dropped.
    ///
    /// # Errors
    ///
    /// - [`ExtentError::OutsideObject`] if an extent is not inside `object_len` bytes.
    /// - [`ExtentError::Overflow`] if the total does not fit 64 bits.
    pub fn new(extents: Vec<Extent>, object_len: u64) -> Result<Self, ExtentError> {
        let mut kept = Vec::with_capacity(extents.len());
        let mut starts = Vec::with_capacity(extents.len());
        let mut len = 0u64;
        for extent in extents {
            let end = extent.offset.checked_add(extent.len);
            if end.is_none_or(|end| end > object_len) {
                return Err(ExtentError::OutsideObject { offset: extent.offset, len: extent.len, object_len });
            }
            if extent.len == 0 {
                continue;
            }
            starts.push(len);
            len = len.checked_add(extent.len).ok_or(ExtentError::Overflow)?;
            kept.push(extent);
        }
        Ok(Self { extents: kept, starts, len })
    }

    /// Length of the frame in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the frame holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The extents in codestream order, none of them empty.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The object bytes of `span`, in order; empty for an empty span.
    ///
    /// # Errors
    ///
    /// - [`ExtentError::OutsideFrame`] if the span is not wholly inside the frame.
    pub fn locate(&self, span: Span) -> Result<Extents, ExtentError> {
        let outside = ExtentError::OutsideFrame { offset: span.offset, len: span.len, frame_len: self.len };
        let end = span.offset.checked_add(span.len).ok_or(outside)?;
        if end > self.len {
            return Err(outside);
        }
        let mut found = Extents::new();
        let mut at = span.offset;
        let first = self.starts.partition_point(|&start| start <= at).saturating_sub(1);
        let pieces = self.extents.iter().zip(&self.starts).skip(first);
        for (extent, &start) in pieces {
            if at >= end {
                break;
            }
            let skip = at - start;
            let take = (extent.len - skip).min(end - at);
            found.push(Extent::new(extent.offset + skip, take));
            at += take;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(pieces: &[(u64, u64)]) -> FrameExtents {
        let extents = pieces.iter().map(|&(o, l)| Extent::new(o, l)).collect();
        FrameExtents::new(extents, 1000).unwrap()
    }

    #[test]
    fn a_span_across_fragments_gives_one_extent_each() {
        let frame = frame(&[(100, 10), (0, 0), (200, 5), (300, 10)]);
        assert_eq!(frame.len(), 25);
        let found = frame.locate(Span::new(8, 10)).unwrap();
        assert_eq!(found.as_slice(), [Extent::new(108, 2), Extent::new(200, 5), Extent::new(300, 3)]);
    }

    #[test]
    fn a_span_outside_the_frame_is_refused() {
        let frame = frame(&[(100, 10)]);
        for (offset, len) in [(0, 11), (11, 0), (u64::MAX, 2), (10, u64::MAX)] {
            assert!(frame.locate(Span::new(offset, len)).is_err(), "{offset}+{len}");
        }
        assert!(frame.locate(Span::new(10, 0)).unwrap().is_empty());
    }

    #[test]
    fn an_extent_outside_the_object_is_refused() {
        assert!(FrameExtents::new(vec![Extent::new(990, 11)], 1000).is_err());
        assert!(FrameExtents::new(vec![Extent::new(u64::MAX, 2)], 1000).is_err());
    }

    proptest! {
        #[test]
        fn located_bytes_are_exactly_the_span(
            pieces in prop::collection::vec((0u64..900, 0u64..100), 0..8),
            offset in 0u64..500,
            len in 0u64..500,
        ) {
            let frame = frame(&pieces);
            let all: Vec<u64> = frame.extents().iter().flat_map(|e| e.offset..e.end()).collect();
            let wanted = all.get(offset as usize..(offset + len) as usize);
            match frame.locate(Span::new(offset, len)) {
                Ok(found) => {
                    let got: Vec<u64> = found.iter().flat_map(|e| e.offset..e.end()).collect();
                    prop_assert_eq!(Some(got.as_slice()), wanted);
                }
                Err(_) => prop_assert!(wanted.is_none()),
            }
        }
    }
}
