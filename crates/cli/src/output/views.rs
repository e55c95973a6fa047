//! Queues and workers as they are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lovage_core::{Counts, Pause, QueueName, QueueView, Timestamp, WorkerState, WorkerView};
use serde::Serialize;

use super::table::Table;
use crate::duration;
use crate::instant::Instant;

/// A queue for programs and people.
#[derive(Debug, Serialize)]
pub struct QueueLine {
    name: QueueName,
    counts: Counts,
    oldest_available_ms: Option<u64>,
    paused: Option<PauseLine>,
}

/// A pause with readable times.
#[derive(Debug, Serialize)]
struct PauseLine {
    by: String,
    why: String,
    since: Instant,
    until: Option<Instant>,
}

impl From<Pause> for PauseLine {
    fn from(pause: Pause) -> Self {
        Self { by: pause.by, why: pause.why, since: Instant(pause.since), until: pause.until.map(Instant) }
    }
}

impl From<QueueView> for QueueLine {
    fn from(view: QueueView) -> Self {
        Self {
            name: view.name,
            counts: view.counts,
            oldest_available_ms: view.oldest_available_ms,
            paused: view.paused.map(PauseLine::from),
        }
    }
}

impl QueueLine {
    /// The table of `lovage queue list`.
    pub fn table(lines: &[Self]) -> Table {
        let head = [
            "queue",
            "available",
            "scheduled",
            "running",
            "retryable",
            "completed",
            "cancelled",
            "discarded",
            "oldest",
            "paused",
        ];
        let mut table = Table::new(&head, "No queues yet: a queue appears with its first job.");
        for line in lines {
            let counts = &line.counts;
            let numbers = [
                counts.available,
                counts.scheduled,
                counts.running,
                counts.retryable,
                counts.completed,
                counts.cancelled,
                counts.discarded,
            ];
            let mut row = vec![line.name.to_string()];
            row.extend(numbers.map(|number| number.to_string()));
            let oldest = line.oldest_available_ms.map(|ms| duration::human(Duration::from_millis(ms)));
            row.push(oldest.unwrap_or_else(|| "-".to_owned()));
            row.push(line.paused.as_ref().map_or_else(|| "-".to_owned(), PauseLine::sentence));
            table.row(row);
        }
        table
    }
}

impl PauseLine {
    fn sentence(&self) -> String {
        let mut text = format!("by {}", self.by);
        if !self.why.is_empty() {
            let _ = write!(text, ": {}", self.why);
        }
        if let Some(until) = self.until {
            let _ = write!(text, " (until {until})");
        }
        text
    }
}

/// A worker for programs and people.
#[derive(Debug, Serialize)]
pub struct WorkerLine {
    id: String,
    host: String,
    pid: u32,
    version: String,
    state: WorkerState,
    queues: BTreeMap<QueueName, u32>,
    slots: u32,
    busy: u32,
    started_at: Instant,
    seen_at: Instant,
    #[serde(skip)]
    silent: Duration,
}

impl WorkerLine {
    /// The line of `view`, as seen at `now`.
    pub fn new(view: WorkerView, now: Timestamp) -> Self {
        Self {
            id: view.id.to_string(),
            host: view.host,
            pid: view.pid,
            version: view.version,
            state: view.state,
            queues: view.queues,
            slots: view.slots,
            busy: view.busy,
            started_at: Instant(view.started_at),
            seen_at: Instant(view.seen_at),
            silent: now.since(view.seen_at),
        }
    }

    /// The table of `lovage worker list`.
    pub fn table(lines: &[Self]) -> Table {
        let head = ["worker", "host", "pid", "state", "busy", "slots", "queues", "seen", "version"];
        let mut table = Table::new(&head, "No workers: start one with `lovage worker` or `lovage up`.");
        for line in lines {
            let queues: Vec<String> = line.queues.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
            let state = match line.state {
                WorkerState::Running => "running",
                WorkerState::Quiet => "quiet",
                WorkerState::Stopping => "stopping",
            };
            table.row(vec![
                line.id.clone(),
                line.host.clone(),
                line.pid.to_string(),
                state.to_owned(),
                line.busy.to_string(),
                line.slots.to_string(),
                queues.join(","),
                format!("{} ago", duration::human(line.silent)),
                line.version.clone(),
            ]);
        }
        table
    }
}
