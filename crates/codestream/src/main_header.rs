//! The main header as values, and the coding of a tile from its header's overrides [15444-1 A.3, A.6].

mod tile_coding;

use std::sync::Arc;

pub(crate) use tile_coding::CodingSegments;
pub use tile_coding::TileCoding;

use crate::error::ParseError;
use crate::extent::Span;
use crate::limits::Limits;
use crate::markers::{self, Cap, Coc, Cod, MarkerSegment, Siz, code, parse_poc};

/// What the main header says about structure. A value that exists has SIZ, COD and QCD.
#[derive(Debug, Clone)]
pub struct MainHeader {
    siz: Siz,
    cap: Option<Cap>,
    coding: Arc<TileCoding>,
}

impl MainHeader {
    /// Parses a whole main header: `bytes` begin with SOC and end before the first SOT.
    ///
    /// PPM, PLM and TLM may have been dropped. Also returns where each marker segment lies, SOC first.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Malformed`], [`ParseError::Truncated`] if a marker segment breaks the standard or a
    ///   required one is missing.
    /// - [`ParseError::Unsupported`] for the wavelet kernels of 15444-2.
    /// - [`ParseError::LimitExceeded`] if the header is longer than `limits` allow.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<(Self, Vec<MarkerSegment>), ParseError> {
        let found = bytes.len() as u64;
        if found > limits.max_header {
            return Err(ParseError::LimitExceeded {
                what: "bytes of the main header",
                found,
                limit: limits.max_header,
            });
        }
        let mut builder = MainHeaderBuilder::default();
        let mut segments = Vec::new();
        let mut walk = SegmentWalk::new(bytes);
        match walk.next() {
            Some(Ok((segment, _))) if segment.marker == code::SOC => segments.push(segment),
            _ => return Err(ParseError::Malformed { what: "SOC is missing", offset: 0 }),
        }
        for item in walk {
            let (segment, payload) = item?;
            if segment.marker == code::SOT {
                break;
            }
            builder.add(segment, payload)?;
            segments.push(segment);
        }
        Ok((builder.finish(found)?, segments))
    }

    /// Image, tiles and components.
    #[must_use]
    pub const fn siz(&self) -> &Siz {
        &self.siz
    }

    /// Extended capabilities, when there are any.
    #[must_use]
    pub const fn cap(&self) -> Option<&Cap> {
        self.cap.as_ref()
    }

    /// The coding of every tile whose header has no overrides.
    #[must_use]
    pub const fn coding(&self) -> &Arc<TileCoding> {
        &self.coding
    }

    /// The coding of a tile whose tile-part headers hold the marker segments `overrides`, joined.
    ///
    /// COD, COC and POC count; all other segments are passed over. Without any of them the shared
    /// default is returned.
    ///
    /// # Errors
    ///
    /// As [`MainHeader::parse`]; offsets count from the first byte of `overrides`.
    pub fn tile_coding(&self, overrides: &[u8]) -> Result<Arc<TileCoding>, ParseError> {
        let mut coding = CodingSegments::default();
        for item in SegmentWalk::new(overrides) {
            let (segment, payload) = item?;
            add_coding(&mut coding, self.siz.component_count(), segment, payload)?;
        }
        Ok(coding.into_tile(&self.coding))
    }

    /// Most decomposition levels of any component, by the main header alone.
    #[must_use]
    pub fn max_decomposition_levels(&self) -> u8 {
        self.coding.max_decomposition_levels()
    }

    /// Whether HT code-blocks are announced or used.
    #[must_use]
    pub fn is_htj2k(&self) -> bool {
        self.cap.as_ref().is_some_and(Cap::is_htj2k) || self.coding.has_ht()
    }
}

/// Collects the main header's marker segments, in whatever order they come.
#[derive(Debug, Default)]
pub(crate) struct MainHeaderBuilder {
    siz: Option<Siz>,
    cap: Option<Cap>,
    coding: CodingSegments,
    has_qcd: bool,
}

