//! `audit.write`: one event for the audit trail.

use lovage_core::audit::EventDraft;
use lovage_core::{Invalid, NewJob, QueueName};
use serde::{Deserialize, Serialize};

/// Arguments of `audit.write`: the event itself. Without an `id` the job's own is used, without a `time` that of its enqueue,
/// without a `tenant` that of the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditWrite(pub EventDraft);

/// The result of `audit.write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditWritten {
    /// The event's id.
    pub id: String,
    /// Its number in the tenant's chain.
    pub seq: u64,
    /// Whether it had been written before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl AuditWrite {
    /// The kind.
    pub const KIND: &str = "audit.write";

    /// The job that writes it; a job of the event's tenant.
    pub fn into_job(self, queue: QueueName) -> Result<NewJob, Invalid> {
        let tenant = self.0.tenant.clone();
        let mut job = crate::job(queue, Self::KIND, &self)?;
        job.tenant = tenant;
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_the_event_and_its_tenant_is_the_jobs() {
        let text = r#"{"actor":"user:42","action":"order.refund","tenant":"acme"}"#;
        let job = serde_json::from_str::<AuditWrite>(text).unwrap().into_job("audit".parse().unwrap()).unwrap();
        assert_eq!(job.args.get(), text);
        assert_eq!(job.tenant.unwrap().as_str(), "acme");
    }
}
