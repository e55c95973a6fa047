//! The slots of one kind in one worker: at most so many run, a few more stand by without taking a slot of the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::attempt::Attempt;
use crate::engine::Engine;

/// How long an attempt stands by; then it goes back to the queue, where other workers find it.
const STAND_BY: Duration = Duration::from_secs(1);
/// Attempts that stand by at least; otherwise as many as may run. Short jobs would wait for the queue without them.
const LEAST_STANDING_BY: usize = 8;

/// The cap of a kind; without one, everything passes.
#[derive(Debug)]
pub(crate) struct KindSlots {
    cap: Option<Cap>,
}

#[derive(Debug)]
struct Cap {
    free: Arc<Semaphore>,
    standing_by: AtomicUsize,
    most_standing_by: usize,
}

/// What an attempt needs to run; free again when dropped, the kind's slot first.
pub(crate) struct Slots {
    _kind: Option<OwnedSemaphorePermit>,
    _worker: OwnedSemaphorePermit,
}

impl KindSlots {
    pub fn new(max_running: Option<usize>) -> Self {
        let cap = |most: usize| Cap {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            standing_by: AtomicUsize::new(0),
            most_standing_by: most.max(LEAST_STANDING_BY),
        };
        Self { cap: max_running.map(cap) }
    }

    /// Adds a slot of the kind to the worker's slot. Without a free one the attempt gives the worker's slot to others
    /// and stands by for a moment; nothing if that is in vain.
    pub async fn take(&self, engine: &Engine, attempt: &Attempt, worker: OwnedSemaphorePermit) -> Option<Slots> {
        let Some(cap) = &self.cap else { return Some(Slots { _kind: None, _worker: worker }) };
        if let Ok(kind) = Arc::clone(&cap.free).try_acquire_owned() {
            return Some(Slots { _kind: Some(kind), _worker: worker });
        }
        drop(worker);
        let _place = cap.stand_by()?;
        tokio::select! {
            slots = cap.both(engine) => slots,
            () = tokio::time::sleep(STAND_BY) => None,
            () = attempt.cancelled.cancelled() => None,
            // Who has not begun need not begin.
            () = engine.drain.cancelled() => None,
        }
    }
}

impl Cap {
    fn stand_by(&self) -> Option<Place<'_>> {
        let place = |standing: usize| (standing < self.most_standing_by).then_some(standing + 1);
        let taken = self.standing_by.fetch_update(Ordering::AcqRel, Ordering::Acquire, place);
        taken.ok().map(|_| Place(&self.standing_by))
    }

    async fn both(&self, engine: &Engine) -> Option<Slots> {
        let kind = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let worker = Arc::clone(&engine.slots).acquire_owned().await.ok()?;
        Some(Slots { _kind: Some(kind), _worker: worker })
    }
}

/// A place among those who stand by.
struct Place<'c>(&'c AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
