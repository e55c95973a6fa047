//! Brings the inputs onto this machine: which objects they are, whether they are too many, and the files to scan.
//!
//! A store that is a folder is scanned in place, by links under names of our own, because polars reads `*` and `[` in a
//! path as a pattern. Anything else is downloaded. The bound counts the bytes as they arrive, too: an object may have
//! grown since it was listed. Rows of datasets count for the same bound; see `dataset.rs`.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use lovage_artifacts::{ArtifactError, ArtifactStore, Manifest, ManifestFile, StoredObject};
use lovage_core::{Invalid, Progress, Tenant};
use lovage_payloads::{ArtifactInput, InputFormat};
use lovage_worker::{JobContext, JobError, artifacts};
use polars::prelude::DataType;
use tokio::io::AsyncWriteExt as _;

use crate::fault;
use crate::place::Place;
use crate::plan::{From, Input};

/// Most objects of one input.
const MOST_OBJECTS: usize = 10_000;

/// A table whose files are on this machine.
#[derive(Debug)]
pub(crate) struct Staged {
    pub table: String,
    pub format: InputFormat,
    pub types: Vec<(String, DataType)>,
    pub files: Vec<PathBuf>,
}

/// What an input is.
pub(crate) struct Found {
    input: Input,
    objects: Vec<StoredObject>,
    format: InputFormat,
}

/// Looks up all inputs and refuses them if they are too large.
pub(crate) async fn find_all(
    store: &ArtifactStore,
    job: &JobContext,
    inputs: Vec<Input>,
    budget: &mut Budget<'_>,
) -> Result<Vec<Found>, JobError> {
    let mut found = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (objects, format) = find(store, job, &input).await?;
        budget.expect(objects.iter().map(|object| object.bytes).sum())?;
        found.push(Found { input, objects, format });
    }
    Ok(found)
}

/// Brings what was found into `folder`.
pub(crate) async fn bring(
    store: &ArtifactStore,
    found: Vec<Found>,
    folder: &Path,
    budget: &mut Budget<'_>,
) -> Result<Vec<Staged>, JobError> {
    let mut staged = Vec::with_capacity(found.len());
    for Found { input, objects, format } in found {
        let mut files = Vec::with_capacity(objects.len());
        for (number, object) in objects.iter().enumerate() {
            let file = folder.join(format!("{}-{number}.{}", input.table, ending(format)));
            match store.local_path(&object.key) {
                Some(path) => link(&path, &file)?,
                None => download(store, &object.key, &file, budget).await?,
            }
            files.push(file);
        }
        staged.push(Staged { table: input.table, format, types: input.types, files });
    }
    Ok(staged)
}

async fn find(
    store: &ArtifactStore,
    job: &JobContext,
    input: &Input,
) -> Result<(Vec<StoredObject>, InputFormat), JobError> {
    let field = format!("inputs.{}", input.table);
    let (objects, told) = match &input.from {
        From::Artifact(artifact) => {
            let file = published(store, job, &field, artifact).await?;
            let told = by_content_type(&file.content_type).or_else(|| by_ending(&file.name));
            (vec![StoredObject { key: file.key, bytes: file.bytes }], told)
        }
        From::Files(place) => {
            let objects = listed(store, &field, place).await?;
            let told = objects.first().and_then(|object| by_ending(&object.key));
            (objects, told)
        }
    };
    let format = input.format.or(told).ok_or_else(|| {
        let help = "say `format`: csv, jsonl or parquet";
        fault::invalid(Invalid::new(&field, "cannot be told to be CSV, JSON lines or Parquet by its name", help))
    })?;
    Ok((objects, format))
}

async fn published(
    store: &ArtifactStore,
    job: &JobContext,
    field: &str,
    input: &ArtifactInput,
) -> Result<ManifestFile, JobError> {
    let manifest = store.existing(&input.queue, &input.job).await.map_err(artifacts::failed)?;
    // The other job may still be at it: this one waits by the rules of its retry policy.
    let Some(Manifest { files, tenant, .. }) = manifest else {
        let problem = format!("{field}: job {} of queue {} has not published a file", input.job, input.queue);
        return Err(JobError::Retry(anyhow::anyhow!(problem)));
    };
    if let Some(problem) = belongs_to_another(job.tenant(), tenant.as_ref()) {
        let help = "read files of jobs of the same tenant";
        return Err(fault::invalid(Invalid::new(format!("{field}.artifact"), problem, help)));
    }
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let refuse = |problem: String| {
        let help = format!("use one of: {}", names.join(", "));
        Err(fault::invalid(Invalid::new(format!("{field}.artifact.file"), problem, help)))
    };
    match &input.file {
        Some(name) => match files.into_iter().find(|file| file.name == *name) {
            Some(file) => Ok(file),
            None => refuse(format!("the job published no {name:?}")),
        },
        None if files.len() > 1 => refuse("is absent, and the job published several files".to_owned()),
        None => files.into_iter().next().map_or_else(|| refuse("the job published no file".to_owned()), Ok),
    }
}

