//! Looking at jobs and queues. Each call reads one settled state; the writer is never in its way.

use std::collections::HashMap;

use lovage_core::limits::MAX_PAGE;
use lovage_core::{
    JobId, JobSpec, JobView, LogLine, PastError, Priority, QUEUE_VIEW_FLOWS, QueueName, QueueView, State, Timestamp,
    WorkerView,
};
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::bulk::Cursor;
use super::fault::Fault;
use super::flow_view::flow_views;
use super::line::{placed_at, read_counts, read_pause};
use super::row::{ROW_COLUMNS, Row, code, row_columns, second_code};
use crate::api::{JobPage, ListQuery, LogPage};

/// A worker is listed for so long after its last heartbeat.
const LISTED_MS: i64 = 60_000;

/// The columns of a view: those of a [`Row`], then its own.
macro_rules! view_columns {
    () => {
        concat!(row_columns!(), ", queue.name, job.enqueued_at, job.started_at, job.progress, job.result, spec.text")
    };
}

/// A job by id, in one queue or in whichever has it.
pub(super) async fn job(readers: &SqlitePool, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>, Fault> {
    find(&mut *readers.begin().await?, queue, id).await
}

/// As [`job`], inside a transaction.
pub(super) async fn find(
    conn: &mut SqliteConnection,
    queue: Option<&QueueName>,
    id: &JobId,
) -> Result<Option<JobView>, Fault> {
    let sql = concat!(
        "SELECT ",
        view_columns!(),
        " FROM job JOIN queue ON queue.key = job.queue LEFT JOIN spec ON spec.seq = job.seq \
         WHERE job.id = ?1 AND (?2 IS NULL OR queue.name = ?2) ORDER BY queue.name LIMIT 1"
    );
    let row = sqlx::query(sql).bind(id.as_str()).bind(queue.map(QueueName::as_str)).fetch_optional(&mut *conn).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(views(conn, &[row]).await?.pop())
}

/// The jobs of a queue with these ids, in their order.
pub(super) async fn jobs(readers: &SqlitePool, queue: &QueueName, ids: &[&JobId]) -> Result<Vec<JobView>, Fault> {
    let sql = concat!(
        "SELECT ",
        view_columns!(),
        " FROM queue CROSS JOIN json_each(?2) AS wanted CROSS JOIN job ON job.id = wanted.value AND job.queue = queue.key \
         LEFT JOIN spec ON spec.seq = job.seq WHERE queue.name = ?1 ORDER BY wanted.key"
    );
    let mut tx = readers.begin().await?;
    let query = sqlx::query(sql).bind(queue.as_str()).bind(serde_json::to_string(ids)?);
    let rows = query.fetch_all(&mut *tx).await?;
    views(&mut tx, &rows).await
}

/// A page of a state.
pub(super) async fn list(readers: &SqlitePool, query: &ListQuery) -> Result<JobPage, Fault> {
    let limit = query.limit.clamp(1, MAX_PAGE);
    let newest_first = query.state.is_final();
    let sql = if newest_first {
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM queue CROSS JOIN job ON job.queue = queue.key LEFT JOIN spec ON spec.seq = job.seq \
             WHERE queue.name = ?1 AND job.state = ?2 AND (job.sort, job.id) < (?3, ?4) \
             ORDER BY job.sort DESC, job.id DESC LIMIT ?5 + 0"
        )
    } else {
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM queue CROSS JOIN job ON job.seq IN (SELECT seq FROM (SELECT * FROM (SELECT seq, sort, id FROM job \
             WHERE queue = queue.key AND state = ?2 AND (sort, id) > (?3, ?4) ORDER BY sort, id LIMIT ?5 + 0) \
             UNION ALL SELECT * FROM (SELECT seq, sort, id FROM job WHERE queue = queue.key AND state = ?6 \
             AND (sort, id) > (?3, ?4) ORDER BY sort, id LIMIT ?5 + 0)) ORDER BY sort, id LIMIT ?5 + 0) \
             LEFT JOIN spec ON spec.seq = job.seq WHERE queue.name = ?1 ORDER BY job.sort, job.id"
        )
    };
    let from = match &query.cursor {
        Some(cursor) => Cursor::parse(cursor)?,
        None if newest_first => Cursor { sort: i64::MAX, id: String::new() },
        None => Cursor::start(),
    };
    let mut tx = readers.begin().await?;
    // One more than asked for tells whether there is a next page.
    let mut rows = sqlx::query(sql)
        .bind(query.queue.as_str())
        .bind(code(query.state))
        .bind(from.sort)
        .bind(from.id)
        .bind(limit as i64 + 1)
        .bind(second_code(query.state))
        .fetch_all(&mut *tx)
        .await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = match rows.last() {
        Some(row) if has_more => Some(Cursor { sort: row.try_get(3)?, id: row.try_get(1)? }.text()),
        _ => None,
    };
    Ok(JobPage { jobs: views(&mut tx, &rows).await?, next })
}

