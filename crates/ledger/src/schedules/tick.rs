//! What a leader writes down: how far each schedule is, and which have had no success for too long.

use lovage_core::{ScheduleName, Timestamp};
use sqlx::Row as _;

use super::run::{Outcome, ROWS, Run, insert};
use super::{leads, millis};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store, on};

/// How far a schedule is.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The schedule.
    pub name: ScheduleName,
    /// As it was when this was decided; a schedule whose ticks have begun anew since is not advanced.
    pub edition: u64,
    /// Ticks up to here are dealt with.
    pub last_tick: Timestamp,
    /// When it is looked at next; never again without.
    pub next_at: Option<Timestamp>,
    /// The tick that waits until the run before has ended.
    pub waiting_tick: Option<Timestamp>,
    /// What became of the ticks.
    pub runs: Vec<Run>,
}

/// Schedules whose deadline has passed or was met again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// Those that have become overdue.
    pub overdue: Vec<ScheduleName>,
    /// Those that were overdue and have had a success since.
    pub met: Vec<ScheduleName>,
    /// All that are overdue, at most a thousand.
    pub all: Vec<ScheduleName>,
}

/// When a schedule becomes overdue; an index has it.
const DEADLINE: &str =
    "(CASE WHEN last_success_at > watched_since THEN last_success_at ELSE watched_since END + success_within)";

/// Schedules that have become overdue.
fn passed() -> String {
    format!(
        "success_within IS NOT NULL AND overdue_since IS NULL AND {DEADLINE} < $1 AND paused_since IS NULL AND withdrawn_at IS NULL"
    )
}

/// Schedules that are not overdue any more.
fn met() -> String {
    format!("overdue_since IS NOT NULL AND (success_within IS NULL OR paused_since IS NOT NULL OR {DEADLINE} >= $1)")
}

impl Ledger {
    /// Writes down how far schedules are, all or none. [`LedgerError::Deposed`] if another leader's term has begun.
    pub async fn advance(&self, term: u64, advances: &[Advance]) -> Result<(), LedgerError> {
        let runs: Vec<&Run> = advances.iter().flat_map(|advance| &advance.runs).collect();
        let leads = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(false);
            }
            for advances in advances.chunks(ROWS) {
                let mut sql = sqlx::QueryBuilder::new(
                    "UPDATE schedules SET last_tick = new.column3, next_at = new.column4, waiting_tick = new.column5,
                         last_queue = coalesce(new.column6, last_queue), last_job = coalesce(new.column7, last_job) FROM (",
                );
                sql.push_values(advances, |mut row, advance| {
                    let last = advance.runs.iter().rev().find_map(|run| run.job.as_ref());
                    row.push_bind(advance.name.as_str()).push_bind(advance.edition as i64);
                    row.push_bind(millis(advance.last_tick)).push_bind(advance.next_at.map(millis));
                    row.push_bind(advance.waiting_tick.map(millis)).push_bind(last.map(|(queue, _)| queue.as_str()));
                    row.push_bind(last.map(|(_, job)| job.as_str()));
                });
                sql.push(") AS new WHERE schedules.name = new.column1 AND schedules.edition = new.column2");
                sql.build().persistent(false).execute(&mut *transaction).await?;
            }
            insert!(runs, transaction);
            transaction.commit().await?;
            Ok(true)
        })?;
        if leads { Ok(()) } else { Err(LedgerError::Deposed) }
    }

    /// Marks schedules that have had no success for longer than they may, and unmarks those that have had one since. Time counts
    /// from the first tick on, and no pause does; when no tick is left and the last one's job has completed nothing is expected
    /// any more. [`LedgerError::Deposed`] if another leader's term has begun.
    pub async fn check_deadlines(&self, term: u64) -> Result<Deadlines, LedgerError> {
        self.check_term(term).await?;
        let now = self.now().await?;
        if self.deadlines_have_changed(now).await? {
            self.mark_deadlines(term, now).await
        } else {
            Ok(Deadlines { all: self.overdue().await?, ..Deadlines::default() })
        }
    }

    /// Most of the time there is nothing to write, and nobody has to wait for that.
    async fn deadlines_have_changed(&self, now: Timestamp) -> Result<bool, LedgerError> {
        on!(self, |pool, _begin| async {
            // The order has PostgreSQL use the index, whatever it believes of the condition.
            for condition in [format!("{} ORDER BY {DEADLINE}", passed()), met()] {
                let sql = sqlx::AssertSqlSafe(format!("SELECT 1 FROM schedules WHERE {condition} LIMIT 1"));
                if sqlx::query(sql).bind(millis(now)).fetch_optional(pool).await?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// When the schedules with a deadline had their last success, at most `limit` of those that had one, by name.
    pub async fn last_successes(&self, limit: u32) -> Result<Vec<(ScheduleName, Timestamp)>, LedgerError> {
        let sql = "SELECT name, last_success_at FROM schedules
                   WHERE success_within IS NOT NULL AND last_success_at IS NOT NULL AND withdrawn_at IS NULL ORDER BY name LIMIT $1";
        let rows: Vec<(String, i64)> =
            on!(self, |pool, _begin| sqlx::query_as(sql).bind(i64::from(limit)).fetch_all(pool))?;
        let read = |(name, at): (String, i64)| Some((name.parse().ok()?, Timestamp::from_millis(at.try_into().ok()?)));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Schedules that are overdue, at most a thousand.
    async fn overdue(&self) -> Result<Vec<ScheduleName>, LedgerError> {
        let sql = "SELECT name FROM schedules WHERE overdue_since IS NOT NULL ORDER BY name LIMIT 1000";
        let names: Vec<String> = on!(self, |pool, _begin| sqlx::query_scalar(sql).fetch_all(pool))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn mark_deadlines(&self, term: u64, now: Timestamp) -> Result<Deadlines, LedgerError> {
        let checked = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(None);
            }
            let sql = sqlx::AssertSqlSafe(format!(
                "UPDATE schedules SET overdue_since = $1 WHERE {} RETURNING name",
                passed()
            ));
            let rows = sqlx::query(sql).bind(millis(now)).fetch_all(&mut *transaction).await?;
            let (mut deadlines, mut runs) = (Deadlines::default(), Vec::new());
            for row in rows {
                let name: String = row.try_get(0)?;
                let Ok(schedule) = name.parse::<ScheduleName>() else { continue };
                runs.push(Run {
                    schedule: schedule.clone(),
                    tick: now,
                    outcome: Outcome::Overdue,
                    at: now,
                    job: None,
                    note: None,
                    ended: None,
                });
                deadlines.overdue.push(schedule);
            }
            insert!(runs, transaction);
            let sql = sqlx::AssertSqlSafe(format!(
                "UPDATE schedules SET overdue_since = NULL WHERE {} RETURNING name",
                met()
            ));
            for row in sqlx::query(sql).bind(millis(now)).fetch_all(&mut *transaction).await? {
                deadlines.met.extend(row.try_get::<String, _>(0)?.parse().ok());
            }
            transaction.commit().await?;
            Ok(Some(deadlines))
        })?;
        let mut deadlines = checked.ok_or(LedgerError::Deposed)?;
        deadlines.all = self.overdue().await?;
        Ok(deadlines)
    }
}
