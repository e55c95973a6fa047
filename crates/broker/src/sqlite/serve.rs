//! The broker's traits: each call becomes a command for the writer or a query.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::limits::MAX_CLAIM;
use lovage_core::{
    FlowView, Invalid, JobId, JobView, Limits, NewJob, Pause, QueueName, QueueView, State, Subject, WorkerId,
    WorkerView,
};

use super::bulk::{ActOnState, Cursor};
use super::claim::TakeJobs;
use super::edit::EditJob;
use super::enqueue::Enqueue;
use super::fault::Fault;
use super::finish::EndAttempts;
use super::flow::{Resume, SetLimits, SetPause};
use super::hold::Recorded;
use super::operate::{Act, DeleteSeen};
use super::registry::{Beat, Forget, Lead, Resign, Send};
use super::renew::{Renew, TakeReport};
use super::sweep::Sweep;
use super::wait::Wait;
use super::{SqliteBroker, diagnose, events, flow_view, read};
use crate::api::{
    BulkAction, BulkProgress, Cancelled, Claim, Control, Edit, EnqueueOutcome, EventPage, Finish, HeldLease, JobPage,
    Leadership, LeaseStatus, ListQuery, LogPage, NewPause, Operator, Producer, Reader, Report, Swept, Wake, WorkerSide,
    wanted,
};
use crate::error::BrokerError;

type Result<T> = std::result::Result<T, BrokerError>;

#[async_trait]
impl Producer for SqliteBroker {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>> {
        let max_payload = self.config.max_payload_bytes;
        let call = Enqueue::prepare(jobs, max_payload, self.clock.now(), &*self.config.entropy)?;
        match call.decided() {
            Some(outcomes) => Ok(outcomes),
            None => self.writer.run(call).await,
        }
    }
}

fn bounded(field: &str, count: usize) -> Result<()> {
    if count > MAX_CLAIM {
        let help = format!("send at most {MAX_CLAIM} a call");
        return Err(Invalid::new(field, format!("has {count} entries"), help).into());
    }
    Ok(())
}

#[async_trait]
impl WorkerSide for SqliteBroker {
    async fn claim(&self, queue: &QueueName, worker: &WorkerId, max: usize, lease: Duration) -> Result<Claim> {
        self.writer
            .run(TakeJobs { queue: queue.clone(), worker: worker.clone(), max, lease, ageing: self.config.ageing })
            .await
    }

    async fn renew(&self, queue: &QueueName, leases: &[HeldLease], lease: Duration) -> Result<Vec<LeaseStatus>> {
        bounded("leases", leases.len())?;
        self.writer.run(Renew { queue: queue.clone(), leases: leases.to_vec(), lease }).await
    }

    async fn finish(&self, queue: &QueueName, worker: &WorkerId, items: Vec<Finish>) -> Result<Vec<LeaseStatus>> {
        bounded("items", items.len())?;
        self.writer.run(EndAttempts { queue: queue.clone(), worker: worker.clone(), items }).await
    }

    async fn report(&self, queue: &QueueName, report: Report) -> Result<LeaseStatus> {
        self.writer.run(TakeReport { queue: queue.clone(), report }).await
    }

    async fn wait(&self, queues: &[QueueName], worker: &WorkerId, timeout: Duration) -> Result<Wake> {
        let Self { hub, readers, writer, clock, .. } = self;
        Wait { hub, readers, writer, clock, queues, worker }.run(timeout).await
    }

    async fn sweep(&self, queue: &QueueName) -> Result<Swept> {
        self.writer
            .run(Sweep { queue: queue.clone(), retention: self.config.retention, kept: self.config.kept() })
            .await
    }

    async fn heartbeat(&self, view: &WorkerView) -> Result<()> {
        self.writer.run(Beat(view.clone())).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<()> {
        self.writer.run(Forget(worker.clone())).await?;
        self.hub.forget(worker);
        Ok(())
    }
}

impl SqliteBroker {
    async fn act(&self, queue: &QueueName, id: &JobId, action: BulkAction) -> Result<Cancelled> {
        self.writer.run(Act { queue: queue.clone(), id: id.clone(), action }).await
    }
}

#[async_trait]
impl Operator for SqliteBroker {
    async fn cancel(&self, queue: &QueueName, id: &JobId) -> Result<Cancelled> {
        self.act(queue, id, BulkAction::Cancel).await
    }

    async fn retry(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.act(queue, id, BulkAction::Retry).await.map(drop)
    }

