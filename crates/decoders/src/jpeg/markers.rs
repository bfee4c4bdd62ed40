//! Marker segments [10918-1 B]: what comes before and between the scans.

use super::huffman::HuffmanTable;
use crate::Error;

/// How samples are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Sequential,
    Lossless,
}

/// The frame header [10918-1 B.2.2].
#[derive(Debug)]
pub(super) struct FrameHeader {
    pub(super) coding: Coding,
    pub(super) precision: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) components: Vec<ComponentHeader>,
}

/// One component of the frame header.
#[derive(Debug, Clone, Copy)]
pub(super) struct ComponentHeader {
    id: u8,
    /// Horizontal and vertical sampling factor, 1 to 4.
    pub(super) h: u8,
    pub(super) v: u8,
    pub(super) quantization: u8,
}

/// The scan header [10918-1 B.2.3].
pub(super) struct ScanHeader {
    pub(super) components: Vec<ScanComponent>,
    /// Of a lossless scan the predictor.
    pub(super) start: u8,
    /// Of a lossless scan the point transform.
    pub(super) low: u8,
}

pub(super) struct ScanComponent {
    /// Place among the components of the frame.
    pub(super) place: usize,
    pub(super) dc: u8,
    pub(super) ac: u8,
}

/// Reads through a JPEG stream, with the tables that it has defined so far.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) quantization: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
    pub(super) restart_interval: u32,
    /// The transform that an Adobe segment names.
    adobe: Option<u8>,
    is_jfif: bool,
}

const SHORT: Error = Error::Malformed("a JPEG stream that ends too early");

