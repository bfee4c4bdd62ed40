//! Builders of tiny legal codestreams for tests, with the truth about where everything lies.
//!
//! Everything here is written a second time and as plainly as possible (geometry by definition, packet
//! order by walking every grid point, packet headers by a writer of its own), so that a mistake in the
//! code under test is not made twice. Code-block bytes are arbitrary: nothing here decodes to an image.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    reason = "test code builds its own inputs and may panic when a test asks for what cannot be built"
)]

use crate::extent::Span;

mod assemble;
pub mod files;
mod layout;
mod packet_writer;

/// A codestream of 16 by 16 samples: one tile, one component, one level, one layer, LRCP.
#[must_use]
pub fn tiny_codestream() -> TinyCodestream {
    let base = Coding {
        order: Order::Lrcp,
        layers: 1,
        components: vec![ComponentCoding { levels: 1, precincts: Vec::new() }],
        poc: Vec::new(),
    };
    TinyCodestream {
        size: (16, 16),
        offset: (0, 0),
        tile_size: None,
        tile_offset: None,
        subsampling: vec![(1, 1)],
        precision: 8,
        code_block: (4, 4),
        style: 0,
        base,
        coc: Vec::new(),
        tile_coding: Vec::new(),
        tile_coc: Vec::new(),
        tile_poc: Vec::new(),
        sop: false,
        eph: false,
        packed: Packed::InPlace,
        packed_segment: 40,
        plt: false,
        tlm: false,
        psot_zero: false,
        eoc: true,
        comment: None,
        tile_comment: None,
        tile_parts: TileParts::One,
        interleave: false,
        empty_packets: 4,
        seed: 1,
    }
}

/// Progression orders [15444-1 Table A.16], with their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Layer, resolution, component, position.
    Lrcp = 0,
    /// Resolution, layer, component, position.
    Rlcp = 1,
    /// Resolution, position, component, layer.
    Rpcl = 2,
    /// Position, component, resolution, layer.
    Pcrl = 3,
    /// Component, position, resolution, layer.
    Cprl = 4,
}

impl Order {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Lrcp, Self::Rlcp, Self::Rpcl, Self::Pcrl, Self::Cprl];
}

/// One progression order change [15444-1 A.6.6]; ends are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poc {
    /// First resolution level.
    pub resolution_start: u8,
    /// First component.
    pub component_start: u16,
    /// One past the last layer.
    pub layer_end: u16,
    /// One past the last resolution level.
    pub resolution_end: u8,
    /// One past the last component.
    pub component_end: u16,
    /// Order within these bounds.
    pub order: Order,
}

/// Where the packet headers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// Before each body.
    InPlace,
    /// In PPM marker segments of the main header.
    Ppm,
    /// In PPT marker segments of the tile-part headers.
    Ppt,
}

/// Where a tile is cut into tile-parts; there are never more than 255 of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileParts {
    /// Not at all.
    One,
    /// Whenever the resolution level of the packets changes.
    ByResolution,
    /// Whenever the layer of the packets changes.
    ByLayer,
    /// After every so many packets.
    Every(usize),
}

/// Levels and precinct sizes of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComponentCoding {
    pub(crate) levels: u8,
    /// log2 of width and height for r = 0, 1, …; the last repeats, none means 15.
    pub(crate) precincts: Vec<(u8, u8)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) order: Order,
    pub(crate) layers: u16,
    pub(crate) components: Vec<ComponentCoding>,
    pub(crate) poc: Vec<Poc>,
}

/// What a codestream shall be like; every method changes one thing.
#[derive(Debug, Clone)]
pub struct TinyCodestream {
    size: (u32, u32),
    offset: (u32, u32),
    tile_size: Option<(u32, u32)>,
    tile_offset: Option<(u32, u32)>,
    subsampling: Vec<(u8, u8)>,
    precision: u8,
    code_block: (u8, u8),
    style: u8,
    base: Coding,
    coc: Vec<(u16, ComponentCoding)>,
    tile_coding: Vec<(u32, Coding)>,
    tile_coc: Vec<(u32, u16, ComponentCoding)>,
    tile_poc: Vec<(u32, Vec<Poc>)>,
    sop: bool,
    eph: bool,
    packed: Packed,
    packed_segment: usize,
    plt: bool,
    tlm: bool,
    psot_zero: bool,
    eoc: bool,
    comment: Option<usize>,
    tile_comment: Option<u32>,
    tile_parts: TileParts,
    interleave: bool,
    empty_packets: u32,
    seed: u64,
}

impl TinyCodestream {
    /// Width and height of the image area.
    #[must_use]
    pub const fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// Upper left corner of the image area on the reference grid.
    #[must_use]
    pub const fn offset(mut self, x: u32, y: u32) -> Self {
        self.offset = (x, y);
        self
    }

