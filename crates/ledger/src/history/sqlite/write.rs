//! A page of history, in one transaction of a fixed number of statements.

use std::collections::HashSet;

use lovage_core::QueueName;
use serde_json::json;
use sqlx::query;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::super::page::{ArtifactRow, AttemptRow, FailureRow, JobRow, Page, Position, Recorded, Rows};
use super::super::stored::{self, Values as _};
use super::{failures as groups, json};
use crate::error::LedgerError;

pub(in super::super) async fn record(pool: &SqlitePool, page: &Page<'_>) -> Result<Recorded, LedgerError> {
    let recorded = write(pool, page).await.map_err(|error| LedgerError::of(&error))?;
    recorded.ok_or(LedgerError::Deposed)
}

/// Writes a page; nothing if somebody with a later term was there.
async fn write(pool: &SqlitePool, page: &Page<'_>) -> Result<Option<Recorded>, sqlx::Error> {
    let rows = Rows::of(page.jobs);
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    if !lead(&mut transaction, page).await? {
        return Ok(None);
    }
    let mut recorded = Recorded::default();
    if !rows.jobs.is_empty() {
        recorded.jobs = jobs(&mut transaction, page.queue, &rows.jobs).await?;
    }
    if !rows.attempts.is_empty() {
        attempts(&mut transaction, &rows.attempts).await?;
    }
    if !rows.failures.is_empty() {
        recorded.failures = failures(&mut transaction, &rows.failures).await?;
    }
    if !rows.artifacts.is_empty() {
        artifacts(&mut transaction, &rows.artifacts).await?;
    }
    transaction.commit().await?;
    Ok(Some(recorded))
}

/// Moves the queue's position. Answers whether nobody's later term has begun.
async fn lead(connection: &mut SqliteConnection, page: &Page<'_>) -> Result<bool, sqlx::Error> {
    let sql = "INSERT INTO recorder_positions AS known (queue, term, cursor, healing)
               SELECT ?1, ?2, ?3, coalesce(?4, 1) FROM leader WHERE leader.term <= ?2
               ON CONFLICT (queue) DO UPDATE SET term = excluded.term,
                   cursor = CASE WHEN ?4 IS NULL THEN known.cursor ELSE excluded.cursor END,
                   healing = coalesce(?4, known.healing)
               WHERE known.term <= excluded.term RETURNING 1";
    let Position { cursor, .. } = page.position.cloned().unwrap_or_default();
    let term = i64::try_from(page.term).unwrap_or(i64::MAX);
    let lead = query(sql).bind(page.queue.as_str()).bind(term).bind(cursor).bind(page.position.map(|to| to.healing));
    Ok(lead.fetch_optional(connection).await?.is_some())
}

/// Writes jobs. One that is there is written anew, unless what is there is later or the same. A clock that went back does not
/// keep an attempt from its end.
async fn jobs(connection: &mut SqliteConnection, queue: &QueueName, rows: &[JobRow<'_>]) -> Result<u64, sqlx::Error> {
    let sql = "INSERT INTO jobs AS known (enqueued_at, key, queue, id, kind, tenant, state, reason, attempt, failed, lost, since,
                   started_at, due_at, gone_at, worker, tags, args, result, more)
               SELECT v ->> 0, v ->> 1, ?2, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, v ->> 7, v ->> 8, v ->> 9, v ->> 10,
                   v ->> 11, v ->> 12, v ->> 13, v ->> 14, v ->> 15, v ->> 16, v ->> 17, v ->> 18
               FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT (enqueued_at, key) DO UPDATE SET kind = excluded.kind, tenant = excluded.tenant,
                   state = excluded.state, reason = excluded.reason, attempt = excluded.attempt, failed = excluded.failed,
                   lost = excluded.lost, since = excluded.since, started_at = excluded.started_at, due_at = excluded.due_at,
                   gone_at = excluded.gone_at, worker = excluded.worker, tags = excluded.tags, args = excluded.args,
                   result = excluded.result, more = excluded.more
               WHERE (known.attempt < excluded.attempt OR known.attempt = excluded.attempt AND (known.since <= excluded.since
                       OR known.state NOT IN ('completed', 'cancelled', 'discarded')
                       AND excluded.state IN ('completed', 'cancelled', 'discarded')))
                   AND (known.kind, known.tenant, known.state, known.reason, known.attempt, known.failed, known.lost,
                       known.since, known.started_at, known.due_at, known.gone_at, known.worker, known.tags, known.args,
                       known.result, known.more)
                   IS NOT (excluded.kind, excluded.tenant, excluded.state, excluded.reason, excluded.attempt, excluded.failed,
                       excluded.lost, excluded.since, excluded.started_at, excluded.due_at, excluded.gone_at, excluded.worker,
                       excluded.tags, excluded.args, excluded.result, excluded.more)";
    let row = |row: &JobRow<'_>| {
        let job = row.job;
        let tags = json(&job.tags)?;
        Ok(json!([
            job.enqueued_at,
            row.key,
            job.id,
            job.kind,
            job.tenant,
            job.state.name(),
            job.reason.map(lovage_core::DiscardReason::name),
            job.attempt,
            job.failed,
            job.lost,
            job.since,
            job.started_at,
            job.due_at,
            row.gone_at,
            job.worker,
            tags,
            job.args.as_ref().map(|args| args.get()),
            job.result.as_ref().map(|result| result.get()),
            row.more,
        ]))
    };
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(query(sql).bind(json(&rows)?).bind(queue.as_str()).execute(connection).await?.rows_affected())
}

