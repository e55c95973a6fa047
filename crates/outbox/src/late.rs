//! A producer that connects to the broker when it is needed: whoever relays or spools must start without it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker::{Broker, BrokerError, Connect, EnqueueOutcome, Producer};
use lovage_core::NewJob;
use tokio::sync::OnceCell;

/// Hands jobs to a broker that may not be there yet.
pub struct LateProducer {
    connect: Connect,
    broker: OnceCell<Arc<dyn Broker>>,
}

impl fmt::Debug for LateProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateProducer").field("connected", &self.broker.initialized()).finish_non_exhaustive()
    }
}

impl LateProducer {
    /// Connects with the first job.
    pub fn new(connect: Connect) -> Self {
        Self { connect, broker: OnceCell::new() }
    }
}

#[async_trait]
impl Producer for LateProducer {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
        self.broker.get_or_try_init(|| (self.connect)()).await?.enqueue(jobs).await
    }
}