    /// Tile width and height; one tile over the whole image unless given.
    #[must_use]
    pub const fn tile_size(mut self, width: u32, height: u32) -> Self {
        self.tile_size = Some((width, height));
        self
    }

    /// So many tiles across and down; call it after [`Self::size`].
    #[must_use]
    pub const fn tiles(self, across: u32, down: u32) -> Self {
        let (width, height) = (self.size.0.div_ceil(across), self.size.1.div_ceil(down));
        self.tile_size(width, height)
    }

    /// Upper left corner of the first tile on the reference grid.
    #[must_use]
    pub const fn tile_offset(mut self, x: u32, y: u32) -> Self {
        self.tile_offset = Some((x, y));
        self
    }

    /// So many components, none of them sub-sampled.
    #[must_use]
    pub fn components(self, count: usize) -> Self {
        self.subsampling(&vec![(1, 1); count])
    }

    /// One component for each (`XRsiz`, `YRsiz`).
    #[must_use]
    pub fn subsampling(mut self, factors: &[(u8, u8)]) -> Self {
        self.subsampling = factors.to_vec();
        let like_first = self.base.components[0].clone();
        self.base.components = vec![like_first; factors.len()];
        self
    }

    /// Bits of a sample, the same for all components.
    #[must_use]
    pub const fn precision(mut self, bits: u8) -> Self {
        self.precision = bits;
        self
    }

    /// Decomposition levels of all components.
    #[must_use]
    pub fn levels(mut self, levels: u8) -> Self {
        self.base.components.iter_mut().for_each(|component| component.levels = levels);
        self
    }

    /// Quality layers.
    #[must_use]
    pub const fn layers(mut self, layers: u16) -> Self {
        self.base.layers = layers;
        self
    }

    /// log2 of precinct width and height for resolution level 0, 1, …; the last repeats.
    #[must_use]
    pub fn precincts(mut self, exponents: &[(u8, u8)]) -> Self {
        self.base.components.iter_mut().for_each(|component| component.precincts = exponents.to_vec());
        self
    }

    /// log2 of code-block width and height.
    #[must_use]
    pub const fn code_block(mut self, xcb: u8, ycb: u8) -> Self {
        self.code_block = (xcb, ycb);
        self
    }

    /// Code-block style byte: 1 bypass, 2 reset, 4 terminate all, 8 causal, 16 predictable, 32 symbols.
    #[must_use]
    pub const fn style(mut self, style: u8) -> Self {
        self.style = style;
        self
    }

    /// HT code-blocks only, with a CAP marker segment.
    #[must_use]
    pub const fn ht(self) -> Self {
        self.style(0x40)
    }

    /// Progression order.
    #[must_use]
    pub const fn progression(mut self, order: Order) -> Self {
        self.base.order = order;
        self
    }

    /// Layer-resolution-component-position.
    #[must_use]
    pub const fn lrcp(self) -> Self {
        self.progression(Order::Lrcp)
    }

    /// Resolution-layer-component-position.
    #[must_use]
    pub const fn rlcp(self) -> Self {
        self.progression(Order::Rlcp)
    }

    /// Resolution-position-component-layer.
    #[must_use]
    pub const fn rpcl(self) -> Self {
        self.progression(Order::Rpcl)
    }

    /// Position-component-resolution-layer.
    #[must_use]
    pub const fn pcrl(self) -> Self {
        self.progression(Order::Pcrl)
    }

    /// Component-position-resolution-layer.
    #[must_use]
    pub const fn cprl(self) -> Self {
        self.progression(Order::Cprl)
    }

    /// A POC marker segment in the main header; the changes together must reach every packet.
    #[must_use]
    pub fn poc(mut self, changes: &[Poc]) -> Self {
        self.base.poc = changes.to_vec();
        self
    }

    /// POC in the main header: resolution levels below `level` in one order, the others in another.
    #[must_use]
    pub fn poc_split(self, level: u8, below: Order, above: Order) -> Self {
        let change = Poc {
            resolution_start: 0,
            component_start: 0,
            layer_end: self.base.layers,
            resolution_end: level,
            component_end: self.subsampling.len() as u16,
            order: below,
        };
        let rest = Poc { resolution_start: level, resolution_end: 33, order: above, ..change };
        self.poc(&[change, rest])
    }

    /// A POC marker segment in a tile's first tile-part header.
    #[must_use]
    pub fn tile_poc(mut self, tile: u32, changes: &[Poc]) -> Self {
        self.tile_poc.push((tile, changes.to_vec()));
        self
    }

    /// Levels and precincts of one component, in a COC marker segment of the main header.
    #[must_use]
    pub fn component_coding(mut self, component: u16, levels: u8, precincts: &[(u8, u8)]) -> Self {
        self.coc.push((component, ComponentCoding { levels, precincts: precincts.to_vec() }));
        self
    }

