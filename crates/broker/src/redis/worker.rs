//! The worker's side: claim, renew, finish, report, sweep. A few scripts per batch of jobs, however many they are.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::limits::{MAX_CLAIM, MAX_LOG_LINE_BYTES, MAX_LOG_LINES, MAX_LOST, cut};
use lovage_core::{AttemptError, JobId, LogLevel, Priority, QueueName, Transition, WorkerId, WorkerView};
use redis::{Cmd, Value};

use super::node::Lane;
use super::record::{Head, position, split_spec};
use super::reply::{Items, bytes, count, list, number, text};
use super::script::{CLAIM, FINISH, RENEW, REPORT, SWEEP};
use super::{RedisBroker, Result, after, millis};
use crate::api::{Claim, ClaimedJob, Finish, HeldLease, LeaseStatus, Report, Swept, Wake, WorkerSide};
use crate::error::BrokerError;

/// Jobs of each sort in one slice of a sweep, and of the slice before each claim. Redis does nothing else meanwhile: a
/// thousand due jobs at a time among millions took it more than ten milliseconds.
const SLICE: usize = 250;

#[async_trait]
impl WorkerSide for RedisBroker {
    async fn claim(&self, queue: &QueueName, worker: &WorkerId, max: usize, lease: Duration) -> Result<Claim> {
        let grasp = self.grasps.of(queue, worker);
        let mut grasp = grasp.lock().await;
        let lost_after = grasp.unclear.then_some(grasp.last);
        let fill = |cmd: &mut Cmd| {
            cmd.arg(worker.as_str()).arg(max.min(MAX_CLAIM)).arg(millis(lease)).arg(SLICE).arg(MAX_LOST);
            self.add_loose_retention(cmd);
            if lost_after.is_some() {
                cmd.arg(lost_after)
            } else {
                cmd.arg("")
            };
            cmd.arg(self.config.ageing.max(1));
        };
        // Until an answer has come: also when this call is dropped before.
        grasp.unclear = true;
        let mut items = Items::of(self.run(&CLAIM, queue, fill).await?)?;
        let next_in = after(number(&items.take()?)?);
        let (mut jobs, mark) = first_attempts(&mut items)?;
        while !items.is_empty() {
            jobs.push(claimed(&mut items)?);
        }
        let latest = jobs.iter().map(|job: &ClaimedJob| job.token).max().unwrap_or(0);
        grasp.unclear = lost_after.is_some() && mark == 1;
        grasp.last = grasp.last.max(latest);
        Ok(Claim { jobs, next_in })
    }

    async fn renew(&self, queue: &QueueName, leases: &[HeldLease], lease: Duration) -> Result<Vec<LeaseStatus>> {
        let mut statuses = Vec::with_capacity(leases.len());
        for chunk in leases.chunks(MAX_CLAIM) {
            let fill = |cmd: &mut Cmd| {
                cmd.arg(millis(lease));
                for held in chunk {
                    cmd.arg(held.id.as_str()).arg(held.token);
                }
            };
            read_statuses(&mut statuses, self.run_again(&RENEW, queue, fill).await?, chunk.len())?;
        }
        Ok(statuses)
    }

    async fn finish(&self, queue: &QueueName, worker: &WorkerId, items: Vec<Finish>) -> Result<Vec<LeaseStatus>> {
        let mut statuses = vec![LeaseStatus::Lost; items.len()];
        for (chunk, statuses) in items.chunks(MAX_CLAIM).zip(statuses.chunks_mut(MAX_CLAIM)) {
            let order = order(chunk);
            let fill = |cmd: &mut Cmd| {
                cmd.arg(worker.as_str());
                add_ends(cmd, chunk, &order);
            };
            let mut answers = Vec::with_capacity(chunk.len());
            read_statuses(&mut answers, self.run_again(&FINISH, queue, fill).await?, chunk.len())?;
            for (index, answer) in order.plain.into_iter().chain(order.others).zip(answers) {
                statuses[index] = answer;
            }
        }
        self.keep_logs(queue, &items, &statuses).await;
        Ok(statuses)
    }

