//! What a codestream's SIZ announces, read before OpenJPEG allocates for it.

use crate::error::Error;

/// The container of a codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Codestream,
    Jp2,
}

/// Image and tile geometry of the SIZ marker segment [15444-1 A.5.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) container: Container,
    /// Rsiz bit 14: the codestream may hold HT code-blocks [15444-15].
    pub(crate) high_throughput: bool,
    /// Image area on the reference grid: x0, y0, x1, y1, half open.
    pub(crate) image: [u32; 4],
    pub(crate) tiles: u64,
    pub(crate) components: u16,
}

impl Announced {
    /// Reads the announcement of a raw codestream or of the first codestream of a JP2 file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.starts_with(&SOC_SIZ) {
            return Self::read_siz(bytes, Container::Codestream);
        }
        if bytes.get(4..8) != Some(b"jP  ") {
            return Err(Error::NotJpeg2000);
        }
        let codestream = contiguous_codestream(bytes).ok_or(Error::Malformed("no codestream box"))?;
        Self::read_siz(codestream, Container::Jp2)
    }

    fn read_siz(codestream: &[u8], container: Container) -> Result<Self, Error> {
        if !codestream.starts_with(&SOC_SIZ) {
            return Err(Error::Malformed("no SOC and SIZ"));
        }
        let truncated = Error::Malformed("SIZ is cut off");
        let rsiz = u16_at(codestream, 6).ok_or(truncated.clone())?;
        let mut grid = [0u32; 8];
        for (index, value) in grid.iter_mut().enumerate() {
            *value = u32_at(codestream, 8 + 4 * index).ok_or(truncated.clone())?;
        }
        let [x1, y1, x0, y0, tile_width, tile_height, tiles_x0, tiles_y0] = grid;
        let components = u16_at(codestream, 40).ok_or(truncated)?;
        if x0 >= x1 || y0 >= y1 {
            return Err(Error::Malformed("the image area is empty"));
        }
        if tile_width == 0 || tile_height == 0 || tiles_x0 > x0 || tiles_y0 > y0 || components == 0 {
            return Err(Error::Malformed("the tile grid is impossible"));
        }
        let across = u64::from((x1 - tiles_x0).div_ceil(tile_width));
        let down = u64::from((y1 - tiles_y0).div_ceil(tile_height));
        Ok(Self {
            container,
            high_throughput: rsiz & RSIZ_HIGH_THROUGHPUT != 0,
            image: [x0, y0, x1, y1],
            tiles: across * down,
            components,
        })
    }
}

/// Contents of the first `jp2c` box at the top level.
fn contiguous_codestream(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0usize;
    loop {
        let length = u64::from(u32_at(bytes, at)?);
        let kind = bytes.get(at.checked_add(4)?..at.checked_add(8)?)?;
        let (header, length) = match length {
            0 => (8, (bytes.len() - at) as u64),
            1 => (16, u64::from(u32_at(bytes, at + 8)?) << 32 | u64::from(u32_at(bytes, at + 12)?)),
            length => (8, length),
        };
        if length < header as u64 {
            return None;
        }
        if kind == b"jp2c" {
            return bytes.get(at.checked_add(header)?..);
        }
        at = at.checked_add(usize::try_from(length).ok()?)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&b| u16::from_be_bytes(b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&b| u32::from_be_bytes(b))
}

/// The markers every codestream begins with: SOC, then SIZ.
const SOC_SIZ: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];

const RSIZ_HIGH_THROUGHPUT: u16 = 1 << 14;
