//! Retention: old records go, batch by batch from the front, and their batches stay, so that what is left can be followed.
//!
//! Only what is anchored may go: of what was never anchored nobody could tell later that it had been there.

use lovage_core::Timestamp;
use lovage_core::audit::Batch;

use super::{postgres, sqlite};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store};

/// Most records of one step.
const STEP: u64 = 5_000;
/// Most batches of one step.
pub(super) const BATCHES: u32 = 1_000;

/// What a step removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// How many records.
    pub records: u64,
    /// The last one that is gone; 0 if none is.
    pub last: u64,
    /// Whether old records stay because they are not anchored.
    pub unanchored: bool,
}

/// How far a chain may be pruned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub pruned: u64,
    pub anchored: u64,
}

/// What a step removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Records up to this one; those up to [`Bounds::pruned`] are gone already.
    pub last: u64,
    pub unanchored: bool,
}

/// The next step over the batches behind what was pruned, in their order.
pub(super) fn step(bounds: Bounds, batches: &[Batch], before: Timestamp) -> Step {
    let mut step = Step { last: bounds.pruned, unanchored: false };
    for batch in batches {
        if batch.written_at >= before {
            break;
        }
        if batch.seal.last > bounds.anchored {
            step.unanchored = true;
            break;
        }
        if step.last > bounds.pruned && batch.seal.last - bounds.pruned > STEP {
            break;
        }
        step.last = batch.seal.last;
    }
    step
}

impl Ledger {
    /// Removes the oldest records of a tenant that were committed before `before`, some thousands at most: call it until it
    /// removes none.
    pub async fn prune(&self, tenant: &str, before: Timestamp) -> Result<Pruned, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::prune(pool, tenant, before).await,
            Store::Sqlite(pool) => sqlite::prune(pool, tenant, before).await,
        }
    }
}
