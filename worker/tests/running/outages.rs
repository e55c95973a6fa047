//! A broker that does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lovage_broker::{Broker, BrokerError, Connect};
use lovage_core::{Change, State};
use lovage_testkit::{Fault, FaultyBroker, Point};
use lovage_worker::{Registry, WorkerError, WorkerEvent};
use serde_json::json;

use crate::bench::{Bench, start};
use crate::handlers::Echo;

/// A connection on which the next so many calls at `point` fail.
fn failing(bench: &Bench, point: Point, times: &Arc<AtomicUsize>) -> Connect {
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
    // The second try finds the job ended: nothing more is written.
    run.until(WorkerEvent::Lost { id: id.clone() }).await;
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
