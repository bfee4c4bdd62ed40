//! The code-blocks of one tile, and where the bytes of each lie in the stored codestream.

use smallvec::SmallVec;

use super::{INCONSISTENT, Input, RelayoutError};
use crate::error::ParseError;
use crate::extent::Span;
use crate::geometry::{CodeBlockGrid, ResolutionLevel, Subband, TileGeometry};
use crate::index::{Budget, IndexedTile, Window};
use crate::packets::{Contributions, EPH_LEN, HeaderBytes, PrecinctState, SOP_LEN, Stop};

/// All code-blocks of a tile, by component, resolution level and sub-band.
#[derive(Debug)]
pub(super) struct Blocks {
    bands: Vec<BandBlocks>,
    /// Position in `bands` of the first of each component.
    components: Vec<usize>,
    blocks: Vec<Block>,
    contributions: Vec<Contribution>,
    segments: Vec<Segment>,
}

/// The code-blocks of one sub-band.
#[derive(Debug, Clone, Copy)]
pub(super) struct BandBlocks {
    grid: CodeBlockGrid,
    /// Position of the first among all code-blocks.
    first: usize,
}

/// One code-block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Bit-planes without a one, once it is included.
    pub(super) zero_planes: u8,
    /// Its contributions, as a list through [`Contribution::next`]; [`NONE`] for none.
    pub(super) first: u32,
    last: u32,
}

/// What one packet holds of one code-block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contribution {
    /// First byte: while its packet is read from the start of the body, then in the codestream.
    offset: u64,
    len: u32,
    /// The block's next contribution, in a later layer; [`NONE`] for none.
    pub(super) next: u32,
    first_segment: u32,
    pub(super) layer: u16,
    pub(super) passes: u16,
    segment_count: u16,
}

/// One codeword segment of a contribution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Bits of its length beyond Lblock.
    pub(super) extra_bits: u8,
    pub(super) len: u32,
}

impl Contribution {
    pub(super) const fn span(&self) -> Span {
        Span::new(self.offset, self.len as u64)
    }
}

impl Blocks {
    /// Reads the packet headers of `tile`, whose geometry is that of the stored layout.
    pub(super) fn read(
        tile: &IndexedTile,
        geometry: &TileGeometry,
        input: &mut Input<'_, '_>,
    ) -> Result<Self, RelayoutError> {
        let mut all = Self {
            bands: Vec::new(),
            components: Vec::new(),
            blocks: Vec::new(),
            contributions: Vec::new(),
            segments: Vec::new(),
        };
        for number in 0..geometry.component_count() {
            all.components.push(all.bands.len());
            let component = geometry.component(number).ok_or(INCONSISTENT)?;
            input.budget.step(u64::from(component.levels) + 1)?;
            for level in &component.resolutions {
                let first_band = all.bands.len();
                for band in &level.bands {
                    all.add_band(level.all_code_blocks(band), &mut input.budget)?;
                }
                let mut precinct =
                    Precinct { tile, component: number, sequence: level.first_sequence, places: SmallVec::new() };
                for py in 0..level.precincts_high {
                    for px in 0..level.precincts_wide {
                        precinct.places = all.places(level, first_band, (px, py))?;
                        let mut state = PrecinctState::new(&component, level, px, py, &component.coding);
                        for layer in 0..geometry.coding().layers {
                            all.packet(&precinct, layer, &mut state, input)?;
                        }
                        input.budget.release(state.code_blocks_held());
                        precinct.sequence += 1;
                    }
                }
            }
        }
        Ok(all)
    }

    /// The sub-band number `band` of a resolution level.
    pub(super) fn band(&self, component: u16, level: u8, band: usize) -> Option<&BandBlocks> {
        let first = *self.components.get(usize::from(component))?;
        // One at the lowest level, three at each above.
        let below = if level == 0 { 0 } else { 3 * usize::from(level) - 2 };
        self.bands.get(first + below + band)
    }

    /// The code-block in this column and row of the sub-band's whole grid.
    pub(super) fn block(&self, band: &BandBlocks, x: u32, y: u32) -> Option<&Block> {
        self.blocks.get(band.position(x, y)?)
    }

    pub(super) fn contribution(&self, number: u32) -> Option<&Contribution> {
        self.contributions.get(usize::try_from(number).ok()?)
    }

