//! One queue inside one transaction: loading rows, moving them, writing them back with their errors, locks, counts and
//! events. Everything that changes a state goes through [`Desk::move_to`] and [`Desk::save`].

use lovage_core::limits::{MAX_ERROR_BYTES, cut};
use lovage_core::{AttemptError, Change, EventKind, Hold, IllegalChange, JobId, PastError, State, Timestamp, WorkerId};
use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::fault::Fault;
use super::line::{Line, line_order};
use super::row::{LANED, Row, code, row_columns};
use super::step::Wakes;

/// Errors kept with a job.
const ERRORS_KEPT: u32 = 25;

/// A queue on which a command works.
pub(super) struct Desk<'s> {
    pub conn: &'s mut SqliteConnection,
    pub line: &'s mut Line,
    pub wakes: &'s mut Wakes,
    pub now: Timestamp,
}

/// What a command wrote to rows, to be saved together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub rows: Vec<Row>,
    pub errors: Vec<(i64, PastError)>,
}

impl Batch {
    /// Keeps the error with which an attempt ended.
    pub(super) fn add_error(&mut self, row: &Row, worker: Option<&WorkerId>, error: &AttemptError, at: Timestamp) {
        let message = cut(&error.message, MAX_ERROR_BYTES);
        let past = PastError { attempt: row.attempt, at, worker: worker.cloned(), class: error.class, message };
        self.errors.push((row.seq, past));
    }
}

