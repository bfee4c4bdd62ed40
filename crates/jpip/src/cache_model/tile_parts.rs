//! Cache descriptors in terms of tile-parts: `tpmodel` and `tpneed` [15444-9 C.8.1.4, C.8.2].
//!
//! A range from tile-part *b* of tile *a* to tile-part *d* of tile *c* is read in two ways, as all tile-parts between
//! these two, or as the tile-parts *b* to *d* of each tile. Of the two, each field takes the one with which the client
//! rather gets too much: what it has is the lesser, what it lacks or wants the greater.

use std::collections::BTreeMap;
use std::sync::Arc;

use rangemap::{RangeInclusiveSet, RangeSet};

use super::{CacheModel, Edit};
use crate::data_bin::{CodestreamId, DataBinClass};
use crate::limits::Limits;
use crate::request::Request;
use crate::request::model::{Amount, IdRange};
use crate::request::range::{SampledRange, UintRange};
use crate::request::tile_part_model::TilePartDescriptor;
use crate::selection::requested_codestreams;
use crate::target::LogicalTarget;

/// The tile-parts that `tpneed` lists, as (tile, tile-part) in order, by codestream.
#[derive(Debug, Clone, Default)]
pub(crate) struct NeededTileParts(BTreeMap<CodestreamId, RangeSet<(u64, u64)>>);

impl NeededTileParts {
    /// The tile-parts that `list` names.
    pub(crate) fn new(
        list: &[TilePartDescriptor],
        request: &Request,
        target: &LogicalTarget,
        limits: &Limits,
    ) -> Option<Self> {
        let mut scope = TilePartScope::new(request, target, limits);
        let mut needed = Self::default();
        let mut budget = limits.max_model_edits;
        for item in list {
            let (first, last) = (item.first, (item.last.0, item.last.1.saturating_add(1)));
            let meant = scope.existing(item);
            budget = budget.checked_sub(meant.len())?;
            for id in meant.iter().filter(|_| first < last) {
                needed.0.entry(*id).or_default().insert(first..last);
            }
        }
        Some(needed)
    }

    /// Whether a tile-part is among them.
    pub(crate) fn has(&self, codestream: CodestreamId, tile: u32, part: u32) -> bool {
        self.0.get(&codestream).is_some_and(|parts| parts.contains(&(u64::from(tile), u64::from(part))))
    }
}

impl CacheModel {
    /// Applies the descriptors of `tpmodel` from left to right, as many as the limits allow; beyond, as
    /// [`Self::apply_descriptors`] does.
    pub(super) fn apply_tile_parts(&mut self, list: &[TilePartDescriptor], request: &Request, target: &LogicalTarget) {
        if list.is_empty() {
            return;
        }
        let limits = self.limits;
        let mut budget = limits.max_model_edits;
        let mut scope = TilePartScope::new(request, target, &limits);
        for item in list {
            let meant = if item.subtractive {
                self.held_codestreams(&scope.numbers(item), DataBinClass::Tile)
            } else {
                scope.existing(item).to_vec()
            };
            let left = budget.checked_sub(meant.len());
            budget = left.unwrap_or(0);
            match left {
                Some(_) => meant.into_iter().for_each(|id| self.apply_tile_part(id, item)),
                None if item.subtractive => self.clear(),
                None => self.forgot = true,
            }
        }
        self.forget_what_exceeds();
    }

    fn apply_tile_part(&mut self, id: CodestreamId, item: &TilePartDescriptor) {
        let narrow = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
        let ((first_tile, first), (last_tile, last)) = (item.first, item.last);
        let key = (id, DataBinClass::Tile);
        let parts = Amount::TileParts { first: narrow(first), last: narrow(last) };
        if !item.subtractive {
            if first_tile <= last_tile && first <= last {
                let ids = IdRange { first: first_tile, last: last_tile };
                self.edit(key, ids, Edit { additive: true, amount: parts });
            }
            return;
        }
        if item.first > item.last {
            return;
        }
        let lacks = |amount| Edit { additive: false, amount };
        self.edit(key, IdRange { first: first_tile, last: first_tile }, lacks(parts));
        if let Some(next) = first_tile.checked_add(1).filter(|next| *next <= last_tile) {
            self.edit(key, IdRange { first: next, last: last_tile }, lacks(Amount::Complete));
        }
    }
}

/// The codestreams that descriptors of tile-parts speak of.
struct TilePartScope<'a> {
    request: &'a Request,
    target: &'a LogicalTarget,
    limits: &'a Limits,
    /// The last qualifier and the codestreams of its numbers; items come in long runs under one.
    known: Option<(Arc<[UintRange]>, Vec<CodestreamId>)>,
}

impl<'a> TilePartScope<'a> {
    const fn new(request: &'a Request, target: &'a LogicalTarget, limits: &'a Limits) -> Self {
        Self { request, target, limits, known: None }
    }

