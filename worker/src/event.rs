//! What a worker tells an observer: signals that tests await instead of sleeping.

use lovage_core::{Change, JobId, QueueName};

use crate::attempt::Cause;

/// Something that happened inside a worker. See `WorkerConfig::observer`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// The worker is registered and begins to claim.
    Ready,
    /// Jobs were claimed.
    Claimed {
        /// From which queue.
        queue: QueueName,
        /// How many.
        jobs: usize,
    },
    /// A handler begins.
    Started {
        /// The job.
        id: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// An attempt was asked to stop.
    Stopping {
        /// The job.
        id: JobId,
        /// Why.
        cause: Cause,
    },
    /// The end of an attempt is written in the broker.
    Finished {
        /// The job.
        id: JobId,
        /// What was written.
        change: Change,
    },
    /// An attempt's lease is lost; its end is not written.
    Lost {
        /// The job.
        id: JobId,
    },
    /// Leases were renewed.
    Renewed {
        /// How many.
        leases: usize,
    },
    /// All queues are empty and all slots are free.
    Idle,
    /// The broker does not answer. Sent once per outage.
    Unavailable,
    /// The broker answers again.
    Available,
    /// The worker claims nothing more but goes on running what it has.
    Quiet,
    /// The worker claims nothing more and will end.
    Draining,
}
