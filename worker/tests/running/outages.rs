//! A broker that does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lovage_broker::{Broker, BrokerError, Connect};
use lovage_core::{Change, State};
use lovage_testkit::{Fault, FaultyBroker, Point};
use lovage_worker::{Registry, WorkerConfig, WorkerError, WorkerEvent};
use serde_json::json;

use crate::bench::{Bench, start};
use crate::handlers::{Echo, Forever};

/// A connection on which the next so many calls at `point` fail.
pub fn failing(bench: &Bench, point: Point, times: &Arc<AtomicUsize>) -> Connect {
    let (connect, times) = (Arc::clone(&bench.connect), Arc::clone(times));
    Arc::new(move || {
        let (connect, times) = (Arc::clone(&connect), Arc::clone(&times));
        Box::pin(async move {
            let fewer = |left: usize| left.checked_sub(1);
            let plan = Arc::new(move |seen| {
                let strikes = seen == point && times.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_ok();
                if strikes { Fault::Unavailable } else { Fault::None }
            });
            Ok(Arc::new(FaultyBroker::new(connect().await?, plan)) as Arc<dyn Broker>)
        })
    })
}

pub async fn claims_go_on_after_an_outage(bench: Bench) {
    let id = bench.add("echo", json!({})).await;
    let times = Arc::new(AtomicUsize::new(4));
    let mut run = start(bench.config("w1"), failing(&bench, Point::BeforeClaim, &times), Registry::new().with(Echo));
    let mut told = Vec::new();
    let end = loop {
        match run.events.recv().await.unwrap() {
            event @ (WorkerEvent::Unavailable | WorkerEvent::Available) => told.push(event),
            WorkerEvent::Finished { change, .. } => break change,
            _ => {}
        }
    };
    assert_eq!(end, Change::Complete);
    assert_eq!(told, [WorkerEvent::Unavailable, WorkerEvent::Available], "once per outage");
    run.drain().await;
    assert_eq!(bench.view(&id).await.attempt, 1);
}

pub async fn an_outcome_survives_an_outage(bench: Bench) {
    let id = bench.add("echo", json!("kept")).await;
    let times = Arc::new(AtomicUsize::new(4));
    let mut run = start(bench.config("w1"), failing(&bench, Point::BeforeFinish, &times), Registry::new().with(Echo));
    assert_eq!(run.finished(&id).await, Change::Complete);
    let summary = run.drain().await;
    assert_eq!((summary.claimed, summary.completed, summary.lost), (1, 1, 0));
    assert_eq!(bench.view(&id).await.result.unwrap().get(), "\"kept\"");
}

pub async fn an_outcome_that_was_written_unseen_does_not_run_again(bench: Bench) {
    let id = bench.add("echo", json!({})).await;
    let times = Arc::new(AtomicUsize::new(1));
    let mut run = start(bench.config("w1"), failing(&bench, Point::AfterFinish, &times), Registry::new().with(Echo));
    // The second try finds that it was written by the same attempt: nothing more is written.
    run.until(WorkerEvent::Finished { id: id.clone(), change: Change::Complete }).await;
    let summary = run.drain().await;
    assert_eq!(summary.claimed, 1);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.attempt), (State::Completed, 1));
}

pub async fn a_broker_that_is_away_at_the_start_is_an_error(bench: Bench) {
    let away: Connect = Arc::new(|| Box::pin(async { Err(BrokerError::Unavailable("connection refused".into())) }));
    let error = start(bench.config("w1"), away, Registry::new()).end().await.unwrap_err();
    assert!(matches!(error, WorkerError::Broker(_)));
    assert!(error.to_string().contains("connection refused"), "{error}");
}

/// A connection on which renewing panics once `broken` says so: the end of the keeper's thread.
fn deadly(bench: &Bench, broken: &Arc<AtomicBool>) -> Connect {
    let (connect, broken) = (Arc::clone(&bench.connect), Arc::clone(broken));
    Arc::new(move || {
        let (connect, broken) = (Arc::clone(&connect), Arc::clone(&broken));
        Box::pin(async move {
            let plan = Arc::new(move |seen| {
                assert!(seen != Point::BeforeRenew || !broken.load(Ordering::Acquire), "the keeper dies, as planned");
                Fault::None
            });
            Ok(Arc::new(FaultyBroker::new(connect().await?, plan)) as Arc<dyn Broker>)
        })
    })
}

/// Without leases that are renewed others would take the jobs while they run here.
async fn keeper_dies(bench: Bench, draining: bool) {
    let id = bench.add("forever", json!({})).await;
    let broken = Arc::new(AtomicBool::new(false));
    let config = WorkerConfig { renew_every: Duration::from_millis(100), ..bench.config("w1") };
    let mut run = start(config, deadly(&bench, &broken), Registry::new().with(Forever));
    run.started(&id).await;
    if draining {
        run.shutdown.drain.cancel();
        run.until(WorkerEvent::Draining).await;
    }
    broken.store(true, Ordering::Release);
    // Long before the time that a drain may take is over.
    assert_eq!(run.finished(&id).await, Change::Release);
    let error = run.end().await.unwrap_err();
    assert!(matches!(error, WorkerError::Broken { part: "lease keeper", .. }), "{error}");
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed, view.lost), (State::Available, 0, 0));
}

pub async fn row_05_a_worker_whose_keeper_dies_ends_and_hands_back(bench: Bench) {
    keeper_dies(bench, false).await;
}

pub async fn row_05_a_drain_does_not_go_on_without_its_keeper(bench: Bench) {
    keeper_dies(bench, true).await;
}
