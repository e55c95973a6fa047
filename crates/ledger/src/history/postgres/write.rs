//! A page of history, in one transaction of a fixed number of statements.

use lovage_core::{QueueName, Timestamp};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{query, query_scalar};

use super::super::page::{ArtifactRow, AttemptRow, FailureRow, JobRow, Page, Position, Recorded, Rows};
use super::super::stored::millis;
use super::{Months, kinds};
use crate::error::LedgerError;

pub(in super::super) async fn record(pool: &PgPool, months: &Months, page: &Page<'_>) -> Result<Recorded, LedgerError> {
    let recorded = write(pool, months, page).await.map_err(|error| LedgerError::of(&error))?;
    recorded.ok_or(LedgerError::Deposed)
}

/// Writes a page; nothing if somebody with a later term was there.
async fn write(pool: &PgPool, months: &Months, page: &Page<'_>) -> Result<Option<Recorded>, sqlx::Error> {
    let rows = Rows::of(page.jobs);
    let instants = || rows.jobs.iter().map(|row| row.job.enqueued_at);
    months.add(pool, instants()).await?;
    match transact(pool, page, &rows).await {
        // Another process has removed a month that was empty.
        Err(error) if is_without_month(&error) => {
            months.forget();
            months.add(pool, instants()).await?;
            transact(pool, page, &rows).await
        }
        written => written,
    }
}

/// Whether a row had no place: the violation of a constraint that has no name.
fn is_without_month(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("23514") && error.constraint().is_none())
}

async fn transact(pool: &PgPool, page: &Page<'_>, rows: &Rows<'_>) -> Result<Option<Recorded>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if !lead(&mut transaction, page).await? {
        return Ok(None);
    }
    let mut recorded = Recorded::default();
    if !rows.jobs.is_empty() {
        kinds::add(&mut transaction, &rows.jobs).await?;
        recorded.jobs = jobs(&mut transaction, page.queue, &rows.jobs).await?;
        if recorded.jobs < rows.jobs.len() as u64 {
            keep(&mut transaction, &rows.jobs).await?;
        }
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

/// Takes the queue's position, and moves it. Answers whether nobody's later term has begun.
async fn lead(connection: &mut PgConnection, page: &Page<'_>) -> Result<bool, sqlx::Error> {
    let sql = "INSERT INTO lovage.recorder_positions AS known (queue, term, cursor, healing)
               SELECT $1, $2, $3, coalesce($4, true) FROM lovage.leader WHERE leader.term <= $2
               ON CONFLICT (queue) DO UPDATE SET term = excluded.term,
                   cursor = CASE WHEN $4 IS NULL THEN known.cursor ELSE excluded.cursor END,
                   healing = coalesce($4, known.healing)
               WHERE known.term <= excluded.term RETURNING true";
    let Position { cursor, .. } = page.position.cloned().unwrap_or_default();
    let term = i64::try_from(page.term).unwrap_or(i64::MAX);
    let lead = query(sql).bind(page.queue.as_str()).bind(term).bind(cursor).bind(page.position.map(|to| to.healing));
    Ok(lead.fetch_optional(connection).await?.is_some())
}

/// One value of each row.
fn all<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn instants<'a, R>(rows: &'a [R], of: impl Fn(&'a R) -> Option<Timestamp>) -> Vec<Option<i64>> {
    rows.iter().map(|row| of(row).map(millis)).collect()
}

/// Numbers of attempts and the like, which no honest job has beyond this.
fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What an array of arrays of terms is bound as: arrays of one length only could be one. `{1,2}` each.
fn array(terms: &[i64]) -> String {
    let mut text = String::with_capacity(2 + terms.len() * 21);
    text.push('{');
    for (index, term) in terms.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&term.to_string());
    }
    text.push('}');
    text
}