impl FrameHeader {
    /// The largest sampling factors.
    pub(super) fn most(&self) -> (u8, u8) {
        let components = self.components.iter();
        components.fold((1, 1), |(h, v), component| (h.max(component.h), v.max(component.v)))
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Error::Malformed("not a JPEG stream"));
        }
        let (dc, ac) = ([const { None }; 4], [const { None }; 4]);
        Ok(Self { bytes, at: 2, quantization: [None; 4], dc, ac, restart_interval: 0, adobe: None, is_jfif: false })
    }

    /// Reads on to the frame header.
    pub(super) fn frame_header(&mut self) -> Result<FrameHeader, Error> {
        loop {
            match self.marker()? {
                0xc0 | 0xc1 => return self.read_frame_header(Coding::Sequential),
                0xc3 => return self.read_frame_header(Coding::Lossless),
                0xc2 | 0xc6 | 0xca | 0xce => return Err(Error::Unsupported("progressive JPEG")),
                0xc5 | 0xc7 | 0xde => return Err(Error::Unsupported("hierarchical JPEG")),
                0xc9 | 0xcb | 0xcd | 0xcf => return Err(Error::Unsupported("JPEG with arithmetic coding")),
                0xf7 => return Err(Error::Malformed("a JPEG-LS stream where JPEG belongs")),
                0xd9 | 0xda => return Err(Error::Malformed("a JPEG stream without a frame header")),
                other => self.segment(other)?,
            }
        }
    }

    /// Reads on to the next scan; `None` at the end.
    pub(super) fn scan_header(&mut self, frame: &FrameHeader) -> Result<Option<ScanHeader>, Error> {
        loop {
            match self.marker()? {
                0xda => return self.read_scan_header(frame).map(Some),
                0xd9 => return Ok(None),
                0xdc => return Err(Error::Unsupported("JPEG whose height comes last")),
                0xd0..=0xd7 => {}
                other => self.segment(other)?,
            }
        }
    }

    /// Whether the stream says that its components are red, green and blue (or luminance and colour differences).
    pub(super) fn says_rgb(&self) -> Option<bool> {
        self.adobe.map(|transform| transform == 0).or(self.is_jfif.then_some(false))
    }

    pub(super) fn dc(&self, table: u8) -> Result<&HuffmanTable, Error> {
        Self::table(&self.dc, table)
    }

    pub(super) fn ac(&self, table: u8) -> Result<&HuffmanTable, Error> {
        Self::table(&self.ac, table)
    }

    fn table(tables: &[Option<HuffmanTable>; 4], table: u8) -> Result<&HuffmanTable, Error> {
        let found = tables.get(usize::from(table)).and_then(Option::as_ref);
        found.ok_or(Error::Malformed("a Huffman table that was not defined"))
    }

    /// Goes behind the next marker, over what else stands there, and returns its second byte.
    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
            self.at += 1;
            if byte != 0xff {
                continue;
            }
            match *self.bytes.get(self.at).ok_or(SHORT)? {
                0xff => {}
                0 => self.at += 1,
                code => {
                    self.at += 1;
                    return Ok(code);
                }
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

    fn segment(&mut self, code: u8) -> Result<(), Error> {
        // TEM and SOI have nothing behind them.
        if matches!(code, 0x01 | 0xd8) {
            return Ok(());
        }
        let payload = self.payload()?;
        match code {
            0xc4 => self.huffman_tables(payload),
            0xdb => self.quantization_tables(payload),
            0xdd => {
                let interval = payload.try_into().ok().map(u16::from_be_bytes).ok_or(SHORT)?;
                self.restart_interval = interval.into();
                Ok(())
            }
            0xe0 if payload.starts_with(b"JFIF\0") => {
                self.is_jfif = true;
                Ok(())
            }
            0xee if payload.starts_with(b"Adobe") => {
                self.adobe = payload.get(11).copied();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn huffman_tables(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&head, rest)) = payload.split_first() {
            let (lengths, rest) = rest.split_at_checked(16).ok_or(SHORT)?;
            let count = lengths.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(SHORT)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(head & 15)).ok_or(Error::Malformed("a fifth Huffman table"))?;
            *table = Some(HuffmanTable::new(lengths, symbols)?);
            payload = rest;
        }
        Ok(())
    }

    fn quantization_tables(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&head, rest)) = payload.split_first() {
            let size = if head >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * size).ok_or(SHORT)?;
            let mut table = [0; 64];
            for (to, from) in table.iter_mut().zip(values.chunks_exact(size)) {
                *to = from.iter().fold(0, |number, &byte| number << 8 | u16::from(byte));
            }
            let place = self.quantization.get_mut(usize::from(head & 15));
            *place.ok_or(Error::Malformed("a fifth quantization table"))? = Some(table);
            payload = rest;
        }
        Ok(())
    }

    fn read_frame_header(&mut self, coding: Coding) -> Result<FrameHeader, Error> {
        let [precision, h1, h0, w1, w0, count, rest @ ..] = self.payload()? else { return Err(SHORT) };
        let components: Vec<_> = rest.chunks_exact(3).filter_map(component).collect();
        let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
        if height == 0 && width > 0 {
            return Err(Error::Unsupported("JPEG whose height comes last"));
        }
        let is_depth = match coding {
            Coding::Sequential => matches!(precision, 8 | 12),
            Coding::Lossless => (2..=16).contains(precision),
        };
        if !is_depth || width == 0 || !(1..=4).contains(count) || components.len() != usize::from(*count) {
            return Err(Error::Malformed("a JPEG frame header that is none"));
        }
        Ok(FrameHeader { coding, precision: *precision, width, height, components })
    }

    fn read_scan_header(&mut self, frame: &FrameHeader) -> Result<ScanHeader, Error> {
        const WRONG: Error = Error::Malformed("a JPEG scan header that is none");
        let (&count, rest) = self.payload()?.split_first().ok_or(SHORT)?;
        let (of_components, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(SHORT)?;
        let [start, _end, approximation] = rest else { return Err(WRONG) };
        let mut components = Vec::new();
        for pair in of_components.chunks_exact(2) {
            let [id, tables] = pair else { return Err(WRONG) };
            let place = frame.components.iter().position(|component| component.id == *id).ok_or(WRONG)?;
            if components.iter().any(|other: &ScanComponent| other.place == place) {
                return Err(WRONG);
            }
            components.push(ScanComponent { place, dc: tables >> 4, ac: tables & 15 });
        }
        if components.is_empty() {
            return Err(WRONG);
        }
        Ok(ScanHeader { components, start: *start, low: approximation & 15 })
    }
}

fn component(bytes: &[u8]) -> Option<ComponentHeader> {
    let [id, factors, quantization] = *bytes else { return None };
    let (h, v) = (factors >> 4, factors & 15);
    ((1..=4).contains(&h) && (1..=4).contains(&v)).then_some(ComponentHeader { id, h, v, quantization })
}
