//! The history in a SQLite file. Many rows are bound as one JSON text each statement, which is read row by row in it.

pub(super) mod failures;
pub(super) mod prune;
pub(super) mod read;
pub(super) mod search;
pub(super) mod write;

use serde::Serialize;

use super::cursor::Cursor;

/// A job's columns in the order of [`super::stored::job`].
const JOB: &str =
    "enqueued_at, key, queue, id, kind, tenant, state, reason, attempt, failed, lost, since, started_at, due_at,
    gone_at, worker, tags, args, result, more";

/// Rows as they are bound.
fn json(rows: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Jobs as they are bound.
fn places(jobs: impl Iterator<Item = Cursor>) -> Result<String, sqlx::Error> {
    json(&jobs.map(|at| (at.enqueued_at, at.key)).collect::<Vec<_>>())
}
