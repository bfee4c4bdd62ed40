//! The header of one data element or item [PS3.5 7.1, 7.5].

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::error::ObjectError;
use crate::input::Input;

pub(crate) const ITEM: Tag = Tag(0xfffe, 0xe000);
pub(crate) const ITEM_DELIMITER: Tag = Tag(0xfffe, 0xe00d);
pub(crate) const SEQUENCE_DELIMITER: Tag = Tag(0xfffe, 0xe0dd);

/// How element headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    pub(crate) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::ExplicitBig => u16::from_be_bytes(bytes),
            Self::ImplicitLittle | Self::ExplicitLittle => u16::from_le_bytes(bytes),
        }
    }

    pub(crate) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::ExplicitBig => u32::from_be_bytes(bytes),
            Self::ImplicitLittle | Self::ExplicitLittle => u32::from_le_bytes(bytes),
        }
    }

    pub(crate) const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::ExplicitBig => u64::from_be_bytes(bytes),
            Self::ImplicitLittle | Self::ExplicitLittle => u64::from_le_bytes(bytes),
        }
    }
}

/// One element or item header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElementHeader {
    pub(crate) tag: Tag,
    /// As written, or as the dictionary says where it is not written; items have [`VR::UN`].
    pub(crate) vr: VR,
    /// Length of the value in bytes, `None` if undefined.
    pub(crate) len: Option<u64>,
    /// Position of the first byte of the header.
    pub(crate) offset: u64,
}

impl ElementHeader {
    /// Reads one header and stops at the first byte of the value.
    pub(crate) fn read(input: &mut dyn Input, encoding: Encoding) -> Result<Self, ObjectError> {
        const WHAT: &str = "an element header";
        let offset = input.position();
        let mut head = [0; 8];
        input.read_exact(&mut head, WHAT)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        let tag = Tag(encoding.u16([g0, g1]), encoding.u16([e0, e1]));
        let long_len = encoding.u32([v0, v1, l0, l1]);
        if tag.group() == 0xfffe {
            return Ok(Self { tag, vr: VR::UN, len: defined(long_len), offset });
        }
        // An element whose VR bytes are no letters was written without VR by mistake; its neighbours may be right.
        if encoding == Encoding::ImplicitLittle || !(v0.is_ascii_uppercase() && v1.is_ascii_uppercase()) {
            return Ok(Self { tag, vr: dictionary_vr(tag), len: defined(long_len), offset });
        }
        let vr = VR::from_binary([v0, v1]);
        if vr.is_some_and(has_short_length) {
            let len = Some(u64::from(encoding.u16([l0, l1])));
            return Ok(Self { tag, vr: vr.unwrap_or(VR::UN), len, offset });
        }
        // VRs to come have the long form too [PS3.5 7.1.2].
        let mut len = [0; 4];
        input.read_exact(&mut len, WHAT)?;
        Ok(Self { tag, vr: vr.unwrap_or(VR::UN), len: defined(encoding.u32(len)), offset })
    }
}

const fn defined(len: u32) -> Option<u64> {
    if len == u32::MAX { None } else { Some(len as u64) }
}

/// Whether the explicit form of `vr` has a length of 16 bits [PS3.5 7.1.2].
pub(crate) const fn has_short_length(vr: VR) -> bool {
    use VR::{AE, AS, AT, CS, DA, DS, DT, FD, FL, IS, LO, LT, PN, SH, SL, SS, ST, TM, UI, UL, US};
    matches!(vr, AE | AS | AT | CS | DA | DS | DT | FD | FL | IS | LO | LT | PN | SH | SL | SS | ST | TM | UI | UL | US)
}

/// The VR that the standard's dictionary gives `tag`, [`VR::UN`] for private and unknown ones [PS3.5 6.2.2].
pub(crate) fn dictionary_vr(tag: Tag) -> VR {
    if tag.element() == 0 {
        return VR::UL;
    }
    if !tag.group().is_multiple_of(2) {
        return if (0x10..0x100).contains(&tag.element()) { VR::LO } else { VR::UN };
    }
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Whether values of `tag` are signed where pixel values are: those that the standard gives "US or SS".
pub(crate) fn is_signed_with_pixels(tag: Tag) -> bool {
    StandardDataDictionary.by_tag(tag).is_some_and(|entry| entry.vr() == VirtualVr::Xs)
}
