//! Deflated data sets [PS3.5 A.5]: a raw deflate stream of even length.

use std::io;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::error::ObjectError;

/// Deflates what `write` writes.
pub(super) fn deflate(
    out: &mut dyn io::Write,
    write: impl FnOnce(&mut dyn io::Write) -> Result<(), ObjectError>,
) -> Result<(), ObjectError> {
    let mut encoder = DeflateEncoder::new(Counted { out, written: 0 }, Compression::default());
    write(&mut encoder)?;
    let Counted { out, written } = encoder.finish()?;
    if !written.is_multiple_of(2) {
        out.write_all(&[0])?;
    }
    Ok(())
}

struct Counted<'o> {
    out: &'o mut dyn io::Write,
    written: u64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
