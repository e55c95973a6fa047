//! Stopping one job from outside.

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::Cancelled;
use lovage_core::{Change, State};
use lovage_worker::{Cause, Handler, JobContext, JobError, Registry, WorkerEvent};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::bench::Bench;
use crate::handlers::{Obeys, SucceedsAnyway};

pub async fn a_running_job_is_cancelled_within_a_second(bench: Bench) {
    let id = bench.add("obeys", json!({})).await;
    let mut run = bench.start(Registry::new().with(Obeys));
    run.started(&id).await;
    assert_eq!(bench.broker.cancel(&bench.queue, &id).await.unwrap(), Cancelled::Requested);
    // The promise of the design, not a measurement: renewals alone would take ten seconds.
    let told = run.until(WorkerEvent::Stopping { id: id.clone(), cause: Cause::Cancel });
    tokio::time::timeout(Duration::from_secs(1), told).await.expect("told within a second");
    assert_eq!(run.finished(&id).await, Change::Cancel);
    let summary = run.drain().await;
    assert_eq!(summary.cancelled, 1);
    assert_eq!(bench.view(&id).await.state, State::Cancelled);
}

/// Says when it is dropped.
struct Deaf(Arc<Notify>);
impl Handler for Deaf {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "deaf";
    async fn run(&self, _: Value, _: JobContext) -> Result<(), JobError> {
        struct Guard(Arc<Notify>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _guard = Guard(Arc::clone(&self.0));
        std::future::pending().await
    }
}

pub async fn a_handler_that_does_not_listen_is_dropped(bench: Bench) {
    let dropped = Arc::new(Notify::new());
    let id = bench.add("deaf", json!({})).await;
    let mut run = bench.start(Registry::new().with(Deaf(Arc::clone(&dropped))));
    run.started(&id).await;
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    assert_eq!(run.finished(&id).await, Change::Cancel);
    dropped.notified().await;
    run.drain().await;
}

pub async fn a_cancelled_job_that_succeeds_anyway_is_completed(bench: Bench) {
    let id = bench.add("succeeds-anyway", json!({})).await;
    let mut run = bench.start(Registry::new().with(SucceedsAnyway));
    run.started(&id).await;
    bench.broker.cancel(&bench.queue, &id).await.unwrap();
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    assert_eq!(bench.view(&id).await.state, State::Completed);
}
