//! Whole files with their codestreams in another layout.

use std::io::{self, Write};

use thiserror::Error;

use super::copy::Copier;
use super::{Layout, Relaid, RelayoutError, relayout};
use crate::annex_i::{box_header, jp2_head};
use crate::damage::Damage;
use crate::error::{Family, ParseError};
use crate::extent::Span;
use crate::index::index_codestream;
use crate::jp2::{FileKind, Jp2File, sniff};
use crate::limits::Limits;
use crate::reader::{ByteSource, FrameSource};

/// What kind of file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// The codestream by itself.
    RawCodestream,
    /// A file of the JP2 family: the boxes that came with the codestream, or a minimal file around it.
    Jp2Family,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcoded {
    /// Number of codestreams.
    pub codestreams: u32,
    /// Their bytes before and after.
    pub bytes: (u64, u64),
    /// Their packets after.
    pub packets: u64,
    /// What is wrong with the file and its codestreams, none of which keeps the copy from being the same image.
    pub damage: Vec<Damage>,
}

/// Why a file could not be written in another layout.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// A codestream of it cannot be laid out anew.
    #[error(transparent)]
    Relayout(#[from] RelayoutError),
    /// The file is legal, but its form is not taken.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// Writing failed.
    #[error("writing failed: {0}")]
    Write(#[from] io::Error),
}

impl From<ParseError> for TranscodeError {
    fn from(error: ParseError) -> Self {
        Self::Relayout(error.into())
    }
}

impl TranscodeError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Relayout(error) => error.family(),
            Self::Unsupported { .. } => Family::Unsupported,
            Self::Write(_) => Family::Unavailable,
        }
    }
}

/// Writes `source`, a JPEG 2000 file or codestream, to `out` with its codestreams in another layout.
///
/// Index boxes are left out, for what they said is no longer true; all other boxes are copied.
///
/// # Errors
///
/// - [`TranscodeError::Relayout`] as [`relayout`], and if the file cannot be read.
/// - [`TranscodeError::Unsupported`] for fragment tables and `j2cx` boxes, whose offsets would change, and for several
///   codestreams that should become a raw one.
/// - [`TranscodeError::Write`] if writing fails.
pub fn transcode(
    source: &dyn ByteSource,
    layout: &Layout,
    limits: &Limits,
    form: FileForm,
    out: &mut dyn Write,
) -> Result<Transcoded, TranscodeError> {
    let mut first = [0u8; 12];
    let n = source.read_at(0, &mut first)?;
    let mut transcoding = Transcoding { layout, limits, out, done: Transcoded::default() };
    match sniff(first.get(..n).unwrap_or_default()) {
        Some(FileKind::RawCodestream) => transcoding.bare(source, form)?,
        Some(FileKind::Jp2Family) => transcoding.file(source, form)?,
        None => return Err(ParseError::Malformed { what: "neither a codestream nor a JP2 file", offset: 0 }.into()),
    }
    transcoding.out.flush()?;
    transcoding.done.damage.truncate(limits.max_damage);
    Ok(transcoding.done)
}

struct Transcoding<'a> {
    layout: &'a Layout,
    limits: &'a Limits,
    out: &'a mut dyn Write,
    done: Transcoded,
}

impl Transcoding<'_> {
    fn bare(&mut self, source: &dyn ByteSource, form: FileForm) -> Result<(), TranscodeError> {
        let relaid = self.relay(source)?;
        if form == FileForm::Jp2Family {
            let header = &relaid.index.header;
            self.out.write_all(&jp2_head(header.siz(), header.is_htj2k(), b""))?;
            self.out.write_all(&box_header(*b"jp2c", relaid.bytes.len()))?;
        }
        Ok(relaid.bytes.write_to(source, self.out)?)
    }

    fn file(&mut self, source: &dyn ByteSource, form: FileForm) -> Result<(), TranscodeError> {
        let file = Jp2File::parse(source, self.limits)?;
        self.done.damage.clone_from(&file.damage);
        if form == FileForm::RawCodestream {
            let [only] = file.codestreams.as_slice() else {
                return Err(TranscodeError::Unsupported { what: "a raw codestream for a file that holds several" });
            };
            return self.bare(&FrameSource::new(source, only), form);
        }
        if file.boxes.iter().any(|top| matches!(&top.header.box_type, b"ftbl" | b"j2cx")) {
            let what = "a file with fragment tables or multiple codestream boxes";
            return Err(TranscodeError::Unsupported { what });
        }
        let mut copier = Copier::new(source);
        for top in &file.boxes {
            let contents = top.header.contents;
            if matches!(&top.header.box_type, b"iptr" | b"cidx" | b"fidx") {
                continue;
            }
            let codestream = top.codestream.and_then(|n| file.codestreams.get(usize::try_from(n).ok()?));
            if let Some(extents) = codestream {
                let frame = FrameSource::new(source, extents);
                let relaid = self.relay(&frame)?;
                self.out.write_all(&box_header(top.header.box_type, relaid.bytes.len()))?;
                relaid.bytes.write_to(&frame, self.out)?;
            } else {
                self.out.write_all(&box_header(top.header.box_type, contents.len))?;
                copier.copy(Span::new(contents.offset, contents.len), self.out)?;
            }
        }
        Ok(())
    }

    fn relay(&mut self, source: &dyn ByteSource) -> Result<Relaid, TranscodeError> {
        let mut indexed = index_codestream(source, self.limits)?;
        let relaid = relayout(source, &indexed, self.layout, self.limits)?;
        self.done.damage.append(&mut indexed.damage);
        self.done.codestreams = self.done.codestreams.saturating_add(1);
        self.done.bytes.0 = self.done.bytes.0.saturating_add(indexed.index.codestream_len);
        self.done.bytes.1 = self.done.bytes.1.saturating_add(relaid.bytes.len());
        let tables = relaid.index.tiles.iter().flat_map(|tile| &tile.packets);
        self.done.packets = tables.fold(self.done.packets, |sum, table| sum.saturating_add(table.len()));
        Ok(relaid)
    }
}
