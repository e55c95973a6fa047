//! The part of a job that nothing is searched by, as one JSON text.

use std::collections::BTreeMap;

use lovage_core::{FlowKey, JobView, Priority, Progress, RetryPolicy, Timestamp};
use serde::{Deserialize, Serialize};

/// What is left of a job beside its row's columns. A field that a newer release wrote is passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct More {
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<FlowKey>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
}

/// The JSON of what is left of a job.
pub(super) fn write(job: &JobView) -> String {
    let more = More {
        priority: job.priority,
        key: job.key.clone(),
        metadata: job.metadata.clone(),
        retry: job.retry.clone(),
        timeout_ms: job.timeout_ms,
        expires_at: job.expires_at,
        progress: job.progress.clone(),
    };
    // Plain structs and strings always serialise.
    serde_json::to_string(&more).unwrap_or_else(|_| "{}".to_owned())
}

/// Gives a job what is left of it.
pub(super) fn read(text: &str, job: &mut JobView) {
    let more: More = serde_json::from_str(text).unwrap_or_default();
    job.priority = more.priority;
    job.key = more.key;
    job.metadata = more.metadata;
    job.max_attempts = more.retry.as_ref().map(|policy| policy.max_attempts);
    job.retry = more.retry;
    job.timeout_ms = more.timeout_ms;
    job.expires_at = more.expires_at;
    job.progress = more.progress;
}
