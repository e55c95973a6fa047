//! What can go wrong with a whole worker, by what its owner does about it. Jobs that fail are no errors here.

use lovage_broker::BrokerError;
use lovage_core::Invalid;

/// Why a worker did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A setting is unacceptable: mend it and start again.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The broker could not be reached at the start. Later outages do not end a worker.
    #[error("the worker cannot start: {0}")]
    Broker(#[from] BrokerError),
    /// A part of the worker broke. Its jobs are safe: their leases run out and other workers take them.
    #[error("the worker's {part} broke: {problem}")]
    Broken {
        /// Which part.
        part: &'static str,
        /// What happened.
        problem: String,
    },
}
