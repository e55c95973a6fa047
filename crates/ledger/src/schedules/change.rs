//! Making, changing, pausing and removing schedules.

use std::collections::BTreeMap;

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, Timestamp};
use sqlx::Row as _;

use super::{ManagedBy, leads, millis};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store, on};

/// What became of a schedule that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Added,
    /// It has changed. With other times it goes on from now; what only its jobs are changes nothing of its ticks.
    Changed,
    /// It is as it was.
    Same,
    /// It stands in the configuration and is changed there.
    ManagedByCode,
}

/// What became of the schedules of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Those that are new.
    pub added: Vec<ScheduleName>,
    /// Those that have changed.
    pub changed: Vec<ScheduleName>,
    /// Those that the configuration has no more.
    pub removed: Vec<ScheduleName>,
    /// Those whose names operators have given to others, which stay.
    pub taken: Vec<ScheduleName>,
}

/// Revisions begin with the time, so that one of a name that is used again is none of an earlier one.
const INSERT: &str = "INSERT INTO schedules (name, spec, managed_by, revision, created_at, updated_at, last_tick, next_at, success_within,
        watched_since)
    VALUES ($1, $2, $3, $4, $4, $4, $4, $4, $5, $6)";
/// Who edits a schedule means: from now on. What waited for the run before waits no more.
const UPDATE: &str =
    "UPDATE schedules SET spec = $2, managed_by = $3, revision = revision + 1, updated_at = $4, last_tick = $4,
    next_at = $4, waiting_tick = NULL, success_within = $5, watched_since = $6 WHERE name = $1";

/// Who changes only what its jobs are lets the ticks be.
const UPDATE_JOB: &str = "UPDATE schedules SET spec = $2, managed_by = $3, revision = revision + 1, updated_at = $4,
    success_within = $5, watched_since = CASE WHEN watched_since > $6 THEN $6 ELSE watched_since END WHERE name = $1";

/// The statement that makes a schedule another.
fn update(before: &str, spec: &ScheduleSpec) -> &'static str {
    let times = |spec: &ScheduleSpec| (spec.cron, spec.timezone.clone(), spec.jitter, spec.starts_at, spec.ends_at);
    match ScheduleSpec::read_stored(before) {
        Ok(before) if times(&before) == times(spec) => UPDATE_JOB,
        _ => UPDATE,
    }
}

