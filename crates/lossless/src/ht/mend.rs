//! Mends the packets of openjph-core 0.1: right code-blocks, now and then in packets that no decoder can follow.
//!
//! Two things are wrong. A resolution level without samples has no packet [15444-1 B.6, B.9], but gets one. And a byte
//! 0xFF among the last bits of a packet header, after which one bit is stuffed [15444-1 B.10.1], makes the writer
//! pad twice, so that a zero byte too many stands between header and body. It depends on how its buffer was filled
//! whether that happened; so each header is read, and written once more, field by field, with that very writer.

use std::sync::Arc;

use codestream::geometry::ResolutionLevel;
use codestream::{Limits, MainHeader, TileGeometry, TileIndex};
use openjph_core::codestream::bitbuffer_write::BitBufferWrite;

use crate::error::{Error, unreadable};

/// The codestream `raw`, whose main header has `header_len` bytes, with its packets as they should be.
pub(super) fn mend(raw: &[u8], header_len: usize) -> Result<Vec<u8>, Error> {
    let header_bytes = raw.get(..header_len).ok_or_else(astray)?;
    let (header, _) = MainHeader::parse(header_bytes, &Limits::default()).map_err(unreadable)?;
    let mut mended = Vec::with_capacity(raw.len());
    mended.extend_from_slice(header_bytes);
    let mut rest = raw.get(header_len..).unwrap_or_default();
    let mut number = 0;
    while let Some((start, after)) = rest.split_at_checked(TILE_PART_START) {
        let len = start.get(6..10).and_then(|psot| psot.first_chunk()).map_or(0, |psot| u32::from_be_bytes(*psot));
        let packets = (len as usize).checked_sub(TILE_PART_START).ok_or_else(astray)?;
        let (packets, after) = after.split_at_checked(packets).ok_or_else(astray)?;
        let geometry = TileGeometry::new(header.siz(), TileIndex(number), Arc::clone(header.coding()));
        let begin = mended.len();
        mended.extend_from_slice(start);
        mend_tile(packets, &geometry, &mut mended)?;
        let len = u32::try_from(mended.len() - begin).map_err(|_long| astray())?;
        mended.get_mut(begin + 6..begin + 10).ok_or_else(astray)?.copy_from_slice(&len.to_be_bytes());
        (rest, number) = (after, number + 1);
    }
    mended.extend_from_slice(rest);
    Ok(mended)
}

/// The packets of one tile: by resolution level, then component.
fn mend_tile(mut packets: &[u8], geometry: &TileGeometry, mended: &mut Vec<u8>) -> Result<(), Error> {
    let components: Vec<_> = (0..geometry.component_count()).filter_map(|number| geometry.component(number)).collect();
    let levels = components.iter().map(|component| component.resolutions.len()).max().unwrap_or(0);
    for level in (0..levels).flat_map(|at| components.iter().filter_map(move |component| component.resolutions.get(at)))
    {
        let packet = Packet::read(packets, level).ok_or_else(astray)?;
        let (header, rest) = packets.split_at_checked(packet.written_len).ok_or_else(astray)?;
        let (body, rest) = rest.split_at_checked(packet.body_len).ok_or_else(astray)?;
        if level.precinct_count() > 0 {
            mended.extend_from_slice(header.get(..packet.header_len).ok_or_else(astray)?);
            mended.extend_from_slice(body);
        }
        packets = rest;
    }
    if packets.is_empty() { Ok(()) } else { Err(astray()) }
}

/// Lengths of one packet.
struct Packet {
    /// Bytes of its header as they should be.
    header_len: usize,
    /// Bytes of its header as they are.
    written_len: usize,
    body_len: usize,
}