/// Rows with their errors.
async fn views(conn: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<JobView>, Fault> {
    let seqs = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let sql = "SELECT error.job, error.body FROM json_each(?1) AS wanted CROSS JOIN error ON error.job = wanted.value \
               ORDER BY error.job, error.attempt";
    let mut errors = HashMap::<i64, Vec<PastError>>::new();
    for row in sqlx::query(sql).bind(serde_json::to_string(&seqs)?).fetch_all(conn).await? {
        let past = serde_json::from_str(row.try_get(1)?)?;
        errors.entry(row.try_get(0)?).or_default().push(past);
    }
    rows.iter().zip(seqs).map(|(row, seq)| view(row, errors.remove(&seq).unwrap_or_default())).collect()
}

fn view(row: &SqliteRow, errors: Vec<PastError>) -> Result<JobView, Fault> {
    let job = Row::read(row)?;
    let own = |column: usize| ROW_COLUMNS + column;
    let instant = |at: Option<i64>| at.map(|at| Timestamp::from_millis(at as u64));
    let name: String = row.try_get(own(0))?;
    let queue = name.parse().map_err(|error| Fault::Unreadable(format!("a stored queue name: {error}")))?;
    let progress: Option<String> = row.try_get(own(3))?;
    let result: Option<String> = row.try_get(own(4))?;
    // What cannot be read is shown as far as it can.
    let text: Option<String> = row.try_get(own(5))?;
    let spec = text.and_then(|text| JobSpec::decode(&text).ok());
    let retry = spec.as_ref().and_then(|spec| spec.retry.clone());
    let timeout_ms = spec.as_ref().and_then(|spec| spec.timeout_ms);
    let (kind, args, tenant, key, tags, metadata) = match spec {
        Some(spec) => (Some(spec.kind), Some(spec.args), spec.tenant, spec.key, spec.tags, spec.metadata),
        None => Default::default(),
    };
    let is_due = matches!(job.state, State::Scheduled | State::Retryable);
    let worker = job.worker();
    Ok(JobView {
        id: job.id,
        queue,
        state: job.state,
        kind,
        args,
        priority: Priority::try_from(i64::from(job.priority)).unwrap_or_default(),
        tenant,
        key,
        tags,
        metadata,
        attempt: job.attempt,
        failed: job.failed,
        max_attempts: retry.as_ref().map(|policy| policy.max_attempts),
        retry,
        timeout_ms,
        lost: job.lost,
        enqueued_at: instant(row.try_get(own(1))?).unwrap_or_default(),
        since: instant(Some(job.since)).unwrap_or_default(),
        due_at: instant(is_due.then_some(job.sort)),
        expires_at: instant(job.expires_at),
        started_at: instant(row.try_get(own(2))?),
        lease_until: instant((job.state == State::Running).then_some(job.sort)),
        worker,
        cancel_requested: job.cancel_requested,
        reason: job.reason,
        progress: progress.and_then(|progress| serde_json::from_str(&progress).ok()),
        result: result.and_then(|result| RawValue::from_string(result).ok()),
        errors,
    })
}

/// The log lines of a job after a cursor.
pub(super) async fn logs(
    readers: &SqlitePool,
    queue: &QueueName,
    id: &JobId,
    after: Option<&str>,
) -> Result<LogPage, Fault> {
    let from = after.map_or(Ok(0), super::events::number)?;
    let sql = "SELECT log.n, log.body FROM queue CROSS JOIN job ON job.id = ?2 AND job.queue = queue.key \
               CROSS JOIN log ON log.job = job.seq WHERE queue.name = ?1 AND log.n > ?3 ORDER BY log.n";
    let rows = sqlx::query(sql).bind(queue.as_str()).bind(id.as_str()).bind(from).fetch_all(readers).await?;
    let next = match rows.last() {
        Some(row) => Some(row.try_get::<i64, _>(0)?.to_string()),
        None => after.map(str::to_owned),
    };
    let lines = rows.iter().map(|row| Ok(serde_json::from_str(row.try_get(1)?)?));
    Ok(LogPage { lines: lines.collect::<Result<Vec<LogLine>, Fault>>()?, next })
}

/// One queue, or all of them by name.
pub(super) async fn queues(
    readers: &SqlitePool,
    queue: Option<&QueueName>,
    now: Timestamp,
) -> Result<Vec<QueueView>, Fault> {
    // Places grow within a priority, so the oldest job is at the head of one of the ten.
    let sql = "WITH RECURSIVE level (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM level WHERE n < 9), \
               code (state) AS (VALUES (1), (7)) SELECT name, scheduled, available, running, retryable, completed, cancelled, discarded, paused_by, \
               paused_why, paused_since, paused_until, CASE WHEN available > 0 THEN (SELECT min((SELECT min(sort) \
               FROM job WHERE job.queue = queue.key AND job.state = code.state AND sort >= n << 49 AND sort < (n + 1) << 49) \
               - (n << 49)) FROM level, code) END, key, rules > 0 OR paused_since IS NOT NULL FROM queue WHERE ?1 IS NULL OR name = ?1 ORDER BY name";
    let mut tx = readers.begin().await?;
    let rows = sqlx::query(sql).bind(queue.map(QueueName::as_str)).fetch_all(&mut *tx).await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut view = queue_view(row, now)?;
        if row.try_get(14)? {
            view.flow = flow_views(&mut tx, row.try_get(13)?, "", QUEUE_VIEW_FLOWS, now).await?;
        }
        views.push(view);
    }
    Ok(views)
}

