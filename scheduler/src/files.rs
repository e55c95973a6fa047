//! Files in the artifact store that are needed no longer: what killed attempts have left, and what was to be kept until now.
//!
//! What may go is decided by [`ArtifactStore::sweep_orphans`] and [`ArtifactStore::expire`], which may be broken off anywhere and
//! called by two at once. Retention leaves a record beside each manifest before the data goes. The audit trail gets one for each
//! slice, after it; a leader who is killed in between has deleted what only those records tell.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lovage_artifacts::{ArtifactStore, ExpireOptions, ExpireReport, SweepOptions};
use lovage_broker::{Connect, OsEntropy};
use lovage_core::Timestamp;
use lovage_core::audit::{AuditEvent, EventDraft, event_id};
use lovage_ledger::{Ledger, LedgerError};
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::duty::{Duty, DutyError};
use crate::living::Living;
use crate::metrics::Metrics;

/// How often. Each time the whole store is listed twice, and the manifests of all files that are there are read.
const EVERY: Duration = Duration::from_hours(6);
/// When it is done again after something has failed: what fails may fail for days, and each time is a walk through the store.
const AGAIN: Duration = Duration::from_mins(5);
/// What one walk removes at most: each begins with the first object again, and what is deleted is recorded after it.
const SLICE: usize = 10_000;
/// Between two slices, so that others have the store and the broker, too.
const BETWEEN_SLICES: Duration = Duration::from_millis(50);
/// How many of many are named in the log.
const NAMED: usize = 3;

/// Removes files that no manifest names and files whose time is over.
pub struct Files {
    store: ArtifactStore,
    connect: Connect,
    ledger: Ledger,
    metrics: Metrics,
    trail: Option<Trail>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Files {
    /// Those of this store, written by the jobs of this broker and no other: a job that the broker does not know cannot run.
    pub fn new(store: ArtifactStore, connect: Connect, ledger: Ledger, metrics: Metrics) -> Self {
        Self { store, connect, ledger, metrics, trail: None }
    }

    /// Records in the audit trail what retention deletes, as done by `actor`. What cannot be recorded is not deleted.
    #[must_use]
    pub fn recorded_as(mut self, actor: impl Into<String>) -> Self {
        self.trail = Some(Trail { ledger: self.ledger.clone(), actor: actor.into(), unwritten: Mutex::default() });
        self
    }

    /// Removes what no manifest names and no job may still publish.
    async fn sweep(&self, now: Timestamp) -> Result<(), DutyError> {
        let living = Living::new((self.connect)().await?);
        let (mut files, mut bytes) = (0, 0);
        let swept = loop {
            let options = SweepOptions { limit: SLICE, ..SweepOptions::at(now) };
            match self.store.sweep_orphans(options, |queue, job| living.may_run(queue, job)).await {
                Err(error) => break Err(DutyError::Other(format!("orphans: {error}"))),
                // Manifests that cannot be read are told by `expire`, which reads more of them.
                Ok(report) => {
                    files += report.removed.len();
                    bytes += report.bytes;
                    if !report.more {
                        break failures("orphans", &report.failed);
                    }
                }
            }
            sleep(BETWEEN_SLICES).await;
        };
        self.metrics.orphans.set(i64::try_from(files).unwrap_or(i64::MAX));
        if files > 0 {
            info!(files, bytes, "files that no manifest names are removed");
        }
        swept.and(living.doubt().map_or(Ok(()), |doubt| Err(doubt.into())))
    }

    /// Deletes the files whose time is over.
    async fn expire(&self, now: Timestamp) -> Result<(), DutyError> {
        if let Some(trail) = &self.trail {
            trail.catch_up().await?;
        }
        // Each call looks at all files, so the last one has seen all that stay.
        let last = loop {
            let expired = self.store.expire(ExpireOptions { limit: SLICE, ..ExpireOptions::at(now) }).await;
            let report = expired.map_err(|error| DutyError::Other(format!("retention: {error}")))?;
            self.tell(&report, now).await?;
            if !report.more {
                break report;
            }
            sleep(BETWEEN_SLICES).await;
        };
        left(&last)
    }

    /// Counts and records what was deleted.
    async fn tell(&self, report: &ExpireReport, now: Timestamp) -> Result<(), DutyError> {
        if report.deleted.is_empty() {
            return Ok(());
        }
        let files: usize = report.deleted.iter().map(|gone| gone.files).sum();
        self.metrics.expired.inc_by(files as u64);
        info!(jobs = report.deleted.len(), files, bytes = report.bytes(), "files whose time is over are deleted");
        match &self.trail {
            Some(trail) => trail.record(report, now).await,
            None => Ok(()),
        }
    }
}

/// The operators' audit trail.
struct Trail {
    ledger: Ledger,
    actor: String,
    /// What was done and is not recorded yet.
    unwritten: Mutex<Vec<AuditEvent>>,
}

impl Trail {
    /// Records what could not be recorded so far, and sees that the ledger is there.
    async fn catch_up(&self) -> Result<(), DutyError> {
        let events = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if events.is_empty() {
            self.ledger.chain("").await.map_err(|error| unrecorded(&error))?;
            return Ok(());
        }
        // Under the same id it is the same event, however often it is sent.
        self.ledger.append(&events).await.map_err(|error| unrecorded(&error))?;
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).retain(|event| !events.contains(event));
        Ok(())
    }

