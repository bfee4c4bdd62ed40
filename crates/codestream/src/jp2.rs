//! Files of the JP2 family: which codestreams lie where, and what the file says about the image.
//!
//! Reads what a server must know and skips the rest: the brand, the image header, the places of the
//! codestreams (contiguous codestream boxes, and fragment tables that stay inside the file)
//! [15444-1 Annex I, 15444-2 Annex M]. Boxes that a real file lacks (`ftyp`, `jp2h`) are not insisted on,
//! as long as there is a codestream. Nothing outside the file is ever looked for: a fragment that names
//! another resource makes its codestream refused.

use crate::boxes::{BoxBudget, BoxHeader, BoxReader, BoxType, read_contents};
use crate::damage::Damage;
use crate::error::ParseError;
use crate::extent::{Extent, ExtentError, FrameExtents, Span};
use crate::limits::Limits;
use crate::reader::ByteSource;

pub mod append;
pub mod composition;
pub mod foreign;
pub mod fragments;
pub mod header;
pub mod layers;
pub mod metadata_tree;

pub use composition::{Composition, Instruction, Orientation};
pub use foreign::ForeignIndex;
pub use header::{Colour, ImageHeader, Jp2Header};
pub use layers::Layer;
pub use metadata_tree::{Area, MetadataBox, MetadataTree, Subject};

/// What a file begins like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A codestream without a file around it: SOC, SIZ.
    RawCodestream,
    /// The signature box of the JP2 family.
    Jp2Family,
}

/// Tells from its first 12 bytes whether a file is JPEG 2000 at all.
#[must_use]
pub fn sniff(first_bytes: &[u8]) -> Option<FileKind> {
    if first_bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        return Some(FileKind::RawCodestream);
    }
    first_bytes.starts_with(&SIGNATURE_BOX).then_some(FileKind::Jp2Family)
}

/// What kind of file the file type box names [15444-1 I.5.2].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileBrand {
    /// `jp2 `: JP2.
    Jp2,
    /// `jpx ` or `jpxb`: JPX.
    Jpx,
    /// `jph `: HTJ2K in a JP2-like file [15444-15 D.4].
    Jph,
    /// `jpm `: compound images; served by its codestreams.
    Jpm,
    /// `mjp2` or `mj2s`: Motion JPEG 2000; served by its codestreams, if there are any at the top level.
    MotionJpeg2000,
    /// No file type box, or none of the brands above.
    Other,
}

impl FileBrand {
    /// The media type of a whole file of this brand.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jp2 | Self::Other => "image/jp2",
            Self::Jpx => "image/jpx",
            Self::Jph => "image/jph",
            Self::Jpm => "image/jpm",
            Self::MotionJpeg2000 => "video/mj2",
        }
    }

    const fn of(brand: BoxType) -> Option<Self> {
        match &brand {
            b"jp2 " => Some(Self::Jp2),
            b"jpx " | b"jpxb" => Some(Self::Jpx),
            b"jph " => Some(Self::Jph),
            b"jpm " => Some(Self::Jpm),
            b"mjp2" | b"mj2s" => Some(Self::MotionJpeg2000),
            _ => None,
        }
    }
}

/// One top-level box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopBox {
    /// Header and place.
    pub header: BoxHeader,
    /// The codestream that the box holds or lists, as a position in [`Jp2File::codestreams`].
    pub codestream: Option<u32>,
}

/// A codestream that keeps its number but cannot be served; its extents are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Position in [`Jp2File::codestreams`].
    pub codestream: u32,
    /// Why, in words.
    pub reason: &'static str,
}

/// A file of the JP2 family; positions count from its first byte.
#[derive(Debug, Clone)]
pub struct Jp2File {
    /// Kind of file.
    pub brand: FileBrand,
    /// All top-level boxes in file order.
    pub boxes: Vec<TopBox>,
    /// The JP2 header superbox, as far as it could be read.
    pub header: Jp2Header,
    /// The codestreams by id: those of the top level in file order, then those inside `j2cx` boxes.
    pub codestreams: Vec<FrameExtents>,
    /// Which of the codestreams cannot be served, and why.
    pub refusals: Vec<Refusal>,
    /// What the index boxes in the file are worth; they are never used to serve.
    pub foreign_index: ForeignIndex,
    /// What is wrong with the file; offsets count from its start.
    pub damage: Vec<Damage>,
}

