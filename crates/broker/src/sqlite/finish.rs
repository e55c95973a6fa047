//! Ends of attempts. The last stop of a job in the embedded broker, unless it comes back.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use lovage_core::{Change, DiscardReason, EventKind, IllegalChange, QueueName, RawJson, State, Transition, WorkerId};

use super::desk::{Batch, Desk};
use super::fault::Fault;
use super::row::{Row, Sign};
use super::step::Step;
use super::tally::Left;
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
        let before = desk.line.tally.left.len();
        desk.complete_plain(self, &mut statuses).await?;
        // Whoever is not answered yet has its row looked at first.
        if statuses.contains(&LeaseStatus::Lost) {
            desk.end_others(self, &mut statuses).await?;
        }
        // Breakers count failures in the order of the call.
        desk.line.tally.left[before..].sort_by_key(|left| left.order);
        Ok(statuses)
    }
}

/// The items that only say that all went well, each lease once and only if nothing was said of it before.
fn plain_successes(items: &[Finish]) -> Vec<(usize, &HeldLease)> {
    let mut tokens = HashSet::with_capacity(items.len());
    let is_plain = |item: &Finish| matches!(item.transition, Transition::Complete { result: None });
    let first = items.iter().enumerate().filter(|(_, item)| tokens.insert(item.lease.token));
    first.filter(|(_, item)| is_plain(item)).map(|(index, item)| (index, &item.lease)).collect()
}

/// A job that ends plainly: its place in the call, seq, attempt, kind, tenant and key.
type Plain = (usize, i64, u32, Option<String>, Option<String>, Option<String>);

/// What the end of an attempt says about the work: nothing, if it ended because somebody asked for it.
fn sign_of(transition: &Transition, change: Change) -> Sign {
    match transition {
        Transition::Complete { .. } => Sign::Success,
        Transition::Retry { .. } if change != Change::Cancel => Sign::Failure,
        Transition::Discard { reason: DiscardReason::AttemptsExhausted | DiscardReason::TimedOut, .. } => Sign::Failure,
        _ => Sign::Nothing,
    }
}

impl Desk<'_> {
    /// Ends all plain successes with two statements, but for jobs with a unique key: those leave more behind.
    async fn complete_plain(&mut self, call: &EndAttempts, statuses: &mut [LeaseStatus]) -> Result<(), Fault> {
        let plain = plain_successes(&call.items);
        if plain.is_empty() {
            return Ok(());
        }
        // The index is named: walking all that runs for each item would be the other way. One value, not a row each.
        let sql = "SELECT json_group_array(json_array(done.key, job.seq, job.attempt, job.kind, job.tenant, \
                   job.flow_key)) FROM json_each(?1) AS done CROSS JOIN job INDEXED BY job_id ON job.id = done.value ->> 0 AND job.queue = ?2 \
                   WHERE job.state = 2 AND job.token = done.value ->> 1 AND job.digest IS NULL";
        let leases: Vec<_> = plain.iter().map(|(_, lease)| (&lease.id, lease.token)).collect();
        let query = sqlx::query_scalar(sql).bind(serde_json::to_string(&leases)?).bind(self.line.key);
        let found: String = query.fetch_one(&mut *self.conn).await?;
        let found: Vec<Plain> = serde_json::from_str(&found)?;
        let mut seqs = Vec::with_capacity(found.len());
        for (key, seq, attempt, kind, tenant, flow_key) in found {
            let (index, lease) = plain[key];
            if self.line.flow.rules > 0 {
                let (token, sign) = (lease.token as i64, Sign::Success);
                self.line.tally.left.push(Left { order: index, token, sign, kind, tenant, key: flow_key });
            }
            let worker = Some(call.worker.clone());
            let event = (lease.id.clone(), EventKind::Finished, Some(State::Completed), attempt, worker, None);
            self.line.record(Some(State::Running), event);
            statuses[index] = LeaseStatus::Held;
            seqs.push(seq);
        }
        let sql = "UPDATE job SET state = 4, sort = ?2 + done.key, since = ?3, cancel_requested = 0, \
                   slot = 0 FROM json_each(?1) AS done WHERE job.seq = done.value";
        sqlx::query(sql)
            .bind(serde_json::to_string(&seqs)?)
            .bind(self.line.next_places(seqs.len(), self.now))
            .bind(self.now_ms())
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }

    async fn end_others(&mut self, call: &EndAttempts, statuses: &mut [LeaseStatus]) -> Result<(), Fault> {
        let others = || statuses.iter().zip(&call.items).filter(|(status, _)| **status == LeaseStatus::Lost);
        let (mut held, ended) = self.current(others().map(|(_, item)| &item.lease)).await?;
        // An end that is written already, by an earlier call or an earlier item, is answered as if it were new.
        let mut ended: HashSet<_> = ended.into_keys().collect();
        let mut batch = Batch::default();
        let mut results = Vec::new();
        for (index, (status, item)) in statuses.iter_mut().zip(&call.items).enumerate() {
            let Some(mut row) = held.remove(&item.lease) else {
                if ended.contains(&item.lease) {
                    *status = LeaseStatus::Held;
                }
                continue;
            };
            if self.end(&mut row, item, &call.worker, &mut batch).is_err() {
                continue;
            }
            ended.insert(item.lease.clone());
            row.order = index;
            if let Transition::Complete { result: Some(result) } = &item.transition {
                results.push((row.seq, result));
            }
            self.record(&row, EventKind::Finished, Some(call.worker.clone()));
            batch.rows.push(row);
            *status = LeaseStatus::Held;
        }
        self.save(&batch).await?;
        self.save_results(&results).await
    }

    /// The rows of those of `leases` that are held.
    pub(super) async fn held<'l>(
        &mut self,
        leases: impl Iterator<Item = &'l HeldLease> + Clone,
    ) -> Result<HashMap<HeldLease, Row>, Fault> {
        Ok(self.current(leases).await?.0)
    }

    /// The rows of those of `leases` that are held, and of those that have ended and are their jobs' last.
    async fn current<'l>(
        &mut self,
        leases: impl Iterator<Item = &'l HeldLease> + Clone,
    ) -> Result<(HashMap<HeldLease, Row>, HashMap<HeldLease, Row>), Fault> {
        let rows = self.rows_by_id(leases.clone().map(|lease| &lease.id)).await?;
        let asked: HashSet<_> = leases.collect();
        let rows = rows.into_iter().map(|row| (HeldLease { id: row.id.clone(), token: row.token as u64 }, row));
        // Whoever asks with an old token must not touch the new owner's row.
        Ok(rows.filter(|(lease, _)| asked.contains(lease)).partition(|(_, row)| row.state == State::Running))
    }

    fn end(&mut self, row: &mut Row, item: &Finish, worker: &WorkerId, batch: &mut Batch) -> Result<(), IllegalChange> {
        let change = match &item.transition {
            // Whoever asked it to stop does not want to see it again.
            Transition::Retry { .. } | Transition::Release { .. } if row.cancel_requested => Change::Cancel,
            transition => transition.change(),
        };
        lovage_core::transition(row.state, change)?;
        let mut due = self.now;
        row.sign = sign_of(&item.transition, change);
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