impl MainHeaderBuilder {
    /// Whether [`Self::add`] reads the payload of segments with this marker.
    pub(crate) const fn reads(marker: u16) -> bool {
        matches!(marker, code::SIZ | code::CAP | code::COD | code::COC | code::POC)
    }

    /// Takes one segment; the payload may be empty where [`Self::reads`] says so.
    ///
    /// # Errors
    ///
    /// As [`MainHeader::parse`].
    pub(crate) fn add(&mut self, segment: MarkerSegment, payload: &[u8]) -> Result<(), ParseError> {
        let offset = segment.payload().offset;
        match segment.marker {
            code::SIZ if self.siz.is_some() => {
                return Err(ParseError::Malformed { what: "a second SIZ", offset });
            }
            code::SIZ => self.siz = Some(Siz::parse(payload, offset)?),
            code::CAP => self.cap = Some(Cap::parse(payload, offset)?),
            code::QCD => self.has_qcd = true,
            code::COD | code::COC | code::POC => {
                let Some(siz) = &self.siz else {
                    return Err(ParseError::Malformed { what: "SIZ is not the first marker segment", offset });
                };
                add_coding(&mut self.coding, siz.component_count(), segment, payload)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The header, which ends at `end`.
    ///
    /// # Errors
    ///
    /// [`ParseError::Malformed`] if a required segment is missing.
    pub(crate) fn finish(self, end: u64) -> Result<MainHeader, ParseError> {
        let missing = |what| ParseError::Malformed { what, offset: end };
        let siz = self.siz.ok_or_else(|| missing("SIZ is missing"))?;
        let coding = self.coding.into_main().ok_or_else(|| missing("COD is missing"))?;
        if !self.has_qcd {
            return Err(missing("QCD is missing"));
        }
        Ok(MainHeader { siz, cap: self.cap, coding: Arc::new(coding) })
    }
}

fn add_coding(
    coding: &mut CodingSegments,
    component_count: u16,
    segment: MarkerSegment,
    payload: &[u8],
) -> Result<(), ParseError> {
    let offset = segment.payload().offset;
    match segment.marker {
        code::COD => coding.set_cod(Cod::parse(payload, offset)?),
        code::COC => coding.add_coc(Coc::parse(payload, component_count, offset)?),
        code::POC => coding.add_poc(parse_poc(payload, component_count, offset)?)?,
        _ => {}
    }
    Ok(())
}

/// The marker segments of a header that is in memory, each with its payload.
#[derive(Debug)]
struct SegmentWalk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> SegmentWalk<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn step(&mut self) -> Result<(MarkerSegment, &'a [u8]), ParseError> {
        let start = self.offset;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let truncated = ParseError::Truncated { what: "a marker segment", offset: self.bytes.len() as u64 };
        let Some((head, after)) = rest.split_first_chunk::<2>() else {
            return Err(truncated);
        };
        let marker = u16::from_be_bytes(*head);
        if marker < 0xFF00 {
            return Err(ParseError::Malformed { what: "a marker code is missing", offset: start as u64 });
        }
        let total = if markers::stands_alone(marker) {
            2
        } else {
            let Some((len, _)) = after.split_first_chunk::<2>() else { return Err(truncated) };
            let len = usize::from(u16::from_be_bytes(*len));
            if len < 2 {
                return Err(ParseError::Malformed { what: "marker segment length below 2", offset: start as u64 });
            }
            len + 2
        };
        let Some(whole) = rest.get(..total) else { return Err(truncated) };
        self.offset += total;
        let segment = MarkerSegment { marker, span: Span::new(start as u64, total as u64) };
        Ok((segment, whole.get(4..).unwrap_or_default()))
    }
}

impl<'a> Iterator for SegmentWalk<'a> {
    type Item = Result<(MarkerSegment, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.offset = self.bytes.len();
        }
        Some(step)
    }
}
