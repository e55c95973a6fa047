//! Taking jobs out of the line: time passes first, then ownership, attempt and token are written in one step. The hot
//! path of a worker: three statements for up to a thousand jobs of a queue without tenants and rules.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::limits::MAX_CLAIM;
use lovage_core::{EventKind, JobId, Priority, QueueName, State, Timestamp, WorkerId};
use serde::Deserialize;

use super::ages::{aged_of, mix};
use super::desk::Desk;
use super::fault::Fault;
use super::step::Step;
use super::writer::Command;
use crate::api::{Claim, ClaimedJob};

/// A claim call.
#[derive(Debug)]
pub(super) struct TakeJobs {
    pub queue: QueueName,
    pub worker: WorkerId,
    pub max: usize,
    pub lease: Duration,
    /// Of so many jobs one is the oldest.
    pub ageing: u32,
}

#[async_trait]
impl Command for TakeJobs {
    type Answer = Claim;

    async fn run(&self, step: &mut Step<'_>) -> Result<Claim, Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(Claim::default()) };
        let (_, mut horizon) = desk.let_time_pass().await?;
        if !desk.line.is_plain() {
            // Slots that lost workers gave back just now, too.
            desk.settle().await?;
        }
        let mut jobs = Vec::new();
        if desk.line.paused(desk.now).is_none() {
            if desk.line.pause.is_some() {
                // Its time is over.
                desk.line.set_pause(None);
            }
            let max = self.max.min(MAX_CLAIM);
            // What is known to be held back is not looked at again before something changes.
            if desk.line.count(State::Available) > 0 && desk.line.flow.held_until <= desk.now_ms() {
                if !desk.line.is_plain() {
                    jobs = desk.take_turns(max, self).await?;
                } else if max > 0 {
                    jobs = desk.take(max, self).await?;
                }
            }
            if !jobs.is_empty() {
                horizon = horizon.with_lease(desk.now.plus(self.lease).as_millis() as i64);
                let drain = desk.line.flow.drain.with(jobs.len(), desk.now);
                desk.line.flow_mut().drain = drain;
            }
        }
        Ok(Claim { jobs, next_in: desk.next_in(horizon) })
    }
}

/// A waiting job as the query answers it, in this order.
#[derive(Debug, Deserialize)]
pub(super) struct Waiting {
    pub seq: i64,
    id: JobId,
    spec: String,
    attempt: u32,
    failed: u32,
    lost: u32,
    enqueued_at: Timestamp,
    priority: Priority,
    pub sort: i64,
}

impl Desk<'_> {
    async fn take(&mut self, max: usize, call: &TakeJobs) -> Result<Vec<ClaimedJob>, Fault> {
        // All jobs in one value: a row each costs more on its way through the driver than the query itself.
        let sql = "SELECT json_group_array(json_array(seq, id, text, attempt, failed, lost, enqueued_at, priority, sort)) \
                   FROM (SELECT job.seq, job.id, coalesce(spec.text, '') AS text, job.attempt, job.failed, job.lost, \
                   job.enqueued_at, job.priority, job.sort FROM job LEFT JOIN spec ON spec.seq = job.seq \
                   WHERE job.queue = ?1 AND job.state = 1 ORDER BY job.sort, job.id LIMIT ?2 + 0)";
        let query = sqlx::query_scalar(sql).bind(self.line.key).bind(max as i64);
        let rows: String = query.fetch_one(&mut *self.conn).await?;
        let mut rows: Vec<Waiting> = serde_json::from_str(&rows)?;
        let given = self.line.flow.aged;
        let oldest = aged_of(given, rows.len(), call.ageing);
        if let (1.., Some(first)) = (oldest, rows.first()) {
            let old = self.oldest_of_line(first.sort, oldest).await?;
            rows = mix(rows, old, given, call.ageing);
        }
        self.line.flow_mut().aged = (given + rows.len() as u32) % call.ageing.max(1);
        let mut seqs = Vec::with_capacity(rows.len());
        let mut jobs = Vec::with_capacity(rows.len());
        for Waiting { seq, id, spec, attempt, failed, lost, enqueued_at, priority, .. } in rows {
            seqs.push(seq);
            let attempt = attempt + 1;
            jobs.push(ClaimedJob { id, spec, attempt, failed, lost, token: 0, enqueued_at, priority });
        }
        self.own(&seqs, &mut jobs, call).await?;
        Ok(jobs)
    }

    /// Writes who runs these jobs from now on, and gives them their tokens.
    pub(super) async fn own(&mut self, seqs: &[i64], jobs: &mut [ClaimedJob], call: &TakeJobs) -> Result<(), Fault> {
        let first_token = self.line.next_tokens(jobs.len());
        for (token, job) in (first_token..).zip(jobs) {
            job.token = token as u64;
            let worker = Some(call.worker.clone());
            let event = (job.id.clone(), EventKind::Claimed, Some(State::Running), job.attempt, worker, None);
            self.line.record(Some(State::Available), event);
        }
        // `key` is the position in the array, so tokens follow the order of the line.
        let sql = "UPDATE job SET state = 2, sort = ?2, attempt = attempt + 1, token = ?3 + wanted.key, since = ?4, \
                   started_at = ?4, worker = ?5, cancel_requested = 0, lane = 0, slot = flow_key IS NOT NULL \
                   FROM json_each(?1) AS wanted WHERE job.seq = wanted.value";
        sqlx::query(sql)
            .bind(serde_json::to_string(seqs)?)
            .bind(self.now.plus(call.lease).as_millis() as i64)
            .bind(first_token)
            .bind(self.now_ms())
            .bind(call.worker.as_str())
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }
}
