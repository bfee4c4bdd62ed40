//! The JP2 header superbox: size, depth, colour [15444-1 I.5.3].

use crate::boxes::{BoxBudget, BoxReader, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::reader::ByteSource;

/// What `jp2h` says; every part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jp2Header {
    /// Image header box.
    pub image: Option<ImageHeader>,
    /// Bits per component box, one byte a component: bit 7 signed, bits 0-6 depth less one.
    pub bits_per_component: Vec<u8>,
    /// Colour specification boxes in file order.
    pub colours: Vec<Colour>,
    /// Palette box: (entries, columns).
    pub palette: Option<(u16, u8)>,
    /// Whether there is a component mapping box.
    pub has_component_mapping: bool,
    /// Whether there is a channel definition box.
    pub has_channel_definition: bool,
}

/// The image header box [15444-1 I.5.3.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Number of components.
    pub components: u16,
    /// Depth byte: bit 7 signed, bits 0-6 depth less one; 255 when the components differ.
    pub bits: u8,
    /// Compression type, 7 for JPEG 2000.
    pub compression: u8,
    /// Whether the colour space is unknown.
    pub colour_unknown: bool,
}

/// One colour specification box [15444-1 I.5.3.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// An enumerated colour space: 16 sRGB, 17 greyscale, 18 sYCC and others.
    Enumerated(u32),
    /// An ICC profile, restricted (method 2) or any (method 3), of this many bytes.
    Icc {
        /// Where the profile lies.
        profile: Extent,
    },
    /// Another method.
    Other(u8),
}

impl Jp2Header {
    pub(super) const fn empty() -> Self {
        Self {
            image: None,
            bits_per_component: Vec::new(),
            colours: Vec::new(),
            palette: None,
            has_component_mapping: false,
            has_channel_definition: false,
        }
    }

    /// Reads the children of a `jp2h` box; a child with impossible contents is passed over.
    pub(super) fn parse(source: &dyn ByteSource, budget: &BoxBudget, contents: Extent) -> Result<Self, ParseError> {
        let mut header = Self::empty();
        for child in BoxReader::children(source, budget, contents, 1)? {
            let child = match child {
                Ok(child) => child,
                Err(error @ ParseError::Source(_)) => return Err(error),
                // What came before the unreadable child stands.
                Err(_) => break,
            };
            let start = |limit: u64| {
                let looked_at = Extent::new(child.contents.offset, child.contents.len.min(limit));
                read_contents(source, looked_at, limit)
            };
            match &child.box_type {
                b"ihdr" => header.image = header.image.or(image_header(&start(14)?)),
                b"bpcc" if header.bits_per_component.is_empty() => header.bits_per_component = start(MAX_COMPONENTS)?,
                b"colr" if header.colours.len() < MAX_COLOURS => {
                    header.colours.extend(colour(&start(7)?, child.contents));
                }
                b"pclr" => {
                    if let [e0, e1, columns, ..] = *start(3)? {
                        header.palette = Some((u16::from_be_bytes([e0, e1]), columns));
                    }
                }
                b"cmap" => header.has_component_mapping = true,
                b"cdef" => header.has_channel_definition = true,
                _ => {}
            }
        }
        Ok(header)
    }
}

fn image_header(bytes: &[u8]) -> Option<ImageHeader> {
    let &[h0, h1, h2, h3, w0, w1, w2, w3, n0, n1, bits, compression, unknown, _ipr] = bytes else { return None };
    Some(ImageHeader {
        height: u32::from_be_bytes([h0, h1, h2, h3]),
        width: u32::from_be_bytes([w0, w1, w2, w3]),
        components: u16::from_be_bytes([n0, n1]),
        bits,
        compression,
        colour_unknown: unknown != 0,
    })
}

fn colour(bytes: &[u8], contents: Extent) -> Option<Colour> {
    // METH PREC APPROX, then EnumCS or a profile.
    match *bytes {
        [1, _, _, e0, e1, e2, e3] => Some(Colour::Enumerated(u32::from_be_bytes([e0, e1, e2, e3]))),
        [2 | 3, _, _, ..] => {
            let profile = Extent::new(contents.offset.saturating_add(3), contents.len.saturating_sub(3));
            Some(Colour::Icc { profile })
        }
        [1, ..] | [] => None,
        [method, ..] => Some(Colour::Other(method)),
    }
}

/// Components that SIZ can announce.
const MAX_COMPONENTS: u64 = 16_384;

/// Colour specifications that are kept.
const MAX_COLOURS: usize = 16;
