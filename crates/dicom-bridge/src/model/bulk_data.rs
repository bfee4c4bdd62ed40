//! The value that a URI among the attributes names.

use codestream::{ByteSource, Extent};

use super::name::BulkDataPath;
use crate::elements::Event;
use crate::error::ObjectError;
use crate::limits::ScanLimits;
use crate::object::with_elements;
use crate::stored_value::StoredValue;

/// A value inside an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkData {
    /// A value of so many bytes.
    Value(StoredValue),
    /// The fragments of an encapsulated value, without their headers.
    Fragments(Vec<Extent>),
}

/// Finds the value at `path`; `None` if there is none.
///
/// # Errors
///
/// - [`ObjectError`] if the file cannot be read so far.
pub fn find_bulk_data(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    path: &BulkDataPath,
) -> Result<Option<BulkData>, ObjectError> {
    with_elements(source, limits, |_meta, elements| {
        let mut items = Vec::new();
        while let Some(event) = elements.next()? {
            match event {
                Event::SequenceBegin(header) => items.push((header.tag, 0u32)),
                Event::SequenceEnd => drop(items.pop()),
                Event::ItemBegin => {
                    if let Some((_, number)) = items.last_mut() {
                        *number = number.saturating_add(1);
                    }
                }
                Event::Value(header, len) if header.tag == path.tag && items == path.items => {
                    return Ok(Some(BulkData::Value(StoredValue::at_hand(elements, &header, len))));
                }
                Event::Fragments(header) => {
                    let is_wanted = header.tag == path.tag && items == path.items;
                    let (fragments, in_object) = (elements.fragments()?, elements.is_object_space());
                    if is_wanted {
                        let extents = fragments.fragments.iter().map(|fragment| fragment.extent).collect();
                        return Ok(in_object.then_some(BulkData::Fragments(extents)));
                    }
                }
                Event::ItemEnd | Event::Value(..) => {}
            }
        }
        Ok(None)
    })
}
