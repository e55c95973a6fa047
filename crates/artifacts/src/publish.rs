//! The commit point: a manifest, put if absent at the job's key while the attempt still holds its lease.
//!
//! What can happen, and why at most one attempt becomes visible (promise 4, row 28 of the failures):
//!
//! - The lease is confirmed, then the manifest is put. Between the two an attempt may stall for any time and lose its
//!   lease. Its put then either comes first, and it has published a complete file of the right job, or comes second
//!   and is refused. Put-if-absent decides, the lease only keeps the window small.
//! - Who is refused reads the manifest. If it is its own (the answer to an earlier put was lost and the put repeated),
//!   it has won. If not, it removes its own files, which nobody ever saw, and answers with the winner's manifest.
//! - The put fails without a clear answer (a timeout). The manifest is read; if none is there, the put may still
//!   arrive. So the files are kept and the attempt fails: the next attempt finds the manifest, or writes its own files,
//!   and the sweeper removes what no manifest names.
//! - The lease is lost before the put: nothing was made visible, the attempt's own files are removed.

use async_trait::async_trait;
use object_store::{PutMode, PutOptions, PutPayload};

use crate::error::{ArtifactError, LeaseLost};
use crate::keys::{manifest_key, path};
use crate::manifest::Manifest;
use crate::record;
use crate::store::ArtifactStore;

/// How often a put is repeated that collided with another one still in progress (S3 answers 409, and then neither
/// object may be there).
pub(crate) const COLLISIONS: usize = 5;

/// Asks the broker whether this attempt still holds its job.
#[async_trait]
pub trait LeaseCheck: Send + Sync {
    /// Renews the lease and answers whether it is held.
    async fn confirm(&self) -> Result<(), LeaseLost>;
}

/// What became of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is the job's manifest.
    New(Manifest),
    /// Another attempt was first; this one's files are removed.
    Existing(Manifest),
}

impl Published {
    /// The job's manifest, whoever wrote it.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::New(manifest) | Self::Existing(manifest) => manifest,
        }
    }
}

/// How one attempt to put the manifest ended.
enum Put {
    Done,
    /// An object is there, or was being put at the same time.
    Refused,
    /// It may or may not have arrived.
    Unclear(ArtifactError),
}

impl ArtifactStore {
    /// Makes the manifest's files visible, if this attempt holds its lease and is the first.
    pub async fn publish(&self, manifest: Manifest, lease: &dyn LeaseCheck) -> Result<Published, ArtifactError> {
        manifest.validate()?;
        let text = record::encode(&manifest)?;
        if let Err(error) = self.check_once().await {
            self.discard(&manifest).await;
            return Err(error);
        }
        for _ in 0..COLLISIONS {
            if let Err(lost) = lease.confirm().await {
                return self.stand_down(manifest, lost).await;
            }
            let put = self.put_manifest(&manifest, text.clone()).await?;
            if matches!(put, Put::Done) {
                return Ok(Published::New(manifest));
            }
            match (self.existing(&manifest.queue, &manifest.job).await, put) {
                (Ok(Some(found)), _) if found.owner() == manifest.owner() => return Ok(Published::New(found)),
                (Ok(Some(found)), _) => {
                    self.discard(&manifest).await;
                    return Ok(Published::Existing(found));
                }
                (_, Put::Unclear(error)) | (Err(error), _) => return Err(error),
                // Two puts collided and neither may have taken place: the lease is confirmed again, then tried again.
                (Ok(None), _) => tokio::task::yield_now().await,
            }
        }
        let key = manifest_key(&manifest.queue, &manifest.job);
        Err(ArtifactError::Unavailable(format!("write {key}: the store answered {COLLISIONS} times with a conflict")))
    }

    /// Removes the files that a manifest names. For an attempt that will not publish them; failures are only logged,
    /// because the sweeper comes by later.
    pub async fn discard(&self, manifest: &Manifest) {
        for file in &manifest.files {
            if let Err(error) = self.remove(&file.key).await {
                tracing::warn!(key = file.key, %error, "an unpublished file could not be removed; the sweeper will");
            }
        }
    }

    /// The lease is gone. Earlier rounds may have put this very manifest: then its files are no longer ours to remove.
    async fn stand_down(&self, manifest: Manifest, lost: LeaseLost) -> Result<Published, ArtifactError> {
        match self.existing(&manifest.queue, &manifest.job).await {
            Ok(Some(found)) if found.owner() == manifest.owner() => return Ok(Published::New(found)),
            Ok(_) => self.discard(&manifest).await,
            // Unknown whether the manifest names these files: the sweeper decides later.
            Err(error) => {
                tracing::warn!(job = %manifest.job, %error, "files of a lost attempt are left to the sweeper");
            }
        }
        Err(lost.into())
    }

    async fn put_manifest(&self, manifest: &Manifest, text: bytes::Bytes) -> Result<Put, ArtifactError> {
        let key = manifest_key(&manifest.queue, &manifest.job);
        let options = PutOptions::from(PutMode::Create);
        match self.objects().put_opts(&path(&key)?, PutPayload::from(text), options).await {
            Ok(_) => Ok(Put::Done),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Refused),
            Err(error) => Ok(Put::Unclear(ArtifactError::from_store(&format!("write {key}"), &error))),
        }
    }
}
