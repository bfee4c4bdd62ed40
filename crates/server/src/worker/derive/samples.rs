//! The samples of a DICOM object's frames, and what they mean [PS3.3 C.7.6.3].

use codestream::{ByteSource, FrameExtents, FrameSource};
use decoders::{Error, Frame, Layout};
use dicom_bridge::{ObjectError, PixelData, ScanLimits, ScannedObject, StoredValue, TransferSyntax};
use openjpeg::{Component, Image};

use super::palette::Palette;
use crate::worker::apart::Refusal;

/// The frames of one object, decoded one by one.
pub(super) struct Samples<'a> {
    object: &'a dyn ByteSource,
    source: Source<'a>,
    frames: u32,
    size: (u32, u32),
    cell: Cell,
    meaning: Meaning,
    palette: Option<Palette>,
    /// Bits of a sample that is encoded.
    precision: u8,
    max_samples: u64,
}

/// Where frames come from.
enum Source<'a> {
    Native(&'a StoredValue, Layout),
    Coded(&'a [FrameExtents], Coding, Layout),
}

/// How encapsulated frames are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Native,
    Deflated,
    Rle,
    Jpeg { is_lossless: bool },
    JpegLs,
}

/// Which bits of a sample count [PS3.5 8.1.1].
#[derive(Debug, Clone, Copy)]
struct Cell {
    allocated: u16,
    stored: u16,
    shift: u16,
    signed: bool,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Monochrome1,
    Monochrome2,
    Rgb,
    /// Luminance and colour differences, one of each for each pixel.
    YbrFull,
}

impl Meaning {
    /// Photometric Interpretation (0028,0004) of the codestreams.
    pub(super) const fn photometric_interpretation(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::Rgb => "YBR_RCT",
            Self::YbrFull => "YBR_FULL",
        }
    }
}

/// How frames in this transfer syntax are coded, `None` for one that is not decoded here.
pub(super) fn coding(transfer_syntax: &TransferSyntax) -> Option<Coding> {
    Some(match transfer_syntax.uid().strip_prefix("1.2.840.10008.1.2.")? {
        "1.98" => Coding::Native,
        "8.1" => Coding::Deflated,
        "5" => Coding::Rle,
        "4.50" | "4.51" | "4.52" => Coding::Jpeg { is_lossless: false },
        "4.57" | "4.58" | "4.70" => Coding::Jpeg { is_lossless: true },
        "4.80" | "4.81" => Coding::JpegLs,
        _ => return None,
    })
}

impl<'a> Samples<'a> {
    /// Looks at what the object says of its frames, and at the first of them.
    pub(super) fn open(
        object: &'a dyn ByteSource,
        scanned: &'a ScannedObject,
        max_samples: u64,
    ) -> Result<Self, Refusal> {
        let attributes = &scanned.attributes;
        let size = attributes.columns.zip(attributes.rows).filter(|size| size.0 > 0 && size.1 > 0);
        let size = size.ok_or_else(|| damaged("Rows or Columns is missing"))?;
        let components = attributes.samples_per_pixel.unwrap_or(1);
        let cell = Cell::of(scanned)?;
        let photometric = attributes.photometric_interpretation.as_deref().unwrap_or("");
        let palette = (photometric == "PALETTE COLOR").then(|| Palette::read(object, scanned)).transpose()?;
        let meaning = match (photometric, components) {
            ("MONOCHROME1", 1) => Meaning::Monochrome1,
            ("MONOCHROME2" | "", 1) => Meaning::Monochrome2,
            ("PALETTE COLOR", 1) | ("RGB", 3) => Meaning::Rgb,
            ("YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT", 3) => Meaning::YbrFull,
            _ => return Err(unsupported("this Photometric Interpretation with so many samples a pixel")),
        };
        let planar = attributes.planar_configuration == Some(1) && components > 1;
        let layout = Layout {
            components: components.into(),
            bits_allocated: cell.allocated,
            planar,
            halved: photometric == "YBR_FULL_422",
        };
        let (source, frames) = match &scanned.pixel_data {
            PixelData::Native(value) => (Source::Native(value, layout), attributes.number_of_frames),
            PixelData::Encapsulated { frames, .. } => {
                let coding = coding(&scanned.transfer_syntax);
                let coding = coding.ok_or_else(|| unsupported(scanned.transfer_syntax.name()))?;
                let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
                (Source::Coded(frames, coding, layout), count)
            }
            PixelData::Unusable(reason) => return Err(damaged(reason)),
            PixelData::None => return Err(damaged("the object holds no pixel data")),
        };
        let precision = u8::try_from(cell.stored).unwrap_or(u8::MAX);
        let mut samples = Self { object, source, frames, size, cell, meaning, palette, precision, max_samples };
        samples.settle()?;
        Ok(samples)
    }

