//! The cache model: what the server believes that the client holds [15444-9 B.2, C.8].
//!
//! For every data-bin it knows a prefix and whether the data-bin is complete. It may know too little, never
//! too much: what does not fit its bounds is forgotten and sent again. Complete data-bins are ranges of
//! identifiers, partly held ones single entries; statements that only the codestream's geometry or packet
//! lengths can resolve (`t0r1:L2`) are kept as they were made and resolved when a data-bin is looked up.

mod facts;
mod held;

use std::collections::BTreeMap;

pub use held::{Held, PrecinctPlace};

use self::facts::BinFacts;
use crate::data_bin::{BinKey, CodestreamId, DataBinClass};
use crate::limits::Limits;
use crate::request::Request;
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
        Self { bins: BTreeMap::new(), limits: *limits, max_entries: limits.max_model_entries, entries: 0, clock: 0 }
    }

    /// The model of a request without a session: nothing but what its `model` field says.
    #[must_use]
    pub fn for_stateless(request: &Request, target: &LogicalTarget, limits: &Limits) -> Self {
        // It lives as long as one response, so it may hold every descriptor that a request may have.
        let mut model = Self { max_entries: limits.max_model_items, ..Self::new(limits) };
        model.apply(request, target);
        model
    }

    /// The data-bins that `need` lists, in the form of a model that holds just these.
    pub(crate) fn of_need(need: &CacheDescriptors, request: &Request, target: &LogicalTarget, limits: &Limits) -> Self {
        let mut model = Self { max_entries: limits.max_model_items, ..Self::new(limits) };
        model.apply_descriptors(need, request, target);
        model
    }

    /// Applies the request's `model` field, before the response is planned. A request that speaks of another
    /// version of the target changes nothing [15444-9 C.8.1].
    pub fn apply(&mut self, request: &Request, target: &LogicalTarget) {
        if let Some(descriptors) = &request.model
            && !speaks_of_another_version(request, target)
        {
            self.apply_descriptors(descriptors, request, target);
        }
    }

    /// Notes that the client holds the first `bytes` bytes of a data-bin, or all of it.
    pub fn record(&mut self, key: &BinKey, bytes: u64, complete: bool) {
        let amount = if complete { Amount::Complete } else { Amount::Bytes(bytes) };
        let ids = IdRange { first: key.id, last: key.id };
        self.edit((key.codestream, key.class), ids, Edit { additive: true, amount });
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

    fn apply_descriptors(&mut self, descriptors: &CacheDescriptors, request: &Request, target: &LogicalTarget) {
        let mut budget = self.limits.max_model_edits;
        let mut scope = Scope::new(request, target, &self.limits);
        for descriptor in descriptors.iter() {
            let Some((class, ids)) = selected(&descriptor.bins) else {
                budget = self.apply_implicit(&descriptor, &mut scope, budget);
                continue;
            };
            let edit = Edit { additive: !descriptor.subtractive, amount: descriptor.amount };
            if class == DataBinClass::Metadata {
                budget = budget.saturating_sub(1);
                self.edit((CodestreamId(0), class), ids, edit);
                continue;
            }
            for key in self.keys(&descriptor, class, &mut scope) {
                if budget == 0 {
                    break;
                }
                budget -= 1;
                self.edit(key, ids, edit);
            }
            if budget == 0 && !edit.additive {
                // What the client no longer has cannot be worked out any more.
                self.clear();
            }
        }
        self.forget_what_exceeds();
    }

    fn apply_implicit<'d>(
        &mut self,
        descriptor: &CacheDescriptor<'d>,
        scope: &mut Scope<'_, 'd>,
        mut budget: usize,
    ) -> usize {
        let BinSelector::Implicit(implicit) = descriptor.bins else { return budget };
        let edit = Edit { additive: !descriptor.subtractive, amount: descriptor.amount };
        for key in self.keys(descriptor, DataBinClass::Precinct, scope) {
            if budget == 0 {
                break;
            }
            budget -= 1;
            let max_rules = self.limits.max_model_rules;
            self.change(key, edit, |facts| facts.add_rule(facts::Rule::implicit(implicit, edit), max_rules));
        }
        if budget == 0 && !edit.additive {
            self.clear();
        }
        budget
    }

    /// The tables that a descriptor speaks of. Taking away concerns only those that exist.
    fn keys<'d>(
        &self,
        descriptor: &CacheDescriptor<'d>,
        class: DataBinClass,
        scope: &mut Scope<'_, 'd>,
    ) -> Vec<(CodestreamId, DataBinClass)> {
        if !descriptor.subtractive {
            return scope.expand(descriptor).iter().map(|&id| (id, class)).collect();
        }
        let meant = |id: CodestreamId| match descriptor.codestreams {
            Some(qualifier) => qualifier.ranges().any(|range| range.contains(id.0)),
            None => scope.defaults.contains(&id),
        };
        self.bins.keys().filter(|(id, kind)| *kind == class && meant(*id)).copied().collect()
    }

    fn edit(&mut self, key: (CodestreamId, DataBinClass), ids: IdRange, edit: Edit) {
        let max_rules = self.limits.max_model_rules;
        self.change(key, edit, |facts| facts.edit(ids, edit, max_rules));
    }

    fn change(&mut self, key: (CodestreamId, DataBinClass), edit: Edit, act: impl FnOnce(&mut BinFacts)) {
        if !edit.additive && !self.bins.contains_key(&key) {
            return;
        }
        self.clock += 1;
        let before = self.bins.get(&key).map_or(0, BinFacts::entries);
        let facts = self.bins.entry(key).or_default();
        facts.touched = self.clock;
        act(facts);
        self.entries = (self.entries + facts.entries()).saturating_sub(before);
        if self.entries > self.max_entries.saturating_mul(2) {
            self.forget_what_exceeds();
        }
    }

    /// Drops whole tables, the longest untouched first, until the rest is well below the limit.
    fn forget_what_exceeds(&mut self) {
        if self.entries <= self.max_entries {
            return;
        }
        let goal = self.max_entries / 8 * 7;
        let mut tables: Vec<_> = self.bins.iter().map(|(key, facts)| (facts.touched, *key, facts.entries())).collect();
        tables.sort_unstable_by_key(|(touched, ..)| *touched);
        for (_, key, entries) in tables {
            if self.entries <= goal {
                break;
            }
            self.bins.remove(&key);
            self.entries = self.entries.saturating_sub(entries);
        }
    }
}

