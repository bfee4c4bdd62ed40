//! The elements of a whole data set in order [PS3.5 7]: every length and every delimiter is checked, nothing that is not
//! asked for is read, and nesting costs a list entry, never a stack frame.

use dicom_core::{Tag, VR};

use crate::element::{ElementHeader, Encoding, ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER};
use crate::error::ObjectError;
use crate::fragments::{Fragments, read_fragments};
use crate::input::Input;
use crate::limits::ScanLimits;

pub(crate) const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// What comes next in a data set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// An element with a value of so many bytes, which may be read; what is not read is passed over.
    Value(ElementHeader, u64),
    /// An element whose value is items of bytes, to be read by [`Elements::fragments`].
    Fragments(ElementHeader),
    SequenceBegin(ElementHeader),
    ItemBegin,
    ItemEnd,
    SequenceEnd,
}

/// One sequence or item that has begun and not ended.
struct Open {
    is_item: bool,
    /// Where it ends, `None` if a delimiter ends it.
    end: Option<u64>,
    /// Where it or the nearest thing around it ends.
    bound: u64,
    encoding: Encoding,
}

impl Open {
    const fn into_end(self) -> Event {
        if self.is_item { Event::ItemEnd } else { Event::SequenceEnd }
    }
}

/// A walk through the data set from the position of its input to the end.
pub(crate) struct Elements<'a> {
    input: &'a mut dyn Input,
    limits: &'a ScanLimits,
    encoding: Encoding,
    count: u64,
    open: Vec<Open>,
    /// Where the value of the element at hand ends.
    value_end: u64,
}

enum Shape {
    Value(u64),
    /// Items whose elements are written like this.
    Sequence(Encoding),
    Fragments,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(input: &'a mut dyn Input, encoding: Encoding, limits: &'a ScanLimits) -> Self {
        let value_end = input.position();
        Self { input, limits, encoding, count: 0, open: Vec::new(), value_end }
    }