fn queue_view(row: &SqliteRow, now: Timestamp) -> Result<QueueView, Fault> {
    let name: String = row.try_get(0)?;
    let oldest: Option<i64> = row.try_get(12)?;
    Ok(QueueView {
        name: name.parse().map_err(|error| Fault::Unreadable(format!("a stored queue name: {error}")))?,
        counts: read_counts(row, 1)?,
        oldest_available_ms: oldest.map(|place| now.since(placed_at(place)).as_millis() as u64),
        paused: read_pause(row, 8)?.filter(|pause| pause.until.is_none_or(|until| until > now)),
        flow: Vec::new(),
    })
}

/// Workers heard of lately.
pub(super) async fn workers(readers: &SqlitePool, now: Timestamp) -> Result<Vec<WorkerView>, Fault> {
    let sql = "SELECT body, seen_at FROM worker WHERE seen_at >= ?1 ORDER BY id";
    let rows = sqlx::query(sql).bind(now.as_millis() as i64 - LISTED_MS).fetch_all(readers).await?;
    rows.iter()
        .map(|row| {
            let mut view: WorkerView = serde_json::from_str(row.try_get(0)?)?;
            view.seen_at = Timestamp::from_millis(row.try_get::<i64, _>(1)? as u64);
            Ok(view)
        })
        .collect()
}
