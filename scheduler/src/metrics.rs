//! What a scheduler counts, with every name and help text on this one screen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{Clock, ScheduleName, Timestamp};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::time::Instant;

/// How a duty stands.
#[derive(Debug, Clone, Copy)]
struct Stand {
    behind: Duration,
    due: Instant,
    may_take: Duration,
}

/// A number of each of some schedules; others have no line.
#[derive(Debug, Clone)]
struct BySchedule {
    gauge: GaugeVec,
    shown: Arc<Mutex<BTreeSet<String>>>,
}

/// The counters of one scheduler. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    clock: Arc<dyn Clock>,
    leader: IntGauge,
    done: GaugeVec,
    failed: IntCounterVec,
    lag: GaugeVec,
    /// How far each duty was behind when it last said so, and since when it is to be done.
    stands: Arc<Mutex<BTreeMap<&'static str, Stand>>>,
    overdue: BySchedule,
    succeeded: BySchedule,
    pub(crate) missed: IntCounter,
    pub(crate) recorded: IntCounter,
    pub(crate) failures: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) unseen: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) orphans: IntGauge,
    pub(crate) expired: IntCounter,
}

/// Where they are registered.
struct To<'r>(&'r Registry);

impl To<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone())).map(|()| counter)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone())).map(|()| gauge)
    }

    fn gauges(&self, name: &str, label: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        let gauges = GaugeVec::new(Opts::new(name, help), &[label])?;
        self.0.register(Box::new(gauges.clone())).map(|()| gauges)
    }

    fn counters(&self, name: &str, label: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
        self.0.register(Box::new(counters.clone())).map(|()| counters)
    }

    fn by_schedule(&self, name: &str, help: &str) -> Result<BySchedule, prometheus::Error> {
        Ok(BySchedule { gauge: self.gauges(name, "schedule", help)?, shown: Arc::default() })
    }
}

impl BySchedule {
    fn show<'a>(&self, now: impl Iterator<Item = (&'a str, f64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for (schedule, number) in now {
            self.gauge.with_label_values(&[schedule]).set(number);
            gone.remove(schedule);
            shown.insert(schedule.to_owned());
        }
        for schedule in gone {
            let _ = self.gauge.remove_label_values(&[&schedule]);
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry, clock: Arc<dyn Clock>) -> Result<Self, prometheus::Error> {
        let to = To(registry);
        Ok(Self {
            clock,
            stands: Arc::default(),
            leader: to.gauge("lovage_scheduler_leader", "1 while this scheduler leads.")?,
            done: to.gauges(
                "lovage_duty_last_success_timestamp_seconds",
                "duty",
                "When a duty of the leader was last done.",
            )?,
            failed: to.counters(
                "lovage_duty_failures_total",
                "duty",
                "How often a duty of the leader was not done.",
            )?,
            lag: to.gauges(
                "lovage_scheduler_lag_seconds",
                "duty",
                "How far a duty of the leader is behind what happens, or behind the time at which it is to be done.",
            )?,
            overdue: to.by_schedule(
                "lovage_schedule_overdue",
                "1 while a schedule with a deadline has had no success for too long.",
            )?,
            succeeded: to.by_schedule(
                "lovage_schedule_last_success_timestamp_seconds",
                "When a job of a schedule with a deadline last completed.",
            )?,
            missed: to
                .counter("lovage_schedule_missed_total", "Ticks of schedules that nobody was there for in time.")?,
            recorded: to.counter("lovage_recorder_jobs_total", "Jobs that were written to the history.")?,
            failures: to
                .counter("lovage_recorder_failures_total", "Failed attempts that were written to the history.")?,
            gaps: to.counter(
                "lovage_recorder_gaps_total",
                "How often events were gone before they were recorded, and a queue was read to its end instead.",
            )?,
            unseen: to
                .counter("lovage_recorder_unseen_total", "Jobs that were gone before anything was known of them.")?,
            refused: to.counter(
                "lovage_recorder_refused_total",
                "How often the ledger refused a job's data, so that its history lacks it.",
            )?,
            orphans: to.gauge(
                "lovage_upload_orphans",
                "Files of killed attempts that the last sweep of the artifact store found and removed.",
            )?,
            expired: to
                .counter("lovage_artifacts_expired_total", "Files that were deleted because their time was over.")?,
        })
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
        if !leads {
            // Who does not lead knows nothing of it.
            self.stands().clear();
            self.lag.reset();
            self.orphans.set(0);
            self.overdue.show(std::iter::empty());
            self.succeeded.show(std::iter::empty());
        }
    }

    pub(crate) fn done(&self, duty: &str, well: bool) {
        if well {
            self.done.with_label_values(&[duty]).set(seconds(self.clock.now()));
        } else {
            self.failed.with_label_values(&[duty]).inc();
        }
    }

    /// The schedules that have had no success for too long.
    pub(crate) fn overdue<'a>(&self, schedules: impl Iterator<Item = &'a ScheduleName>) {
        self.overdue.show(schedules.map(|schedule| (schedule.as_str(), 1.0)));
    }

    /// When schedules had their last success.
    pub(crate) fn successes<'a>(&self, last: impl Iterator<Item = (&'a ScheduleName, Timestamp)>) {
        self.succeeded.show(last.map(|(schedule, at)| (schedule.as_str(), seconds(at))));
    }

    /// A duty is that far behind what happens, as it finds itself.
    pub(crate) fn behind(&self, duty: &'static str, lag: Duration) {
        if let Some(stand) = self.stands().get_mut(duty) {
            stand.behind = lag;
        }
        self.lag.with_label_values(&[duty]).set(lag.as_secs_f64());
    }

    /// A duty is to be done at that time, and may take that long.
    pub(crate) fn due(&self, duty: &'static str, at: Instant, may_take: Duration) {
        let behind = self.stands().get(duty).map_or(Duration::ZERO, |stand| stand.behind);
        self.stands().insert(duty, Stand { behind, due: at, may_take });
    }

    /// Shows how far duties are behind: what they find themselves, or longer if they are not even done.
    pub(crate) fn late(&self) {
        for (duty, stand) in self.stands().iter() {
            let lag = stand.behind.max(stand.due.elapsed().saturating_sub(stand.may_take));
            self.lag.with_label_values(&[duty]).set(lag.as_secs_f64());
        }
    }

    fn stands(&self) -> MutexGuard<'_, BTreeMap<&'static str, Stand>> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
