//! The contract. A broker is right when `tests/conformance` passes; what the suite checks is written here.
//!
//! Common to all calls: one call is one atomic step (a Lua script, an SQL transaction), every change of state follows
//! [`lovage_core::transition`] and appends one [`lovage_core::Event`] per job in the same step, all times are the
//! broker's own, and no call touches more than a bounded number of jobs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lovage_core::{
    Change, DiscardReason, Event, FlowView, JobId, JobSpec, JobView, Limits, LogLevel, LogLine, NewJob, Pause,
    Priority, Progress, QueueName, QueueView, RawJson, State, Subject, Timestamp, Transition, WorkerId, WorkerView,
};

use crate::error::BrokerError;

/// Result of a broker call.
type Result<T> = std::result::Result<T, BrokerError>;

/// Everything at once; what the binary hands around.
pub trait Broker: Producer + WorkerSide + Operator + Reader {}
impl<T: Producer + WorkerSide + Operator + Reader> Broker for T {}

/// Opens a further connection of the same broker. The lease keeper uses one on a runtime of its own.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Broker>>> + Send + Sync>;

// ---------------------------------------------------------------------------------------------- producers

/// Hands jobs in.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Enqueues up to [`lovage_core::limits::MAX_BATCH`] jobs, for any number of queues, and answers one outcome per
    /// job, in order. Jobs of one queue become visible together. A job that is refused does not hinder the others.
    ///
    /// An id that the queue already knows is never written again: [`EnqueueOutcome::Existing`] if it asks for the
    /// same, [`Refused::Conflict`] with the first differing field if not.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>>;
}

/// What became of one job of an enqueue call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnqueueOutcome {
    /// It is in the queue.
    Enqueued(JobId),
    /// A job with the same id or the same unique key was there before and answers for it.
    Existing(JobId),
    /// It replaced the content of the waiting job with the same unique key, which keeps its id.
    Replaced(JobId),
    /// It is not in the queue.
    Refused(Refused),
}

impl EnqueueOutcome {
    /// The id under which the work is now known, unless it was refused.
    pub fn id(&self) -> Option<&JobId> {
        match self {
            Self::Enqueued(id) | Self::Existing(id) | Self::Replaced(id) => Some(id),
            Self::Refused(_) => None,
        }
    }
}

/// Why a job was not enqueued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something about the job itself is unacceptable.
    #[error(transparent)]
    Invalid(#[from] lovage_core::Invalid),
    /// The id belongs to a job that asks for something else.
    #[error("id {id} already belongs to a job with different {field}; use another id, or send the same content")]
    Conflict {
        /// The id.
        id: JobId,
        /// The first field that differs.
        field: &'static str,
    },
    /// Too many jobs wait already. Jobs that are known already are answered as ever.
    #[error(transparent)]
    Full(#[from] lovage_core::Full),
    /// The unique key is taken and the caller asked for `reject`.
    #[error("unique key is held by job {holder}")]
    UniqueTaken {
        /// The job that holds it.
        holder: JobId,
    },
}

// ------------------------------------------------------------------------------------------------ workers

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

    /// One bounded slice (1,000 jobs of each sort) of what time does to a queue: due jobs become available, expired
    /// waiting jobs are discarded, jobs with expired leases go back to their place or are discarded as
    /// `worker_lost` at the cap (or cancelled if that was asked), ended jobs beyond the retention are removed. Retryable
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

// ---------------------------------------------------------------------------------------------- operators

/// Steps in from outside: people, and the duties of the scheduler's leader.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Cancels a waiting job at once, or asks a running one to stop (its worker is told without delay).
    async fn cancel(&self, queue: &QueueName, id: &JobId) -> Result<Cancelled>;

    /// Makes a scheduled, retryable or ended job available now, at the end of its priority's line. An ended job starts
    /// afresh: its failures and lost workers no longer count, its `expires_at` is cleared, its errors are kept.
    async fn retry(&self, queue: &QueueName, id: &JobId) -> Result<()>;

    /// Discards a waiting job as `rejected`.
    async fn discard(&self, queue: &QueueName, id: &JobId) -> Result<()>;

    /// Removes a job and all that belongs to it. A running job is refused: cancel it first.
    async fn delete(&self, queue: &QueueName, id: &JobId) -> Result<()>;

    /// Changes a job that is not running.
    async fn edit(&self, queue: &QueueName, id: &JobId, edit: Edit) -> Result<()>;

    /// Does `action` to one bounded slice of the jobs in `state`: those whose action is legal. Start with no cursor
    /// and call again with the answer's until there is none.
    async fn bulk(
        &self,
        queue: &QueueName,
        state: State,
        action: BulkAction,
        cursor: Option<String>,
    ) -> Result<BulkProgress>;

    /// Stops claims from the queue, or of its jobs of a kind or a tenant, until it is resumed or `until` comes.
    /// Replaces an earlier pause of the same subject.
    async fn pause(&self, queue: &QueueName, subject: &Subject, pause: &NewPause) -> Result<Pause>;

    /// Lets claims through again, and closes the subject's breaker. Answers whether it was paused or its breaker was
    /// not closed.
    async fn resume(&self, queue: &QueueName, subject: &Subject) -> Result<bool>;

    /// Sets the limits of a subject, in place of earlier ones; empty ones remove them. Holds from the next claim on,
    /// for jobs that wait already too; jobs that run count. Within half a minute for `tenant:*` and `key:*`.
    async fn limit(&self, queue: &QueueName, subject: &Subject, limits: &Limits) -> Result<()>;

    /// Sends a message to a worker. Answers whether the worker is registered.
    async fn control(&self, worker: &WorkerId, control: Control) -> Result<bool>;

    /// Takes or keeps the leadership called `name` for `ttl`. Nothing while another holder's time has not run out. The
    /// term grows with every change of holder.
    async fn lead(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Leadership>>;

    /// Gives the leadership up, if `holder` has it.
    async fn resign(&self, name: &str, holder: &str) -> Result<()>;
}

/// A pause to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPause {
    /// Who pauses.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job waited and is cancelled.
    Now,
    /// The job runs and its worker was told.
    Requested,
}

