//! What became of a schedule's ticks, for people.

use std::collections::{BTreeMap, HashMap};

use lovage_core::{JobId, QueueName, ScheduleName, State, Timestamp};
use serde::Serialize;

use super::put::NEVER;
use super::{leads, millis};
use crate::error::LedgerError;
use crate::history::SLICE;
use crate::history::stored::{Values, instant};
use crate::ledger::{Ledger, Store, on};

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its job was enqueued.
    Enqueued,
    /// Somebody asked for a run beside the ticks, and its job was enqueued.
    Manual,
    /// The run before had not ended.
    Skipped,
    /// Nobody was there in time.
    Missed,
    /// The queue would not have its job.
    Refused,
    /// There was no success for too long.
    Overdue,
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Enqueued, Self::Manual, Self::Skipped, Self::Missed, Self::Refused, Self::Overdue];

    /// The name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Manual => "manual",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Refused => "refused",
            Self::Overdue => "overdue",
        }
    }
}

/// A tick and what became of it.
#[derive(Debug, Clone)]
pub struct Run {
    /// The schedule.
    pub schedule: ScheduleName,
    /// The tick.
    pub tick: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// When that was written down.
    pub at: Timestamp,
    /// Its job.
    pub job: Option<(QueueName, JobId)>,
    /// More about it, in words.
    pub note: Option<String>,
    /// How the job ended, and when.
    pub ended: Option<(State, Timestamp)>,
}

/// Rows of one statement, well within what both databases take of values.
pub(super) const ROWS: usize = 1_000;

/// Writes runs; those that are there stay as they are.
macro_rules! insert {
    ($runs:expr, $connection:expr) => {
        for runs in $runs.chunks(super::run::ROWS) {
            let mut sql =
                sqlx::QueryBuilder::new("INSERT INTO schedule_runs (schedule, tick, outcome, at, queue, job, note) ");
            sql.push_values(runs, |mut row, run| {
                row.push_bind(run.schedule.as_str()).push_bind(super::millis(run.tick)).push_bind(run.outcome.name());
                row.push_bind(super::millis(run.at));
                row.push_bind(run.job.as_ref().map(|(queue, _)| queue.as_str()));
                row.push_bind(run.job.as_ref().map(|(_, job)| job.as_str())).push_bind(run.note.as_deref());
            });
            sql.push(" ON CONFLICT (schedule, tick, outcome) DO NOTHING");
            sql.build().persistent(false).execute(&mut *$connection).await?;
        }
    };
}
pub(super) use insert;

/// Has successes count for the deadlines of their schedules. That of the last tick ends the deadline.
macro_rules! count_successes {
    ($completed:expr, $connection:expr) => {
        let mut successes: BTreeMap<&ScheduleName, Timestamp> = BTreeMap::new();
        for (run, at) in &$completed {
            let latest = successes.entry(&run.schedule).or_default();
            *latest = (*latest).max(*at);
        }
        let successes: Vec<(&ScheduleName, Timestamp)> = successes.into_iter().collect();
        for successes in successes.chunks(ROWS) {
            let mut sql = sqlx::QueryBuilder::new("UPDATE schedules SET last_success_at = success.column2 FROM (");
            sql.push_values(successes, |mut row, (schedule, at)| {
                row.push_bind(schedule.as_str()).push_bind(millis(*at));
            });
            sql.push(
                ") AS success WHERE schedules.name = success.column1
                   AND (schedules.last_success_at IS NULL OR schedules.last_success_at < success.column2)",
            );
            sql.build().persistent(false).execute(&mut *$connection).await?;
        }
        for completed in $completed.chunks(ROWS) {
            let mut sql = sqlx::QueryBuilder::new("UPDATE schedules SET watched_since = ");
            sql.push_bind(NEVER).push(" FROM (");
            sql.push_values(completed, |mut row, (run, _)| {
                row.push_bind(run.schedule.as_str());
                row.push_bind(run.job.as_ref().map(|(queue, _)| queue.as_str()));
                row.push_bind(run.job.as_ref().map(|(_, job)| job.as_str()));
                row.push_bind(run.outcome == Outcome::Manual);
            });
            sql.push(
                ") AS last WHERE schedules.name = last.column1 AND schedules.next_at IS NULL AND schedules.waiting_tick IS NULL
                   AND (last.column4 OR (schedules.last_queue = last.column2 AND schedules.last_job = last.column3))",
            );
            sql.build().persistent(false).execute(&mut *$connection).await?;
        }
    };
}

const COLUMNS: &str = "schedule, tick, outcome, at, queue, job, note, state, ended_at";

fn read(row: &impl Values) -> Result<Run, sqlx::Error> {
    let wrong = || sqlx::Error::Decode("a run of a schedule cannot be read".into());
    let parsed = |index: usize| -> Result<Option<String>, sqlx::Error> { row.text(index) };
    let outcome = parsed(2)?.unwrap_or_default();
    let job = match (parsed(4)?, parsed(5)?) {
        (Some(queue), Some(job)) => Some((queue.parse().map_err(|_| wrong())?, job.parse().map_err(|_| wrong())?)),
        _ => None,
    };
    let state = parsed(7)?.and_then(|name| State::from_name(&name));
    Ok(Run {
        schedule: parsed(0)?.unwrap_or_default().parse().map_err(|_| wrong())?,
        tick: instant(row, 1)?.unwrap_or_default(),
        outcome: Outcome::ALL.into_iter().find(|known| known.name() == outcome).ok_or_else(wrong)?,
        at: instant(row, 3)?.unwrap_or_default(),
        job,
        note: parsed(6)?,
        ended: state.zip(instant(row, 8)?),
    })
}