    /// Order, layers, levels and precincts of one tile, in a COD marker segment of its header.
    #[must_use]
    pub fn tile_coding(mut self, tile: u32, order: Order, layers: u16, levels: u8, precincts: &[(u8, u8)]) -> Self {
        let components = vec![ComponentCoding { levels, precincts: precincts.to_vec() }; self.subsampling.len()];
        self.tile_coding.push((tile, Coding { order, layers, components, poc: Vec::new() }));
        self
    }

    /// Levels and precincts of one component of one tile, in a COC marker segment of its header.
    #[must_use]
    pub fn tile_component_coding(mut self, tile: u32, component: u16, levels: u8, precincts: &[(u8, u8)]) -> Self {
        let coding = ComponentCoding { levels, precincts: precincts.to_vec() };
        self.tile_coc.push((tile, component, coding));
        self
    }

    /// An SOP marker segment before every packet.
    #[must_use]
    pub const fn sop(mut self) -> Self {
        self.sop = true;
        self
    }

    /// An EPH marker after every packet header.
    #[must_use]
    pub const fn eph(mut self) -> Self {
        self.eph = true;
        self
    }

    /// Packet headers in PPM marker segments.
    #[must_use]
    pub const fn ppm(mut self) -> Self {
        self.packed = Packed::Ppm;
        self
    }

    /// Packet headers in PPT marker segments.
    #[must_use]
    pub const fn ppt(mut self) -> Self {
        self.packed = Packed::Ppt;
        self
    }

    /// Bytes of packet headers in one PPM or PPT marker segment; headers straddle segments.
    #[must_use]
    pub const fn packed_segment(mut self, bytes: usize) -> Self {
        self.packed_segment = bytes;
        self
    }

    /// PLT marker segments in every tile-part header.
    #[must_use]
    pub const fn plt(mut self) -> Self {
        self.plt = true;
        self
    }

    /// A TLM marker segment.
    #[must_use]
    pub const fn tlm(mut self) -> Self {
        self.tlm = true;
        self
    }

    /// Psot 0 in the last tile-part.
    #[must_use]
    pub const fn psot_zero(mut self) -> Self {
        self.psot_zero = true;
        self
    }

    /// No EOC at the end.
    #[must_use]
    pub const fn without_eoc(mut self) -> Self {
        self.eoc = false;
        self
    }

    /// A comment of so many bytes in the main header.
    #[must_use]
    pub const fn comment(mut self, len: usize) -> Self {
        self.comment = Some(len);
        self
    }

    /// A comment in every tile-part header of a tile.
    #[must_use]
    pub const fn tile_comment(mut self, tile: u32) -> Self {
        self.tile_comment = Some(tile);
        self
    }

    /// Where tiles are cut into tile-parts.
    #[must_use]
    pub const fn tile_parts(mut self, policy: TileParts) -> Self {
        self.tile_parts = policy;
        self
    }

    /// Tile-parts of different tiles in turn, instead of tile by tile.
    #[must_use]
    pub const fn interleave(mut self) -> Self {
        self.interleave = true;
        self
    }

    /// One packet in `every` is empty (0: none is made so on purpose).
    #[must_use]
    pub const fn empty_packets(mut self, every: u32) -> Self {
        self.empty_packets = every;
        self
    }

    /// Another choice of code-block lengths, passes and inclusions.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The codestream.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.build_with_truth().bytes
    }

    /// The codestream and where everything in it lies.
    #[must_use]
    pub fn build_with_truth(&self) -> Built {
        assemble::build(self)
    }
}

/// A codestream and the truth about it.
#[derive(Debug, Clone)]
pub struct Built {
    /// The codestream.
    pub bytes: Vec<u8>,
    /// Bytes before the first SOT.
    pub main_header_len: u64,
    /// Number of tiles.
    pub tiles: u32,
    /// Every packet, in codestream order of each tile; tiles in order.
    pub packets: Vec<TruePacket>,
    /// Every tile-part in codestream order.
    pub tile_parts: Vec<TrueTilePart>,
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruePacket {
    /// Tile, from 0.
    pub tile: u32,
    /// Component, from 0.
    pub component: u16,
    /// Resolution level, 0 the lowest.
    pub resolution: u8,
    /// Precinct sequence number s in the tile-component [15444-9 A.3.2.1].
    pub sequence: u64,
    /// Quality layer, from 0.
    pub layer: u16,
    /// Where a packed packet header lies, in order; empty when headers are in place.
    pub packed_header: Vec<Span>,
    /// The packet as it lies in the tile-part's data: SOP, header (unless packed), body.
    pub in_place: Span,
}

/// One tile-part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrueTilePart {
    /// Tile, from 0.
    pub tile: u32,
    /// From SOT to the end of the data.
    pub span: Span,
    /// Data after SOD.
    pub data: Span,
    /// Whether Psot is 0.
    pub psot_zero: bool,
    /// Marker code and place of each segment between SOT and SOD, marker included.
    pub segments: Vec<(u16, Span)>,
}

#[cfg(test)]
mod tests;
