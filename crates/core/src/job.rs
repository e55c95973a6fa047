//! A job as a caller hands it in ([`NewJob`]) and the part of it that is stored and never changes by running
//! ([`JobSpec`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RawJson;
use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::id::JobId;
use crate::names::{FlowKey, Kind, QueueName, Tenant};
use crate::priority::Priority;
use crate::retry::RetryPolicy;
use crate::unique::Unique;
use crate::validate;

/// A job to enqueue. Every field but `queue`, `kind` and `args` is optional.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// The caller's own id; the same id twice in a queue is one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The queue that it joins.
    pub queue: QueueName,
    /// The handler that runs it.
    pub kind: Kind,
    /// The handler's arguments, kept byte for byte.
    pub args: RawJson,
    /// Wait before it becomes available, in milliseconds. Not together with `run_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// When it becomes available; an instant in the past means now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// If it still waits at this instant, it is discarded as `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Place in the line.
    #[serde(default)]
    pub priority: Priority,
    /// At most one job with a key at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// Hard limit of one attempt, in milliseconds; the kind's own limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Instead of the kind's retry policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The customer or team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// What its limits by key count, e.g. an account or a host; see [`crate::Subject`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<FlowKey>,
    /// Free labels to search by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Goes through to logs and traces: `request_id`, `user_id`, `traceparent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl NewJob {
    /// A job with default options. `args` is anything that serialises to JSON.
    pub fn new(queue: QueueName, kind: Kind, args: &impl Serialize) -> Result<Self, Invalid> {
        let args = serde_json::value::to_raw_value(args)
            .map_err(|error| Invalid::new("args", error.to_string(), "use a value that JSON can express"))?;
        Ok(Self::with_raw_args(queue, kind, args))
    }

    /// A job with default options and arguments that are JSON text already.
    pub fn with_raw_args(queue: QueueName, kind: Kind, args: RawJson) -> Self {
        Self {
            id: None,
            queue,
            kind,
            args,
            delay_ms: None,
            run_at: None,
            expires_at: None,
            priority: Priority::default(),
            unique: None,
            timeout_ms: None,
            retry: None,
            tenant: None,
            key: None,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Checks everything that types alone do not: sizes, options that exclude each other, horizons.
    /// `max_payload` is the limit of `args` in bytes.
    pub fn validate(&self, max_payload: usize) -> Result<(), Invalid> {
        validate::new_job(self, max_payload)
    }

    /// The part that is stored.
    pub fn into_spec(self) -> JobSpec {
        JobSpec {
            kind: self.kind,
            args: self.args,
            timeout_ms: self.timeout_ms,
            retry: self.retry,
            tenant: self.tenant,
            key: self.key,
            tags: self.tags,
            metadata: self.metadata,
            extra: BTreeMap::new(),
        }
    }
}

/// What is stored of a job and does not change by running it. Written and read by the wire format
/// ([`JobSpec::encode`], [`JobSpec::decode`]).
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// The handler that runs it.
    pub kind: Kind,
    /// The handler's arguments.
    pub args: RawJson,
    /// Hard limit of one attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Instead of the kind's retry policy.
    pub retry: Option<RetryPolicy>,
    /// The customer or team.
    pub tenant: Option<Tenant>,
    /// What its limits by key count.
    pub key: Option<FlowKey>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Goes through to logs and traces.
    pub metadata: BTreeMap<String, String>,
    /// Fields of a newer version, kept byte for byte so that a read-modify-write by this version loses nothing.
    pub extra: BTreeMap<String, RawJson>,
}

impl JobSpec {
    /// The first field in which `other` asks for something else, or nothing if both ask for the same. Metadata is not
    /// compared: a repeated call of the same request carries another `traceparent`.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.kind != other.kind {
            Some("kind")
        } else if self.args.get() != other.args.get() {
            Some("args")
        } else if self.timeout_ms != other.timeout_ms {
            Some("timeout_ms")
        } else if self.retry != other.retry {
            Some("retry")
        } else if self.tenant != other.tenant {
            Some("tenant")
        } else if self.key != other.key {
            Some("key")
        } else if self.tags != other.tags {
            Some("tags")
        } else {
            None
        }
    }
}
