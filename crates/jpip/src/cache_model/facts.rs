//! The table of one class of one codestream.
//!
//! A table is a stack of strata, nearly always one. A stratum holds what was said of single data-bins and
//! of ranges of them, then the rules that were stated after it; what is said after a rule begins a new
//! stratum, so that statements keep their order.

use std::collections::BTreeMap;
use std::mem;

use rangemap::RangeInclusiveSet;
use smallvec::{SmallVec, smallvec};

use super::Edit;
use super::held::{Held, PrecinctPlace, Statements};
use crate::request::model::{Amount, IdRange, ImplicitPrecincts};

/// What is known of the data-bins of one class of one codestream.
#[derive(Debug, Clone, Default)]
pub(super) struct BinFacts {
    /// Strata that were closed by a rule, oldest first.
    older: Vec<Stratum>,
    top: Stratum,
    /// When it was last changed, by the model's own count.
    pub(super) touched: u64,
}

#[derive(Debug, Clone, Default)]
struct Stratum {
    /// Data-bins held completely, whatever the strata below say.
    complete: RangeInclusiveSet<u64>,
    /// Statements about other single data-bins, in order.
    partial: BTreeMap<u64, SmallVec<[Edit; 1]>>,
    /// Statements made after those.
    rules: Vec<Rule>,
}

/// A statement about many data-bins that is resolved when one of them is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    ids: IdRange,
    places: Option<ImplicitPrecincts>,
    edit: Edit,
}

impl Rule {
    pub(super) const fn implicit(places: ImplicitPrecincts, edit: Edit) -> Self {
        Self { ids: IdRange::ALL, places: Some(places), edit }
    }

    fn matches(&self, id: u64, place: Option<&PrecinctPlace>) -> bool {
        let lies_inside = |places: &ImplicitPrecincts| {
            place.is_some_and(|place| {
                places.tiles.contains(place.tile)
                    && places.components.contains(place.component)
                    && places.resolutions.contains(place.resolution)
                    && places.positions.contains(place.position)
            })
        };
        self.ids.contains(id) && self.places.as_ref().is_none_or(lies_inside)
    }
}

impl BinFacts {
    /// Applies one statement about a range of data-bins; false if it is more than the limit allows, and something
    /// is forgotten or passed over.
    pub(super) fn edit(&mut self, ids: IdRange, edit: Edit, max_rules: usize) -> bool {
        match (edit.additive, edit.amount) {
            (true, Amount::Complete) => {
                let top = self.top();
                top.complete.insert(ids.first..=ids.last);
                top.forget_partial(ids);
                true
            }
            (false, Amount::Complete) => {
                for stratum in self.older.iter_mut().chain([&mut self.top]) {
                    stratum.complete.remove(ids.first..=ids.last);
                    stratum.forget_partial(ids);
                }
                if ids == IdRange::ALL {
                    *self = Self { touched: self.touched, ..Self::default() };
                } else if self.rule_count() > 0 {
                    return self.add_rule(Rule { ids, places: None, edit }, max_rules);
                }
                true
            }
            _ if ids.first == ids.last => {
                self.top().edit_one(ids.first, edit);
                true
            }
            _ => self.add_rule(Rule { ids, places: None, edit }, max_rules),
        }
    }

    /// Adds a rule; beyond the limit one that adds is passed over, one that takes away empties the table, and the
    /// answer is false.
    pub(super) fn add_rule(&mut self, rule: Rule, max_rules: usize) -> bool {
        if self.rule_count() >= max_rules {
            if !rule.edit.additive {
                *self = Self { touched: self.touched, ..Self::default() };
            }
            return false;
        }
        self.top.rules.push(rule);
        true
    }

