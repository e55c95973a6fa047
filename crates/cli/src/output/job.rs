//! A job as it is shown: JSON with readable times, a line of a table, or a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lovage_core::{
    DiscardReason, ErrorClass, FlowKey, JobId, JobView, Kind, PastError, Priority, Progress, QueueName, RawJson,
    RetryPolicy, State, Tenant, Timestamp, WorkerId,
};
use serde::Serialize;

use super::page::Page;
use super::table::Table;
use crate::instant::Instant;
use lovage_core::duration;

/// A job for programs and people.
#[derive(Debug, Serialize)]
pub struct JobLine {
    id: JobId,
    queue: QueueName,
    state: State,
    kind: Option<Kind>,
    args: Option<RawJson>,
    priority: Priority,
    tenant: Option<Tenant>,
    key: Option<FlowKey>,
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
    attempt: u32,
    failed: u32,
    max_attempts: Option<u32>,
    retry: Option<RetryPolicy>,
    timeout_ms: Option<u64>,
    lost: u32,
    enqueued_at: Instant,
    since: Instant,
    due_at: Option<Instant>,
    expires_at: Option<Instant>,
    started_at: Option<Instant>,
    lease_until: Option<Instant>,
    worker: Option<WorkerId>,
    cancel_requested: bool,
    reason: Option<DiscardReason>,
    progress: Option<Progress>,
    result: Option<RawJson>,
    errors: Vec<ErrorLine>,
}

/// The error of one attempt.
#[derive(Debug, Serialize)]
struct ErrorLine {
    attempt: u32,
    at: Instant,
    worker: Option<WorkerId>,
    class: ErrorClass,
    message: String,
}

impl From<PastError> for ErrorLine {
    fn from(error: PastError) -> Self {
        Self {
            attempt: error.attempt,
            at: Instant(error.at),
            worker: error.worker,
            class: error.class,
            message: error.message,
        }
    }
}

impl From<JobView> for JobLine {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            queue: view.queue,
            state: view.state,
            kind: view.kind,
            args: view.args,
            priority: view.priority,
            tenant: view.tenant,
            key: view.key,
            tags: view.tags,
            metadata: view.metadata,
            attempt: view.attempt,
            failed: view.failed,
            max_attempts: view.max_attempts,
            retry: view.retry,
            timeout_ms: view.timeout_ms,
            lost: view.lost,
            enqueued_at: Instant(view.enqueued_at),
            since: Instant(view.since),
            due_at: view.due_at.map(Instant),
            expires_at: view.expires_at.map(Instant),
            started_at: view.started_at.map(Instant),
            lease_until: view.lease_until.map(Instant),
            worker: view.worker,
            cancel_requested: view.cancel_requested,
            reason: view.reason,
            progress: view.progress,
            result: view.result,
            errors: view.errors.into_iter().map(ErrorLine::from).collect(),
        }
    }
}

