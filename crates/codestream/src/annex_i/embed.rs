//! A JP2 or JPX file with its index inside [15444-9 I.2].
//!
//! The order is that of OpenJPEG 1.5, which OpenJPIP's server needs: `iptr` after `jp2h`, then the file's
//! other boxes, a `cidx` for each codestream, `fidx` last. A raw codestream gets a minimal JP2 around it.

use std::io::{Seek, SeekFrom, Write};

use super::IndexError;
use super::layout::Layout;
use super::tables::{Counted, box_header, box_len};
use crate::boxes::{BoxType, read_contents};
use crate::damage::Damage;
use crate::error::ParseError;
use crate::extent::{Extent, FrameExtents};
use crate::index::{CodestreamIndex, index_codestream};
use crate::jp2::{FileKind, Jp2File, sniff};
use crate::limits::Limits;
use crate::markers::Siz;
use crate::reader::{ByteSource, FrameSource};

/// What was put into the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Embedded {
    /// Number of codestreams with an index.
    pub codestreams: u32,
    /// What is wrong with the file and its codestreams.
    pub damage: Vec<Damage>,
}

/// Writes `source`, a JPEG 2000 file or codestream, to the start of `out` with its index inside.
///
/// Index boxes that are there already are left out; boxes without a length or cut short get their true
/// length; what follows the last box is dropped.
///
/// # Errors
///
/// - [`IndexError::Codestream`] if the file or one of its codestreams cannot be indexed.
/// - [`IndexError::Unsupported`] for a file with fragment tables or `j2cx` boxes, whose offsets would change.
/// - [`IndexError::LimitExceeded`] if tables would be out of proportion to the codestream.
/// - [`IndexError::Write`] if writing fails.
pub fn embed<W: Write + Seek>(source: &dyn ByteSource, limits: &Limits, out: W) -> Result<(W, Embedded), IndexError> {
    let mut first = [0u8; 12];
    let n = source.read_at(0, &mut first).map_err(ParseError::Source)?;
    let mut embedding = Embedding {
        source,
        limits,
        out: Counted { out, position: 0 },
        finder_at: None,
        codestreams: Vec::new(),
        done: Embedded::default(),
    };
    match sniff(first.get(..n).unwrap_or_default()) {
        Some(FileKind::RawCodestream) => embedding.raw_codestream()?,
        Some(FileKind::Jp2Family) => embedding.file()?,
        None => return Err(ParseError::Malformed { what: "neither a codestream nor a JP2 file", offset: 0 }.into()),
    }
    embedding.finish()
}

struct Embedding<'a, W> {
    source: &'a dyn ByteSource,
    limits: &'a Limits,
    out: Counted<W>,
    finder_at: Option<u64>,
    codestreams: Vec<Moved>,
    done: Embedded,
}

/// A codestream in the source, and its box in the output.
struct Moved {
    from: FrameExtents,
    header: Vec<u8>,
    at: u64,
}

