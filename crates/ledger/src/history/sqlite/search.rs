//! Searching: windows of jobs from the newest to the oldest, of which the filter itself says which it means.
//!
//! That is enough for what one file holds, and needs no index to be written with each job.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use lovage_core::filter::{Facts, Filter, KindPattern, Test};
use lovage_core::limits::MAX_SEARCHED_ARGUMENTS;
use lovage_core::{Fingerprint, JobView, Timestamp, WorkerId};
use sqlx::sqlite::{Sqlite, SqlitePool};
use sqlx::{QueryBuilder, query};
use tokio::time::Instant;

use super::super::cursor::Cursor;
use super::super::search::{Found, Looked, Search, Span, ids};
use super::super::stored::{self, Stored, Values as _, millis};
use super::{JOB, json, places, read};
use crate::error::LedgerError;

/// Jobs of a window.
const WINDOW: u32 = 1_000;

pub(in super::super) async fn search(pool: &SqlitePool, search: &Search<'_>) -> Result<Found, LedgerError> {
    let limit = search.limit()?;
    let span = search.span()?;
    let found = async {
        let looked = look(pool, search, span, limit).await?;
        let answer = looked.answer(limit);
        Ok(Found { jobs: read::with_attempts(pool, looked.jobs).await?, ..answer })
    };
    found.await.map_err(|error: sqlx::Error| LedgerError::of(&error))
}

async fn look(pool: &SqlitePool, search: &Search<'_>, span: Span, limit: usize) -> Result<Looked, sqlx::Error> {
    let until = Instant::now() + search.patience;
    let asked = Asked::of(search.filter);
    let mut looked = Looked::default();
    let mut at = span.before;
    loop {
        let left = limit - looked.jobs.len();
        let edge = if asked.ids.is_some() { None } else { edge(pool, span.from, at).await? };
        let window = window(pool, &asked, (edge, span.from, at), left).await?;
        // Of ids there is no edge to be known before: their windows end with what they have.
        let is_whole = asked.ids.is_none() || window.seen < WINDOW;
        let edge = if is_whole { edge } else { window.last };
        looked.jobs.extend(asked.meant(pool, window.jobs).await?.into_iter().take(left));
        let Some(edge) = edge.filter(|_| looked.jobs.len() < limit) else { return Ok(looked) };
        at = edge;
        if until <= Instant::now() {
            return Ok(Looked { to: Some(at), ..looked });
        }
    }
}

/// What a window has.
#[derive(Default)]
struct Window {
    /// Jobs that the filter means as far as their own row says it.
    jobs: Vec<Stored>,
    /// Rows that were read.
    seen: u32,
    last: Option<Cursor>,
}

/// The place of the last job of a window from `at` down to `from`; nothing if there are no more than it has.
async fn edge(pool: &SqlitePool, from: Timestamp, at: Cursor) -> Result<Option<Cursor>, sqlx::Error> {
    let sql = "SELECT enqueued_at, key FROM jobs WHERE (enqueued_at, key) < (?, ?) AND enqueued_at >= ?
               ORDER BY enqueued_at DESC, key DESC LIMIT 1 OFFSET ?";
    let edge = query(sql).bind(millis(at.enqueued_at)).bind(at.key).bind(millis(from)).bind(WINDOW - 1);
    edge.fetch_optional(pool).await?.as_ref().map(stored::cursor).transpose()
}

/// The jobs of a window, from before `at` to its edge; no more than `most` if each of them is an answer.
async fn window(
    pool: &SqlitePool,
    asked: &Asked<'_>,
    (edge, from, at): (Option<Cursor>, Timestamp, Cursor),
    most: usize,
) -> Result<Window, sqlx::Error> {
    let edge = edge.unwrap_or(Cursor { enqueued_at: from, key: i64::MIN });
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {JOB} FROM jobs "));
    if let Some(ids) = &asked.ids {
        sql.push("INDEXED BY jobs_id WHERE id IN (SELECT value FROM json_each(").push_bind(json(ids)?).push(")) AND ");
    } else {
        sql.push("WHERE ");
    }
    sql.push("(enqueued_at, key) < (").push_bind(millis(at.enqueued_at)).push(", ").push_bind(at.key).push(")");
    sql.push(" AND (enqueued_at, key) >= (").push_bind(millis(edge.enqueued_at)).push(", ").push_bind(edge.key);
    sql.push(")");
    for (column, names) in &asked.columns {
        sql.push(" AND ").push(*column).push(" IN (SELECT value FROM json_each(").push_bind(json(names)?).push("))");
    }
    sql.push(" ORDER BY enqueued_at DESC, key DESC LIMIT ").push_bind(WINDOW);
    let mut window = Window::default();
    let mut rows = sql.build().fetch(pool);
    while let Some(row) = rows.try_next().await? {
        let stored = stored::job(&row)?;
        window.seen += 1;
        window.last = Some(stored.cursor);
        if asked.own.matches(&facts(&stored.job, &Seen::default())) {
            window.jobs.push(stored);
        }
        if window.jobs.len() >= most && !asked.of_attempts {
            break;
        }
    }
    Ok(window)
}

