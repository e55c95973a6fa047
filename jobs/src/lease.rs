//! Lets the artifact store ask the worker whether an attempt still holds its job.

use async_trait::async_trait;
use lovage_artifacts::{AttemptKey, LeaseCheck, LeaseLost};
use lovage_worker::JobContext;

/// The lease of a running job.
pub(crate) struct JobLease<'a>(pub &'a JobContext);

#[async_trait]
impl LeaseCheck for JobLease<'_> {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        self.0.confirm_lease().await.map_err(|lost| LeaseLost(lost.to_string()))
    }
}

/// The running attempt as the owner of files.
pub(crate) fn owner(job: &JobContext) -> AttemptKey {
    AttemptKey { queue: job.queue().clone(), job: job.id().clone(), attempt: job.attempt(), token: job.token() }
}
