//! `audit.write`: hands an event to the writer that all jobs of this worker share, so that what waits at the same time is one
//! commit, and ends when that is done.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::audit::{AuditEvent, EventDraft};
use lovage_core::limits::MAX_ATTEMPTS;
use lovage_core::{Invalid, JobId, QueueName, RetryPolicy};
use lovage_ledger::{AuditWriter, Kept, LedgerError, Redaction};
use lovage_payloads::{AuditWrite, AuditWritten};
use lovage_worker::{Handler, JobContext, JobError, KindOptions};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Where audit events go, and what of them is secret.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The writer that all jobs share.
    pub writer: AuditWriter,
    /// What is stored as a hash.
    pub redaction: Option<Arc<Redaction>>,
}

/// Runs `audit.write`.
#[derive(Debug)]
pub struct AuditWriteHandler {
    audit: Audit,
}

impl AuditWriteHandler {
    /// A handler that writes there.
    pub fn new(audit: Audit) -> Self {
        Self { audit }
    }
}

impl Handler for AuditWriteHandler {
    type Args = AuditWrite;
    type Output = AuditWritten;
    const KIND: &'static str = AuditWrite::KIND;

    /// A ledger may be away for days, and nobody repeats what is not in the trail.
    fn options(&self) -> KindOptions {
        let retry = RetryPolicy { max_attempts: MAX_ATTEMPTS, cap_ms: 300_000, ..RetryPolicy::default() };
        KindOptions { timeout: Duration::from_mins(1), retry, ..KindOptions::default() }
    }

    async fn run(&self, AuditWrite(mut draft): AuditWrite, job: JobContext) -> Result<AuditWritten, JobError> {
        if let Some(redaction) = &self.audit.redaction {
            redaction.apply(&mut draft);
        }
        let event = complete(draft, &job).map_err(|invalid| JobError::Discard(invalid.into()))?;
        let id = event.id.to_string();
        match self.audit.writer.write(event).await {
            Ok(Kept::New(seq)) => Ok(AuditWritten { id, seq, duplicate: false }),
            Ok(Kept::Duplicate(seq)) => Ok(AuditWritten { id, seq, duplicate: true }),
            Ok(Kept::Conflict(seq)) => {
                let problem = format!("{id} is the id of another event (record {seq})");
                let help = "send each event under an id of its own; that one is kept";
                Err(JobError::Discard(Invalid::new("id", problem, help).into()))
            }
            Err(error @ (LedgerError::Refused(_) | LedgerError::Invalid(_))) => Err(JobError::Discard(error.into())),
            Err(error) => Err(JobError::Retry(error.into())),
        }
    }
}

/// Fills in what only the job knows. Another attempt makes the same event of it.
fn complete(mut draft: EventDraft, job: &JobContext) -> Result<AuditEvent, Invalid> {
    if let Some(tenant) = job.tenant() {
        match &draft.tenant {
            Some(other) if other != tenant => {
                let help = "leave it out, or enqueue the job for the event's tenant";
                return Err(Invalid::new("tenant", format!("is {other}, and the job's is {tenant}"), help));
            }
            _ => draft.tenant = Some(tenant.clone()),
        }
    }
    draft.complete(id_of(job.queue(), job.id()), job.enqueued_at())
}

/// The id of an event that has none: the job's if it is a UUID, else one that follows from it.
fn id_of(queue: &QueueName, job: &JobId) -> Uuid {
    job.as_str().parse().unwrap_or_else(|_| {
        let hash = Sha256::new().chain_update(queue.as_str()).chain_update([0]).chain_update(job.as_str()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_follows_from_its_job() {
        let queue = |name: &str| name.parse::<QueueName>().unwrap();
        let job = |id: &str| id.parse::<JobId>().unwrap();
        let uuid = "01a21926-8ec7-7b9f-af03-16d2af2136ec";
        assert_eq!(id_of(&queue("audit"), &job(uuid)).to_string(), uuid);
        let ids: Vec<Uuid> =
            [("audit", "a"), ("audit", "b"), ("audits", "a")].map(|(name, id)| id_of(&queue(name), &job(id))).into();
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert_eq!(ids[0], id_of(&queue("audit"), &job("a")));
        assert_eq!(ids[0].get_version_num(), 8);
    }
}