    async fn discard(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.act(queue, id, BulkAction::Discard).await.map(drop)
    }

    async fn delete(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.act(queue, id, BulkAction::Delete).await.map(drop)
    }

    async fn delete_seen(&self, seen: &JobView) -> Result<bool> {
        self.writer.run(DeleteSeen(seen.clone())).await
    }

    async fn edit(&self, queue: &QueueName, id: &JobId, edit: Edit) -> Result<()> {
        let max_payload = self.config.max_payload_bytes;
        self.writer.run(EditJob { queue: queue.clone(), id: id.clone(), edit, max_payload }).await
    }

    async fn bulk(
        &self,
        queue: &QueueName,
        state: State,
        action: BulkAction,
        cursor: Option<String>,
    ) -> Result<BulkProgress> {
        let cursor = cursor.map_or(Ok(Cursor::start()), |cursor| Cursor::parse(&cursor))?;
        self.writer.run(ActOnState { queue: queue.clone(), state, action, cursor }).await
    }

    async fn pause(&self, queue: &QueueName, subject: &Subject, pause: &NewPause) -> Result<Pause> {
        subject.can_pause()?;
        let NewPause { by, why, until } = pause.clone();
        self.writer.run(SetPause { queue: queue.clone(), subject: subject.clone(), by, why, until }).await
    }

    async fn resume(&self, queue: &QueueName, subject: &Subject) -> Result<bool> {
        self.writer.run(Resume { queue: queue.clone(), subject: subject.clone() }).await
    }

    async fn limit(&self, queue: &QueueName, subject: &Subject, limits: &Limits) -> Result<()> {
        limits.validate(subject)?;
        self.writer.run(SetLimits { queue: queue.clone(), subject: subject.clone(), limits: *limits }).await
    }

    async fn control(&self, worker: &WorkerId, control: Control) -> Result<bool> {
        self.writer.run(Send { worker: worker.clone(), control }).await
    }

    async fn recorded(&self, queue: &QueueName, cursor: &str) -> Result<()> {
        let upto = events::number(cursor)?;
        self.writer.run(Recorded { queue: queue.clone(), upto }).await
    }

    async fn lead(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Leadership>> {
        self.writer.run(Lead { name: name.to_owned(), holder: holder.to_owned(), ttl }).await
    }

    async fn resign(&self, name: &str, holder: &str) -> Result<()> {
        self.writer.run(Resign { name: name.to_owned(), holder: holder.to_owned() }).await
    }
}

#[async_trait]
impl Reader for SqliteBroker {
    async fn job(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>> {
        Ok(read::job(&self.readers, queue, id).await?)
    }

    async fn jobs(&self, queue: &QueueName, ids: &[JobId]) -> Result<Vec<JobView>> {
        match wanted(ids)? {
            ids if ids.is_empty() => Ok(Vec::new()),
            ids => Ok(read::jobs(&self.readers, queue, &ids).await?),
        }
    }

    async fn list(&self, query: &ListQuery) -> Result<JobPage> {
        Ok(read::list(&self.readers, query).await?)
    }

    async fn logs(&self, queue: &QueueName, id: &JobId, after: Option<&str>) -> Result<LogPage> {
        Ok(read::logs(&self.readers, queue, id, after).await?)
    }

    async fn queue(&self, queue: &QueueName) -> Result<QueueView> {
        let found = read::queues(&self.readers, Some(queue), self.clock.now()).await?.pop();
        let empty = || QueueView {
            name: queue.clone(),
            counts: lovage_core::Counts::default(),
            oldest_available_ms: None,
            paused: None,
            flow: Vec::new(),
        };
        Ok(found.unwrap_or_else(empty))
    }

    async fn queues(&self) -> Result<Vec<QueueView>> {
        Ok(read::queues(&self.readers, None, self.clock.now()).await?)
    }

    async fn flow(&self, queue: &QueueName, after: Option<&Subject>, limit: usize) -> Result<Vec<FlowView>> {
        Ok(flow_view::flow(&self.readers, queue, after, limit, self.clock.now()).await?)
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        Ok(read::workers(&self.readers, self.clock.now()).await?)
    }

    async fn events(&self, queue: &QueueName, cursor: Option<&str>, limit: usize) -> Result<EventPage> {
        Ok(events::events(&self.readers, queue, cursor, limit).await?)
    }

    async fn diagnose(&self) -> Result<Vec<(String, String, bool)>> {
        diagnose::diagnose(self).await.map_err(Fault::into)
    }
}
