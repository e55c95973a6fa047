//! Ends of attempts. The last stop of a job in the embedded broker, unless it comes back.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use lovage_core::{Change, EventKind, IllegalChange, QueueName, RawJson, State, Transition, WorkerId};

use super::desk::{Batch, Desk};
use super::fault::Fault;
use super::row::Row;
use super::step::Step;
use super::writer::Command;
use crate::api::{Finish, HeldLease, LeaseStatus};

/// A finish call.
#[derive(Debug)]
pub(super) struct EndAttempts {
    pub queue: QueueName,
    pub worker: WorkerId,
    pub items: Vec<Finish>,
}

#[async_trait]
impl Command for EndAttempts {
    type Answer = Vec<LeaseStatus>;

    async fn run(&self, step: &mut Step<'_>) -> Result<Vec<LeaseStatus>, Fault> {
        let mut statuses = vec![LeaseStatus::Lost; self.items.len()];
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(statuses) };
        let mut held = desk.held(self.items.iter().map(|item| &item.lease)).await?;
        let mut batch = Batch::default();
        let mut results = Vec::new();
        for (status, item) in statuses.iter_mut().zip(&self.items) {
            // Taken out: whoever ends an attempt twice is refused the second time.
            let Some(mut row) = held.remove(&item.lease) else { continue };
            if desk.end(&mut row, item, &self.worker, &mut batch).is_err() {
                continue;
            }
            if let Transition::Complete { result: Some(result) } = &item.transition {
                results.push((row.seq, result));
            }
            desk.record(&row, EventKind::Finished, Some(self.worker.clone()));
            batch.rows.push(row);
            *status = LeaseStatus::Held;
        }
        desk.save(&batch).await?;
        desk.save_results(&results).await?;
        Ok(statuses)
    }
}

impl Desk<'_> {
    /// The rows of those of `leases` that are held.
    pub(super) async fn held<'l>(
        &mut self,
        leases: impl Iterator<Item = &'l HeldLease> + Clone,
    ) -> Result<HashMap<HeldLease, Row>, Fault> {
        let rows = self.rows_by_id(leases.clone().map(|lease| &lease.id)).await?;
        let asked: HashSet<_> = leases.collect();
        let running = rows.into_iter().filter(|row| row.state == State::Running);
        let current = running.map(|row| (HeldLease { id: row.id.clone(), token: row.token as u64 }, row));
        // Whoever asks with an old token must not touch the new owner's row.
        Ok(current.filter(|(lease, _)| asked.contains(lease)).collect())
    }

    fn end(&mut self, row: &mut Row, item: &Finish, worker: &WorkerId, batch: &mut Batch) -> Result<(), IllegalChange> {
        let change = match &item.transition {
            // Whoever asked it to stop does not want to see it again.
            Transition::Retry { .. } | Transition::Release { .. } if row.cancel_requested => Change::Cancel,
            transition => transition.change(),
        };
        lovage_core::transition(row.state, change)?;
        let mut due = self.now;
        match &item.transition {
            Transition::Complete { .. } | Transition::Cancel => {}
            Transition::Retry { delay, error } => {
                row.failed += 1;
                due = due.plus(*delay);
                batch.add_error(row, Some(worker), error, self.now);
            }
            Transition::Release { delay, error } => {
                due = due.plus(*delay);
                if let Some(error) = error {
                    batch.add_error(row, Some(worker), error, self.now);
                }
            }
            Transition::Discard { error, .. } => {
                row.failed += 1;
                batch.add_error(row, Some(worker), error, self.now);
            }
        }
        self.move_to(row, change, due)
    }

    async fn save_results(&mut self, results: &[(i64, &RawJson)]) -> Result<(), Fault> {
        if results.is_empty() {
            return Ok(());
        }
        // As text inside JSON: a result is kept byte for byte.
        let results: Vec<_> = results.iter().map(|(seq, result)| (seq, result.get())).collect();
        let sql = "UPDATE job SET result = v ->> 1 FROM (SELECT value AS v FROM json_each(?1)) WHERE seq = v ->> 0";
        sqlx::query(sql).bind(serde_json::to_string(&results)?).execute(&mut *self.conn).await?;
        Ok(())
    }
}
