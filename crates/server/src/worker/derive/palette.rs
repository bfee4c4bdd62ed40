//! Palette Color Lookup Tables [PS3.3 C.7.6.3.1.5, C.7.6.3.1.6]: indices become red, green and blue.

mod segments;

use codestream::ByteSource;
use dicom_bridge::{ScanLimits, ScannedObject};

use super::samples::{damaged, unsupported};
use crate::worker::apart::Refusal;

/// The three tables, all of one length.
pub(super) struct Palette {
    /// The index that the first entry is for.
    first: i32,
    tables: [Vec<i32>; 3],
}

/// From the tag of a plain table to that of one in segments.
const SEGMENTED: u32 = 0x20;

/// Longest table: 65536 entries of two bytes.
const MOST_BYTES: u64 = 1 << 17;

impl Palette {
    pub(super) fn read(object: &dyn ByteSource, scanned: &ScannedObject) -> Result<Self, Refusal> {
        let descriptor = scanned.attributes.listed.iter().find(|attribute| attribute.tag == 0x0028_1101);
        let numbers: Vec<i32> = descriptor.iter().flat_map(|d| &d.values).filter_map(|n| n.parse().ok()).collect();
        let [entries, first, bits] = *numbers.as_slice() else {
            return Err(damaged("the descriptor of the palette is missing"));
        };
        // Numbers of 16 bits, the first index with the sign of the pixels.
        let entries = if entries == 0 { 1 << 16 } else { usize::from(entries as u16) };
        let first = if scanned.attributes.pixel_representation == Some(1) {
            i32::from(first as i16)
        } else {
            i32::from(first as u16)
        };
        if !(1..=16).contains(&bits) {
            return Err(damaged("the entries of the palette have no depth that exists"));
        }
        let table = |tag| table(object, scanned, tag, (entries, bits));
        Ok(Self { first, tables: [table(0x0028_1201)?, table(0x0028_1202)?, table(0x0028_1203)?] })
    }

    /// Bits of an entry, 8 or 16.
    pub(super) fn precision(&self) -> u8 {
        if self.tables.iter().flatten().all(|entry| *entry <= 255) { 8 } else { 16 }
    }

    /// Red, green and blue of each index; those outside of the table are its ends.
    pub(super) fn colours(&self, indices: &[i32]) -> Vec<Vec<i32>> {
        let of = |table: &Vec<i32>| {
            let last = i32::try_from(table.len()).unwrap_or(1) - 1;
            let place = |index: i32| usize::try_from(index.saturating_sub(self.first).clamp(0, last));
            let entry = |&index: &i32| place(index).ok().and_then(|place| table.get(place)).copied();
            indices.iter().map(|index| entry(index).unwrap_or_default()).collect()
        };
        self.tables.iter().map(of).collect()
    }
}

fn table(
    object: &dyn ByteSource,
    scanned: &ScannedObject,
    tag: u32,
    (entries, bits): (usize, i32),
) -> Result<Vec<i32>, Refusal> {
    let find = |tag| scanned.palette.iter().find(|(found, _)| *found == tag).map(|(_, value)| value);
    let (value, is_segmented) = match (find(tag), find(tag + SEGMENTED)) {
        (Some(value), _) => (value, false),
        (None, Some(_)) if bits != 16 => return Err(unsupported("a palette in segments of bytes")),
        (None, Some(value)) => (value, true),
        (None, None) => return Err(damaged("a table of the palette is missing")),
    };
    if value.len() > MOST_BYTES {
        return Err(damaged("a table of the palette is longer than it can be"));
    }
    let mut bytes = Vec::new();
    let copied = value.copy(object, &ScanLimits::default(), &(0..value.len()), &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    copied.map_err(|error| damaged(&error.to_string()))?;
    if is_segmented {
        let words = bytes.chunks_exact(2).filter_map(|word| word.try_into().ok());
        let words: Vec<i32> = words.map(|word| i32::from(u16::from_le_bytes(word))).collect();
        let expanded = segments::expand(&words, entries);
        return expanded.ok_or_else(|| damaged("a table of the palette in segments that cannot be put together"));
    }
    let table: Vec<i32> = if bytes.len() >= 2 * entries {
        let words = bytes.chunks_exact(2).filter_map(|word| word.try_into().ok());
        words.map(|word| i32::from(u16::from_le_bytes(word))).take(entries).collect()
    } else {
        bytes.iter().map(|&byte| i32::from(byte)).take(entries).collect()
    };
    if table.len() < entries {
        return Err(damaged("a table of the palette is shorter than its descriptor says"));
    }
    Ok(table)
}
