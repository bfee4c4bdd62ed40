//! The cache model: what the server believes that the client holds [15444-9 B.2, C.8].
//!
//! For every data-bin it knows a prefix and whether the data-bin is complete. It may know too little, never
//! too much: what does not fit its bounds is forgotten and sent again. Complete data-bins are ranges of
//! identifiers, partly held ones single entries; statements that only the codestream's geometry or packet
//! lengths can resolve (`t0r1:L2`) are kept as they were made and resolved when a data-bin is looked up.

mod facts;
mod held;
mod tile_parts;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use held::{Held, PrecinctPlace};
use rangemap::RangeInclusiveSet;
pub(crate) use tile_parts::NeededTileParts;

use self::facts::{BinFacts, Rule};
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::limits::Limits;
use crate::request::Request;
use crate::request::error::RequestError;
use crate::request::model::{Amount, BinSelector, CacheDescriptor, CacheDescriptors, CodestreamQualifier, IdRange};
use crate::request::range::SampledRange;
use crate::selection::requested_codestreams;
use crate::target::{CodestreamSet, LogicalTarget};

/// What one client holds of one target in one stream type.
#[derive(Debug, Clone)]
pub struct CacheModel {
    bins: BTreeMap<(CodestreamId, DataBinClass), BinFacts>,
    limits: Limits,
    max_entries: usize,
    entries: usize,
    /// Counts the changes, so that what was touched longest ago can be forgotten first.
    clock: u64,
    /// Whether something that was said did not fit the limits.
    forgot: bool,
}

/// One change of what is held: `additive` for at least, otherwise for at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) additive: bool,
    pub(crate) amount: Amount,
}

