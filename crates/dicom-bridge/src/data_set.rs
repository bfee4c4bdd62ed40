//! What a scan keeps of a whole data set.

use dicom_core::{Tag, VR};

use crate::element::{ElementHeader, Encoding};
use crate::elements::{Elements, Event, PIXEL_DATA};
use crate::error::ObjectError;
use crate::fragments::Fragments;
use crate::limits::ScanLimits;
use crate::stored_value::StoredValue;

const PALETTE: [Tag; 6] = [
    Tag(0x0028, 0x1201),
    Tag(0x0028, 0x1202),
    Tag(0x0028, 0x1203),
    Tag(0x0028, 0x1221),
    Tag(0x0028, 0x1222),
    Tag(0x0028, 0x1223),
];
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
    /// Palette Color Lookup Table Data of the outermost level, plain or in segments.
    pub(crate) palette: Vec<(Tag, StoredValue)>,
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
    Native(StoredValue),
    Fragments(Fragments),
}

/// A sequence or item as far as it has been read.
enum Kept {
    Sequence(Tag, Vec<Vec<RawValue>>),
    Item(Vec<RawValue>),
}

struct Walk<'w, 'a> {
    elements: &'w mut Elements<'a>,
    limits: &'w ScanLimits,
    kept_bytes: usize,
    /// Of those, bytes inside sequences.
    kept_in_sequences: usize,
    /// What is kept of each sequence and item that is open; nothing of those that nobody asks for.
    open: Vec<Option<Kept>>,
    found: DataSet,
}

impl DataSet {
    /// Walks everything from the position of `elements` to the end.
    pub(crate) fn walk(elements: &mut Elements<'_>, limits: &ScanLimits) -> Result<Self, ObjectError> {
        let found = Self {
            encoding: elements.encoding(),
            values: Vec::new(),
            pixel_data: RawPixelData::None,
            palette: Vec::new(),
            extended_offsets: Vec::new(),
            extended_lengths: Vec::new(),
        };
        let mut walk = Walk { elements, limits, kept_bytes: 0, kept_in_sequences: 0, open: Vec::new(), found };
        while let Some(event) = walk.elements.next()? {
            walk.take(event)?;
        }
        Ok(walk.found)
    }
}

impl Walk<'_, '_> {
    fn take(&mut self, event: Event) -> Result<(), ObjectError> {
        let is_outermost = self.elements.depth() == 0;
        match event {
            Event::Fragments(header) => {
                let is_pixel_data = is_outermost && self.is_first_pixel_data(&header)?;
                let fragments = self.elements.fragments()?;
                if is_pixel_data {
                    self.found.pixel_data = RawPixelData::Fragments(fragments);
                }
            }
            Event::Value(header, len) if is_outermost => self.value(&header, len)?,
            Event::Value(header, len) => self.keep_in_item(&header, len)?,
            Event::SequenceBegin(header) => self.begin_sequence(&header),
            Event::ItemBegin => self.begin_item(),
            Event::ItemEnd | Event::SequenceEnd => self.close(),
        }
        Ok(())
    }

    fn value(&mut self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        match header.tag {
            _ if self.is_first_pixel_data(header)? => {
                self.found.pixel_data = RawPixelData::Native(StoredValue::at_hand(self.elements, header, len));
                self.elements.skip_value("the pixel data")
            }
            tag if PALETTE.contains(&tag) => {
                self.found.palette.push((tag, StoredValue::at_hand(self.elements, header, len)));
                self.elements.skip_value("a palette")
            }
            EXTENDED_OFFSET_TABLE => {
                self.found.extended_offsets = self.read_table(len)?;
                Ok(())
            }
            EXTENDED_OFFSET_TABLE_LENGTHS => {
                self.found.extended_lengths = self.read_table(len)?;
                Ok(())
            }
            _ => self.keep_or_skip(header, len),
        }
    }

    /// Whether it is pixel data, of which there can be only one element.
    fn is_first_pixel_data(&self, header: &ElementHeader) -> Result<bool, ObjectError> {
        let is_pixel_data = matches!(header.tag, PIXEL_DATA | FLOAT_PIXEL_DATA | DOUBLE_FLOAT_PIXEL_DATA);
        if is_pixel_data && !matches!(self.found.pixel_data, RawPixelData::None) {
            return Err(ObjectError::Malformed { what: "a second pixel data element", offset: header.offset });
        }
        Ok(is_pixel_data)
    }