/// Whether the request names a version of the target other than the one that is served.
pub(crate) fn speaks_of_another_version(request: &Request, target: &LogicalTarget) -> bool {
    request.tid.as_ref().is_some_and(|tid| tid != "0" && *tid != target.tid)
}

/// The codestreams that descriptors speak of.
struct Scope<'a, 'd> {
    set: &'a CodestreamSet,
    /// Where a descriptor has no qualifier.
    defaults: Vec<CodestreamId>,
    limit: usize,
    /// The last qualifier and what it stands for; descriptors come in long runs under one.
    expanded: Option<(CodestreamQualifier<'d>, Vec<CodestreamId>)>,
}

impl<'a, 'd> Scope<'a, 'd> {
    fn new(request: &Request, target: &'a LogicalTarget, limits: &Limits) -> Self {
        let defaults = requested_codestreams(request, &target.codestreams, limits).ids;
        Self { set: &target.codestreams, defaults, limit: limits.max_codestreams, expanded: None }
    }

    fn expand(&mut self, descriptor: &CacheDescriptor<'d>) -> &[CodestreamId] {
        let Some(qualifier) = descriptor.codestreams else { return &self.defaults };
        if self.expanded.as_ref().is_none_or(|(known, _)| *known != qualifier) {
            let sampled = |range| SampledRange { range, factor: 1 };
            let ranges: Vec<_> = qualifier.ranges().take(self.limit).map(sampled).collect();
            self.expanded = Some((qualifier, self.set.expand(&ranges, self.limit)));
        }
        self.expanded.as_ref().map_or(&[], |(_, ids)| ids)
    }
}

/// The class and identifiers of a descriptor; `None` for one that names precincts by where they lie.
const fn selected(bins: &BinSelector) -> Option<(DataBinClass, IdRange)> {
    Some(match *bins {
        BinSelector::MainHeader => (DataBinClass::MainHeader, IdRange { first: 0, last: 0 }),
        BinSelector::TileHeaders(ids) => (DataBinClass::TileHeader, ids),
        BinSelector::Tiles(ids) => (DataBinClass::Tile, ids),
        BinSelector::Precincts(ids) => (DataBinClass::Precinct, ids),
        BinSelector::Metadata(ids) => (DataBinClass::Metadata, ids),
        BinSelector::Implicit(_) => return None,
    })
}

#[cfg(test)]
mod tests;
