//! A file whose only codestream was coded anew, from Part 1 to HT or back: what is around it must say so.

use std::io::Write;

use super::copy::Copier;
use super::file::{FileForm, TranscodeError};
use crate::annex_i::{box_header, jp2_head};
use crate::error::ParseError;
use crate::extent::{Extent, FrameExtents, Span};
use crate::jp2::{FileKind, Jp2File, sniff};
use crate::limits::Limits;
use crate::main_header::MainHeader;
use crate::reader::ByteSource;

/// Where the codestream of `source` lies, a JPEG 2000 file or codestream.
///
/// # Errors
///
/// - [`TranscodeError::Relayout`] if the file cannot be read.
/// - [`TranscodeError::Unsupported`] for a file with several codestreams.
pub fn only_codestream(source: &dyn ByteSource, limits: &Limits) -> Result<FrameExtents, TranscodeError> {
    match kind(source)? {
        FileKind::RawCodestream => {
            let whole = Extent::new(0, source.len());
            let extents = FrameExtents::new(vec![whole], whole.len);
            extents.map_err(|_why| ParseError::Malformed { what: "the file is empty", offset: 0 }.into())
        }
        FileKind::Jp2Family => match Jp2File::parse(source, limits)?.codestreams.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(TranscodeError::Unsupported { what: "coding anew of a file that holds several codestreams" }),
        },
    }
}

/// Writes `source` to `out` with `codestream`, whose main header is `header`, in place of its only one.
///
/// The file type becomes that of JPH or JP2, as the code-blocks are HT or not [15444-15 D.2, 15444-1 I.5.2]. Index
/// boxes and the reader requirements of JPX, which are about the old codestream, are left out; all other boxes are
/// copied.
///
/// # Errors
///
/// - As [`only_codestream`].
/// - [`TranscodeError::Unsupported`] for fragment tables and `j2cx` boxes, whose offsets would change.
/// - [`TranscodeError::Write`] if writing fails.
pub fn replace_codestream(
    source: &dyn ByteSource,
    (codestream, header): (&[u8], &MainHeader),
    limits: &Limits,
    form: FileForm,
    out: &mut dyn Write,
) -> Result<(), TranscodeError> {
    let codestream_box = || [&box_header(*b"jp2c", codestream.len() as u64), codestream].concat();
    match (form, kind(source)?) {
        (FileForm::RawCodestream, _) => out.write_all(codestream)?,
        (FileForm::Jp2Family, FileKind::RawCodestream) => {
            out.write_all(&jp2_head(header.siz(), header.is_htj2k(), b""))?;
            out.write_all(&codestream_box())?;
        }
        (FileForm::Jp2Family, FileKind::Jp2Family) => {
            let file = Jp2File::parse(source, limits)?;
            if file.boxes.iter().any(|top| matches!(&top.header.box_type, b"ftbl" | b"j2cx")) {
                let what = "a file with fragment tables or multiple codestream boxes";
                return Err(TranscodeError::Unsupported { what });
            }
            let mut copier = Copier::new(source);
            for top in &file.boxes {
                let Extent { offset, len } = top.header.contents;
                match &top.header.box_type {
                    b"iptr" | b"cidx" | b"fidx" | b"rreq" => {}
                    b"ftyp" => {
                        let brand: &[u8; 4] = if header.is_htj2k() { b"jph " } else { b"jp2 " };
                        out.write_all(&box_header(*b"ftyp", 12))?;
                        out.write_all(&[&brand[..], &[0; 4], brand].concat())?;
                    }
                    _ if top.codestream.is_some() => out.write_all(&codestream_box())?,
                    name => {
                        out.write_all(&box_header(*name, len))?;
                        copier.copy(Span::new(offset, len), out)?;
                    }
                }
            }
        }
    }
    Ok(out.flush()?)
}

fn kind(source: &dyn ByteSource) -> Result<FileKind, ParseError> {
    let mut first = [0u8; 12];
    let n = source.read_at(0, &mut first)?;
    let unknown = ParseError::Malformed { what: "neither a codestream nor a JP2 file", offset: 0 };
    sniff(first.get(..n).unwrap_or_default()).ok_or(unknown)
}