    pub(super) const fn frames(&self) -> u32 {
        self.frames
    }

    pub(super) const fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) const fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// Components of a codestream.
    pub(super) const fn components(&self) -> u32 {
        match self.meaning {
            Meaning::Monochrome1 | Meaning::Monochrome2 => 1,
            Meaning::Rgb | Meaning::YbrFull => 3,
        }
    }

    /// Bits of a sample in a codestream, and whether it has a sign.
    pub(super) const fn depth(&self) -> (u8, bool) {
        (self.precision, self.cell.signed && self.palette.is_none())
    }

    /// A frame as it is to be encoded; the first has the number 1.
    pub(super) fn frame(&mut self, number: u32) -> Result<Image, Refusal> {
        let frame = self.decode(number)?;
        let mut planes = self.values(frame);
        if let (Some(palette), [indices]) = (&self.palette, planes.as_slice()) {
            planes = palette.colours(indices);
        }
        let (width, height) = self.size;
        let (precision, signed) = self.depth();
        let component = |samples| Component { width, height, dx: 1, dy: 1, precision, signed, samples };
        Ok(Image { width, height, x0: 0, y0: 0, components: planes.into_iter().map(component).collect() })
    }

    /// Settles what only the pixel data tell: whether a JPEG frame holds red, green and blue, and how deep samples of
    /// more bits are than can be encoded.
    fn settle(&mut self) -> Result<(), Refusal> {
        if let Some(palette) = &self.palette {
            self.precision = palette.precision();
            return Ok(());
        }
        if let Source::Coded(_, Coding::Jpeg { is_lossless: false }, layout) = &self.source
            && layout.components == 3
            && let Some(says_rgb) = self.decode(1)?.says_rgb
        {
            self.meaning = if says_rgb { Meaning::Rgb } else { Meaning::YbrFull };
        }
        if self.cell.stored <= MOST_BITS {
            return Ok(());
        }
        let mut deepest = 1;
        for number in 1..=self.frames {
            let frame = self.decode(number)?;
            for sample in self.values(frame).iter().flatten() {
                let bits = if self.cell.signed {
                    33 - (if *sample < 0 { !sample } else { *sample }).leading_zeros()
                } else {
                    32 - sample.leading_zeros()
                };
                deepest = deepest.max(bits);
            }
        }
        if deepest > u32::from(MOST_BITS) {
            return Err(unsupported("samples of more than 24 bits"));
        }
        self.precision = u8::try_from(deepest).unwrap_or(u8::MAX);
        Ok(())
    }

    fn decode(&self, number: u32) -> Result<Frame, Refusal> {
        let frame = match &self.source {
            Source::Native(value, layout) => self.native(value, layout, number),
            Source::Coded(frames, coding, layout) => {
                let extents = usize::try_from(number).ok().and_then(|number| frames.get(number.checked_sub(1)?));
                let bytes = self.bytes_of(extents.ok_or_else(|| damaged("a frame is missing"))?)?;
                self.coded(&bytes, *coding, layout)
            }
        }?;
        if (frame.width, frame.height) != self.size {
            return Err(damaged("the coded frame has another size than Rows and Columns"));
        }
        let components = match &self.source {
            Source::Native(_, layout) | Source::Coded(_, _, layout) => layout.components,
        };
        if frame.components.len() != components {
            return Err(damaged("the coded frame has another number of components than Samples per Pixel"));
        }
        Ok(frame)
    }

    fn native(&self, value: &StoredValue, layout: &Layout, number: u32) -> Result<Frame, Refusal> {
        let (width, height) = self.size;
        let short = || damaged("the pixel data are shorter than their frames");
        let bits = layout.frame_bits(width, height).ok_or_else(short)?;
        let begin = bits.checked_mul(u64::from(number) - 1).ok_or_else(short)?;
        let end = begin.checked_add(bits).ok_or_else(short)?.div_ceil(8);
        if end > value.len() {
            return Err(short());
        }
        if (bits / 8) > self.max_samples.saturating_mul(8) {
            return Err(refusal(&Error::LimitExceeded { found: bits / 8, limit: self.max_samples }));
        }
        let mut bytes = Vec::new();
        let limits = ScanLimits::default();
        let copied = value.copy(self.object, &limits, &(begin / 8..end), &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        copied.map_err(|error: ObjectError| damaged(&error.to_string()))?;
        let first_bit = u32::try_from(begin % 8).unwrap_or_default();
        decoders::native(&bytes, first_bit, self.size, layout, self.max_samples).map_err(|error| refusal(&error))
    }

    fn coded(&self, bytes: &[u8], coding: Coding, layout: &Layout) -> Result<Frame, Refusal> {
        let limit = self.max_samples;
        let allocated = usize::from(layout.bits_allocated.div_ceil(8));
        let decoded = match coding {
            Coding::Jpeg { .. } => decoders::jpeg(bytes, limit),
            Coding::JpegLs => decoders::jpeg_ls(bytes, limit),
            Coding::Rle => decoders::rle(bytes, self.size, layout.components, allocated, limit),
            Coding::Native => decoders::native(bytes, 0, self.size, layout, limit),
            Coding::Deflated => {
                let most = layout.frame_bits(self.size.0, self.size.1).map(|bits| bits.div_ceil(8));
                let most = most.filter(|most| *most <= limit.saturating_mul(4));
                let most = most.ok_or_else(|| refusal(&Error::LimitExceeded { found: u64::MAX, limit }))?;
                let inflated = dicom_bridge::inflate(bytes, most);
                let inflated = inflated.ok_or_else(|| damaged("a deflated frame that cannot be inflated"))?;
                decoders::native(&inflated, 0, self.size, layout, limit)
            }
        };
        decoded.map_err(|error| refusal(&error))
    }

    fn bytes_of(&self, extents: &FrameExtents) -> Result<Vec<u8>, Refusal> {
        let source = FrameSource::new(self.object, extents);
        let len = usize::try_from(source.len()).ok().filter(|_| source.len() <= self.max_samples.saturating_mul(8));
        let mut bytes = vec![0; len.ok_or_else(|| unsupported("a frame of so many bytes"))?];
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            let n = source.read_at(at as u64, rest).map_err(|error| damaged(&error.to_string()))?;
            if n == 0 {
                return Err(damaged("a frame that ends too early"));
            }
            at += n;
        }
        Ok(bytes)
    }

    /// The values of decoded samples: the bits that are stored, with their sign.
    fn values(&self, frame: Frame) -> Vec<Vec<i32>> {
        let Cell { stored, mut shift, signed, .. } = self.cell;
        // Only these lie as they were allocated.
        if matches!(self.source, Source::Coded(_, Coding::Jpeg { .. } | Coding::JpegLs, _)) {
            shift = 0;
        }
        let unused = 32 - u32::from(stored);
        let value = |sample: i32| {
            let bits = (sample.cast_unsigned() >> shift) << unused;
            if signed { bits.cast_signed() >> unused } else { (bits >> unused).cast_signed() }
        };
        let mut planes = frame.components;
        planes.iter_mut().flatten().for_each(|sample| *sample = value(*sample));
        planes
    }
}

