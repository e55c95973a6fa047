//! Pausing, resuming and removing schedules.

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, Timestamp};
use sqlx::Row as _;

use super::millis;
use super::put::NEVER;
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store, on};

/// Removes schedules with their runs.
macro_rules! remove {
    ($names:expr, $connection:expr) => {
        for table in ["schedules WHERE name", "schedule_runs WHERE schedule"] {
            for names in $names.chunks(super::run::ROWS) {
                let mut sql = sqlx::QueryBuilder::new(format!("DELETE FROM {table} IN ("));
                let mut list = sql.separated(", ");
                for name in names {
                    list.push_bind(*name);
                }
                sql.push(")");
                sql.build().persistent(false).execute(&mut *$connection).await?;
            }
        }
    };
}
pub(super) use remove;

impl Ledger {
    /// Stops a schedule's ticks until it is resumed. Answers whether there is one.
    pub async fn pause_schedule(&self, name: &ScheduleName, (by, why): (&str, &str)) -> Result<bool, LedgerError> {
        let now = self.now().await?;
        let sql = "UPDATE schedules SET paused_by = $2, paused_why = $3, paused_since = coalesce(paused_since, $4) WHERE name = $1";
        on!(self, |pool, _begin| async {
            let pause = sqlx::query(sql).bind(name.as_str()).bind(by).bind(why).bind(millis(now));
            Ok(pause.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Lets a schedule go on; ticks that it has missed are dealt with by its policy. Answers whether it was paused; nothing if
    /// there is none. `first` as of [`Ledger::put_schedules`]: the time of the pause counts for no deadline.
    pub async fn resume_schedule(
        &self,
        name: &ScheduleName,
        first: impl Fn(&ScheduleSpec, Timestamp) -> Option<Timestamp>,
    ) -> Result<Option<bool>, LedgerError> {
        let now = self.now().await?;
        on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            let sql = "SELECT paused_since IS NOT NULL, next_at IS NULL, spec FROM schedules WHERE name = $1";
            let row = sqlx::query(sql).bind(name.as_str()).fetch_optional(&mut *transaction).await?;
            let Some(row) = row else { return Ok(None) };
            let was_paused: bool = row.try_get(0)?;
            if was_paused {
                let spec = ScheduleSpec::read_stored(&row.try_get::<String, _>(2)?);
                let had_ended: bool = row.try_get(1)?;
                // A tick that came meanwhile may run now, and be the last.
                let watched = spec.ok().and_then(|spec| first(&spec, now)).unwrap_or(now);
                let watched = if had_ended { NEVER } else { millis(watched) };
                let sql = "UPDATE schedules SET paused_by = NULL, paused_why = NULL, paused_since = NULL, next_at = $2, watched_since = $3
                           WHERE name = $1";
                let resume = sqlx::query(sql).bind(name.as_str()).bind(millis(now)).bind(watched);
                resume.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Ok(Some(was_paused))
        })
    }
}
