//! What a scheduler counts, with every name and help text on this one screen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::Clock;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

/// How a duty stands.
#[derive(Debug, Clone, Copy)]
struct Stand {
    behind: Duration,
    due: Instant,
    may_take: Duration,
}

/// The counters of one scheduler. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    clock: Arc<dyn Clock>,
    leader: IntGauge,
    succeeded: GaugeVec,
    failed: IntCounterVec,
    lag: GaugeVec,
    /// How far each duty was behind when it last said so, and since when it is to be done.
    stands: Arc<Mutex<BTreeMap<&'static str, Stand>>>,
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
            opts(
                "lovage_scheduler_lag_seconds",
                "How far a duty of the leader is behind what happens, or behind the time at which it is to be done.",
            ),
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
            stands: Arc::default(),
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
            self.stands().clear();
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
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<String> = schedules.map(str::to_owned).collect();
        for schedule in shown.difference(&now) {
            let _ = self.overdue.remove_label_values(&[schedule]);
        }
        for schedule in &now {
            self.overdue.with_label_values(&[schedule]).set(1);
        }
        *shown = now;
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
