//! Removes files that no manifest names: what attempts left that were killed between upload and publish.
//!
//! A file goes when it is old enough, its job is not live, and its job's manifest does not name it. The job is asked
//! first and the manifest read after: a job that publishes between the two questions is live for the first or
//! visible to the second. Objects of any other form are never touched.
//!
//! Parts of uploads that never completed are not objects. In a local folder they are files, and go here too; on S3
//! only the bucket's lifecycle rule ("abort incomplete multipart uploads") removes them.

use std::future::Future;
use std::time::Duration;

use futures::TryStreamExt as _;
use lovage_core::{JobId, QueueName, Timestamp};

use crate::error::ArtifactError;
use crate::keys::{JOBS, is_chunk, parse_data_key, parse_job_key, path};
use crate::leftovers;
use crate::manifest::Manifest;
use crate::store::ArtifactStore;

/// What to sweep.
#[derive(Debug, Clone, Copy)]
pub struct SweepOptions {
    /// The current time, by the same clock as the store's, give or take a small part of `older_than`.
    pub now: Timestamp,
    /// Younger objects are left alone. Longer than any attempt can run between its last confirmed lease and its
    /// publish; a day is generous.
    pub older_than: Duration,
    /// Most objects that one call removes.
    pub limit: usize,
    /// Only look, remove nothing.
    pub dry_run: bool,
}

impl SweepOptions {
    /// Objects older than a day, at most 1,000 at a time.
    pub fn at(now: Timestamp) -> Self {
        Self { now, older_than: Duration::from_hours(24), limit: 1_000, dry_run: false }
    }

    pub(crate) fn is_old(&self, modified: Timestamp) -> bool {
        self.now.since(modified) > self.older_than
    }
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Objects of attempts that were looked at.
    pub examined: u64,
    /// Keys that were removed (or, in a dry run, would be).
    pub removed: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests that this release cannot read, with the problem. What they name is not known: their jobs' files stay.
    pub unreadable: Vec<String>,
    /// What could not be read or removed, with the reason: it stays, and the next call tries again.
    pub failed: Vec<String>,
    /// Whether the limit was reached: call again.
    pub more: bool,
}

/// So many failures, and nothing else is tried: the store as a whole does not do as it is told.
pub(crate) const MOST_FAILURES: usize = 100;

/// What is known about the job whose objects are being listed; they come one after the other.
struct Known {
    queue: QueueName,
    job: JobId,
    live: bool,
    manifest: Option<Manifest>,
    /// Whether the records of its chunks are gone.
    forgotten: bool,
}

impl ArtifactStore {
    /// Removes orphans. `is_live` answers whether a job may still run: true while it waits, runs or will be retried,
    /// and true when in doubt.
    pub async fn sweep_orphans<F, A>(&self, options: SweepOptions, is_live: F) -> Result<SweepReport, ArtifactError>
    where
        F: Fn(QueueName, JobId) -> A + Send + Sync,
        A: Future<Output = bool> + Send,
    {
        let mut report = SweepReport::default();
        let mut known: Option<Known> = None;
        let mut objects = self.objects().list(Some(&path(JOBS)?));
        let failed = |error| ArtifactError::from_store("list the store", &error);
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let key = object.location.as_ref();
            let data = parse_data_key(key).is_some();
            let owner = parse_job_key(key).filter(|_| data || is_chunk(key));
            let Some((queue, job, _)) = owner else { continue };
            report.examined += u64::from(data);
            let modified = object.last_modified.timestamp_millis().max(0) as u64;
            if !options.is_old(Timestamp::from_millis(modified)) {
                continue;
            }
            let job = self.known(known.take(), queue, job, &is_live, &mut report).await;
            if report.failed.len() >= MOST_FAILURES {
                return Ok(report);
            }
            if !data {
                // The record of a chunk: after the manifest, and when the job can run no more, nobody reads it.
                if !job.live
                    && !options.dry_run
                    && let Err(error) = self.remove(key).await
                {
                    report.failed.push(format!("{key}: {error}"));
                }
                known = Some(job);
                continue;
            }
            let named = job.manifest.as_ref().is_some_and(|manifest| manifest.files.iter().any(|file| file.key == key));
            let orphan = !job.live && !named;
            let job = known.insert(job);
            if !orphan {
                continue;
            }
            if report.removed.len() >= options.limit {
                report.more = true;
                return Ok(report);
            }
            if options.dry_run || self.remove_orphan(key, job, &is_live, &mut report).await {
                report.bytes += object.size;
                report.removed.push(key.to_owned());
            }
        }
        if let Some(root) = self.local_root() {
            leftovers::sweep(root, options, &is_live, &mut report).await?;
        }
        Ok(report)
    }

    /// Removes a file that no manifest names. Answers whether it has gone; one that cannot be removed does not keep the others.
    async fn remove_orphan<F, A>(&self, key: &str, job: &mut Known, is_live: &F, report: &mut SweepReport) -> bool
    where
        F: Fn(QueueName, JobId) -> A + Send + Sync,
        A: Future<Output = bool> + Send,
    {
        if job.manifest.is_none() && !job.forgotten {
            // Before the first of their files, and asked again after: an attempt that began meanwhile looks at the records once
            // more before it publishes. It finds none, or is found here.
            if let Err(error) = self.forget_chunks(&job.queue, &job.job).await {
                report.failed.push(format!("{}/{}: {error}", job.queue, job.job));
                return false;
            }
            let live = is_live(job.queue.clone(), job.job.clone()).await;
            (job.live, job.manifest) = self.judged(&job.queue, &job.job, live, report).await;
            job.forgotten = true;
            if job.live || job.manifest.is_some() {
                return false;
            }
        }
        match self.remove(key).await {
            Ok(()) => true,
            Err(error) => {
                report.failed.push(format!("{key}: {error}"));
                false
            }
        }
    }

    /// What is known about a job, asked again only when it is another one than before.
    async fn known<F, A>(
        &self,
        before: Option<Known>,
        queue: QueueName,
        job: JobId,
        is_live: &F,
        report: &mut SweepReport,
    ) -> Known
    where
        F: Fn(QueueName, JobId) -> A + Send + Sync,
        A: Future<Output = bool> + Send,
    {
        if let Some(known) = before.filter(|known| known.queue == queue && known.job == job) {
            return known;
        }
        let live = is_live(queue.clone(), job.clone()).await;
        let (live, manifest) = self.judged(&queue, &job, live, report).await;
        Known { queue, job, live, manifest, forgotten: false }
    }

    /// Whether a job counts as live, and its manifest if it does not. To be called after the job was asked, see the head of
    /// this file. What a manifest names that cannot be read is not known, and doubt keeps the files.
    async fn judged(
        &self,
        queue: &QueueName,
        job: &JobId,
        live: bool,
        report: &mut SweepReport,
    ) -> (bool, Option<Manifest>) {
        if live {
            return (true, None);
        }
        match self.existing(queue, job).await {
            Ok(found) => (false, found),
            Err(error @ ArtifactError::Unreadable { .. }) => {
                report.unreadable.push(error.to_string());
                (true, None)
            }
            Err(error) => {
                report.failed.push(format!("{queue}/{job}: {error}"));
                (true, None)
            }
        }
    }
}
