//! One value of a data set where it lies, given out in little-endian order.

use std::io;
use std::ops::Range;

use codestream::{ByteSource, Extent};
use dicom_core::VR;

use crate::element::{ElementHeader, Encoding};
use crate::elements::Elements;
use crate::error::ObjectError;
use crate::input::with_input_at;
use crate::limits::ScanLimits;

/// One value of a data set: where it lies and how it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredValue {
    vr: VR,
    /// In bytes of the object, or of what its data set inflates to.
    position: u64,
    len: u64,
    /// Bytes of one number that stand in the wrong order, 1 if none do.
    swapped: usize,
    in_object: bool,
}

/// Bytes that are read at a time; a multiple of the size of every number.
const PIECE: usize = 64 * 1024;

impl StoredValue {
    /// The value of the element that `elements` stands before.
    pub(crate) fn at_hand(elements: &Elements<'_>, header: &ElementHeader, len: u64) -> Self {
        let swapped = if elements.encoding() == Encoding::ExplicitBig { number_size(header.vr) } else { 1 };
        let (position, in_object) = (elements.position(), elements.is_object_space());
        Self { vr: header.vr, position, len, swapped, in_object }
    }

    /// Value representation, two letters.
    #[must_use]
    pub fn vr(&self) -> &'static str {
        self.vr.to_string()
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a part of it lies in the object, if it lies there as it is to be given out; `None` if it must be copied by
    /// [`StoredValue::copy`], or is not that long. `range` is in bytes from the beginning of the value.
    #[must_use]
    pub fn extent(&self, range: &Range<u64>) -> Option<Extent> {
        let is_plain = self.in_object && self.swapped == 1 && range.start <= range.end && range.end <= self.len;
        let start = self.position.checked_add(range.start)?;
        is_plain.then(|| Extent::new(start, range.end - range.start))
    }

    /// Gives out a part of it, piece by piece, in little-endian order. `range` is in bytes from the beginning of the
    /// value; what of it lies behind the value is left out.
    ///
    /// # Errors
    ///
    /// - [`ObjectError`] if `source` fails or is not the object that it was found in; an error of `out` is
    ///   [`ObjectError::Source`].
    pub fn copy(
        &self,
        source: &dyn ByteSource,
        limits: &ScanLimits,
        range: &Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ObjectError> {
        let end = range.end.min(self.len);
        // Numbers are turned around whole.
        let mut at = range.start.min(end) / self.swapped as u64 * self.swapped as u64;
        let mut unwanted = usize::try_from(range.start.min(end) - at).unwrap_or_default();
        with_input_at(source, limits, self.in_object, self.position.saturating_add(at), |input| {
            let mut piece = Vec::new();
            while at < end {
                let whole = end.next_multiple_of(self.swapped as u64).min(self.len) - at;
                let size = usize::try_from(whole).unwrap_or(PIECE).min(PIECE);
                piece.resize(size, 0);
                input.read_exact(&mut piece, "an element's value")?;
                turn_around(&mut piece, self.swapped);
                let wanted = usize::try_from(end - at).unwrap_or(size).min(size);
                out(piece.get(unwanted..wanted).unwrap_or_default())?;
                unwanted = 0;
                at += size as u64;
            }
            Ok(())
        })
    }
}

/// Turns each number of so many bytes around; an incomplete one at the end is left as it is.
pub(crate) fn turn_around(bytes: &mut [u8], size: usize) {
    if size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// Bytes of one number of this VR, 1 for text and bytes [PS3.5 7.3].
pub(crate) const fn number_size(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}