/// A job of a tenant reads what belongs to that tenant or to nobody; a job of nobody is the operator's own.
fn belongs_to_another(reader: Option<&Tenant>, owner: Option<&Tenant>) -> Option<String> {
    match (reader, owner) {
        (Some(reader), Some(owner)) if reader != owner => Some(format!("belongs to another tenant than {reader}")),
        _ => None,
    }
}

async fn listed(store: &ArtifactStore, field: &str, place: &Place) -> Result<Vec<StoredObject>, JobError> {
    let found = match place.key() {
        Some(key) => store.object(&key).await.map(|object| vec![object]),
        None => store.objects_in(&place.folder, MOST_OBJECTS, |name| place.fits(name)).await,
    };
    let found = match found {
        Err(ArtifactError::NotFound(_)) => Vec::new(),
        other => other.map_err(artifacts::failed)?,
    };
    if found.is_empty() {
        let help = "upload the files first, or mend the pattern";
        let problem = format!("no object of the artifact store fits it (looked in {})", store.location(&place.folder));
        return Err(fault::invalid(Invalid::new(format!("{field}.files"), problem, help)));
    }
    Ok(found)
}

fn by_content_type(content_type: &str) -> Option<InputFormat> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Some(InputFormat::Csv),
        "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => Some(InputFormat::Jsonl),
        "application/vnd.apache.parquet" => Some(InputFormat::Parquet),
        _ => None,
    }
}

fn by_ending(name: &str) -> Option<InputFormat> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "csv" => Some(InputFormat::Csv),
        "jsonl" | "ndjson" => Some(InputFormat::Jsonl),
        "parquet" => Some(InputFormat::Parquet),
        _ => None,
    }
}

fn ending(format: InputFormat) -> &'static str {
    match format {
        InputFormat::Csv => "csv",
        InputFormat::Jsonl => "jsonl",
        InputFormat::Parquet => "parquet",
    }
}

fn link(path: &Path, file: &Path) -> Result<(), JobError> {
    std::os::unix::fs::symlink(path, file).map_err(|error| fault::disk(&format!("link {}", path.display()), &error))
}

async fn download(store: &ArtifactStore, key: &str, file: &Path, budget: &mut Budget<'_>) -> Result<(), JobError> {
    let mut pieces = store.read(key).await.map_err(artifacts::failed)?;
    let failed = |error: std::io::Error| fault::disk(&format!("write {}", file.display()), &error);
    let mut writing = tokio::fs::File::create(file).await.map_err(failed)?;
    while let Some(piece) = pieces.try_next().await.map_err(artifacts::failed)? {
        budget.download(piece.len() as u64)?;
        writing.write_all(&piece).await.map_err(failed)?;
    }
    writing.flush().await.map_err(failed)
}

/// How much more may come.
pub(crate) struct Budget<'a> {
    job: &'a JobContext,
    max_bytes: u64,
    left: u64,
    /// Of files, as they were listed.
    expected: u64,
    downloaded: u64,
}

impl<'a> Budget<'a> {
    pub fn new(job: &'a JobContext, max_bytes: u64) -> Self {
        Self { job, max_bytes, left: max_bytes, expected: 0, downloaded: 0 }
    }

    /// What rows of a dataset may take: the rest is for the files.
    pub fn room(&self) -> u64 {
        self.left.saturating_sub(self.expected)
    }

    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Rows of a dataset took this.
    pub fn spend(&mut self, bytes: u64) -> Result<(), JobError> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| self.exceeded())?;
        Ok(())
    }

    fn expect(&mut self, bytes: u64) -> Result<(), JobError> {
        self.expected = self.expected.saturating_add(bytes);
        if self.expected > self.max_bytes { Err(self.exceeded()) } else { Ok(()) }
    }

    fn download(&mut self, bytes: u64) -> Result<(), JobError> {
        self.spend(bytes)?;
        self.downloaded += bytes;
        let (done, total) = (self.downloaded, Some(self.expected));
        let (unit, phase) = ("bytes".to_owned(), "download".to_owned());
        self.job.progress(Progress { done, total, unit, phase, ..Progress::default() });
        Ok(())
    }

    fn exceeded(&self) -> JobError {
        let least = self.expected.max(self.max_bytes.saturating_add(1));
        let problem = format!("have {least} bytes or more, and this worker reads at most {}", self.max_bytes);
        let help = "read fewer files or rows, or raise reports.max_input_bytes";
        fault::invalid(Invalid::new("inputs", problem, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_does_not_read_the_files_of_another() {
        let tenant = |name: &str| name.parse::<Tenant>().unwrap();
        let (acme, umbrella) = (tenant("acme"), tenant("umbrella"));
        assert!(belongs_to_another(Some(&acme), Some(&umbrella)).is_some());
        for (reader, owner) in [(Some(&acme), Some(&acme)), (Some(&acme), None), (None, Some(&acme)), (None, None)] {
            assert_eq!(belongs_to_another(reader, owner), None);
        }
    }
}
