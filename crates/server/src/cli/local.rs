//! A file on this machine, looked at without a server: what it is, and where its codestreams lie.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, bail};
use codestream::{
    ByteSource, Extent, FrameExtents, FrameSource, Limits,
    jp2::{self, FileKind, Jp2File},
};
use dicom_bridge::{PixelData, ScanLimits, ScannedObject};

/// An open file that is read in place, never loaded.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: File,
    len: u64,
    /// One past the last byte read so far; a progress bar follows it.
    reached: AtomicU64,
}

/// What a file is.
#[derive(Debug)]
pub(super) enum Content {
    Dicom(Box<ScannedObject>),
    Jp2(Box<Jp2File>),
    RawCodestream,
    /// None of these.
    Unknown,
}

impl LocalFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        Self::of(file).with_context(|| format!("{} cannot be read", path.display()))
    }

    pub(super) fn of(file: File) -> anyhow::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            bail!("not a regular file");
        }
        Ok(Self { file, len: metadata.len(), reached: AtomicU64::new(0) })
    }

    /// One past the last byte read so far.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// What the file is, by its contents alone.
    pub(super) fn content(&self) -> anyhow::Result<Content> {
        let mut first = vec![0; usize::try_from(self.len.min(256))?];
        self.read_exact_at(0, &mut first)?;
        Ok(match jp2::sniff(&first) {
            Some(FileKind::RawCodestream) => Content::RawCodestream,
            Some(FileKind::Jp2Family) => Content::Jp2(Box::new(Jp2File::parse(self, &Limits::default())?)),
            None if dicom_bridge::is_part10(&first) => {
                Content::Dicom(Box::new(dicom_bridge::scan(self, &ScanLimits::default())?))
            }
            None => Content::Unknown,
        })
    }

    /// The codestreams of the file, in order.
    ///
    /// A DICOM frame may hold a whole JP2 file; its first codestream is the frame then.
    pub(super) fn codestreams(&self, content: &Content) -> anyhow::Result<Vec<FrameExtents>> {
        match content {
            Content::RawCodestream => Ok(vec![FrameExtents::new(vec![Extent::new(0, self.len)], self.len)?]),
            Content::Jp2(file) => Ok(file.codestreams.clone()),
            Content::Dicom(object) => match &object.pixel_data {
                PixelData::Encapsulated { frames, .. }
                    if object.transfer_syntax.is_jpeg2000() || object.transfer_syntax.is_htj2k() =>
                {
                    frames.iter().map(|frame| self.bare_codestream(frame)).collect()
                }
                PixelData::Encapsulated { .. } | PixelData::Native(_) => {
                    bail!("its pixel data are not JPEG 2000 ({})", object.transfer_syntax.name())
                }
                PixelData::None => bail!("it has no pixel data"),
                PixelData::Unusable(reason) => bail!("its pixel data are unusable: {reason}"),
            },
            Content::Unknown => bail!("neither DICOM nor JPEG 2000"),
        }
    }

    fn bare_codestream(&self, frame: &FrameExtents) -> anyhow::Result<FrameExtents> {
        let source = FrameSource::new(self, frame);
        let mut first = [0; 12];
        let n = source.read_at(0, &mut first)?;
        if jp2::sniff(first.get(..n).unwrap_or_default()) != Some(FileKind::Jp2Family) {
            return Ok(frame.clone());
        }
        let file = Jp2File::parse(&source, &Limits::default())?;
        let inner = file.codestreams_within(frame)?;
        inner.into_iter().next().context("a frame that is a JP2 file without a codestream")
    }
}

impl ByteSource for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, offset)?;
        self.reached.fetch_max(offset.saturating_add(n as u64), Ordering::Relaxed);
        Ok(n)
    }
}
