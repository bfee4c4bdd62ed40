//! One scan of JPEG-LS, line by line [14495-1 A].

use super::bits::Bits;
use super::contexts::{Context, Parameters, RunContext};
use super::markers::{FrameHeader, Interleave, Reader, ScanHeader};
use crate::Error;

/// The components of the scan, and where it ends.
pub(super) fn decode(
    reader: &Reader<'_>,
    frame: &FrameHeader,
    header: &ScanHeader,
) -> Result<(Vec<Vec<i32>>, usize), Error> {
    let parameters = Parameters::new(frame, &reader.presets, header.near)?;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let mut scan = Scan {
        bits: Bits::new(reader.bytes, reader.at),
        contexts: vec![parameters.context(); 365],
        run_contexts: [parameters.run_context(); 2],
        parameters,
    };
    // An edge on either side: one sample before each line, one behind it.
    let mut lines = vec![Lines::new(width); header.components.len()];
    let mut planes = vec![Vec::new(); lines.len()];
    for y in 0..height {
        if reader.restart_interval > 0 && y > 0 && y.is_multiple_of(reader.restart_interval) {
            scan.restart()?;
            lines = vec![Lines::new(width); lines.len()];
        }
        lines.iter_mut().for_each(Lines::begin);
        if header.interleave == Interleave::Sample {
            scan.line(&mut lines)?;
        } else {
            for line in &mut lines {
                scan.line(std::slice::from_mut(line))?;
            }
        }
        for (plane, line) in planes.iter_mut().zip(&lines) {
            plane.extend_from_slice(line.this.get(1..=width).unwrap_or_default());
        }
    }
    Ok((planes, scan.bits.position()))
}

struct Scan<'a> {
    bits: Bits<'a>,
    parameters: Parameters,
    contexts: Vec<Context>,
    run_contexts: [RunContext; 2],
}

/// A line and the one above it.
#[derive(Clone)]
struct Lines {
    above: Vec<i32>,
    this: Vec<i32>,
    /// How long runs have been, an index into [`RUN_BITS`].
    run: usize,
}

/// The samples around one: left, above, above left, above right.
struct Around {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Lines {
    fn new(width: usize) -> Self {
        Self { above: vec![0; width + 2], this: vec![0; width + 2], run: 0 }
    }

    /// Makes the line that was read the one above [14495-1 A.2.1].
    fn begin(&mut self) {
        std::mem::swap(&mut self.above, &mut self.this);
        let first = self.above.get(1).copied().unwrap_or_default();
        let width = self.above.len().saturating_sub(2);
        let last = self.above.get(width).copied().unwrap_or_default();
        if let Some(edge) = self.above.last_mut() {
            *edge = last;
        }
        if let Some(edge) = self.this.first_mut() {
            *edge = first;
        }
    }

    /// What lies around the sample at `at`, counted with the edge.
    fn around(&self, at: usize) -> Around {
        let of = |line: &[i32], at: usize| line.get(at).copied().unwrap_or_default();
        Around {
            a: of(&self.this, at - 1),
            b: of(&self.above, at),
            c: of(&self.above, at - 1),
            d: of(&self.above, at + 1),
        }
    }

    fn put(&mut self, at: usize, sample: i32) {
        if let Some(place) = self.this.get_mut(at) {
            *place = sample;
        }
    }
}

impl Scan<'_> {
    fn restart(&mut self) -> Result<(), Error> {
        self.bits.restart()?;
        self.contexts.fill(self.parameters.context());
        self.run_contexts = [self.parameters.run_context(); 2];
        Ok(())
    }

