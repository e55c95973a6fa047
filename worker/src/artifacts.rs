//! How a running attempt owns files: the form of every handler that ends with [`ArtifactStore::publish`].
//!
//! The artifact store knows no worker; it asks a [`LeaseCheck`]. Here is the one of a job, the attempt as the owner of
//! files, and what follows from the store's errors. Only with the feature `artifacts`: a worker whose handlers write no
//! files builds without the store.

use async_trait::async_trait;
use lovage_artifacts::{ArtifactError, ArtifactStore, AttemptKey, LeaseCheck, LeaseLost, Manifest, Published};

use crate::context::JobContext;
use crate::handler::JobError;

/// The lease of a running job.
#[derive(Debug)]
pub struct JobLease<'a>(pub &'a JobContext);

#[async_trait]
impl LeaseCheck for JobLease<'_> {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        self.0.confirm_lease().await.map_err(|lost| LeaseLost(lost.to_string()))
    }
}

/// The running attempt as the owner of files.
pub fn owner(job: &JobContext) -> AttemptKey {
    AttemptKey { queue: job.queue().clone(), job: job.id().clone(), attempt: job.attempt(), token: job.token() }
}

/// What follows from an error of the artifact store.
pub fn failed(error: ArtifactError) -> JobError {
    match error {
        // If the lease is really lost, nothing that is answered here gets written. If it only could not be confirmed
        // (the broker is away), the attempt has failed and says why; nobody has asked to cancel the job.
        ArtifactError::LeaseLost(lost) => JobError::Retry(lost.into()),
        ArtifactError::Invalid(invalid) => JobError::Discard(invalid.into()),
        // Somebody, or their retention, removed this job's files: running it again does not bring them back.
        ArtifactError::Deleted(_) => JobError::Discard(error.into()),
        // Also what a person has to mend: the job waits and shows the reason.
        other => JobError::Retry(other.into()),
    }
}

/// Publishes the attempt's files, or removes them if the job was cancelled meanwhile.
pub async fn publish(store: &ArtifactStore, job: &JobContext, manifest: Manifest) -> Result<Published, JobError> {
    if job.is_cancelled() {
        store.discard(&manifest).await;
        return Err(JobError::Cancelled);
    }
    store.publish(manifest, &JobLease(job)).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_nobody_confirms_is_a_failure_and_no_cancel() {
        let lost = LeaseLost("the broker is away".into());
        let JobError::Retry(text) = failed(lost.into()) else { panic!("nobody cancelled it") };
        assert_eq!(text.to_string(), "the file is not published: the broker is away");
    }
}
