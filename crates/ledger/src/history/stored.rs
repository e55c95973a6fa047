//! Rows of either database as jobs and attempts. Both select the same columns in the same order: times as milliseconds, lists
//! as JSON.

use lovage_core::history::{AttemptRecord, JobRecord, Outcome, RecordedError};
use lovage_core::{DiscardReason, ErrorClass, JobView, PastError, Priority, State, Timestamp};
use sqlx::{ColumnIndex, Decode, Row, Type};

use super::cursor::Cursor;
use super::more;

/// A job without what stands in other tables.
#[derive(Debug)]
pub(super) struct Stored {
    pub cursor: Cursor,
    pub job: JobView,
    pub gone_at: Option<Timestamp>,
}

/// Reads values of one database's rows.
pub(crate) trait Values {
    fn number(&self, index: usize) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error>;
}

impl<R: Row> Values for R
where
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn number(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(index)
    }

    fn text(&self, index: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get(index)
    }
}

/// A value that is none of ours.
fn unreadable(what: &str, value: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{value:?} is no {what}").into())
}

fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, sqlx::Error> {
    text.parse().map_err(|_| unreadable(what, text))
}

fn required<T: std::str::FromStr>(row: &impl Values, index: usize, what: &str) -> Result<T, sqlx::Error> {
    parsed(what, &row.text(index)?.unwrap_or_default())
}

fn optional<T: std::str::FromStr>(row: &impl Values, index: usize, what: &str) -> Result<Option<T>, sqlx::Error> {
    row.text(index)?.map(|text| parsed(what, &text)).transpose()
}

pub(crate) fn instant(row: &impl Values, index: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.number(index)?.map(|ms| Timestamp::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// An instant as both databases are told it: in milliseconds.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn count(row: &impl Values, index: usize) -> Result<u64, sqlx::Error> {
    Ok(row.number(index)?.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

fn small(row: &impl Values, index: usize) -> Result<u32, sqlx::Error> {
    Ok(u32::try_from(count(row, index)?).unwrap_or(u32::MAX))
}

fn raw(text: String) -> Option<lovage_core::RawJson> {
    serde_json::value::RawValue::from_string(text).ok()
}

/// A job from: enqueued at, key, queue, id, kind, tenant, state, reason, attempt, failed, lost, since, started at, due at, gone
/// at, worker, tags, args, result, more.
pub(super) fn job(row: &impl Values) -> Result<Stored, sqlx::Error> {
    let cursor = cursor(row)?;
    let state = row.text(6)?.unwrap_or_default();
    let mut job = JobView {
        queue: required(row, 2, "queue")?,
        id: required(row, 3, "id")?,
        kind: optional(row, 4, "kind")?,
        tenant: optional(row, 5, "tenant")?,
        state: State::from_name(&state).ok_or_else(|| unreadable("state", &state))?,
        reason: row.text(7)?.and_then(|name| DiscardReason::from_name(&name)),
        attempt: small(row, 8)?,
        failed: small(row, 9)?,
        lost: small(row, 10)?,
        enqueued_at: cursor.enqueued_at,
        since: instant(row, 11)?.unwrap_or_default(),
        started_at: instant(row, 12)?,
        due_at: instant(row, 13)?,
        worker: optional(row, 15, "worker")?,
        tags: serde_json::from_str(&row.text(16)?.unwrap_or_default()).unwrap_or_default(),
        args: row.text(17)?.and_then(raw),
        result: row.text(18)?.and_then(raw),
        priority: Priority::default(),
        key: None,
        metadata: std::collections::BTreeMap::new(),
        max_attempts: None,
        retry: None,
        timeout_ms: None,
        expires_at: None,
        lease_until: None,
        cancel_requested: false,
        progress: None,
        errors: Vec::new(),
    };
    more::read(&row.text(19)?.unwrap_or_default(), &mut job);
    Ok(Stored { cursor, job, gone_at: instant(row, 14)? })
}

/// A place from the first two columns.
pub(super) fn cursor(row: &impl Values) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { enqueued_at: instant(row, 0)?.unwrap_or_default(), key: row.number(1)?.unwrap_or_default() })
}

/// An attempt and whose it is from: enqueued at, key, attempt, worker, version, started at, ended at, outcome, error at, class,
/// message.
pub(super) fn attempt(row: &impl Values) -> Result<(Cursor, AttemptRecord), sqlx::Error> {
    let class = row.text(9)?.and_then(|name| ErrorClass::from_name(&name));
    let error = match (instant(row, 8)?, class) {
        (Some(at), Some(class)) => Some(RecordedError { at, class, message: row.text(10)?.unwrap_or_default() }),
        _ => None,
    };
    let attempt = AttemptRecord {
        attempt: small(row, 2)?,
        worker: optional(row, 3, "worker")?,
        version: row.text(4)?,
        started_at: instant(row, 5)?,
        ended_at: instant(row, 6)?,
        outcome: row.text(7)?.and_then(|name| Outcome::from_name(&name)),
        error,
    };
    Ok((cursor(row)?, attempt))
}

/// Jobs with their attempts; both come in the order of their rows.
pub(super) fn records(jobs: Vec<Stored>, attempts: Vec<(Cursor, AttemptRecord)>) -> Vec<JobRecord> {
    let mut by_job: std::collections::HashMap<Cursor, Vec<AttemptRecord>> = std::collections::HashMap::new();
    for (cursor, attempt) in attempts {
        by_job.entry(cursor).or_default().push(attempt);
    }
    let record = |mut stored: Stored| {
        let attempts = by_job.remove(&stored.cursor).unwrap_or_default();
        let told = |attempt: &AttemptRecord| {
            let error = attempt.error.clone()?;
            let (at, class, message) = (error.at, error.class, error.message);
            Some(PastError { attempt: attempt.attempt, at, worker: attempt.worker.clone(), class, message })
        };
        stored.job.errors = attempts.iter().filter_map(told).collect();
        JobRecord { job: stored.job, attempts, gone_at: stored.gone_at }
    };
    jobs.into_iter().map(record).collect()
}
