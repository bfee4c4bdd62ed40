//! The walk over a whole data set [PS3.5 7]: every length and every delimiter is checked, nothing that
//! is not asked for is read, and nesting costs a list entry, never a stack frame.

use dicom_core::{Tag, VR};

use crate::element::{ElementHeader, Encoding, ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER};
use crate::error::ObjectError;
use crate::fragments::{Fragments, read_fragments};
use crate::input::Input;
use crate::limits::ScanLimits;

pub(crate) const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7fe0, 0x0008);
const DOUBLE_FLOAT_PIXEL_DATA: Tag = Tag(0x7fe0, 0x0009);
const EXTENDED_OFFSET_TABLE: Tag = Tag(0x7fe0, 0x0001);
const EXTENDED_OFFSET_TABLE_LENGTHS: Tag = Tag(0x7fe0, 0x0002);

/// What a walk has kept of a data set.
#[derive(Debug)]
pub(crate) struct DataSet {
    pub(crate) encoding: Encoding,
    /// Short values of the outermost level, in the order of the object; no private ones, no bulk.
    pub(crate) values: Vec<RawValue>,
    pub(crate) pixel_data: RawPixelData,
    /// Extended Offset Table: offsets and lengths [PS3.3 C.7.6.3.1.8].
    pub(crate) extended_offsets: Vec<u64>,
    pub(crate) extended_lengths: Vec<u64>,
}

