//! Jobs from their enqueue to their end, by the broker's own calls.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Finish, HeldLease};
use lovage_core::{AttemptError, DiscardReason, ErrorClass, NewJob, QueueName, Transition, WorkerId};
use tokio::time::{Instant, sleep_until};

use crate::Failed;

/// Jobs of one call.
pub const BATCH: u64 = 1_000;
/// Events that a job leaves: enqueued, claimed, finished.
pub const EVENTS: u64 = 3;

/// Who enqueues and runs jobs.
pub struct Producer {
    pub broker: Arc<dyn Broker>,
    pub queues: Vec<QueueName>,
    pub worker: WorkerId,
}

impl Producer {
    fn queue(&self, batch: u64) -> &QueueName {
        &self.queues[(batch % self.queues.len() as u64) as usize]
    }

    /// Enqueues batch number `batch`.
    pub async fn enqueue(&self, batch: u64) -> Result<(), Failed> {
        let jobs = (batch * BATCH..(batch + 1) * BATCH).map(|number| job(self.queue(batch), number));
        self.broker.enqueue(jobs.collect::<Result<_, _>>()?).await?;
        Ok(())
    }

    /// Runs as many jobs of the queue of batch `batch`: 3 in 100 are discarded.
    pub async fn run(&self, batch: u64) -> Result<(), Failed> {
        let queue = self.queue(batch);
        let claimed = self.broker.claim(queue, &self.worker, BATCH as usize, Duration::from_mins(1)).await?.jobs;
        if claimed.len() as u64 != BATCH {
            return Err(format!("{} jobs instead of {BATCH} were there", claimed.len()).into());
        }
        let finish = |(index, job): (usize, &lovage_broker::ClaimedJob)| Finish {
            lease: HeldLease { id: job.id.clone(), token: job.token },
            transition: if index % 33 == 0 {
                let message = format!("connection refused by mailer-{}:{batch}", index % 7);
                let error = AttemptError::new(ErrorClass::Rejected, &message);
                Transition::Discard { reason: DiscardReason::Rejected, error }
            } else {
                Transition::Complete { result: None }
            },
        };
        self.broker.finish(queue, &self.worker, claimed.iter().enumerate().map(finish).collect()).await?;
        Ok(())
    }

    /// Runs these batches at `rate` jobs a second, each `hold` after its enqueue. Fails if the machine is too slow for it.
    pub async fn at_rate(&self, batches: Range<u64>, rate: u64, hold: Duration) -> Result<Duration, Failed> {
        let began = Instant::now();
        let due = |batch: u64| began + Duration::from_secs_f64(((batch - batches.start) * BATCH) as f64 / rate as f64);
        let enqueue = async {
            for batch in batches.clone() {
                sleep_until(due(batch)).await;
                self.enqueue(batch).await?;
                if hold.is_zero() {
                    self.run(batch).await?;
                }
            }
            Ok::<_, Failed>(())
        };
        let run = async {
            for batch in batches.clone().filter(|_| !hold.is_zero()) {
                sleep_until(due(batch) + hold).await;
                self.run(batch).await?;
            }
            Ok::<_, Failed>(())
        };
        tokio::try_join!(enqueue, run)?;
        Ok(began.elapsed())
    }
}

fn job(queue: &QueueName, number: u64) -> Result<NewJob, Failed> {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let args = format!(
        r#"{{"user":{{"id":{},"locale":"de"}},"order":"ord-{number:09}","region":"eu-{}","amount":{}.50,"items":{}}}"#,
        scattered % 100_000,
        scattered % 4,
        scattered % 500,
        scattered % 20,
    );
    let kind = format!("export.kind{}", scattered % 40).parse()?;
    let mut job = NewJob::with_raw_args(queue.clone(), kind, serde_json::value::RawValue::from_string(args)?);
    job.tags = vec![format!("tag-{}", scattered % 30), "nightly".to_owned()];
    job.metadata = [("request_id".to_owned(), format!("req-{scattered:016x}"))].into();
    Ok(job)
}
