//! Faults that strike whole processes from outside.

use std::time::Duration;

use lovage_core::{DiscardReason, ErrorClass, State};
use lovage_testkit::{Signal, eventually, skewed};
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

/// Row 01: workers are killed under load; every job that was enqueued ends, none twice at a time, none lost.
#[tokio::test]
async fn row_01_kill_9_under_load_loses_nothing() {
    let stage = Stage::open().await;
    let ids = stage.add_many(600, "debug.sleep", &json!({"ms": 5})).await;
    for round in 1..=2 {
        let mut worker = stage.start(stage.worker(8), "killed");
        let done = 100 * round;
        stage.until_counts("some are done", |counts| counts.completed >= done).await;
        worker.signal(Signal::Kill);
        worker.ended(PATIENCE).await;
        assert_eq!(stage.counts().await.unfinished() + stage.counts().await.completed, 600, "none is lost");
    }
    let _worker = stage.start(stage.worker(8), "last");
    stage.until_counts("all are done", |counts| counts.completed == 600).await;
    for id in &ids {
        let view = stage.view(id).await;
        assert_eq!((view.state, view.failed), (State::Completed, 0));
        assert_eq!(view.attempt, view.lost + 1, "a run was only repeated when its worker was lost");
    }
}

/// Rows 05 and 07: a worker is frozen past its lease, another one takes the job over, the first one wakes up and
/// finds every write refused.
#[tokio::test]
async fn row_05_a_worker_that_wakes_up_too_late_writes_nothing() {
    let stage = Stage::open().await;
    let frozen = stage.start(stage.worker(1), "frozen");
    let id = stage.add(stage.job("debug.progress", &json!({"steps": 20, "ms": 100}))).await;
    let view = stage.until(&id, "reports progress", |view| view.progress.is_some()).await;
    frozen.signal(Signal::Stop);
    let mut second = stage.start(stage.worker(1), "second");
    let taken = stage.until(&id, "runs again", |view| view.attempt == 2).await;
    assert_ne!(taken.worker, view.worker);
    assert_eq!((taken.lost, taken.failed), (1, 0));
    frozen.signal(Signal::Cont);
    let done = stage.until_state(&id, State::Completed).await;
    assert_eq!((done.attempt, &done.worker), (2, &taken.worker), "the second run's end is the one that counts");
    eventually("the first worker notices that its lease is lost", PATIENCE, async || {
        frozen.output().contains("lease").then_some(())
    })
    .await;

    // The first worker is healthy again: it does the next job.
    second.signal(Signal::Term);
    assert!(second.ended(PATIENCE).await.success());
    let next = stage.add(stage.job("debug.noop", &json!({}))).await;
    let next = stage.until_state(&next, State::Completed).await;
    assert_eq!(next.worker, view.worker);
    assert_eq!(stage.view(&id).await.attempt, 2);
}

/// Row 08: a job that kills its process is given up after three workers; the jobs beside it are unharmed.
#[tokio::test]
async fn row_08_a_poison_job_is_given_up_after_three_workers() {
    let stage = Stage::open().await;
    let poison = stage.add(stage.job("debug.abort", &json!({}))).await;
    stage.add_many(20, "debug.noop", &json!({})).await;
    for lost in 1..=3 {
        let mut worker = stage.start(stage.worker(1), "poisoned");
        let status = worker.ended(PATIENCE).await;
        assert!(!status.success(), "the job took the process with it (loss {lost})");
    }
    let _worker = stage.start(stage.worker(1), "healthy");
    let view = stage.until_state(&poison, State::Discarded).await;
    assert_eq!((view.reason, view.lost), (Some(DiscardReason::WorkerLost), 3));
    assert!(view.errors.iter().all(|error| error.class == ErrorClass::WorkerLost));
    stage.until_counts("the others are done", |counts| counts.completed == 20).await;
}

/// Rows 04 and 09: workers whose clocks are ten minutes off in either direction neither start a job early, nor take a
/// long one for lost, nor run one twice.
#[tokio::test]
async fn row_09_workers_with_wrong_clocks_agree() {
    let stage = Stage::open().await;
    let _ahead = stage.start(skewed(stage.worker(4), "+600s"), "ahead");
    let _behind = stage.start(skewed(stage.worker(4), "-600s"), "behind");
    let long = stage.add(stage.job("debug.sleep", &json!({"ms": 6_000}))).await;
    let mut delayed = Vec::new();
    for delay_ms in [500, 1_000, 1_500, 2_000] {
        let mut job = stage.job("debug.noop", &json!({}));
        job.delay_ms = Some(delay_ms);
        delayed.push((stage.add(job).await, delay_ms));
    }
    let short = stage.add_many(50, "debug.sleep", &json!({"ms": 20})).await;
    stage.until_counts("all are done", |counts| counts.completed == 55).await;
    for (id, delay_ms) in &delayed {
        let view = stage.view(id).await;
        let waited = view.started_at.expect("it ran").since(view.enqueued_at);
        assert!(waited >= Duration::from_millis(*delay_ms), "never early: {waited:?} of {delay_ms} ms");
    }
    let long = stage.view(&long).await;
    assert_eq!((long.attempt, long.lost), (1, 0), "three leases long, and one start");
    for id in &short {
        assert_eq!(stage.view(id).await.attempt, 1);
    }
}

/// Row 25: workers are told to stop under load, again and again. Short jobs are waited for, long ones handed back; no
/// attempt is spent and no worker counts as lost.
#[tokio::test]
async fn row_25_stopping_under_load_spends_no_attempt() {
    let stage = Stage::open().await;
    let short = stage.add_many(300, "debug.sleep", &json!({"ms": 20})).await;
    let long = stage.add_many(4, "debug.sleep", &json!({"ms": 2_500})).await;
    let mut done = 0;
    for _ in 0..4 {
        let mut command = stage.worker(8);
        command.env("LOVAGE_SHUTDOWN_TIMEOUT_SECONDS", "1");
        let mut worker = stage.start(command, "stopped");
        done = stage.until_counts("more are done", |counts| counts.completed >= done + 40).await.completed;
        worker.signal(Signal::Term);
        let status = worker.ended(PATIENCE).await;
        assert!(status.success(), "a clean stop exits 0: {status}; {}", worker.output());
        assert_eq!(stage.counts().await.running, 0, "everything was finished or handed back");
    }
    let _last = stage.start(stage.worker(8), "last");
    stage.until_counts("all are done", |counts| counts.completed == 304).await;
    for id in short.iter().chain(&long) {
        let view = stage.view(id).await;
        assert_eq!((view.state, view.failed, view.lost), (State::Completed, 0, 0));
    }
}

/// A second signal does not wait: the process is gone at once, and its jobs are handed back.
#[tokio::test]
async fn row_25_a_second_signal_stops_at_once() {
    let stage = Stage::open().await;
    let mut worker = stage.start(stage.worker(1), "stopped");
    let id = stage.add(stage.job("debug.sleep", &json!({"ms": 600_000}))).await;
    stage.until_state(&id, State::Running).await;
    worker.signal(Signal::Term);
    eventually("the first signal is logged", PATIENCE, async || worker.output().contains("drain").then_some(())).await;
    worker.signal(Signal::Term);
    worker.ended(Duration::from_secs(10)).await;
    let view = stage.until_state(&id, State::Available).await;
    assert_eq!((view.failed, view.lost), (0, 0));
}
