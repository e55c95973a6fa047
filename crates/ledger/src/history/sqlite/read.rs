//! Looking up jobs by what they are, and the recorder's position.

use lovage_core::history::JobRecord;
use lovage_core::{JobId, JobView, QueueName};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, query};

use super::super::MAX_ATTEMPTS;
use super::super::page::{Position, key};
use super::super::stored::{self, Stored, millis};
use super::{JOB, json, places};
use crate::error::LedgerError;

pub(in super::super) async fn position(pool: &SqlitePool, queue: &QueueName) -> Result<Option<Position>, LedgerError> {
    let sql = "SELECT cursor, healing FROM recorder_positions WHERE queue = ?";
    let row = query(sql).bind(queue.as_str()).fetch_optional(pool).await;
    let position = |row: SqliteRow| Ok(Position { cursor: row.try_get(0)?, healing: row.try_get(1)? });
    row.and_then(|row| row.map(position).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(in super::super) async fn known_jobs(
    pool: &SqlitePool,
    queue: &QueueName,
    ids: &[JobId],
) -> Result<Vec<JobView>, LedgerError> {
    let sql = format!(
        "SELECT {JOB} FROM jobs WHERE id IN (SELECT value FROM json_each(?1)) AND queue = ?2
             AND NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.id = jobs.id AND later.queue = ?2
                 AND later.enqueued_at > jobs.enqueued_at)"
    );
    let known =
        async { views(&query(AssertSqlSafe(sql)).bind(json(&ids)?).bind(queue.as_str()).fetch_all(pool).await?) };
    known.await.map_err(|error| LedgerError::of(&error))
}

pub(in super::super) async fn unfinished(
    pool: &SqlitePool,
    queue: &QueueName,
    after: Option<&JobView>,
    limit: u32,
) -> Result<Vec<JobView>, LedgerError> {
    let (at, key) = after.map_or((-1, i64::MIN), |job| (millis(job.enqueued_at), key(queue.as_str(), job.id.as_str())));
    let sql = format!(
        "SELECT {JOB} FROM jobs
         WHERE queue = ? AND (enqueued_at, key) > (?, ?) AND gone_at IS NULL
             AND state IN ('scheduled', 'available', 'running', 'retryable')
         ORDER BY enqueued_at, key LIMIT ?"
    );
    let found = query(AssertSqlSafe(sql)).bind(queue.as_str()).bind(at).bind(key).bind(limit);
    found.fetch_all(pool).await.and_then(|rows| views(&rows)).map_err(|error| LedgerError::of(&error))
}

fn views(rows: &[SqliteRow]) -> Result<Vec<JobView>, sqlx::Error> {
    rows.iter().map(|row| stored::job(row).map(|stored| stored.job)).collect()
}

pub(in super::super) async fn job_record(
    pool: &SqlitePool,
    queue: Option<&QueueName>,
    id: &JobId,
) -> Result<Option<JobRecord>, LedgerError> {
    let sql = format!(
        "SELECT {JOB} FROM jobs WHERE id = ?1 AND (?2 IS NULL OR queue = ?2) ORDER BY enqueued_at DESC, key DESC LIMIT 1"
    );
    let found = query(AssertSqlSafe(sql)).bind(id.as_str()).bind(queue.map(QueueName::as_str));
    let record = async {
        let Some(row) = found.fetch_optional(pool).await? else { return Ok(None) };
        Ok(with_attempts(pool, vec![stored::job(&row)?]).await?.pop())
    };
    record.await.map_err(|error: sqlx::Error| LedgerError::of(&error))
}

/// Jobs with their attempts and errors: one more question for all of them.
pub(super) async fn with_attempts(pool: &SqlitePool, jobs: Vec<Stored>) -> Result<Vec<JobRecord>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT enqueued_at, key, attempt, worker, version, started_at, ended_at, outcome, at, class, message
               FROM (
                   SELECT job_attempts.*, row_number() OVER (PARTITION BY enqueued_at, key ORDER BY attempt DESC) AS age
                   FROM (SELECT value AS asked FROM json_each(?1)) CROSS JOIN job_attempts
                       ON enqueued_at = asked ->> 0 AND key = asked ->> 1
               ) LEFT JOIN job_failures USING (enqueued_at, key, attempt)
               WHERE age <= ?2 ORDER BY enqueued_at, key, attempt";
    let rows = query(sql).bind(places(jobs.iter().map(|stored| stored.cursor))?).bind(MAX_ATTEMPTS);
    let rows = rows.fetch_all(pool).await?;
    let attempts = rows.iter().map(stored::attempt).collect::<Result<_, _>>()?;
    Ok(stored::records(jobs, attempts))
}
