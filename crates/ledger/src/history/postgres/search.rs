//! Searching: a walk over the newest jobs, and the index for what the walk does not find.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::filter::Filter;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Executor as _, Postgres, QueryBuilder, query};
use tokio::time::Instant;

use super::super::cursor::Cursor;
use super::super::search::{Found, Looked, Search, Span, ids};
use super::super::stored::{self, millis};
use super::{JOB, kinds, read, terms};
use crate::error::LedgerError;

/// Jobs that a walk looks at, and the longer walks that follow once a search where the index would have more jobs to fetch than
/// they look at: what is common, but not among the newest.
const WALK: i64 = 2_000;
const LONGER_WALKS: [i64; 2] = [16_000, 128_000];

/// What the server is told for a walk, and what [`by_index`] tells it otherwise: by its own guess of how many jobs have several
/// terms together it would take the one for the other. Starting workers takes longer than a step does.
const WALKING: &str =
    "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off;
                       SET LOCAL max_parallel_workers_per_gather = 0";

pub(in super::super) async fn search(pool: &PgPool, search: &Search<'_>) -> Result<Found, LedgerError> {
    let limit = search.limit()?;
    let span = search.span()?;
    let failed = |error: sqlx::Error| LedgerError::of(&error);
    let looked = match ids(search.filter) {
        Some(ids) => by_id(pool, search.filter, span, limit, ids).await.map_err(failed)?,
        None => look(pool, search, span, limit).await.map_err(failed)?,
    };
    let answer = looked.answer(limit);
    Ok(Found { jobs: read::with_attempts(pool, looked.jobs).await.map_err(failed)?, ..answer })
}

async fn by_id(
    pool: &PgPool,
    filter: &Filter,
    span: Span,
    limit: usize,
    ids: Vec<String>,
) -> Result<Looked, sqlx::Error> {
    let mut sql = select();
    sql.push("id = ANY(").push_bind(ids).push(") AND ");
    push_span(&mut sql, span.from, span.before);
    terms::push(&mut sql, filter);
    sql.push(" ORDER BY enqueued_at DESC, key DESC LIMIT ").push_bind(limit as i64);
    let rows = sql.build().persistent(false).fetch_all(pool).await?;
    let mut looked = Looked::default();
    add(&mut looked, &rows);
    Ok(looked)
}

async fn look(pool: &PgPool, search: &Search<'_>, span: Span, limit: usize) -> Result<Looked, sqlx::Error> {
    let until = Instant::now() + search.patience;
    let mut looked = Looked::default();
    let Some(filter) = kinds::named(pool, search.filter).await? else { return Ok(looked) };
    let mut indexed = terms::is_indexed(&filter);
    let mut longer = LONGER_WALKS.into_iter().peekable();
    let mut at = span.before;
    // All steps see the same jobs, so that none is passed over or answered twice between them.
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let months = months(&mut transaction, span).await?;
    for (number, month) in (1..).zip(&months) {
        let from = span.from.max(*month);
        let left = |looked: &Looked| limit - looked.jobs.len();
        transaction.execute(WALKING).await?;
        let mut size = WALK;
        loop {
            let rows = walk(&mut transaction, &filter, (from, at), size, left(&looked)).await?;
            add(&mut looked, &rows);
            if looked.jobs.len() >= limit {
                return Ok(looked);
            }
            let Some(edge) = edge(&mut transaction, (from, at), size).await? else { break };
            at = edge;
            let patience = until.saturating_duration_since(Instant::now());
            if patience.is_zero() {
                return Ok(Looked { to: Some(at), ..looked });
            }
            if !indexed {
                size = (size * 2).min(LONGER_WALKS[0]);
                continue;
            }
            if let Some(next) = longer.peek()
                && guess(&mut transaction, &filter, (from, at)).await? > *next
            {
                size = longer.next().unwrap_or(WALK);
                continue;
            }
            // Half of it: where many jobs have the terms and few the rest, the walk comes farther.
            let rows = by_index(&mut transaction, &filter, (from, at), left(&looked), patience / 2).await?;
            if let Some(rows) = rows {
                add(&mut looked, &rows);
                break;
            }
            indexed = false;
        }
        if looked.jobs.len() >= limit {
            return Ok(looked);
        }
        at = at.min(Cursor { enqueued_at: from, key: i64::MIN });
        if number < months.len() && until <= Instant::now() {
            return Ok(Looked { to: Some(at), ..looked });
        }
    }
    Ok(looked)
}

/// Adds what was found. A row that is none of ours, or of a newer release, is passed over.
fn add(looked: &mut Looked, rows: &[PgRow]) {
    looked.jobs.extend(rows.iter().filter_map(|row| stored::job(row).ok()));
}

