//! What is wrong with a value that came from outside.

use serde::{Deserialize, Serialize};

/// A field that cannot be accepted: which one, what is wrong with it and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{field}: {problem}; {help}")]
pub struct Invalid {
    /// The field's name as the caller wrote it, e.g. `queue` or `unique.ttl_ms`.
    pub field: String,
    /// What is wrong, with the offending value where that is safe to show.
    pub problem: String,
    /// What would be accepted.
    pub help: String,
}

impl Invalid {
    /// Builds the error from its three parts.
    pub fn new(field: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), help: help.into() }
    }
}
