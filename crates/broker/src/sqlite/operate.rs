//! Stepping in from outside: what people do to single jobs, and through [`super::bulk`] to whole states.

use async_trait::async_trait;
use lovage_core::{Change, DiscardReason, EventKind, IllegalChange, JobId, JobView, QueueName, State};

use super::desk::{Batch, Desk};
use super::fault::Fault;
use super::read;
use super::registry::send_control;
use super::row::Row;
use super::step::Step;
use super::writer::Command;
use crate::api::{BulkAction, Cancelled, Control, HeldLease};
use crate::error::BrokerError;

/// One action on one job.
#[derive(Debug)]
pub(super) struct Act {
    pub queue: QueueName,
    pub id: JobId,
    pub action: BulkAction,
}

pub(super) fn not_found(queue: &QueueName, id: &JobId) -> Fault {
    Fault::Refused(BrokerError::NotFound { queue: queue.clone(), id: id.clone() })
}

#[async_trait]
impl Command for Act {
    type Answer = Cancelled;

    async fn run(&self, step: &mut Step<'_>) -> Result<Cancelled, Fault> {
        let missing = || not_found(&self.queue, &self.id);
        let mut desk = step.desk(&self.queue).await?.ok_or_else(missing)?;
        let row = desk.row(&self.id).await?.ok_or_else(missing)?;
        if self.action == BulkAction::Cancel && row.state == State::Running {
            desk.ask_to_stop(row, &self.queue).await?;
            return Ok(Cancelled::Requested);
        }
        if !self.action.allows(row.state) {
            return Err(IllegalChange { from: row.state, change: change_of(self.action) }.into());
        }
        desk.act(self.action, vec![row]).await?;
        Ok(Cancelled::Now)
    }
}

/// Deletes a job that is still as it was seen.
#[derive(Debug)]
pub(super) struct DeleteSeen(pub JobView);

#[async_trait]
impl Command for DeleteSeen {
    type Answer = bool;

    async fn run(&self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let Self(seen) = self;
        let Some(mut desk) = step.desk(&seen.queue).await? else { return Ok(false) };
        let Some(row) = desk.row(&seen.id).await? else { return Ok(false) };
        let now = read::find(desk.conn, Some(&seen.queue), &seen.id).await?;
        if !now.is_some_and(|now| seen.is_unchanged(&now)) {
            return Ok(false);
        }
        if !BulkAction::Delete.allows(row.state) {
            return Err(IllegalChange { from: row.state, change: change_of(BulkAction::Delete) }.into());
        }
        desk.act(BulkAction::Delete, vec![row]).await?;
        Ok(true)
    }
}

/// The change that an action makes. A delete makes none; it is refused like a discard.
fn change_of(action: BulkAction) -> Change {
    match action {
        BulkAction::Retry => Change::Redrive,
        BulkAction::Cancel => Change::Cancel,
        BulkAction::Discard | BulkAction::Delete => Change::Discard(DiscardReason::Rejected),
    }
}

impl Desk<'_> {
    /// Does `action` to rows that allow it.
    pub(super) async fn act(&mut self, action: BulkAction, rows: Vec<Row>) -> Result<(), Fault> {
        match action {
            BulkAction::Delete => return self.delete(&rows).await,
            BulkAction::Retry => return self.redrive(rows).await,
            BulkAction::Cancel | BulkAction::Discard => {}
        }
        let (change, kind) = match action {
            BulkAction::Cancel => (Change::Cancel, EventKind::Cancelled),
            _ => (change_of(action), EventKind::Discarded),
        };
        let mut batch = Batch::default();
        for mut row in rows {
            self.move_to(&mut row, change, self.now)?;
            self.record(&row, kind, None);
            batch.rows.push(row);
        }
        self.save(&batch).await
    }

    async fn delete(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let mut locks = Vec::new();
        for row in rows {
            let event = (row.id.clone(), EventKind::Deleted, None, row.attempt, None, None);
            self.line.record(Some(row.state), event);
            self.line.tally_lane(row.lane, -1);
            self.line.tally_waiting(row.tenant.as_ref(), -i64::from(Row::waits(row.state)));
            if row.slot {
                self.line.tally_left(row);
            }
            if let Some(lock) = &row.lock {
                locks.push((&lock.digest, &row.id));
            }
        }
        if !locks.is_empty() {
            self.free_locks(&locks).await?;
        }
        self.remove(&rows.iter().map(|row| row.seq).collect::<Vec<_>>()).await
    }

    async fn redrive(&mut self, rows: Vec<Row>) -> Result<(), Fault> {
        let mut batch = Batch::default();
        let mut ended = Vec::new();
        for mut row in rows {
            if row.state.is_final() {
                (row.failed, row.lost, row.expires_at) = (0, 0, None);
                ended.push(row.seq);
            }
            self.move_to(&mut row, Change::Redrive, self.now)?;
            self.record(&row, EventKind::Redriven, None);
            batch.rows.push(row);
        }
        self.save(&batch).await?;
        if !ended.is_empty() {
            let sql = "UPDATE job SET result = NULL, progress = NULL WHERE seq IN (SELECT value FROM json_each(?1))";
            sqlx::query(sql).bind(serde_json::to_string(&ended)?).execute(&mut *self.conn).await?;
        }
        self.reclaim_locks(&batch.rows).await
    }

    /// Jobs that came back from their end take their unique keys again, where those are free; the first one of a key
    /// has it.
    async fn reclaim_locks(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let revived = rows.iter().filter(|row| row.before.is_final());
        let locks: Vec<_> = revived
            .filter_map(|row| row.lock.as_ref().map(|lock| (&lock.digest, &row.id, self.now_ms() + lock.ttl)))
            .collect();
        if locks.is_empty() {
            return Ok(());
        }
        // Of two jobs with one key the first has taken it when the second comes: its time lies ahead.
        let sql = "INSERT INTO unique_lock (queue, digest, job, until) \
                   SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true \
                   ON CONFLICT DO UPDATE SET job = excluded.job, until = excluded.until \
                   WHERE unique_lock.until <= ?3";
        let locks = serde_json::to_string(&locks)?;
        sqlx::query(sql).bind(self.line.key).bind(&locks).bind(self.now_ms()).execute(&mut *self.conn).await?;
        Ok(())
    }

    async fn ask_to_stop(&mut self, row: Row, queue: &QueueName) -> Result<(), Fault> {
        if !row.cancel_requested {
            let sql = "UPDATE job SET cancel_requested = 1 WHERE seq = ?1";
            sqlx::query(sql).bind(row.seq).execute(&mut *self.conn).await?;
            self.record(&row, EventKind::CancelRequested, row.worker());
        }
        // Also when asked again: the first message may have met a worker that was not listening.
        let Some(worker) = row.worker() else { return Ok(()) };
        let lease = HeldLease { id: row.id, token: row.token as u64 };
        let control = Control::Cancel { queue: queue.clone(), lease };
        send_control(self.conn, self.now, &worker, &control).await?;
        self.wakes.workers.insert(worker);
        Ok(())
    }
}
