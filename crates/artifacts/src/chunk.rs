//! Chunks: files of one job that are committed one by one, so that an attempt goes on where the last one died.
//!
//! Each chunk has a record, put if absent at a key of the job's while the attempt holds its lease: the same step that
//! makes a manifest the commit point. The record names the chunk's file and says, in the words of whoever wrote it, where
//! the next one begins. So two attempts that run at once agree on every chunk, whoever wrote it, and the records need no
//! store but the one that holds the files. Nothing is visible before the manifest names all of them.
//!
//! A file whose chunk is committed belongs to the job and no longer to the attempt that wrote it: an attempt that fails, or
//! comes second, leaves it. When the job can run no more the sweeper removes the records first, then the files, so that a job
//! that is redriven meanwhile begins anew and never continues from a file that is gone.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lovage_core::{JobId, QueueName};
use serde::{Deserialize, Serialize};

use crate::error::ArtifactError;
use crate::expire::READS;
use crate::keys::{AttemptKey, chunk_key, is_chunk};
use crate::manifest::ManifestFile;
use crate::publish::LeaseCheck;
use crate::store::ArtifactStore;

/// The version that this release writes, and the newest that it reads.
const VERSION: u32 = 1;

/// A committed chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The form's version.
    pub version: u32,
    /// Its place, from 1.
    pub number: u32,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// That attempt's fencing number.
    pub token: u64,
    /// Its file.
    pub file: ManifestFile,
    /// Where the next chunk begins, in the words of whoever wrote this one.
    pub checkpoint: serde_json::Value,
}

impl Chunk {
    /// The chunk with this number, written by this attempt.
    pub fn new(number: u32, owner: &AttemptKey, file: ManifestFile, checkpoint: serde_json::Value) -> Self {
        Self { version: VERSION, number, attempt: owner.attempt, token: owner.token, file, checkpoint }
    }
}

impl ArtifactStore {
    /// The committed chunks of a job, in order. Fails if the file of one is not there in its full length. One listing, then
    /// the records side by side.
    pub async fn chunks(&self, queue: &QueueName, job: &JobId) -> Result<Vec<Chunk>, ArtifactError> {
        let objects = self.job_objects(queue, job).await?;
        let (records, files): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(key, _)| is_chunk(key));
        let files: HashMap<String, u64> = files.into_iter().collect();
        let mut numbers: Vec<String> = records.into_iter().map(|(key, _)| key).collect();
        // Numbers have leading zeros, so the order of the keys is theirs.
        numbers.sort_unstable();
        let read = |key: String| async move { self.record::<Chunk>(&key, VERSION).await };
        let read: Vec<Option<Chunk>> =
            stream::iter(numbers.into_iter().map(read)).buffered(READS).try_collect().await?;
        let mut chunks: Vec<Chunk> = Vec::with_capacity(read.len());
        for chunk in read.into_iter().flatten() {
            if chunk.number != chunks.len() as u32 + 1 {
                break;
            }
            let key = &chunk.file.key;
            match files.get(key) {
                None => return Err(ArtifactError::NotFound(key.clone())),
                Some(bytes) if *bytes != chunk.file.bytes => {
                    let problem = format!("{key} has {bytes} bytes; its record says {}", chunk.file.bytes);
                    return Err(ArtifactError::Mismatch(problem));
                }
                Some(_) => chunks.push(chunk),
            }
        }
        Ok(chunks)
    }

    /// Commits a chunk, if this attempt holds its lease. Answers the chunk that holds the place: another attempt's if it
    /// was first; then this one's file is removed.
    pub async fn commit_chunk(
        &self,
        owner: &AttemptKey,
        chunk: Chunk,
        lease: &dyn LeaseCheck,
    ) -> Result<Chunk, ArtifactError> {
        if let Err(lost) = lease.confirm().await {
            // An earlier call may have committed it: its record decides whose the file is.
            if !self.is_committed(owner, &chunk).await {
                self.drop_file(&chunk.file.key).await;
            }
            return Err(lost.into());
        }
        let key = chunk_key(&owner.queue, &owner.job, chunk.number);
        let ours = chunk.file.key.clone();
        let found: Chunk = self.put_record(&key, chunk, VERSION).await?;
        if found.file.key != ours {
            self.drop_file(&ours).await;
        }
        Ok(found)
    }

    /// Removes the records of a job's chunks. The files stay.
    pub async fn forget_chunks(&self, queue: &QueueName, job: &JobId) -> Result<(), ArtifactError> {
        let objects = self.job_objects(queue, job).await?;
        let records = objects.into_iter().filter(|(key, _)| is_chunk(key));
        self.remove_all(records.map(|(key, _)| key).collect()).await
    }

    async fn chunk(&self, queue: &QueueName, job: &JobId, number: u32) -> Result<Option<Chunk>, ArtifactError> {
        self.record(&chunk_key(queue, job, number), VERSION).await
    }

    /// Whether the chunk's file is, or may be, named by the record of its place.
    async fn is_committed(&self, owner: &AttemptKey, chunk: &Chunk) -> bool {
        match self.chunk(&owner.queue, &owner.job, chunk.number).await {
            Ok(found) => found.is_some_and(|found| found.file.key == chunk.file.key),
            Err(_) => true,
        }
    }

    async fn drop_file(&self, key: &str) {
        if let Err(error) = self.remove(key).await {
            tracing::warn!(key, %error, "the file of a chunk could not be removed; the sweeper will");
        }
    }
}