    /// What is held of one data-bin.
    pub(super) fn held(&self, id: u64, place: Option<&PrecinctPlace>) -> Held {
        if self.older.is_empty() && self.top.rules.is_empty() {
            let only = &self.top;
            if only.complete.contains(&id) {
                return Held::Complete;
            }
            return match only.partial.get(&id).map(SmallVec::as_slice) {
                None => Held::Nothing,
                Some([Edit { additive: true, amount: Amount::Bytes(bytes) }]) => Held::Prefix(*bytes),
                Some(edits) => Held::Statements(Statements(edits.into())),
            };
        }
        let mut edits: SmallVec<[Edit; 2]> = SmallVec::new();
        for stratum in self.strata() {
            if stratum.complete.contains(&id) {
                edits.clear();
                edits.push(HAS_ALL);
            } else if let Some(more) = stratum.partial.get(&id) {
                edits.extend_from_slice(more);
            }
            edits.extend(stratum.rules.iter().filter(|rule| rule.matches(id, place)).map(|rule| rule.edit));
        }
        match edits.as_slice() {
            [] => Held::Nothing,
            [only] if *only == HAS_ALL => Held::Complete,
            _ => Held::Statements(Statements(edits)),
        }
    }

    /// Everything said, as additions to another table; for one that holds nothing but these.
    pub(super) fn additions(&self) -> impl Iterator<Item = (IdRange, Edit)> {
        self.strata().flat_map(|stratum| {
            let complete =
                stratum.complete.iter().map(|range| (IdRange { first: *range.start(), last: *range.end() }, HAS_ALL));
            let partial = stratum.partial.iter().flat_map(|(&id, edits)| {
                edits.iter().filter(|edit| edit.additive).map(move |&edit| (IdRange { first: id, last: id }, edit))
            });
            complete.chain(partial)
        })
    }

    pub(super) fn entries(&self) -> usize {
        let of = |stratum: &Stratum| stratum.complete.len() + stratum.partial.len() + stratum.rules.len() + 1;
        self.strata().map(of).sum()
    }

    fn rule_count(&self) -> usize {
        self.strata().map(|stratum| stratum.rules.len()).sum()
    }

    fn strata(&self) -> impl Iterator<Item = &Stratum> {
        self.older.iter().chain([&self.top])
    }

    /// The stratum that takes statements about single data-bins: one without rules.
    fn top(&mut self) -> &mut Stratum {
        if !self.top.rules.is_empty() {
            self.older.push(mem::take(&mut self.top));
        }
        &mut self.top
    }
}

impl Stratum {
    fn edit_one(&mut self, id: u64, edit: Edit) {
        if self.complete.contains(&id) {
            if edit.additive {
                return;
            }
            self.complete.remove(id..=id);
            self.partial.insert(id, smallvec![HAS_ALL, edit]);
            return;
        }
        let edits = self.partial.entry(id).or_default();
        if let Some(last) = edits.last_mut()
            && let Some(merged) = merge(*last, edit)
        {
            *last = merged;
            return;
        }
        if edits.len() >= MAX_STATEMENTS {
            *edits = smallvec![HAS_NONE];
        }
        edits.push(edit);
    }

    fn forget_partial(&mut self, ids: IdRange) {
        if ids.first == ids.last {
            self.partial.remove(&ids.first);
        } else if ids == IdRange::ALL {
            self.partial.clear();
        } else {
            // A million ranges may come upon a million entries: only those inside are visited.
            while let Some((&id, _)) = self.partial.range(ids.first..=ids.last).next() {
                self.partial.remove(&id);
            }
        }
    }
}

/// Two statements of one kind, one after the other, as one.
fn merge(first: Edit, second: Edit) -> Option<Edit> {
    if first.additive != second.additive {
        return None;
    }
    let amount = match (first.amount, second.amount, first.additive) {
        (Amount::Bytes(a), Amount::Bytes(b), true) => Amount::Bytes(a.max(b)),
        (Amount::Bytes(a), Amount::Bytes(b), false) => Amount::Bytes(a.min(b)),
        (Amount::Layers(a), Amount::Layers(b), true) => Amount::Layers(a.max(b)),
        (Amount::Layers(a), Amount::Layers(b), false) => Amount::Layers(a.min(b)),
        (Amount::TileParts { first: a, last }, Amount::TileParts { first: b, last: next }, true)
            if a <= b && b <= last.saturating_add(1) =>
        {
            Amount::TileParts { first: a, last: last.max(next) }
        }
        _ => return None,
    };
    Some(Edit { additive: first.additive, amount })
}

const HAS_ALL: Edit = Edit { additive: true, amount: Amount::Complete };
const HAS_NONE: Edit = Edit { additive: false, amount: Amount::Complete };

/// Statements kept about one data-bin; beyond, what was said before is forgotten.
const MAX_STATEMENTS: usize = 6;