fn json(spec: &ScheduleSpec) -> Result<String, sqlx::Error> {
    serde_json::to_string(spec).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn deadline(spec: &ScheduleSpec) -> Option<i64> {
    spec.success_within.map(|within| i64::try_from(within.as_millis()).unwrap_or(i64::MAX))
}

/// When the time without success begins.
fn watched(spec: &ScheduleSpec, now: Timestamp) -> i64 {
    millis(spec.starts_at.unwrap_or_default().max(now))
}

impl Ledger {
    /// Makes a schedule of an operator or changes one.
    pub async fn put_schedule(&self, spec: &ScheduleSpec, now: Timestamp) -> Result<Put, LedgerError> {
        on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            let sql = "SELECT spec, managed_by FROM schedules WHERE name = $1";
            let row = sqlx::query(sql).bind(spec.name.as_str()).fetch_optional(&mut *transaction).await?;
            let text = json(spec)?;
            let (statement, put) = match row {
                None => (INSERT, Put::Added),
                Some(row) if row.try_get::<String, _>(1)? == "code" => return Ok(Put::ManagedByCode),
                Some(row) if row.try_get::<String, _>(0)? == text => return Ok(Put::Same),
                Some(row) => (update(row.try_get(0)?, spec), Put::Changed),
            };
            let put_it = sqlx::query(statement).bind(spec.name.as_str()).bind(text).bind("operator").bind(millis(now));
            put_it.bind(deadline(spec)).bind(watched(spec, now)).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(put)
        })
    }

    /// Makes the schedules of the configuration those that code manages: adds, changes and removes until they are.
    ///
    /// [`LedgerError::Deposed`] if another leader's term than `term` has begun.
    pub async fn sync_schedules(
        &self,
        term: u64,
        specs: &[ScheduleSpec],
        now: Timestamp,
    ) -> Result<Synced, LedgerError> {
        let synced = on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            if !leads!(term, &mut *transaction) {
                return Ok(None);
            }
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            let mut known: BTreeMap<String, (String, String)> = BTreeMap::new();
            let sql = "SELECT name, spec, managed_by FROM schedules WHERE managed_by = 'code'";
            for row in sqlx::query(sql).fetch_all(&mut *transaction).await? {
                known.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
            for name in names {
                if known.contains_key(name) {
                    continue;
                }
                let sql = "SELECT spec, managed_by FROM schedules WHERE name = $1";
                if let Some(row) = sqlx::query(sql).bind(name).fetch_optional(&mut *transaction).await? {
                    known.insert(name.to_owned(), (row.try_get(0)?, row.try_get(1)?));
                }
            }
            let mut synced = Synced::default();
            for spec in specs {
                let text = json(spec)?;
                let (statement, list) = match known.remove(spec.name.as_str()) {
                    None => (INSERT, &mut synced.added),
                    Some((_, by)) if by != "code" => {
                        synced.taken.push(spec.name.clone());
                        continue;
                    }
                    Some((before, _)) if before == text => continue,
                    Some((before, _)) => (update(&before, spec), &mut synced.changed),
                };
                let put = sqlx::query(statement).bind(spec.name.as_str()).bind(text).bind("code").bind(millis(now));
                put.bind(deadline(spec)).bind(watched(spec, now)).execute(&mut *transaction).await?;
                list.push(spec.name.clone());
            }
            for (name, (_, by)) in known {
                if by == "code" {
                    sqlx::query("DELETE FROM schedules WHERE name = $1").bind(&name).execute(&mut *transaction).await?;
                    synced.removed.extend(name.parse().ok());
                }
            }
            transaction.commit().await?;
            Ok(Some(synced))
        })?;
        synced.ok_or(LedgerError::Deposed)
    }

    /// Removes a schedule of an operator with its runs. Answers who managed it; nothing if there was none. One that code
    /// manages stays.
    pub async fn delete_schedule(&self, name: &ScheduleName) -> Result<Option<ManagedBy>, LedgerError> {
        on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            let sql = "DELETE FROM schedules WHERE name = $1 AND managed_by = 'operator'";
            let deleted = sqlx::query(sql).bind(name.as_str()).execute(&mut *transaction).await?.rows_affected() > 0;
            if !deleted {
                let sql = "SELECT 1 FROM schedules WHERE name = $1";
                let there = sqlx::query(sql).bind(name.as_str()).fetch_optional(&mut *transaction).await?;
                return Ok(there.map(|_| ManagedBy::Code));
            }
            let sql = "DELETE FROM schedule_runs WHERE schedule = $1";
            sqlx::query(sql).bind(name.as_str()).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Some(ManagedBy::Operator))
        })
    }

    /// Stops a schedule's ticks until it is resumed. Answers whether there is one.
    pub async fn pause_schedule(
        &self,
        name: &ScheduleName,
        (by, why): (&str, &str),
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let sql = "UPDATE schedules SET paused_by = $2, paused_why = $3, paused_since = coalesce(paused_since, $4) WHERE name = $1";
        on!(self, |pool, _begin| async {
            let pause = sqlx::query(sql).bind(name.as_str()).bind(by).bind(why).bind(millis(now));
            Ok(pause.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Lets a schedule go on; ticks that it has missed are dealt with by its policy. Answers whether it was paused; nothing if
    /// there is none.
    pub async fn resume_schedule(&self, name: &ScheduleName, now: Timestamp) -> Result<Option<bool>, LedgerError> {
        on!(self, |pool, begin| async {
            let mut transaction = pool.begin_with(begin).await?;
            let sql = "SELECT paused_since IS NOT NULL FROM schedules WHERE name = $1";
            let row = sqlx::query(sql).bind(name.as_str()).fetch_optional(&mut *transaction).await?;
            let Some(row) = row else { return Ok(None) };
            let was_paused: bool = row.try_get(0)?;
            if was_paused {
                let sql = "UPDATE schedules SET paused_by = NULL, paused_why = NULL, paused_since = NULL, next_at = $2, watched_since = $2
                           WHERE name = $1";
                sqlx::query(sql).bind(name.as_str()).bind(millis(now)).execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Ok(Some(was_paused))
        })
    }
}
