//! Who claims, renews and finishes jobs.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{JobId, LogLevel, Priority, Progress, QueueName, Timestamp, Transition, WorkerId, WorkerView};

use super::Result;

/// Claims, renews and finishes jobs. Every write of an attempt carries the attempt's token.
#[async_trait]
pub trait WorkerSide: Send + Sync {
    /// Claims up to `max` (at most [`lovage_core::limits::MAX_CLAIM`]) available jobs. Ownership, attempt number and
    /// token are written in the same step. Before that it does one bounded slice of [`WorkerSide::sweep`], so that due
    /// jobs and those of dead workers are found.
    ///
    /// *Order.* Within a tenant: lowest priority number first, then oldest place first. Tenants with claimable jobs take
    /// turns, each with as many jobs as its weight says; jobs without a tenant are a tenant of weight 1. Who comes new
    /// does not wait for those who were served before: a claim of as many jobs as there are tenants of weight 1 has one
    /// of each.
    ///
    /// *Ageing.* Each [`lovage_core::limits::AGEING`]th (16th) job that a tenant, or the jobs without one, has given out is
    /// its oldest by place, whatever its priority; if a limit holds that one back, it is put aside instead. So a job that
    /// may start, with `n` older ones waiting before it in its tenant, is at the latest the 16 (n + 1)th that its tenant is
    /// given from now on. Jobs that a kind or a key held back come back by priority, then age; whether they age with the
    /// others from then on is the broker's. With one priority nothing changes.
    ///
    /// *Limits.* No more than [`lovage_core::Limits`] allow for the queue, the tenant, the kind and the key of each
    /// job; a job that is held back keeps its place, hinders no other, and spends no attempt. Slots are leases: a job
    /// has its slots exactly while it is running, and with `ordered` until it has come to its end. A paused queue, kind
    /// or tenant gives nothing.
    ///
    /// A claim whose answer was lost on its way is answered again by the next one of that worker.
    async fn claim(&self, queue: &QueueName, worker: &WorkerId, max: usize, lease: Duration) -> Result<Claim>;

    /// Extends the leases of one worker in one queue. The answer has one status per lease, in order. Also renews the
    /// lock of a held unique key.
    async fn renew(&self, queue: &QueueName, leases: &[HeldLease], lease: Duration) -> Result<Vec<LeaseStatus>>;

    /// Ends attempts, each with its own status, in order: one bad item does not hinder the others. A status other
    /// than held means that nothing was written for that item. An end that was written already, by the same token, is
    /// answered as held again and changes nothing: the answer may have been lost.
    ///
    /// Failed attempts ([`Transition::Retry`], [`Transition::Discard`] because attempts or time ran out) count against
    /// the breakers of the queue and the kind, a completion sets them back; all else is neutral.
    async fn finish(&self, queue: &QueueName, worker: &WorkerId, items: Vec<Finish>) -> Result<Vec<LeaseStatus>>;

    /// Writes progress and log lines of a running attempt. Refused with [`LeaseStatus::Lost`] without the lease.
    async fn report(&self, queue: &QueueName, report: Report) -> Result<LeaseStatus>;

    /// Waits until one of `queues` may have something to claim or `timeout` is over. May wake without need, never
    /// misses: a job that became available since the last claim wakes a waiter. What time alone brings is for the waiter to
    /// remember, from [`Claim::next_in`]. A wait for no queue at all hears the
    /// worker's [`Control`] messages instead; a wait for queues leaves them alone, so that no message can end with a
    /// waiter that is busy claiming.
    async fn wait(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake>;

    /// One bounded slice (at most 1,000 jobs of each sort) of what time does to a queue: due jobs become available, expired
    /// waiting jobs are discarded, jobs with expired leases go back to their place or are discarded as
    /// `worker_lost` at the cap (or cancelled if that was asked), ended jobs and events beyond the retention are removed unless they are
    /// held for a recorder ([`super::Operator::recorded`]). Retryable
    /// jobs become available no faster than the queue's `retry_rate`, oldest due time first.
    async fn sweep(&self, queue: &QueueName) -> Result<Swept>;

    /// Registers the worker or refreshes what is known about it; also cleans up workers not heard of for a day.
    async fn heartbeat(&self, view: &WorkerView) -> Result<()>;

    /// Removes the worker from the registry.
    async fn unregister(&self, worker: &WorkerId) -> Result<()>;
}

/// A claimed job: what a worker needs to run one attempt.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// Its id.
    pub id: JobId,
    /// Its stored form, not yet decoded: whoever cannot read it releases or discards it.
    pub spec: String,
    /// The number of this run, from 1. Never repeats within a job.
    pub attempt: u32,
    /// Runs before this one that failed and count against the policy.
    pub failed: u32,
    /// Workers that died with it.
    pub lost: u32,
    /// The fencing number. Grows with every claim in the queue.
    pub token: u64,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// Its place in the line.
    pub priority: Priority,
}

/// The answer to a claim.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// The jobs, in the order of the line.
    pub jobs: Vec<ClaimedJob>,
    /// Time until the next scheduled or retryable job is due or the next lease runs out, if there is any; claim again
    /// then. Zero when more is available right now; after a full claim also when that may turn out to be held back.
    pub next_in: Option<Duration>,
}

/// A lease as its owner knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldLease {
    /// The job.
    pub id: JobId,
    /// The attempt's token.
    pub token: u64,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStatus {
    /// It is held and what was asked is done.
    Held,
    /// It is held and somebody asked the job to stop. Only answered by renew and report.
    CancelRequested,
    /// Somebody else has it or the job is gone: stop working, write nothing.
    Lost,
}

/// The end of one attempt.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Whose end.
    pub lease: HeldLease,
    /// What follows.
    pub transition: Transition,
}

/// What a running attempt tells about itself.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who reports.
    pub lease: HeldLease,
    /// How far it is, if that changed.
    pub progress: Option<Progress>,
    /// New log lines.
    pub lines: Vec<NewLogLine>,
}

/// A log line on its way in; the broker adds time and attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogLine {
    /// How serious it is.
    pub level: LogLevel,
    /// The text; cut to [`lovage_core::limits::MAX_LOG_LINE_BYTES`].
    pub text: String,
}

/// Why a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// This queue may have something.
    Queue(QueueName),
    /// Somebody wants something of the worker.
    Control(Control),
    /// Nothing happened in time.
    Timeout,
}

/// A message to one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Stop this attempt.
    Cancel {
        /// The queue of the job.
        queue: QueueName,
        /// The attempt.
        lease: HeldLease,
    },
    /// Claim nothing more.
    Quiet,
    /// Finish and exit.
    Stop,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Due jobs that became available.
    pub promoted: u64,
    /// Waiting jobs that were discarded as expired.
    pub expired: u64,
    /// Jobs taken back from dead workers, including those that were then discarded or cancelled.
    pub lost: u64,
    /// Ended jobs removed by the retention.
    pub pruned: u64,
    /// Whether a slice was full: call again.
    pub more: bool,
    /// As in [`Claim::next_in`].
    pub next_in: Option<Duration>,
}

/// How long ended jobs are kept in the broker. The ledger keeps history for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age of completed and cancelled jobs.
    pub completed_age: Duration,
    /// Number of completed jobs a queue (and the same number of cancelled ones).
    pub completed_count: u64,
    /// Age of discarded jobs.
    pub discarded_age: Duration,
    /// Number of discarded jobs a queue.
    pub discarded_count: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            completed_age: Duration::from_hours(24),
            completed_count: 10_000,
            discarded_age: Duration::from_hours(24 * 90),
            discarded_count: 100_000,
        }
    }
}