/// The first instants of the months that have a part of the span, the latest first.
async fn months(connection: &mut PgConnection, span: Span) -> Result<Vec<Timestamp>, sqlx::Error> {
    let sql = r"SELECT (extract(epoch FROM
                   make_timestamptz(substr(relname, 6, 4)::int, substr(relname, 11)::int, 1, 0, 0, 0, 'UTC')) * 1000)::bigint
               FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'lovage.jobs'::regclass AND relname ~ '^jobs_\d{4}_\d\d$' ORDER BY relname DESC";
    let mut months: Vec<Timestamp> = Vec::new();
    for row in query(sql).fetch_all(connection).await? {
        let first = stored::instant(&row, 0)?.unwrap_or_default();
        if span.before <= (Cursor { enqueued_at: first, key: i64::MIN }) {
            continue;
        }
        months.push(first);
        if first <= span.from {
            break;
        }
    }
    Ok(months)
}

/// The place of the last job of a walk from `at` down to `from`; nothing if the walk comes to its end before.
async fn edge(
    connection: &mut PgConnection,
    (from, at): (Timestamp, Cursor),
    size: i64,
) -> Result<Option<Cursor>, sqlx::Error> {
    let mut sql =
        QueryBuilder::new("SELECT (extract(epoch FROM enqueued_at) * 1000)::bigint, key FROM lovage.jobs WHERE ");
    push_span(&mut sql, from, at);
    sql.push(" ORDER BY enqueued_at DESC, key DESC OFFSET ").push_bind(size - 1).push(" LIMIT 1");
    let edge = sql.build().persistent(false).fetch_optional(connection).await?;
    edge.as_ref().map(stored::cursor).transpose()
}

/// Those of the newest `size` jobs between two places that the filter means.
async fn walk(
    connection: &mut PgConnection,
    filter: &Filter,
    (from, at): (Timestamp, Cursor),
    size: i64,
    limit: usize,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut sql = QueryBuilder::new(format!("SELECT {JOB} FROM (SELECT * FROM lovage.jobs WHERE "));
    push_span(&mut sql, from, at);
    sql.push(" ORDER BY enqueued_at DESC, key DESC LIMIT ").push_bind(size).push(") AS newest WHERE true");
    terms::push(&mut sql, filter);
    sql.push(" ORDER BY enqueued_at DESC, key DESC LIMIT ").push_bind(limit as i64);
    sql.build().persistent(false).fetch_all(connection).await
}

/// How many jobs from an instant to a place the server takes the filter to mean, by its statistics of how common terms are.
async fn guess(
    connection: &mut PgConnection,
    filter: &Filter,
    (from, at): (Timestamp, Cursor),
) -> Result<i64, sqlx::Error> {
    let mut sql = QueryBuilder::new("EXPLAIN SELECT 1 FROM lovage.jobs WHERE ");
    push_span(&mut sql, from, at);
    terms::push(&mut sql, filter);
    let plan: String = sql.build_query_scalar().persistent(false).fetch_one(connection).await?;
    let rows = plan.split_once(" rows=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    Ok(rows.unwrap_or_default())
}

/// The jobs from an instant to a place that the filter means, found by their terms; nothing if it takes longer than `patience`.
async fn by_index(
    connection: &mut PgConnection,
    filter: &Filter,
    (from, at): (Timestamp, Cursor),
    limit: usize,
    patience: Duration,
) -> Result<Option<Vec<PgRow>>, sqlx::Error> {
    let settings = format!(
        "SAVEPOINT before; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL statement_timeout = {}",
        patience.as_millis().max(1)
    );
    connection.execute(sqlx::AssertSqlSafe(settings)).await?;
    let mut sql = select();
    push_span(&mut sql, from, at);
    terms::push(&mut sql, filter);
    sql.push(" ORDER BY enqueued_at DESC, key DESC LIMIT ").push_bind(limit as i64);
    match sql.build().persistent(false).fetch_all(&mut *connection).await {
        Ok(rows) => {
            connection.execute("RELEASE before; SET LOCAL statement_timeout = '60s'").await?;
            Ok(Some(rows))
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57014") => {
            connection.execute("ROLLBACK TO before").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("SELECT {JOB} FROM lovage.jobs WHERE "))
}

/// The jobs from an instant to before a place. The end is told twice: by a comparison of rows alone no month is left out.
fn push_span(sql: &mut QueryBuilder<Postgres>, from: Timestamp, at: Cursor) {
    sql.push("enqueued_at >= to_timestamp(").push_bind(millis(from)).push(" / 1000.0::float8)");
    sql.push(" AND enqueued_at <= to_timestamp(").push_bind(millis(at.enqueued_at)).push(" / 1000.0::float8)");
    sql.push(" AND (enqueued_at, key) < (to_timestamp(").push_bind(millis(at.enqueued_at));
    sql.push(" / 1000.0::float8), ").push_bind(at.key).push(")");
}
