//! Stored bytes, copied.

use std::io;
use std::ops::Range;

use codestream::ByteSource;

use crate::error::ObjectError;

/// Copies this part of the object, piece by piece.
pub(crate) fn copy(source: &dyn ByteSource, range: Range<u64>, out: &mut dyn io::Write) -> Result<(), ObjectError> {
    let (mut at, mut piece) = (range.start, Vec::new());
    while at < range.end {
        let size = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
        piece.resize(size, 0);
        source.read_exact_at(at, &mut piece)?;
        out.write_all(&piece)?;
        at += size as u64;
    }
    Ok(())
}

/// Bytes that are copied at a time; a multiple of the size of every number.
pub(super) const PIECE: usize = 64 * 1024;