impl Jp2File {
    /// Reads the box structure; no codestream byte is touched.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Malformed`] if the signature box is missing or there is no codestream at all.
    /// - [`ParseError::LimitExceeded`] if there are more boxes than the limits allow.
    /// - [`ParseError::Source`] if reading fails.
    pub fn parse(source: &dyn ByteSource, limits: &Limits) -> Result<Self, ParseError> {
        let mut first = [0u8; 12];
        let n = source.read_at(0, &mut first)?;
        if sniff(first.get(..n).unwrap_or_default()) != Some(FileKind::Jp2Family) {
            return Err(ParseError::Malformed { what: "no JP2 signature box", offset: 0 });
        }
        let budget = BoxBudget::new(limits);
        let mut parse = Parse { source, limits, budget: &budget, file: Self::empty(), listed: 0 };
        parse.top_level()?;
        parse.multiple_codestream_boxes()?;
        let mut file = parse.file;
        if file.codestreams.is_empty() {
            return Err(ParseError::Malformed { what: "no codestream in the file", offset: source.len() });
        }
        file.foreign_index = foreign::examine(source, limits, &file)?;
        file.damage.truncate(limits.max_damage);
        Ok(file)
    }

    /// The codestreams of a file that itself lies in `outer` (a DICOM frame that holds a whole JP2 file),
    /// in the space of `outer`'s object.
    ///
    /// # Errors
    ///
    /// - [`ExtentError`] if `outer` is not what the file was parsed from.
    pub fn codestreams_within(&self, outer: &FrameExtents) -> Result<Vec<FrameExtents>, ExtentError> {
        self.codestreams.iter().map(|inner| within(outer, inner)).collect()
    }

    const fn empty() -> Self {
        Self {
            brand: FileBrand::Other,
            boxes: Vec::new(),
            header: Jp2Header::empty(),
            codestreams: Vec::new(),
            refusals: Vec::new(),
            foreign_index: ForeignIndex::None,
            damage: Vec::new(),
        }
    }
}

/// `inner`, whose offsets count inside `outer`, with offsets that count as `outer`'s do.
///
/// # Errors
///
/// - [`ExtentError::OutsideFrame`] if an extent of `inner` is not inside `outer`.
pub fn within(outer: &FrameExtents, inner: &FrameExtents) -> Result<FrameExtents, ExtentError> {
    let mut extents = Vec::new();
    for extent in inner.extents() {
        extents.extend(outer.locate(Span::new(extent.offset, extent.len))?);
    }
    let end = outer.extents().iter().map(Extent::end).max().unwrap_or(0);
    FrameExtents::new(extents, end)
}

struct Parse<'a> {
    source: &'a dyn ByteSource,
    limits: &'a Limits,
    budget: &'a BoxBudget,
    file: Jp2File,
    /// Bytes that fragment tables have listed so far.
    listed: u64,
}

