//! Redis in its other forms: a cluster whose slots move and whose servers die, a primary that sentinels replace, TLS,
//! users with few rights. That the contract holds there is in `tests/conformance`; here is what changes while jobs run.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster;
mod secure;
mod sentinel;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovage_broker::{
    BrokerError, Claim, ClaimedJob, EnqueueOutcome, Finish, HeldLease, LeaseStatus, Producer, RedisBroker, RedisConfig,
    WorkerSide,
};
use lovage_core::{JobId, NewJob, QueueName, Transition, WorkerId};
use lovage_testkit::eventually;

const LEASE: Duration = Duration::from_mins(1);
/// Longest wait for something to come right again.
const PATIENCE: Duration = Duration::from_secs(40);

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn worker(name: &str) -> WorkerId {
    name.parse().unwrap()
}

fn job(queue: &QueueName, id: &str) -> NewJob {
    let job = NewJob::new(queue.clone(), "debug.noop".parse().unwrap(), &serde_json::json!({ "id": id })).unwrap();
    NewJob { id: Some(id.parse().unwrap()), ..job }
}

async fn connect(url: &str) -> RedisBroker {
    connect_with(RedisConfig { url: url.to_owned(), ..RedisConfig::default() }).await
}

async fn connect_with(config: RedisConfig) -> RedisBroker {
    RedisBroker::connect(config).await.unwrap()
}

async fn refused(config: RedisConfig) -> BrokerError {
    RedisBroker::connect(config).await.expect_err("this is to be refused")
}

fn finishes(jobs: &[ClaimedJob]) -> Vec<Finish> {
    let finish = |job: &ClaimedJob| Finish {
        lease: HeldLease { id: job.id.clone(), token: job.token },
        transition: Transition::Complete { result: None },
    };
    jobs.iter().map(finish).collect()
}

/// Enqueues as a careful producer does: again with the same id until it is confirmed.
async fn enqueue_for_sure(broker: &RedisBroker, jobs: Vec<NewJob>) -> Vec<EnqueueOutcome> {
    eventually("the jobs are taken in", PATIENCE, async || transient(broker.enqueue(jobs.clone()).await)).await
}

/// The answer, or nothing if the same call may succeed later. Any other failure fails the test.
fn transient<T>(answer: Result<T, BrokerError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) if error.is_transient() => None,
        Err(error) => panic!("an outage is no reason for this: {error}"),
    }
}

/// Claims and finishes until `stop` is set and nothing is left. Answers which jobs ended, and how many ended twice.
async fn work(broker: Arc<RedisBroker>, stop: Arc<AtomicBool>) -> (BTreeSet<JobId>, usize) {
    let mut ended = BTreeSet::new();
    let mut twice = 0;
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        let claim = broker.claim(&queue(), &worker("w1"), 20, LEASE).await;
        let Some(Claim { jobs, .. }) = transient(claim) else {
            tokio::task::yield_now().await;
            continue;
        };
        if jobs.is_empty() {
            if stopping {
                return (ended, twice);
            }
            let _ = transient(broker.wait(&[queue()], &worker("w1"), Duration::from_millis(100)).await);
            continue;
        }
        let statuses = eventually("the ends are taken in", PATIENCE, async || {
            transient(broker.finish(&queue(), &worker("w1"), finishes(&jobs)).await)
        })
        .await;
        for (job, status) in jobs.into_iter().zip(statuses) {
            // Lost: an earlier try came through and only its answer did not.
            twice += usize::from(!ended.insert(job.id) && status == LeaseStatus::Held);
        }
    }
}
