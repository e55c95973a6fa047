//! Which jobs may still run, for whoever removes the files of those that cannot.

use std::sync::{Arc, Mutex, PoisonError};

use lovage_broker::{Broker, BrokerError};
use lovage_core::{JobId, QueueName};

/// Asks the broker which jobs may still run. One that does not answer leaves doubt, and in doubt a job may run.
pub struct Living {
    broker: Arc<dyn Broker>,
    doubt: Mutex<Option<BrokerError>>,
}

impl std::fmt::Debug for Living {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Living").finish_non_exhaustive()
    }
}

impl Living {
    /// Those of this broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, doubt: Mutex::default() }
    }

    /// Whether a job waits, runs or will be tried again, or it is not known. A broker that was away is not asked again: each
    /// question would wait for it.
    pub async fn may_run(&self, queue: QueueName, job: JobId) -> bool {
        if self.is_away() {
            return true;
        }
        match self.broker.job(Some(&queue), &job).await {
            Ok(found) => found.is_some_and(|view| !view.state.is_final()),
            Err(error) => {
                *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                true
            }
        }
    }

    /// Why it is not known of some jobs whether they may run.
    pub fn doubt(self) -> Option<BrokerError> {
        self.doubt.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_away(&self) -> bool {
        let doubt = self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        doubt.as_ref().is_some_and(BrokerError::is_transient)
    }
}