/// Writes jobs. One that is there is written anew, unless what is there is later or the same. A clock that went back does not
/// keep an attempt from its end.
async fn jobs(connection: &mut PgConnection, queue: &QueueName, rows: &[JobRow<'_>]) -> Result<u64, sqlx::Error> {
    let sql = "INSERT INTO lovage.jobs AS known (enqueued_at, key, queue, id, kind, tenant, state, reason, attempt, failed, lost,
                   since, started_at, due_at, gone_at, worker, tags, args, result, more, kept, terms)
               SELECT to_timestamp(enqueued_at / 1000.0::float8), key, $1, id, kind, tenant, state, reason, attempt, failed, lost,
                   to_timestamp(since / 1000.0::float8), to_timestamp(started_at / 1000.0::float8),
                   to_timestamp(due_at / 1000.0::float8), to_timestamp(gone_at / 1000.0::float8), worker,
                   tags::text[], args, result, more, kept::bigint[], terms::bigint[] || kept::bigint[]
               FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                   $9::integer[], $10::integer[], $11::integer[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
                   $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[])
                   AS new (enqueued_at, key, id, kind, tenant, state, reason, attempt, failed, lost, since, started_at, due_at,
                       gone_at, worker, tags, args, result, more, kept, terms)
               ON CONFLICT (enqueued_at, key) DO UPDATE SET kind = excluded.kind, tenant = excluded.tenant,
                   state = excluded.state, reason = excluded.reason, attempt = excluded.attempt, failed = excluded.failed,
                   lost = excluded.lost, since = excluded.since, started_at = excluded.started_at, due_at = excluded.due_at,
                   gone_at = excluded.gone_at, worker = excluded.worker, tags = excluded.tags, args = excluded.args,
                   result = excluded.result, more = excluded.more,
                   kept = CASE WHEN known.kept <@ excluded.kept THEN excluded.kept
                       ELSE lovage.with_all(excluded.kept, known.kept) END,
                   terms = CASE WHEN known.kept <@ excluded.kept THEN excluded.terms
                       ELSE lovage.with_all(excluded.terms, known.kept) END
               WHERE (known.attempt < excluded.attempt OR known.attempt = excluded.attempt AND (known.since <= excluded.since
                       OR known.state NOT IN ('completed', 'cancelled', 'discarded')
                       AND excluded.state IN ('completed', 'cancelled', 'discarded')))
                   AND (NOT known.kept @> excluded.kept
                       OR (known.kind, known.tenant, known.state, known.reason, known.attempt, known.failed, known.lost, known.since,
                           known.started_at, known.due_at, known.gone_at, known.worker, known.tags, known.args, known.result,
                           known.more)
                       IS DISTINCT FROM (excluded.kind, excluded.tenant, excluded.state, excluded.reason, excluded.attempt,
                           excluded.failed, excluded.lost, excluded.since, excluded.started_at, excluded.due_at, excluded.gone_at,
                           excluded.worker, excluded.tags, excluded.args, excluded.result, excluded.more))";
    let written = query(sql)
        .bind(queue.as_str())
        .bind(all(rows, |row| millis(row.job.enqueued_at)))
        .bind(all(rows, |row| row.key))
        .bind(all(rows, |row| row.job.id.as_str()))
        .bind(all(rows, |row| row.job.kind.as_ref().map(lovage_core::Kind::as_str)))
        .bind(all(rows, |row| row.job.tenant.as_ref().map(lovage_core::Tenant::as_str)))
        .bind(all(rows, |row| row.job.state.name()))
        .bind(all(rows, |row| row.job.reason.map(lovage_core::DiscardReason::name)))
        .bind(all(rows, |row| small(row.job.attempt)))
        .bind(all(rows, |row| small(row.job.failed)))
        .bind(all(rows, |row| small(row.job.lost)))
        .bind(all(rows, |row| millis(row.job.since)))
        .bind(instants(rows, |row| row.job.started_at))
        .bind(instants(rows, |row| row.job.due_at))
        .bind(instants(rows, |row| row.gone_at))
        .bind(all(rows, |row| row.job.worker.as_ref().map(lovage_core::WorkerId::as_str)))
        .bind(all(rows, |row| texts(&row.job.tags)))
        .bind(all(rows, |row| row.job.args.as_ref().map(|args| args.get())))
        .bind(all(rows, |row| row.job.result.as_ref().map(|result| result.get())))
        .bind(all(rows, |row| row.more.as_str()))
        .bind(all(rows, |row| array(&row.terms.kept)))
        .bind(all(rows, |row| array(&row.terms.now)))
        .execute(connection)
        .await?;
    Ok(written.rows_affected())
}

/// Has jobs be found by what earlier looks tell of their attempts, when later ones are there already.
async fn keep(connection: &mut PgConnection, rows: &[JobRow<'_>]) -> Result<(), sqlx::Error> {
    let sql = "UPDATE lovage.jobs SET kept = lovage.with_all(jobs.kept, new.kept::bigint[]),
                   terms = lovage.with_all(jobs.terms, new.kept::bigint[])
               FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS new (enqueued_at, key, kept)
               WHERE jobs.enqueued_at = to_timestamp(new.enqueued_at / 1000.0::float8) AND jobs.key = new.key
                   AND NOT jobs.kept @> new.kept::bigint[]";
    query(sql)
        .bind(all(rows, |row| millis(row.job.enqueued_at)))
        .bind(all(rows, |row| row.key))
        .bind(all(rows, |row| array(&row.terms.kept)))
        .execute(connection)
        .await
        .map(drop)
}

/// An array of texts as PostgreSQL writes it.
fn texts(texts: &[String]) -> String {
    let quoted: Vec<String> =
        texts.iter().map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(","))
}

