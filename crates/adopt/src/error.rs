//! What can go wrong between two queues, by what the caller does about it.

use lovage_broker::BrokerError;
use lovage_core::Invalid;

/// An error of an adoption. Nothing is lost by any of them: what was taken is taken up again.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A setting cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The Redis that apalis uses refuses or cannot be reached: try again later. The text says why.
    #[error("apalis' redis at {address}: {reason}")]
    Source {
        /// Host and port.
        address: String,
        /// In Redis' words.
        reason: String,
    },
    /// Our broker refuses or cannot be reached: try again later.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Another adopter took the queue over while this one was away.
    #[error("another adopter has taken over; this one was away for too long")]
    Overtaken,
    /// The queue cannot take more jobs at the moment: try again later.
    #[error("the queue takes no more jobs for now: {0}")]
    Full(String),
}
