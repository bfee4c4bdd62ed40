//! Writing the stored index of one object, one codestream after the other.

use std::io::{Seek, SeekFrom, Write};

use super::IndexError;
use super::layout::Layout;
use super::private::{Places, PrivateBox};
use super::tables::{Counted, box_header, box_len, header_len, long_box_header};
use crate::extent::FrameExtents;
use crate::index::CodestreamIndex;
use crate::reader::ByteSource;

/// Writes an index file; memory does not grow with the size of its tables.
///
/// After an error the output is useless, with one exception: [`IndexError::LimitExceeded`] comes before
/// anything of that codestream is written, and [`IndexWriter::add_unusable`] may take its place.
pub struct IndexWriter<W> {
    out: Counted<W>,
    proxies: Vec<u8>,
}

impl<W: Write + Seek> IndexWriter<W> {
    /// Begins an index file at the start of `out`, which should gather small writes.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Write`] if writing fails.
    pub fn new(out: W) -> Result<Self, IndexError> {
        let mut out = Counted { out, position: 0 };
        // Where fidx lies is known at the end only.
        out.write_all(&box_header(*b"iptr", 16))?;
        out.write_all(&[0; 16])?;
        Ok(Self { out, proxies: Vec::new() })
    }

    /// Adds the next codestream.
    ///
    /// `codestream` is what `index` was made from: its coding parameters are copied.
    ///
    /// # Errors
    ///
    /// - [`IndexError::LimitExceeded`] if the tables would be out of proportion to the codestream.
    /// - [`IndexError::Codestream`] if the parameters cannot be read again.
    /// - [`IndexError::Write`] if writing fails.
    pub fn add(
        &mut self,
        extents: &FrameExtents,
        index: &CodestreamIndex,
        codestream: &dyn ByteSource,
    ) -> Result<(), IndexError> {
        let layout = Layout::new(index, extents.len())?;
        let finder = self.finder(extents)?;
        let private = PrivateBox::new(&layout);
        let mut tables =
            vec![(*b"uuid", private.contents_len()), (*b"mhix", layout.mhix_len()), (*b"tpix", layout.tpix_len())];
        if layout.tile_headers {
            tables.push((*b"thix", layout.thix_len()));
        }
        tables.push((*b"ppix", Layout::array_box_len(&layout.packets)));
        if let Some(headers) = &layout.headers {
            tables.push((*b"phix", Layout::array_box_len(headers)));
        }
        let manifest: Vec<u8> = tables.iter().flat_map(|&(name, len)| box_header(name, len)).collect();
        let mut place = 16 + finder.len() as u64 + box_len(manifest.len() as u64);
        let mut places = Places { tpix_cells: 0, ppix: 0, phix: 0 };
        for &(name, len) in &tables {
            match &name {
                b"tpix" => {
                    let shape = layout.tile_parts;
                    let inside = header_len(len) + header_len(shape.contents_len()) + shape.head_len();
                    places.tpix_cells = place.saturating_add(inside);
                }
                b"ppix" => places.ppix = place,
                b"phix" => places.phix = place,
                _ => {}
            }
            place = place.saturating_add(box_len(len));
        }
        let header = self.begin_codestream(extents, place - 16);
        self.out.write_all(&header)?;
        self.out.write_all(&finder)?;
        self.out.write_all(&box_header(*b"manf", manifest.len() as u64))?;
        self.out.write_all(&manifest)?;
        let begin = self.out.position;
        private.write(&mut self.out, &places, codestream)?;
        layout.write_mhix(&mut self.out)?;
        layout.write_tpix(&mut self.out)?;
        if layout.tile_headers {
            layout.write_thix(&mut self.out)?;
        }
        layout.write_ppix(&mut self.out)?;
        if layout.headers.is_some() {
            layout.write_phix(&mut self.out, codestream)?;
        }
        let announced: u64 = tables.iter().map(|&(_, len)| box_len(len)).sum();
        if self.out.position - begin != announced {
            return Err(IndexError::Inconsistent { what: "a table has another size than planned" });
        }
        Ok(())
    }

