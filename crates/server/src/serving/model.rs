//! The cache models of one session.

use jpip::{Limits, cache_model::CacheModel};

/// Every cache model of one session, by target identifier: a target that changed has other data-bins. There are few,
/// so they are searched one by one.
#[derive(Debug, Default)]
pub(crate) struct SessionModels {
    models: Vec<(String, CacheModel)>,
}

/// Models of one session; the one used longest ago is forgotten first, which costs its client nothing but bytes.
const MOST: usize = 64;

impl SessionModels {
    /// The model of the target with this identifier, empty if there was none.
    pub(crate) fn of(&mut self, tid: &str, limits: &Limits) -> &mut CacheModel {
        match self.models.iter().position(|(known, _)| known == tid) {
            Some(last) if last + 1 == self.models.len() => {}
            Some(at) => {
                let used = self.models.remove(at);
                self.models.push(used);
            }
            None => {
                if self.models.len() >= MOST {
                    self.models.remove(0);
                }
                self.models.push((tid.to_owned(), CacheModel::new(limits)));
            }
        }
        let last = self.models.len() - 1;
        &mut self.models[last].1
    }
}

#[cfg(test)]
mod tests {
    use jpip::{BinKey, CodestreamId};

    use super::*;

    #[test]
    fn each_target_has_its_own_model_and_old_ones_go() {
        let limits = Limits::default();
        let mut models = SessionModels::default();
        let bin = BinKey::main_header(CodestreamId(0));
        models.of("0", &limits).record(&bin, 10, true);
        let held = models.of("0", &limits).entries();
        assert!(held > 0);
        for n in 1..3 * MOST {
            assert_eq!(models.of(&n.to_string(), &limits).entries(), 0);
            assert_eq!(models.of("0", &limits).entries(), held, "kept while it is used");
        }
        for n in 1..=MOST {
            models.of(&n.to_string(), &limits);
        }
        assert_eq!(models.of("0", &limits).entries(), 0);
    }
}
