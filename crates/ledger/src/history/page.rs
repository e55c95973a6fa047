//! What the recorder writes at a time, in the form in which both databases take it.

use std::collections::BTreeMap;

use lovage_core::history::{AttemptRecord, JobRecord, RecordedError};
use lovage_core::{ErrorClass, Fingerprint, JobView, Kind, QueueName, Timestamp, fingerprint};
use serde::Deserialize;

use super::cursor::Cursor;
use super::more;
use super::seen::{self, storable};
use super::terms::Terms;

/// Longest key, name or hash of an artifact: what the index of a table takes.
const MAX_ARTIFACT_TEXT: usize = 1_024;
/// The kind of a job whose stored form cannot be read.
const UNKNOWN: &str = "unknown";

/// A page of one queue's history.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The queue.
    pub queue: &'a QueueName,
    /// The term of the leader who writes.
    pub term: u64,
    /// Up to where the events are recorded with this page; nothing leaves that as it is.
    pub position: Option<&'a Position>,
    /// The jobs that have changed.
    pub jobs: &'a [JobRecord],
}

/// How far the events of a queue are recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The last recorded event; nothing before the first.
    pub cursor: Option<String>,
    /// Whether events were missed and what the queue has is not read to its end yet.
    pub healing: bool,
}

/// What a page has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Jobs that are new or have changed.
    pub jobs: u64,
    /// Failures that are new.
    pub failures: u64,
}

/// A hash of queue and id, which is a job's number among those of its millisecond.
pub(super) fn key(queue: &str, id: &str) -> i64 {
    super::terms::hash(&["job", queue, id])
}

/// A job's row.
#[derive(Debug)]
pub(super) struct JobRow<'a> {
    pub key: i64,
    pub job: &'a JobView,
    pub gone_at: Option<Timestamp>,
    pub more: String,
    pub terms: Terms,
}

/// An attempt's row.
#[derive(Debug)]
pub(super) struct AttemptRow {
    pub enqueued_at: Timestamp,
    pub key: i64,
    /// Without its error.
    pub attempt: AttemptRecord,
}

/// The row of a failure.
#[derive(Debug)]
pub(super) struct FailureRow {
    pub enqueued_at: Timestamp,
    pub key: i64,
    pub attempt: u32,
    pub at: Timestamp,
    pub class: ErrorClass,
    pub message: String,
    pub fingerprint: Fingerprint,
    pub title: String,
    pub kind: Kind,
    pub version: String,
}

/// The row of an artifact.
#[derive(Debug)]
pub(super) struct ArtifactRow {
    pub enqueued_at: Timestamp,
    pub key: i64,
    pub artifact: Artifact,
}

/// What a job's result says of a file that it wrote, if it says it: these fields, as results of exports have them.
#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    #[serde(rename = "key")]
    pub object_key: String,
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub attempt: u32,
    #[serde(default)]
    pub rows: Option<u64>,
    #[serde(default = "one")]
    pub files: u32,
}

fn one() -> u32 {
    1
}

impl Artifact {
    fn of(job: &JobView) -> Option<Self> {
        let result = job.result.as_ref()?.get();
        // Most results are no file, and this is asked of every job.
        if !result.contains("\"sha256\"") {
            return None;
        }
        let artifact: Self = serde_json::from_str(result).ok()?;
        let texts = [&artifact.object_key, &artifact.name, &artifact.sha256];
        texts.iter().all(|text| text.len() <= MAX_ARTIFACT_TEXT && !text.contains('\0')).then_some(artifact)
    }
}

/// A page's rows.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub jobs: Vec<JobRow<'a>>,
    pub attempts: Vec<AttemptRow>,
    pub failures: Vec<FailureRow>,
    pub artifacts: Vec<ArtifactRow>,
}

impl<'a> Rows<'a> {
    /// The rows of these jobs, in the order in which everybody writes them. Of a job that is there twice the later look counts,
    /// and the attempts of both.
    pub fn of(jobs: &'a [JobRecord]) -> Self {
        let mut rows = Self::default();
        let mut by_key: BTreeMap<(Timestamp, i64), Vec<&'a JobRecord>> = BTreeMap::new();
        for record in jobs {
            let key = key(record.job.queue.as_str(), record.job.id.as_str());
            by_key.entry((record.job.enqueued_at, key)).or_default().push(record);
        }
        for ((enqueued_at, key), records) in by_key {
            rows.add(enqueued_at, key, &records);
        }
        rows
    }

    fn add(&mut self, enqueued_at: Timestamp, key: i64, looks: &[&'a JobRecord]) {
        let Some(latest) =
            looks.iter().max_by_key(|look| (look.job.attempt, look.job.state.is_final(), look.job.since))
        else {
            return;
        };
        let job = &latest.job;
        let mut terms = Terms::of(job);
        for (attempt, error) in seen::attempts(looks).into_values() {
            terms.add_attempt(&attempt);
            // Of what was given back nobody is to blame.
            let blamed = error.filter(|error| error.class != ErrorClass::Released);
            let failure = blamed.and_then(|error| FailureRow::of(job, (enqueued_at, key), &attempt, error));
            if let Some(failure) = failure {
                terms.add_failure(failure.fingerprint, &failure.message);
                self.failures.push(failure);
            }
            self.attempts.push(AttemptRow { enqueued_at, key, attempt });
        }
        let artifacts = looks.iter().filter_map(|look| Artifact::of(&look.job));
        self.artifacts.extend(artifacts.map(|artifact| ArtifactRow { enqueued_at, key, artifact }));
        self.jobs.push(JobRow { key, job, gone_at: latest.gone_at, more: more::write(job), terms });
    }
}

impl FailureRow {
    /// Whose it is.
    pub fn cursor(&self) -> Cursor {
        Cursor { enqueued_at: self.enqueued_at, key: self.key }
    }

    fn of(
        job: &JobView,
        (enqueued_at, key): (Timestamp, i64),
        attempt: &AttemptRecord,
        error: &RecordedError,
    ) -> Option<Self> {
        let message = storable(&error.message);
        let kind = job.kind.clone().or_else(|| UNKNOWN.parse().ok())?;
        let (fingerprint, title) = fingerprint(&kind, error.class, &message);
        Some(Self {
            enqueued_at,
            key,
            attempt: attempt.attempt,
            at: error.at,
            class: error.class,
            message,
            fingerprint,
            title,
            kind,
            version: attempt.version.clone().unwrap_or_default(),
        })
    }
}
