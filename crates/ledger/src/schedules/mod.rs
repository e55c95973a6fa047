//! Schedules and what became of their ticks. Both databases are asked with the same words: times are milliseconds.
//!
//! What a tick means is decided in `lovage_core::schedule`; here it is remembered. [`Ledger::advance`] writes what a leader has
//! done, if it still leads and nobody has changed the schedule meanwhile.

mod change;
mod put;
mod run;
mod sync;
mod tick;

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{JobId, Pause, QueueName, ScheduleName, Timestamp};

pub use self::put::{Change, Put};
pub use self::run::{Outcome, Run};
pub use self::sync::Synced;
pub use self::tick::{Advance, Deadlines};
use crate::error::LedgerError;
use crate::history::stored::Values;
use crate::ledger::{Ledger, Store, on};

/// Whether the term is still the latest. Whoever begins another waits for this transaction, or this one sees that; and all who
/// write as a leader take turns, so that they cannot meet in the middle.
macro_rules! leads {
    ($term:expr, $connection:expr) => {
        sqlx::query("UPDATE leader SET term = term WHERE term = $1 RETURNING term")
            .bind(i64::try_from($term).unwrap_or(i64::MAX))
            .fetch_optional($connection)
            .await?
            .is_some()
    };
}
pub(crate) use leads;

/// When a schedule that cannot be read is looked at again.
const UNREADABLE_AGAIN: std::time::Duration = std::time::Duration::from_mins(1);
/// Most schedules of one page.
pub const MAX_SCHEDULES: u32 = 1_000;

/// Who changes a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagedBy {
    /// It stands in the configuration of the schedulers, and is changed there.
    Code,
    /// It was made by a command, and is changed by commands.
    Operator,
}

impl ManagedBy {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Operator => "operator",
        }
    }

    fn from_name(name: &str) -> Self {
        if name == "code" { Self::Code } else { Self::Operator }
    }
}

/// A schedule and how it stands.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What it is.
    pub spec: ScheduleSpec,
    /// Who changes it.
    pub managed_by: ManagedBy,
    /// Grows with every change of what it is.
    pub revision: u64,
    /// Changes when its ticks begin anew, not when only its jobs are others.
    pub edition: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what it is was changed.
    pub updated_at: Timestamp,
    /// Who stopped it, and why.
    pub paused: Option<Pause>,
    /// Since when no configuration of a leader has it any more; it does not run.
    pub withdrawn_at: Option<Timestamp>,
    /// Ticks up to here are dealt with.
    pub last_tick: Timestamp,
    /// When it is looked at next.
    pub next_at: Option<Timestamp>,
    /// The tick that waits until the run before has ended.
    pub waiting_tick: Option<Timestamp>,
    /// The job of the run before.
    pub last_job: Option<(QueueName, JobId)>,
    /// When one of its jobs completed last.
    pub last_success_at: Option<Timestamp>,
    /// Since when it has had no success for too long.
    pub overdue_since: Option<Timestamp>,
}

/// Some schedules in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct SchedulePage {
    /// Those that this release can read.
    pub schedules: Vec<Schedule>,
    /// The last one's name, also of one that cannot be read, if there are more after it.
    pub next: Option<ScheduleName>,
}

/// A page of at most `limit` rows, of which one more was asked for.
macro_rules! page {
    ($rows:expr, $limit:expr) => {{
        let (mut rows, limit) = ($rows, $limit as usize);
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| is_more).map(|row| row.text(15)).transpose()?.flatten();
        let schedules = rows.iter().filter_map(|row| read(row).ok()).collect();
        Ok(SchedulePage { schedules, next: last.and_then(|name| name.parse().ok()) })
    }};
}

/// The columns of a schedule in the order of [`read`].
const COLUMNS: &str =
    "spec, managed_by, revision, created_at, updated_at, paused_by, paused_why, paused_since, last_tick, next_at,
    waiting_tick, last_success_at, overdue_since, last_queue, last_job, name, withdrawn_at, edition";

