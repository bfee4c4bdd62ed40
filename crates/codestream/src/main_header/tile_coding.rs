//! How the packets of a tile are coded: COD, COC and POC by their precedence [15444-1 A.6].

use std::sync::Arc;

use crate::error::ParseError;
use crate::markers::{Coc, Cod, ComponentCoding, ProgressionChange, ProgressionOrder};

/// The coding of one tile, or of all tiles without markers of their own.
///
/// Its size is that of the marker segments it came from, however many components there are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TileCoding {
    /// Order of the packets where `poc` is empty.
    pub progression: ProgressionOrder,
    /// Quality layers, at least 1.
    pub layers: u16,
    /// Whether SOP marker segments may precede packets.
    pub sop: bool,
    /// Whether EPH markers follow packet headers.
    pub eph: bool,
    /// Whether a multiple component transform is used.
    pub mct: bool,
    /// Progression volumes in order; when there are any, they replace `progression`.
    pub poc: Arc<[ProgressionChange]>,
    /// COC, sorted by component, at most one each.
    exceptions: Vec<(u16, Arc<ComponentCoding>)>,
    fallback: Fallback,
}

/// Where the coding of a component without COC comes from.
#[derive(Debug, Clone)]
enum Fallback {
    /// The COD of the same header.
    Own(Arc<ComponentCoding>),
    /// The main header: its COC, then its COD.
    Main(Arc<TileCoding>),
}

impl TileCoding {
    /// Coding of component `component`: tile COC > tile COD > main COC > main COD.
    #[must_use]
    pub fn component(&self, component: u16) -> &Arc<ComponentCoding> {
        let mut coding = self;
        loop {
            if let Ok(at) = coding.exceptions.binary_search_by_key(&component, |entry| entry.0)
                && let Some((_, found)) = coding.exceptions.get(at)
            {
                return found;
            }
            match &coding.fallback {
                Fallback::Own(found) => return found,
                Fallback::Main(main) => coding = main,
            }
        }
    }

    /// Most decomposition levels of any component.
    #[must_use]
    pub fn max_decomposition_levels(&self) -> u8 {
        let own = self.exceptions.iter().map(|(_, coding)| coding.levels).max().unwrap_or(0);
        own.max(match &self.fallback {
            Fallback::Own(coding) => coding.levels,
            Fallback::Main(main) => main.max_decomposition_levels(),
        })
    }

    /// Whether any component has HT code-blocks.
    #[must_use]
    pub fn has_ht(&self) -> bool {
        self.exceptions.iter().any(|(_, coding)| coding.style.is_ht())
            || match &self.fallback {
                Fallback::Own(coding) => coding.style.is_ht(),
                Fallback::Main(main) => main.has_ht(),
            }
    }
}

/// The segments of one header that decide the coding, as they come in.
#[derive(Debug, Default)]
pub(crate) struct CodingSegments {
    cod: Option<Cod>,
    /// In the order of the header; a later one of the same component wins.
    coc: Vec<Coc>,
    poc: Vec<ProgressionChange>,
}

impl CodingSegments {
    pub(crate) fn set_cod(&mut self, cod: Cod) {
        self.cod = Some(cod);
    }

    pub(crate) fn add_coc(&mut self, coc: Coc) {
        self.coc.push(coc);
    }

    /// # Errors
    ///
    /// [`ParseError::LimitExceeded`] for more progression volumes than any image needs.
    pub(crate) fn add_poc(&mut self, changes: Vec<ProgressionChange>) -> Result<(), ParseError> {
        self.poc.extend(changes);
        if self.poc.len() > MAX_PROGRESSION_CHANGES {
            return Err(ParseError::LimitExceeded {
                what: "progression order changes of a tile",
                found: self.poc.len() as u64,
                limit: MAX_PROGRESSION_CHANGES as u64,
            });
        }
        Ok(())
    }

    /// The coding of a main header; `None` without COD.
    pub(crate) fn into_main(self) -> Option<TileCoding> {
        let cod = self.cod?;
        let fallback = Fallback::Own(Arc::new(cod.component.clone()));
        Some(TileCoding {
            progression: cod.progression,
            layers: cod.layers,
            sop: cod.sop,
            eph: cod.eph,
            mct: cod.mct,
            poc: self.poc.into(),
            exceptions: exceptions(self.coc),
            fallback,
        })
    }

    /// The coding of a tile with these segments in its header.
    pub(crate) fn into_tile(self, main: &Arc<TileCoding>) -> Arc<TileCoding> {
        if self.cod.is_none() && self.coc.is_empty() && self.poc.is_empty() {
            return Arc::clone(main);
        }
        let mut coding = TileCoding {
            exceptions: exceptions(self.coc),
            fallback: Fallback::Main(Arc::clone(main)),
            ..TileCoding::clone_scalars(main)
        };
        if let Some(cod) = self.cod {
            coding.progression = cod.progression;
            coding.layers = cod.layers;
            (coding.sop, coding.eph, coding.mct) = (cod.sop, cod.eph, cod.mct);
            coding.fallback = Fallback::Own(Arc::new(cod.component));
        }
        if !self.poc.is_empty() {
            coding.poc = self.poc.into();
        }
        Arc::new(coding)
    }
}

impl TileCoding {
    /// Everything but the components, which stay behind the `Arc`.
    fn clone_scalars(main: &Arc<Self>) -> Self {
        Self {
            progression: main.progression,
            layers: main.layers,
            sop: main.sop,
            eph: main.eph,
            mct: main.mct,
            poc: Arc::clone(&main.poc),
            exceptions: Vec::new(),
            fallback: Fallback::Main(Arc::clone(main)),
        }
    }
}

/// Sorted by component; the last of several for one component wins.
fn exceptions(coc: Vec<Coc>) -> Vec<(u16, Arc<ComponentCoding>)> {
    let mut sorted: Vec<_> = coc.into_iter().rev().map(|coc| (coc.component, Arc::new(coc.coding))).collect();
    sorted.sort_by_key(|entry| entry.0);
    sorted.dedup_by_key(|entry| entry.0);
    sorted
}

/// OpenJPEG takes 32; each volume costs work even when nothing is left for it.
const MAX_PROGRESSION_CHANGES: usize = 1024;
