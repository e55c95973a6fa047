//! A broker that fails on purpose, by decoration: any handler and any worker can be run against it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::{
    Broker, BrokerError, BulkAction, BulkProgress, Cancelled, Claim, Control, Edit, EnqueueOutcome, EventPage, Finish,
    HeldLease, JobPage, Leadership, LeaseStatus, ListQuery, LogPage, NewPause, Operator, Producer, Reader, Report,
    Swept, Wake, WorkerSide,
};
use lovage_core::{
    FlowView, JobId, JobView, Limits, NewJob, Pause, QueueName, QueueView, State, Subject, WorkerId, WorkerView,
};

type Result<T> = std::result::Result<T, BrokerError>;

/// A moment in the life of a job at which a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Nothing was sent yet.
    BeforeEnqueue,
    /// The jobs are in, the producer does not know it yet.
    AfterEnqueue,
    /// Nothing was claimed yet.
    BeforeClaim,
    /// Jobs are claimed, the worker does not know it yet.
    AfterClaim,
    /// A lease is about to be renewed: by the keeper, or right before an artifact is published.
    BeforeRenew,
    /// Leases are renewed, nobody knows it yet.
    AfterRenew,
    /// The handler runs and reports how far it is.
    BeforeReport,
    /// The report is written, nobody knows it yet.
    AfterReport,
    /// The handler has ended, its outcome is not written.
    BeforeFinish,
    /// The outcome is written, the worker does not know it yet.
    AfterFinish,
    /// What is due or lost is about to be moved.
    BeforeSweep,
    /// It is moved.
    AfterSweep,
    /// The worker is about to show a sign of life.
    BeforeHeartbeat,
    /// The worker is about to take itself off the list, at its end.
    BeforeUnregister,
    /// Somebody is about to look at a job.
    BeforeLook,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 15] = [
        Self::BeforeEnqueue,
        Self::AfterEnqueue,
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::BeforeRenew,
        Self::AfterRenew,
        Self::BeforeReport,
        Self::AfterReport,
        Self::BeforeFinish,
        Self::AfterFinish,
        Self::BeforeSweep,
        Self::AfterSweep,
        Self::BeforeHeartbeat,
        Self::BeforeUnregister,
        Self::BeforeLook,
    ];
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call goes through.
    None,
    /// The call answers that the broker is unavailable; after an `After…` point although it was done.
    Unavailable,
    /// The process dies as by `kill -9`.
    Kill,
    /// The call never returns; after an `After…` point it was done.
    Stall,
}

/// Decides what happens at a point.
pub type Plan = Arc<dyn Fn(Point) -> Fault + Send + Sync>;

/// Dies as by `kill -9`.
pub async fn kill_this_process() -> ! {
    let pid = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    // The signal is on its way; nothing after this line may run.
    std::future::pending().await
}

/// Passes every call on to the broker inside, unless the plan has something else in mind.
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    plan: Plan,
}

impl fmt::Debug for FaultyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBroker").finish_non_exhaustive()
    }
}

impl FaultyBroker {
    /// Puts the plan in front of a broker.
    pub fn new(inner: Arc<dyn Broker>, plan: Plan) -> Self {
        Self { inner, plan }
    }

