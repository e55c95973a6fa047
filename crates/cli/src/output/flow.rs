//! Limits, pauses and breakers as they are shown: whole for programs and pages, and as short remarks for the list of
//! queues ([`FlowLine::remarks`]).

use std::time::Duration;

use lovage_core::{BreakerState, BreakerView, FlowView, Limits, Pause, Rate, Subject, Timestamp};
use serde::Serialize;

use super::page::Page;
use super::table::Table;
use crate::duration;
use crate::instant::{self, Instant};

/// A subject for programs and people.
#[derive(Debug, Serialize)]
pub struct FlowLine {
    subject: Subject,
    limits: Limits,
    paused: Option<PauseLine>,
    breaker: Option<BreakerLine>,
    used: Option<u64>,
    waiting: Option<u64>,
}

/// A pause with readable times.
#[derive(Debug, Serialize)]
pub struct PauseLine {
    by: String,
    why: String,
    since: Instant,
    until: Option<Instant>,
}

/// A breaker with a readable time.
#[derive(Debug, Serialize)]
struct BreakerLine {
    state: BreakerState,
    failures: u32,
    until: Option<Instant>,
}

/// How urgent a remark is; what is first here stands first in the list of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing of the queue runs because somebody said so.
    Paused,
    /// Nothing of the queue runs because too much failed.
    Broken,
    /// A part of the queue is held in one of these ways.
    PartHeld,
    /// A limit is reached.
    Full,
    /// A limit of the queue.
    Limit,
    /// A limit of something in the queue.
    PartLimit,
}

/// A few words about what holds jobs back.
pub type Remark = (Urgency, String);

impl From<Pause> for PauseLine {
    fn from(pause: Pause) -> Self {
        Self { by: pause.by, why: pause.why, since: Instant(pause.since), until: pause.until.map(Instant) }
    }
}

impl From<BreakerView> for BreakerLine {
    fn from(breaker: BreakerView) -> Self {
        Self { state: breaker.state, failures: breaker.failures, until: breaker.until.map(Instant) }
    }
}

impl From<FlowView> for FlowLine {
    fn from(view: FlowView) -> Self {
        Self {
            subject: view.subject,
            limits: view.limits,
            paused: view.paused.map(PauseLine::from),
            breaker: view.breaker.map(BreakerLine::from),
            used: view.used,
            waiting: view.waiting,
        }
    }
}

impl FlowLine {
    /// The table of `lovage queue limits`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        let empty = "No limits: set one with `lovage queue limit`.";
        let mut table = Table::new(&["subject", "limits", "running", "waiting", "state"], empty);
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for line in lines {
            table.row(vec![
                line.subject.to_string(),
                limits(&line.limits),
                dash(line.running()),
                dash(line.depth()),
                dash(line.state(now)),
            ]);
        }
        table
    }

    /// The page of `lovage queue limit` without options.
    pub fn page(&self, queue: &impl ToString, now: Timestamp) -> String {
        let mut page = Page::default();
        page.row("queue", queue);
        page.row("subject", &self.subject);
        page.row("limits", &limits(&self.limits));
        page.option("running", self.running());
        page.option("waiting", self.depth());
        page.option("state", self.state(now));
        page.text()
    }

    /// Running jobs beside how many may run: `3 of 10`.
    fn running(&self) -> Option<String> {
        let most = if self.limits.ordered { Some(1) } else { self.limits.concurrency };
        self.used.map(|used| most.map_or_else(|| used.to_string(), |most| format!("{used} of {most}")))
    }

    /// Waiting jobs beside how many may wait: `120 of 1000`.
    fn depth(&self) -> Option<String> {
        let most = self.limits.depth;
        self.waiting.map(|waiting| most.map_or_else(|| waiting.to_string(), |most| format!("{waiting} of {most}")))
    }

    fn state(&self, now: Timestamp) -> Option<String> {
        let parts: Vec<String> = self
            .paused
            .iter()
            .map(|pause| pause.sentence(now))
            .chain(self.breaker.iter().map(|breaker| breaker.sentence(now)))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// What the list of queues says of it, whatever it is.
    pub fn remarks(&self, now: Timestamp) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let whole = self.subject == Subject::Queue;
        let name = match &self.subject {
            Subject::Queue => String::new(),
            Subject::Tenant(tenant) => format!("tenant {tenant} "),
            Subject::Kind(kind) => format!("kind {kind} "),
            Subject::Key(key) => format!("key {key} "),
            Subject::AnyTenant => "each tenant ".to_owned(),
            Subject::AnyKey => "each key ".to_owned(),
        };
        let mut say = |urgency, text: String| remarks.push((urgency, format!("{name}{text}")));
        let either = |queue, part| if whole { queue } else { part };
        if let Some(pause) = &self.paused {
            say(either(Urgency::Paused, Urgency::PartHeld), pause.sentence(now));
        }
        if let Some(breaker) = self.breaker.as_ref().filter(|breaker| breaker.state != BreakerState::Closed) {
            say(either(Urgency::Broken, Urgency::PartHeld), breaker.sentence(now));
        }
        let limit = |reached: bool| if reached { Urgency::Full } else { either(Urgency::Limit, Urgency::PartLimit) };
        if let (Some(used), Some(most)) = (self.used, self.limits.concurrency) {
            say(limit(used >= u64::from(most)), format!("{used} of {most} running"));
        }
        if let (Some(waiting), Some(most)) = (self.waiting, self.limits.depth) {
            let full = if waiting >= most { "full: " } else { "" };
            say(limit(waiting >= most), format!("{full}{waiting} of {most} waiting"));
        }
        if let Some(rate) = &self.limits.rate {
            say(limit(false), format!("at most {}", period(rate)));
        }
        let told = Limits { rate: None, ..self.limits };
        if remarks.is_empty() && !told.is_empty() {
            remarks.push((limit(false), format!("{name}{}", limits(&told))));
        }
        remarks
    }
}