    pub(super) fn segments(&self, contribution: &Contribution) -> &[Segment] {
        let first = usize::try_from(contribution.first_segment).unwrap_or(usize::MAX);
        let end = first.saturating_add(usize::from(contribution.segment_count));
        self.segments.get(first..end).unwrap_or_default()
    }

    fn add_band(&mut self, grid: CodeBlockGrid, budget: &mut Budget) -> Result<(), ParseError> {
        let count = u64::from(grid.wide) * u64::from(grid.high);
        budget.hold(count).map_err(|stop| stop.into_error(0))?;
        self.bands.push(BandBlocks { grid, first: self.blocks.len() });
        let count = usize::try_from(count).map_err(|_wide| INCONSISTENT)?;
        self.blocks.extend(std::iter::repeat_n(Block { zero_planes: 0, first: NONE, last: NONE }, count));
        Ok(())
    }

    /// Where the code-blocks of a precinct lie among all.
    fn places(
        &self,
        level: &ResolutionLevel,
        first_band: usize,
        (px, py): (u32, u32),
    ) -> Result<SmallVec<[Place; 3]>, ParseError> {
        let place = |(number, band): (usize, &Subband)| {
            let all: &BandBlocks = self.bands.get(first_band + number)?;
            let grid: CodeBlockGrid = level.code_blocks(band, px, py);
            let wide = usize::try_from(all.grid.wide).ok()?;
            if grid.wide == 0 || grid.high == 0 {
                return Some(Place { first: all.first, wide });
            }
            Some(Place { first: all.position(grid.first_x, grid.first_y)?, wide })
        };
        level.bands.iter().enumerate().map(place).collect::<Option<_>>().ok_or(INCONSISTENT)
    }

    /// Reads the header of one packet.
    fn packet(
        &mut self,
        precinct: &Precinct<'_>,
        layer: u16,
        state: &mut PrecinctState,
        input: &mut Input<'_, '_>,
    ) -> Result<(), RelayoutError> {
        let coding = &precinct.tile.coding;
        let (headers, body) = precinct.tile.packet_places(precinct.component, precinct.sequence, layer);
        let mut body = body.unwrap_or_default();
        if coding.sop && body.len >= SOP_LEN as u64 && input.window.array(body.offset)? == Some([0xFF, 0x91]) {
            body = Span::new(body.offset + SOP_LEN as u64, body.len - SOP_LEN as u64);
        }
        let in_place = [body];
        let spans = headers.as_deref().unwrap_or(&in_place);
        let before = self.contributions.len();
        let mut bytes = PlacedBytes {
            window: &mut input.window,
            budget: &mut input.budget,
            spans,
            at: 0,
            taken: 0,
            left: input.limits.max_packet_header,
        };
        let mut collector = Collector { all: self, places: &precinct.places, layer, at: 0 };
        let read = state.read_contributions(layer, &mut bytes, &mut collector);
        let taken = bytes.taken;
        let body_len = read.map_err(|stop| stop.into_error(body.offset))?;
        if headers.is_none() {
            body = Span::new(body.offset + taken, body.len.saturating_sub(taken));
            if coding.eph && body.len >= EPH_LEN as u64 && input.window.array(body.offset)? == Some([0xFF, 0x92]) {
                body = Span::new(body.offset + EPH_LEN as u64, body.len - EPH_LEN as u64);
            }
        }
        if body.len != body_len {
            let what = "a packet is not as long as its header says";
            return Err(ParseError::Malformed { what, offset: body.offset }.into());
        }
        for contribution in self.contributions.get_mut(before..).unwrap_or_default() {
            contribution.offset = contribution.offset.saturating_add(body.offset);
        }
        Ok(())
    }
}

impl BandBlocks {
    /// Position among all code-blocks of the one in column `x`, row `y` of the sub-band's grid.
    fn position(&self, x: u32, y: u32) -> Option<usize> {
        let (x, y) = (x.checked_sub(self.grid.first_x)?, y.checked_sub(self.grid.first_y)?);
        if x >= self.grid.wide || y >= self.grid.high {
            return None;
        }
        let inside = u64::from(y) * u64::from(self.grid.wide) + u64::from(x);
        self.first.checked_add(usize::try_from(inside).ok()?)
    }
}