    async fn record(&self, report: &ExpireReport, now: Timestamp) -> Result<(), DutyError> {
        let event = self.event(report, now).map_err(DutyError::Other)?;
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.catch_up().await
    }

    fn event(&self, report: &ExpireReport, now: Timestamp) -> Result<AuditEvent, String> {
        let details = json!({ "jobs": report.deleted.len(), "bytes": report.bytes() });
        let details = serde_json::value::to_raw_value(&details).map_err(|error| error.to_string())?;
        let draft = EventDraft {
            target: Some("artifacts".to_owned()),
            metadata: Some(details),
            ..EventDraft::new(&self.actor, "artifact.expire")
        };
        draft.complete(event_id(now, &OsEntropy), now).map_err(|error| error.to_string())
    }
}

/// That is nothing for which another should lead.
fn unrecorded(error: &LedgerError) -> DutyError {
    DutyError::Other(format!("the audit trail: {error}"))
}

/// Says which files stay although their time is over. Those that could not be deleted are an error.
fn left(report: &ExpireReport) -> Result<(), DutyError> {
    if !report.held.is_empty() {
        let jobs = some(report.held.iter().map(|(queue, job)| format!("{queue}/{job}")));
        info!(held = report.held.len(), jobs, "holds keep files whose time is over");
    }
    if !report.unreadable.is_empty() {
        let problems = some(report.unreadable.iter());
        warn!(manifests = report.unreadable.len(), problems, "files stay whose manifests cannot be read");
    }
    failures("retention", &report.failed)
}

/// What could not be done, if anything could not.
fn failures(what: &str, failed: &[String]) -> Result<(), DutyError> {
    match failed.len() {
        0 => Ok(()),
        count => Err(DutyError::Other(format!("{what} failed {count} times: {}", some(failed.iter())))),
    }
}

/// The first few of many, for a line of the log.
fn some(all: impl ExactSizeIterator<Item = impl Display>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.take(NAMED).map(|one| one.to_string()).collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{named}; and {more} more") } else { named }
}

#[async_trait]
impl Duty for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn may_take(&self) -> Duration {
        EVERY
    }

    fn after_failure(&self) -> Duration {
        AGAIN
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        self.ledger.check_term(term).await?;
        let now = self.ledger.now().await?;
        // What hinders one does not hinder the other.
        let (swept, expired) = (self.sweep(now).await, self.expire(now).await);
        match (swept, expired) {
            (Err(one), Err(other)) => Err(DutyError::Other(format!("{one}; {other}"))),
            (one, other) => one.and(other).map(|()| EVERY),
        }
    }
}
