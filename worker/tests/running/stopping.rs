//! Ending a worker.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lovage_broker::Control;
use lovage_core::{Change, ErrorClass, Probed as _, State, WorkerState};
use lovage_testkit::eventually;
use lovage_worker::{Cause, Registry, WorkerConfig, WorkerError, WorkerEvent};
use serde_json::json;

use crate::bench::{Bench, LONG, at_once, start};
use crate::handlers::{Blocks, Capped, Echo, FailsTwice, Forever, Gate, Release};

pub async fn a_drain_lets_running_jobs_end(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!(1)).await;
    let mut run = bench.start(Registry::new().with(gate.clone()));
    run.started(&id).await;
    run.shutdown.drain.cancel();
    run.until(WorkerEvent::Draining).await;
    let late = bench.add("gate", json!(2)).await;
    gate.0.notify_one();
    assert_eq!(run.finished(&id).await, Change::Complete);
    assert_eq!(run.end().await.unwrap().claimed, 1);
    assert_eq!(bench.view(&late).await.state, State::Available);
}

pub async fn row_25_a_drain_hands_back_without_spending_an_attempt(bench: Bench) {
    let first = bench.add("forever", json!({})).await;
    let behind = bench.add("echo", json!({})).await;
    let config = WorkerConfig { slots: 1, shutdown_timeout: Duration::from_millis(50), ..bench.config("w1") };
    let mut run = bench.start_with(config, Registry::new().with(Forever).with(Echo));
    run.started(&first).await;
    run.shutdown.drain.cancel();
    assert_eq!(run.finished(&first).await, Change::Release);
    let summary = run.end().await.unwrap();
    assert_eq!((summary.released, summary.failed, summary.lost), (1, 0, 0));
    let view = bench.view(&first).await;
    assert_eq!((view.state, view.failed, view.lost), (State::Available, 0, 0));
    // It is back at its old place, before the job that came after it.
    let claim = bench.broker.claim(&bench.queue, &"w2".parse().unwrap(), 2, LONG).await.unwrap();
    let order: Vec<_> = claim.jobs.iter().map(|job| &job.id).collect();
    assert_eq!(order, [&first, &behind]);
    assert_eq!(claim.jobs[0].failed, 0);
}

pub async fn row_25_a_job_that_does_not_stop_is_handed_back_too(bench: Bench) {
    let stuck = Blocks::default();
    let _release = Release::at_the_end(&stuck.stop);
    let id = bench.add("blocks", json!({})).await;
    let config = WorkerConfig { shutdown_timeout: Duration::from_millis(50), ..bench.config("w1") };
    let mut run = bench.start_with(config, Registry::new().with(stuck.clone()));
    run.started(&id).await;
    run.shutdown.drain.cancel();
    let summary = run.end().await.unwrap();
    assert_eq!((summary.released, summary.completed), (1, 0));
    // Its handler ends as a success after all; that counts for nothing.
    stuck.stop.store(true, Ordering::Release);
    assert_eq!(bench.view(&id).await.state, State::Available);
}

pub async fn a_timeout_stays_one_when_the_worker_ends(bench: Bench) {
    let stuck = Blocks { timeout: Some(Duration::from_millis(50)), ..Blocks::default() };
    let _release = Release::at_the_end(&stuck.stop);
    let id = bench.add("blocks", json!({})).await;
    let config = WorkerConfig { shutdown_timeout: Duration::from_millis(50), cancel_grace: LONG, ..bench.config("w1") };
    let mut run = bench.start_with(config, Registry::new().with(stuck.clone()));
    run.started(&id).await;
    run.until(WorkerEvent::Stopping { id: id.clone(), cause: Cause::TimedOut }).await;
    run.shutdown.drain.cancel();
    assert_eq!(run.finished(&id).await, Change::Retry, "its time was over before the worker's");
    let summary = run.end().await.unwrap();
    assert_eq!((summary.failed, summary.released), (1, 0));
    let view = bench.view(&id).await;
    assert_eq!((view.failed, view.errors[0].class), (1, ErrorClass::TimedOut));
}

pub async fn a_stop_at_once_does_not_wait(bench: Bench) {
    let id = bench.add("forever", json!({})).await;
    // Only the second signal can end this run within the test's time.
    let config = WorkerConfig { shutdown_timeout: 100 * LONG, stop_grace: 100 * LONG, ..bench.config("w1") };
    let mut run = bench.start_with(config, Registry::new().with(Forever));
    run.started(&id).await;
    run.shutdown.drain.cancel();
    run.until(WorkerEvent::Draining).await;
    run.shutdown.now.cancel();
    assert_eq!(run.end().await.unwrap().released, 1);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.failed), (State::Available, 0));
}

