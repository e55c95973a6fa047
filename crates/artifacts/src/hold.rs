//! Holds: while a job's folder has one, neither retention nor a request removes its files.
//!
//! A hold and a deletion may meet. Each writes its own record first and looks for the other's after, so at least one
//! sees the other: a deletion that finds a hold removes nothing, and a hold that finds a deletion is not granted. If
//! both see each other, the files are there, closed and kept until the hold is released. A hold that was
//! written is never taken back on the way: somebody else may have been granted it meanwhile.

use lovage_core::{JobId, QueueName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::deletion::check_note;
use crate::error::ArtifactError;
use crate::keys::hold_key;
use crate::store::ArtifactStore;

/// The version of the record that this release writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The record of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The version of the release that wrote it.
    pub version: u32,
    /// Since when, by the clock of whoever set it.
    pub since: Timestamp,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ArtifactStore {
    /// Keeps a job's published files from being deleted, whatever their retention says, until [`Self::release`].
    /// Doing it again is fine and answers with the first hold.
    pub async fn hold(
        &self,
        queue: &QueueName,
        job: &JobId,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<Hold, ArtifactError> {
        check_note(note)?;
        self.published(queue, job).await?;
        let hold = Hold { version: VERSION, since: now, note: note.map(str::to_owned) };
        let hold = self.put_record(&hold_key(queue, job), hold, VERSION).await?;
        self.refuse_deleted(queue, job).await?;
        Ok(hold)
    }

    /// Ends a hold; answers the one that was there.
    pub async fn release(&self, queue: &QueueName, job: &JobId) -> Result<Option<Hold>, ArtifactError> {
        let hold = self.held(queue, job).await?;
        if hold.is_some() {
            self.remove(&hold_key(queue, job)).await?;
        }
        Ok(hold)
    }

    /// The hold on a job's files, if there is one.
    pub async fn held(&self, queue: &QueueName, job: &JobId) -> Result<Option<Hold>, ArtifactError> {
        self.record(&hold_key(queue, job), VERSION).await
    }

    pub(crate) async fn refuse_held(&self, queue: &QueueName, job: &JobId) -> Result<(), ArtifactError> {
        match self.held(queue, job).await? {
            Some(hold) => Err(ArtifactError::Held { queue: queue.clone(), job: job.clone(), hold }),
            None => Ok(()),
        }
    }
}