/// The precinct whose packets are read.
struct Precinct<'a> {
    tile: &'a IndexedTile,
    component: u16,
    sequence: u64,
    places: SmallVec<[Place; 3]>,
}

/// The code-blocks of a precinct in one sub-band: position of the first, and code-blocks in a row of the sub-band.
#[derive(Debug, Clone, Copy)]
struct Place {
    first: usize,
    wide: usize,
}

/// Enters what a packet header says.
struct Collector<'a> {
    all: &'a mut Blocks,
    places: &'a [Place],
    layer: u16,
    /// Bytes of the body so far.
    at: u64,
}

impl Contributions for Collector<'_> {
    fn code_block(&mut self, band: usize, x: u32, y: u32, zero_planes: Option<u8>) -> Result<(), Stop> {
        let place = self.places.get(band).ok_or(Stop::INCONSISTENT)?;
        let column = usize::try_from(x).map_err(|_wide| Stop::INCONSISTENT)?;
        let row = usize::try_from(y).map_err(|_wide| Stop::INCONSISTENT)?;
        let block = self.all.blocks.get_mut(place.first + row * place.wide + column).ok_or(Stop::INCONSISTENT)?;
        let number = u32::try_from(self.all.contributions.len()).ok().filter(|&number| number != NONE);
        let first_segment = u32::try_from(self.all.segments.len()).ok();
        let (Some(number), Some(first_segment)) = (number, first_segment) else {
            let found = self.all.contributions.len() as u64;
            return Err(Stop::Limit { what: "contributions to packets of a tile", found, limit: u64::from(NONE) });
        };
        if let Some(zero_planes) = zero_planes {
            block.zero_planes = zero_planes;
            block.first = number;
        }
        let before = std::mem::replace(&mut block.last, number);
        if before != NONE {
            let before = usize::try_from(before).ok().and_then(|at| self.all.contributions.get_mut(at));
            before.ok_or(Stop::INCONSISTENT)?.next = number;
        }
        self.all.contributions.push(Contribution {
            offset: self.at,
            len: 0,
            next: NONE,
            first_segment,
            layer: self.layer,
            passes: 0,
            segment_count: 0,
        });
        Ok(())
    }

    fn passes(&mut self, passes: u16) {
        if let Some(last) = self.all.contributions.last_mut() {
            last.passes = passes;
        }
    }

    fn segment(&mut self, extra_bits: u32, len: u64) -> Result<(), Stop> {
        const TOO_LONG: Stop = Stop::Malformed("a contribution of more than 32 bits of length");
        let last = self.all.contributions.last_mut().ok_or(Stop::INCONSISTENT)?;
        let len = u32::try_from(len).map_err(|_long| TOO_LONG)?;
        last.len = last.len.checked_add(len).ok_or(TOO_LONG)?;
        last.segment_count += 1;
        self.at = self.at.saturating_add(u64::from(len));
        let extra_bits = u8::try_from(extra_bits).map_err(|_wide| Stop::INCONSISTENT)?;
        self.all.segments.push(Segment { extra_bits, len });
        Ok(())
    }
}

/// Bytes of a packet header wherever they lie.
struct PlacedBytes<'a, 's> {
    window: &'a mut Window<'s>,
    budget: &'a mut Budget,
    spans: &'a [Span],
    at: usize,
    /// Bytes taken of the current span.
    taken: u64,
    /// Bytes that may still be taken.
    left: usize,
}

impl HeaderBytes for PlacedBytes<'_, '_> {
    fn byte(&mut self) -> Result<u8, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Malformed("a packet header longer than allowed"))?;
        loop {
            let span = self.spans.get(self.at).ok_or(Stop::End)?;
            if self.taken < span.len {
                let byte = self.window.byte(span.offset.saturating_add(self.taken)).map_err(Stop::Source)?;
                self.taken += 1;
                return byte.ok_or(Stop::End);
            }
            (self.at, self.taken) = (self.at + 1, 0);
        }
    }

    fn visit(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.visit(code_blocks)
    }

    fn hold(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.budget.hold(code_blocks)
    }
}

/// No contribution.
pub(super) const NONE: u32 = u32::MAX;
