//! Index boxes that somebody else has put into a file: recognised, judged, never used to serve.
//!
//! Writers are known that leave all-zero boxes, and a lying index would send a client wrong bytes with a
//! success code. So the judgement here is for people (`inspect`); serving always rests on the index that
//! was made from the codestream itself [15444-9 Annex I].

use std::collections::BTreeSet;

use super::Jp2File;
use crate::boxes::{BoxBudget, BoxHeader, BoxReader, BoxType, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::limits::Limits;
use crate::reader::ByteSource;

/// What the index boxes of a file are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignIndex {
    /// There are none.
    None,
    /// There are some and they are all zero, as OpenJPEG 2.x writes them.
    AllZero,
    /// They contradict the file.
    Unusable(&'static str),
    /// Finder, proxies, codestream finders and table shapes agree with the file. The entries of the
    /// tables are checked by `annex_i::check`.
    Sound,
}

/// Judges the index boxes of a file whose boxes and codestreams are known.
pub(super) fn examine(source: &dyn ByteSource, limits: &Limits, file: &Jp2File) -> Result<ForeignIndex, ParseError> {
    let of_type = |wanted: &BoxType| -> Vec<BoxHeader> {
        file.boxes.iter().map(|top| top.header).filter(|header| &header.box_type == wanted).collect()
    };
    let (finders, files, codestreams) = (of_type(b"iptr"), of_type(b"fidx"), of_type(b"cidx"));
    if finders.is_empty() && files.is_empty() && codestreams.is_empty() {
        return Ok(ForeignIndex::None);
    }
    let mut zero = true;
    for header in finders.iter().chain(&files).chain(&codestreams) {
        let start = Extent::new(header.contents.offset, header.contents.len.min(64));
        zero &= read_contents(source, start, 64)?.iter().all(|&byte| byte == 0);
    }
    if zero {
        return Ok(ForeignIndex::AllZero);
    }
    // A budget of its own: the boxes inside an index are not the file's.
    let budget = BoxBudget::new(limits);
    let whole = file.codestreams.iter().filter_map(|stream| match stream.extents() {
        &[extent] => Some(extent),
        _ => None,
    });
    let tables = of_type(b"ftbl").into_iter().flat_map(|table| [table.span.offset, table.contents.offset]);
    let (whole, tables) = (whole.collect(), tables.collect());
    let judge = Judge { source, budget: &budget, file, codestreams: &codestreams, whole, tables };
    match judge.finders(&finders, &files).and_then(|()| judge.codestream_indexes()) {
        Ok(()) => Ok(ForeignIndex::Sound),
        Err(Fault::Reason(reason)) => Ok(ForeignIndex::Unusable(reason)),
        Err(Fault::Parse(error @ ParseError::Source(_))) => Err(error),
        Err(Fault::Parse(_)) => Ok(ForeignIndex::Unusable("the boxes inside the index cannot be read")),
    }
}

enum Fault {
    Reason(&'static str),
    Parse(ParseError),
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

struct Judge<'a> {
    source: &'a dyn ByteSource,
    budget: &'a BoxBudget,
    file: &'a Jp2File,
    codestreams: &'a [BoxHeader],
    /// The codestreams that lie in one piece.
    whole: BTreeSet<Extent>,
    /// Where fragment table boxes and their fragment lists begin.
    tables: BTreeSet<u64>,
}

impl Judge<'_> {
    fn finders(&self, finders: &[BoxHeader], files: &[BoxHeader]) -> Result<(), Fault> {
        let ([finder], [file_index]) = (finders, files) else {
            return Err(Fault::Reason("there is not exactly one index finder and one file index"));
        };
        let contents = read_contents(self.source, finder.contents, 16)?;
        if numbers(&contents) != Some([file_index.span.offset, file_index.span.len]) {
            return Err(Fault::Reason("the index finder does not point at the file index"));
        }
        let mut proxies = 0usize;
        for child in BoxReader::children(self.source, self.budget, file_index.contents, 1)? {
            let child = child?;
            // A file index inside a file index may point back at one above it; none that we know of
            // is written, and following none is how a cycle ends.
            if &child.box_type == b"fidx" {
                return Err(Fault::Reason("the file index holds another file index"));
            }
            if &child.box_type == b"prxy" {
                self.proxy(&read_contents(self.source, child.contents, MAX_PROXY)?)?;
                proxies += 1;
            }
        }
        if proxies < self.codestreams.len() {
            return Err(Fault::Reason("a codestream index has no proxy"));
        }
        Ok(())
    }

    fn proxy(&self, contents: &[u8]) -> Result<(), Fault> {
        let short = Fault::Reason("a proxy is too short");
        let Some((original, rest)) = self.pointed_at(contents)? else { return Err(short) };
        if !matches!(&original.box_type, b"jp2c" | b"ftbl") {
            return Err(Fault::Reason("a proxy stands for something that is no codestream"));
        }
        let Some((&count, mut rest)) = rest.split_first() else { return Err(short) };
        for _ in 0..count {
            let Some((index, left)) = self.pointed_at(rest)? else { return Err(short) };
            if &index.box_type != b"cidx" {
                return Err(Fault::Reason("a proxy points at something that is no codestream index"));
            }
            rest = left;
        }
        Ok(())
    }

    /// An offset and a box header, and the box of the file that they name.
    fn pointed_at<'b>(&self, bytes: &'b [u8]) -> Result<Option<(BoxHeader, &'b [u8])>, Fault> {
        let Some((offset, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let offset = u64::from_be_bytes(*offset);
        let boxes = &self.file.boxes;
        let found = boxes.binary_search_by_key(&offset, |top| top.header.span.offset).ok().and_then(|at| boxes.get(at));
        let Some(header) = found.map(|top| top.header) else {
            return Err(Fault::Reason("a proxy points where no box begins"));
        };
        match rest.strip_prefix(header.header_bytes().as_slice()) {
            Some(rest) => Ok(Some((header, rest))),
            None => Err(Fault::Reason("a proxy repeats another box header")),
        }
    }

    fn codestream_indexes(&self) -> Result<(), Fault> {
        for index in self.codestreams {
            let mut children = BoxReader::children(self.source, self.budget, index.contents, 1)?;
            let len = match children.next().transpose()? {
                Some(finder) if &finder.box_type == b"cptr" => self.codestream_finder(finder)?,
                _ => return Err(Fault::Reason("a codestream index does not begin with a codestream finder")),
            };
            let manifest = match children.next().transpose()? {
                Some(manifest) if &manifest.box_type == b"manf" => {
                    read_contents(self.source, manifest.contents, MAX_MANIFEST)?
                }
                _ => return Err(Fault::Reason("a codestream index has no manifest")),
            };
            let mut manifest = manifest.as_slice();
            for child in children {
                let child = child?;
                manifest = manifest
                    .strip_prefix(child.header_bytes().as_slice())
                    .ok_or(Fault::Reason("a manifest lists other boxes than follow it"))?;
                self.table(child, len)?;
            }
            if !manifest.is_empty() {
                return Err(Fault::Reason("a manifest lists more boxes than follow it"));
            }
        }
        Ok(())
    }

    /// Checks a codestream finder; returns the length of the codestream.
    fn codestream_finder(&self, finder: BoxHeader) -> Result<u64, Fault> {
        let contents = read_contents(self.source, finder.contents, 20)?;
        let Some((&[0, 0, 0, contiguous], place)) = contents.split_first_chunk() else {
            return Err(Fault::Reason("a codestream finder points at another file"));
        };
        let Some([offset, len]) = numbers(place) else {
            return Err(Fault::Reason("a codestream finder is too short"));
        };
        let found = match contiguous {
            0 => self.whole.contains(&Extent::new(offset, len)),
            _ => self.tables.contains(&offset),
        };
        if found { Ok(len) } else { Err(Fault::Reason("a codestream finder points at no codestream of the file")) }
    }

    fn table(&self, table: BoxHeader, codestream_len: u64) -> Result<(), Fault> {
        match &table.box_type {
            b"mhix" => {
                let start = Extent::new(table.contents.offset, table.contents.len.min(8));
                let len = read_contents(self.source, start, 8)?.try_into().map_or(u64::MAX, u64::from_be_bytes);
                let entries = table.contents.len.saturating_sub(8);
                if len > codestream_len || !entries.is_multiple_of(14) {
                    return Err(Fault::Reason("a header index table does not fit the codestream"));
                }
            }
            b"tpix" | b"ppix" | b"phix" => {
                for child in BoxReader::children(self.source, self.budget, table.contents, 2)? {
                    let child = child?;
                    if &child.box_type == b"faix" {
                        self.fragment_array(child)?;
                    }
                }
            }
            // Its children are one for each tile; their number is not bounded by anything useful.
            _ => {}
        }
        Ok(())
    }

    fn fragment_array(&self, table: BoxHeader) -> Result<(), Fault> {
        let wrong = Fault::Reason("a fragment array index has another size than it says");
        let start = Extent::new(table.contents.offset, table.contents.len.min(17));
        let head = read_contents(self.source, start, 17)?;
        let (&version, counts) = head.split_first().ok_or(Fault::Reason("a fragment array index is empty"))?;
        let (head_len, columns, rows) = if version.is_multiple_of(2) {
            let Some((&[a, b, c, d, e, f, g, h], _)) = counts.split_first_chunk() else { return Err(wrong) };
            (9u64, u64::from(u32::from_be_bytes([a, b, c, d])), u64::from(u32::from_be_bytes([e, f, g, h])))
        } else {
            let Some([columns, rows]) = numbers(counts) else { return Err(wrong) };
            (17, columns, rows)
        };
        let entry = match version {
            0 => 8u64,
            1 => 16,
            2 => 12,
            3 => 20,
            _ => return Err(Fault::Reason("a fragment array index has an unknown version")),
        };
        let size = columns.checked_mul(rows).and_then(|cells| cells.checked_mul(entry));
        if size.and_then(|size| size.checked_add(head_len)) == Some(table.contents.len) { Ok(()) } else { Err(wrong) }
    }
}

/// Two 64-bit numbers and nothing else.
fn numbers(bytes: &[u8]) -> Option<[u64; 2]> {
    let (first, second) = bytes.split_first_chunk::<8>()?;
    Some([u64::from_be_bytes(*first), u64::from_be_bytes(second.try_into().ok()?)])
}

const MAX_PROXY: u64 = 24 + 255 * 24 + 1;

const MAX_MANIFEST: u64 = 64 * 1024;
