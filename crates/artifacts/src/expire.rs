//! Deletes the files whose time is over. To be done again and again, like the sweep, from which it differs in what it looks for:
//! published files that their manifest allows to go, not files that nobody published.
//!
//! One walk over the listing. A job's objects come one after the other; where a store mixes them up, a job is looked
//! at twice, which [`ArtifactStore::delete`] does not mind. Manifests are read several at a time; those of jobs whose
//! deletion is complete are not read again.

use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use lovage_core::{JobId, QueueName, Timestamp};

use crate::deletion::{DeleteOptions, DeletedBy};
use crate::error::ArtifactError;
use crate::keys::{DELETED, JOBS, MANIFEST, manifest_key, parse_data_key, parse_job_key, path};
use crate::manifest::Manifest;
use crate::store::ArtifactStore;
use crate::sweep::MOST_FAILURES;

/// Manifests that are read at a time.
pub(crate) const READS: usize = 16;

/// What to expire.
#[derive(Debug, Clone, Copy)]
pub struct ExpireOptions {
    /// The current time.
    pub now: Timestamp,
    /// Most jobs whose files one call deletes.
    pub limit: usize,
    /// Only look, delete nothing.
    pub dry_run: bool,
}

impl ExpireOptions {
    /// The files of at most 1,000 jobs.
    pub fn at(now: Timestamp) -> Self {
        Self { now, limit: 1_000, dry_run: false }
    }
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpireReport {
    /// Manifests that were read.
    pub examined: u64,
    /// The jobs whose files were deleted (or, in a dry run, would be).
    pub deleted: Vec<Expired>,
    /// Jobs whose time is over and whose files a hold keeps.
    pub held: Vec<(QueueName, JobId)>,
    /// Manifests that this release cannot read, with the problem. Their files stay.
    pub unreadable: Vec<String>,
    /// Jobs whose files could not be deleted, with the reason, and what kept the call from looking at the rest after it had
    /// deleted something. The next call tries again.
    pub failed: Vec<String>,
    /// Whether the limit was reached: call again.
    pub more: bool,
}

impl ExpireReport {
    /// Bytes of the files that were deleted.
    pub fn bytes(&self) -> u64 {
        self.deleted.iter().map(|gone| gone.bytes).sum()
    }
}

/// A job whose files were deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The job's queue.
    pub queue: QueueName,
    /// The job.
    pub job: JobId,
    /// Until when its files were to be kept; nothing if somebody had asked for their deletion and it was not finished.
    pub expires_at: Option<Timestamp>,
    /// The files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What a listing shows of a job.
struct Folder {
    queue: QueueName,
    job: JobId,
    manifest: bool,
    deleted: bool,
    data: bool,
}

/// What a manifest says about its files.
enum Judged {
    Keep,
    Delete(Manifest),
    Unreadable(String),
    Failed(String),
}

impl ArtifactStore {
    /// Deletes files whose `expires_at` is past, and ends deletions that were begun.
    pub async fn expire(&self, options: ExpireOptions) -> Result<ExpireReport, ArtifactError> {
        let mut report = ExpireReport::default();
        let judged = self.folders()?.try_filter(|folder| {
            let open = folder.manifest && (folder.data || !folder.deleted);
            std::future::ready(open)
        });
        let store = self.clone();
        let judged = judged.map_ok(move |folder| judge(store.clone(), folder, options.now).map(Ok)).try_buffered(READS);
        let mut judged = std::pin::pin!(judged);
        while let Some(next) = judged.next().await {
            let next = match next {
                // What is deleted is told, whatever comes after.
                Err(error) if !report.deleted.is_empty() => {
                    report.failed.push(error.to_string());
                    break;
                }
                next => next?,
            };
            if report.failed.len() >= MOST_FAILURES {
                break;
            }
            report.examined += 1;
            match next {
                Judged::Keep => {}
                Judged::Unreadable(problem) => report.unreadable.push(problem),
                Judged::Failed(problem) => report.failed.push(problem),
                Judged::Delete(_) if report.deleted.len() >= options.limit => {
                    report.more = true;
                    break;
                }
                Judged::Delete(manifest) => self.expire_one(&manifest, options, &mut report).await?,
            }
        }
        Ok(report)
    }

    async fn expire_one(
        &self,
        manifest: &Manifest,
        options: ExpireOptions,
        report: &mut ExpireReport,
    ) -> Result<(), ArtifactError> {
        let (queue, job) = (&manifest.queue, &manifest.job);
        let outcome = if options.dry_run {
            self.refuse_held(queue, job).await
        } else {
            let order = DeleteOptions { by: DeletedBy::Retention, reason: None, now: options.now };
            self.delete(queue, job, &order).await.map(|_| ())
        };
        match outcome {
            Err(ArtifactError::Held { .. }) => report.held.push((queue.clone(), job.clone())),
            // One job that cannot be deleted does not keep the others.
            Err(error) => report.failed.push(format!("{queue}/{job}: {error}")),
            Ok(()) => {
                report.deleted.push(Expired {
                    queue: queue.clone(),
                    job: job.clone(),
                    expires_at: manifest.expires_at,
                    files: manifest.files.len(),
                    bytes: manifest.files.iter().map(|file| file.bytes).sum(),
                });
            }
        }
        Ok(())
    }

    /// The folders of all jobs, one after the other.
    fn folders(&self) -> Result<impl Stream<Item = Result<Folder, ArtifactError>> + Send + use<>, ArtifactError> {
        let objects = self.objects().list(Some(&path(JOBS)?)).fuse();
        Ok(stream::try_unfold((objects, None::<Folder>), |(mut objects, mut open)| async move {
            let failed = |error| ArtifactError::from_store("list the store", &error);
            while let Some(object) = objects.try_next().await.map_err(failed)? {
                let key = object.location.as_ref();
                let Some((queue, job, rest)) = parse_job_key(key) else { continue };
                let mut folder = match open.take() {
                    Some(folder) if folder.queue == queue && folder.job == job => folder,
                    before => {
                        let folder = Folder::first(queue, job, rest, key);
                        open = Some(folder);
                        match before {
                            Some(before) => return Ok(Some((before, (objects, open)))),
                            None => continue,
                        }
                    }
                };
                folder.note(rest, key);
                open = Some(folder);
            }
            Ok(open.map(|last| (last, (objects, None))))
        }))
    }
}

impl Folder {
    fn first(queue: QueueName, job: JobId, rest: &str, key: &str) -> Self {
        let mut folder = Self { queue, job, manifest: false, deleted: false, data: false };
        folder.note(rest, key);
        folder
    }

    fn note(&mut self, rest: &str, key: &str) {
        self.manifest |= rest == MANIFEST;
        self.deleted |= rest == DELETED;
        self.data |= parse_data_key(key).is_some();
    }
}

async fn judge(store: ArtifactStore, folder: Folder, now: Timestamp) -> Judged {
    let manifest = match store.manifest(&manifest_key(&folder.queue, &folder.job)).await {
        Err(error @ ArtifactError::Unreadable { .. }) => return Judged::Unreadable(error.to_string()),
        // Somebody has removed it by hand since it was listed.
        Err(ArtifactError::NotFound(_)) => return Judged::Keep,
        Err(error) => return Judged::Failed(format!("{}/{}: {error}", folder.queue, folder.job)),
        Ok(manifest) => manifest,
    };
    let over = manifest.expires_at.is_some_and(|at| at <= now);
    if over || folder.deleted { Judged::Delete(manifest) } else { Judged::Keep }
}
