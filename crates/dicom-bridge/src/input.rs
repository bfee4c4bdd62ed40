//! Where the bytes of a data set come from: the object as it lies, or what its deflated part inflates to.

use std::io::Read as _;

use codestream::ByteSource;
use flate2::{Decompress, FlushDecompress, Status};

use crate::error::ObjectError;
use crate::file_meta::FileMeta;
use crate::limits::ScanLimits;

/// Bytes read in order. Skipping never reads what it skips where that can be avoided.
pub(crate) trait Input {
    /// Bytes before the next one to be read.
    fn position(&self) -> u64;

    /// Fills `buf`; `what` names the thing being read in the error.
    fn read_exact(&mut self, buf: &mut [u8], what: &'static str) -> Result<(), ObjectError>;

    /// Passes over `len` bytes, all of which must exist.
    fn skip(&mut self, len: u64, what: &'static str) -> Result<(), ObjectError>;

    /// Whether no byte is left.
    fn at_end(&mut self) -> Result<bool, ObjectError>;

    /// Whether positions are offsets of the stored object, so that extents may be made of them.
    fn is_object_space(&self) -> bool;

    /// Says that short headers far apart follow (`true`) or neighbouring elements (`false`).
    fn expect_sparse_reads(&mut self, sparse: bool);
}

/// Lets `work` read from a position of the object, or of what its deflated data set inflates to.
pub(crate) fn with_input_at<T>(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    in_object: bool,
    position: u64,
    work: impl FnOnce(&mut dyn Input) -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    if in_object {
        return work(&mut ObjectInput::new(source, position));
    }
    let meta = FileMeta::read(source, limits)?;
    let mut inflated = InflatedInput::new(source, meta.data_set_offset, limits);
    inflated.skip(position, "the data set")?;
    work(&mut inflated)
}

/// The bytes of a frame that is deflated by itself [PS3.5 A.4.13], at most so many; `None` if it cannot be inflated.
#[must_use]
pub fn inflate(deflated: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(deflated).take(most);
    reader.read_to_end(&mut inflated).ok().map(|_| inflated)
}

/// The bytes of the object themselves, read through a small window.
pub(crate) struct ObjectInput<'a> {
    source: &'a dyn ByteSource,
    end: u64,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    window_size: usize,
}

const DENSE_WINDOW: usize = 16 * 1024;
/// An item header and the bytes that tell whether a frame begins there.
const SPARSE_WINDOW: usize = 32;

impl<'a> ObjectInput<'a> {
    pub(crate) fn new(source: &'a dyn ByteSource, position: u64) -> Self {
        Self { source, end: source.len(), position, window: Vec::new(), window_start: 0, window_size: DENSE_WINDOW }
    }

    /// The part of `window` that begins at the position, refilled when there is none.
    fn available(&mut self) -> Result<&[u8], ObjectError> {
        let window_end = self.window_start.saturating_add(self.window.len() as u64);
        if self.position < self.window_start || self.position >= window_end {
            let left = self.end.saturating_sub(self.position);
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(self.window_size);
            self.window.resize(size, 0);
            self.window_start = self.position;
            let read = self.source.read_at(self.position, &mut self.window);
            // The window must never be taken for valid after a failure.
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let at = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(at..).unwrap_or_default())
    }
}

impl Input for ObjectInput<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn read_exact(&mut self, buf: &mut [u8], what: &'static str) -> Result<(), ObjectError> {
        let start = self.position;
        let mut rest = buf;
        while !rest.is_empty() {
            let available = self.available()?;
            let take = available.len().min(rest.len());
            let (to, after) = rest.split_at_mut(take);
            match available.get(..take) {
                Some(from) if take > 0 => to.copy_from_slice(from),
                _ => return Err(ObjectError::Truncated { what, offset: start }),
            }
            self.position += take as u64;
            rest = after;
        }
        Ok(())
    }