impl CacheModel {
    /// The empty model of a new session.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let max_entries = limits.max_model_entries;
        Self { bins: BTreeMap::new(), limits: *limits, max_entries, entries: 0, clock: 0, forgot: false }
    }

    /// The model of a request without a session: nothing but what its `model` field says.
    #[must_use]
    pub fn for_stateless(request: &Request, target: &LogicalTarget, limits: &Limits) -> Self {
        // It lives as long as one response, so it may hold every descriptor that a request may have.
        let mut model = Self { max_entries: limits.max_model_items, ..Self::new(limits) };
        model.apply(request, target);
        model
    }

    /// The data-bins that `need` lists, in the form of a model that holds just these. Unlike a model it must not
    /// know too little: what is not in it is not sent.
    ///
    /// # Errors
    ///
    /// - [`RequestError::LimitExceeded`] if the list is more than the limits allow.
    pub(crate) fn of_need(
        need: &CacheDescriptors,
        request: &Request,
        target: &LogicalTarget,
        limits: &Limits,
    ) -> Result<Self, RequestError> {
        let mut model = Self { max_entries: limits.max_model_items, ..Self::new(limits) };
        model.apply_descriptors(need, request, target);
        if model.forgot {
            return Err(RequestError::LimitExceeded { field: "need", limit: limits.max_model_rules });
        }
        Ok(model)
    }

    /// Applies the request's `model` and `tpmodel` fields, before the response is planned. A request that speaks of
    /// another version of the target, or of its other stream type, changes nothing [15444-9 C.8.1].
    pub fn apply(&mut self, request: &Request, target: &LogicalTarget) {
        if speaks_of_another_version(request, target) {
            return;
        }
        if let Some(descriptors) = &request.model {
            self.apply_descriptors(descriptors, request, target);
        }
        self.apply_tile_parts(&request.tpmodel, request, target);
    }

    /// Notes that the client holds the first `bytes` bytes of a data-bin, or all of it.
    pub fn record(&mut self, key: &BinKey, bytes: u64, complete: bool) {
        let amount = if complete { Amount::Complete } else { Amount::Bytes(bytes) };
        let ids = IdRange { first: key.id, last: key.id };
        self.edit((key.codestream, key.class), ids, Edit { additive: true, amount });
        self.forget_what_exceeds();
    }

    /// Notes that the client may lack what follows the first `bytes` bytes of a data-bin, whatever was said before.
    pub fn forget_from(&mut self, key: &BinKey, bytes: u64) {
        let amount = if bytes == 0 { Amount::Complete } else { Amount::Bytes(bytes) };
        let ids = IdRange { first: key.id, last: key.id };
        self.edit((key.codestream, key.class), ids, Edit { additive: false, amount });
        self.forget_what_exceeds();
    }

    /// Takes over everything that `delivered` holds.
    pub(crate) fn absorb(&mut self, delivered: &Self) {
        for (&key, facts) in &delivered.bins {
            for (ids, edit) in facts.additions() {
                self.edit(key, ids, edit);
            }
        }
        self.forget_what_exceeds();
    }

    /// Forgets all codestreams but these [15444-9 C.8.4].
    pub fn keep_only(&mut self, codestreams: &[CodestreamId]) {
        self.bins.retain(|(id, class), _| *class == DataBinClass::Metadata || codestreams.contains(id));
        self.entries = self.bins.values().map(BinFacts::entries).sum();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bins.clear();
        self.entries = 0;
    }

    /// What is held of a data-bin that is no precinct.
    #[must_use]
    pub fn held(&self, key: &BinKey) -> Held {
        self.bins.get(&(key.codestream, key.class)).map_or(Held::Nothing, |facts| facts.held(key.id, None))
    }

    /// What is held of a precinct data-bin.
    #[must_use]
    pub fn held_precinct(&self, key: &BinKey, place: &PrecinctPlace) -> Held {
        self.bins.get(&(key.codestream, key.class)).map_or(Held::Nothing, |facts| facts.held(key.id, Some(place)))
    }

    /// Whether nothing is known of the precincts of a codestream, so that looking each up can be saved.
    pub(crate) fn knows_no_precinct(&self, codestream: CodestreamId) -> bool {
        !self.bins.contains_key(&(codestream, DataBinClass::Precinct))
    }

    /// Number of entries, the measure of its memory.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Applies descriptors from left to right, as many as the limits allow; beyond, additions are passed over and
    /// taking away forgets everything, because what the client no longer has cannot be worked out any more.
    fn apply_descriptors(&mut self, descriptors: &CacheDescriptors, request: &Request, target: &LogicalTarget) {
        let mut budget = self.limits.max_model_edits;
        let mut scope = Scope::new(request, target, &self.limits);
        let max_rules = self.limits.max_model_rules;
        for descriptor in descriptors.iter() {
            let edit = Edit { additive: !descriptor.subtractive, amount: descriptor.amount };
            if budget > 0 {
                let class = class_of(&descriptor.bins);
                let keys = match class {
                    DataBinClass::Metadata => Cow::Owned(vec![CodestreamId(0)]),
                    _ if edit.additive => Cow::Borrowed(scope.expand(&descriptor)),
                    _ => Cow::Owned(self.held_codestreams(scope.ranges(&descriptor), class)),
                };
                let left = budget.checked_sub(keys.len());
                budget = left.unwrap_or(0);
                if left.is_some() {
                    for &id in keys.iter() {
                        self.change((id, class), edit, |facts| match descriptor.bins {
                            BinSelector::Implicit(places) => facts.add_rule(Rule::implicit(places, edit), max_rules),
                            _ => facts.edit(ids_of(&descriptor.bins), edit, max_rules),
                        });
                    }
                    continue;
                }
            }
            if edit.additive {
                self.forgot = true;
            } else {
                self.clear();
            }
        }
        self.forget_what_exceeds();
    }

    /// The codestreams within the ranges, which do not overlap, of which something of this class is held.
    fn held_codestreams(&self, ranges: &RangeInclusiveSet<u64>, class: DataBinClass) -> Vec<CodestreamId> {
        let bound = |id: u64| (CodestreamId(id), class);
        ranges
            .iter()
            .flat_map(|range| self.bins.range(bound(*range.start())..=bound(*range.end())))
            .filter_map(|((id, kind), _)| (*kind == class).then_some(*id))
            .collect()
    }

    fn edit(&mut self, key: (CodestreamId, DataBinClass), ids: IdRange, edit: Edit) {
        let max_rules = self.limits.max_model_rules;
        self.change(key, edit, |facts| facts.edit(ids, edit, max_rules));
    }

    fn change(&mut self, key: (CodestreamId, DataBinClass), edit: Edit, act: impl FnOnce(&mut BinFacts) -> bool) {
        if !edit.additive && !self.bins.contains_key(&key) {
            return;
        }
        self.clock += 1;
        let before = self.bins.get(&key).map_or(0, BinFacts::entries);
        let facts = self.bins.entry(key).or_default();
        facts.touched = self.clock;
        self.forgot |= !act(facts);
        self.entries = (self.entries + facts.entries()).saturating_sub(before);
        if self.entries > self.max_entries.saturating_mul(2) {
            self.forget_what_exceeds();
        }
    }

    /// Drops whole tables, the longest untouched first and those of image data before the small ones of headers and
    /// metadata, until the rest is well below the limit.
    fn forget_what_exceeds(&mut self) {
        if self.entries <= self.max_entries {
            return;
        }
        let goal = self.max_entries / 8 * 7;
        let mut tables: Vec<_> = self.bins.iter().map(|(key, facts)| (facts.touched, *key, facts.entries())).collect();
        let is_small = |class: &DataBinClass| !matches!(class, DataBinClass::Precinct | DataBinClass::Tile);
        tables.sort_unstable_by_key(|(touched, (_, class), _)| (is_small(class), *touched));
        for (_, key, entries) in tables {
            if self.entries <= goal {
                break;
            }
            self.bins.remove(&key);
            self.forgot = true;
            self.entries = self.entries.saturating_sub(entries);
        }
    }
}