/// Writes attempts, or adds to what is known of them (see [`super::super::seen`]).
async fn attempts(connection: &mut SqliteConnection, rows: &[AttemptRow]) -> Result<(), sqlx::Error> {
    // `min` of nothing and something would be nothing.
    let sql = "INSERT INTO job_attempts AS known (enqueued_at, key, attempt, worker, version, started_at, ended_at, outcome)
               SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, v ->> 7
               FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT (enqueued_at, key, attempt) DO UPDATE SET
                   worker = coalesce(min(known.worker, excluded.worker), known.worker, excluded.worker),
                   version = coalesce(min(known.version, excluded.version), known.version, excluded.version),
                   started_at = coalesce(min(known.started_at, excluded.started_at), known.started_at, excluded.started_at),
                   ended_at = coalesce(min(known.ended_at, excluded.ended_at), known.ended_at, excluded.ended_at),
                   outcome = coalesce(min(known.outcome, excluded.outcome), known.outcome, excluded.outcome)";
    let row = |AttemptRow { enqueued_at, key, attempt }: &AttemptRow| {
        let outcome = attempt.outcome.map(lovage_core::history::Outcome::name);
        let (started_at, ended_at) = (attempt.started_at, attempt.ended_at);
        json!([enqueued_at, key, attempt.attempt, attempt.worker, attempt.version, started_at, ended_at, outcome])
    };
    query(sql).bind(json(&rows.iter().map(row).collect::<Vec<_>>())?).execute(connection).await.map(drop)
}

/// Writes failures, and counts those that are new.
async fn failures(connection: &mut SqliteConnection, rows: &[FailureRow]) -> Result<u64, sqlx::Error> {
    let sql = "INSERT INTO job_failures (enqueued_at, key, attempt, at, class, message, fingerprint)
               SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6
               FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT DO NOTHING RETURNING enqueued_at, key, attempt";
    let row = |row: &FailureRow| {
        let fingerprint = row.fingerprint.to_bits() as i64;
        json!([row.enqueued_at, row.key, row.attempt, row.at, row.class.name(), row.message, fingerprint])
    };
    let written: Vec<_> = rows.iter().map(row).collect();
    let written = query(sql).bind(json(&written)?).fetch_all(&mut *connection).await?;
    let added = |row: &SqliteRow| Ok((stored::cursor(row)?, row.number(2)?.unwrap_or_default()));
    let added = written.iter().map(added).collect::<Result<HashSet<_>, sqlx::Error>>()?;
    let is_new = |row: &&FailureRow| added.contains(&(row.cursor(), i64::from(row.attempt)));
    let new: Vec<&FailureRow> = rows.iter().filter(is_new).collect();
    if !new.is_empty() {
        groups::count(connection, &new).await?;
    }
    Ok(new.len() as u64)
}

async fn artifacts(connection: &mut SqliteConnection, rows: &[ArtifactRow]) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO job_artifacts (enqueued_at, key, object_key, attempt, name, files, rows, bytes, sha256)
               SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, v ->> 7, v ->> 8
               FROM (SELECT value AS v FROM json_each(?1)) WHERE true
               ON CONFLICT DO NOTHING";
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let row = |row: &ArtifactRow| {
        let file = &row.artifact;
        let (rows, bytes) = (file.rows.map(number), number(file.bytes));
        json!([
            row.enqueued_at,
            row.key,
            file.object_key,
            file.attempt,
            file.name,
            file.files,
            rows,
            bytes,
            file.sha256
        ])
    };
    query(sql).bind(json(&rows.iter().map(row).collect::<Vec<_>>())?).execute(connection).await.map(drop)
}
