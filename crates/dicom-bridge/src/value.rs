//! The bytes of one value as text or numbers [PS3.5 6.2].

use dicom_core::VR;

use crate::element::Encoding;
use crate::text::CharacterSet;

/// What fills values up to an even length.
pub(crate) const PADDING: [char; 2] = [' ', '\0'];

/// The values of a text VR in UTF-8, without padding.
pub(crate) fn text_values(vr: VR, bytes: &[u8], character_set: &CharacterSet) -> Vec<String> {
    let text = decode_text(vr, bytes, character_set);
    // In these a leading space has a meaning, and a backslash is one [PS3.5 6.2].
    if matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR) {
        let text = text.trim_end_matches(PADDING);
        return if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    }
    if text.trim_matches(PADDING).is_empty() {
        return Vec::new();
    }
    text.split('\\').map(|value| value.trim_matches(PADDING).to_owned()).collect()
}

/// The whole value in UTF-8; only some VRs are written in the object's character set.
pub(crate) fn decode_text(vr: VR, bytes: &[u8], character_set: &CharacterSet) -> String {
    if matches!(vr, VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UT) {
        return character_set.decode(bytes);
    }
    CharacterSet::from_value(b"").decode(bytes)
}

/// A binary VR and how many bytes one of its values has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Tag,
}

impl Number {
    pub(crate) const fn of(vr: VR) -> Option<Self> {
        Some(match vr {
            VR::US => Self::Unsigned(2),
            VR::UL => Self::Unsigned(4),
            VR::UV => Self::Unsigned(8),
            VR::SS => Self::Signed(2),
            VR::SL => Self::Signed(4),
            VR::SV => Self::Signed(8),
            VR::FL => Self::Float(4),
            VR::FD => Self::Float(8),
            VR::AT => Self::Tag,
            _ => return None,
        })
    }

    /// The values in decimal; an incomplete one at the end is left out.
    pub(crate) fn decode(self, bytes: &[u8], encoding: Encoding) -> impl Iterator<Item = String> {
        let size = match self {
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
            Self::Tag => 4,
        };
        bytes.chunks_exact(size).map(move |value| self.decode_one(value, encoding))
    }

    fn decode_one(self, value: &[u8], encoding: Encoding) -> String {
        let bits = match *value {
            [a, b] => u64::from(encoding.u16([a, b])),
            [a, b, c, d] if matches!(self, Self::Tag) => {
                return format!("{:04X}{:04X}", encoding.u16([a, b]), encoding.u16([c, d]));
            }
            [a, b, c, d] => u64::from(encoding.u32([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => encoding.u64([a, b, c, d, e, f, g, h]),
            _ => 0,
        };
        let unused = 64 - 8 * u32::try_from(value.len().min(8)).unwrap_or(8);
        match self {
            Self::Unsigned(_) | Self::Tag => bits.to_string(),
            // Up to the top and back brings the sign with it.
            Self::Signed(_) => (bits.wrapping_shl(unused).cast_signed() >> unused.min(63)).to_string(),
            Self::Float(4) => u32::try_from(bits).map(f32::from_bits).unwrap_or_default().to_string(),
            Self::Float(_) => f64::from_bits(bits).to_string(),
        }
    }
}