impl Ledger {
    /// Writes down a run that somebody has asked for.
    pub async fn add_run(&self, run: &Run) -> Result<(), LedgerError> {
        on!(self, |pool, _begin| async {
            let mut connection = pool.acquire().await?;
            insert!(std::slice::from_ref(run), connection);
            Ok(())
        })
    }

    /// The runs of a schedule that were written down before `before`, the latest first, at most `limit`.
    pub async fn runs(
        &self,
        schedule: &ScheduleName,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Run>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule_runs WHERE schedule = $1 AND tick < $2 ORDER BY tick DESC, at DESC LIMIT $3"
        );
        on!(self, |pool, _begin| async {
            let before = before.map_or(i64::MAX, millis);
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(schedule.as_str()).bind(before);
            let rows = found.bind(i64::from(limit)).fetch_all(pool).await?;
            rows.iter().map(read).collect::<Result<Vec<_>, _>>()
        })
    }

    /// The latest run with a job of each schedule from `first` to `last` by name, for those that have one.
    pub async fn last_runs(
        &self,
        first: &ScheduleName,
        last: &ScheduleName,
    ) -> Result<HashMap<ScheduleName, Run>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule_runs AS run
             JOIN (SELECT name, (SELECT max(tick) FROM schedule_runs WHERE schedule = name AND job IS NOT NULL) AS latest
                   FROM schedules WHERE name >= $1 AND name <= $2) AS known ON known.name = run.schedule AND known.latest = run.tick
             WHERE job IS NOT NULL ORDER BY at"
        );
        on!(self, |pool, _begin| async {
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(first.as_str()).bind(last.as_str());
            let runs = found.fetch_all(pool).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            Ok(runs.into_iter().map(|run| (run.schedule.clone(), run)).collect())
        })
    }

    /// Runs whose job's end is not known yet, after `after`, in the order in which they were written down, at most `limit`.
    pub async fn open_runs(&self, after: Option<&Run>, limit: u32) -> Result<Vec<Run>, LedgerError> {
        self.runs_that("job IS NOT NULL AND state IS NULL", after, limit).await
    }

    /// Runs whose job has not succeeded, likewise. Somebody may have redriven it.
    pub async fn failed_runs(&self, after: Option<&Run>, limit: u32) -> Result<Vec<Run>, LedgerError> {
        self.runs_that("state IN ('discarded', 'cancelled')", after, limit).await
    }

    async fn runs_that(&self, condition: &str, after: Option<&Run>, limit: u32) -> Result<Vec<Run>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule_runs
             WHERE {condition} AND (at, schedule, tick) > ($1, $2, $3) ORDER BY at, schedule, tick LIMIT $4"
        );
        let place = after.map_or((-1, "", -1), |run| (millis(run.at), run.schedule.as_str(), millis(run.tick)));
        on!(self, |pool, _begin| async {
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(place.0).bind(place.1).bind(place.2);
            found.bind(i64::from(limit)).fetch_all(pool).await?.iter().map(read).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Writes down how jobs of runs have ended; a success counts for the schedule's deadline. That of the last tick, or one that
    /// somebody has asked for after it, ends the deadline.
    /// [`LedgerError::Deposed`] if another leader's term has begun.
    pub async fn settle_runs(&self, term: u64, runs: &[Run]) -> Result<(), LedgerError> {
        let ended: Vec<(&Run, (State, Timestamp))> =
            runs.iter().filter_map(|run| run.ended.map(|end| (run, end))).collect();
        let completed: Vec<(&Run, Timestamp)> = ended
            .iter()
            .filter(|(_, (state, _))| *state == State::Completed)
            .map(|(run, (_, at))| (*run, *at))
            .collect();
        let leads = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(false);
            }
            for ended in ended.chunks(ROWS) {
                let mut sql = sqlx::QueryBuilder::new(
                    "UPDATE schedule_runs SET state = ended.column4, ended_at = ended.column5 FROM (",
                );
                sql.push_values(ended, |mut row, (run, (state, at))| {
                    row.push_bind(run.schedule.as_str()).push_bind(millis(run.tick)).push_bind(run.outcome.name());
                    row.push_bind(state.name()).push_bind(millis(*at));
                });
                sql.push(
                    ") AS ended WHERE schedule_runs.schedule = ended.column1 AND schedule_runs.tick = ended.column2
                       AND schedule_runs.outcome = ended.column3",
                );
                sql.build().persistent(false).execute(&mut *transaction).await?;
            }
            count_successes!(completed, transaction);
            transaction.commit().await?;
            Ok(true)
        })?;
        if leads { Ok(()) } else { Err(LedgerError::Deposed) }
    }

    /// Removes a slice of the runs that were written down before that, the oldest first. Answers whether more are left.
    pub async fn prune_runs(&self, before: Timestamp) -> Result<bool, LedgerError> {
        let sql = "DELETE FROM schedule_runs WHERE (schedule, tick, outcome) IN
                       (SELECT schedule, tick, outcome FROM schedule_runs WHERE at < $1 ORDER BY at LIMIT $2)";
        on!(self, |pool, _begin| async {
            let removed = sqlx::query(sql).bind(millis(before)).bind(SLICE).execute(pool).await?;
            Ok(removed.rows_affected() == SLICE as u64)
        })
    }
}
