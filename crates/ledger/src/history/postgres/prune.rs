//! Removing old history, slice by slice; a month goes when nothing is left of it.

use lovage_core::Timestamp;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor as _, query, query_scalar};

use super::super::retention::{PrunedJobs, SLICE};
use super::super::stored::millis;
use super::Months;
use crate::error::LedgerError;

/// The tables that are divided by months.
const TABLES: [&str; 4] = ["jobs", "job_attempts", "job_failures", "job_artifacts"];
/// How long the end of a month waits for those who use the tables, in milliseconds.
const LOCK_PATIENCE_MS: u32 = 500;

pub(in super::super) async fn prune(
    pool: &PgPool,
    months: &Months,
    before: Timestamp,
) -> Result<PrunedJobs, LedgerError> {
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let before = millis(before);
    let jobs = slice(pool, before).await.map_err(failed)?;
    if jobs as i64 == SLICE {
        return Ok(PrunedJobs { jobs, failures: 0, more: true });
    }
    let failures = counts(pool, before).await.map_err(failed)?;
    for month in past_months(pool, before).await.map_err(failed)? {
        match drop_if_empty(pool, &month).await {
            Err(error) if is_busy_or_gone(&error) => {}
            result => result.map_err(failed)?,
        }
        months.forget();
    }
    Ok(PrunedJobs { jobs, failures, more: false })
}

/// Removes the oldest jobs that have ended, or were gone, before that.
async fn slice(pool: &PgPool, before: i64) -> Result<u64, sqlx::Error> {
    let sql = "WITH old AS MATERIALIZED (
                   SELECT enqueued_at, key FROM lovage.jobs
                   WHERE enqueued_at < to_timestamp($1 / 1000.0::float8) AND since < to_timestamp($1 / 1000.0::float8)
                       AND (state IN ('completed', 'cancelled', 'discarded') OR gone_at < to_timestamp($1 / 1000.0::float8))
                   ORDER BY enqueued_at, key LIMIT $2
               ), attempts AS (
                   DELETE FROM lovage.job_attempts USING old
                   WHERE job_attempts.enqueued_at = old.enqueued_at AND job_attempts.key = old.key
               ), failures AS (
                   DELETE FROM lovage.job_failures USING old
                   WHERE job_failures.enqueued_at = old.enqueued_at AND job_failures.key = old.key
               ), artifacts AS (
                   DELETE FROM lovage.job_artifacts USING old
                   WHERE job_artifacts.enqueued_at = old.enqueued_at AND job_artifacts.key = old.key
               )
               DELETE FROM lovage.jobs USING old WHERE jobs.enqueued_at = old.enqueued_at AND jobs.key = old.key";
    Ok(query(sql).persistent(false).bind(before).bind(SLICE).execute(pool).await?.rows_affected())
}

/// Removes groups that nothing was added to since, and what was counted of them or on days before that.
async fn counts(pool: &PgPool, before: i64) -> Result<u64, sqlx::Error> {
    // What is added to a group meanwhile waits, or has kept it.
    let mut transaction = pool.begin().await?;
    let sql =
        "DELETE FROM lovage.failure_groups WHERE last_seen < to_timestamp($1 / 1000.0::float8) RETURNING fingerprint";
    let gone: Vec<i64> = query_scalar(sql).bind(before).fetch_all(&mut *transaction).await?;
    let sql = "DELETE FROM lovage.failure_counts WHERE fingerprint = ANY($2)
                   OR day < (to_timestamp($1 / 1000.0::float8) AT TIME ZONE 'UTC')::date";
    query(sql).bind(before).bind(&gone).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(gone.len() as u64)
}

/// The names of the months that were over then, as tables end with them.
async fn past_months(pool: &PgPool, before: i64) -> Result<Vec<String>, sqlx::Error> {
    let sql = r"SELECT right(relname, 7) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'lovage.jobs'::regclass AND relname ~ '^jobs_\d{4}_\d\d$'
                   AND right(relname, 7) < to_char(to_timestamp($1 / 1000.0::float8) AT TIME ZONE 'UTC', 'YYYY_MM')";
    query_scalar(sql).bind(before).fetch_all(pool).await
}

/// Whether the tables are in use for long, or somebody else has removed the month.
fn is_busy_or_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "42P01"))
}

async fn drop_if_empty(pool: &PgPool, month: &str) -> Result<(), sqlx::Error> {
    // `month` is digits and a line, by the pattern above.
    let is_used = || AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM lovage.jobs_{month})"));
    if query_scalar::<_, bool>(is_used()).fetch_one(pool).await? {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    query("SELECT pg_advisory_xact_lock(hashtext('lovage.add_month'))").execute(&mut *transaction).await?;
    // All that use the tables wait while this waits for a long search, so it gives up soon and is done another time. Writers
    // take the tables in the same order.
    transaction.execute(AssertSqlSafe(format!("SET LOCAL lock_timeout = {LOCK_PATIENCE_MS}"))).await?;
    for table in TABLES {
        let lock = AssertSqlSafe(format!("LOCK TABLE lovage.{table} IN ACCESS EXCLUSIVE MODE"));
        query(lock).execute(&mut *transaction).await?;
    }
    // Somebody may have written into it since the first look.
    if !query_scalar::<_, bool>(is_used()).fetch_one(&mut *transaction).await? {
        for table in TABLES {
            let sql = AssertSqlSafe(format!("DROP TABLE IF EXISTS lovage.{table}_{month}"));
            query(sql).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}
