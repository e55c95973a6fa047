//! The fetcher's wait for work: one call at a time, kept alive while the fetcher does other things.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lovage_broker::{Broker, BrokerError, Wake};
use lovage_core::{QueueName, WorkerId};

/// How long one call waits; only bounds what a broken connection can hold up.
const FOR: Duration = Duration::from_secs(5);

pub(crate) struct Waiting {
    broker: Arc<dyn Broker>,
    worker: WorkerId,
    call: Option<Call>,
}

struct Call {
    queues: Vec<QueueName>,
    answer: BoxFuture<'static, Result<Wake, BrokerError>>,
}

impl Waiting {
    pub fn new(broker: Arc<dyn Broker>, worker: WorkerId) -> Self {
        Self { broker, worker, call: None }
    }

    /// The queues of the call that is under way; none without one.
    pub fn covers(&self) -> &[QueueName] {
        self.call.as_ref().map_or(&[], |call| &call.queues)
    }

    /// Begins to wait for these queues, instead of what was waited for before.
    pub fn begin(&mut self, queues: Vec<QueueName>) {
        let (broker, worker, names) = (Arc::clone(&self.broker), self.worker.clone(), queues.clone());
        let answer = Box::pin(async move { broker.wait(&names, &worker, FOR).await });
        self.call = Some(Call { queues, answer });
    }

    /// Stops waiting. Answers the queues of the dropped call: a wake-up for them may be lost with it.
    pub fn end(&mut self) -> Vec<QueueName> {
        self.call.take().map(|call| call.queues).unwrap_or_default()
    }

    /// The answer of the call that is under way; never resolves without one. May be dropped and called again.
    pub async fn woken(&mut self) -> Result<Wake, BrokerError> {
        let Some(call) = &mut self.call else { return std::future::pending().await };
        let answer = (&mut call.answer).await;
        self.call = None;
        answer
    }
}