    /// Those that exist.
    fn existing(&mut self, item: &TilePartDescriptor) -> &[CodestreamId] {
        if !self.known.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &item.codestreams)) {
            let found = if item.codestreams.is_empty() {
                requested_codestreams(self.request, self.target, self.limits).ids
            } else {
                let sampled = |range: &UintRange| SampledRange { range: *range, factor: 1 };
                let ranges: Vec<_> = item.codestreams.iter().map(sampled).collect();
                self.target.codestreams.expand(&ranges, self.limits.max_codestreams)
            };
            self.known = Some((Arc::clone(&item.codestreams), found));
        }
        self.known.as_ref().map_or(&[], |(_, found)| found)
    }

    /// All numbers that are named, however many.
    fn numbers(&mut self, item: &TilePartDescriptor) -> RangeInclusiveSet<u64> {
        if item.codestreams.is_empty() {
            return self.existing(item).iter().map(|id| id.0..=id.0).collect();
        }
        item.codestreams.iter().map(|range| range.first..=range.last.unwrap_or(u64::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_model::Held;
    use crate::data_bin::BinKey;
    use crate::target::{CodestreamSet, MetadataBins};

    fn target(count: u32) -> LogicalTarget {
        LogicalTarget { tid: "t".into(), codestreams: CodestreamSet::File(count), metadata: MetadataBins::default() }
    }

    fn model(query: &str, limits: &Limits) -> CacheModel {
        let request = Request::parse(query.as_bytes(), None).unwrap();
        CacheModel::for_stateless(&request, &target(3), limits)
    }

    /// Bytes held of a tile of five tile-parts of 10 bytes each.
    fn bytes(model: &CacheModel, codestream: u64, tile: u32) -> u64 {
        let held = model.held(&BinKey::tile(CodestreamId(codestream), tile));
        held.resolve(50, |parts| u64::from(parts.min(5)) * 10).0
    }

    #[test]
    fn c_8_1_4_tile_parts_add_up_without_gaps() {
        for (list, expected) in [
            ("4.0", 10),
            ("4.0-4.2", 30),
            ("4.0,4.1,4.2,4.3,4.4", 50),
            ("4.0,4.2", 10),
            ("4.1", 0),
            ("3.0-5.1", 20),
            ("3.1-5.1", 0),
            ("3.0-5.1,4.2", 30),
            ("4.0-4.9", 50),
            ("4.0-4.3,-4.1", 10),
            ("4.0-4.3,-4.1,4.1", 20),
            ("4.0-4.3,-3.3-4.0", 0),
            ("4.0-4.3,-4.4-4.3", 40),
            ("4.2-4.1", 0),
        ] {
            assert_eq!(bytes(&model(&format!("tpmodel={list}"), &Limits::default()), 0, 4), expected, "{list}");
        }
        assert_eq!(bytes(&model("model=T4:25&tpmodel=4.2", &Limits::default()), 0, 4), 30);
        assert_eq!(bytes(&model("tpmodel=0.0-99999999999999999999.0", &Limits::default()), 0, 4), 10);
    }

    #[test]
    fn qualifiers_name_codestreams() {
        let limits = Limits::default();
        let held = |query: &str| [0, 1, 2].map(|id| bytes(&model(query, &limits), id, 4));
        assert_eq!(held("stream=1-2&tpmodel=4.0"), [0, 10, 10]);
        assert_eq!(held("tpmodel=4.0,[1-],4.1,4.0,4.1"), [10, 20, 20]);
        assert_eq!(held("tpmodel=[0-2]4.0-4.4,[0;2]-4.3"), [30, 50, 30]);
        assert_eq!(held("stream=1&model=[0-2]T*&tpmodel=-4.0"), [50, 0, 50]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_not_believed() {
        let limits = Limits { max_model_edits: 4, ..Limits::default() };
        let held = |query: &str| [0, 1, 2].map(|id| bytes(&model(query, &limits), id, 4));
        assert_eq!(held("tpmodel=[0-2]4.0,[0]4.1"), [20, 10, 10]);
        assert_eq!(held("tpmodel=[0-2]4.0,4.1"), [10, 10, 10]);
        assert_eq!(held("tpmodel=[0-2]4.0,[0-1]-5.0"), [0, 0, 0], "taking away forgets everything");
        let request = Request::parse(b"tpneed=[0-2]4.0,5.0", None).unwrap();
        assert!(NeededTileParts::new(&request.tpneed, &request, &target(3), &limits).is_none());
    }

    #[test]
    fn c_8_2_needed_tile_parts_are_those_between_the_ends() {
        let request = Request::parse(b"tpneed=1.2-3.1,[2]0.0", None).unwrap();
        let needed = NeededTileParts::new(&request.tpneed, &request, &target(3), &Limits::default()).unwrap();
        let has = |tile, part| needed.has(CodestreamId(0), tile, part);
        assert!(has(1, 2) && has(1, 99) && has(2, 0) && has(3, 1));
        assert!(!has(1, 1) && !has(3, 2) && !has(0, 0));
        assert!(needed.has(CodestreamId(2), 0, 0) && !needed.has(CodestreamId(2), 1, 2));
    }

    #[test]
    fn nothing_is_held_where_nothing_was_said() {
        assert_eq!(model("tpmodel=4.0", &Limits::default()).held(&BinKey::tile(CodestreamId(0), 3)), Held::Nothing);
    }
}
