//! Workers as they are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{QueueName, Timestamp, WorkerState, WorkerView};
use serde::Serialize;

use super::table::Table;
use crate::instant::Instant;
use lovage_core::duration;

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
