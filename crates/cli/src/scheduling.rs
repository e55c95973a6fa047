//! The scheduler of this process: for `lovage scheduler`, and in `lovage up`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::{OsEntropy, SystemClock};
use lovage_ledger::Ledger;
use lovage_scheduler::{
    Cron, Deadlines, Duty, DutyError, Files, Metrics, Pruner, Recorder, Scheduler, Sweeper, prometheus,
};
use lovage_worker::WorkerConfig;
use tracing::{info, warn};

use crate::commands::audit::anchor;
use crate::config::{self, Config};
use crate::doors::Shown;
use crate::error::{Failure, Outcome};
use crate::rooms;
use crate::schedules::Kinds;

/// A scheduler with all duties, and what it shows to probes and scrapers.
pub fn scheduler(config: &Config, ledger: &Ledger) -> Outcome<(Scheduler, Shown)> {
    let registry = prometheus::Registry::new();
    let clock = Arc::new(SystemClock);
    let metrics = Metrics::new(&registry, clock.clone())
        .map_err(|error| Failure::Failed(format!("the scheduler's metrics cannot be registered: {error}")))?;
    let connect = rooms::connect(config);
    let holder = WorkerConfig::unique_id(&config::host(), &SystemClock, &OsEntropy)?;
    let recorder = Recorder::new(connect.clone(), ledger.clone(), clock, metrics.clone())
        .without_arguments_of(config.history_without_arguments.clone());
    let pruner = Pruner::new(ledger.clone(), config.history_keep);
    let configured = config.schedules.0.clone();
    if let Some(specs) = &configured {
        let kinds = Kinds::of(config, ledger);
        specs.iter().filter_map(|spec| kinds.doubt(spec)).for_each(|doubt| warn!("{doubt}"));
    }
    let cron = Cron::new(connect.clone(), ledger.clone(), metrics.clone(), configured);
    let files = rooms::store(config).map(|store| {
        let files = Files::new(store, connect.clone(), ledger.clone(), metrics.clone());
        if config.audit.operators { files.recorded_as(format!("scheduler:{holder}")) } else { files }
    });
    let deadlines = Deadlines::new(ledger.clone(), metrics.clone());
    let sweeper = Sweeper::new(connect.clone());
    let mut scheduler = Scheduler::new(holder.as_str(), connect, ledger.clone(), metrics)
        .with(Arc::new(cron))
        .with(Arc::new(recorder))
        .with(Arc::new(deadlines))
        .with(Arc::new(pruner))
        .with(Arc::new(sweeper));
    match files {
        Ok(files) => scheduler = scheduler.with(Arc::new(files)),
        Err(error) => warn!(%error, "the storage cannot be opened: nobody removes files that are needed no longer"),
    }
    match anchor::signing_key(config) {
        Ok(_) => {
            scheduler = scheduler.with(Arc::new(Anchoring { config: config.clone(), ledger: ledger.clone() }));
        }
        // A key that is wrong is told; without one somebody else may anchor.
        Err(error) if config.audit.signing_key.is_some() => return Err(error),
        Err(_) => warn!("audit.signing_key is not set: this scheduler does not anchor the audit trail"),
    }
    let health = Arc::new(scheduler.health());
    Ok((scheduler, Shown { health, metrics: registry }))
}

/// Anchors what the audit trail has grown by.
struct Anchoring {
    config: Config,
    ledger: Ledger,
}

/// How often what has grown is anchored.
const EVERY: Duration = Duration::from_hours(1);

#[async_trait]
impl Duty for Anchoring {
    fn name(&self) -> &'static str {
        "anchor"
    }

    fn may_take(&self) -> Duration {
        EVERY
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        self.ledger.check_term(term).await?;
        match anchor::anchor(&self.config, &self.ledger).await {
            Ok(made) => {
                if !made.is_empty() {
                    info!(anchors = made.len(), "the audit trail is anchored");
                }
                Ok(EVERY)
            }
            Err(error) => Err(DutyError::Other(error.to_string())),
        }
    }
}
