//! The manifest: the small document that makes an attempt's files visible and says what they are.

use lovage_core::{Invalid, JobId, Kind, QueueName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::ArtifactError;
use crate::keys::{AttemptKey, parse_data_key};
use crate::record;

/// The version that this release writes, and the newest that it reads. Within a version fields are only added.
pub const MANIFEST_VERSION: u32 = 1;

/// Everything about the files of one job. Lies at the job's own key and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the release that wrote it.
    pub version: u32,
    /// The job's queue.
    pub queue: QueueName,
    /// The job.
    pub job: JobId,
    /// Its kind.
    pub kind: Kind,
    /// The attempt whose files these are.
    pub attempt: u32,
    /// That attempt's fencing number.
    pub token: u64,
    /// The program that wrote it, e.g. `lovage 0.1.0`.
    pub producer: String,
    /// When, by the writer's clock, in milliseconds since 1970.
    pub created_at: Timestamp,
    /// When its files may be deleted, by the writer's clock; without it they are kept until somebody deletes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The tenant that the job belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The registered name of what was exported, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The files, at least one.
    pub files: Vec<ManifestFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name as people see it.
    pub name: String,
    /// Its key in the store.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its media type.
    pub content_type: String,
    /// Records in it, a header not counted, where that has a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its columns, where it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Where its content came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was changed to fit the format, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in the source's own words.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// Where a file's content came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The configured name of the source; never its address.
    pub source: String,
    /// The source's kind, e.g. `postgres`.
    pub engine: String,
    /// The one state of the source that was read, in the source's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// SHA-256 of the query's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_sha256: Option<String>,
}

impl Manifest {
    /// The attempt that it belongs to.
    pub fn owner(&self) -> AttemptKey {
        AttemptKey { queue: self.queue.clone(), job: self.job.clone(), attempt: self.attempt, token: self.token }
    }

    /// The file called `name`, or its only one.
    pub fn file(&self, name: Option<&str>) -> Result<&ManifestFile, ArtifactError> {
        let names = || self.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, self.files.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => {
                let problem = format!("is missing, and job {} has {} files", self.job, self.files.len());
                Err(Invalid::new("file", problem, format!("name one of: {}", names())).into())
            }
            (Some(name), files) => files.iter().find(|file| file.name == name).ok_or_else(|| {
                ArtifactError::NotFound(format!("file {name:?} of job {} (it has: {})", self.job, names()))
            }),
        }
    }

    /// Checks that it names at least one file and only files of its own attempt.
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        if self.files.is_empty() {
            return Err(Invalid::new("files", "is empty", "name at least one file"));
        }
        let owner = self.owner();
        for file in &self.files {
            let key = parse_data_key(&file.key);
            if key.is_none_or(|(attempt, name)| attempt != owner || name.as_str() != file.name) {
                let help = "name only files that this attempt wrote";
                return Err(Invalid::new("files", format!("{:?} is not a file of this attempt", file.key), help));
            }
        }
        Ok(())
    }

    /// Reads a stored manifest.
    pub(crate) fn decode(key: &str, text: &[u8]) -> Result<Self, ArtifactError> {
        record::decode(key, text, MANIFEST_VERSION)
    }
}
