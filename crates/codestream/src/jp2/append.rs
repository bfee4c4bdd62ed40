//! A copy of a file with one more box at its end.

use std::io::{self, Write};

use thiserror::Error;

use super::Jp2File;
use crate::boxes::BoxType;
use crate::extent::Extent;
use crate::reader::ByteSource;

/// Why a box cannot be appended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The file is of a kind that cannot be added to without changing what is in it.
    #[error("nothing can be added to {what}")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes the file that `file` was parsed from, and after it a box, to `out`.
///
/// The bytes of the file stay as they are, but for a last box "to the end of the file", which gets its length, and for
/// what follows the last box, which is dropped. The new box comes last, where `OpenJPIP`'s own tool puts it: offsets in
/// index boxes and fragment tables stay right.
///
/// # Errors
///
/// - [`AppendError::Unsupported`] if the last box is cut, or its length cannot be written without moving what others
///   point at.
/// - [`AppendError::Io`] if reading or writing fails.
pub fn append<W: Write>(
    source: &dyn ByteSource,
    file: &Jp2File,
    box_type: BoxType,
    contents: &[u8],
    out: &mut W,
) -> Result<(), AppendError> {
    let unsupported = |what| AppendError::Unsupported { what };
    let Some(last) = file.boxes.last().map(|top| top.header) else { return Err(unsupported("a file without boxes")) };
    if last.is_cut() {
        return Err(unsupported("a file that breaks off inside a box"));
    }
    copy(source, Extent::new(0, last.span.offset), out)?;
    if last.declared_len > 0 {
        copy(source, last.span, out)?;
    } else {
        match u32::try_from(last.span.len) {
            Ok(len) => {
                out.write_all(&len.to_be_bytes())?;
                out.write_all(&last.box_type)?;
            }
            Err(_too_long) => {
                // The header grows by eight bytes, and with it every offset into the box.
                let points = |box_type: &BoxType| matches!(box_type, b"ftbl" | b"iptr" | b"cidx" | b"fidx");
                if file.boxes.iter().any(|top| points(&top.header.box_type)) {
                    return Err(unsupported("a file whose boxes point into a last box of unstated length"));
                }
                out.write_all(&1u32.to_be_bytes())?;
                out.write_all(&last.box_type)?;
                out.write_all(&last.span.len.saturating_add(8).to_be_bytes())?;
            }
        }
        copy(source, last.contents, out)?;
    }
    let len = u32::try_from(contents.len() as u64 + 8).map_err(|_why| unsupported("a file, if it is so long"))?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(&box_type)?;
    out.write_all(contents)?;
    Ok(())
}

fn copy<W: Write>(source: &dyn ByteSource, extent: Extent, out: &mut W) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut left) = (extent.offset, extent.len);
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..take) else { break };
        source.read_exact_at(at, part)?;
        out.write_all(part)?;
        at = at.saturating_add(take as u64);
        left = left.saturating_sub(take as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::testkit::files::{boxed, jp2_file};

    fn appended(file: &[u8]) -> Result<Vec<u8>, AppendError> {
        let parsed = Jp2File::parse(&file, &Limits::default()).unwrap();
        let mut out = Vec::new();
        append(&file, &parsed, *b"xml ", b"<a/>", &mut out).map(|()| out)
    }

    #[test]
    fn a_box_is_added_and_nothing_else_changes() {
        let file = jp2_file(b"codestream");
        let new = boxed(*b"xml ", b"<a/>");
        assert_eq!(appended(&file).unwrap(), [file.clone(), new.clone()].concat());
        let garbage = [&file[..], b"\0\0\0\x03junk"].concat();
        assert_eq!(appended(&garbage).unwrap(), [file.clone(), new.clone()].concat());
        let mut open_ended = file.clone();
        let at = file.len() - 18;
        open_ended[at..at + 4].copy_from_slice(&[0; 4]);
        assert_eq!(appended(&open_ended).unwrap(), [file, new].concat());
    }

    #[test]
    fn a_file_that_breaks_off_is_refused() {
        let file = jp2_file(b"codestream");
        assert!(matches!(appended(&file[..file.len() - 1]), Err(AppendError::Unsupported { .. })));
    }
}