impl Parse<'_> {
    fn top_level(&mut self) -> Result<(), ParseError> {
        let mut reader = BoxReader::top_level(self.source, self.budget);
        let mut header_seen = false;
        loop {
            let offset = reader.offset();
            let header = match reader.next() {
                None => return Ok(()),
                Some(Ok(header)) => header,
                Some(Err(error @ (ParseError::Source(_) | ParseError::LimitExceeded { .. }))) => return Err(error),
                Some(Err(_)) => {
                    self.file.damage.push(Damage::Irregular { what: "bytes that are no box", offset });
                    return Ok(());
                }
            };
            if header.box_type == [0; 4] {
                // Padding with zeros after the last box, as some writers leave it.
                self.file.damage.push(Damage::Irregular { what: "bytes that are no box", offset });
                return Ok(());
            }
            if header.is_cut() {
                self.file.damage.push(Damage::Truncated { what: "a top-level box", offset: header.span.end() });
            }
            let codestream = match &header.box_type {
                b"jp2c" => Some(self.contiguous(header)?),
                b"ftbl" => Some(self.fragmented(header, 1)?),
                _ => None,
            };
            match &header.box_type {
                b"ftyp" => self.file.brand = self.brand(header)?,
                b"jp2h" if !header_seen => {
                    header_seen = true;
                    let read = Jp2Header::parse(self.source, self.budget, header.contents);
                    self.file.header = self.tolerate(read, "a JP2 header box that cannot be read", offset)?;
                }
                _ => {}
            }
            self.file.boxes.push(TopBox { header, codestream });
        }
    }

    /// Multiple codestream boxes, which number their codestreams after those of the top level.
    fn multiple_codestream_boxes(&mut self) -> Result<(), ParseError> {
        let superboxes: Vec<Extent> = self
            .file
            .boxes
            .iter()
            .filter(|top| &top.header.box_type == b"j2cx")
            .map(|top| top.header.contents)
            .collect();
        for contents in superboxes {
            let mut open = vec![BoxReader::children(self.source, self.budget, contents, 1)?];
            while let Some(reader) = open.last_mut() {
                let offset = reader.offset();
                let next = reader.next();
                let depth = u16::try_from(open.len()).unwrap_or(u16::MAX);
                match next {
                    None => {
                        open.pop();
                    }
                    Some(Err(error)) => {
                        self.tolerate(Err::<(), _>(error), "boxes that cannot be read", offset)?;
                    }
                    Some(Ok(child)) => match &child.box_type {
                        b"jp2c" => {
                            self.contiguous(child)?;
                        }
                        b"ftbl" => {
                            self.fragmented(child, depth.saturating_add(1))?;
                        }
                        b"j2cx" => {
                            let next_depth = depth.saturating_add(1);
                            open.push(BoxReader::children(self.source, self.budget, child.contents, next_depth)?);
                        }
                        _ => {}
                    },
                }
            }
        }
        Ok(())
    }

    fn contiguous(&mut self, header: BoxHeader) -> Result<u32, ParseError> {
        let reason = (header.contents.len == 0).then_some("the codestream box is empty");
        self.keep(vec![header.contents], reason)
    }

    fn fragmented(&mut self, header: BoxHeader, depth: u16) -> Result<u32, ParseError> {
        let found = fragments::read(self.source, self.budget, self.limits, header.contents, depth);
        let table = match found {
            Ok(table) => table,
            Err(error @ ParseError::Source(_)) => return Err(error),
            Err(_) => return self.keep(Vec::new(), Some("the fragment table cannot be read")),
        };
        if table.elsewhere {
            return self.keep(Vec::new(), Some("the fragment table refers to another file"));
        }
        if table.cut {
            let offset = header.span.offset;
            self.file.damage.push(Damage::Irregular { what: "a fragment table reaches past the file", offset });
        }
        // Fragments may be listed more than once; a table of a few bytes must not become a codestream
        // of many gigabytes by that.
        self.listed = table.extents.iter().fold(self.listed, |sum, e| sum.saturating_add(e.len));
        if self.listed > self.source.len().saturating_mul(MAX_LISTED_RATIO) {
            return self.keep(Vec::new(), Some("the fragment tables list the same bytes again and again"));
        }
        let reason = table.extents.is_empty().then_some("the fragment table is empty");
        self.keep(table.extents, reason)
    }

    fn keep(&mut self, extents: Vec<Extent>, reason: Option<&'static str>) -> Result<u32, ParseError> {
        let codestream = u32::try_from(self.file.codestreams.len()).unwrap_or(u32::MAX);
        let outside = |_| ParseError::Malformed { what: "a codestream outside the file", offset: self.source.len() };
        self.file.codestreams.push(FrameExtents::new(extents, self.source.len()).map_err(outside)?);
        if let Some(reason) = reason {
            self.file.refusals.push(Refusal { codestream, reason });
        }
        Ok(codestream)
    }

    fn brand(&self, header: BoxHeader) -> Result<FileBrand, ParseError> {
        let looked_at = Extent::new(header.contents.offset, header.contents.len.min(MAX_FILE_TYPE));
        let contents = read_contents(self.source, looked_at, MAX_FILE_TYPE)?;
        // BR, MinV, then the compatibility list; MinV spells no brand.
        let mut named = contents.chunks_exact(4).filter_map(|four| FileBrand::of(four.try_into().ok()?));
        Ok(named.next().unwrap_or(FileBrand::Other))
    }

    /// A part that cannot be read becomes damage; only a failing medium ends everything.
    fn tolerate<T: Default>(
        &mut self,
        read: Result<T, ParseError>,
        what: &'static str,
        offset: u64,
    ) -> Result<T, ParseError> {
        match read {
            Err(error @ ParseError::Source(_)) => Err(error),
            Err(_) => {
                self.file.damage.push(Damage::Irregular { what, offset });
                Ok(T::default())
            }
            Ok(value) => Ok(value),
        }
    }
}

const SIGNATURE_BOX: [u8; 12] = [0, 0, 0, 12, b'j', b'P', b' ', b' ', 0x0D, 0x0A, 0x87, 0x0A];

/// Bytes of a file type box that are looked at.
const MAX_FILE_TYPE: u64 = 4096;

/// How many times the file's own length its fragment tables may list in all.
const MAX_LISTED_RATIO: u64 = 2;

#[cfg(test)]
mod tests;
