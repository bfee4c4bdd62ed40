//! What a scan keeps of a whole data set.

use dicom_core::{Tag, VR};

use crate::element::{ElementHeader, Encoding};
use crate::elements::{Elements, Event, PIXEL_DATA};
use crate::error::ObjectError;
use crate::fragments::Fragments;
use crate::limits::ScanLimits;
use crate::stored_value::StoredValue;

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
    Native(StoredValue),
    Fragments(Fragments),
}

struct Walk<'w, 'a> {
    elements: &'w mut Elements<'a>,
    limits: &'w ScanLimits,
    kept_bytes: usize,
    found: DataSet,
}

impl DataSet {
    /// Walks everything from the position of `elements` to the end.
    pub(crate) fn walk(elements: &mut Elements<'_>, limits: &ScanLimits) -> Result<Self, ObjectError> {
        let found = Self {
            encoding: elements.encoding(),
            values: Vec::new(),
            pixel_data: RawPixelData::None,
            extended_offsets: Vec::new(),
            extended_lengths: Vec::new(),
        };
        let mut walk = Walk { elements, limits, kept_bytes: 0, found };
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
            _ => {}
        }
        Ok(())
    }

    fn value(&mut self, header: &ElementHeader, len: u64) -> Result<(), ObjectError> {
        match header.tag {
            _ if self.is_first_pixel_data(header)? => {
                self.found.pixel_data = RawPixelData::Native(StoredValue::at_hand(self.elements, header, len));
                self.elements.skip_value("the pixel data")
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
        let public = tag.group().is_multiple_of(2) && tag.group() >= 0x0008 && tag.element() != 0;
        let bulk = matches!(vr, VR::OB | VR::OW | VR::OF | VR::OD | VR::OL | VR::OV | VR::UN | VR::SQ);
        // Image attributes count whatever VR they were given.
        if !public || (bulk && tag.group() != 0x0028) {
            return Ok(());
        }
        let room = self.limits.max_attribute_bytes.saturating_sub(self.kept_bytes);
        let Some(size) = usize::try_from(len).ok().filter(|size| len <= self.limits.max_value_bytes && *size <= room)
        else {
            self.elements.skip_value("an element's value")?;
            // Left out, but known to be there: identifiers must not be taken for absent.
            if self.kept_bytes < self.limits.max_attribute_bytes {
                self.found.values.push(RawValue { tag, vr, bytes: None });
                self.kept_bytes += VALUE_OVERHEAD;
            }
            return Ok(());
        };
        let bytes = self.elements.read_value()?;
        self.kept_bytes = self.kept_bytes.saturating_add(size).saturating_add(VALUE_OVERHEAD);
        self.found.values.push(RawValue { tag, vr, bytes: Some(bytes) });
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

/// What a kept value costs beside its bytes, so that a million empty ones are bounded too.
const VALUE_OVERHEAD: usize = 16;