impl Packet {
    /// Reads the header at the start of `bytes`, that of the only precinct of `level`.
    fn read(bytes: &[u8], level: &ResolutionLevel) -> Option<Self> {
        let mut fields = Fields { bytes, at: 0, left: 8, writer: BitBufferWrite::new() };
        let mut body_len = 0usize;
        if fields.bit()? == 1 {
            for band in &level.bands {
                let grid = level.all_code_blocks(band);
                let mut inclusion = TagTree::new(grid.wide, grid.high);
                let mut zero_planes = TagTree::new(grid.wide, grid.high);
                for (y, x) in (0..grid.high as usize).flat_map(|y| (0..grid.wide as usize).map(move |x| (y, x))) {
                    if inclusion.included(x, y, &mut fields)? {
                        zero_planes.count(x, y, &mut fields)?;
                        body_len = body_len.checked_add(fields.code_block_len()?)?;
                    }
                }
            }
        }
        let header_len = fields.end();
        fields.writer.finalize();
        let written = fields.writer.get_data();
        bytes.starts_with(written).then_some(Self { header_len, written_len: written.len(), body_len })
    }
}

/// Bits of a packet header [15444-1 B.10.1], each handed on to the writer that is to be imitated.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits of the byte at `at` that are still to be read.
    left: u32,
    writer: BitBufferWrite,
}

impl Fields<'_> {
    fn bit(&mut self) -> Option<u32> {
        let bit = self.next()?;
        self.writer.write(bit, 1);
        Some(bit)
    }

    /// The length of a code-block with one codeword segment of one coding pass [15444-1 B.10.6, B.10.7].
    fn code_block_len(&mut self) -> Option<usize> {
        if self.bit()? == 1 {
            return None;
        }
        let mut count = 3;
        while self.bit()? == 1 {
            count += 1;
        }
        let mut len = 0u32;
        for _ in 0..count {
            len = len.checked_mul(2)? | self.next()?;
        }
        // The only field that is not written bit by bit.
        self.writer.write(len, count);
        usize::try_from(len).ok()
    }

    fn next(&mut self) -> Option<u32> {
        if self.left == 0 {
            let before = *self.bytes.get(self.at)?;
            self.at += 1;
            self.left = if before == 0xFF { 7 } else { 8 };
        }
        self.left -= 1;
        Some(u32::from(self.bytes.get(self.at)? >> self.left & 1))
    }

    /// Bytes of the header, the one that is stuffed after a last 0xFF included.
    fn end(&self) -> usize {
        self.at + 1 + usize::from(self.bytes.get(self.at) == Some(&0xFF))
    }
}

/// A tag tree of which each leaf is asked for once, in rows [15444-1 B.10.2].
struct TagTree {
    /// From the leaves to the root: nodes in a row, and what is known of each node.
    planes: Vec<(usize, Vec<Option<u32>>)>,
}

impl TagTree {
    fn new(wide: u32, high: u32) -> Self {
        let mut planes = Vec::new();
        let (mut wide, mut high) = (wide as usize, high as usize);
        loop {
            planes.push((wide, vec![None; wide * high]));
            if wide <= 1 && high <= 1 {
                return Self { planes };
            }
            (wide, high) = (wide.div_ceil(2), high.div_ceil(2));
        }
    }

    /// Whether a code-block is included in the first layer.
    fn included(&mut self, x: usize, y: usize, fields: &mut Fields<'_>) -> Option<bool> {
        // Below a node that is not, nothing is said.
        let not = self.descend(x, y, |above| if above > 0 { Some(above) } else { Some(1 - fields.bit()?) })?;
        Some(not == 0)
    }

    /// The value of a leaf.
    fn count(&mut self, x: usize, y: usize, fields: &mut Fields<'_>) -> Option<u32> {
        self.descend(x, y, |above| {
            let mut value = above;
            while fields.bit()? == 0 {
                value += 1;
            }
            Some(value)
        })
    }

    fn descend(&mut self, x: usize, y: usize, mut read: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        let mut value = 0;
        for (up, (wide, nodes)) in self.planes.iter_mut().enumerate().rev() {
            let node = nodes.get_mut((y >> up) * *wide + (x >> up))?;
            value = match *node {
                Some(known) => known,
                None => *node.insert(read(value)?),
            };
        }
        Some(value)
    }
}

fn astray() -> Error {
    Error::Wrong("its packets cannot be followed".to_owned())
}

/// Bytes of SOT and SOD, between which openjph-core writes nothing.
const TILE_PART_START: usize = 14;
