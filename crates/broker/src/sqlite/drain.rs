//! How fast jobs are claimed lately: what a refused enqueue is told to wait follows from it.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::limits::{RETRY_AFTER, RETRY_AFTER_UNKNOWN};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;

/// Claims are counted in windows of so many milliseconds; the rate is that of this window and the one before.
const WINDOW_MS: i64 = 5_000;

/// Claimed jobs of the current window, which began at `since`, and of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Drain {
    pub since: i64,
    pub now: i64,
    pub before: i64,
}

impl Drain {
    /// Its three columns, from column `first` on.
    pub(super) fn read(row: &SqliteRow, first: usize) -> Result<Self, Fault> {
        Ok(Self { since: row.try_get(first)?, now: row.try_get(first + 1)?, before: row.try_get(first + 2)? })
    }

    /// The same as seen at `now`: windows that are over make room.
    fn at(self, now: i64) -> Self {
        match now - self.since {
            age if age < WINDOW_MS => self,
            age if age < 2 * WINDOW_MS => Self { since: self.since + WINDOW_MS, now: 0, before: self.now },
            _ => Self { since: now, now: 0, before: 0 },
        }
    }

    /// Counts claimed jobs.
    #[must_use]
    pub(super) fn with(self, jobs: usize, now: Timestamp) -> Self {
        let mut drain = self.at(now.as_millis() as i64);
        drain.now += jobs as i64;
        drain
    }

    /// Time until `excess` jobs are claimed by a `share`-th of the rate.
    pub(super) fn retry_after(self, excess: i64, share: i64, now: Timestamp) -> Duration {
        let now = now.as_millis() as i64;
        let drain = self.at(now);
        let jobs = drain.now + drain.before;
        if jobs == 0 {
            return RETRY_AFTER_UNKNOWN;
        }
        let window = if drain.before > 0 { WINDOW_MS } else { 0 } + (now - drain.since).max(1_000);
        let millis = excess.max(1) * share.max(1) * window / jobs;
        Duration::from_millis(millis as u64).clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end())
    }
}
