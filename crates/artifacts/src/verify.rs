//! Compares files with their manifest: every byte is read again.

use std::path::Path as FilePath;

use futures::TryStreamExt as _;
use lovage_core::{Invalid, JobId, QueueName};

use crate::config::StoreConfig;
use crate::digest::RunningDigest;
use crate::error::ArtifactError;
use crate::keys::{JOBS, MANIFEST, parse_data_key};
use crate::manifest::{Manifest, ManifestFile};
use crate::store::ArtifactStore;

/// Files that are what their manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The manifest.
    pub manifest: Manifest,
    /// What was read, one entry per file.
    pub files: Vec<VerifiedFile>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFile {
    /// Where it is.
    pub location: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its number of records, as the manifest says.
    pub rows: Option<u64>,
}

impl ArtifactStore {
    /// Checks all files of a job.
    pub async fn verify_job(&self, queue: &QueueName, job: &JobId) -> Result<Verified, ArtifactError> {
        let manifest = self.published(queue, job).await?;
        let all = manifest.files.clone();
        self.verify_files(manifest, &all).await
    }

    /// Checks the file with this key, or all files of the manifest with this key.
    pub async fn verify(&self, key: &str) -> Result<Verified, ArtifactError> {
        let key = key.trim_start_matches('/');
        if key.rsplit('/').next() == Some(MANIFEST) {
            let manifest = self.manifest(key).await?;
            self.refuse_deleted(&manifest.queue, &manifest.job).await?;
            let all = manifest.files.clone();
            return self.verify_files(manifest, &all).await;
        }
        let Some((attempt, _)) = parse_data_key(key) else {
            let help = "use jobs/QUEUE/JOB/manifest.json or jobs/QUEUE/JOB/ATTEMPT-TOKEN/NAME";
            return Err(Invalid::new("key", format!("{key:?} is no artifact's key"), help).into());
        };
        let manifest = match self.published(&attempt.queue, &attempt.job).await {
            Err(ArtifactError::NotFound(_)) => {
                let problem = format!("{key} is not published: job {} has no manifest", attempt.job);
                return Err(ArtifactError::Mismatch(problem));
            }
            other => other?,
        };
        let Some(file) = manifest.files.iter().find(|file| file.key == key).cloned() else {
            let problem = format!(
                "{key} is not published: the manifest of job {} names the files of attempt {}",
                attempt.job, manifest.attempt
            );
            return Err(ArtifactError::Mismatch(problem));
        };
        self.verify_files(manifest, &[file]).await
    }

    /// Checks a file of a local store (or a copy of its folder) by its path: a data file or a `manifest.json`.
    pub async fn verify_path(file: &FilePath) -> Result<Verified, ArtifactError> {
        let absolute = std::fs::canonicalize(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ArtifactError::NotFound(file.display().to_string()),
            _ => ArtifactError::Unavailable(format!("read {}: {error}", file.display())),
        });
        let absolute = match absolute {
            // A file that was deleted leaves its job's folder, and there it says so.
            Err(ArtifactError::NotFound(_)) if in_store(file) => std::path::absolute(file).unwrap_or_default(),
            other => other?,
        };
        let Some((root, key)) = split(&absolute) else {
            let help = "give the path of a published file or of its manifest.json";
            let problem = format!("{} does not lie in a folder jobs/QUEUE/JOB", file.display());
            return Err(Invalid::new("path", problem, help).into());
        };
        Self::open(&StoreConfig::new(root))?.verify(&key).await
    }

    async fn verify_files(&self, manifest: Manifest, files: &[ManifestFile]) -> Result<Verified, ArtifactError> {
        let mut verified = Vec::with_capacity(files.len());
        for file in files {
            let mut digest = RunningDigest::default();
            let mut pieces = match self.read(&file.key).await {
                Err(ArtifactError::NotFound(_)) => {
                    return Err(ArtifactError::Mismatch(format!("{} is missing, its manifest names it", file.key)));
                }
                other => other?,
            };
            while let Some(piece) = pieces.try_next().await? {
                digest.update(&piece).await;
            }
            verified.push(self.compare(file, digest)?);
        }
        Ok(Verified { manifest, files: verified })
    }

    fn compare(&self, file: &ManifestFile, digest: RunningDigest) -> Result<VerifiedFile, ArtifactError> {
        let (bytes, sha256) = (digest.bytes(), digest.hex());
        let mut differences = Vec::new();
        if bytes != file.bytes {
            differences.push(format!("it has {bytes} bytes, the manifest says {}", file.bytes));
        }
        if sha256 != file.sha256 {
            differences.push(format!("its sha256 is {sha256}, the manifest says {}", file.sha256));
        }
        if differences.is_empty() {
            return Ok(VerifiedFile { location: self.location(&file.key), bytes, sha256, rows: file.rows });
        }
        Err(ArtifactError::Mismatch(format!("{} was changed: {}", self.location(&file.key), differences.join("; "))))
    }
}

/// Whether a path that leads nowhere leads into the folder of a store.
fn in_store(file: &FilePath) -> bool {
    let absolute = std::path::absolute(file).unwrap_or_default();
    split(&absolute).is_some_and(|(root, _)| FilePath::new(&root).join(JOBS).is_dir())
}

/// Splits an absolute path into the store's folder and the key within it, at the last `jobs` that leaves a key of the
/// right form.
fn split(path: &FilePath) -> Option<(String, String)> {
    let text = path.to_str()?;
    let marker = format!("/{JOBS}/");
    let mut starts: Vec<usize> = text.match_indices(&marker).map(|(at, _)| at).collect();
    starts.reverse();
    starts.into_iter().find_map(|at| {
        let key = &text[at + 1..];
        let manifest = key.split('/').count() == 4 && key.ends_with(MANIFEST);
        let root = if at == 0 { "/" } else { &text[..at] };
        (manifest || parse_data_key(key).is_some()).then(|| (root.to_owned(), key.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_folder_is_found_even_below_other_jobs_folders() {
        let (root, key) = split(FilePath::new("/srv/jobs/a/jobs/q/7/1-2/x.csv")).unwrap();
        assert_eq!((root.as_str(), key.as_str()), ("/srv/jobs/a", "jobs/q/7/1-2/x.csv"));
        let (root, key) = split(FilePath::new("/jobs/q/jobs/manifest.json")).unwrap();
        assert_eq!((root.as_str(), key.as_str()), ("/", "jobs/q/jobs/manifest.json"));
        assert_eq!(split(FilePath::new("/tmp/manifest.json")), None);
    }
}