    /// Keeps a value that the catalog may want.
    fn keep_or_skip(&mut self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        let (tag, vr) = (header.tag, header.vr);
        // Image attributes count whatever VR they were given.
        if !is_public(tag) || (is_bulk(vr) && tag.group() != 0x0028) {
            return Ok(());
        }
        let room = self.limits.max_attribute_bytes.saturating_sub(self.kept_bytes);
        let Some(size) = usize::try_from(len).ok().filter(|size| len <= self.limits.max_value_bytes && *size <= room)
        else {
            self.elements.skip_value("an element's value")?;
            // Left out, but known to be there: identifiers must not be taken for absent.
            if self.kept_bytes < self.limits.max_attribute_bytes {
                self.found.values.push(RawValue { tag, vr, bytes: None, items: Vec::new() });
                self.kept_bytes += VALUE_OVERHEAD;
            }
            return Ok(());
        };
        let bytes = self.elements.read_value()?;
        self.kept_bytes = self.kept_bytes.saturating_add(size).saturating_add(VALUE_OVERHEAD);
        self.found.values.push(RawValue { tag, vr, bytes: Some(bytes), items: Vec::new() });
        Ok(())
    }

    fn begin_item(&mut self) {
        let is_kept = matches!(self.open.last(), Some(Some(Kept::Sequence(..))));
        let kept = (is_kept && self.makes_room(VALUE_OVERHEAD)).then(|| Kept::Item(Vec::new()));
        self.open.push(kept);
    }

    fn begin_sequence(&mut self, header: &ElementHeader) {
        let is_inside = match self.open.last() {
            None => true,
            Some(around) => matches!(around, Some(Kept::Item(_))),
        };
        let is_wanted = is_inside
            && header.vr == VR::SQ
            && is_public(header.tag)
            && !LONG_SEQUENCES.contains(&header.tag)
            && self.open.len() < 2 * KEPT_DEPTH;
        let kept = (is_wanted && self.makes_room(VALUE_OVERHEAD)).then(|| Kept::Sequence(header.tag, Vec::new()));
        self.open.push(kept);
    }

    /// Counts bytes inside sequences; where there is no room left, the outermost sequence that is open is given up.
    fn makes_room(&mut self, bytes: usize) -> bool {
        self.kept_in_sequences = self.kept_in_sequences.saturating_add(bytes);
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        let fits = self.kept_in_sequences <= self.limits.max_sequence_bytes
            && self.kept_bytes <= self.limits.max_attribute_bytes;
        if !fits {
            self.open.fill_with(|| None);
        }
        fits
    }

    /// Ends the innermost sequence or item; what is kept of it goes to the one around it.
    fn close(&mut self) {
        let ended = self.open.pop().flatten();
        match (ended, self.open.last_mut()) {
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
        if !matches!(self.open.last(), Some(Some(Kept::Item(_)))) || !is_public(header.tag) || is_bulk(header.vr) {
            return Ok(());
        }
        let size = usize::try_from(len).ok().filter(|_| len <= self.limits.max_value_bytes);
        if !size.is_some_and(|size| self.makes_room(size.saturating_add(VALUE_OVERHEAD))) {
            return Ok(());
        }
        let bytes = self.elements.read_value()?;
        if let Some(Some(Kept::Item(values))) = self.open.last_mut() {
            values.push(RawValue { tag: header.tag, vr: header.vr, bytes: Some(bytes), items: Vec::new() });
        }
        Ok(())
    }

    /// One of the two Extended Offset Tables: 64-bit numbers [PS3.3 C.7.6.3.1.8].
    fn read_table(&mut self, len: u64) -> Result<Vec<u64>, ObjectError> {
        let (found, limit) = (len / 8, self.limits.max_fragments);
        if found > limit {
            return Err(ObjectError::LimitExceeded { what: "entries of the extended offset table", found, limit });
        }
        let (mut table, mut entry) = (Vec::new(), Vec::new());
        while self.elements.read_piece(&mut entry, 8)? {
            if let Ok(entry) = entry.as_slice().try_into() {
                table.push(self.found.encoding.u64(entry));
            }
        }
        Ok(table)
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
