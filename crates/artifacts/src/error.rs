//! What can go wrong between a handler and its files, by what the caller does about it.

use lovage_core::{Invalid, JobId, QueueName};

use crate::deletion::{Deletion, day};
use crate::hold::Hold;

/// The attempt does not hold its job as far as it knows: somebody else runs it, it is gone, or nobody could be asked.
/// Carries the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the file is not published: {0}")]
pub struct LeaseLost(pub String);

/// An error of the artifact store.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The caller sent something unacceptable: mend it and call again.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such object.
    #[error("there is no {0} in the artifact store")]
    NotFound(String),
    /// The job's files were there and have been deleted.
    #[error("the files of job {} in queue {} were deleted {_0}", _0.job, _0.queue)]
    Deleted(Box<Deletion>),
    /// The job's files are held and cannot be deleted: release them first.
    #[error("the files of job {job} in queue {queue} are held{}; release them first", held_since(hold))]
    Held {
        /// The job's queue.
        queue: QueueName,
        /// The job.
        job: JobId,
        /// Since when, and why.
        hold: Hold,
    },
    /// The attempt lost its lease before it published; its own files are removed.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The store cannot be reached, is busy or full: try again later. The text says why.
    #[error("the artifact store is unavailable: {0}")]
    Unavailable(String),
    /// A person has to change the settings or the store's rights. The text says what.
    #[error("the artifact store cannot be used as it is set up: {0}")]
    Misconfigured(String),
    /// A file is not what its manifest says. The text names the file and every difference.
    #[error("{0}")]
    Mismatch(String),
    /// A manifest or another record that this release cannot read.
    #[error("{key} cannot be read: {problem}")]
    Unreadable {
        /// Where it lies.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ArtifactError {
    /// Whether the same call may succeed later without anybody changing the call itself. A wrong setting counts: the
    /// operator mends it while the job waits for its next attempt.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Misconfigured(_))
    }

    /// For a job that has published nothing.
    pub(crate) fn unpublished(queue: &QueueName, job: &JobId) -> Self {
        Self::NotFound(format!("published file of job {job} in queue {queue}"))
    }

    /// From the store's own error; `doing` says what was being done, e.g. `write jobs/…`.
    pub(crate) fn from_store(doing: &str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let text = chain(error);
        match error {
            E::NotFound { path, .. } if text.contains("NoSuchBucket") => Self::Misconfigured(format!(
                "{doing}: the bucket does not exist ({path}); create it or change the storage url"
            )),
            E::NotFound { path, .. } => Self::NotFound(path.clone()),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Misconfigured(format!("{doing}: access denied; check the credentials and their rights: {text}"))
            }
            E::NotImplemented { .. } | E::NotSupported { .. } | E::UnknownConfigurationKey { .. } => {
                Self::Misconfigured(format!("{doing}: {text}"))
            }
            _ if text.contains("NoSuchBucket") => {
                Self::Misconfigured(format!("{doing}: the bucket does not exist; create it or change the storage url"))
            }
            _ => Self::Unavailable(format!("{doing}: {text}")),
        }
    }
}

/// ` since 2026-11-26 (why)`.
fn held_since(hold: &Hold) -> String {
    let why = hold.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!(" since {}{why}", day(hold.since))
}

/// The error with its causes in one line; causes that the text above them already quotes are not repeated.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text.replace(['\n', '\r'], " ")
}
