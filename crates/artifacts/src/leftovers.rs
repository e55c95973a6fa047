//! Finds what only a local folder has: staged files of uploads that never ended, and empty folders of attempts.
//!
//! The local store stages every write in `{key}#{number}` next to its target and renames it. A process that is killed
//! leaves the staged file, which no listing of the store shows.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use lovage_core::{JobId, QueueName, Timestamp};

use crate::error::ArtifactError;
use crate::keys::{CHUNK, DELETED, HOLD, JOBS, MANIFEST, parse_data_key, parse_job_key};
use crate::sweep::{SweepOptions, SweepReport};

/// A staged file or an empty folder.
struct Leftover {
    path: PathBuf,
    key: String,
    queue: QueueName,
    job: JobId,
    bytes: u64,
    folder: bool,
}

/// Removes the leftovers of jobs that are not live.
pub(crate) async fn sweep<F, A>(
    root: &Path,
    options: SweepOptions,
    is_live: &F,
    report: &mut SweepReport,
) -> Result<(), ArtifactError>
where
    F: Fn(QueueName, JobId) -> A + Send + Sync,
    A: Future<Output = bool> + Send,
{
    let most = options.limit.saturating_sub(report.removed.len());
    let folder = root.to_owned();
    let unavailable = |error: &dyn std::fmt::Display| ArtifactError::Unavailable(format!("list the store: {error}"));
    let found = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        walk(&folder, &folder.join(JOBS), options, most, &mut found).map(|()| found)
    })
    .await
    .map_err(|error| unavailable(&error))?
    .map_err(|error| unavailable(&error))?;
    let cut = found.len() > most;
    for leftover in found.into_iter().take(most) {
        if is_live(leftover.queue.clone(), leftover.job.clone()).await {
            continue;
        }
        if leftover.folder {
            // Refused by the system if something has come into it meanwhile.
            if !options.dry_run && tokio::fs::remove_dir(&leftover.path).await.is_err() {
                continue;
            }
        } else if !options.dry_run
            && let Err(error) = tokio::fs::remove_file(&leftover.path).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(ArtifactError::Unavailable(format!("remove {}: {error}", leftover.path.display())));
        }
        report.bytes += leftover.bytes;
        report.removed.push(leftover.key);
    }
    // If all that was found belongs to live jobs, another call would find the same again.
    report.more |= cut && !report.removed.is_empty();
    Ok(())
}

/// Collects at most one more than `most` leftovers below `folder`.
fn walk(root: &Path, folder: &Path, options: SweepOptions, most: usize, found: &mut Vec<Leftover>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut empty = true;
    for entry in entries {
        empty = false;
        let entry = entry?;
        // A file that ends meanwhile is no leftover.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(root, &entry.path(), options, most, found)?;
        } else if is_old(&metadata, options) {
            found.extend(staged(root, entry.path(), metadata.len()));
        }
        if found.len() > most {
            return Ok(());
        }
    }
    if empty && is_old(&std::fs::metadata(folder)?, options) {
        found.extend(attempt_folder(root, folder));
    }
    Ok(())
}

fn is_old(metadata: &std::fs::Metadata, options: SweepOptions) -> bool {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    options.is_old(Timestamp::from_millis(modified.as_millis() as u64))
}

/// The leftover at `path`, if that is the staged file of an attempt's file or of a job's record.
fn staged(root: &Path, path: PathBuf, bytes: u64) -> Option<Leftover> {
    let key = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    let (target, number) = key.rsplit_once('#')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (queue, job) = owner(target)?;
    Some(Leftover { path, key, queue, job, bytes, folder: false })
}

/// The leftover at `folder`, if that is an attempt's folder.
fn attempt_folder(root: &Path, folder: &Path) -> Option<Leftover> {
    let key = folder.strip_prefix(root).ok()?.to_str()?.to_owned();
    let (attempt, _) = parse_data_key(&format!("{key}/x"))?;
    Some(Leftover { path: folder.to_owned(), key, queue: attempt.queue, job: attempt.job, bytes: 0, folder: true })
}

/// The job that owns a key.
fn owner(key: &str) -> Option<(QueueName, JobId)> {
    if let Some((attempt, _)) = parse_data_key(key) {
        return Some((attempt.queue, attempt.job));
    }
    let (queue, job, record) = parse_job_key(key)?;
    ([MANIFEST, DELETED, HOLD].contains(&record) || record.starts_with(CHUNK)).then_some((queue, job))
}
