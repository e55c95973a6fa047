//! A job without a worker and without a broker: for the unit tests of handlers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use lovage_broker::{HeldLease, NewLogLine};
use lovage_core::{JobId, Kind, Progress, QueueName, Tenant, Timestamp};

use crate::attempt::{Attempt, Cause, Run};
use crate::context::{Facts, JobContext, LeaseLost, Link};

/// A job that runs nowhere. The test holds this, the handler gets [`DetachedJob::context`].
#[derive(Debug)]
pub struct DetachedJob {
    attempt: Arc<Attempt>,
    kind: Kind,
    tenant: Option<Tenant>,
    metadata: BTreeMap<String, String>,
    lost: Arc<Lost>,
}

#[derive(Debug, Default)]
struct Lost(AtomicBool);

impl DetachedJob {
    /// The attempt `attempt` with the fencing number `token`.
    pub fn new(queue: QueueName, kind: Kind, id: JobId, attempt: u32, token: u64) -> Self {
        let run = Run { number: attempt, failed: 0, enqueued_at: Timestamp::default() };
        let attempt = Attempt::new(0, queue, HeldLease { id, token }, run);
        Self { attempt: Arc::new(attempt), kind, tenant: None, metadata: BTreeMap::new(), lost: Arc::default() }
    }

    /// The same as a job of this tenant.
    #[must_use]
    pub fn with_tenant(self, tenant: Tenant) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// What the handler is called with.
    pub fn context(&self) -> JobContext {
        let facts = Facts {
            kind: self.kind.clone(),
            tenant: self.tenant.clone(),
            tags: Vec::new(),
            metadata: self.metadata.clone(),
        };
        JobContext::new(Arc::clone(&self.attempt), facts, Arc::clone(&self.lost) as Arc<dyn Link>)
    }

    /// Asks the handler to stop.
    pub fn cancel(&self) {
        self.attempt.stop(Cause::Cancel);
    }

    /// Lets the next confirmation of the lease fail, as if another worker had the job.
    pub fn lose_lease(&self) {
        self.lost.0.store(true, Ordering::Release);
    }

    /// The latest progress.
    pub fn progress(&self) -> Option<Progress> {
        self.attempt.told().progress.clone()
    }

    /// The log lines so far.
    pub fn lines(&self) -> Vec<NewLogLine> {
        self.attempt.told().lines.clone()
    }
}

impl Link for Lost {
    fn confirm<'a>(&'a self, attempt: &'a Arc<Attempt>) -> BoxFuture<'a, Result<(), LeaseLost>> {
        Box::pin(async move {
            if !self.0.load(Ordering::Acquire) {
                return Ok(());
            }
            attempt.stop(Cause::LeaseLost);
            let reason = "another worker has the job".to_owned();
            Err(LeaseLost { id: attempt.id().clone(), attempt: attempt.run.number, reason })
        })
    }

    fn told(&self, _attempt: &Arc<Attempt>) {}
}