impl PauseLine {
    /// `paused by ann until 12:30Z: upgrade`.
    pub fn sentence(&self, now: Timestamp) -> String {
        let until = self.until.map(|until| format!(" until {}", instant::short(until.0, now))).unwrap_or_default();
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("paused by {}{until}{why}", self.by)
    }
}

impl BreakerLine {
    /// `breaker open until 12:00:30Z (20 failures)`.
    fn sentence(&self, now: Timestamp) -> String {
        let failures = if self.failures == 1 { "1 failure".to_owned() } else { format!("{} failures", self.failures) };
        match (self.state, self.until) {
            (BreakerState::Open, Some(until)) => {
                format!("breaker open until {} ({failures})", instant::short(until.0, now))
            }
            (BreakerState::Open, None) => format!("breaker open ({failures})"),
            (BreakerState::HalfOpen, _) => format!("breaker half open: one job at a time ({failures})"),
            (BreakerState::Closed, _) if self.failures == 0 => "breaker closed".to_owned(),
            (BreakerState::Closed, _) => format!("breaker closed ({failures} in a row)"),
        }
    }
}

/// All limits in one line, as their options read.
pub fn limits(limits: &Limits) -> String {
    let rate = |rate: &Rate| match rate.burst {
        Some(burst) => format!("{} (burst {burst})", period(rate)),
        None => period(rate),
    };
    let parts: Vec<String> = [
        limits.concurrency.map(|most| format!("{most} at once")),
        limits.ordered.then(|| "in order".to_owned()),
        limits.rate.as_ref().map(rate),
        limits.depth.map(|most| format!("{most} may wait")),
        limits.weight.map(|weight| format!("weight {weight}")),
        limits.retry_rate.as_ref().map(|retries| format!("retries {}", rate(retries))),
        limits.breaker.map(|breaker| {
            let cooldown = duration::exact(Duration::from_millis(breaker.cooldown_ms));
            format!("breaker after {} failures for {cooldown}", breaker.failures)
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// A rate as it is written: `100/s`, `5/m`, `10/250ms`.
fn period(rate: &Rate) -> String {
    let per = duration::exact(Duration::from_millis(rate.per_ms));
    let unit = per.strip_prefix('1').filter(|unit| unit.chars().all(|c| c.is_ascii_alphabetic()));
    format!("{}/{}", rate.count, unit.unwrap_or(&per))
}