/// What to change of a job; absent means unchanged.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// New arguments.
    pub args: Option<RawJson>,
    /// New place in the line.
    pub priority: Option<Priority>,
    /// New tags.
    pub tags: Option<Vec<String>>,
}

impl Edit {
    /// Applies the edit to the stored part of a job.
    pub fn apply(&self, spec: &mut JobSpec) {
        if let Some(args) = &self.args {
            spec.args = args.clone();
        }
        if let Some(tags) = &self.tags {
            spec.tags.clone_from(tags);
        }
    }
}

/// What a bulk call does to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// As [`Operator::retry`].
    Retry,
    /// As [`Operator::cancel`], for waiting jobs.
    Cancel,
    /// As [`Operator::discard`].
    Discard,
    /// As [`Operator::delete`].
    Delete,
}

impl BulkAction {
    /// Whether the action may be done to a job in this state.
    pub fn allows(self, state: State) -> bool {
        let legal = |change| lovage_core::transition(state, change).is_ok();
        match self {
            Self::Retry => legal(Change::Redrive),
            Self::Cancel => state != State::Running && legal(Change::Cancel),
            Self::Discard => state != State::Running && legal(Change::Discard(DiscardReason::Rejected)),
            Self::Delete => state != State::Running,
        }
    }
}

/// How far a bulk action is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkProgress {
    /// Jobs done by this call.
    pub done: u64,
    /// Where to go on; nothing when the end is reached.
    pub cursor: Option<String>,
}

/// A held leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// Grows with every change of holder; every write of a leader carries it.
    pub term: u64,
}

// ------------------------------------------------------------------------------------------------ readers

/// Looks, changes nothing.
#[async_trait]
pub trait Reader: Send + Sync {
    /// A job, in the given queue or in whichever queue has it.
    async fn job(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>>;

    /// A page of the jobs in one state: available ones in the order of the line (tenant by tenant, and
    /// those that a limit holds back may stand apart), due ones by due time, running ones by
    /// lease, ended ones newest first.
    async fn list(&self, query: &ListQuery) -> Result<JobPage>;

    /// The log lines of a job that are still kept, after a cursor.
    async fn logs(&self, queue: &QueueName, id: &JobId, after: Option<&str>) -> Result<LogPage>;

    /// One queue. A name that nobody has used yet answers an empty queue.
    async fn queue(&self, queue: &QueueName) -> Result<QueueView>;

    /// All queues that ever had a job or a worker, by name.
    async fn queues(&self) -> Result<Vec<QueueView>>;

    /// What of a queue has limits, pauses or breakers, by the text of the subject: up to `limit` (at most
    /// [`lovage_core::limits::MAX_PAGE`]) after the subject `after`.
    async fn flow(&self, queue: &QueueName, after: Option<&Subject>, limit: usize) -> Result<Vec<FlowView>>;

    /// Workers heard of within the last minute, by id.
    async fn workers(&self) -> Result<Vec<WorkerView>>;

    /// Up to `limit` events of a queue after `cursor` (from the oldest kept one without a cursor).
    async fn events(&self, queue: &QueueName, cursor: Option<&str>, limit: usize) -> Result<EventPage>;

    /// What `lovage doctor` shows of the store: name, finding and whether it is fine.
    async fn diagnose(&self) -> Result<Vec<(String, String, bool)>>;
}

/// Which jobs to list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// The queue.
    pub queue: QueueName,
    /// The state.
    pub state: State,
    /// Most jobs to answer, at most [`lovage_core::limits::MAX_PAGE`].
    pub limit: usize,
    /// The cursor of the page before.
    pub cursor: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Log lines of a job.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// Where to go on; the same as was sent when nothing is new.
    pub next: Option<String>,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where to go on; the same as was sent when nothing is new.
    pub next: Option<String>,
    /// Whether events after the cursor were dropped before they were read: heal from state.
    pub gap: bool,
}