impl JobLine {
    /// The table of `lovage job list`, with ages as seen at `now`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        Self::table_of(lines.iter().map(|line| (line, false)), now)
    }

    /// The same of jobs of which some are gone from their queue.
    pub fn table_of<'a>(lines: impl Iterator<Item = (&'a Self, bool)>, now: Timestamp) -> Table {
        let head = ["job", "queue", "kind", "state", "attempt", "priority", "age", "note"];
        let mut table = Table::new(&head, "No jobs.");
        for (line, gone) in lines {
            table.row(vec![
                line.id.to_string(),
                line.queue.to_string(),
                line.kind_text().to_owned(),
                if gone { format!("{} (gone)", line.state) } else { line.state.to_string() },
                line.attempt.to_string(),
                line.priority.level().to_string(),
                duration::human(now.since(line.enqueued_at.0)),
                line.note(now),
            ]);
        }
        table
    }

    /// The page of `lovage job get`.
    pub fn page(&self, now: Timestamp) -> String {
        let mut page = Page::default();
        page.row("job", &self.id);
        page.row("queue", &self.queue);
        page.row("kind", &self.kind_text());
        page.row("state", &format!("{} since {}", self.state, self.since));
        page.option("reason", self.reason);
        page.option("progress", self.progress.as_ref().map(progress_text));
        page.row("attempt", &self.attempts_text());
        page.row("priority", &self.priority.level());
        page.option("tenant", self.tenant.as_ref());
        page.option("key", self.key.as_ref());
        page.option("tags", Some(self.tags.join(", ")).filter(|tags| !tags.is_empty()));
        for (key, value) in &self.metadata {
            page.row("metadata", &format!("{key}={value}"));
        }
        page.row("enqueued", &format!("{} ({} ago)", self.enqueued_at, duration::human(now.since(self.enqueued_at.0))));
        page.option("due", self.due_at);
        page.option("expires", self.expires_at);
        page.option("started", self.started_at);
        page.option("lease until", self.lease_until);
        page.option("worker", self.worker.as_ref());
        page.option("timeout", self.timeout_ms.map(|ms| duration::exact(Duration::from_millis(ms))));
        if self.cancel_requested {
            page.row("cancel", &"requested");
        }
        page.option("args", self.args.as_ref().map(|args| args.get()));
        page.option("result", self.result.as_ref().map(|result| result.get()));
        for error in &self.errors {
            let class = serde_json::to_value(error.class).ok();
            let class = class.as_ref().and_then(|class| class.as_str()).unwrap_or("failed");
            page.row("error", &format!("attempt {} at {}, {class}: {}", error.attempt, error.at, error.message));
        }
        page.text()
    }

    /// Whether a worker has it.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// The number of its latest run.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The message of the latest error, if there is one.
    pub fn last_error(&self) -> Option<&str> {
        self.errors.last().map(|error| error.message.as_str())
    }

    fn kind_text(&self) -> &str {
        self.kind.as_ref().map_or("(unreadable)", Kind::as_str)
    }

    fn attempts_text(&self) -> String {
        let mut text = self.attempt.to_string();
        match (self.failed, self.max_attempts) {
            (0, None) => {}
            (failed, None) => _ = write!(text, ", {failed} failed"),
            (failed, Some(most)) => _ = write!(text, ", {failed} of {most} failed"),
        }
        if self.lost > 0 {
            let _ = write!(text, ", {} lost with their worker", self.lost);
        }
        text
    }

    fn note(&self, now: Timestamp) -> String {
        match self.state {
            State::Scheduled => self.due_text(now),
            State::Retryable => format!("{}; {}", self.due_text(now), self.last_error().map_or("", first_line)),
            State::Running if self.cancel_requested => "asked to stop".to_owned(),
            State::Running => self.progress.as_ref().map(progress_text).unwrap_or_default(),
            State::Discarded => {
                let reason = self.reason.map_or("", DiscardReason::name);
                match self.last_error() {
                    Some(error) => format!("{reason}: {}", first_line(error)),
                    None => reason.to_owned(),
                }
            }
            State::Available => self.last_error().map_or("", first_line).to_owned(),
            State::Completed | State::Cancelled => String::new(),
        }
    }

    fn due_text(&self, now: Timestamp) -> String {
        let wait = self.due_at.map_or(Duration::ZERO, |due| due.0.since(now));
        if wait.is_zero() { "due now".to_owned() } else { format!("due in {}", duration::human(wait)) }
    }
}

/// How far a job is, in a few words.
pub fn progress_text(progress: &Progress) -> String {
    let mut text = progress.done.to_string();
    if let Some(total) = progress.total {
        let about = if progress.approximate { "about " } else { "" };
        let _ = write!(text, " of {about}{total}");
    }
    for word in [&progress.unit, &progress.phase] {
        if !word.is_empty() {
            let _ = write!(text, " {word}");
        }
    }
    if let Some(bytes) = progress.bytes {
        let _ = write!(text, ", {}", indicatif::DecimalBytes(bytes));
    }
    text
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or("");
    line.char_indices().nth(100).map_or(line, |(end, _)| &line[..end])
}
