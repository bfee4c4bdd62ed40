//! Elements of the outermost level that go out otherwise than they are stored.

use std::io;

use dicom_core::{Tag, VR};

use crate::element::{Encoding, has_short_length};
use crate::error::ObjectError;

/// An element that is put in, or in the place of a stored one.
#[derive(Debug)]
pub(crate) struct NewElement {
    tag: Tag,
    vr: VR,
    value: Vec<u8>,
}

impl NewElement {
    /// An element with these bytes, of which there must be an even number.
    pub(crate) const fn new(tag: Tag, vr: VR, value: Vec<u8>) -> Self {
        Self { tag, vr, value }
    }

    /// An element with this text, filled up with a space.
    pub(crate) fn text(tag: Tag, vr: VR, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        if !value.len().is_multiple_of(2) {
            value.push(b' ');
        }
        Self::new(tag, vr, value)
    }

    pub(super) fn write(&self, encoding: Encoding, out: &mut dyn io::Write) -> Result<(), ObjectError> {
        write_header(out, encoding, self.tag, self.vr, self.value.len() as u64)?;
        Ok(out.write_all(&self.value)?)
    }
}

/// What goes out otherwise; fed with the stored tags in their order.
#[derive(Debug)]
pub(crate) struct Edits {
    /// Not yet written, by ascending tag.
    pending: std::vec::IntoIter<NewElement>,
    /// The tags of all.
    replaced: Vec<Tag>,
    without_pixel_data: bool,
}

impl Edits {
    /// No changes.
    pub(super) fn none() -> Self {
        Self { pending: Vec::new().into_iter(), replaced: Vec::new(), without_pixel_data: false }
    }

    /// These elements, by ascending tag, and no pixel data, nor anything about how they lie.
    pub(crate) fn without_pixel_data(new: Vec<NewElement>) -> Self {
        let replaced = new.iter().map(|element| element.tag).collect();
        Self { pending: new.into_iter(), replaced, without_pixel_data: true }
    }

    /// The next new element that belongs before `tag` or in its place; all that are left for `None`.
    pub(super) fn before(&mut self, tag: Option<Tag>) -> Option<NewElement> {
        let next = self.pending.as_slice().first()?;
        if tag.is_some_and(|tag| tag < next.tag) { None } else { self.pending.next() }
    }

    /// Whether the stored element with this tag does not go out. A length of a group that is changed would not be true.
    pub(super) fn leaves_out(&self, tag: Tag) -> bool {
        let is_changed_group = || self.replaced.iter().any(|replaced| replaced.group() == tag.group());
        self.replaced.contains(&tag)
            || (self.without_pixel_data && tag.group() == 0x7fe0)
            || (tag.element() == 0 && is_changed_group())
    }

    /// Whether this sequence does not go out when it holds encapsulated values: an icon's have no place in a transfer
    /// syntax without fragments.
    pub(super) fn leaves_out_encapsulated(&self, tag: Tag) -> bool {
        self.without_pixel_data && tag == ICON_IMAGE_SEQUENCE
    }
}

const ICON_IMAGE_SEQUENCE: Tag = Tag(0x0088, 0x0200);

/// Writes the header of an element with a value; a value that is too long for its VR becomes one of unknown VR
/// [PS3.5 6.2.2 note].
pub(super) fn write_header(
    out: &mut dyn io::Write,
    encoding: Encoding,
    tag: Tag,
    vr: VR,
    len: u64,
) -> Result<(), ObjectError> {
    let too_long = |_| io::Error::other("a value that is too long");
    let len = u32::try_from(len).map_err(too_long)?;
    write_tag(out, tag)?;
    match u16::try_from(len) {
        _ if encoding == Encoding::ImplicitLittle => {}
        Ok(short) if has_short_length(vr) => {
            out.write_all(&vr.to_bytes())?;
            return Ok(out.write_all(&short.to_le_bytes())?);
        }
        _ => {
            let vr = if has_short_length(vr) { VR::UN } else { vr };
            out.write_all(&vr.to_bytes())?;
            out.write_all(&[0, 0])?;
        }
    }
    Ok(out.write_all(&len.to_le_bytes())?)
}

pub(super) fn write_tag(out: &mut dyn io::Write, tag: Tag) -> io::Result<()> {
    out.write_all(&tag.group().to_le_bytes())?;
    out.write_all(&tag.element().to_le_bytes())
}
