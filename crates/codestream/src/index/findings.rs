//! The damage list, cut to a length that one can read.

use crate::damage::Damage;

/// Collects damage; beyond the limit it is only counted.
#[derive(Debug)]
pub(super) struct Findings {
    kept: Vec<Damage>,
    limit: usize,
    more: u64,
}

impl Findings {
    pub(super) const fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, more: 0 }
    }

    pub(super) fn add(&mut self, damage: Damage) {
        if self.kept.len() < self.limit {
            self.kept.push(damage);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Damage> {
        if self.more > 0 {
            self.kept.push(Damage::More { count: self.more });
        }
        self.kept
    }
}
