//! A job of the history as it is shown: what a job of a queue shows, and its attempts.

use std::fmt::Write as _;

use lovage_core::duration;
use lovage_core::history::{AttemptRecord, JobRecord, Outcome};
use lovage_core::{Timestamp, WorkerId};
use serde::Serialize;

use super::job::JobLine;
use super::table::Table;
use crate::instant::Instant;

/// A job with its attempts, for programs and people.
#[derive(Debug, Serialize)]
pub struct RecordLine {
    #[serde(flatten)]
    job: JobLine,
    attempts: Vec<AttemptLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_at: Option<Instant>,
}

/// One run of a job.
#[derive(Debug, Serialize)]
struct AttemptLine {
    attempt: u32,
    outcome: Option<Outcome>,
    worker: Option<WorkerId>,
    version: Option<String>,
    started_at: Option<Instant>,
    ended_at: Option<Instant>,
    error: Option<String>,
}

impl From<AttemptRecord> for AttemptLine {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            outcome: attempt.outcome,
            worker: attempt.worker,
            version: attempt.version,
            started_at: attempt.started_at.map(Instant),
            ended_at: attempt.ended_at.map(Instant),
            error: attempt.error.map(|error| error.message),
        }
    }
}

impl From<JobRecord> for RecordLine {
    fn from(record: JobRecord) -> Self {
        Self {
            job: JobLine::from(record.job),
            attempts: record.attempts.into_iter().map(AttemptLine::from).collect(),
            gone_at: record.gone_at.map(Instant),
        }
    }
}

impl RecordLine {
    /// A job as its queue has it now, with the attempts that the history has of it.
    pub fn of(job: JobLine, known: Option<JobRecord>) -> Self {
        let attempts = known.map(|record| record.attempts).unwrap_or_default();
        Self { job, attempts: attempts.into_iter().map(AttemptLine::from).collect(), gone_at: None }
    }

    /// The table of `lovage job list --filter`, with ages as seen at `now`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        JobLine::table_of(lines.iter().map(|line| (&line.job, line.gone_at.is_some())), now)
    }

    /// The page of `lovage job get`.
    pub fn page(&self, now: Timestamp) -> String {
        let mut text = self.job.page(now);
        if let Some(gone) = self.gone_at {
            let _ = write!(text, "\ngone         {gone}: the queue has it no more, this is how it was last seen");
        }
        for attempt in &self.attempts {
            let runs = self.gone_at.is_none() && self.job.is_running() && attempt.attempt == self.job.attempt();
            let _ = write!(text, "\nattempt {:<4} {}", attempt.attempt, attempt.sentence(runs));
        }
        text
    }
}

impl AttemptLine {
    /// `completed after 3.2s on web-1-4711 (0.1.0), 2026-11-24T03:00:00.000Z`.
    fn sentence(&self, runs: bool) -> String {
        let unknown = if runs { "running" } else { "its end was not seen" };
        let mut text = self.outcome.map_or(unknown, Outcome::name).to_owned();
        if let (Some(started), Some(ended)) = (self.started_at, self.ended_at) {
            let _ = write!(text, " after {}", duration::human(ended.0.since(started.0)));
        }
        if let Some(worker) = &self.worker {
            let _ = write!(text, " on {worker}");
        }
        if let Some(version) = &self.version {
            let _ = write!(text, " ({version})");
        }
        if let Some(at) = self.started_at.or(self.ended_at) {
            let _ = write!(text, ", {at}");
        }
        text
    }
}