/// Writes attempts, or adds to what is known of them (see [`super::super::seen`]).
async fn attempts(connection: &mut PgConnection, rows: &[AttemptRow]) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO lovage.job_attempts AS known (enqueued_at, key, attempt, worker, version, started_at, ended_at, outcome)
               SELECT to_timestamp(enqueued_at / 1000.0::float8), key, attempt, worker, version,
                   to_timestamp(started_at / 1000.0::float8), to_timestamp(ended_at / 1000.0::float8), outcome
               FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
                   AS new (enqueued_at, key, attempt, worker, version, started_at, ended_at, outcome)
               ON CONFLICT (enqueued_at, key, attempt) DO UPDATE SET
                   worker = least(known.worker COLLATE \"C\", excluded.worker),
                   version = least(known.version COLLATE \"C\", excluded.version),
                   started_at = least(known.started_at, excluded.started_at),
                   ended_at = least(known.ended_at, excluded.ended_at),
                   outcome = least(known.outcome COLLATE \"C\", excluded.outcome)";
    query(sql)
        .bind(all(rows, |row| millis(row.enqueued_at)))
        .bind(all(rows, |row| row.key))
        .bind(all(rows, |row| small(row.attempt.attempt)))
        .bind(all(rows, |row| row.attempt.worker.as_ref().map(lovage_core::WorkerId::as_str)))
        .bind(all(rows, |row| row.attempt.version.as_deref()))
        .bind(instants(rows, |row| row.attempt.started_at))
        .bind(instants(rows, |row| row.attempt.ended_at))
        .bind(all(rows, |row| row.attempt.outcome.map(lovage_core::history::Outcome::name)))
        .execute(connection)
        .await
        .map(drop)
}

/// Writes failures, and counts those that are new.
async fn failures(connection: &mut PgConnection, rows: &[FailureRow]) -> Result<u64, sqlx::Error> {
    let sql = "WITH new AS (
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::text[], $6::text[],
                       $7::bigint[], $8::text[], $9::text[], $10::text[])
                       AS new (enqueued_at, key, attempt, told_at, class, message, fingerprint, title, kind, version)
               ), added AS (
                   INSERT INTO lovage.job_failures (enqueued_at, key, attempt, at, class, message, fingerprint)
                   SELECT to_timestamp(enqueued_at / 1000.0::float8), key, attempt, to_timestamp(told_at / 1000.0::float8), class,
                       message, fingerprint FROM new
                   ON CONFLICT DO NOTHING RETURNING enqueued_at, key, attempt, at, fingerprint
               ), told AS (
                   SELECT added.at, new.* FROM added JOIN new ON added.key = new.key AND added.attempt = new.attempt
                       AND added.enqueued_at = to_timestamp(new.enqueued_at / 1000.0::float8)
               ), counted AS (
                   INSERT INTO lovage.failure_counts AS known (fingerprint, day, version, count)
                   SELECT fingerprint, (told.at AT TIME ZONE 'UTC')::date, version, count(*) FROM told
                   GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
                   ON CONFLICT (fingerprint, day, version) DO UPDATE SET count = known.count + excluded.count
               ), grouped AS (
                   INSERT INTO lovage.failure_groups AS known (fingerprint, kind, class, title, first_seen, last_seen)
                   SELECT fingerprint, min(kind), min(class), min(title), min(told.at), max(told.at) FROM told
                   GROUP BY 1 ORDER BY 1
                   ON CONFLICT (fingerprint) DO UPDATE SET first_seen = least(known.first_seen, excluded.first_seen),
                       last_seen = greatest(known.last_seen, excluded.last_seen)
               )
               SELECT count(*) FROM added";
    let added: i64 = query_scalar(sql)
        .bind(all(rows, |row| millis(row.enqueued_at)))
        .bind(all(rows, |row| row.key))
        .bind(all(rows, |row| small(row.attempt)))
        .bind(all(rows, |row| millis(row.at)))
        .bind(all(rows, |row| row.class.name()))
        .bind(all(rows, |row| row.message.as_str()))
        .bind(all(rows, |row| row.fingerprint.to_bits() as i64))
        .bind(all(rows, |row| row.title.as_str()))
        .bind(all(rows, |row| row.kind.as_str()))
        .bind(all(rows, |row| row.version.as_str()))
        .fetch_one(connection)
        .await?;
    Ok(added as u64)
}

async fn artifacts(connection: &mut PgConnection, rows: &[ArtifactRow]) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO lovage.job_artifacts (enqueued_at, key, object_key, attempt, name, files, rows, bytes, sha256)
               SELECT to_timestamp(enqueued_at / 1000.0::float8), key, object_key, attempt, name, files, rows, bytes, sha256
               FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::bigint[],
                   $8::bigint[], $9::text[])
                   AS new (enqueued_at, key, object_key, attempt, name, files, rows, bytes, sha256)
               ON CONFLICT DO NOTHING";
    query(sql)
        .bind(all(rows, |row| millis(row.enqueued_at)))
        .bind(all(rows, |row| row.key))
        .bind(all(rows, |row| row.artifact.object_key.as_str()))
        .bind(all(rows, |row| small(row.artifact.attempt)))
        .bind(all(rows, |row| row.artifact.name.as_str()))
        .bind(all(rows, |row| small(row.artifact.files)))
        .bind(all(rows, |row| row.artifact.rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX))))
        .bind(all(rows, |row| i64::try_from(row.artifact.bytes).unwrap_or(i64::MAX)))
        .bind(all(rows, |row| row.artifact.sha256.as_str()))
        .execute(connection)
        .await
        .map(drop)
}
