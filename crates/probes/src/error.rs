//! What can go wrong with a door, by what its owner does about it.

use std::net::SocketAddr;

/// Why a door did not open.
#[derive(Debug, thiserror::Error)]
pub enum ProbesError {
    /// The address cannot be listened on: choose another, or end whoever has it.
    #[error("cannot listen on {address}: {problem}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The system gives no thread or no runtime.
    #[error("the HTTP listener does not start: {0}")]
    Start(std::io::Error),
    /// A metric is registered twice or has an impossible name: the program is wrong.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
