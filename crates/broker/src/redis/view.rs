//! From the seven facts that `lua/facts.lua` answers of a job to what readers see.

use lovage_core::{AttemptError, JobId, JobSpec, JobView, PastError, QueueName, State, Timestamp};

use super::record::{Head, split_spec};
use super::reply::{Items, bytes, number, text};
use crate::error::BrokerError;

/// A job's facts with its spec still encoded.
#[derive(Debug)]
pub(super) struct Facts {
    pub id: JobId,
    /// As it is stored, with its first bytes.
    pub stored: Vec<u8>,
    /// As it is stored.
    pub head: Vec<u8>,
    /// When it is due or its lease ends, in ms; 0 in other states.
    pub score: i64,
    result: String,
    errors: String,
    progress: String,
}

impl Facts {
    /// Takes the next seven items.
    pub(super) fn read(items: &mut Items) -> Result<Self, BrokerError> {
        let id = text(items.take()?)?;
        Ok(Self {
            id: id.parse().map_err(|invalid| BrokerError::Protocol(format!("the id of a stored job: {invalid}")))?,
            stored: bytes(items.take()?)?,
            head: bytes(items.take()?)?,
            score: {
                let score = items.take()?;
                if bytes(score.clone())?.is_empty() { 0 } else { number(&score)? }
            },
            result: text(items.take()?)?,
            errors: text(items.take()?)?,
            progress: text(items.take()?)?,
        })
    }

    /// What readers see. A spec that cannot be read leaves kind and arguments empty.
    pub(super) fn into_view(self, queue: &QueueName) -> Result<JobView, BrokerError> {
        let (enqueued_at, json) = split_spec(self.stored);
        let head = if self.head.is_empty() { Head::fresh(enqueued_at) } else { Head::read(&self.head)? };
        let spec = JobSpec::decode(&json).ok();
        let retry = spec.as_ref().and_then(|spec| spec.retry.clone());
        let timeout_ms = spec.as_ref().and_then(|spec| spec.timeout_ms);
        let (kind, args, tenant, key, tags, metadata) = spec.map_or_else(Default::default, |spec| {
            (Some(spec.kind), Some(spec.args), spec.tenant, spec.key, spec.tags, spec.metadata)
        });
        let score = Timestamp::from_millis(u64::try_from(self.score).unwrap_or(0));
        let at = |states: &[State]| states.contains(&head.state).then_some(score);
        Ok(JobView {
            due_at: at(&[State::Scheduled, State::Retryable]),
            lease_until: at(&[State::Running]),
            id: self.id,
            queue: queue.clone(),
            state: head.state,
            kind,
            args,
            priority: head.priority,
            tenant,
            key,
            tags,
            metadata,
            attempt: head.attempt,
            failed: head.failed,
            max_attempts: retry.as_ref().map(|policy| policy.max_attempts),
            retry,
            timeout_ms,
            lost: head.lost,
            enqueued_at,
            since: head.since,
            expires_at: head.expires_at,
            started_at: head.started_at,
            worker: head.worker.parse().ok(),
            cancel_requested: head.cancel_requested,
            reason: head.reason,
            progress: serde_json::from_str(&self.progress).ok(),
            result: serde_json::value::RawValue::from_string(self.result).ok(),
            errors: self.errors.lines().filter_map(past_error).collect(),
        })
    }
}

/// One line of a job's errors: attempt, time, worker, JSON.
fn past_error(line: &str) -> Option<PastError> {
    let mut parts = line.splitn(4, ' ');
    let attempt = parts.next()?.parse().ok()?;
    let at = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let worker = parts.next()?.parse().ok();
    let AttemptError { class, message } = serde_json::from_str(parts.next()?).ok()?;
    Some(PastError { attempt, at, worker, class, message })
}
