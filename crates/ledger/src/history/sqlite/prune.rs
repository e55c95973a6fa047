//! Removing old history, slice by slice.

use lovage_core::Timestamp;
use sqlx::query;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::super::failures::day;
use super::super::retention::{PrunedJobs, SLICE};
use super::super::stored::{self, millis};
use super::places;
use crate::error::LedgerError;

pub(in super::super) async fn prune(pool: &SqlitePool, before: Timestamp) -> Result<PrunedJobs, LedgerError> {
    remove(pool, before).await.map_err(|error| LedgerError::of(&error))
}

async fn remove(pool: &SqlitePool, before: Timestamp) -> Result<PrunedJobs, sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let jobs = slice(&mut transaction, millis(before)).await?;
    let more = jobs as i64 == SLICE;
    let failures = if more { 0 } else { counts(&mut transaction, before).await? };
    transaction.commit().await?;
    Ok(PrunedJobs { jobs, failures, more })
}

/// Removes the oldest jobs that have ended, or were gone, before that.
async fn slice(connection: &mut SqliteConnection, before: i64) -> Result<u64, sqlx::Error> {
    let sql = "SELECT enqueued_at, key FROM jobs WHERE enqueued_at < ?1 AND since < ?1
                   AND (state IN ('completed', 'cancelled', 'discarded') OR gone_at < ?1)
               ORDER BY enqueued_at, key LIMIT ?2";
    let rows = query(sql).bind(before).bind(SLICE).fetch_all(&mut *connection).await?;
    let old = rows.iter().map(stored::cursor).collect::<Result<Vec<_>, _>>()?;
    if old.is_empty() {
        return Ok(0);
    }
    let keys = places(old.iter().copied())?;
    for sql in [
        "DELETE FROM jobs WHERE (enqueued_at, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
        "DELETE FROM job_attempts WHERE (enqueued_at, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
        "DELETE FROM job_failures WHERE (enqueued_at, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
        "DELETE FROM job_artifacts WHERE (enqueued_at, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
    ] {
        query(sql).bind(&keys).execute(&mut *connection).await?;
    }
    Ok(old.len() as u64)
}

/// Removes groups that nothing was added to since, and what was counted of them or on days before that.
async fn counts(connection: &mut SqliteConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    let sql = "DELETE FROM failure_counts WHERE day < ?1
                   OR fingerprint IN (SELECT fingerprint FROM failure_groups WHERE last_seen < ?2)";
    query(sql).bind(day(before)).bind(millis(before)).execute(&mut *connection).await?;
    let sql = "DELETE FROM failure_groups WHERE last_seen < ?1";
    Ok(query(sql).bind(millis(before)).execute(connection).await?.rows_affected())
}
