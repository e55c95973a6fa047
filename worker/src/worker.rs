//! The worker as a whole: starts its parts, and ends them in the order that loses nothing.

use std::fmt;
use std::sync::Arc;

use lovage_broker::Connect;
use lovage_core::{Clock, Entropy};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::apalis_adapter;
use crate::config::{Shutdown, WorkerConfig, WorkerSummary};
use crate::engine::Engine;
use crate::error::WorkerError;
use crate::event::WorkerEvent;
use crate::fetcher::Fetcher;
use crate::finisher;
use crate::health::WorkerHealth;
use crate::keeper::Keeper;
use crate::registry::Registry;
use crate::stop::Running;
use crate::sweeper;

/// A worker, ready to run.
pub struct Worker {
    config: WorkerConfig,
    connect: Connect,
    registry: Registry,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    health: WorkerHealth,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.config.id).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker with these settings. It opens two connections: one for itself, one for its lease keeper.
    pub fn new(
        config: WorkerConfig,
        connect: Connect,
        registry: Registry,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let health = WorkerHealth::new(config.renew_every);
        Self { config, connect, registry, entropy, clock, health }
    }

    /// How it stands, for probes; good to ask before, while and after it runs.
    pub fn health(&self) -> WorkerHealth {
        self.health.clone()
    }

    /// Claims and runs jobs until it is told to stop or its settings say so.
    ///
    /// A handler that blocks its thread for ever also blocks the end of the runtime on which this runs: a binary
    /// should end that runtime with `shutdown_background` after this has returned.
    pub async fn run(self, shutdown: Shutdown) -> Result<WorkerSummary, WorkerError> {
        self.config.validate()?;
        let broker = (self.connect)().await?;
        let (endings, ending_rx) = mpsc::unbounded_channel();
        let world = (self.entropy, &*self.clock, self.health);
        let engine = Arc::new(Engine::new(self.config, self.registry, broker, world, &shutdown, endings)?);
        let keeper = Keeper::start(&engine, self.connect).await?;
        engine.health.set_started();
        let _moving = spawn(engine.health.clone().keep_moving());
        tracing::info!(worker_id = %engine.config.id, slots = engine.config.slots, "worker started");
        engine.tell(|| WorkerEvent::Ready);
        let close = CancellationToken::new();
        let finisher = spawn(finisher::finish(Arc::clone(&engine), ending_rx, close.clone()));
        let sweeper = spawn(sweeper::sweep(Arc::clone(&engine)));
        let (works, work_rx) = mpsc::unbounded_channel();
        let mut running = Running {
            fetcher: spawn(Fetcher::new(Arc::clone(&engine), works).run()),
            driver: spawn(apalis_adapter::drive(Arc::clone(&engine), work_rx)),
            keeper,
            engine: Arc::clone(&engine),
        };
        let ended = running.until_stopped().await;
        drop(sweeper);
        close.cancel();
        flush(&engine, finisher).await;
        running.keeper.end().await;
        let summary = engine.counts.summary();
        let WorkerSummary { claimed, completed, failed, discarded, released, cancelled, lost } = summary;
        tracing::info!(
            worker_id = %engine.config.id, claimed, completed, failed, discarded, released, cancelled, lost,
            "worker ended"
        );
        ended.map(|()| summary)
    }
}

fn spawn<T: Send + 'static>(part: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(part))
}

async fn flush(engine: &Engine, finisher: AbortOnDropHandle<()>) {
    if timeout(engine.config.flush_timeout, finisher).await.is_err() {
        let jobs = engine.leases.len();
        tracing::error!(jobs, "the broker did not take the last outcomes in time; the jobs will run again");
    }
}
