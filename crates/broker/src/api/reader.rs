//! Who only looks.

use std::collections::HashSet;

use async_trait::async_trait;
use lovage_core::limits::MAX_LOOK;
use lovage_core::{
    Event, FlowView, Invalid, JobId, JobView, LogLine, QueueName, QueueView, State, Subject, WorkerView,
};

use super::Result;

/// Looks, changes nothing.
#[async_trait]
pub trait Reader: Send + Sync {
    /// A job, in the given queue or in whichever queue has it.
    async fn job(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>>;

    /// The jobs of a queue with these ids, each as [`Self::job`] shows it, in the order asked. Ids that are not there are
    /// passed over (as may be a job that somebody damaged), repeated ones answered once. At most
    /// [`lovage_core::limits::MAX_LOOK`] in a call; one look at the store, whose answer holds the arguments, results and
    /// errors of all of them.
    async fn jobs(&self, queue: &QueueName, ids: &[JobId]) -> Result<Vec<JobView>>;

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

/// The ids of [`Reader::jobs`], each once. [`Invalid`] if there are too many.
pub(crate) fn wanted(ids: &[JobId]) -> std::result::Result<Vec<&JobId>, Invalid> {
    if ids.len() > MAX_LOOK {
        let problem = format!("has {} entries", ids.len());
        return Err(Invalid::new("ids", problem, format!("ask for at most {MAX_LOOK} a call")));
    }
    let mut seen = HashSet::with_capacity(ids.len());
    Ok(ids.iter().filter(|id| seen.insert(*id)).collect())
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
