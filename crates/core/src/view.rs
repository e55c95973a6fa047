//! What readers see: jobs, queues and workers as the broker knows them at one instant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RawJson;
use crate::clock::Timestamp;
use crate::flow::FlowView;
use crate::id::JobId;
use crate::names::{FlowKey, Kind, QueueName, Tenant, WorkerId};
use crate::outcome::ErrorClass;
use crate::priority::Priority;
use crate::progress::Progress;
use crate::retry::RetryPolicy;
use crate::state::{DiscardReason, State};

/// The error of a past attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastError {
    /// The attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// The worker that ran it.
    pub worker: Option<WorkerId>,
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// The error's text.
    pub message: String,
}

/// A job with everything that the broker knows about it.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Where it stands.
    pub state: State,
    /// Its kind; absent when the stored form cannot be read.
    pub kind: Option<Kind>,
    /// Its arguments; absent when the stored form cannot be read.
    pub args: Option<RawJson>,
    /// Its place in the line.
    pub priority: Priority,
    /// The customer or team.
    pub tenant: Option<Tenant>,
    /// What its limits by key count.
    pub key: Option<FlowKey>,
    /// Free labels.
    pub tags: Vec<String>,
    /// What goes through to logs.
    pub metadata: BTreeMap<String, String>,
    /// Runs so far; the number of the latest one.
    pub attempt: u32,
    /// Runs that ended in a failure and count against `max_attempts`.
    pub failed: u32,
    /// Failures that its own policy allows; absent when its kind's policy holds.
    pub max_attempts: Option<u32>,
    /// Its own retry policy; absent when its kind's holds.
    pub retry: Option<RetryPolicy>,
    /// Its own hard limit of one attempt, in milliseconds; absent when its kind's holds.
    pub timeout_ms: Option<u64>,
    /// Workers that died with it.
    pub lost: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When it came into its state.
    pub since: Timestamp,
    /// When it is due, while it is scheduled or retryable.
    pub due_at: Option<Timestamp>,
    /// When it is discarded if it still waits then.
    pub expires_at: Option<Timestamp>,
    /// When its latest run began.
    pub started_at: Option<Timestamp>,
    /// When the lease of a running job ends unless it is renewed.
    pub lease_until: Option<Timestamp>,
    /// The worker of the latest run.
    pub worker: Option<WorkerId>,
    /// Whether a running job was asked to stop.
    pub cancel_requested: bool,
    /// Why it was discarded.
    pub reason: Option<DiscardReason>,
    /// How far it is or was.
    pub progress: Option<Progress>,
    /// Its small result.
    pub result: Option<RawJson>,
    /// The errors of its attempts, oldest first.
    pub errors: Vec<PastError>,
}

impl JobView {
    /// Whether a look at the same job later shows what a copy made of this one has: where it stands since when, what it is
    /// and when it is due. What its attempts left (errors, progress, a result) is no part of that.
    pub fn is_unchanged(&self, later: &Self) -> bool {
        let stands =
            |job: &Self| (job.state, job.since, job.enqueued_at, job.attempt, job.priority, job.due_at, job.expires_at);
        let content = |job: &Self| (job.timeout_ms, job.args.as_ref().map(|args| args.get().to_owned()));
        stands(self) == stands(later)
            && content(self) == content(later)
            && (&self.id, &self.queue, &self.kind, &self.tenant, &self.key)
                == (&later.id, &later.queue, &later.kind, &later.tenant, &later.key)
            && (&self.retry, &self.tags, &self.metadata) == (&later.retry, &later.tags, &later.metadata)
    }
}

/// Jobs per state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Due later.
    pub scheduled: u64,
    /// Waiting.
    pub available: u64,
    /// Leased.
    pub running: u64,
    /// Failed, due later.
    pub retryable: u64,
    /// Done and still kept.
    pub completed: u64,
    /// Cancelled and still kept.
    pub cancelled: u64,
    /// Dead and still kept.
    pub discarded: u64,
}

impl Counts {
    /// The count of one state.
    pub fn of(&self, state: State) -> u64 {
        match state {
            State::Scheduled => self.scheduled,
            State::Available => self.available,
            State::Running => self.running,
            State::Retryable => self.retryable,
            State::Completed => self.completed,
            State::Cancelled => self.cancelled,
            State::Discarded => self.discarded,
        }
    }

    /// The count of one state, to be changed.
    pub fn of_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Scheduled => &mut self.scheduled,
            State::Available => &mut self.available,
            State::Running => &mut self.running,
            State::Retryable => &mut self.retryable,
            State::Completed => &mut self.completed,
            State::Cancelled => &mut self.cancelled,
            State::Discarded => &mut self.discarded,
        }
    }

    /// Jobs that have not come to an end.
    pub fn unfinished(&self) -> u64 {
        self.scheduled + self.available + self.running + self.retryable
    }
}

/// Who stopped a queue, why and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When it resumes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A queue at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Its name.
    pub name: QueueName,
    /// Jobs per state.
    pub counts: Counts,
    /// How long the oldest available job has been waiting, in milliseconds.
    pub oldest_available_ms: Option<u64>,
    /// Set while it is paused.
    pub paused: Option<Pause>,
    /// What of it has limits, pauses or breakers: the first [`QUEUE_VIEW_FLOWS`] by their text.
    #[serde(default)]
    pub flow: Vec<FlowView>,
}

/// Subjects that a [`QueueView`] shows.
pub const QUEUE_VIEW_FLOWS: usize = 20;

/// Whether a worker takes new jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It claims.
    Running,
    /// It finishes what it has and claims nothing.
    Quiet,
    /// It is on its way out.
    Stopping,
}

/// A worker as it described itself with its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its id, unique per start.
    pub id: WorkerId,
    /// The machine's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The release that it runs.
    pub version: String,
    /// Queues and their weights.
    pub queues: BTreeMap<QueueName, u32>,
    /// Jobs that it runs at once.
    pub slots: u32,
    /// Jobs that it runs now.
    pub busy: u32,
    /// Whether it takes new jobs.
    pub state: WorkerState,
    /// When it started, by its own clock; for people to read, never compared.
    pub started_at: Timestamp,
    /// When the broker last heard of it.
    #[serde(default)]
    pub seen_at: Timestamp,
}
