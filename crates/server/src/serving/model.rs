//! The cache models of one session.

use std::sync::Arc;

use jpip::{Limits, cache_model::CacheModel};
use tokio::sync::Mutex as AsyncMutex;

/// Every cache model of one session, by the identifier of target and stream type: a target that changed has other
/// data-bins. Each is held by one response at a time. There are few, so they are searched one by one.
#[derive(Debug, Default)]
pub(crate) struct SessionModels {
    models: Vec<(String, Arc<AsyncMutex<CacheModel>>)>,
}

/// Models of one session; the one used longest ago is forgotten first, which costs its client nothing but bytes.
const MOST: usize = 64;

impl SessionModels {
    /// The model under this identifier, empty if there was none.
    pub(crate) fn of(&mut self, tid: &str, limits: &Limits) -> Arc<AsyncMutex<CacheModel>> {
        let known = self.models.iter().position(|(known, _)| known == tid).map(|at| self.models.remove(at));
        let (tid, model) =
            known.unwrap_or_else(|| (tid.to_owned(), Arc::new(AsyncMutex::new(CacheModel::new(limits)))));
        if self.models.len() >= MOST {
            // One that a response holds or waits for stays: what it delivers would be noted where nobody looks.
            let idle = self.models.iter().position(|(_, model)| Arc::strong_count(model) == 1);
            if let Some(at) = idle {
                self.models.remove(at);
            }
        }
        self.models.push((tid, Arc::clone(&model)));
        model
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
        let entries = |models: &mut SessionModels, tid: &str| models.of(tid, &limits).try_lock().unwrap().entries();
        let bin = BinKey::main_header(CodestreamId(0));
        models.of("0", &limits).try_lock().unwrap().record(&bin, 10, true);
        let held = entries(&mut models, "0");
        assert!(held > 0);
        for n in 1..3 * MOST {
            assert_eq!(entries(&mut models, &n.to_string()), 0);
            assert_eq!(entries(&mut models, "0"), held, "kept while it is used");
        }
        let in_use = models.of("0", &limits);
        for n in 1..=2 * MOST {
            models.of(&n.to_string(), &limits);
        }
        assert_eq!(models.models.len(), MOST);
        assert_eq!(entries(&mut models, "0"), held, "a response holds it");
        drop(in_use);
        for n in 1..=MOST {
            models.of(&n.to_string(), &limits);
        }
        assert_eq!(entries(&mut models, "0"), 0);
    }
}
