//! COD and COC: coding style defaults and their exceptions [15444-1 A.6.1, A.6.2, 15444-15 A.4].

use smallvec::SmallVec;

use super::Fields;
use crate::error::ParseError;

/// Order of the packets of a tile [15444-1 B.12].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressionOrder {
    /// Layer, resolution, component, position.
    Lrcp,
    /// Resolution, layer, component, position.
    Rlcp,
    /// Resolution, position, component, layer.
    Rpcl,
    /// Position, component, resolution, layer.
    Pcrl,
    /// Component, position, resolution, layer.
    Cprl,
}

impl ProgressionOrder {
    /// The order with this code in COD or POC.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Lrcp,
            1 => Self::Rlcp,
            2 => Self::Rpcl,
            3 => Self::Pcrl,
            4 => Self::Cprl,
            _ => return None,
        })
    }
}

/// Wavelet kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wavelet {
    /// 5/3, reversible.
    Reversible53,
    /// 9/7, irreversible.
    Irreversible97,
}

/// Code-block style bits [15444-1 Table A.19, 15444-15 Table A.4].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeBlockStyle(pub u8);

impl CodeBlockStyle {
    /// Selective arithmetic coding bypass.
    #[must_use]
    pub const fn bypass(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Termination on each coding pass.
    #[must_use]
    pub const fn terminate_all(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Code-blocks are HT, or may be.
    #[must_use]
    pub const fn is_ht(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// HT and Part 1 code-blocks are mixed.
    #[must_use]
    pub const fn is_ht_mixed(self) -> bool {
        self.0 & 0xC0 == 0xC0
    }
}

/// How one component of a tile is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentCoding {
    /// Decomposition levels `N_L`, 0 to 32.
    pub levels: u8,
    /// Binary logarithm of the code-block width, 2 to 10.
    pub xcb: u8,
    /// Binary logarithm of the code-block height, 2 to 10; `xcb + ycb` is at most 12.
    pub ycb: u8,
    /// Code-block style.
    pub style: CodeBlockStyle,
    /// Wavelet kernel.
    pub wavelet: Wavelet,
    /// `PPx` and `PPy` of each resolution level, lowest first, `levels + 1` of them.
    pub precincts: SmallVec<[(u8, u8); 8]>,
}

impl ComponentCoding {
    /// `PPx` and `PPy` of resolution level `level`; 15 where there is none.
    #[must_use]
    pub fn precinct_exponents(&self, level: u8) -> (u8, u8) {
        self.precincts.get(usize::from(level)).copied().unwrap_or((15, 15))
    }

    /// The fields that COD and COC have in common; `sized` when precinct sizes are given.
    fn parse(fields: &mut Fields<'_>, sized: bool) -> Result<Self, ParseError> {
        let levels = fields.u8()?;
        if levels > 32 {
            return Err(fields.malformed("more than 32 decomposition levels"));
        }
        let (xcb, ycb) = (fields.u8()?, fields.u8()?);
        if xcb > 8 || ycb > 8 || xcb + ycb > 8 {
            return Err(fields.malformed("code-block size out of range"));
        }
        let style = CodeBlockStyle(fields.u8()?);
        let wavelet = match fields.u8()? {
            0 => Wavelet::Irreversible97,
            1 => Wavelet::Reversible53,
            _ => return Err(ParseError::Unsupported { what: "a wavelet kernel of 15444-2" }),
        };
        let mut precincts = SmallVec::new();
        for level in 0..=levels {
            if !sized {
                precincts.push((15, 15));
                continue;
            }
            let size = fields.u8()?;
            let (ppx, ppy) = (size & 15, size >> 4);
            if level > 0 && (ppx == 0 || ppy == 0) {
                return Err(fields.malformed("precinct exponent 0 above the lowest resolution level"));
            }
            precincts.push((ppx, ppy));
        }
        Ok(Self { levels, xcb: xcb + 2, ycb: ycb + 2, style, wavelet, precincts })
    }
}

/// Coding style default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cod {
    /// Whether SOP marker segments may be used.
    pub sop: bool,
    /// Whether EPH markers are used.
    pub eph: bool,
    /// Progression order.
    pub progression: ProgressionOrder,
    /// Quality layers, at least 1.
    pub layers: u16,
    /// Whether a multiple component transform is used.
    pub mct: bool,
    /// Coding of the components that have no COC.
    pub component: ComponentCoding,
}

impl Cod {
    /// Parses the payload of a COD segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Truncated`] if the payload is too short.
    /// - [`ParseError::Malformed`] if a field is out of its range.
    /// - [`ParseError::Unsupported`] for the wavelet kernels of 15444-2.
    pub fn parse(payload: &[u8], offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "COD");
        let scod = fields.u8()?;
        let progression = ProgressionOrder::from_code(fields.u8()?)
            .ok_or(ParseError::Malformed { what: "COD: unknown progression order", offset })?;
        let layers = fields.u16()?;
        if layers == 0 {
            return Err(fields.malformed("COD: no quality layer"));
        }
        let mct = fields.u8()? != 0;
        let component = ComponentCoding::parse(&mut fields, scod & 1 != 0)?;
        Ok(Self { sop: scod & 2 != 0, eph: scod & 4 != 0, progression, layers, mct, component })
    }
}

