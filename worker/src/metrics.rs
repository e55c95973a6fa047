//! What a worker counts, with every name and help text on this one screen.
//!
//! Nothing here is static: the counters belong to one worker, and its owner says in which registry they are shown.
//! Labels are bounded: queues are those of the settings, kinds those of the registry, and what this worker has no
//! handler for is `unknown`. The hot path takes no lock and allocates nothing: a queue and a kind have their handles
//! ready from their first job on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lovage_core::{Invalid, QueueName, Transition};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry as Metrics,
};
use tokio::sync::Semaphore;

use crate::registry::Registry;

const CLAIMED: (&str, &str) = ("lovage_jobs_claimed_total", "Jobs that this worker took from the broker.");
const ATTEMPTS: (&str, &str) = (
    "lovage_job_attempts_total",
    "Attempts that ended here, by outcome: completed, retryable, snoozed, released, discarded, cancelled, lost.",
);
const COMPLETED: (&str, &str) = (
    "lovage_jobs_completed_total",
    "Jobs that this worker brought to their end, by outcome: completed, discarded, cancelled.",
);
const DURATION: (&str, &str) = ("lovage_job_duration_seconds", "How long handlers ran, whatever came of it.");
const LOST: (&str, &str) = (
    "lovage_leases_lost_total",
    "Attempts whose end this worker could not write: gone (somebody else has the job), refused (found out when \
     writing the end), unwritable (the broker does not accept the end).",
);
const SLOTS: (&str, &str) = ("lovage_worker_slots", "Jobs that this worker can run at once.");
const BUSY: (&str, &str) = ("lovage_worker_slots_busy", "Slots in use.");

/// Seconds. The first fourteen are those that OpenTelemetry advises; the others are for jobs of minutes and hours.
const BUCKETS: [f64; 21] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
    14_400.0, 86_400.0,
];

const OUTCOMES: [&str; 7] = ["completed", "retryable", "snoozed", "released", "discarded", "cancelled", "lost"];
const ENDS: [&str; 3] = ["completed", "discarded", "cancelled"];
const REASONS: [&str; 3] = ["gone", "refused", "unwritable"];

/// The label of every kind that this worker has no handler for; its index is 0.
const UNKNOWN: &str = "unknown";

/// Why the end of an attempt was not written. The numbers are places in [`REASONS`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unwritten {
    Gone = 0,
    Refused = 1,
    Unwritable = 2,
}

/// The counters of one worker.
pub(crate) struct WorkerMetrics {
    attempts: IntCounterVec,
    completed: IntCounterVec,
    /// By kind, from [`UNKNOWN`] on.
    durations: Vec<Histogram>,
    /// Per queue of the settings.
    lines: Vec<LineMetrics>,
    kinds: Vec<String>,
}

struct LineMetrics {
    queue: String,
    claimed: IntCounter,
    lost: [IntCounter; 3],
    /// By kind; made when the first job of the kind comes, so that a page has no rows for what a queue never has.
    kinds: Vec<OnceLock<KindMetrics>>,
}

struct KindMetrics {
    attempts: [IntCounter; 7],
    completed: [IntCounter; 3],
}

impl WorkerMetrics {
    /// Counters for these queues and kinds, shown in `shown_in` if there is one.
    pub fn new(
        queues: &[(QueueName, u32)],
        registry: &Registry,
        slots: (usize, &Arc<Semaphore>),
        shown_in: Option<&Metrics>,
    ) -> Result<Self, Invalid> {
        let kinds: Vec<String> = std::iter::once(UNKNOWN.to_owned())
            .chain(registry.kinds_by_index().into_iter().map(ToString::to_string))
            .collect();
        let built = Self::build(queues, kinds, slots, shown_in);
        built.map_err(|error| {
            Invalid::new(
                "metrics",
                format!("cannot take this worker's ({error})"),
                "give each worker a registry of its own",
            )
        })
    }