fn read(row: &impl Values) -> Result<Schedule, sqlx::Error> {
    let instant = |index: usize| crate::history::stored::instant(row, index);
    let spec = row.text(0)?.unwrap_or_default();
    let spec = ScheduleSpec::read_stored(&spec)
        .map_err(|error| sqlx::Error::Decode(format!("a schedule cannot be read: {error}").into()))?;
    let paused = match (row.text(5)?, row.text(6)?, instant(7)?) {
        (Some(by), Some(why), Some(since)) => Some(Pause { by, why, since, until: None }),
        _ => None,
    };
    let last_job = match (row.text(13)?, row.text(14)?) {
        (Some(queue), Some(job)) => queue.parse().ok().zip(job.parse().ok()),
        _ => None,
    };
    Ok(Schedule {
        spec,
        last_job,
        managed_by: ManagedBy::from_name(&row.text(1)?.unwrap_or_default()),
        revision: crate::history::stored::count(row, 2)?,
        edition: crate::history::stored::count(row, 17)?,
        created_at: instant(3)?.unwrap_or_default(),
        updated_at: instant(4)?.unwrap_or_default(),
        paused,
        withdrawn_at: instant(16)?,
        last_tick: instant(8)?.unwrap_or_default(),
        next_at: instant(9)?,
        waiting_tick: instant(10)?,
        last_success_at: instant(11)?,
        overdue_since: instant(12)?,
    })
}

/// An instant as it is bound.
fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

impl Ledger {
    /// A schedule, if there is one of that name.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<Option<Schedule>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM schedules WHERE name = $1");
        on!(self, |pool, _begin| async {
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name.as_str()).fetch_optional(pool).await?;
            row.as_ref().map(read).transpose()
        })
    }

    /// Schedules after `after` in the order of their names, at most `limit` (at most [`MAX_SCHEDULES`]).
    pub async fn schedules(&self, after: Option<&ScheduleName>, limit: u32) -> Result<SchedulePage, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM schedules WHERE name > $1 ORDER BY name LIMIT $2");
        let after = after.map_or("", ScheduleName::as_str);
        let limit = limit.clamp(1, MAX_SCHEDULES);
        on!(self, |pool, _begin| async {
            page!(
                sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(i64::from(limit) + 1).fetch_all(pool).await?,
                limit
            )
        })
    }

    /// Schedules that are to be looked at, the longest due first, at most `limit`.
    pub async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedules WHERE paused_since IS NULL AND withdrawn_at IS NULL AND next_at IS NOT NULL AND next_at <= $1
             ORDER BY next_at LIMIT $2"
        );
        on!(self, |pool, _begin| async {
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(millis(now)).bind(i64::from(limit));
            let rows = found.fetch_all(pool).await?;
            let schedules: Vec<Schedule> = rows.iter().filter_map(|row| read(row).ok()).collect();
            if schedules.len() < rows.len() {
                // What this release cannot read is another's; it does not stand in the way of the others.
                let sql = "UPDATE schedules SET next_at = $1 WHERE name = $2";
                for row in rows.iter().filter(|row| read(*row).is_err()) {
                    let name = row.text(15)?.unwrap_or_default();
                    let later = millis(now.plus(UNREADABLE_AGAIN));
                    sqlx::query(sql).bind(later).bind(name).execute(pool).await?;
                }
            }
            Ok(schedules)
        })
    }

    /// Schedules with a tick that waits until the run before has ended, at most `limit` after `after`.
    pub async fn waiting_schedules(
        &self,
        after: Option<&ScheduleName>,
        limit: u32,
    ) -> Result<SchedulePage, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedules WHERE waiting_tick IS NOT NULL AND paused_since IS NULL AND withdrawn_at IS NULL AND name > $1
             ORDER BY name LIMIT $2"
        );
        let after = after.map_or("", ScheduleName::as_str);
        on!(self, |pool, _begin| async {
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(i64::from(limit) + 1);
            page!(found.fetch_all(pool).await?, limit)
        })
    }
}
