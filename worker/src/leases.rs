//! The attempts that this worker holds: from the claim until their end is written or their lease is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::attempt::Attempt;

/// All held attempts. A token is unique within its queue, so queue and token name an attempt.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<(usize, u64), Arc<Attempt>>>,
    /// Grows whenever an attempt leaves.
    departures: AtomicU64,
    left: Notify,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<(usize, u64), Arc<Attempt>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert<'a>(&self, attempts: impl Iterator<Item = &'a Arc<Attempt>>) {
        self.held().extend(attempts.map(|attempt| (key(attempt), Arc::clone(attempt))));
    }

    pub fn remove<'a>(&self, attempts: impl Iterator<Item = &'a Arc<Attempt>>) {
        let mut held = self.held();
        for attempt in attempts {
            held.remove(&key(attempt));
        }
        drop(held);
        self.departures.fetch_add(1, Ordering::AcqRel);
        self.left.notify_waiters();
    }

    pub fn find(&self, line: usize, token: u64) -> Option<Arc<Attempt>> {
        self.held().get(&(line, token)).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Attempt>> {
        self.held().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// Waits until `condition` holds; looks whenever attempts have left.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Registered before the look, so that nothing slips through between the two.
            left.as_mut().enable();
            if condition(self) {
                return;
            }
            left.await;
        }
    }
}

fn key(attempt: &Attempt) -> (usize, u64) {
    (attempt.line, attempt.lease.token)
}