impl Desk<'_> {
    pub(super) fn now_ms(&self) -> i64 {
        self.now.as_millis() as i64
    }

    /// The rows with these ids, in no order; ids that are not there are left out.
    pub(super) async fn rows_by_id<'i>(&mut self, ids: impl Iterator<Item = &'i JobId>) -> Result<Vec<Row>, Fault> {
        let sql = concat!(
            "SELECT ",
            row_columns!(),
            " FROM json_each(?2) AS wanted CROSS JOIN job ON job.id = wanted.value AND job.queue = ?1"
        );
        let ids = serde_json::to_string(&ids.collect::<Vec<_>>())?;
        let rows = sqlx::query(sql).bind(self.line.key).bind(ids).fetch_all(&mut *self.conn).await?;
        rows.iter().map(Row::read).collect()
    }

    /// One row.
    pub(super) async fn row(&mut self, id: &JobId) -> Result<Option<Row>, Fault> {
        Ok(self.rows_by_id(std::iter::once(id)).await?.pop())
    }

    /// Moves a row into the state after `change` and to its place there. `due` is when a scheduled or retryable job
    /// becomes available.
    pub(super) fn move_to(&mut self, row: &mut Row, change: Change, due: Timestamp) -> Result<(), IllegalChange> {
        row.enter(change, self.now)?;
        row.sort = match row.state {
            State::Available => {
                if matches!(change, Change::Promote | Change::Redrive) {
                    row.place = self.line.next_place(self.now);
                }
                line_order(row.priority, row.place)
            }
            State::Scheduled | State::Retryable => due.as_millis() as i64,
            State::Running => row.sort,
            State::Completed | State::Cancelled | State::Discarded => self.line.next_place(self.now),
        };
        Ok(())
    }

    /// Takes note of what happened to a row.
    pub(super) fn record(&mut self, row: &Row, kind: EventKind, worker: Option<WorkerId>) {
        self.line.record(Some(row.before), (row.id.clone(), kind, Some(row.state), row.attempt, worker, row.reason));
    }

    /// Writes moved rows and all that hangs on them. One statement of each sort, however many rows.
    pub(super) async fn save(&mut self, batch: &Batch) -> Result<(), Fault> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        let enters = |row: &&Row| row.state == State::Available && row.before != row.state;
        self.find_homes(batch.rows.iter().filter(enters).filter_map(|row| row.tenant.as_ref())).await?;
        let sql = "UPDATE job SET state = v ->> 1, sort = v ->> 2, place = v ->> 3, priority = v ->> 4, \
                   failed = v ->> 5, lost = v ->> 6, since = v ->> 7, expires_at = v ->> 8, \
                   cancel_requested = v ->> 9, reason = v ->> 10, token = v ->> 11, lane = v ->> 12, slot = v ->> 13 \
                   FROM (SELECT value AS v FROM json_each(?1)) WHERE seq = v ->> 0";
        let mut rows = Vec::with_capacity(batch.rows.len());
        for row in &batch.rows {
            let lane = self.lane_of(row);
            self.line.tally_row(row, lane);
            rows.push(stored(row, lane));
        }
        sqlx::query(sql).bind(serde_json::to_string(&rows)?).execute(&mut *self.conn).await?;
        self.save_errors(&batch.errors).await?;
        self.release_locks(&batch.rows).await
    }

    /// The lane in which a row belongs: who was available stays where it is, who comes new joins its tenant's.
    fn lane_of(&self, row: &Row) -> i64 {
        match row.state {
            State::Available if row.before == State::Available => row.lane,
            State::Available => self.home(row.tenant.as_ref()),
            _ => 0,
        }
    }

    async fn save_errors(&mut self, errors: &[(i64, PastError)]) -> Result<(), Fault> {
        if errors.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(errors.len());
        for (job, error) in errors {
            // As text inside JSON: SQLite must not decode a message, which may hold a NUL.
            values.push(json!([job, error.attempt, serde_json::to_string(error)?]));
        }
        let sql = "INSERT INTO error (job, attempt, body) SELECT value ->> 0, value ->> 1, value ->> 2 \
                   FROM json_each(?1) WHERE true ON CONFLICT DO UPDATE SET body = excluded.body";
        sqlx::query(sql).bind(serde_json::to_string(&values)?).execute(&mut *self.conn).await?;
        let many: Vec<i64> =
            errors.iter().filter(|(_, error)| error.attempt > ERRORS_KEPT).map(|(job, _)| *job).collect();
        if many.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM error WHERE (job, attempt) IN (SELECT old.job, old.attempt FROM json_each(?1) AS wanted \
                   CROSS JOIN error AS old ON old.job = wanted.value WHERE ?2 <= (SELECT count(*) FROM error AS newer \
                   WHERE newer.job = old.job AND newer.attempt > old.attempt))";
        sqlx::query(sql).bind(serde_json::to_string(&many)?).bind(ERRORS_KEPT).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Gives back the unique keys of jobs that came to their end, where they still own them.
    async fn release_locks(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let ended = rows.iter().filter(|row| row.state.is_final() && !row.before.is_final());
        let owned: Vec<_> = ended
            .filter_map(|row| Some((row.lock.as_ref()?, &row.id)))
            .filter(|(lock, _)| lock.hold == Hold::Finished)
            .map(|(lock, id)| (&lock.digest, id))
            .collect();
        if owned.is_empty() { Ok(()) } else { self.free_locks(&owned).await }
    }

    /// Removes locks, each only if its job still owns it.
    pub(super) async fn free_locks(&mut self, owned: &[(&String, &JobId)]) -> Result<(), Fault> {
        let sql = "DELETE FROM unique_lock WHERE queue = ?1 AND (digest, job) IN \
                   (SELECT value ->> 0, value ->> 1 FROM json_each(?2))";
        sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(owned)?).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Removes jobs with their content, errors and log lines.
    pub(super) async fn remove(&mut self, seqs: &[i64]) -> Result<(), Fault> {
        let seqs = serde_json::to_string(seqs)?;
        for sql in [
            "DELETE FROM job WHERE seq IN (SELECT value FROM json_each(?1))",
            "DELETE FROM spec WHERE seq IN (SELECT value FROM json_each(?1))",
            "DELETE FROM error WHERE job IN (SELECT value FROM json_each(?1))",
            "DELETE FROM log WHERE job IN (SELECT value FROM json_each(?1))",
        ] {
            sqlx::query(sql).bind(&seqs).execute(&mut *self.conn).await?;
        }
        Ok(())
    }
}

/// What [`Desk::save`] writes of a row, in its order.
fn stored(row: &Row, lane: i64) -> impl serde::Serialize {
    (
        row.seq,
        if lane == 0 { code(row.state) } else { LANED },
        row.sort,
        row.place,
        row.priority,
        row.failed,
        row.lost,
        row.since,
        row.expires_at,
        i64::from(row.cancel_requested),
        row.reason,
        row.token,
        lane,
        i64::from(row.slot && !row.state.is_final()),
    )
}
