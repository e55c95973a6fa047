//! Deletes a job's files and leaves a record that says so.
//!
//! The order makes every step safe to die after, and the whole safe to repeat:
//!
//! 1. `deleted.json` is put beside the manifest, if absent. From here on nobody is given the files any more
//!    ([`ArtifactStore::published`]), whether they are still there or not.
//! 2. The data goes: what the manifest names, and what other attempts of the job have left, for that is the same data.
//!    A death in between leaves a record and data; the next [`ArtifactStore::expire`] removes the rest.
//!
//! The manifest stays as it is. It is what keeps a job that runs again from publishing a second time, and an attempt
//! that comes late from being first: whoever finds it removes its own files.
//!
//! A hold keeps the data: it is asked before the record is put and once more after, see `hold.rs`.

use lovage_core::{Invalid, JobId, Kind, QueueName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::ArtifactError;
use crate::keys::{deleted_key, is_chunk, parse_data_key};
use crate::manifest::{Manifest, ManifestFile};
use crate::store::ArtifactStore;

/// The version of the record that this release writes, and the newest that it reads.
const VERSION: u32 = 1;
/// Longest reason in bytes.
pub(crate) const MAX_REASON_BYTES: usize = 500;

/// The record that a job's files were deleted. Lies beside the manifest and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The version of the release that wrote it.
    pub version: u32,
    /// The job's queue.
    pub queue: QueueName,
    /// The job.
    pub job: JobId,
    /// Its kind.
    pub kind: Kind,
    /// The tenant that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The registered name of what was exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// When the files were published.
    pub created_at: Timestamp,
    /// Until when they were to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When they were deleted, by the clock of whoever did it.
    pub deleted_at: Timestamp,
    /// What asked for it.
    pub by: DeletedBy,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The files that the manifest named.
    pub files: Vec<DeletedFile>,
}

/// What had files deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletedBy {
    /// The time until which they were to be kept was over.
    Retention,
    /// Somebody asked for it.
    Request,
}

/// What is known of a file that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedFile {
    /// Its name as people saw it.
    pub name: String,
    /// Where it was.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Records in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// Who deletes, why and when.
#[derive(Debug, Clone)]
pub struct DeleteOptions {
    /// What asks for it.
    pub by: DeletedBy,
    /// Why, in somebody's words, at most 500 bytes; it is kept for good.
    pub reason: Option<String>,
    /// The current time.
    pub now: Timestamp,
}

impl Deletion {
    /// What is written when this manifest's files go.
    fn of(manifest: &Manifest, options: &DeleteOptions) -> Self {
        let file = |file: &ManifestFile| DeletedFile {
            name: file.name.clone(),
            key: file.key.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            rows: file.rows,
        };
        Self {
            version: VERSION,
            queue: manifest.queue.clone(),
            job: manifest.job.clone(),
            kind: manifest.kind.clone(),
            tenant: manifest.tenant.clone(),
            dataset: manifest.dataset.clone(),
            created_at: manifest.created_at,
            expires_at: manifest.expires_at,
            deleted_at: options.now,
            by: options.by,
            reason: options.reason.clone(),
            files: manifest.files.iter().map(file).collect(),
        }
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// In the middle of a sentence: `on 2026-11-26 by retention`.
impl std::fmt::Display for Deletion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "on {}", day(self.deleted_at))?;
        match (self.by, &self.reason) {
            (DeletedBy::Retention, _) => f.write_str(" by retention"),
            (DeletedBy::Request, Some(reason)) => write!(f, " on request: {reason}"),
            (DeletedBy::Request, None) => f.write_str(" on request"),
        }
    }
}

/// The day of an instant, in UTC.
pub(crate) fn day(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    // An instant beyond the year 9999 is nothing that we wrote.
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// Refuses a reason that cannot be kept.
pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), Invalid> {
    match reason.map(str::len) {
        Some(bytes @ MAX_REASON_BYTES..) if bytes > MAX_REASON_BYTES => Err(Invalid::new(
            "reason",
            format!("is {bytes} bytes long"),
            format!("use at most {MAX_REASON_BYTES} bytes"),
        )),
        _ => Ok(()),
    }
}

impl ArtifactStore {
    /// Deletes a job's published files. Doing it again is fine and answers with the first record.
    ///
    /// Fails with [`ArtifactError::Held`] while a hold is there, and with [`ArtifactError::NotFound`] if the job has
    /// published nothing.
    pub async fn delete(
        &self,
        queue: &QueueName,
        job: &JobId,
        options: &DeleteOptions,
    ) -> Result<Deletion, ArtifactError> {
        check_reason(options.reason.as_deref())?;
        let manifest = self.existing(queue, job).await?.ok_or_else(|| ArtifactError::unpublished(queue, job))?;
        self.refuse_held(queue, job).await?;
        let deletion = Deletion::of(&manifest, options);
        let deletion = self.put_record(&deleted_key(queue, job), deletion, VERSION).await?;
        // A hold that was granted before the record was there.
        self.refuse_held(queue, job).await?;
        self.remove_all(manifest.files.iter().map(|file| file.key.clone()).collect()).await?;
        self.remove_data(queue, job).await?;
        Ok(deletion)
    }

    /// The record that a job's files were deleted, if they were.
    pub async fn deleted(&self, queue: &QueueName, job: &JobId) -> Result<Option<Deletion>, ArtifactError> {
        self.record(&deleted_key(queue, job), VERSION).await
    }

    /// The manifest of a job whose files are there to be read: fails with [`ArtifactError::NotFound`] if it has
    /// published nothing, and with [`ArtifactError::Deleted`] if its files were deleted.
    pub async fn published(&self, queue: &QueueName, job: &JobId) -> Result<Manifest, ArtifactError> {
        let manifest = self.existing(queue, job).await?.ok_or_else(|| ArtifactError::unpublished(queue, job))?;
        self.refuse_deleted(queue, job).await?;
        Ok(manifest)
    }

    pub(crate) async fn refuse_deleted(&self, queue: &QueueName, job: &JobId) -> Result<(), ArtifactError> {
        match self.deleted(queue, job).await? {
            Some(deletion) => Err(ArtifactError::Deleted(Box::new(deletion))),
            None => Ok(()),
        }
    }

    /// Removes every file of every attempt of a job that has its manifest: none of them can be published any more.
    async fn remove_data(&self, queue: &QueueName, job: &JobId) -> Result<(), ArtifactError> {
        let objects = self.job_objects(queue, job).await?;
        let data = objects.into_iter().filter(|(key, _)| parse_data_key(key).is_some() || is_chunk(key));
        self.remove_all(data.map(|(key, _)| key).collect()).await
    }
}