/// Bits of a sample that the encoders take.
const MOST_BITS: u16 = 24;

impl Cell {
    fn of(scanned: &ScannedObject) -> Result<Self, Refusal> {
        let attributes = &scanned.attributes;
        let allocated = attributes.bits_allocated.ok_or_else(|| damaged("Bits Allocated is missing"))?;
        let stored = attributes.bits_stored.unwrap_or(allocated);
        let high = number(scanned, 0x0028_0102).unwrap_or(i64::from(stored) - 1);
        let shift = u16::try_from(high + 1 - i64::from(stored)).ok();
        let shift = shift.filter(|&shift| (1..=allocated).contains(&stored) && shift <= allocated - stored);
        let shift = shift.filter(|_| allocated <= 32);
        let shift = shift.ok_or_else(|| damaged("Bits Allocated, Bits Stored and High Bit contradict each other"))?;
        Ok(Self { allocated, stored, shift, signed: attributes.pixel_representation == Some(1) })
    }
}

/// The first number of an attribute.
fn number(scanned: &ScannedObject, tag: u32) -> Option<i64> {
    let found = scanned.attributes.listed.iter().find(|attribute| attribute.tag == tag)?;
    found.values.first()?.parse().ok()
}

fn refusal(error: &Error) -> Refusal {
    Refusal { is_unsupported: !matches!(error, Error::Malformed(_)), words: error.to_string() }
}

pub(super) fn damaged(words: &str) -> Refusal {
    Refusal { is_unsupported: false, words: words.to_owned() }
}

pub(super) fn unsupported(words: &str) -> Refusal {
    Refusal { is_unsupported: true, words: words.to_owned() }
}