    /// One line of components that take turns at each sample.
    fn line(&mut self, lines: &mut [Lines]) -> Result<(), Error> {
        let end = lines.first().map_or(0, |line| line.this.len().saturating_sub(1));
        let mut at = 1;
        while at < end {
            let regions: Vec<i32> = lines.iter().map(|line| self.region(&line.around(at))).collect();
            if regions.iter().any(|region| *region != 0) {
                for (line, region) in lines.iter_mut().zip(regions) {
                    let sample = self.sample(&line.around(at), region)?;
                    line.put(at, sample);
                }
                at += 1;
                continue;
            }
            let len = self.run(lines, end - at)?;
            for line in lines.iter_mut() {
                let left = line.around(at).a;
                (at..at + len).for_each(|at| line.put(at, left));
            }
            at += len;
            if at < end {
                self.end_run(lines, at)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// Which context the gradients name, with its sign [14495-1 A.3.3, A.3.4].
    fn region(&self, around: &Around) -> i32 {
        let quantize = |gradient| self.parameters.quantize(gradient);
        81 * quantize(around.d - around.b) + 9 * quantize(around.b - around.c) + quantize(around.c - around.a)
    }

    /// A sample by itself [14495-1 A.4, A.5].
    fn sample(&mut self, around: &Around, region: i32) -> Result<i32, Error> {
        let parameters = &self.parameters;
        let sign = if region < 0 { -1 } else { 1 };
        let context = self.contexts.get_mut(region.unsigned_abs() as usize);
        let context = context.ok_or(Error::Malformed("a JPEG-LS context that does not exist"))?;
        let Around { a, b, c, .. } = *around;
        let expected = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let prediction = (expected + sign * context.c).clamp(0, parameters.most);
        let k = context.k();
        let most = parameters.limit - parameters.plain - 1;
        let code = self.bits.golomb(k, most, parameters.plain)?;
        let error = context.error(code, k, parameters.near);
        if error.abs() > parameters.range {
            return Err(Error::Malformed("a JPEG-LS error that is too large"));
        }
        context.learn(error, parameters);
        Ok(parameters.reconstruct(prediction, sign * error))
    }

    /// The length of a run of at most `most` samples [14495-1 A.7.1].
    fn run(&mut self, lines: &mut [Lines], most: usize) -> Result<usize, Error> {
        let Some(index) = lines.first_mut().map(|line| &mut line.run) else { return Ok(most) };
        let bits = |index: usize| RUN_BITS.get(index).copied().unwrap_or(15);
        let mut len = 0;
        while self.bits.bit()? {
            let whole = 1 << bits(*index);
            if len + whole <= most {
                len += whole;
                *index = (*index + 1).min(31);
            } else {
                len = most;
            }
            if len == most {
                return Ok(len);
            }
        }
        len += usize::try_from(self.bits.number(bits(*index))?).unwrap_or_default();
        if len > most {
            return Err(Error::Malformed("a JPEG-LS run past the end of its line"));
        }
        Ok(len)
    }

    /// The samples that end a run [14495-1 A.7.2].
    fn end_run(&mut self, lines: &mut [Lines], at: usize) -> Result<(), Error> {
        let index = lines.first().map_or(0, |line| line.run);
        let is_alone = lines.len() == 1;
        for line in lines.iter_mut() {
            let Around { a, b, .. } = line.around(at);
            // Of samples that take turns all count as unlike.
            let is_alike = is_alone && (a - b).abs() <= self.parameters.near;
            let alike = i32::from(is_alike);
            let [unlike_context, alike_context] = &mut self.run_contexts;
            let context = if is_alike { alike_context } else { unlike_context };
            let k = context.k(alike);
            let used = self.parameters.plain + RUN_BITS.get(index).copied().unwrap_or(15) + 2;
            let most = self.parameters.limit.saturating_sub(used);
            let code = self.bits.golomb(k, most, self.parameters.plain)?;
            let error = context.error(code, k, alike, &self.parameters);
            if error.abs() > self.parameters.range {
                return Err(Error::Malformed("a JPEG-LS error that is too large"));
            }
            let sample = match is_alike {
                true => self.parameters.reconstruct(a, error),
                false => self.parameters.reconstruct(b, if a > b { -error } else { error }),
            };
            line.put(at, sample);
        }
        if let Some(line) = lines.first_mut() {
            line.run = line.run.saturating_sub(1);
        }
        Ok(())
    }
}

/// Binary logarithms of the lengths of runs (J) [14495-1 A.7.1.2].
const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
