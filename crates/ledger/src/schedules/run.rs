//! What became of a schedule's ticks, for people.

use lovage_core::{JobId, QueueName, ScheduleName, State, Timestamp};
use serde::Serialize;

use super::{leads, millis, on};
use crate::error::LedgerError;
use crate::history::stored::{Values, instant};
use crate::ledger::{Ledger, Store};

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

pub(super) const INSERT: &str = "INSERT INTO schedule_runs (schedule, tick, outcome, at, queue, job, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (schedule, tick, outcome) DO NOTHING";

/// Binds a run to [`INSERT`].
macro_rules! insert {
    ($run:expr) => {
        sqlx::query(super::run::INSERT)
            .bind($run.schedule.as_str())
            .bind(super::millis($run.tick))
            .bind($run.outcome.name())
            .bind(super::millis($run.at))
            .bind($run.job.as_ref().map(|(queue, _)| queue.as_str()))
            .bind($run.job.as_ref().map(|(_, job)| job.as_str()))
            .bind($run.note.as_deref())
    };
}
pub(super) use insert;

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
        on!(self, |pool, _begin| async { insert!(run).execute(pool).await.map(drop) })
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

    /// Runs whose job's end is not known yet, after `after`, in the order in which they were written down, at most `limit`.
    pub async fn open_runs(&self, after: Option<&Run>, limit: u32) -> Result<Vec<Run>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule_runs
             WHERE job IS NOT NULL AND state IS NULL AND (at, schedule, tick) > ($1, $2, $3) ORDER BY at, schedule, tick LIMIT $4"
        );
        let place = after.map_or((-1, "", -1), |run| (millis(run.at), run.schedule.as_str(), millis(run.tick)));
        on!(self, |pool, _begin| async {
            let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(place.0).bind(place.1).bind(place.2);
            found.bind(i64::from(limit)).fetch_all(pool).await?.iter().map(read).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Writes down how jobs of runs have ended; a success counts for the schedule's deadline.
    /// [`LedgerError::Deposed`] if another leader's term has begun.
    pub async fn settle_runs(&self, term: u64, runs: &[Run]) -> Result<(), LedgerError> {
        let leads = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(false);
            }
            for run in runs {
                let Some((state, ended)) = run.ended else { continue };
                let sql = "UPDATE schedule_runs SET state = $4, ended_at = $5
                           WHERE schedule = $1 AND tick = $2 AND outcome = $3";
                let settle =
                    sqlx::query(sql).bind(run.schedule.as_str()).bind(millis(run.tick)).bind(run.outcome.name());
                settle.bind(state.name()).bind(millis(ended)).execute(&mut *transaction).await?;
                if state == State::Completed {
                    let sql = "UPDATE schedules SET last_success_at = $2
                               WHERE name = $1 AND (last_success_at IS NULL OR last_success_at < $2)";
                    sqlx::query(sql).bind(run.schedule.as_str()).bind(millis(ended)).execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await?;
            Ok(true)
        })?;
        if leads { Ok(()) } else { Err(LedgerError::Deposed) }
    }

    /// Removes runs that were written down before that.
    pub async fn prune_runs(&self, before: Timestamp) -> Result<u64, LedgerError> {
        on!(self, |pool, _begin| async {
            let sql = "DELETE FROM schedule_runs WHERE at < $1";
            Ok(sqlx::query(sql).bind(millis(before)).execute(pool).await?.rows_affected())
        })
    }
}
