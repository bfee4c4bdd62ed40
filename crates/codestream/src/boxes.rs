//! Boxes of the JP2 family: headers, bounds, nesting [15444-1 I.4].
//!
//! A box is `LBox` (4 bytes) `TBox` (4 bytes) `[XLBox (8 bytes)]` and its contents. `LBox` 0 means "to the
//! end of the file" and is legal at the top level only; a superbox that holds one would never end for a
//! reader that starts over at the same place, so it is refused there.

use std::cell::Cell;

use smallvec::SmallVec;

use crate::error::ParseError;
use crate::extent::Extent;
use crate::limits::Limits;
use crate::reader::ByteSource;

pub mod tree;

/// The four bytes that name a box.
pub type BoxType = [u8; 4];

/// One box header as found; positions count from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxHeader {
    /// `TBox`.
    pub box_type: BoxType,
    /// Bytes of the header: 8, or 16 with `XLBox`.
    pub header_len: u8,
    /// The whole box, as far as its parent or the file reaches.
    pub span: Extent,
    /// What follows the header.
    pub contents: Extent,
    /// The length that the header states, header included; 0 when it says "to the end of the file".
    pub declared_len: u64,
}

impl BoxHeader {
    /// Whether the header announces more bytes than there are.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.declared_len > self.span.len
    }

    /// The header as it stands in the file, as a placeholder box repeats it [15444-9 A.3.6.3].
    #[must_use]
    pub fn header_bytes(&self) -> SmallVec<[u8; 16]> {
        let mut bytes = SmallVec::new();
        if self.header_len == 16 {
            bytes.extend_from_slice(&1u32.to_be_bytes());
            bytes.extend_from_slice(&self.box_type);
            bytes.extend_from_slice(&self.declared_len.to_be_bytes());
        } else {
            let lbox = u32::try_from(self.declared_len).unwrap_or_default();
            bytes.extend_from_slice(&lbox.to_be_bytes());
            bytes.extend_from_slice(&self.box_type);
        }
        bytes
    }
}

/// How many boxes may still be read from a file, over all depths.
#[derive(Debug)]
pub struct BoxBudget {
    left: Cell<usize>,
    limit: usize,
    max_depth: u16,
}

impl BoxBudget {
    /// The whole of what the limits allow.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { left: Cell::new(limits.max_boxes), limit: limits.max_boxes, max_depth: limits.max_box_depth }
    }

    fn take(&self) -> Result<(), ParseError> {
        let left = self.left.get();
        if left == 0 {
            let limit = self.limit as u64;
            return Err(ParseError::LimitExceeded { what: "number of boxes", found: limit.saturating_add(1), limit });
        }
        self.left.set(left - 1);
        Ok(())
    }
}

/// The boxes that follow each other in one run of bytes: a file, or the contents of a superbox.
///
/// Ends after the first error. A box that reaches past a superbox is an error; one that reaches past the
/// file is given cut ([`BoxHeader::is_cut`]), because the codestream in it may be worth serving.
pub struct BoxReader<'a> {
    source: &'a dyn ByteSource,
    budget: &'a BoxBudget,
    at: u64,
    end: u64,
    depth: u16,
    ended: bool,
}

impl<'a> BoxReader<'a> {
    /// The top-level boxes of a file.
    #[must_use]
    pub fn top_level(source: &'a dyn ByteSource, budget: &'a BoxBudget) -> Self {
        Self { source, budget, at: 0, end: source.len(), depth: 0, ended: false }
    }

    /// The boxes inside a superbox whose contents are given; `depth` is 1 for a child of the top level.
    ///
    /// # Errors
    ///
    /// - [`ParseError::LimitExceeded`] if `depth` is more than the limits allow.
    pub fn children(
        source: &'a dyn ByteSource,
        budget: &'a BoxBudget,
        contents: Extent,
        depth: u16,
    ) -> Result<Self, ParseError> {
        if depth > budget.max_depth {
            let (found, limit) = (u64::from(depth), u64::from(budget.max_depth));
            return Err(ParseError::LimitExceeded { what: "nesting depth of boxes", found, limit });
        }
        let end = contents.end().min(source.len());
        Ok(Self { source, budget, at: contents.offset, end, depth, ended: false })
    }

