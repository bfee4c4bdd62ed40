//! Marker segments of JPEG-LS [14495-1 C].

use crate::Error;

/// The frame header.
#[derive(Debug)]
pub(super) struct FrameHeader {
    pub(super) precision: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    /// Identifiers.
    pub(super) components: Vec<u8>,
}

/// The scan header.
#[derive(Debug)]
pub(super) struct ScanHeader {
    /// Places among the components of the frame.
    pub(super) components: Vec<usize>,
    pub(super) near: i32,
    pub(super) interleave: Interleave,
}

/// How the components of a scan take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interleave {
    None,
    Line,
    Sample,
}

/// Preset coding parameters [14495-1 C.2.4.1.1]; 0 stands for the default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Presets {
    pub(super) most: i32,
    pub(super) thresholds: [i32; 3],
    pub(super) reset: i32,
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) presets: Presets,
    pub(super) restart_interval: usize,
}

const SHORT: Error = Error::Malformed("a JPEG-LS stream that ends too early");

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Error::Malformed("not a JPEG-LS stream"));
        }
        Ok(Self { bytes, at: 2, presets: Presets::default(), restart_interval: 0 })
    }

    pub(super) fn frame_header(&mut self) -> Result<FrameHeader, Error> {
        loop {
            match self.marker()? {
                0xf7 => break,
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err(Error::Malformed("a JPEG stream where JPEG-LS belongs"));
                }
                0xd9 | 0xda => return Err(Error::Malformed("a JPEG-LS stream without a frame header")),
                other => self.segment(other)?,
            }
        }
        let [precision, h1, h0, w1, w0, count, rest @ ..] = self.payload()? else { return Err(SHORT) };
        let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
        let mut components = Vec::new();
        for component in rest.chunks_exact(3) {
            let [id, factors, _] = component else { continue };
            if *factors != 0x11 {
                return Err(Error::Unsupported("JPEG-LS with components of different resolutions"));
            }
            components.push(*id);
        }
        if !(2..=16).contains(precision) || width == 0 || height == 0 || components.len() != usize::from(*count) {
            return Err(Error::Malformed("a JPEG-LS frame header that is none"));
        }
        Ok(FrameHeader { precision: *precision, width, height, components })
    }

    pub(super) fn scan_header(&mut self, frame: &FrameHeader) -> Result<ScanHeader, Error> {
        const WRONG: Error = Error::Malformed("a JPEG-LS scan header that is none");
        loop {
            match self.marker()? {
                0xda => break,
                0xd9 => return Err(Error::Malformed("a JPEG-LS stream without all its components")),
                0xd0..=0xd7 => {}
                other => self.segment(other)?,
            }
        }
        let (&count, rest) = self.payload()?.split_first().ok_or(SHORT)?;
        let (of_components, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(SHORT)?;
        let [near, interleave, transform] = *rest else { return Err(WRONG) };
        let mut components = Vec::new();
        for pair in of_components.chunks_exact(2) {
            let [id, table] = *pair else { return Err(WRONG) };
            if table != 0 {
                return Err(Error::Unsupported("JPEG-LS with a mapping table"));
            }
            components.push(frame.components.iter().position(|component| *component == id).ok_or(WRONG)?);
        }
        if transform != 0 {
            return Err(Error::Unsupported("JPEG-LS with a point transform"));
        }
        let interleave = match (interleave, components.len()) {
            (0, 1) => Interleave::None,
            (1, 1..=4) => Interleave::Line,
            (2, 1..=4) => Interleave::Sample,
            _ => return Err(WRONG),
        };
        Ok(ScanHeader { components, near: near.into(), interleave })
    }

    fn segment(&mut self, code: u8) -> Result<(), Error> {
        if matches!(code, 0x01 | 0xd8) {
            return Ok(());
        }
        let payload = self.payload()?;
        match (code, payload) {
            (0xf8, [1, rest @ ..]) => {
                let mut numbers = rest
                    .chunks_exact(2)
                    .map(|number| number.iter().fold(0, |sum: i32, &byte| sum << 8 | i32::from(byte)));
                let mut next = || numbers.next().ok_or(SHORT);
                self.presets = Presets { most: next()?, thresholds: [next()?, next()?, next()?], reset: next()? };
                Ok(())
            }
            (0xf8, _) => Err(Error::Unsupported("JPEG-LS with a mapping table or an oversize image")),
            (0xdd, bytes) if bytes.len() <= 4 => {
                self.restart_interval = bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
            self.at += 1;
            let code = *self.bytes.get(self.at).ok_or(SHORT)?;
            if byte == 0xff && code != 0xff && code >= 0x80 {
                self.at += 1;
                return Ok(code);
            }
        }
    }

    fn payload(&mut self) -> Result<&'a [u8], Error> {
        let bytes = self.bytes;
        let len = bytes.get(self.at..self.at + 2).and_then(|len| len.try_into().ok()).map(u16::from_be_bytes);
        let end = self.at + usize::from(len.ok_or(SHORT)?);
        let payload = bytes.get(self.at + 2..end).ok_or(SHORT)?;
        self.at = end;
        Ok(payload)
    }
}
