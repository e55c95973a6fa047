//! What a scheduler counts, with every name and help text on this one screen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lovage_core::{Clock, Timestamp};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The counters of one scheduler. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    clock: Arc<dyn Clock>,
    leader: IntGauge,
    succeeded: GaugeVec,
    failed: IntCounterVec,
    lag: GaugeVec,
    overdue: IntGaugeVec,
    /// The schedules that it has a line for.
    shown: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) missed: IntCounter,
    pub(crate) recorded: IntCounter,
    pub(crate) failures: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) unseen: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) orphans: IntGauge,
    pub(crate) expired: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry, clock: Arc<dyn Clock>) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::with_opts(opts(name, help))?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let leader = IntGauge::with_opts(opts("lovage_scheduler_leader", "1 while this scheduler leads."))?;
        registry.register(Box::new(leader.clone()))?;
        let orphans = IntGauge::with_opts(opts(
            "lovage_upload_orphans",
            "Files of killed attempts that the last sweep of the artifact store found and removed.",
        ))?;
        registry.register(Box::new(orphans.clone()))?;
        let by_duty = ["duty"];
        let succeeded = GaugeVec::new(
            opts("lovage_duty_last_success_timestamp_seconds", "When a duty of the leader was last done."),
            &by_duty,
        )?;
        registry.register(Box::new(succeeded.clone()))?;
        let failed = IntCounterVec::new(
            opts("lovage_duty_failures_total", "How often a duty of the leader was not done."),
            &by_duty,
        )?;
        registry.register(Box::new(failed.clone()))?;
        let lag = GaugeVec::new(
            opts("lovage_scheduler_lag_seconds", "How far a duty of the leader is behind what happens."),
            &by_duty,
        )?;
        registry.register(Box::new(lag.clone()))?;
        let overdue = IntGaugeVec::new(
            opts("lovage_schedule_overdue", "1 while a schedule with a deadline has had no success for too long."),
            &["schedule"],
        )?;
        registry.register(Box::new(overdue.clone()))?;
        Ok(Self {
            overdue,
            shown: Arc::default(),
            missed: counter("lovage_schedule_missed_total", "Ticks of schedules that nobody was there for in time.")?,
            clock,
            leader,
            succeeded,
            failed,
            lag,
            recorded: counter("lovage_recorder_jobs_total", "Jobs that were written to the history.")?,
            failures: counter("lovage_recorder_failures_total", "Failed attempts that were written to the history.")?,
            gaps: counter(
                "lovage_recorder_gaps_total",
                "How often events were gone before they were recorded, and a queue was read to its end instead.",
            )?,
            unseen: counter("lovage_recorder_unseen_total", "Jobs that were gone before anything was known of them.")?,
            refused: counter(
                "lovage_recorder_refused_total",
                "How often the ledger refused a job's data, so that its history lacks it.",
            )?,
            orphans,
            expired: counter("lovage_artifacts_expired_total", "Files that were deleted because their time was over.")?,
        })
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
        if !leads {
            // Who does not lead knows nothing of it.
            self.lag.reset();
            self.orphans.set(0);
            self.overdue(std::iter::empty());
        }
    }

    pub(crate) fn done(&self, duty: &str, well: bool) {
        if well {
            self.succeeded.with_label_values(&[duty]).set(self.clock.now().as_millis() as f64 / 1000.0);
        } else {
            self.failed.with_label_values(&[duty]).inc();
        }
    }

    /// The schedules that have had no success for too long; there is no line for others.
    pub(crate) fn overdue<'a>(&self, schedules: impl Iterator<Item = &'a str>) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now: BTreeSet<String> = schedules.map(str::to_owned).collect();
        for schedule in shown.difference(&now) {
            let _ = self.overdue.remove_label_values(&[schedule]);
        }
        for schedule in &now {
            self.overdue.with_label_values(&[schedule]).set(1);
        }
        *shown = now;
    }

    /// A duty has done all that happened up to `at`; nothing if it has done everything.
    pub(crate) fn is_at(&self, duty: &str, at: Option<Timestamp>) {
        let lag = at.map_or(0.0, |at| self.clock.now().since(at).as_secs_f64());
        self.lag.with_label_values(&[duty]).set(lag);
    }
}
