//! What became of tasks.

use lovage_broker::{EnqueueOutcome, Refused};

use crate::error::AdoptError;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another adopter owns the queue.
    Standby,
    /// A batch is settled; an empty one if nothing was there.
    Settled(Batch),
}

/// What became of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// They are new jobs.
    pub adopted: u64,
    /// Their jobs were there before: an earlier adopter died before it could tell apalis.
    pub known: u64,
    /// They cannot become jobs and are in apalis' set of dead tasks, with the reason as their result.
    pub dead: u64,
}

impl Batch {
    /// How many tasks it was.
    pub(crate) fn count(self) -> u64 {
        self.adopted + self.known + self.dead
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.adopted += other.adopted;
        self.known += other.known;
        self.dead += other.dead;
    }
}

/// What lies in an apalis queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Tasks that wait for an adopter, due or not.
    pub waiting: u64,
    /// Dead tasks: those that apalis gave up and those that could not become jobs.
    pub dead: u64,
}

/// How a task became a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// By this call.
    New,
    /// By an earlier one.
    Known,
}

/// What an outcome means: kept, cannot be kept, or not now.
pub(crate) fn kept(outcome: Option<EnqueueOutcome>) -> Result<Result<Kept, String>, AdoptError> {
    match outcome {
        Some(EnqueueOutcome::Enqueued(_)) => Ok(Ok(Kept::New)),
        Some(EnqueueOutcome::Existing(_) | EnqueueOutcome::Replaced(_)) => Ok(Ok(Kept::Known)),
        Some(EnqueueOutcome::Refused(refused @ (Refused::Invalid(_) | Refused::Conflict { .. }))) => {
            Ok(Err(refused.to_string()))
        }
        Some(EnqueueOutcome::Refused(refused)) => Err(AdoptError::Full(refused.to_string())),
        None => Err(AdoptError::Full("the broker did not answer for every job".to_owned())),
    }
}