pub async fn max_jobs_is_a_limit_in_all(bench: Bench) {
    for n in 0..7 {
        bench.add("echo", json!(n)).await;
    }
    let config = WorkerConfig { max_jobs: Some(5), ..bench.config("w1") };
    let summary = bench.start_with(config, Registry::new().with(Echo)).end().await.unwrap();
    assert_eq!((summary.claimed, summary.completed), (5, 5));
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.available, 2);
}

pub async fn a_worker_that_has_its_max_jobs_is_shown_as_quiet(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let config = WorkerConfig { max_jobs: Some(1), ..bench.config("w1") };
    let mut run = bench.start_with(config, Registry::new().with(gate.clone()));
    run.started(&id).await;
    // Within the test's patience only because a change is shown at once.
    eventually("its free slots are not offered", LONG / 4, async || {
        let listed = bench.broker.workers().await.unwrap();
        listed.iter().any(|view| view.state == WorkerState::Quiet).then_some(())
    })
    .await;
    let ready = run.health().ready();
    let failing: Vec<&str> = ready.iter().filter(|check| !check.ok).map(|check| check.name).collect();
    assert_eq!(failing, ["claiming"]);
    gate.0.notify_one();
    assert_eq!(run.end().await.unwrap().completed, 1);
}

pub async fn exit_when_empty_leaves_nothing_behind(bench: Bench) {
    for n in 0..50 {
        bench.add("echo", json!(n)).await;
        bench.add("capped", json!(n)).await;
        let mut job = bench.job("fails-twice", &json!(n));
        job.retry = Some(at_once(3));
        bench.add_job(job).await;
    }
    let registry = Registry::new().with(Echo).with(FailsTwice).with(Capped::default());
    let config = WorkerConfig { exit_when_empty: true, slots: 8, ..bench.config("w1") };
    let summary = bench.start_with(config, registry).end().await.unwrap();
    assert_eq!(summary.completed, 150, "{summary:?}");
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.unfinished(), 0);
}

pub async fn exit_when_empty_does_not_wait_for_what_is_due_later(bench: Bench) {
    let mut later = bench.job("echo", &json!({}));
    later.delay_ms = Some(3_600_000);
    bench.add_job(later).await;
    bench.add("echo", json!({})).await;
    let config = WorkerConfig { exit_when_empty: true, ..bench.config("w1") };
    let summary = bench.start_with(config, Registry::new().with(Echo)).end().await.unwrap();
    assert_eq!(summary.completed, 1);
}

pub async fn a_message_makes_it_quiet_and_another_stops_it(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let mut run = bench.start(Registry::new().with(gate.clone()));
    run.started(&id).await;
    let worker = "w1".parse().unwrap();
    assert!(bench.broker.control(&worker, Control::Quiet).await.unwrap());
    run.until(WorkerEvent::Quiet).await;
    let late = bench.add("gate", json!({})).await;
    gate.0.notify_one();
    assert_eq!(run.finished(&id).await, Change::Complete, "what runs goes on");
    assert!(bench.broker.control(&worker, Control::Stop).await.unwrap());
    assert_eq!(run.end().await.unwrap().claimed, 1);
    assert_eq!(bench.view(&late).await.state, State::Available);
}

pub async fn a_worker_is_listed_while_it_runs(bench: Bench) {
    let mut run = bench.start(Registry::new().with(Echo));
    run.ready().await;
    let listed = bench.broker.workers().await.unwrap();
    assert_eq!(listed.len(), 1);
    let view = &listed[0];
    assert_eq!((view.id.as_str(), view.slots, view.state), ("w1", 4, WorkerState::Running));
    assert_eq!(view.queues[&bench.queue], 1);
    run.shutdown.quiet.cancel();
    // The registry tells nobody when it changes.
    eventually("the worker is shown as quiet", LONG, async || {
        let listed = bench.broker.workers().await.unwrap();
        listed.iter().any(|view| view.state == WorkerState::Quiet).then_some(())
    })
    .await;
    run.drain().await;
    assert!(bench.broker.workers().await.unwrap().is_empty());
}

pub async fn bad_settings_are_refused(bench: Bench) {
    let refused = |config: WorkerConfig| {
        let run = start(config, std::sync::Arc::clone(&bench.connect), Registry::new());
        async { run.end().await.unwrap_err() }
    };
    let good = || bench.config("w1");
    let bad = [
        (WorkerConfig { queues: Vec::new(), ..good() }, "queues: is empty"),
        (WorkerConfig { queues: vec![(bench.queue.clone(), 0)], ..good() }, "weight 0"),
        (WorkerConfig { slots: 0, ..good() }, "slots: is 0"),
        (WorkerConfig { renew_every: Duration::from_secs(29), ..good() }, "renew_every"),
        (good().lease(Duration::from_millis(1)), "lease: is 1ms"),
        (WorkerConfig { max_jobs: Some(0), ..good() }, "max_jobs"),
    ];
    for (config, words) in bad {
        let error = refused(config).await;
        assert!(matches!(error, WorkerError::Invalid(_)));
        assert!(error.to_string().contains(words), "{error}");
    }
}
