//! What history keeps of jobs: each job as it was when it was last looked at, and each of its attempts.
//!
//! The recorder reads a page of events, [folds](fold()) it to what happened to each job, looks at these jobs, and [`Sighting::record`]s
//! them. Events say what happened and the look says what the job is; both together are what the ledger stores.

mod fold;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::event::EventKind;
use crate::names::WorkerId;
use crate::outcome::ErrorClass;
use crate::state::{DiscardReason, State};
use crate::view::JobView;

pub use self::fold::{Sighting, before_sighting, fold};

/// A job with all that is kept of it.
#[derive(Debug, Clone, Serialize)]
pub struct JobRecord {
    /// The job as it was when it was last looked at.
    #[serde(flatten)]
    pub job: JobView,
    /// Its attempts, oldest first; when it is read, the latest fifty.
    pub attempts: Vec<AttemptRecord>,
    /// When it was deleted, or when it was seen that its queue has it no more although it had not come to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
}

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// The worker that ran it.
    pub worker: Option<WorkerId>,
    /// The release that the worker ran.
    pub version: Option<String>,
    /// When it began; absent when that was not seen.
    pub started_at: Option<Timestamp>,
    /// When it ended; absent while it runs, or when that was not seen.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The error, if it failed or was given back with a reason.
    pub error: Option<RecordedError>,
}

/// The error of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedError {
    /// When it was told.
    pub at: Timestamp,
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// The error's text.
    pub message: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The job is done.
    Completed,
    /// It failed and is tried again.
    Retryable,
    /// It asked to be called again later.
    Snoozed,
    /// It was given back before its end.
    Released,
    /// The job will not run again.
    Discarded,
    /// It stopped because it was asked to.
    Cancelled,
    /// Its worker was lost.
    Lost,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Completed, Self::Retryable, Self::Snoozed, Self::Released, Self::Discarded, Self::Cancelled, Self::Lost];

    /// The name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retryable => "retryable",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// What an event says about the attempt that it is about, if it ends it.
    pub const fn of(kind: EventKind, state: Option<State>) -> Option<Self> {
        match (kind, state) {
            (EventKind::Lost, _) => Some(Self::Lost),
            (EventKind::Finished, Some(State::Completed)) => Some(Self::Completed),
            (EventKind::Finished, Some(State::Retryable)) => Some(Self::Retryable),
            (EventKind::Finished, Some(State::Scheduled)) => Some(Self::Snoozed),
            (EventKind::Finished, Some(State::Available)) => Some(Self::Released),
            (EventKind::Finished, Some(State::Discarded)) => Some(Self::Discarded),
            (EventKind::Finished, Some(State::Cancelled)) => Some(Self::Cancelled),
            _ => None,
        }
    }
}

impl JobRecord {
    /// What a look at a job alone shows, when the events that led there were missed: its last attempt, and the errors of
    /// earlier ones.
    pub fn of_look(job: JobView) -> Self {
        let mut attempts: Vec<AttemptRecord> = Vec::new();
        for error in &job.errors {
            let outcome = match error.class {
                ErrorClass::WorkerLost => Some(Outcome::Lost),
                ErrorClass::Released => Some(Outcome::Released),
                _ if error.attempt < job.attempt => Some(Outcome::Retryable),
                _ => None,
            };
            attempts.push(AttemptRecord {
                attempt: error.attempt,
                worker: error.worker.clone(),
                ended_at: Some(error.at),
                outcome,
                ..AttemptRecord::default()
            });
        }
        if job.attempt > 0 {
            let at = attempts.iter().position(|known| known.attempt == job.attempt).unwrap_or_else(|| {
                attempts.push(AttemptRecord { attempt: job.attempt, ..AttemptRecord::default() });
                attempts.len() - 1
            });
            let last = &mut attempts[at];
            last.worker = last.worker.take().or_else(|| job.worker.clone());
            last.started_at = job.started_at;
            // Other ends may have come to a job that was waiting.
            let ended_it = job.state == State::Completed
                || matches!(job.reason, Some(DiscardReason::AttemptsExhausted | DiscardReason::TimedOut));
            if ended_it {
                last.ended_at = last.ended_at.or(Some(job.since));
                last.outcome = last.outcome.or(Outcome::of(EventKind::Finished, Some(job.state)));
            }
        }
        Self { job, attempts, gone_at: None }.with_errors()
    }

    /// Gives its attempts the errors that the job tells of them.
    fn with_errors(mut self) -> Self {
        for error in &self.job.errors {
            if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.attempt == error.attempt) {
                let (at, class, message) = (error.at, error.class, error.message.clone());
                attempt.error = Some(RecordedError { at, class, message });
            }
        }
        self
    }
}