/// Coding style of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coc {
    /// The component, below Csiz.
    pub component: u16,
    /// Its coding.
    pub coding: ComponentCoding,
}

impl Coc {
    /// Parses the payload of a COC segment that begins at `offset` of the codestream.
    ///
    /// # Errors
    ///
    /// As [`Cod::parse`], and [`ParseError::Malformed`] for a component that SIZ does not have.
    pub fn parse(payload: &[u8], component_count: u16, offset: u64) -> Result<Self, ParseError> {
        let mut fields = Fields::new(payload, offset, "COC");
        let component = fields.component(component_count)?;
        if component >= component_count {
            return Err(fields.malformed("COC of a component that does not exist"));
        }
        let sized = fields.u8()? & 1 != 0;
        Ok(Self { component, coding: ComponentCoding::parse(&mut fields, sized)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_6_1_fields_and_precinct_sizes() {
        let cod = Cod::parse(&[7, 2, 0, 5, 1, 2, 4, 3, 0x41, 1, 0x77, 0x88, 0x9A], 0).unwrap();
        assert!(cod.sop && cod.eph && cod.mct);
        assert_eq!((cod.progression, cod.layers), (ProgressionOrder::Rpcl, 5));
        assert_eq!((cod.component.levels, cod.component.xcb, cod.component.ycb), (2, 6, 5));
        assert_eq!(cod.component.precincts.as_slice(), [(7, 7), (8, 8), (10, 9)]);
        assert!(cod.component.style.is_ht() && cod.component.style.bypass());
        assert_eq!(cod.component.wavelet, Wavelet::Reversible53);
    }

    #[test]
    fn a_6_1_fields_out_of_range_are_refused() {
        let good = [0, 0, 0, 1, 0, 1, 4, 4, 0, 1];
        assert!(Cod::parse(&good, 0).is_ok());
        for (at, value) in [(1, 5), (3, 0), (5, 33), (6, 9), (6, 5), (9, 2)] {
            let mut bad = good;
            bad[at] = value;
            assert!(Cod::parse(&bad, 0).is_err(), "byte {at} = {value}");
        }
        let exponent_0 = |r0, r1| Cod::parse(&[1, 0, 0, 1, 0, 1, 4, 4, 0, 1, r0, r1], 0);
        assert!(exponent_0(0x00, 0x11).is_ok());
        assert!(exponent_0(0x11, 0x01).is_err());
        assert!(exponent_0(0x11, 0x10).is_err());
        assert!(Cod::parse(&good[..9], 0).is_err());
    }

    #[test]
    fn a_6_2_the_component_index_takes_two_bytes_from_257_components_on() {
        let short = Coc::parse(&[2, 0, 1, 4, 4, 0, 1], 256, 0).unwrap();
        let long = Coc::parse(&[1, 0, 0, 1, 4, 4, 0, 1], 257, 0).unwrap();
        assert_eq!((short.component, long.component), (2, 256));
        assert!(Coc::parse(&[2, 0, 1, 4, 4, 0, 1], 2, 0).is_err());
    }
}