    /// Adds a codestream that cannot be served, so that those after it keep their numbers.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Write`] if writing fails.
    pub fn add_unusable(&mut self, extents: &FrameExtents) -> Result<(), IndexError> {
        let finder = self.finder(extents)?;
        let header = self.begin_codestream(extents, finder.len() as u64);
        self.out.write_all(&header)?;
        Ok(self.out.write_all(&finder)?)
    }

    /// Writes `fidx`, completes the file and gives the output back, flushed.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Write`] if writing fails.
    pub fn finish(mut self) -> Result<W, IndexError> {
        let (at, len) = (self.out.position, self.proxies.len() as u64);
        self.out.write_all(&long_box_header(*b"fidx", len))?;
        self.out.write_all(&self.proxies)?;
        let mut out = self.out.out;
        out.seek(SeekFrom::Start(8))?;
        out.write_all(&at.to_be_bytes())?;
        out.write_all(&len.saturating_add(16).to_be_bytes())?;
        out.seek(SeekFrom::End(0))?;
        out.flush()?;
        Ok(out)
    }

    /// The codestream finder box; writes the fragment list that it points at when there are several extents.
    fn finder(&mut self, extents: &FrameExtents) -> Result<Vec<u8>, IndexError> {
        let mut finder = box_header(*b"cptr", 20);
        if let [only] = extents.extents() {
            finder.extend_from_slice(&[0, 1, 0, 0]);
            finder.extend_from_slice(&only.offset.to_be_bytes());
        } else {
            finder.extend_from_slice(&[0, 0, 0, 1]);
            finder.extend_from_slice(&self.out.position.to_be_bytes());
            self.write_fragments(extents)?;
        }
        finder.extend_from_slice(&extents.len().to_be_bytes());
        Ok(finder)
    }

    fn write_fragments(&mut self, extents: &FrameExtents) -> Result<(), IndexError> {
        // LEN has 32 bits, so a long extent takes several entries.
        let longest = u64::from(u32::MAX);
        let found = extents.extents().iter().fold(0u64, |sum, e| sum.saturating_add(e.len.div_ceil(longest)));
        let limit = u64::from(u16::MAX);
        let count = u16::try_from(found);
        let count = count.map_err(|_why| IndexError::LimitExceeded { what: "number of fragments", found, limit })?;
        self.out.write_all(&box_header(*b"flst", 2 + 14 * u64::from(count)))?;
        self.out.write_all(&count.to_be_bytes())?;
        for extent in extents.extents() {
            let mut at = extent.offset;
            while at < extent.end() {
                let len = u32::try_from(extent.end() - at).unwrap_or(u32::MAX);
                self.out.write_all(&at.to_be_bytes())?;
                self.out.write_all(&len.to_be_bytes())?;
                self.out.write_all(&[0, 1])?;
                at = at.saturating_add(u64::from(len));
            }
        }
        Ok(())
    }

    /// Notes the proxy of a `cidx` that begins here and gives its header.
    ///
    /// The original box is the `jp2c` that the codestream would be in: 8 bytes before its first byte.
    fn begin_codestream(&mut self, extents: &FrameExtents, contents_len: u64) -> [u8; 16] {
        let header = long_box_header(*b"cidx", contents_len);
        let begins = extents.extents().first().map_or(0, |extent| extent.offset);
        let original_len = u32::try_from(extents.len().saturating_add(8)).unwrap_or(0);
        self.proxies.extend(box_header(*b"prxy", 41));
        self.proxies.extend_from_slice(&begins.saturating_sub(8).to_be_bytes());
        self.proxies.extend_from_slice(&original_len.to_be_bytes());
        self.proxies.extend_from_slice(b"jp2c\x01");
        self.proxies.extend_from_slice(&self.out.position.to_be_bytes());
        self.proxies.extend_from_slice(&header);
        header
    }
}
