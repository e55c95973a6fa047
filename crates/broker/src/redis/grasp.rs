//! What each worker of this process has got from each queue: so that a claim whose answer was lost on its way can be
//! answered again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lovage_core::{QueueName, WorkerId};
use tokio::sync::Mutex as AsyncMutex;

/// One worker's claims from one queue. Locked for the time of a claim: a second one meanwhile would be told of jobs that
/// the first one's answer is still to bring.
#[derive(Debug, Default)]
pub(super) struct Grasp {
    /// The token of the latest job that came with an answer.
    pub last: u64,
    /// Whether an answer was lost since.
    pub unclear: bool,
}

/// Those of one worker.
type Queues = HashMap<QueueName, Arc<AsyncMutex<Grasp>>>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Grasps(Mutex<HashMap<WorkerId, Queues>>);

impl Grasps {
    pub(super) fn of(&self, queue: &QueueName, worker: &WorkerId) -> Arc<AsyncMutex<Grasp>> {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grasp) = workers.get(worker).and_then(|queues| queues.get(queue)) {
            return Arc::clone(grasp);
        }
        Arc::clone(workers.entry(worker.clone()).or_default().entry(queue.clone()).or_default())
    }

    pub(super) fn forget(&self, worker: &WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }
}