    /// Where the next box would begin; after an error, where the box begins that cannot be read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.at
    }

    fn read(&mut self) -> Result<Option<BoxHeader>, ParseError> {
        let offset = self.at;
        let left = self.end.saturating_sub(offset);
        if left == 0 {
            return Ok(None);
        }
        self.budget.take()?;
        if left < 8 {
            return Err(ParseError::Truncated { what: "a box header", offset: self.end });
        }
        let mut head = [0u8; 16];
        let (short, long) = head.split_at_mut(8);
        self.source.read_exact_at(offset, short)?;
        let (&[l0, l1, l2, l3, t0, t1, t2, t3], long) = (&*short, long) else { return Ok(None) };
        let lbox = u32::from_be_bytes([l0, l1, l2, l3]);
        let (header_len, declared_len): (u8, u64) = match lbox {
            0 if self.depth > 0 => {
                return Err(ParseError::Malformed { what: "a box of unlimited length in a superbox", offset });
            }
            1 => {
                if left < 16 {
                    return Err(ParseError::Truncated { what: "a box header", offset: self.end });
                }
                self.source.read_exact_at(offset.saturating_add(8), long)?;
                let xlbox = <[u8; 8]>::try_from(&*long).map_or(0, u64::from_be_bytes);
                if xlbox < 16 {
                    return Err(ParseError::Malformed { what: "XLBox below 16", offset });
                }
                (16, xlbox)
            }
            2..=7 => return Err(ParseError::Malformed { what: "LBox between 2 and 7", offset }),
            _ => (8, u64::from(lbox)),
        };
        let len = match declared_len {
            0 => left,
            declared if declared <= left => declared,
            _ if self.depth > 0 => {
                return Err(ParseError::Malformed { what: "a box reaches past its superbox", offset });
            }
            _ => left,
        };
        self.at = offset.saturating_add(len);
        let skip = u64::from(header_len);
        Ok(Some(BoxHeader {
            box_type: [t0, t1, t2, t3],
            header_len,
            span: Extent::new(offset, len),
            contents: Extent::new(offset.saturating_add(skip), len.saturating_sub(skip)),
            declared_len,
        }))
    }
}

impl Iterator for BoxReader<'_> {
    type Item = Result<BoxHeader, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// The contents of a box that must be small, read as a whole.
///
/// # Errors
///
/// - [`ParseError::LimitExceeded`] if there are more than `limit` bytes.
/// - [`ParseError::Source`] if reading fails.
pub fn read_contents(source: &dyn ByteSource, contents: Extent, limit: u64) -> Result<Vec<u8>, ParseError> {
    if contents.len > limit {
        return Err(ParseError::LimitExceeded { what: "length of a box", found: contents.len, limit });
    }
    // A box that the end of the file cuts has been cut by the reader already, so the bytes are there.
    let len = usize::try_from(contents.len.min(source.len())).unwrap_or_default();
    let mut bytes = vec![0; len];
    source.read_exact_at(contents.offset, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Result<BoxHeader, ParseError>> {
        let source = bytes.to_vec();
        let budget = BoxBudget::new(&Limits { max_boxes: 100, ..Limits::default() });
        BoxReader::top_level(&source, &budget).collect()
    }

    fn inside(bytes: &[u8]) -> Vec<Result<BoxHeader, ParseError>> {
        let source = bytes.to_vec();
        let budget = BoxBudget::new(&Limits::default());
        let contents = Extent::new(0, source.len() as u64);
        BoxReader::children(&source, &budget, contents, 1).unwrap().collect()
    }

    #[test]
    fn i_4_the_three_forms_of_a_length() {
        let bytes = b"\0\0\0\x0aabcdXY\0\0\0\x01efgh\0\0\0\0\0\0\0\x11Z\0\0\0\0ijklrest";
        let found: Vec<_> = all(bytes).into_iter().map(Result::unwrap).collect();
        let contents: Vec<_> = found.iter().map(|b| (b.contents.offset, b.contents.len)).collect();
        assert_eq!(contents, [(8, 2), (26, 1), (35, 4)]);
        assert_eq!(found[0].header_bytes().as_slice(), &bytes[..8]);
        assert_eq!(found[1].header_bytes().as_slice(), &bytes[10..26]);
        assert_eq!(found[2].header_bytes().as_slice(), b"\0\0\0\0ijkl");
    }

    #[test]
    fn lengths_that_would_loop_or_reach_outside_are_refused() {
        for bad in [&b"\0\0\0\x07abcd"[..], b"\0\0\0\x02abcd", b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x0f", b"\0\0\0"] {
            assert!(all(bad).pop().unwrap().is_err(), "{bad:?}");
        }
        assert!(inside(b"\0\0\0\0abcd").pop().unwrap().is_err());
        assert!(inside(b"\0\0\0\x09abcd").pop().unwrap().is_err());
        assert!(inside(b"\0\0\0\x01abcd\xff\xff\xff\xff\xff\xff\xff\xff").pop().unwrap().is_err());
    }

    #[test]
    fn a_top_level_box_past_the_end_of_the_file_is_cut() {
        for bytes in [&b"\0\0\x01\0jp2cabc"[..], b"\0\0\0\x01jp2c\xff\xff\xff\xff\xff\xff\xff\xffabc"] {
            let found = all(bytes);
            let only = found[0].as_ref().unwrap();
            assert!(only.is_cut());
            assert_eq!(only.contents.len, 3);
            assert_eq!(found.len(), 1);
        }
    }

    #[test]
    fn number_and_depth_are_limited() {
        let many = b"\0\0\0\x08free".repeat(101);
        let found = all(&many);
        assert_eq!(found.len(), 101);
        assert!(matches!(found[100], Err(ParseError::LimitExceeded { .. })));
        let budget = BoxBudget::new(&Limits::default());
        assert!(BoxReader::children(&many, &budget, Extent::new(0, 8), 17).is_err());
    }
}
