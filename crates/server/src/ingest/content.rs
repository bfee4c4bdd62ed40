//! What a file is, told by its first bytes and never by its name.

use std::io;

use codestream::ByteSource;
use codestream::jp2::{self, FileKind};

/// What a file begins like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A DICOM Part 10 file.
    Dicom,
    /// A file of the JP2 family.
    Jp2Family,
    /// A codestream without a file around it.
    RawCodestream,
}

/// Enough for the DICOM preamble and prefix, the first element of a file without them, and a JP2 signature box.
const HEAD: usize = 256;

impl Content {
    /// What the source begins like, `None` if it is neither DICOM nor JPEG 2000.
    pub(crate) fn of(source: &dyn ByteSource) -> io::Result<Option<Self>> {
        let head = HEAD.min(usize::try_from(source.len()).unwrap_or(HEAD));
        let mut first = vec![0; head];
        source.read_exact_at(0, &mut first)?;
        Ok(Self::sniff(&first))
    }

    /// As [`Content::of`], from the first bytes.
    pub(crate) fn sniff(first: &[u8]) -> Option<Self> {
        match jp2::sniff(first) {
            Some(FileKind::Jp2Family) => Some(Self::Jp2Family),
            Some(FileKind::RawCodestream) => Some(Self::RawCodestream),
            None => dicom_bridge::is_part10(first).then_some(Self::Dicom),
        }
    }
}
