//! Looking up jobs by what they are, and the recorder's position.

use lovage_core::history::JobRecord;
use lovage_core::{JobId, JobView, QueueName};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _, query};

use super::super::MAX_ATTEMPTS;
use super::super::page::{Position, key};
use super::super::stored::{self, Stored, millis};
use super::JOB;
use crate::error::LedgerError;

pub(in super::super) async fn position(pool: &PgPool, queue: &QueueName) -> Result<Option<Position>, LedgerError> {
    let sql = "SELECT cursor, healing FROM lovage.recorder_positions WHERE queue = $1";
    let row = query(sql).bind(queue.as_str()).fetch_optional(pool).await;
    let position = |row: PgRow| Ok(Position { cursor: row.try_get(0)?, healing: row.try_get(1)? });
    row.and_then(|row| row.map(position).transpose()).map_err(|error| LedgerError::of(&error))
}

pub(in super::super) async fn known_jobs(
    pool: &PgPool,
    queue: &QueueName,
    ids: &[JobId],
) -> Result<Vec<JobView>, LedgerError> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let sql = format!(
        "SELECT DISTINCT ON (id) {JOB} FROM lovage.jobs WHERE id = ANY($1) AND queue = $2 ORDER BY id, enqueued_at DESC"
    );
    let rows = query(AssertSqlSafe(sql)).bind(ids).bind(queue.as_str()).fetch_all(pool).await;
    views(rows).map_err(|error| LedgerError::of(&error))
}

pub(in super::super) async fn unfinished(
    pool: &PgPool,
    queue: &QueueName,
    after: Option<&JobView>,
    limit: u32,
) -> Result<Vec<JobView>, LedgerError> {
    let (at, key) = after.map_or((-1, i64::MIN), |job| (millis(job.enqueued_at), key(queue.as_str(), job.id.as_str())));
    let sql = format!(
        "SELECT {JOB} FROM lovage.jobs
         WHERE queue = $1 AND (enqueued_at, key) > (to_timestamp($2 / 1000.0::float8), $3) AND gone_at IS NULL
             AND state IN ('scheduled', 'available', 'running', 'retryable')
         ORDER BY enqueued_at, key LIMIT $4"
    );
    let found = query(AssertSqlSafe(sql)).bind(queue.as_str()).bind(at).bind(key).bind(i64::from(limit));
    views(found.fetch_all(pool).await).map_err(|error| LedgerError::of(&error))
}

fn views(rows: Result<Vec<PgRow>, sqlx::Error>) -> Result<Vec<JobView>, sqlx::Error> {
    rows?.iter().map(|row| stored::job(row).map(|stored| stored.job)).collect()
}

pub(in super::super) async fn job_record(
    pool: &PgPool,
    queue: Option<&QueueName>,
    id: &JobId,
) -> Result<Option<JobRecord>, LedgerError> {
    let sql = format!(
        "SELECT {JOB} FROM lovage.jobs WHERE id = $1 AND ($2::text IS NULL OR queue = $2) ORDER BY enqueued_at DESC, key DESC LIMIT 1"
    );
    let found = query(AssertSqlSafe(sql)).bind(id.as_str()).bind(queue.map(QueueName::as_str));
    let record = async {
        let Some(row) = found.fetch_optional(pool).await? else { return Ok(None) };
        Ok(with_attempts(pool, vec![stored::job(&row)?]).await?.pop())
    };
    record.await.map_err(|error: sqlx::Error| LedgerError::of(&error))
}

/// Jobs with their attempts and errors: one more question for all of them.
pub(super) async fn with_attempts(pool: &PgPool, jobs: Vec<Stored>) -> Result<Vec<JobRecord>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "WITH asked AS (
                   SELECT to_timestamp(at / 1000.0::float8) AS enqueued_at, key FROM unnest($1::bigint[], $2::bigint[]) AS asked (at, key)
               )
               SELECT (extract(epoch FROM enqueued_at) * 1000)::bigint, key, attempt::bigint, job_attempts.worker, version,
                   (extract(epoch FROM job_attempts.started_at) * 1000)::bigint,
                   (extract(epoch FROM ended_at) * 1000)::bigint, outcome,
                   (extract(epoch FROM at) * 1000)::bigint, class, message
               FROM (
                   SELECT newest.* FROM asked CROSS JOIN LATERAL (
                       SELECT * FROM lovage.job_attempts AS known
                       WHERE known.enqueued_at = asked.enqueued_at AND known.key = asked.key
                           AND known.enqueued_at BETWEEN to_timestamp($3 / 1000.0::float8) AND to_timestamp($4 / 1000.0::float8)
                       ORDER BY known.enqueued_at DESC, known.key DESC, known.attempt DESC LIMIT $5
                   ) AS newest
               ) AS job_attempts LEFT JOIN lovage.job_failures USING (enqueued_at, key, attempt)
               ORDER BY enqueued_at, key, attempt";
    let at: Vec<i64> = jobs.iter().map(|stored| millis(stored.cursor.enqueued_at)).collect();
    let keys: Vec<i64> = jobs.iter().map(|stored| stored.cursor.key).collect();
    // So that the server passes over the other months before it begins.
    let (first, last) = (at.iter().min().copied(), at.iter().max().copied());
    let rows = query(sql)
        .persistent(false)
        .bind(at)
        .bind(keys)
        .bind(first)
        .bind(last)
        .bind(MAX_ATTEMPTS)
        .fetch_all(pool)
        .await?;
    let attempts = rows.iter().map(stored::attempt).collect::<Result<_, _>>()?;
    Ok(stored::records(jobs, attempts))
}
