//! History that is old goes, in slices.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::Timestamp;
use lovage_ledger::{Ledger, PrunedJobs};
use tracing::info;

use crate::duty::{Duty, DutyError};

/// How often it is looked for what is old.
const EVERY: Duration = Duration::from_mins(10);
/// Between two slices, so that others have the database, too.
const BETWEEN_SLICES: Duration = Duration::from_millis(50);
/// How long a schedule is kept that no configuration has any more: its pause, and when it succeeded last, are there if one has it
/// again.
const WITHDRAWN_KEPT: Duration = Duration::from_hours(24 * 7);

/// Removes the history of jobs that came to their end longer ago than it is kept, and what became of ticks before
/// that, and schedules that were withdrawn a week ago.
#[derive(Debug)]
pub struct Pruner {
    ledger: Ledger,
    keep: Duration,
}

impl Pruner {
    /// One that keeps history for `keep`.
    pub fn new(ledger: Ledger, keep: Duration) -> Self {
        Self { ledger, keep }
    }

    /// Removes a slice.
    pub async fn prune(&self) -> Result<PrunedJobs, DutyError> {
        Ok(self.ledger.prune_jobs(self.before(self.keep).await?).await?)
    }

    async fn before(&self, kept: Duration) -> Result<Timestamp, DutyError> {
        Ok(self.ledger.now().await?.minus(kept))
    }
}

#[async_trait]
impl Duty for Pruner {
    fn name(&self) -> &'static str {
        "pruner"
    }

    /// A slice of a large history may wait for a disk; what goes is old.
    fn may_take(&self) -> Duration {
        EVERY
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        self.ledger.check_term(term).await?;
        let pruned = self.prune().await?;
        if pruned.jobs > 0 {
            info!(jobs = pruned.jobs, "old history is removed");
        }
        let more = pruned.more
            || self.ledger.prune_runs(self.before(self.keep).await?).await?
            || self.ledger.prune_withdrawn(self.before(WITHDRAWN_KEPT).await?).await?;
        Ok(if more { BETWEEN_SLICES } else { EVERY })
    }
}