/// Whether the request names a version of the target other than the one that is served.
pub(crate) fn speaks_of_another_version(request: &Request, target: &LogicalTarget) -> bool {
    let stream = request.stream_type().unwrap_or_default();
    request.tid.as_ref().is_some_and(|tid| tid != "0" && *tid != target.tid_for(stream))
}

/// The codestreams that descriptors speak of.
struct Scope<'a, 'd> {
    set: &'a CodestreamSet,
    /// Where a descriptor has no qualifier.
    defaults: Meant,
    limit: usize,
    /// The last qualifier and what it stands for; descriptors come in long runs under one.
    qualified: Option<(CodestreamQualifier<'d>, Meant)>,
}

/// The codestreams of one qualifier: those that exist, and the numbers named, for the codestreams of a model.
struct Meant {
    existing: Vec<CodestreamId>,
    numbers: RangeInclusiveSet<u64>,
}

impl<'a, 'd> Scope<'a, 'd> {
    fn new(request: &Request, target: &'a LogicalTarget, limits: &Limits) -> Self {
        let existing = requested_codestreams(request, target, limits).ids;
        let numbers = existing.iter().map(|id| id.0..=id.0).collect();
        let defaults = Meant { existing, numbers };
        Self { set: &target.codestreams, defaults, limit: limits.max_codestreams, qualified: None }
    }

    fn expand(&mut self, descriptor: &CacheDescriptor<'d>) -> &[CodestreamId] {
        &self.meant(descriptor).existing
    }

    fn ranges(&mut self, descriptor: &CacheDescriptor<'d>) -> &RangeInclusiveSet<u64> {
        &self.meant(descriptor).numbers
    }

    fn meant(&mut self, descriptor: &CacheDescriptor<'d>) -> &Meant {
        let Some(qualifier) = descriptor.codestreams else { return &self.defaults };
        // Compared by place, for a qualifier may be as long as the request.
        if !self.qualified.as_ref().is_some_and(|(known, _)| known.is_same(&qualifier)) {
            let sampled = |range| SampledRange { range, factor: 1 };
            let ranges: Vec<_> = qualifier.ranges().take(self.limit).map(sampled).collect();
            let numbers = qualifier.ranges().map(|range| range.first..=range.last.unwrap_or(u64::MAX)).collect();
            self.qualified = Some((qualifier, Meant { existing: self.set.expand(&ranges, self.limit), numbers }));
        }
        self.qualified.as_ref().map_or(&self.defaults, |(_, meant)| meant)
    }
}

/// The class of the data-bins that a descriptor speaks of.
const fn class_of(bins: &BinSelector) -> DataBinClass {
    match bins {
        BinSelector::MainHeader => DataBinClass::MainHeader,
        BinSelector::TileHeaders(_) => DataBinClass::TileHeader,
        BinSelector::Tiles(_) => DataBinClass::Tile,
        BinSelector::Precincts(_) | BinSelector::Implicit(_) => DataBinClass::Precinct,
        BinSelector::Metadata(_) => DataBinClass::Metadata,
    }
}

/// The identifiers that a descriptor names; all of them for one that names precincts by where they lie.
const fn ids_of(bins: &BinSelector) -> IdRange {
    match *bins {
        BinSelector::MainHeader => IdRange { first: 0, last: 0 },
        BinSelector::TileHeaders(ids)
        | BinSelector::Tiles(ids)
        | BinSelector::Precincts(ids)
        | BinSelector::Metadata(ids) => ids,
        BinSelector::Implicit(_) => IdRange::ALL,
    }
}

#[cfg(test)]
mod tests;