/// A filter by what answers it.
struct Asked<'a> {
    whole: &'a Filter,
    /// The clauses that a job's own row answers.
    own: Filter,
    /// Whether there are others.
    of_attempts: bool,
    /// Ids, if they are named.
    ids: Option<Vec<String>>,
    /// Columns that must have one of these values: what SQL tells as exactly as the filter, before a row is read.
    columns: Vec<(&'static str, Vec<&'a str>)>,
}

impl<'a> Asked<'a> {
    fn of(filter: &'a Filter) -> Self {
        let of_attempts = |test: &Test| matches!(test, Test::Worker(_) | Test::Failure(_) | Test::Error(_));
        let own = filter.clauses.iter().filter(|clause| !of_attempts(&clause.test)).cloned().collect();
        let positive = filter.clauses.iter().filter(|clause| !clause.negated);
        Self {
            whole: filter,
            own: Filter { clauses: own },
            of_attempts: filter.clauses.iter().any(|clause| of_attempts(&clause.test)),
            ids: ids(filter),
            columns: positive.filter_map(|clause| column(&clause.test)).collect(),
        }
    }

    /// Those of a window's jobs that the whole filter means.
    async fn meant(&self, pool: &SqlitePool, mut jobs: Vec<Stored>) -> Result<Vec<Stored>, sqlx::Error> {
        if self.of_attempts && !jobs.is_empty() {
            let mut seen = seen(pool, &jobs).await?;
            jobs.retain(|stored| {
                self.whole.matches(&facts(&stored.job, &seen.remove(&stored.cursor).unwrap_or_default()))
            });
        }
        Ok(jobs)
    }
}

fn column<'a>(test: &'a Test) -> Option<(&'static str, Vec<&'a str>)> {
    match test {
        Test::State(states) => Some(("state", states.iter().map(|state| state.name()).collect())),
        Test::Queue(queues) => Some(("queue", queues.iter().map(lovage_core::QueueName::as_str).collect())),
        Test::Kind(patterns) => {
            let name = |pattern: &'a KindPattern| match pattern {
                KindPattern::Exact(kind) => Some(kind.as_str()),
                KindPattern::Prefix(_) => None,
            };
            Some(("kind", patterns.iter().map(name).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// What the attempts of a job tell of it.
#[derive(Default)]
struct Seen {
    workers: Vec<WorkerId>,
    failures: Vec<Fingerprint>,
    errors: Vec<String>,
}

async fn seen(pool: &SqlitePool, jobs: &[Stored]) -> Result<HashMap<Cursor, Seen>, sqlx::Error> {
    let sql = "SELECT enqueued_at, key, worker, fingerprint, message
               FROM (SELECT value AS asked FROM json_each(?1)) CROSS JOIN job_attempts
                   ON enqueued_at = asked ->> 0 AND key = asked ->> 1
                   LEFT JOIN job_failures USING (enqueued_at, key, attempt)";
    let mut seen: HashMap<Cursor, Seen> = jobs.iter().map(|stored| (stored.cursor, of_row(&stored.job))).collect();
    let rows = query(sql).bind(places(jobs.iter().map(|stored| stored.cursor))?).fetch_all(pool).await?;
    for row in &rows {
        let Some(seen) = seen.get_mut(&stored::cursor(row)?) else { continue };
        seen.workers.extend(row.text(2)?.and_then(|worker| worker.parse().ok()));
        seen.failures.extend(row.number(3)?.map(|bits| Fingerprint::from_bits(bits as u64)));
        seen.errors.extend(row.text(4)?);
    }
    Ok(seen)
}

/// What is known of a job's attempts without asking for them.
fn of_row(job: &JobView) -> Seen {
    Seen { workers: job.worker.iter().cloned().collect(), ..Seen::default() }
}

fn facts<'a>(job: &'a JobView, seen: &'a Seen) -> Facts<'a> {
    Facts {
        id: &job.id,
        state: job.state,
        queue: &job.queue,
        kind: job.kind.as_ref(),
        tenant: job.tenant.as_ref(),
        tags: &job.tags,
        workers: &seen.workers,
        reason: job.reason,
        failures: &seen.failures,
        errors: &seen.errors,
        attempt: job.attempt,
        created: job.enqueued_at,
        ended: Some(job.since).filter(|_| job.state.is_final()),
        args: job.args.as_ref().map(|args| args.get()),
        most_leaves: MAX_SEARCHED_ARGUMENTS,
    }
}
