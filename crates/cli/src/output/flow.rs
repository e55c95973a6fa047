//! Limits, pauses and breakers as they are shown: whole for programs and pages, and as short remarks for the list of
//! queues ([`FlowLine::remarks`]).

use std::time::Duration;

use lovage_core::{BreakerState, BreakerView, FlowView, Limits, Pause, Rate, Subject, Timestamp};
use serde::Serialize;

use super::page::Page;
use super::table::Table;
use crate::instant::{self, Instant};
use lovage_core::duration;

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
    /// A limit of the queue is reached.
    Full,
    /// A limit of something in the queue is reached.
    PartFull,
    /// A limit of the queue.
    Limit,
    /// A limit of something in the queue that may be reached without that it shows.
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
                dash((!line.limits.is_empty()).then(|| limits(&line.limits))),
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
        self.used.map(|used| self.slots().map_or_else(|| used.to_string(), |most| format!("{used} of {most}")))
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

    /// Jobs that may run at once.
    fn slots(&self) -> Option<u32> {
        let one = self.limits.ordered.then_some(1);
        one.into_iter().chain(self.limits.concurrency).min()
    }

    /// What holds its jobs back, or may: limits of a part that are plainly not reached are left out.
    pub fn remarks(&self, now: Timestamp) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let (name, whole) = match &self.subject {
            Subject::Queue => (String::new(), true),
            Subject::Tenant(tenant) => (format!("tenant {tenant} "), false),
            Subject::Kind(kind) => (format!("kind {kind} "), false),
            Subject::Key(key) => (format!("key {key} "), false),
            Subject::AnyTenant => return vec![(Urgency::PartLimit, format!("each tenant: {}", limits(&self.limits)))],
            Subject::AnyKey => return vec![(Urgency::PartLimit, format!("each key: {}", limits(&self.limits)))],
        };
        let mut say = |whole_queue, part, text: String| {
            remarks.push((if whole { whole_queue } else { part }, format!("{name}{text}")));
        };
        if let Some(pause) = &self.paused {
            say(Urgency::Paused, Urgency::PartHeld, pause.sentence(now));
        }
        if let Some(breaker) = self.breaker.as_ref().filter(|breaker| breaker.state != BreakerState::Closed) {
            say(Urgency::Broken, Urgency::PartHeld, breaker.sentence(now));
        }
        match (self.used, self.slots()) {
            (Some(_), Some(0)) => say(Urgency::Full, Urgency::PartFull, "may start nothing".to_owned()),
            (Some(used), Some(most)) if used >= u64::from(most) => {
                say(Urgency::Full, Urgency::PartFull, format!("{used} of {most} running"));
            }
            (Some(used), Some(most)) if whole => {
                say(Urgency::Limit, Urgency::PartLimit, format!("{used} of {most} running"));
            }
            _ => {}
        }
        if let Some(rate) = &self.limits.rate {
            say(Urgency::Limit, Urgency::PartLimit, period(rate));
        }
        match (self.waiting, self.limits.depth) {
            (Some(waiting), Some(most)) if waiting >= most => {
                say(Urgency::Full, Urgency::PartFull, format!("full: {waiting} of {most} waiting"));
            }
            (Some(waiting), Some(most)) if whole => {
                say(Urgency::Limit, Urgency::PartLimit, format!("{waiting} of {most} waiting"));
            }
            _ => {}
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