    /// The next event; `None` at the end of the data set.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, ObjectError> {
        self.skip_value("an element's value")?;
        loop {
            let position = self.input.position();
            if let Some(ended) = self.open.pop_if(|open| open.end == Some(position)) {
                return Ok(Some(ended.into_end()));
            }
            let Some(inner) = self.open.last() else { return self.outermost() };
            let (is_item, delimited, bound, encoding) =
                (inner.is_item, inner.end.is_none(), inner.bound, inner.encoding);
            let header = self.read_header(encoding)?;
            let malformed = |what| ObjectError::Malformed { what, offset: header.offset };
            if self.input.position() > bound {
                return Err(malformed("an element that reaches past the sequence or item around it"));
            }
            match (header.tag, is_item) {
                (ITEM_DELIMITER, true) | (SEQUENCE_DELIMITER, false) => {
                    if header.len != Some(0) {
                        return Err(malformed("a delimiter with a length"));
                    }
                    // One that stands at the end of something with a length of its own says nothing new.
                    if delimited && let Some(ended) = self.open.pop() {
                        return Ok(Some(ended.into_end()));
                    }
                }
                (ITEM, false) => {
                    self.begin(&header, true, encoding)?;
                    return Ok(Some(Event::ItemBegin));
                }
                (_, false) => return Err(malformed("something other than an item in a sequence")),
                (ITEM | SEQUENCE_DELIMITER, true) => {
                    return Err(malformed("an item or delimiter where an element belongs"));
                }
                (_, true) => return self.element(header, encoding).map(Some),
            }
        }
    }

    /// Reads the rest of the value at hand into memory; the caller has looked at its length.
    pub(crate) fn read_value(&mut self) -> Result<Vec<u8>, ObjectError> {
        const WHAT: &str = "an element's value";
        let left = self.value_end.saturating_sub(self.input.position());
        let offset = self.input.position();
        let Ok(size) = usize::try_from(left) else { return Err(ObjectError::Truncated { what: WHAT, offset }) };
        let mut bytes = vec![0; size];
        self.input.read_exact(&mut bytes, WHAT)?;
        Ok(bytes)
    }

    /// Reads the rest of the value at hand into a piece of memory as large as that at most; false at its end.
    pub(crate) fn read_piece(&mut self, piece: &mut Vec<u8>, size: usize) -> Result<bool, ObjectError> {
        let left = self.value_end.saturating_sub(self.input.position());
        let size = usize::try_from(left).unwrap_or(size).min(size);
        piece.resize(size, 0);
        self.input.read_exact(piece, "an element's value")?;
        Ok(size > 0)
    }

    /// Passes over the rest of the value at hand; `what` names it in the error.
    pub(crate) fn skip_value(&mut self, what: &'static str) -> Result<(), ObjectError> {
        let left = self.value_end.saturating_sub(self.input.position());
        if left > 0 { self.input.skip(left, what) } else { Ok(()) }
    }

    /// Reads the items of the element at hand, after [`Event::Fragments`].
    pub(crate) fn fragments(&mut self) -> Result<Fragments, ObjectError> {
        let offset = self.input.position();
        let bound = self.open.last().map_or(u64::MAX, |open| open.bound);
        let encoding = self.encoding();
        let fragments = read_fragments(self.input, encoding, self.limits, &mut self.count)?;
        if self.input.position() > bound {
            let what = "fragments that reach past the item around them";
            return Err(ObjectError::Malformed { what, offset });
        }
        Ok(fragments)
    }

    /// How the element at hand is written.
    pub(crate) fn encoding(&self) -> Encoding {
        self.open.last().map_or(self.encoding, |open| open.encoding)
    }

    /// Sequences and items that are open.
    pub(crate) const fn depth(&self) -> usize {
        self.open.len()
    }

    /// Where the next byte is read.
    pub(crate) fn position(&self) -> u64 {
        self.input.position()
    }

    /// Whether positions are offsets of the stored object.
    pub(crate) fn is_object_space(&self) -> bool {
        self.input.is_object_space()
    }

    fn outermost(&mut self) -> Result<Option<Event>, ObjectError> {
        if self.input.at_end()? {
            return Ok(None);
        }
        let header = self.read_header(self.encoding)?;
        if header.tag.group() == 0xfffe {
            let what = "an item or delimiter outside any sequence";
            return Err(ObjectError::Malformed { what, offset: header.offset });
        }
        if header.tag == Tag(0, 0) && header.len == Some(0) {
            return self.only_zeros_follow(&header).map(|()| None);
        }
        self.element(header, self.encoding).map(Some)
    }

    fn element(&mut self, header: ElementHeader, encoding: Encoding) -> Result<Event, ObjectError> {
        match shape(&header, encoding) {
            Shape::Sequence(inside) => {
                self.begin(&header, false, inside)?;
                Ok(Event::SequenceBegin(header))
            }
            Shape::Fragments => Ok(Event::Fragments(header)),
            Shape::Value(len) => {
                self.check_bound(&header, len)?;
                self.value_end = self.input.position().saturating_add(len);
                Ok(Event::Value(header, len))
            }
        }
    }

    fn begin(&mut self, header: &ElementHeader, is_item: bool, encoding: Encoding) -> Result<(), ObjectError> {
        if self.open.len() >= self.limits.max_depth {
            let (found, limit) = (self.open.len() as u64 + 1, self.limits.max_depth as u64);
            return Err(ObjectError::LimitExceeded { what: "depth of nested sequences", found, limit });
        }
        let end = match header.len {
            Some(len) => {
                self.check_bound(header, len)?;
                Some(self.input.position().saturating_add(len))
            }
            None => None,
        };
        let around = self.open.last().map_or(u64::MAX, |open| open.bound);
        self.open.push(Open { is_item, end, bound: end.unwrap_or(around), encoding });
        Ok(())
    }

    fn check_bound(&self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        let bound = self.open.last().map_or(u64::MAX, |open| open.bound);
        if self.input.position().saturating_add(len) > bound {
            let what = "an element that reaches past the sequence or item around it";
            return Err(ObjectError::Malformed { what, offset: header.offset });
        }
        Ok(())
    }

    fn read_header(&mut self, encoding: Encoding) -> Result<ElementHeader, ObjectError> {
        self.count += 1;
        check_count(self.count, self.limits)?;
        ElementHeader::read(self.input, encoding)
    }

    /// Writers that fill their last block leave zeros behind the data set; nothing else may follow there.
    fn only_zeros_follow(&mut self, header: &ElementHeader) -> Result<(), ObjectError> {
        const MAX_PADDING: u64 = 1 << 20;
        while !self.input.at_end()? {
            let mut byte = [0];
            self.input.read_exact(&mut byte, "padding")?;
            if byte != [0] || self.input.position() - header.offset > MAX_PADDING {
                let what = "bytes that are no element behind the data set";
                return Err(ObjectError::Malformed { what, offset: header.offset });
            }
        }
        Ok(())
    }
}

/// What follows a header.
fn shape(header: &ElementHeader, encoding: Encoding) -> Shape {
    match (header.len, header.vr) {
        (Some(_), VR::SQ) => Shape::Sequence(encoding),
        (Some(len), _) => Shape::Value(len),
        (None, _) if header.tag == PIXEL_DATA => Shape::Fragments,
        (None, VR::SQ) => Shape::Sequence(encoding),
        // A sequence that somebody did not know, who kept it as it came [PS3.5 6.2.2 note].
        (None, VR::UN) => Shape::Sequence(Encoding::ImplicitLittle),
        // Without a VR only sequences have no length, whatever a dictionary says.
        (None, _) if encoding == Encoding::ImplicitLittle => Shape::Sequence(encoding),
        (None, _) => Shape::Fragments,
    }
}

/// Refuses the element that is one too many.
pub(crate) fn check_count(elements: u64, limits: &ScanLimits) -> Result<(), ObjectError> {
    if elements > limits.max_elements {
        let what = "elements of the data set";
        return Err(ObjectError::LimitExceeded { what, found: elements, limit: limits.max_elements });
    }
    Ok(())
}