    async fn strike(&self, point: Point) -> Result<()> {
        match (self.plan)(point) {
            Fault::None => Ok(()),
            Fault::Unavailable => Err(BrokerError::Unavailable(format!("injected fault at {point:?}"))),
            Fault::Kill => kill_this_process().await,
            Fault::Stall => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Producer for FaultyBroker {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>> {
        self.strike(Point::BeforeEnqueue).await?;
        let outcomes = self.inner.enqueue(jobs).await?;
        self.strike(Point::AfterEnqueue).await?;
        Ok(outcomes)
    }
}

#[async_trait]
impl WorkerSide for FaultyBroker {
    async fn claim(&self, queue: &QueueName, worker: &WorkerId, max: usize, lease: Duration) -> Result<Claim> {
        self.strike(Point::BeforeClaim).await?;
        let claim = self.inner.claim(queue, worker, max, lease).await?;
        if !claim.jobs.is_empty() {
            self.strike(Point::AfterClaim).await?;
        }
        Ok(claim)
    }

    async fn renew(&self, queue: &QueueName, leases: &[HeldLease], lease: Duration) -> Result<Vec<LeaseStatus>> {
        self.strike(Point::BeforeRenew).await?;
        let statuses = self.inner.renew(queue, leases, lease).await?;
        self.strike(Point::AfterRenew).await?;
        Ok(statuses)
    }

    async fn finish(&self, queue: &QueueName, worker: &WorkerId, items: Vec<Finish>) -> Result<Vec<LeaseStatus>> {
        self.strike(Point::BeforeFinish).await?;
        let statuses = self.inner.finish(queue, worker, items).await?;
        self.strike(Point::AfterFinish).await?;
        Ok(statuses)
    }

    async fn report(&self, queue: &QueueName, report: Report) -> Result<LeaseStatus> {
        self.strike(Point::BeforeReport).await?;
        let status = self.inner.report(queue, report).await?;
        self.strike(Point::AfterReport).await?;
        Ok(status)
    }

    async fn wait(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake> {
        self.inner.wait(queues, worker, timeout).await
    }

    async fn sweep(&self, queue: &QueueName) -> Result<Swept> {
        self.strike(Point::BeforeSweep).await?;
        let swept = self.inner.sweep(queue).await?;
        self.strike(Point::AfterSweep).await?;
        Ok(swept)
    }

    async fn heartbeat(&self, view: &WorkerView) -> Result<()> {
        self.strike(Point::BeforeHeartbeat).await?;
        self.inner.heartbeat(view).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<()> {
        self.strike(Point::BeforeUnregister).await?;
        self.inner.unregister(worker).await
    }
}

#[async_trait]
impl Operator for FaultyBroker {
    async fn cancel(&self, queue: &QueueName, id: &JobId) -> Result<Cancelled> {
        self.inner.cancel(queue, id).await
    }

    async fn retry(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.inner.retry(queue, id).await
    }

    async fn discard(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.inner.discard(queue, id).await
    }

    async fn delete(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.inner.delete(queue, id).await
    }

    async fn delete_seen(&self, seen: &JobView) -> Result<bool> {
        self.inner.delete_seen(seen).await
    }

    async fn edit(&self, queue: &QueueName, id: &JobId, edit: Edit) -> Result<()> {
        self.inner.edit(queue, id, edit).await
    }

    async fn bulk(
        &self,
        queue: &QueueName,
        state: State,
        action: BulkAction,
        cursor: Option<String>,
    ) -> Result<BulkProgress> {
        self.inner.bulk(queue, state, action, cursor).await
    }

    async fn pause(&self, queue: &QueueName, subject: &Subject, pause: &NewPause) -> Result<Pause> {
        self.inner.pause(queue, subject, pause).await
    }

    async fn resume(&self, queue: &QueueName, subject: &Subject) -> Result<bool> {
        self.inner.resume(queue, subject).await
    }

    async fn limit(&self, queue: &QueueName, subject: &Subject, limits: &Limits) -> Result<()> {
        self.inner.limit(queue, subject, limits).await
    }

    async fn control(&self, worker: &WorkerId, control: Control) -> Result<bool> {
        self.inner.control(worker, control).await
    }

    async fn recorded(&self, queue: &QueueName, cursor: &str) -> Result<()> {
        self.inner.recorded(queue, cursor).await
    }

    async fn lead(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Leadership>> {
        self.inner.lead(name, holder, ttl).await
    }

    async fn resign(&self, name: &str, holder: &str) -> Result<()> {
        self.inner.resign(name, holder).await
    }
}

#[async_trait]
impl Reader for FaultyBroker {
    async fn job(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>> {
        self.strike(Point::BeforeLook).await?;
        self.inner.job(queue, id).await
    }

    async fn jobs(&self, queue: &QueueName, ids: &[JobId]) -> Result<Vec<JobView>> {
        self.inner.jobs(queue, ids).await
    }

    async fn list(&self, query: &ListQuery) -> Result<JobPage> {
        self.inner.list(query).await
    }

    async fn logs(&self, queue: &QueueName, id: &JobId, after: Option<&str>) -> Result<LogPage> {
        self.inner.logs(queue, id, after).await
    }

    async fn queue(&self, queue: &QueueName) -> Result<QueueView> {
        self.inner.queue(queue).await
    }

    async fn queues(&self) -> Result<Vec<QueueView>> {
        self.inner.queues().await
    }

    async fn flow(&self, queue: &QueueName, after: Option<&Subject>, limit: usize) -> Result<Vec<FlowView>> {
        self.inner.flow(queue, after, limit).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.inner.workers().await
    }

    async fn events(&self, queue: &QueueName, cursor: Option<&str>, limit: usize) -> Result<EventPage> {
        self.inner.events(queue, cursor, limit).await
    }

    async fn diagnose(&self) -> Result<Vec<(String, String, bool)>> {
        self.inner.diagnose().await
    }
}