    fn skip(&mut self, len: u64, what: &'static str) -> Result<(), ObjectError> {
        let end = self.position.checked_add(len).filter(|end| *end <= self.end);
        self.position = end.ok_or(ObjectError::Truncated { what, offset: self.position })?;
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, ObjectError> {
        Ok(self.position >= self.end)
    }

    fn is_object_space(&self) -> bool {
        true
    }

    fn expect_sparse_reads(&mut self, sparse: bool) {
        self.window_size = if sparse { SPARSE_WINDOW } else { DENSE_WINDOW };
    }
}

/// What a deflated data set [PS3.5 A.5] inflates to, produced as it is read and never kept.
pub(crate) struct InflatedInput<'a> {
    source: &'a dyn ByteSource,
    /// Next byte of the object to be inflated.
    source_position: u64,
    source_start: u64,
    compressed: Vec<u8>,
    compressed_at: usize,
    inflater: Decompress,
    ended: bool,
    inflated: Vec<u8>,
    inflated_at: usize,
    /// Inflated bytes that were read or skipped.
    position: u64,
    limits: &'a ScanLimits,
}

/// Below this many inflated bytes the ratio says nothing: a few rows of zeros deflate 1000 to 1.
const RATIO_FREE_BYTES: u64 = 16 << 20;

impl<'a> InflatedInput<'a> {
    pub(crate) fn new(source: &'a dyn ByteSource, position: u64, limits: &'a ScanLimits) -> Self {
        Self {
            source,
            source_position: position,
            source_start: position,
            compressed: Vec::new(),
            compressed_at: 0,
            inflater: Decompress::new(false),
            ended: false,
            inflated: Vec::new(),
            inflated_at: 0,
            position: 0,
            limits,
        }
    }

    /// Inflated bytes that wait to be read; empty only at the end of the deflated stream.
    fn available(&mut self) -> Result<&[u8], ObjectError> {
        while self.inflated_at >= self.inflated.len() && !self.ended {
            self.inflate_more()?;
        }
        Ok(self.inflated.get(self.inflated_at..).unwrap_or_default())
    }

    fn inflate_more(&mut self) -> Result<(), ObjectError> {
        if self.compressed_at >= self.compressed.len() {
            self.compressed.resize(DENSE_WINDOW, 0);
            let read = self.source.read_at(self.source_position, &mut self.compressed);
            self.compressed.truncate(*read.as_ref().unwrap_or(&0));
            self.compressed_at = 0;
            self.source_position += read? as u64;
        }
        let input = self.compressed.get(self.compressed_at..).unwrap_or_default();
        let out_of_input = input.is_empty();
        self.inflated.clear();
        self.inflated.reserve(2 * DENSE_WINDOW);
        self.inflated_at = 0;
        let before = self.inflater.total_in();
        let status = self.inflater.decompress_vec(input, &mut self.inflated, FlushDecompress::None);
        let Ok(status) = status else {
            let what = "a deflated data set that cannot be inflated";
            return Err(ObjectError::Malformed { what, offset: self.source_position });
        };
        let taken = self.inflater.total_in() - before;
        self.compressed_at = self.compressed_at.saturating_add(usize::try_from(taken).unwrap_or(usize::MAX));
        self.ended = status == Status::StreamEnd;
        if !self.ended && out_of_input && self.inflated.is_empty() {
            return Err(ObjectError::Truncated { what: "the deflated data set", offset: self.source_start });
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), ObjectError> {
        let found = self.inflater.total_out();
        let limit = self.limits.max_inflated_bytes;
        if found > limit {
            return Err(ObjectError::LimitExceeded { what: "inflated bytes of the data set", found, limit });
        }
        let ratio = found / self.inflater.total_in().max(1);
        let limit = self.limits.max_inflate_ratio;
        if found > RATIO_FREE_BYTES && ratio > limit {
            return Err(ObjectError::LimitExceeded {
                what: "inflated bytes for each deflated byte",
                found: ratio,
                limit,
            });
        }
        Ok(())
    }
}

impl Input for InflatedInput<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn read_exact(&mut self, buf: &mut [u8], what: &'static str) -> Result<(), ObjectError> {
        let start = self.position;
        let mut rest = buf;
        while !rest.is_empty() {
            let available = self.available()?;
            let take = available.len().min(rest.len());
            let (to, after) = rest.split_at_mut(take);
            match available.get(..take) {
                Some(from) if take > 0 => to.copy_from_slice(from),
                _ => return Err(ObjectError::Truncated { what, offset: start }),
            }
            self.inflated_at += take;
            self.position += take as u64;
            rest = after;
        }
        Ok(())
    }

