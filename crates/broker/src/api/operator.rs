//! Who steps in from outside: people, and the duties of the scheduler's leader.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    Change, DiscardReason, JobId, JobSpec, JobView, Limits, Pause, Priority, QueueName, RawJson, State, Subject,
    Timestamp, WorkerId,
};

use super::Result;
use super::worker::Control;

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

    /// As [`Self::delete`], but only if the job is still as it was `seen` ([`JobView::is_unchanged`]), decided in one step:
    /// for whoever has made a copy of it. Answers whether it was; a job that is not there was not.
    async fn delete_seen(&self, seen: &JobView) -> Result<bool>;

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

    /// Says that all events up to this cursor of [`super::Reader::events`] are recorded elsewhere. From the first such
    /// call on the queue keeps what is not: events after it, and jobs that ended after it or within its millisecond,
    /// although the retention would have removed them. Of either no more than the broker's `unrecorded_kept` beyond
    /// what it keeps anyway, and until nobody has called for 24 hours by its clock. What is recorded goes as ever; what
    /// people delete goes at once.
    ///
    /// A cursor older than an earlier one moves nothing back, and one of another past ([`super::EventPage::gap`]) says
    /// only that somebody records; so does the same one again, while nothing is new. One that cannot be read is invalid.
    /// A queue that nobody has used has nothing to keep.
    async fn recorded(&self, queue: &QueueName, cursor: &str) -> Result<()>;

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
