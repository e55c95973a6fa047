//! The demo's schedule: it fires each second beside the exports, by the same duty that a scheduler does, and its jobs are run.

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::SystemClock;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{JobId, State};
use lovage_ledger::{Change, Ledger, LedgerAddress, Run, RunOutcome, migrate};
use lovage_scheduler::{Cron, Duty as _, Metrics, first_tick, prometheus, zone};
use lovage_worker::{Shutdown, WorkerConfig};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::commands::job::{PrivateQueue, watch};
use crate::commands::worker::broken;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::output::{Format, Output};
use crate::rooms;

/// Ticks that are waited for.
const TICKS: usize = 2;
/// How long those may take at most.
const PATIENCE: Duration = Duration::from_mins(1);
const EXPRESSION: &str = "@every 1s";

/// What became of the ticks.
#[derive(Debug, Serialize)]
pub struct Ticked {
    cron: &'static str,
    ticks: Vec<Tick>,
}

#[derive(Debug, Serialize)]
struct Tick {
    at: Instant,
    job: JobId,
    state: State,
}

/// A schedule that fires.
pub struct Ticking(AbortOnDropHandle<Outcome<Ticked>>);

/// Starts it in a ledger of the demo's own.
pub async fn start(config: &Config) -> Outcome<Ticking> {
    let address = LedgerAddress::file(config.data_dir.join("demo").join("ledger.db"));
    migrate(&address).await?;
    let ledger = Ledger::open(&address).await?;
    // Of what the file says this needs the broker only.
    let config = Config { datasets: std::collections::BTreeMap::new(), ..config.clone() };
    let ticking = async move {
        let ticked = timeout(PATIENCE, tick(&config, &ledger)).await;
        ledger.close().await;
        ticked.unwrap_or_else(|_| Err(Failure::Timeout("the demo's schedule has not fired in time".to_owned())))
    };
    Ok(Ticking(AbortOnDropHandle::new(tokio::spawn(ticking))))
}

impl Ticking {
    /// Waits until it has fired and its jobs have ended.
    pub async fn ended(self) -> Outcome<Ticked> {
        self.0.await.map_err(|error| broken(&error))?
    }
}

async fn tick(config: &Config, ledger: &Ledger) -> Outcome<Ticked> {
    let broker = rooms::broker(config).await?;
    let settings = rooms::worker_config(config)?;
    let private = PrivateQueue::take(&broker, "demo-schedule", settings.id.as_str()).await?;
    let queue = private.queue.clone();
    let handlers = rooms::handlers(config, rooms::sources(config)?, None, true)?;
    let shutdown = Shutdown::new();
    let settings = WorkerConfig { queues: vec![(queue.clone(), 1)], ..settings };
    let running = tokio::spawn(rooms::worker(config, settings, handlers).run(shutdown.clone()));

    let json = serde_json::json!({
        "name": "demo", "cron": EXPRESSION, "queue": queue, "kind": "debug.noop", "args": { "at": "{{ tick.instant }}" },
    });
    let spec = ScheduleSpec::parse(&json.to_string(), zone)?;
    let runs = fire(config, ledger, &spec).await?;
    let quiet = Output { format: Format::Table, quiet: true };
    let mut ticks = Vec::with_capacity(runs.len());
    for run in runs {
        let Some((queue, job)) = run.job else { continue };
        let view = watch::until_ended(&*broker, quiet, &queue, &job, None).await?;
        ticks.push(Tick { at: Instant(run.tick), job, state: view.state });
    }
    shutdown.drain.cancel();
    running.await.map_err(|error| broken(&error))??;
    private.give_back().await;
    Ok(Ticked { cron: EXPRESSION, ticks })
}

/// Does the duty of a leader until the schedule has fired often enough; the earliest tick first.
async fn fire(config: &Config, ledger: &Ledger, spec: &ScheduleSpec) -> Outcome<Vec<Run>> {
    let failed = |problem: String| Failure::Failed(format!("the demo's schedule does not run: {problem}"));
    let metrics =
        Metrics::new(&prometheus::Registry::new(), Arc::new(SystemClock)).map_err(|error| failed(error.to_string()))?;
    let cron = Cron::new(rooms::connect(config), ledger.clone(), metrics, None);
    // What a demo left that was broken off is not made up for.
    let none = Change {
        specs: &[],
        replace: false,
        revision: None,
        remove: std::slice::from_ref(&spec.name),
        rehearse: false,
    };
    ledger.put_schedules(none, first_tick).await?;
    ledger.put_schedules(Change { specs: std::slice::from_ref(spec), remove: &[], ..none }, first_tick).await?;
    let begun = ledger.now().await?;
    let term = ledger.begin_term().await?;
    let runs = loop {
        cron.run_once(term).await.map_err(|error| failed(error.to_string()))?;
        let runs = ledger.runs(&spec.name, None, TICKS as u32).await?;
        let fired = |run: &&Run| run.outcome == RunOutcome::Enqueued && run.at >= begun;
        if runs.iter().filter(fired).count() >= TICKS {
            break runs;
        }
    };
    ledger.put_schedules(none, first_tick).await?;
    Ok(runs.into_iter().rev().collect())
}

impl Ticked {
    /// In words.
    pub fn text(&self) -> String {
        let ticks: Vec<String> = self.ticks.iter().map(|tick| tick.at.to_string()).collect();
        let completed = self.ticks.iter().filter(|tick| tick.state == State::Completed).count();
        format!(
            "A schedule ({}) fired at {}; {completed} of its {} jobs are completed.",
            self.cron,
            ticks.join(" and "),
            self.ticks.len()
        )
    }
}
