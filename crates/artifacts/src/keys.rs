//! Where things lie: the one place that knows the layout of the store.
//!
//! ```text
//! jobs/{queue}/{job}/manifest.json                 the job's, deterministic: the commit point
//! jobs/{queue}/{job}/deleted.json                  the record that its files were deleted
//! jobs/{queue}/{job}/hold.json                     while it is there, its files are not deleted
//! jobs/{queue}/{job}/{attempt}-{token}/{name}      one attempt's, never shared
//! ```
//!
//! Token and attempt together never repeat within a job, so two attempts cannot write the same object.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use lovage_core::{Invalid, JobId, QueueName};
use object_store::path::Path;

use crate::error::ArtifactError;

/// The folder of everything that belongs to jobs.
pub(crate) const JOBS: &str = "jobs";
/// The name of the manifest within a job's folder.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The name of the record of a deletion within a job's folder.
pub(crate) const DELETED: &str = "deleted.json";
/// The name of the record of a hold within a job's folder.
pub(crate) const HOLD: &str = "hold.json";
/// Longest file name in bytes: file systems end at 255, and a local upload adds a suffix.
const MAX_NAME_BYTES: usize = 200;

/// The name of a file as people see it: any script, no path, nothing that a file system or a shell trips over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let help = "use letters and digits of any script, spaces, `.`, `_`, `-`, `+`, `,`, `=`, `@`, `&` and brackets `()`, \
                    at most 200 bytes";
        let refuse = |problem: String| Err(Invalid::new("name", problem, help));
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return refuse(format!("is {} bytes long", text.len()));
        }
        if let Some(bad) = text.chars().find(|&c| is_forbidden(c)) {
            return refuse(format!("{text:?} contains {bad:?}"));
        }
        if text.starts_with(['.', ' ']) || text.ends_with(['.', ' ']) {
            return refuse(format!("{text:?} begins or ends with a dot or a space"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Separators and wildcards of any file system, control characters, and characters that make a name look like
/// another one (direction overrides, invisible marks).
fn is_forbidden(c: char) -> bool {
    let invisible =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    invisible || c.is_control() || "/\\:*?\"<>|#%^~`[]{}'$;!".contains(c)
}

/// One attempt of one job, as the owner of files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    /// The job's queue.
    pub queue: QueueName,
    /// The job.
    pub job: JobId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The attempt's fencing number.
    pub token: u64,
}

impl AttemptKey {
    /// The folder that belongs to this attempt alone, with a slash at its end.
    pub(crate) fn folder(&self) -> String {
        format!("{}{}-{}/", job_folder(&self.queue, &self.job), self.attempt, self.token)
    }

    /// The key of this attempt's file called `name`.
    pub(crate) fn data_key(&self, name: &FileName) -> String {
        self.folder() + name.as_str()
    }
}

/// The folder of a job, with a slash at its end.
pub(crate) fn job_folder(queue: &QueueName, job: &JobId) -> String {
    // The ids `.` and `..` are legal, as folders they would lead elsewhere. `=` cannot stand in an id.
    let folder = match job.as_str() {
        "." => Cow::Borrowed("=dot"),
        ".." => Cow::Borrowed("=dotdot"),
        id => Cow::Borrowed(id),
    };
    format!("{JOBS}/{queue}/{folder}/")
}

/// The key of a job's manifest.
pub(crate) fn manifest_key(queue: &QueueName, job: &JobId) -> String {
    job_folder(queue, job) + MANIFEST
}

/// The key of the record that a job's files were deleted.
pub(crate) fn deleted_key(queue: &QueueName, job: &JobId) -> String {
    job_folder(queue, job) + DELETED
}

/// The key of the record that a job's files are held.
pub(crate) fn hold_key(queue: &QueueName, job: &JobId) -> String {
    job_folder(queue, job) + HOLD
}

/// The job that a key belongs to, and what follows its folder; nothing for keys of any other form.
pub(crate) fn parse_job_key(key: &str) -> Option<(QueueName, JobId, &str)> {
    let mut parts = key.splitn(4, '/');
    if parts.next()? != JOBS {
        return None;
    }
    let queue = parts.next()?.parse().ok()?;
    let job = match parts.next()? {
        "=dot" => ".",
        "=dotdot" => "..",
        id => id,
    };
    Some((queue, job.parse().ok()?, parts.next()?))
}

/// A data key taken apart; nothing for keys of any other form.
pub(crate) fn parse_data_key(key: &str) -> Option<(AttemptKey, FileName)> {
    let (queue, job, rest) = parse_job_key(key)?;
    let (attempt, name) = rest.split_once('/')?;
    let (attempt, token) = attempt.split_once('-')?;
    let attempt = AttemptKey { queue, job, attempt: attempt.parse().ok()?, token: token.parse().ok()? };
    // A name has no slash in it.
    Some((attempt, name.parse().ok()?))
}

/// The store's form of a key.
pub(crate) fn path(key: &str) -> Result<Path, ArtifactError> {
    Path::parse(key).map_err(|error| {
        Invalid::new(
            "key",
            error.to_string(),
            "use a key as `lovage job get` shows it, e.g. jobs/exports/42/1-7/data.csv",
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(job: &str) -> AttemptKey {
        AttemptKey { queue: "exports".parse().unwrap(), job: job.parse().unwrap(), attempt: 2, token: 17 }
    }

    #[test]
    fn a_data_key_is_read_back_and_stays_in_its_jobs_folder() {
        for (job, name) in [("42", "订单 2024 (final).csv"), ("..", "a.csv"), (".", "b"), ("order:7.1", "été.parquet")]
        {
            let owner = attempt(job);
            let key = owner.data_key(&name.parse().unwrap());
            assert_eq!(path(&key).unwrap().as_ref(), key, "the store keeps the key as it is");
            assert_eq!(parse_data_key(&key), Some((owner.clone(), name.parse().unwrap())));
            assert!(key.starts_with(&job_folder(&owner.queue, &owner.job)));
            assert!(!key.contains("/../") && !key.contains("/./"), "{key}");
        }
    }

    #[test]
    fn manifests_and_foreign_objects_are_not_data() {
        for key in
            ["jobs/exports/42/manifest.json", "jobs/exports/42/x/a.csv", "jobs/exports/42/1-2/a/b", "other/1", ""]
        {
            assert_eq!(parse_data_key(key), None, "{key}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_folder_nor_deceive_the_eye() {
        let long = "x".repeat(201);
        for bad in
            ["", ".", "..", "../a", "a/b", "a\\b", "a\0b", "a\nb", "a#1", ".hidden", "a ", "gpj\u{202e}.exe", &long]
        {
            let error = bad.parse::<FileName>().unwrap_err();
            assert_eq!(error.field, "name", "{bad:?}");
        }
    }
}