/// The bytes of one value of the outermost level.
#[derive(Debug)]
pub(crate) struct RawValue {
    pub(crate) tag: Tag,
    pub(crate) vr: VR,
    /// `None` if it was longer than the limits allow.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// The pixel data of the outermost level; those inside sequences (icons) are somebody else's.
#[derive(Debug)]
pub(crate) enum RawPixelData {
    None,
    Native,
    Fragments(Fragments),
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

struct Walk<'a> {
    input: &'a mut dyn Input,
    limits: &'a ScanLimits,
    elements: u64,
    kept_bytes: usize,
    open: Vec<Open>,
    found: DataSet,
}

impl DataSet {
    /// Walks everything from the position of `input` to its end.
    pub(crate) fn walk(input: &mut dyn Input, encoding: Encoding, limits: &ScanLimits) -> Result<Self, ObjectError> {
        let found = Self {
            encoding,
            values: Vec::new(),
            pixel_data: RawPixelData::None,
            extended_offsets: Vec::new(),
            extended_lengths: Vec::new(),
        };
        let mut walk = Walk { input, limits, elements: 0, kept_bytes: 0, open: Vec::new(), found };
        while walk.step()? {}
        Ok(walk.found)
    }
}

impl Walk<'_> {
    /// Takes one element, item or delimiter; false at the end of the data set.
    fn step(&mut self) -> Result<bool, ObjectError> {
        let position = self.input.position();
        while self.open.last().is_some_and(|open| open.end == Some(position)) {
            self.open.pop();
        }
        let Some(inner) = self.open.last() else {
            if self.input.at_end()? {
                return Ok(false);
            }
            return self.outermost_element();
        };
        let (is_item, delimited, bound, encoding) = (inner.is_item, inner.end.is_none(), inner.bound, inner.encoding);
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
                if delimited {
                    self.open.pop();
                }
                Ok(true)
            }
            (ITEM, false) => self.open(&header, true, encoding).map(|()| true),
            (_, false) => Err(malformed("something other than an item in a sequence")),
            (ITEM | SEQUENCE_DELIMITER, true) => Err(malformed("an item or delimiter where an element belongs")),
            (_, true) => self.inner_element(&header, encoding).map(|()| true),
        }
    }

    fn inner_element(&mut self, header: &ElementHeader, encoding: Encoding) -> Result<(), ObjectError> {
        match self.shape(header, encoding) {
            Shape::Sequence(inside) => self.open(header, false, inside),
            Shape::Fragments => {
                let bound = self.open.last().map_or(u64::MAX, |open| open.bound);
                read_fragments(self.input, encoding, self.limits, &mut self.elements)?;
                if self.input.position() > bound {
                    let what = "fragments that reach past the item around them";
                    return Err(ObjectError::Malformed { what, offset: header.offset });
                }
                Ok(())
            }
            Shape::Value(len) => {
                self.check_bound(header, len)?;
                self.input.skip(len, "an element's value")
            }
        }
    }

    fn outermost_element(&mut self) -> Result<bool, ObjectError> {
        let encoding = self.found.encoding;
        let header = self.read_header(encoding)?;
        let tag = header.tag;
        let malformed = |what| ObjectError::Malformed { what, offset: header.offset };
        if tag.group() == 0xfffe {
            return Err(malformed("an item or delimiter outside any sequence"));
        }
        if tag == Tag(0, 0) && header.len == Some(0) {
            return self.only_zeros_follow(&header).map(|()| false);
        }
        let is_pixel_data = matches!(tag, PIXEL_DATA | FLOAT_PIXEL_DATA | DOUBLE_FLOAT_PIXEL_DATA);
        if is_pixel_data && !matches!(self.found.pixel_data, RawPixelData::None) {
            return Err(malformed("a second pixel data element"));
        }
        match self.shape(&header, encoding) {
            Shape::Sequence(inside) => self.open(&header, false, inside)?,
            Shape::Fragments => {
                let fragments = read_fragments(self.input, encoding, self.limits, &mut self.elements)?;
                if is_pixel_data {
                    self.found.pixel_data = RawPixelData::Fragments(fragments);
                }
            }
            Shape::Value(len) if is_pixel_data => {
                self.input.skip(len, "the pixel data")?;
                self.found.pixel_data = RawPixelData::Native;
            }
            Shape::Value(len) if tag == EXTENDED_OFFSET_TABLE => self.found.extended_offsets = self.read_table(len)?,
            Shape::Value(len) if tag == EXTENDED_OFFSET_TABLE_LENGTHS => {
                self.found.extended_lengths = self.read_table(len)?;
            }
            Shape::Value(len) => self.keep_or_skip(&header, len)?,
        }
        Ok(true)
    }

    fn read_header(&mut self, encoding: Encoding) -> Result<ElementHeader, ObjectError> {
        self.elements += 1;
        check_count(self.elements, self.limits)?;
        ElementHeader::read(self.input, encoding)
    }

    /// What follows a header.
    fn shape(&self, header: &ElementHeader, encoding: Encoding) -> Shape {
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

    fn open(&mut self, header: &ElementHeader, is_item: bool, encoding: Encoding) -> Result<(), ObjectError> {
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

    /// Keeps a value that the catalog may want.
    fn keep_or_skip(&mut self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        const WHAT: &str = "an element's value";
        let (tag, vr) = (header.tag, header.vr);
        let public = tag.group().is_multiple_of(2) && tag.group() >= 0x0008 && tag.element() != 0;
        let bulk = matches!(vr, VR::OB | VR::OW | VR::OF | VR::OD | VR::OL | VR::OV | VR::UN | VR::SQ);
        // Image attributes count whatever VR they were given.
        if !public || (bulk && tag.group() != 0x0028) {
            return self.input.skip(len, WHAT);
        }
        let room = self.limits.max_attribute_bytes.saturating_sub(self.kept_bytes);
        let Some(size) = usize::try_from(len).ok().filter(|size| len <= self.limits.max_value_bytes && *size <= room)
        else {
            self.input.skip(len, WHAT)?;
            // Left out, but known to be there: identifiers must not be taken for absent.
            if self.kept_bytes < self.limits.max_attribute_bytes {
                self.found.values.push(RawValue { tag, vr, bytes: None });
                self.kept_bytes += VALUE_OVERHEAD;
            }
            return Ok(());
        };
        let mut bytes = vec![0; size];
        self.input.read_exact(&mut bytes, WHAT)?;
        self.kept_bytes = self.kept_bytes.saturating_add(size).saturating_add(VALUE_OVERHEAD);
        self.found.values.push(RawValue { tag, vr, bytes: Some(bytes) });
        Ok(())
    }

    /// One of the two Extended Offset Tables: 64-bit numbers [PS3.3 C.7.6.3.1.8].
    fn read_table(&mut self, len: u64) -> Result<Vec<u64>, ObjectError> {
        const WHAT: &str = "the extended offset table";
        let (found, limit) = (len / 8, self.limits.max_fragments);
        if found > limit {
            return Err(ObjectError::LimitExceeded { what: "entries of the extended offset table", found, limit });
        }
        let mut table = Vec::new();
        for _ in 0..found {
            let mut entry = [0; 8];
            self.input.read_exact(&mut entry, WHAT)?;
            table.push(self.found.encoding.u64(entry));
        }
        self.input.skip(len % 8, WHAT)?;
        Ok(table)
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

/// What a kept value costs beside its bytes, so that a million empty ones are bounded too.
const VALUE_OVERHEAD: usize = 16;

enum Shape {
    Value(u64),
    /// Items whose elements are written like this.
    Sequence(Encoding),
    Fragments,
}

/// Refuses the element that is one too many.
pub(crate) fn check_count(elements: u64, limits: &ScanLimits) -> Result<(), ObjectError> {
    if elements > limits.max_elements {
        let what = "elements of the data set";
        return Err(ObjectError::LimitExceeded { what, found: elements, limit: limits.max_elements });
    }
    Ok(())
}
