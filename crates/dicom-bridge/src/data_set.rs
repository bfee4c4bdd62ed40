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
    /// Short values of the outermost level, in the order in which they ended; no private ones, no bulk.
    pub(crate) values: Vec<RawValue>,
    pub(crate) pixel_data: RawPixelData,
    /// Extended Offset Table: offsets and lengths [PS3.3 C.7.6.3.1.8].
    pub(crate) extended_offsets: Vec<u64>,
    pub(crate) extended_lengths: Vec<u64>,
}

/// One value: bytes, or the items of a sequence.
#[derive(Debug)]
pub(crate) struct RawValue {
    pub(crate) tag: Tag,
    pub(crate) vr: VR,
    /// `None` if it was longer than the limits allow, and for a sequence.
    pub(crate) bytes: Option<Vec<u8>>,
    /// The items of a sequence, each its short values.
    pub(crate) items: Vec<Vec<Self>>,
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
    /// What is kept of it; nothing of a sequence that nobody asks for.
    kept: Option<Kept>,
}

/// A sequence or item as far as it has been read.
enum Kept {
    Sequence(Tag, Vec<Vec<RawValue>>),
    Item(Vec<RawValue>),
}

struct Walk<'a> {
    input: &'a mut dyn Input,
    limits: &'a ScanLimits,
    elements: u64,
    kept_bytes: usize,
    /// Of those, bytes inside sequences.
    kept_in_sequences: usize,
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
        let (open, kept_bytes, kept_in_sequences) = (Vec::new(), 0, 0);
        let mut walk = Walk { input, limits, elements: 0, kept_bytes, kept_in_sequences, open, found };
        while walk.step()? {}
        Ok(walk.found)
    }
}

impl Walk<'_> {
    /// Takes one element, item or delimiter; false at the end of the data set.
    fn step(&mut self) -> Result<bool, ObjectError> {
        let position = self.input.position();
        while self.open.last().is_some_and(|open| open.end == Some(position)) {
            self.close();
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
                    self.close();
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
                match self.open.last() {
                    Some(Open { kept: Some(Kept::Item(_)), .. }) => self.keep_in_item(header, len),
                    _ => self.input.skip(len, "an element's value"),
                }
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
        let kept = if is_item { self.begin_item() } else { self.begin_sequence(header) };
        self.open.push(Open { is_item, end, bound: end.unwrap_or(around), encoding, kept });
        Ok(())
    }

    fn begin_item(&mut self) -> Option<Kept> {
        let is_kept = matches!(self.open.last(), Some(Open { kept: Some(Kept::Sequence(..)), .. }));
        (is_kept && self.makes_room(VALUE_OVERHEAD)).then(|| Kept::Item(Vec::new()))
    }

    fn begin_sequence(&mut self, header: &ElementHeader) -> Option<Kept> {
        let is_inside = match self.open.last() {
            None => true,
            Some(open) => matches!(open.kept, Some(Kept::Item(_))),
        };
        let is_wanted = is_inside
            && header.vr == VR::SQ
            && is_public(header.tag)
            && !LONG_SEQUENCES.contains(&header.tag)
            && self.open.len() < 2 * KEPT_DEPTH;
        (is_wanted && self.makes_room(VALUE_OVERHEAD)).then(|| Kept::Sequence(header.tag, Vec::new()))
    }

    /// Counts bytes inside sequences; where there is no room left, the outermost sequence that is open is given up.
    fn makes_room(&mut self, bytes: usize) -> bool {
        self.kept_in_sequences = self.kept_in_sequences.saturating_add(bytes);
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        let fits = self.kept_in_sequences <= self.limits.max_sequence_bytes
            && self.kept_bytes <= self.limits.max_attribute_bytes;
        if !fits {
            self.open.iter_mut().for_each(|open| open.kept = None);
        }
        fits
    }

    /// Ends the innermost sequence or item; what is kept of it goes to the one around it.
    fn close(&mut self) {
        let ended = self.open.pop().and_then(|open| open.kept);
        let around = self.open.last_mut().map(|open| &mut open.kept);
        match (ended, around) {
            (Some(Kept::Item(values)), Some(Some(Kept::Sequence(_, items)))) => items.push(values),
            (Some(Kept::Sequence(tag, items)), Some(Some(Kept::Item(values)))) => {
                values.push(RawValue { tag, vr: VR::SQ, bytes: None, items });
            }
            (Some(Kept::Sequence(tag, items)), None) => {
                self.found.values.push(RawValue { tag, vr: VR::SQ, bytes: None, items });
            }
            _ => {}
        }
    }

    /// Keeps a short value inside a sequence.
    fn keep_in_item(&mut self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        const WHAT: &str = "an element's value";
        let size = usize::try_from(len).ok().filter(|_| len <= self.limits.max_value_bytes);
        let Some(size) = size.filter(|_| is_public(header.tag) && !is_bulk(header.vr)) else {
            return self.input.skip(len, WHAT);
        };
        if !self.makes_room(size.saturating_add(VALUE_OVERHEAD)) {
            return self.input.skip(len, WHAT);
        }
        let mut bytes = vec![0; size];
        self.input.read_exact(&mut bytes, WHAT)?;
        if let Some(Open { kept: Some(Kept::Item(values)), .. }) = self.open.last_mut() {
            values.push(RawValue { tag: header.tag, vr: header.vr, bytes: Some(bytes), items: Vec::new() });
        }
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
        // Image attributes count whatever VR they were given.
        if !is_public(tag) || (is_bulk(vr) && tag.group() != 0x0028) {
            return self.input.skip(len, WHAT);
        }
        let room = self.limits.max_attribute_bytes.saturating_sub(self.kept_bytes);
        let Some(size) = usize::try_from(len).ok().filter(|size| len <= self.limits.max_value_bytes && *size <= room)
        else {
            self.input.skip(len, WHAT)?;
            // Left out, but known to be there: identifiers must not be taken for absent.
            if self.kept_bytes < self.limits.max_attribute_bytes {
                self.found.values.push(RawValue { tag, vr, bytes: None, items: Vec::new() });
                self.kept_bytes += VALUE_OVERHEAD;
            }
            return Ok(());
        };
        let mut bytes = vec![0; size];
        self.input.read_exact(&mut bytes, WHAT)?;
        self.kept_bytes = self.kept_bytes.saturating_add(size).saturating_add(VALUE_OVERHEAD);
        self.found.values.push(RawValue { tag, vr, bytes: Some(bytes), items: Vec::new() });
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

fn is_public(tag: Tag) -> bool {
    tag.group().is_multiple_of(2) && tag.group() >= 0x0008 && tag.element() != 0
}

const fn is_bulk(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OW | VR::OF | VR::OD | VR::OL | VR::OV | VR::UN | VR::SQ)
}

/// Sequences inside sequences that are kept.
const KEPT_DEPTH: usize = 4;

/// Sequences that hold the object itself rather than describe it: functional groups, contents of reports, graphics,
/// contours, icons, and the attributes that it had before.
const LONG_SEQUENCES: [Tag; 10] = [
    Tag(0x0088, 0x0200),
    Tag(0x0040, 0xa730),
    Tag(0x0070, 0x0001),
    Tag(0x0062, 0x0002),
    Tag(0x3006, 0x0039),
    Tag(0x3006, 0x0010),
    Tag(0x0400, 0x0561),
    Tag(0x5200, 0x9229),
    Tag(0x5200, 0x9230),
    Tag(0x5400, 0x0100),
];

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
