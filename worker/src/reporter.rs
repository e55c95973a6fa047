//! Writes what running attempts tell: progress at most four times a second, log lines in the same calls.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lovage_broker::{Broker, BrokerError, LeaseStatus, Report};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::attempt::{Attempt, Cause};
use crate::context::{LeaseLost, Link};

/// Least time between two writes of one attempt.
const PACE: Duration = Duration::from_millis(250);
/// Most time between two writes while the broker does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Time between two tries to confirm a lease while the broker does not answer.
const CONFIRM_AGAIN: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reporter {
    broker: Arc<dyn Broker>,
    lease: Duration,
    /// Handlers may speak from threads that know no runtime.
    runtime: Handle,
}

impl Reporter {
    /// To be called within the worker's runtime.
    pub fn new(broker: Arc<dyn Broker>, lease: Duration) -> Self {
        Self { broker, lease, runtime: Handle::current() }
    }

    /// Writes what the attempt has told since the last write. What cannot be written is kept for the next one.
    pub async fn write(&self, attempt: &Attempt) -> Result<(), BrokerError> {
        let _turn = attempt.writing.lock().await;
        let (progress, lines) = {
            let mut told = attempt.told();
            told.planned = false;
            told.written_at = Some(Instant::now());
            (told.progress.take(), std::mem::take(&mut told.lines))
        };
        if progress.is_none() && lines.is_empty() {
            return Ok(());
        }
        let report = Report { lease: attempt.lease.clone(), progress, lines };
        match self.broker.report(&attempt.queue, report.clone()).await {
            Ok(LeaseStatus::Held) => {}
            Ok(LeaseStatus::CancelRequested) => {
                attempt.stop(Cause::Cancel);
            }
            Ok(LeaseStatus::Lost) => {
                attempt.stop(Cause::LeaseLost);
            }
            Err(error) => {
                let mut told = attempt.told();
                told.progress = told.progress.take().or(report.progress);
                told.lines.splice(..0, report.lines);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes what was told, however long the broker is away: a handler that is silent from here on has said it.
    async fn write_when_due(self, attempt: Arc<Attempt>) {
        let mut pause = PACE;
        loop {
            let due = attempt.told().written_at.map(|at| at + pause);
            if let Some(due) = due {
                tokio::time::sleep_until(due).await;
            }
            let Err(error) = self.write(&attempt).await else { return };
            tracing::debug!(job_id = %attempt.id(), error.message = %error, "progress not written yet");
            // After the end the finisher writes it; and whoever planned a write since this one failed does so.
            if attempt.is_settled() || !error.is_transient() || !attempt.plan() {
                return;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

impl Link for Reporter {
    fn confirm<'a>(&'a self, attempt: &'a Arc<Attempt>) -> BoxFuture<'a, Result<(), LeaseLost>> {
        let lost = |reason: String| LeaseLost { id: attempt.id().clone(), attempt: attempt.run.number, reason };
        Box::pin(async move {
            loop {
                if attempt.cause() == Some(Cause::LeaseLost) {
                    return Err(lost("another worker has the job".to_owned()));
                }
                let asked = Instant::now();
                let held = std::slice::from_ref(&attempt.lease);
                let problem = match self.broker.renew(&attempt.queue, held, self.lease).await {
                    Ok(statuses) => match statuses.first() {
                        Some(LeaseStatus::Held) => {
                            attempt.set_renewed(asked);
                            return Ok(());
                        }
                        Some(LeaseStatus::CancelRequested) => {
                            attempt.set_renewed(asked);
                            attempt.stop(Cause::Cancel);
                            return Ok(());
                        }
                        Some(LeaseStatus::Lost) => {
                            attempt.stop(Cause::LeaseLost);
                            continue;
                        }
                        None => "the broker gave no answer for the lease".to_owned(),
                    },
                    Err(error) => error.to_string(),
                };
                if attempt.since_renewal(Instant::now()) >= self.lease {
                    return Err(lost(format!("the lease could not be confirmed in time: {problem}")));
                }
                tokio::time::sleep(CONFIRM_AGAIN).await;
            }
        })
    }

    fn told(&self, attempt: &Arc<Attempt>) {
        self.runtime.spawn(self.clone().write_when_due(Arc::clone(attempt)));
    }
}
