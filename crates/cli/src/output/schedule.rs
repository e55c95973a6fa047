//! A schedule and what became of its ticks, as they are shown.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use lovage_core::{JobId, QueueName, ScheduleName, State, Timestamp, duration};
use lovage_ledger::{ManagedBy, Run, RunOutcome, Schedule};
use serde::Serialize;

use super::table::Table;
use crate::instant::{self, Instant};
use crate::schedules::upcoming;

/// A schedule of a list.
#[derive(Debug, Serialize)]
pub struct ScheduleLine {
    name: ScheduleName,
    /// `active`, `withdrawn`, `paused`, `overdue`, `waiting` or `ended`.
    pub state: &'static str,
    cron: String,
    in_words: String,
    timezone: String,
    queue: QueueName,
    kind: String,
    managed_by: ManagedBy,
    next_run: Option<Instant>,
    /// The latest tick that had a job.
    pub last_run: Option<RunLine>,
}

/// What became of a tick.
#[derive(Debug, Serialize)]
pub struct RunLine {
    /// The tick.
    pub tick: Instant,
    outcome: RunOutcome,
    at: Instant,
    queue: Option<QueueName>,
    job: Option<JobId>,
    state: Option<State>,
    ended_at: Option<Instant>,
    took_ms: Option<u64>,
    note: Option<String>,
}

impl From<Run> for RunLine {
    fn from(run: Run) -> Self {
        let (queue, job) = run.job.unzip();
        let (state, ended) = run.ended.unzip();
        Self {
            tick: Instant(run.tick),
            outcome: run.outcome,
            at: Instant(run.at),
            queue,
            job,
            state,
            ended_at: ended.map(Instant),
            took_ms: ended.map(|ended| ended.since(run.at).as_millis() as u64),
            note: run.note,
        }
    }
}

impl RunLine {
    /// `completed after 3.2s`, or that it has not ended; nothing for a tick without a job.
    pub fn ending(&self) -> String {
        match (self.state, self.took_ms) {
            (Some(state), Some(took)) => {
                format!("{state} after {}", duration::human(std::time::Duration::from_millis(took)))
            }
            _ if self.job.is_some() => "not ended yet".to_owned(),
            _ => String::new(),
        }
    }

    /// The job's id, or nothing.
    pub fn job_id(&self) -> &str {
        self.job.as_ref().map_or("", JobId::as_str)
    }

    /// The table of `lovage schedule history`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        let mut table = Table::new(&["tick", "outcome", "job", "ended", "note"], "It has not run yet.");
        for line in lines {
            table.row(vec![
                instant::short(line.tick.0, now),
                line.outcome.name().to_owned(),
                line.job_id().to_owned(),
                line.ending(),
                line.note.clone().unwrap_or_default(),
            ]);
        }
        table
    }
}

impl ScheduleLine {
    /// How a schedule stands at `now`. `last` is its latest tick that had a job.
    pub fn new(schedule: &Schedule, zone: &TimeZone, last: Option<Run>, now: Timestamp) -> Self {
        let spec = &schedule.spec;
        let stopped = schedule.paused.is_some() || schedule.withdrawn_at.is_some();
        let next_run = upcoming(spec, zone, now).next().filter(|_| !stopped);
        Self {
            name: spec.name.clone(),
            state: state(schedule, zone),
            cron: spec.cron.to_string(),
            in_words: spec.cron.describe(),
            timezone: spec.timezone.clone(),
            queue: spec.queue.clone(),
            kind: spec.kind.to_string(),
            managed_by: schedule.managed_by,
            next_run: next_run.map(Instant),
            last_run: last.map(RunLine::from),
        }
    }

    /// Who changes it.
    pub const fn managed_by(&self) -> &'static str {
        match self.managed_by {
            ManagedBy::Code => "code",
            ManagedBy::Operator => "operator",
        }
    }

    /// The table of `lovage schedule list`, of those after a name if one was given, with times as seen at `now`.
    pub fn table(lines: &[Self], after: Option<&ScheduleName>, now: Timestamp) -> Table {
        let none = "No schedules. Add one: lovage schedule add nightly --cron '0 2 * * *' --queue exports --kind export.query \
                     --args @nightly.json";
        let head = ["schedule", "runs", "next run", "last run", "ended", "state", "managed by"];
        let empty = after.map_or(Cow::Borrowed(none), |after| format!("There is no schedule after {after}.").into());
        let mut table = Table::new(&head, empty);
        for line in lines {
            let zone = if line.timezone == "UTC" { String::new() } else { format!(" ({})", line.timezone) };
            let next = match line.next_run {
                Some(Instant(at)) => instant::short(at, now),
                None if ["paused", "withdrawn"].contains(&line.state) => String::new(),
                None => "never".to_owned(),
            };
            let last = line.last_run.as_ref();
            table.row(vec![
                line.name.to_string(),
                format!("{}{zone}", short(&line.in_words)),
                next,
                last.map(|run| instant::short(run.tick.0, now)).unwrap_or_default(),
                last.map(RunLine::ending).unwrap_or_default(),
                line.state.to_owned(),
                line.managed_by().to_owned(),
            ]);
        }
        table
    }
}

/// The words without what is for the page of one schedule: from when an interval is counted, and that the zone is its own.
fn short(in_words: &str) -> &str {
    let words = in_words.split(", counted from").next().unwrap_or_default();
    words.strip_suffix(" in the schedule's time zone").unwrap_or(words)
}

/// What most wants to be known.
fn state(schedule: &Schedule, zone: &TimeZone) -> &'static str {
    if schedule.withdrawn_at.is_some() {
        "withdrawn"
    } else if schedule.paused.is_some() {
        "paused"
    } else if schedule.overdue_since.is_some() {
        "overdue"
    } else if schedule.waiting_tick.is_some() {
        "waiting"
    } else if upcoming(&schedule.spec, zone, schedule.last_tick).next().is_none() {
        "ended"
    } else {
        "active"
    }
}
