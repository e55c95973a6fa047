//! Pausing, resuming and removing schedules.

use lovage_core::ScheduleName;

use super::millis;
use super::put::watched_after;
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

    /// Lets a schedule go on; ticks that it has missed are dealt with by its policy, and the time of the pause counts for no
    /// deadline. Answers whether it was paused; nothing if there is none.
    pub async fn resume_schedule(&self, name: &ScheduleName) -> Result<Option<bool>, LedgerError> {
        let now = self.now().await?;
        let sql = format!(
            "UPDATE schedules SET paused_by = NULL, paused_why = NULL, paused_since = NULL,
                 next_at = CASE WHEN next_at IS NULL THEN NULL ELSE $2 END, watched_since = {}
             WHERE name = $1 AND paused_since IS NOT NULL",
            watched_after("schedules.paused_since", "$2")
        );
        on!(self, |pool, _begin| async {
            let resume = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name.as_str()).bind(millis(now));
            if resume.execute(pool).await?.rows_affected() > 0 {
                return Ok(Some(true));
            }
            let there = sqlx::query("SELECT 1 FROM schedules WHERE name = $1").bind(name.as_str());
            Ok(there.fetch_optional(pool).await?.map(|_| false))
        })
    }
}
