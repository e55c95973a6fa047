//! How a running attempt owns files: the form of every handler that ends with [`ArtifactStore::publish`].
//!
//! The artifact store knows no worker; it asks a [`LeaseCheck`]. Here is the one of a job, the attempt as the owner of
//! files, and what follows from the store's errors. Only with the feature `artifacts`: a worker whose handlers write no
//! files builds without the store.

use async_trait::async_trait;
use lovage_artifacts::{
    ArtifactError, ArtifactStore, AttemptKey, LeaseCheck, LeaseLost, MANIFEST_VERSION, Manifest, ManifestFile,
    Published, sha256_hex,
};
use lovage_core::{Invalid, LogLevel, Tenant, Timestamp};
use serde::Serialize;

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

/// What a job asks for, in one number: its arguments, in whatever order they were sent, and its tenant. What the
/// configuration adds may change between attempts.
pub fn request(args: &impl Serialize, tenant: Option<&Tenant>) -> Result<String, JobError> {
    let mut args = serde_json::to_value(args).map_err(|error| JobError::Discard(error.into()))?;
    // The order of keys says nothing, and a build with polars keeps it where others sort.
    args.sort_all_objects();
    Ok(sha256_hex(&format!("{}\n{args}", tenant.map_or("", Tenant::as_str))))
}

/// The job's manifest, if an attempt has published: then there is nothing left to do. An id that was used before for
/// something else, or whose files were deleted, is refused.
pub async fn published(store: &ArtifactStore, job: &JobContext, request: &str) -> Result<Option<Manifest>, JobError> {
    let manifest = match store.published(job.queue(), job.id()).await {
        Err(ArtifactError::NotFound(_)) => return Ok(None),
        found => found.map_err(failed)?,
    };
    if manifest.request_sha256.as_ref().is_some_and(|found| found != request) {
        let problem = "was used before for an export with other arguments or of another tenant";
        let help = "choose another id, or delete that export";
        return Err(JobError::Discard(Invalid::new("id", problem, help).into()));
    }
    job.log(LogLevel::Info, format!("attempt {} has already published the file", manifest.attempt));
    Ok(Some(manifest))
}

/// A manifest of this attempt that names these files.
pub fn manifest(job: &JobContext, now: Timestamp, request: String, files: Vec<ManifestFile>) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        queue: job.queue().clone(),
        job: job.id().clone(),
        kind: job.kind().clone(),
        attempt: job.attempt(),
        token: job.token(),
        producer: concat!("lovage ", env!("CARGO_PKG_VERSION")).to_owned(),
        created_at: now,
        expires_at: None,
        tenant: job.tenant().cloned(),
        dataset: None,
        request_sha256: Some(request),
        chunked: false,
        files,
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