    async fn report(&self, queue: &QueueName, report: Report) -> Result<LeaseStatus> {
        let progress = report.progress.as_ref().and_then(|progress| serde_json::to_string(progress).ok());
        // Lines that this very call would drop again are not sent.
        let surplus = report.lines.len().saturating_sub(MAX_LOG_LINES);
        let fill = |cmd: &mut Cmd| {
            cmd.arg(report.lease.id.as_str()).arg(report.lease.token);
            cmd.arg(progress.as_deref().unwrap_or_default()).arg(MAX_LOG_LINES).arg(self.log_life());
            for line in &report.lines[surplus..] {
                cmd.arg(level_name(line.level)).arg(cut(&line.text, MAX_LOG_LINE_BYTES));
            }
        };
        let answer = text(self.run_with_log(&REPORT, queue, &report.lease.id, fill).await?)?;
        answer.bytes().next().map_or_else(|| Err(odd_status()), status)
    }

    async fn wait(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake> {
        self.wait_for(queues, worker, timeout).await
    }

    async fn sweep(&self, queue: &QueueName) -> Result<Swept> {
        let fill = |cmd: &mut Cmd| {
            cmd.arg(SLICE).arg(MAX_LOST);
            self.add_retention(cmd);
        };
        let mut items = Items::of(self.run_again(&SWEEP, queue, fill).await?)?;
        Ok(Swept {
            promoted: count(&items.take()?)?,
            expired: count(&items.take()?)?,
            lost: count(&items.take()?)?,
            pruned: count(&items.take()?)?,
            more: count(&items.take()?)? == 1,
            next_in: after(number(&items.take()?)?),
        })
    }

    async fn heartbeat(&self, view: &WorkerView) -> Result<()> {
        self.name(view.queues.keys()).await?;
        self.register(view).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<()> {
        self.waits.forget(worker);
        self.grasps.forget(worker);
        self.forget(worker).await
    }
}

impl RedisBroker {
    /// How long a job's log is kept after its last line, in ms: as long as a completed job, and an hour at least.
    fn log_life(&self) -> u64 {
        millis(self.config.retention.completed_age.max(Duration::from_hours(1)))
    }

    /// Discarded jobs are kept for longer than completed ones, and so are their logs. A failure here loses only that.
    async fn keep_logs(&self, queue: &QueueName, items: &[Finish], statuses: &[LeaseStatus]) {
        let mut pipeline = redis::Pipeline::new();
        let keys = self.keys.of(queue);
        let life = millis(self.config.retention.discarded_age);
        for (item, status) in items.iter().zip(statuses) {
            if matches!(item.transition, Transition::Discard { .. }) && *status == LeaseStatus::Held {
                pipeline.cmd("PEXPIRE").arg(keys.log(&item.lease.id)).arg(life).arg("GT");
            }
        }
        if !pipeline.is_empty()
            && let Err(error) = self.link.send_all(keys.slot(), Lane::Rest, &pipeline).await
        {
            tracing::warn!(%queue, %error, "logs of discarded jobs may be dropped early");
        }
    }
}

/// Fresh jobs: their ids, their specs, the token of the first; the rest of their heads is the same for all. Also the number
/// behind the specs as such: without jobs it is no token.
fn first_attempts(items: &mut Items) -> Result<(Vec<ClaimedJob>, u64)> {
    let (ids, specs, first_token) = (list(items.take()?)?, list(items.take()?)?, count(&items.take()?)?);
    let mut jobs = Vec::with_capacity(ids.len());
    for ((id, spec), token) in ids.into_iter().zip(specs).zip(first_token..) {
        let (enqueued_at, spec) = split_spec(bytes(spec)?);
        let priority = Priority::default();
        jobs.push(ClaimedJob { id: job_id(id)?, spec, attempt: 1, failed: 0, lost: 0, token, enqueued_at, priority });
    }
    Ok((jobs, first_token))
}

fn job_id(stored: Value) -> Result<JobId> {
    text(stored)?.parse().map_err(|invalid| BrokerError::Protocol(format!("the id of a stored job: {invalid}")))
}

/// One claimed job: id, spec, head.
fn claimed(items: &mut Items) -> Result<ClaimedJob> {
    let id = job_id(items.take()?)?;
    let (enqueued_at, spec) = split_spec(bytes(items.take()?)?);
    let head = Head::read(&bytes(items.take()?)?)?;
    Ok(ClaimedJob {
        id,
        spec,
        attempt: head.attempt,
        failed: head.failed,
        lost: head.lost,
        token: head.token,
        enqueued_at,
        priority: head.priority,
    })
}

/// Positions of the ends of one call, as `lua/finish.lua` takes them: first those that completed without a result.
#[derive(Debug, Default)]
struct Order {
    plain: Vec<usize>,
    others: Vec<usize>,
}

fn order(items: &[Finish]) -> Order {
    let is_plain = |item: &Finish| matches!(item.transition, Transition::Complete { result: None });
    let (plain, others): (Vec<_>, Vec<_>) = (0..items.len()).partition(|&index| is_plain(&items[index]));
    if plain.is_empty() || others.is_empty() {
        return Order { plain, others };
    }
    // The first end of an attempt counts, so a call that ends one twice keeps its order.
    let ids: HashSet<_> = items.iter().map(|item| &item.lease.id).collect();
    if ids.len() == items.len() {
        Order { plain, others }
    } else {
        Order { plain: Vec::new(), others: (0..items.len()).collect() }
    }
}

/// Adds what `lua/finish.lua` takes behind the worker.
fn add_ends(cmd: &mut Cmd, items: &[Finish], order: &Order) {
    let mut tokens = Vec::with_capacity(order.plain.len() * 6);
    for &index in &order.plain {
        tokens.extend_from_slice(&items[index].lease.token.to_be_bytes()[2..]);
    }
    cmd.arg(order.plain.len()).arg(tokens);
    for &index in &order.plain {
        cmd.arg(items[index].lease.id.as_str());
    }
    for &index in &order.others {
        add_end(cmd, &items[index]);
    }
}

/// Adds one end that is not plain: id, token, letter, number, JSON.
fn add_end(cmd: &mut Cmd, item: &Finish) {
    cmd.arg(item.lease.id.as_str()).arg(item.lease.token);
    let json = |error: &AttemptError| serde_json::to_string(error).unwrap_or_default();
    match &item.transition {
        Transition::Complete { result } => {
            cmd.arg("c").arg(0).arg(result.as_ref().map_or("", |result| result.get()));
        }
        Transition::Retry { delay, error } => {
            cmd.arg("y").arg(millis(*delay)).arg(json(error));
        }
        Transition::Release { delay, error } => {
            let letter = if delay.is_zero() { "a" } else { "s" };
            cmd.arg(letter).arg(millis(*delay)).arg(error.as_ref().map(json).unwrap_or_default());
        }
        Transition::Discard { reason, error } => {
            cmd.arg("d").arg(position(*reason)).arg(json(error));
        }
        Transition::Cancel => {
            cmd.arg("x").arg(0).arg("");
        }
    }
}

fn read_statuses(statuses: &mut Vec<LeaseStatus>, answer: Value, wanted: usize) -> Result<()> {
    let letters = text(answer)?;
    if letters.len() != wanted {
        return Err(odd_status());
    }
    for letter in letters.bytes() {
        statuses.push(status(letter)?);
    }
    Ok(())
}

fn status(letter: u8) -> Result<LeaseStatus> {
    match letter {
        b'h' => Ok(LeaseStatus::Held),
        b'c' => Ok(LeaseStatus::CancelRequested),
        b'l' => Ok(LeaseStatus::Lost),
        _ => Err(odd_status()),
    }
}

fn odd_status() -> BrokerError {
    BrokerError::Protocol("the statuses of leases cannot be read".into())
}

/// The name of a level as it is stored.
pub(super) fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