    fn build(
        queues: &[(QueueName, u32)],
        kinds: Vec<String>,
        (slots, free): (usize, &Arc<Semaphore>),
        shown_in: Option<&Metrics>,
    ) -> prometheus::Result<Self> {
        let counter = |(name, help): (&str, &str), labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let claimed = counter(CLAIMED, &["queue"])?;
        let attempts = counter(ATTEMPTS, &["queue", "kind", "outcome"])?;
        let completed = counter(COMPLETED, &["queue", "kind", "outcome"])?;
        let lost = counter(LOST, &["queue", "reason"])?;
        let buckets = HistogramOpts::new(DURATION.0, DURATION.1).buckets(BUCKETS.to_vec());
        let duration = HistogramVec::new(buckets, &["kind"])?;
        if let Some(shown_in) = shown_in {
            for part in [&claimed, &attempts, &completed, &lost] {
                shown_in.register(Box::new(part.clone()))?;
            }
            shown_in.register(Box::new(duration.clone()))?;
            shown_in.register(Box::new(Slots::new(slots, Arc::clone(free))?))?;
        }
        let line = |(queue, _): &(QueueName, u32)| LineMetrics {
            queue: queue.to_string(),
            claimed: claimed.with_label_values(&[queue.as_str()]),
            lost: REASONS.map(|reason| lost.with_label_values(&[queue.as_str(), reason])),
            kinds: kinds.iter().map(|_| OnceLock::new()).collect(),
        };
        let lines = queues.iter().map(line).collect();
        let durations = kinds.iter().map(|kind| duration.with_label_values(&[kind])).collect();
        Ok(Self { attempts, completed, durations, lines, kinds })
    }

    /// Jobs were taken from a queue.
    pub fn claimed(&self, line: usize, jobs: usize) {
        self.lines[line].claimed.inc_by(jobs as u64);
    }

    /// A job of this kind begins: its series are there, at zero, before anything is counted.
    pub fn begins(&self, line: usize, kind: usize) {
        self.of(line, kind);
    }

    /// A handler has ended, or was let go of.
    pub fn ran(&self, kind: usize, time: Duration) {
        self.durations[kind].observe(time.as_secs_f64());
    }

    /// The end of an attempt is written. `begun` is whether its handler was called.
    pub fn ended(&self, line: usize, kind: usize, transition: &Transition, begun: bool) {
        let metrics = self.of(line, kind);
        let (outcome, end) = match transition {
            Transition::Complete { .. } => (0, Some(0)),
            Transition::Retry { .. } => (1, None),
            Transition::Release { delay, error: None } if begun && !delay.is_zero() => (2, None),
            Transition::Release { .. } => (3, None),
            Transition::Discard { .. } => (4, Some(1)),
            Transition::Cancel => (5, Some(2)),
        };
        metrics.attempts[outcome].inc();
        if let Some(end) = end {
            metrics.completed[end].inc();
        }
    }

    /// The end of an attempt is not written.
    pub fn lost(&self, line: usize, kind: usize, reason: Unwritten) {
        self.of(line, kind).attempts[6].inc();
        self.lines[line].lost[reason as usize].inc();
    }

    fn of(&self, line: usize, kind: usize) -> &KindMetrics {
        let (line, kind_name) = (&self.lines[line], &self.kinds[kind]);
        let labels = |outcome| [line.queue.as_str(), kind_name.as_str(), outcome];
        line.kinds[kind].get_or_init(|| KindMetrics {
            attempts: OUTCOMES.map(|outcome| self.attempts.with_label_values(&labels(outcome))),
            completed: ENDS.map(|outcome| self.completed.with_label_values(&labels(outcome))),
        })
    }
}

/// Slots as they are when somebody looks.
struct Slots {
    free: Arc<Semaphore>,
    total: IntGauge,
    busy: IntGauge,
}

impl Slots {
    fn new(slots: usize, free: Arc<Semaphore>) -> prometheus::Result<Self> {
        let total = IntGauge::new(SLOTS.0, SLOTS.1)?;
        total.set(slots as i64);
        Ok(Self { free, total, busy: IntGauge::new(BUSY.0, BUSY.1)? })
    }
}

impl Collector for Slots {
    fn desc(&self) -> Vec<&Desc> {
        [self.total.desc(), self.busy.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.busy.set(self.total.get() - self.free.available_permits() as i64);
        [self.total.collect(), self.busy.collect()].concat()
    }
}
