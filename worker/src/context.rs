//! What a handler knows of its job and how it talks to the outside while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use lovage_broker::NewLogLine;
use lovage_core::limits::{MAX_LOG_LINE_BYTES, cut};
use lovage_core::{JobId, Kind, LogLevel, Progress, QueueName, Tenant, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::handler::JobError;

/// The lease of an attempt is gone or cannot be confirmed: nothing may be published.
#[derive(Debug, Clone, thiserror::Error)]
#[error("attempt {attempt} of job {id} may not publish: {reason}")]
pub struct LeaseLost {
    /// The job.
    pub id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// What was found.
    pub reason: String,
}

/// How a context reaches the worker that runs it; in a handler's own tests, a stand-in.
pub(crate) trait Link: Send + Sync {
    /// Renews the lease now.
    fn confirm<'a>(&'a self, attempt: &'a Arc<Attempt>) -> BoxFuture<'a, Result<(), LeaseLost>>;

    /// The attempt has something to say.
    fn told(&self, attempt: &Arc<Attempt>);
}

/// The facts of the job that the stored form holds.
#[derive(Debug)]
pub(crate) struct Facts {
    pub kind: Kind,
    pub tenant: Option<Tenant>,
    pub tags: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

/// The running job, as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct JobContext {
    attempt: Arc<Attempt>,
    facts: Arc<Facts>,
    link: Arc<dyn Link>,
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("id", self.id()).field("attempt", &self.attempt()).finish_non_exhaustive()
    }
}

impl JobContext {
    pub(crate) fn new(attempt: Arc<Attempt>, facts: Facts, link: Arc<dyn Link>) -> Self {
        Self { attempt, facts: Arc::new(facts), link }
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        self.attempt.id()
    }

    /// The queue that it came from.
    pub fn queue(&self) -> &QueueName {
        &self.attempt.queue
    }

    /// Its kind.
    pub fn kind(&self) -> &Kind {
        &self.facts.kind
    }

    /// The number of this run, from 1. Never repeats within a job.
    pub fn attempt(&self) -> u32 {
        self.attempt.run.number
    }

    /// The fencing number of this run: grows with every claim in the queue.
    pub fn token(&self) -> u64 {
        self.attempt.lease.token
    }

    /// The customer or team that it belongs to.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.facts.tenant.as_ref()
    }

    /// Its labels.
    pub fn tags(&self) -> &[String] {
        &self.facts.tags
    }

    /// What its producer sent along for logs and traces.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.facts.metadata
    }

    /// When it was enqueued, by the broker's clock.
    pub fn enqueued_at(&self) -> Timestamp {
        self.attempt.run.enqueued_at
    }

    /// Fires when the attempt should stop: the job was cancelled, the lease is lost, the hard timeout is over or the
    /// worker ends. Clean up and return [`JobError::Cancelled`] within a few seconds.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.attempt.cancelled
    }

    /// Waits for `work` unless the attempt is to stop first; then the work is dropped.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
        tokio::select! {
            biased;
            () = self.cancelled().cancelled() => Err(JobError::Cancelled),
            worked = work => worked,
        }
    }

    /// Whether the attempt should stop; for loops that do not await.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.cancelled.is_cancelled()
    }

    /// Fires when the kind's soft timeout is over: come to an end by yourself, e.g. save what is done and snooze.
    pub fn soft_timeout(&self) -> &CancellationToken {
        &self.attempt.soft_timeout
    }

    /// Says how far the job is. Costs a lock, never waits: at most four values a second are written, and the last one
    /// always is.
    pub fn progress(&self, progress: Progress) {
        if self.attempt.tell_progress(progress) {
            self.link.told(&self.attempt);
        }
    }

    /// Adds a line to the job's log. Never waits: lines are written in batches.
    pub fn log(&self, level: LogLevel, text: impl AsRef<str>) {
        let line = NewLogLine { level, text: cut(text.as_ref(), MAX_LOG_LINE_BYTES) };
        if self.attempt.tell_line(line) {
            self.link.told(&self.attempt);
        }
    }

    /// Renews the lease now and errs if it is lost or cannot be confirmed before it would be over. To be called right
    /// before anything becomes visible to others.
    pub async fn confirm_lease(&self) -> Result<(), LeaseLost> {
        self.link.confirm(&self.attempt).await
    }

    /// Runs work that blocks its thread where it hinders nobody. A panic in it goes on in the caller.
    ///
    /// The work cannot be stopped from outside: let it look at [`JobContext::is_cancelled`] of a clone.
    pub async fn blocking<T, F>(&self, work: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let span = tracing::Span::current();
        match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Blocking work is only cancelled when its runtime ends, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
