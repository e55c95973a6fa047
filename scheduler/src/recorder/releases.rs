//! Which release a worker runs. Events name the worker only, and a worker that has gone is not in the broker's list any more.

use std::collections::HashMap;

use lovage_broker::Broker;
use lovage_core::WorkerId;
use lovage_core::history::JobRecord;
use tokio::sync::Mutex;

use crate::duty::DutyError;

/// Workers that are remembered.
const KEPT: usize = 10_000;

/// The releases of workers that were seen; nothing for those that were asked for in vain.
#[derive(Debug, Default)]
pub(super) struct Releases(Mutex<HashMap<WorkerId, Option<String>>>);

impl Releases {
    /// Writes to each attempt which release ran it. The list of workers is read once if there is a name that is new.
    pub async fn tell(&self, broker: &dyn Broker, jobs: &mut [JobRecord]) -> Result<(), DutyError> {
        let mut known = self.0.lock().await;
        let workers = || jobs.iter().flat_map(|job| &job.attempts).filter_map(|attempt| attempt.worker.as_ref());
        if workers().any(|worker| !known.contains_key(worker)) {
            if known.len() > KEPT {
                known.clear();
            }
            let there = broker.workers().await?;
            known.extend(there.into_iter().map(|worker| (worker.id, Some(worker.version))));
            for worker in workers() {
                known.entry(worker.clone()).or_default();
            }
        }
        for attempt in jobs.iter_mut().flat_map(|job| &mut job.attempts) {
            attempt.version = attempt.worker.as_ref().and_then(|worker| known.get(worker).cloned().flatten());
        }
        Ok(())
    }
}