impl<W: Write + Seek> Embedding<'_, W> {
    fn raw_codestream(&mut self) -> Result<(), IndexError> {
        let whole = Extent::new(0, self.source.len());
        // The JP2 header repeats SIZ, so the codestream is read before anything is written.
        let indexed = index_codestream(self.source, self.limits)?;
        let head = jp2_head(indexed.index.header.siz(), indexed.index.header.is_htj2k(), b"jpip");
        self.out.write_all(&head)?;
        self.finder()?;
        let from = FrameExtents::new(vec![whole], whole.len);
        let from = from.map_err(|_why| IndexError::Inconsistent { what: "the source has no length" })?;
        self.codestream(from)
    }

    fn file(&mut self) -> Result<(), IndexError> {
        let file = Jp2File::parse(self.source, self.limits)?;
        self.done.damage.clone_from(&file.damage);
        let types = || file.boxes.iter().map(|top| top.header.box_type);
        if types().any(|name| matches!(&name, b"ftbl" | b"j2cx")) {
            return Err(IndexError::Unsupported { what: "a file with fragment tables or multiple codestream boxes" });
        }
        let first_codestream = types().position(|name| &name == b"jp2c").unwrap_or(0);
        let header = types().position(|name| &name == b"jp2h").filter(|&at| at < first_codestream);
        let finder_before = header.map_or(first_codestream, |at| at + 1);
        for (at, top) in file.boxes.iter().enumerate() {
            if at == finder_before {
                self.finder()?;
            }
            let contents = top.header.contents;
            match &top.header.box_type {
                b"iptr" | b"cidx" | b"fidx" => {}
                b"ftyp" => self.file_type(contents)?,
                _ => {
                    let codestream = top.codestream.and_then(|n| file.codestreams.get(usize::try_from(n).ok()?));
                    match codestream {
                        Some(from) => self.codestream(from.clone())?,
                        None => self.copy(top.header.box_type, contents)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The file type box, with `jpip` in its compatibility list.
    fn file_type(&mut self, contents: Extent) -> Result<(), IndexError> {
        let mut bytes = read_contents(self.source, contents, MAX_FILE_TYPE)?;
        if !bytes.chunks_exact(4).skip(2).any(|brand| brand == b"jpip") {
            bytes.extend_from_slice(b"jpip");
        }
        self.out.write_all(&box_header(*b"ftyp", bytes.len() as u64))?;
        Ok(self.out.write_all(&bytes)?)
    }

    fn finder(&mut self) -> Result<(), IndexError> {
        self.finder_at = Some(self.out.position);
        self.out.write_all(&box_header(*b"iptr", 16))?;
        Ok(self.out.write_all(&[0; 16])?)
    }

    fn codestream(&mut self, from: FrameExtents) -> Result<(), IndexError> {
        let at = self.out.position;
        let header = box_header(*b"jp2c", from.len());
        let contents = from.extents().first().copied().unwrap_or_default();
        self.copy(*b"jp2c", contents)?;
        self.codestreams.push(Moved { from, header, at });
        Ok(())
    }

    fn copy(&mut self, box_type: BoxType, contents: Extent) -> Result<(), IndexError> {
        self.out.write_all(&box_header(box_type, contents.len))?;
        let mut buffer = vec![0; COPY_LEN];
        let mut at = contents.offset;
        while at < contents.end() {
            let some = usize::try_from(contents.end() - at).unwrap_or(COPY_LEN).min(COPY_LEN);
            let some = buffer.get_mut(..some).unwrap_or_default();
            self.source.read_exact_at(at, some).map_err(ParseError::Source)?;
            self.out.write_all(some)?;
            at = at.saturating_add(some.len() as u64);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(W, Embedded), IndexError> {
        let mut proxies = Vec::new();
        for moved in std::mem::take(&mut self.codestreams) {
            let frame = FrameSource::new(self.source, &moved.from);
            let indexed = index_codestream(&frame, self.limits)?;
            self.done.damage.extend(indexed.damage);
            let cidx_at = self.out.position;
            let cidx_header = self.index(&moved, &indexed.index)?;
            let mut proxy = moved.at.to_be_bytes().to_vec();
            proxy.extend_from_slice(&moved.header);
            proxy.push(1);
            proxy.extend_from_slice(&cidx_at.to_be_bytes());
            proxy.extend_from_slice(&cidx_header);
            proxies.extend(box_header(*b"prxy", proxy.len() as u64));
            proxies.extend(proxy);
            self.done.codestreams = self.done.codestreams.saturating_add(1);
        }
        let fidx_at = self.out.position;
        self.out.write_all(&box_header(*b"fidx", proxies.len() as u64))?;
        self.out.write_all(&proxies)?;
        let fidx_len = self.out.position - fidx_at;
        let finder_at = self.finder_at.ok_or(IndexError::Inconsistent { what: "no place for the index finder" })?;
        let mut out = self.out.out;
        out.seek(SeekFrom::Start(finder_at.saturating_add(8)))?;
        out.write_all(&fidx_at.to_be_bytes())?;
        out.write_all(&fidx_len.to_be_bytes())?;
        out.seek(SeekFrom::End(0))?;
        out.flush()?;
        self.done.damage.truncate(self.limits.max_damage);
        Ok((out, self.done))
    }

    /// Writes the `cidx` of one codestream; returns its header.
    fn index(&mut self, moved: &Moved, index: &CodestreamIndex) -> Result<Vec<u8>, IndexError> {
        let layout = Layout::new(index, moved.from.len())?;
        let tables = [
            (*b"mhix", layout.mhix_len()),
            (*b"tpix", layout.tpix_len()),
            // OpenJPIP's server reads thix whether or not there is anything in it.
            (*b"thix", layout.thix_len()),
            (*b"ppix", Layout::array_box_len(&layout.packets)),
        ];
        let manifest: Vec<u8> = tables.iter().flat_map(|&(name, len)| box_header(name, len)).collect();
        let announced: u64 = tables.iter().map(|&(_, len)| box_len(len)).sum();
        let header = box_header(*b"cidx", 28 + box_len(manifest.len() as u64) + announced);
        self.out.write_all(&header)?;
        self.out.write_all(&box_header(*b"cptr", 20))?;
        self.out.write_all(&[0; 4])?;
        self.out.write_all(&(moved.at + moved.header.len() as u64).to_be_bytes())?;
        self.out.write_all(&moved.from.len().to_be_bytes())?;
        self.out.write_all(&box_header(*b"manf", manifest.len() as u64))?;
        self.out.write_all(&manifest)?;
        layout.write_mhix(&mut self.out)?;
        layout.write_tpix(&mut self.out)?;
        layout.write_thix(&mut self.out)?;
        layout.write_ppix(&mut self.out)?;
        Ok(header)
    }
}

/// Signature, file type and JP2 header for a codestream that came without any [15444-1 I.5]; `compatible` are brands
/// for the compatibility list.
pub(crate) fn jp2_head(siz: &Siz, htj2k: bool, compatible: &[u8]) -> Vec<u8> {
    let boxed = |box_type: BoxType, contents: &[u8]| [&box_header(box_type, contents.len() as u64), contents].concat();
    let brand: &[u8; 4] = if htj2k { b"jph " } else { b"jp2 " };
    let depths: Vec<u8> = siz
        .components
        .iter()
        .map(|component| component.precision.saturating_sub(1) | u8::from(component.signed) << 7)
        .collect();
    let alike = depths.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    let depth = depths.first().copied().filter(|_| alike).unwrap_or(255);
    let mut ihdr = Vec::new();
    ihdr.extend_from_slice(&siz.ysiz.saturating_sub(siz.yosiz).to_be_bytes());
    ihdr.extend_from_slice(&siz.xsiz.saturating_sub(siz.xosiz).to_be_bytes());
    ihdr.extend_from_slice(&siz.component_count().to_be_bytes());
    // Compression type 7; the colour space is a guess, and said to be one.
    ihdr.extend_from_slice(&[depth, 7, 1, 0]);
    let subsampled = siz.components.iter().any(|component| component.xrsiz > 1 || component.yrsiz > 1);
    let colour_space: u8 = match siz.component_count() {
        0..=2 => 17,
        _ if subsampled => 18,
        _ => 16,
    };
    let mut header = boxed(*b"ihdr", &ihdr);
    if !alike {
        header.extend(boxed(*b"bpcc", &depths));
    }
    header.extend(boxed(*b"colr", &[1, 0, 0, 0, 0, 0, colour_space]));
    let file_type = [&brand[..], &[0; 4], brand, compatible].concat();
    [boxed(*b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A]), boxed(*b"ftyp", &file_type), boxed(*b"jp2h", &header)].concat()
}

const COPY_LEN: usize = 256 * 1024;

const MAX_FILE_TYPE: u64 = 64 * 1024;
