//! A codestream that is presented in another layout than the stored one: the same answers, from memory.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{IndexedCodestream, TileView};
use crate::annex_i::OpenError;
use crate::annex_i::private::Head;
use crate::extent::{Extent, ExtentError, FrameExtents, Span};
use crate::geometry::{TileGeometry, TileIndex};
use crate::index::PacketParts;
use crate::relayout::{Relaid, RopePart};

/// Where some bytes of a codestream are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the stored object.
    Object(Extent),
    /// Here: nobody stored them.
    Inline(Bytes),
}

/// The places of one span, in codestream order; nearly always one.
pub type Places = SmallVec<[Place; 1]>;

impl IndexedCodestream {
    /// The codestream stored at `extents`, presented as `relaid`; nothing of an index file is needed for it.
    ///
    /// All spans that it gives out count in the presented codestream; [`IndexedCodestream::locate`] finds their bytes.
    #[must_use]
    pub fn relaid(relaid: Relaid, extents: FrameExtents) -> Self {
        let mut head = Head::default();
        (head.codestream_len, head.main_header_len) = (relaid.index.codestream_len, relaid.index.main_header_len);
        let main_header = Span::new(0, relaid.index.main_header_len);
        Self {
            header: relaid.index.header.clone(),
            extents,
            head,
            jpp_main_header: vec![main_header],
            jpt_main_header: [main_header],
            psot_zero: Vec::new(),
            continued: Vec::new(),
            tables: Vec::new(),
            tpix_cells: 0,
            private: 0..0,
            relaid: Some(Arc::new(relaid)),
        }
    }

    /// Whether another layout than the stored one is presented.
    #[must_use]
    pub const fn is_relaid(&self) -> bool {
        self.relaid.is_some()
    }

    /// Bytes of memory that presenting another layout takes; 0 for a stored one.
    #[must_use]
    pub fn relaid_weight(&self) -> u64 {
        let Some(relaid) = &self.relaid else { return 0 };
        let packets: u64 = relaid.index.tiles.iter().flat_map(|tile| &tile.packets).map(|table| table.len()).sum();
        relaid.bytes.weight().saturating_add(packets.saturating_mul(PACKET_WEIGHT))
    }

    /// Where the bytes of `span` are; in the stored object always inside the frame.
    ///
    /// # Errors
    ///
    /// - [`ExtentError::OutsideFrame`] if the span is not wholly inside the codestream.
    pub fn locate(&self, span: Span) -> Result<Places, ExtentError> {
        let object = |span| Ok(self.extents.locate(span)?.into_iter().map(Place::Object));
        let Some(relaid) = &self.relaid else { return object(span).map(Iterator::collect) };
        let mut places = Places::new();
        for part in relaid.bytes.parts(span)? {
            match part {
                RopePart::Inline(bytes) => places.push(Place::Inline(bytes)),
                RopePart::Stored(span) => places.extend(object(span)?),
            }
        }
        Ok(places)
    }
}

/// The tile `tile` of `relaid`, which may have no tile-part of it.
pub(super) fn tile(relaid: &Relaid, tile: TileIndex) -> Result<TileView, OpenError> {
    let siz = relaid.index.header.siz();
    if tile.0 >= siz.tile_count() {
        return Err(OpenError::Unusable("there is no such tile"));
    }
    let indexed = relaid.index.tile(tile);
    let coding = indexed.map_or(relaid.index.header.coding(), |indexed| &indexed.coding);
    let mut header: Vec<Span> = Vec::new();
    for segment in indexed.iter().flat_map(|indexed| &indexed.header_segments) {
        match header.last_mut() {
            Some(last) if last.end() == segment.span.offset => last.len = last.len.saturating_add(segment.span.len),
            _ => header.push(segment.span),
        }
    }
    Ok(TileView { geometry: TileGeometry::new(siz, tile, Arc::clone(coding)), header })
}

/// Where a packet of `relaid` lies; empty if it is absent.
pub(super) fn packet(relaid: &Relaid, tile: TileIndex, component: u16, entry: u64) -> PacketParts {
    let table = relaid.index.tile(tile).and_then(|tile| tile.packets.get(usize::from(component)));
    table.and_then(|table| table.get(entry)).into_iter().collect()
}

/// Bytes of a packet in its table.
const PACKET_WEIGHT: u64 = 12;
