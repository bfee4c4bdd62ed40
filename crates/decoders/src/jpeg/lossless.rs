//! Lossless decoding [10918-1 H.2].

use super::bits::Bits;
use super::markers::{FrameHeader, Reader, ScanHeader};
use crate::{Error, checked_samples};

pub(super) fn decode(reader: &mut Reader<'_>, frame: &FrameHeader, limit: u64) -> Result<Vec<Vec<i32>>, Error> {
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let each = checked_samples(width, height, frame.components.len(), limit)?;
    if frame.most() != (1, 1) {
        return Err(Error::Unsupported("lossless JPEG with components of different resolutions"));
    }
    let mut planes: Vec<Vec<i32>> = vec![Vec::new(); frame.components.len()];
    while planes.iter().any(|plane| plane.len() < each) {
        let scan = reader.scan_header(frame)?.ok_or(Error::Malformed("a JPEG stream without all its components"))?;
        reader.at = read_scan(reader, frame, &scan, &mut planes)?;
    }
    Ok(planes)
}

fn read_scan(
    reader: &Reader<'_>,
    frame: &FrameHeader,
    scan: &ScanHeader,
    planes: &mut [Vec<i32>],
) -> Result<usize, Error> {
    const WRONG: Error = Error::Malformed("a lossless JPEG scan header that is none");
    if !(1..=7).contains(&scan.start) || scan.low >= frame.precision {
        return Err(WRONG);
    }
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let interval = reader.restart_interval as usize;
    if !interval.is_multiple_of(width) {
        return Err(Error::Malformed("a JPEG restart interval that is not whole rows"));
    }
    let tables = scan.components.iter().map(|component| reader.dc(component.dc)).collect::<Result<Vec<_>, _>>()?;
    if scan.components.iter().any(|component| planes.get(component.place).is_none_or(|plane| !plane.is_empty())) {
        return Err(Error::Malformed("a component that comes in two lossless JPEG scans"));
    }
    let mut bits = Bits::new(reader.bytes, reader.at);
    let start = 1 << (frame.precision - scan.low - 1);
    let mut rows = vec![Row { above: Vec::new(), this: Vec::with_capacity(width), start }; tables.len()];
    for y in 0..height {
        if interval > 0 && y > 0 && y.is_multiple_of(interval / width) {
            bits.restart()?;
            rows.iter_mut().for_each(|row| row.above.clear());
        }
        for _ in 0..width {
            for (row, table) in rows.iter_mut().zip(&tables) {
                let difference = match table.symbol(&mut bits)? {
                    16 => 1 << 15,
                    size @ 0..16 => bits.signed(size)?,
                    _ => return Err(Error::Malformed("a JPEG difference that is too large")),
                };
                let sample = (row.prediction(scan.start) + difference) & 0xffff;
                row.this.push(sample);
            }
        }
        for (row, component) in rows.iter_mut().zip(&scan.components) {
            let plane = planes.get_mut(component.place).ok_or(WRONG)?;
            plane.extend(row.this.iter().map(|sample| (sample << scan.low) & 0xffff));
            row.above = std::mem::replace(&mut row.this, Vec::with_capacity(width));
        }
    }
    Ok(bits.position())
}

/// The row of a component that is being read, and the one above it; none above the first, and after a restart.
#[derive(Clone)]
struct Row {
    above: Vec<i32>,
    this: Vec<i32>,
    /// What the very first sample is predicted as.
    start: i32,
}

impl Row {
    /// The next sample as its neighbours let expect it [10918-1 H.1.2.1].
    fn prediction(&self, predictor: u8) -> i32 {
        let at = self.this.len();
        let left = self.this.last().copied();
        let above = self.above.get(at).copied();
        let (a, b) = match (left, above) {
            (None, None) => return self.start,
            (Some(left), None) => return left,
            (None, Some(above)) => return above,
            (Some(left), Some(above)) => (left, above),
        };
        let c = at.checked_sub(1).and_then(|at| self.above.get(at)).copied().unwrap_or_default();
        match predictor {
            1 => a,
            2 => b,
            3 => c,
            4 => a + b - c,
            5 => a + ((b - c) >> 1),
            6 => b + ((a - c) >> 1),
            _ => (a + b) >> 1,
        }
    }
}
