//! Who hands jobs in.

use async_trait::async_trait;
use lovage_core::{JobId, NewJob};

use super::Result;

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