    fn skip(&mut self, len: u64, what: &'static str) -> Result<(), ObjectError> {
        let start = self.position;
        let mut left = len;
        while left > 0 {
            let available = self.available()?.len();
            if available == 0 {
                return Err(ObjectError::Truncated { what, offset: start });
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(available);
            self.inflated_at += take;
            self.position += take as u64;
            left -= take as u64;
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, ObjectError> {
        Ok(self.available()?.is_empty())
    }

    fn is_object_space(&self) -> bool {
        false
    }

    fn expect_sparse_reads(&mut self, _sparse: bool) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_all(input: &mut dyn Input) -> Result<Vec<u8>, ObjectError> {
        let mut all = Vec::new();
        while !input.at_end()? {
            let mut byte = [0];
            input.read_exact(&mut byte, "a byte")?;
            all.push(byte[0]);
        }
        Ok(all)
    }

    #[test]
    fn both_inputs_read_and_skip_alike() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let deflated = deflate(&bytes);
        let limits = ScanLimits::default();
        let inputs: [&mut dyn Input; 2] =
            [&mut ObjectInput::new(&bytes, 0), &mut InflatedInput::new(&deflated, 0, &limits)];
        for input in inputs {
            let mut head = [0; 7];
            input.read_exact(&mut head, "x").unwrap();
            assert_eq!(head, bytes[..7]);
            input.skip(70_000, "x").unwrap();
            input.expect_sparse_reads(true);
            assert_eq!(input.position(), 70_007);
            assert!(matches!(input.skip(30_000, "x"), Err(ObjectError::Truncated { .. })) || input.at_end().unwrap());
        }
        assert_eq!(read_all(&mut ObjectInput::new(&bytes, 0)).unwrap(), bytes);
        assert_eq!(read_all(&mut InflatedInput::new(&deflated, 0, &limits)).unwrap(), bytes);
    }

    #[test]
    fn a_deflated_stream_that_ends_early_is_truncated() {
        let deflated = deflate(&(0..20_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect::<Vec<_>>());
        let limits = ScanLimits::default();
        for len in (0..deflated.len()).step_by(97) {
            let cut = deflated[..len].to_vec();
            assert!(
                matches!(read_all(&mut InflatedInput::new(&cut, 0, &limits)), Err(ObjectError::Truncated { .. })),
                "{len}"
            );
        }
    }

    #[test]
    fn c11_a_deflate_bomb_stops_at_the_cap() {
        let bomb = deflate(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let skip = |limits: &ScanLimits| InflatedInput::new(&bomb, 0, limits).skip(64 << 20, "x");
        assert!(matches!(skip(&ScanLimits::default()), Err(ObjectError::LimitExceeded { limit: 200, .. })));
        let limits = ScanLimits { max_inflate_ratio: 5000, max_inflated_bytes: 1 << 20, ..ScanLimits::default() };
        assert!(matches!(skip(&limits), Err(ObjectError::LimitExceeded { limit: 0x10_0000, .. })));
        let limits = ScanLimits { max_inflate_ratio: 5000, ..ScanLimits::default() };
        assert!(skip(&limits).is_ok());
    }
}
