//! What can go wrong between a caller and the broker, by what the caller does about it.

use lovage_core::{IllegalChange, Invalid, JobId, QueueName};

/// An error of a broker call. No variant means that half of something was written.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The caller sent something unacceptable: mend it and call again.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such job.
    #[error("there is no job {id} in queue {queue}")]
    NotFound {
        /// The queue that was looked in.
        queue: QueueName,
        /// The id that was looked for.
        id: JobId,
    },
    /// The job is in a state that does not allow this.
    #[error(transparent)]
    Illegal(#[from] IllegalChange),
    /// The store cannot be reached, is out of memory, read-only or busy: try again later. The text says why.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The store is set up in a way that would lose jobs: a person has to change it. The text says what.
    #[error("the broker must not be used as it is set up: {0}")]
    Misconfigured(String),
    /// What the store answered makes no sense to this release.
    #[error("the broker answered something unexpected: {0}")]
    Protocol(String),
}

impl BrokerError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
