//! Sequential DCT-based decoding [10918-1 F.2].

use super::bits::Bits;
use super::huffman::HuffmanTable;
use super::markers::{FrameHeader, Reader, ScanHeader};
use super::{dct, upsample};
use crate::{Error, checked_samples};

/// One component while its blocks come in.
struct Plane {
    /// Samples in a row and rows that count; those behind them are padding of the last blocks.
    width: usize,
    height: usize,
    /// Samples in a row, padding included.
    stride: usize,
    samples: Vec<i32>,
    is_there: bool,
}

/// The tables of one component of a scan.
struct Tables<'t> {
    dc: &'t HuffmanTable,
    ac: &'t HuffmanTable,
    quantization: [u16; 64],
}

pub(super) fn decode(reader: &mut Reader<'_>, frame: &FrameHeader, limit: u64) -> Result<Vec<Vec<i32>>, Error> {
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    checked_samples(width, height, frame.components.len(), limit)?;
    let (most_h, most_v) = frame.most();
    let (wide, high) = mcus(frame);
    let mut planes: Vec<Plane> = Vec::new();
    for component in &frame.components {
        let (h, v) = (usize::from(component.h), usize::from(component.v));
        let (stride, rows) = (wide * h * 8, high * v * 8);
        planes.push(Plane {
            width: (usize::from(frame.width) * h).div_ceil(usize::from(most_h)),
            height: (usize::from(frame.height) * v).div_ceil(usize::from(most_v)),
            stride,
            samples: vec![0; stride * rows],
            is_there: false,
        });
    }
    while planes.iter().any(|plane| !plane.is_there) {
        let scan = reader.scan_header(frame)?.ok_or(Error::Malformed("a JPEG stream without all its components"))?;
        reader.at = read_scan(reader, frame, &scan, &mut planes)?;
    }
    let factors = frame.components.iter().map(|component| (most_h / component.h, most_v / component.v, component));
    let even = factors.clone().all(|(h, v, c)| h * c.h == most_h && v * c.v == most_v);
    if !even {
        return Err(Error::Unsupported("JPEG whose sampling factors do not divide each other"));
    }
    let to = (usize::from(frame.width), usize::from(frame.height));
    let grown = planes.iter().zip(factors).map(|(plane, (h, v, _))| upsample::grow(&plane.cropped(), (h, v), to));
    Ok(grown.collect())
}

impl Plane {
    fn cropped(&self) -> upsample::Plane {
        let rows = self.samples.chunks_exact(self.stride).take(self.height);
        let samples = rows.flat_map(|row| row.iter().take(self.width).copied()).collect();
        upsample::Plane { width: self.width, height: self.height, samples }
    }

    fn put(&mut self, column: usize, row: usize, block: &[i64; 64], precision: u8) {
        let (level, most) = (1i64 << (precision - 1), (1i64 << precision) - 1);
        let rows = self.samples.chunks_exact_mut(self.stride).skip(row * 8);
        for (to, from) in rows.zip(block.chunks_exact(8)) {
            for (to, &from) in to.iter_mut().skip(column * 8).zip(from) {
                *to = i32::try_from((from + level).clamp(0, most)).unwrap_or_default();
            }
        }
    }
}

/// MCUs of an interleaved scan, across and down [10918-1 A.2.4].
fn mcus(frame: &FrameHeader) -> (usize, usize) {
    let (h, v) = frame.most();
    (usize::from(frame.width).div_ceil(8 * usize::from(h)), usize::from(frame.height).div_ceil(8 * usize::from(v)))
}

/// Reads one scan; returns where it ends.
fn read_scan(
    reader: &Reader<'_>,
    frame: &FrameHeader,
    scan: &ScanHeader,
    planes: &mut [Plane],
) -> Result<usize, Error> {
    const WRONG: Error = Error::Malformed("a JPEG scan header that is none");
    let mut tables = Vec::new();
    // Of each component in the scan, blocks of an MCU across and down.
    let mut blocks = Vec::new();
    for of_scan in &scan.components {
        let component = frame.components.get(of_scan.place).ok_or(WRONG)?;
        let quantization = reader.quantization.get(usize::from(component.quantization)).copied().flatten();
        tables.push(Tables {
            dc: reader.dc(of_scan.dc)?,
            ac: reader.ac(of_scan.ac)?,
            quantization: quantization.ok_or(Error::Malformed("a quantization table that was not defined"))?,
        });
        blocks.push((usize::from(component.h), usize::from(component.v)));
    }
    let (wide, high) = match (scan.components.as_slice(), blocks.as_mut_slice()) {
        ([only], [block]) => {
            *block = (1, 1);
            let plane = planes.get(only.place).ok_or(WRONG)?;
            (plane.width.div_ceil(8), plane.height.div_ceil(8))
        }
        _ => mcus(frame),
    };
    let mut bits = Bits::new(reader.bytes, reader.at);
    let mut predictions = vec![0i64; tables.len()];
    for mcu in 0..wide * high {
        let interval = reader.restart_interval as usize;
        if interval > 0 && mcu > 0 && mcu.is_multiple_of(interval) {
            bits.restart()?;
            predictions.fill(0);
        }
        let of_scan = scan.components.iter().zip(&tables).zip(&blocks).zip(&mut predictions);
        for (((component, tables), &(h, v)), prediction) in of_scan {
            let plane = planes.get_mut(component.place).ok_or(WRONG)?;
            for block in 0..h * v {
                let coefficients = read_block(&mut bits, tables, prediction)?;
                let (column, row) = (mcu % wide * h + block % h, mcu / wide * v + block / h);
                plane.put(column, row, &dct::inverse(&coefficients, frame.precision), frame.precision);
            }
        }
    }
    for component in &scan.components {
        planes.get_mut(component.place).ok_or(WRONG)?.is_there = true;
    }
    Ok(bits.position())
}

/// The coefficients of a block in natural order, dequantized [10918-1 F.2.2.1, F.2.2.2].
fn read_block(bits: &mut Bits<'_>, tables: &Tables<'_>, prediction: &mut i64) -> Result<[i64; 64], Error> {
    const WRONG: Error = Error::Malformed("a JPEG block with more than 64 coefficients");
    let mut coefficients = [0; 64];
    let mut put = |place: usize, value: i64| -> Result<(), Error> {
        let (natural, step) = ZIG_ZAG.get(place).zip(tables.quantization.get(place)).ok_or(WRONG)?;
        *coefficients.get_mut(usize::from(*natural)).ok_or(WRONG)? = value * i64::from(*step);
        Ok(())
    };
    let size = tables.dc.symbol(bits)?;
    if size > 15 {
        return Err(Error::Malformed("a JPEG coefficient that is too large"));
    }
    *prediction = (*prediction + i64::from(bits.signed(size)?)).clamp(-(1 << 20), 1 << 20);
    put(0, *prediction)?;
    let mut place = 1;
    while place < 64 {
        let symbol = tables.ac.symbol(bits)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        match (zeros, size) {
            (15, 0) => place += 16,
            (_, 0) => break,
            _ => {
                place += zeros as usize;
                put(place, i64::from(bits.signed(size)?))?;
                place += 1;
            }
        }
    }
    Ok(coefficients)
}

#[rustfmt::skip]
const ZIG_ZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
