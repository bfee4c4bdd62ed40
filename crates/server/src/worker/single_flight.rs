//! One piece of work an object at a time: who comes second waits for the first and then looks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::ObjectKey;
use tokio::sync::OwnedMutexGuard;

#[derive(Debug, Clone, Default)]
pub(super) struct SingleFlight {
    flights: Arc<Mutex<HashMap<ObjectKey, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The right to work on an object; given back when dropped.
#[derive(Debug)]
pub(super) struct Flight {
    key: ObjectKey,
    of: SingleFlight,
    _turn: OwnedMutexGuard<()>,
}

impl SingleFlight {
    /// Waits until nobody else works on the object.
    pub(super) async fn take(&self, key: ObjectKey) -> Flight {
        let turn = Arc::clone(self.lock().entry(key).or_default());
        Flight { key, of: self.clone(), _turn: turn.lock_owned().await }
    }

    /// The right to work on the object if nobody else has it.
    pub(super) fn try_take(&self, key: ObjectKey) -> Option<Flight> {
        let turn = Arc::clone(self.lock().entry(key).or_default());
        let turn = turn.try_lock_owned().ok()?;
        Some(Flight { key, of: self.clone(), _turn: turn })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Arc<tokio::sync::Mutex<()>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.of.lock();
        // The map and this guard hold one each; more are waiting for their turn.
        if flights.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let single = SingleFlight::default();
        let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..100u8).map(|n| {
            let (single, running, done) = (single.clone(), Arc::clone(&running), Arc::clone(&done));
            tokio::spawn(async move {
                let flight = single.take(ObjectKey::new([n % 2; 32])).await;
                assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                drop(flight);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 100);
        assert!(single.lock().is_empty());
    }
}
