//! What the network and a crash of Redis do to workers (rows 16 and 18): nothing is lost, and work goes on within five
//! seconds of the end of the trouble.

use std::time::Duration;

use lovage_core::{JobId, State};
use lovage_testkit::{Process, Proxy, RedisServer, eventually};
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

/// The promise: so long after the trouble is over, jobs are done again.
const RESUMES: Duration = Duration::from_secs(5);

/// How long nothing gets through; the other worker has a job of this length.
const BLACKHOLE: Duration = Duration::from_secs(30);

/// Jobs of a few milliseconds, enough that no test here runs out of them while a fault lasts.
async fn load(stage: &Stage, jobs: usize) -> Vec<JobId> {
    let mut ids = stage.add_many(jobs, "debug.sleep", &json!({"ms": 10})).await;
    ids.extend(stage.add_many(2, "debug.sleep", &json!({"ms": 3_000})).await);
    ids
}

/// Jobs are done again in time.
async fn resumes(stage: &Stage, after: &str) {
    let done = stage.counts().await.completed;
    eventually(&format!("jobs are done again after {after}"), RESUMES, async || {
        (stage.counts().await.completed > done).then_some(())
    })
    .await;
}

/// A job that is handed in now is done in time.
async fn serves(stage: &Stage, after: &str) {
    let id = stage.add(stage.job("debug.noop", &json!({}))).await;
    eventually(&format!("a new job is done after {after}"), RESUMES, async || {
        (stage.view(&id).await.state == State::Completed).then_some(())
    })
    .await;
}

async fn all_done(stage: &Stage, ids: &[JobId]) {
    stage.until_counts("all are done", |counts| counts.unfinished() == 0).await;
    for id in ids {
        let view = stage.view(id).await;
        assert_eq!((view.state, view.failed), (State::Completed, 0), "{:?}", view.errors);
    }
}

async fn busy(stage: &Stage, worker: &Process) {
    let done = stage.counts().await.completed;
    eventually(&format!("the worker works; {}", worker.output()), PATIENCE, async || {
        (stage.counts().await.completed >= done + 20).then_some(())
    })
    .await;
}

/// Row 16: the server is killed and started again in the middle of the work, three times; what it had answered is in its
/// append-only file.
#[tokio::test]
async fn row_16_a_crash_of_redis_loses_nothing_that_was_answered() {
    let mut stage = Stage::with(RedisServer::start_with(&["--appendonly", "yes"])).await;
    let worker = stage.start(stage.worker(4), "worker");
    let mut ids = Vec::new();
    for round in 1..=3 {
        ids.extend(load(&stage, 700).await);
        busy(&stage, &worker).await;
        stage.server.kill9();
        stage.server.restart();
        resumes(&stage, &format!("crash {round}")).await;
    }
    all_done(&stage, &ids).await;
}

/// Row 18: connections are reset, again and again. What runs meanwhile goes on.
#[tokio::test]
async fn row_18_resets_lose_no_job() {
    let stage = Stage::open().await;
    let proxy = Proxy::start(stage.server.address()).await;
    let worker = stage.start(stage.worker_behind(&proxy, 4), "worker");
    let ids = load(&stage, 1_000).await;
    for round in 1..=5 {
        busy(&stage, &worker).await;
        proxy.cut();
        resumes(&stage, &format!("reset {round}")).await;
    }
    all_done(&stage, &ids).await;
    let mut lost = 0;
    for id in &ids {
        let view = stage.view(id).await;
        assert_eq!(view.attempt, view.lost + 1, "a run was only repeated when its lease was lost");
        lost += view.lost;
    }
    // A claim whose answer is cut off leaves jobs with a worker that does not know: those wait for the end of a lease.
    assert!(lost <= 5 * 4, "no more than what five resets can cut off: {lost}");
    // An idle worker has a connection that waits; that one is cut, too.
    proxy.cut();
    serves(&stage, "a reset while it was idle").await;
}

/// Row 18: the other side is gone without a word, and a new connection would work.
#[tokio::test]
async fn row_18_half_open_connections_are_given_up() {
    let stage = Stage::open().await;
    let proxy = Proxy::start(stage.server.address()).await;
    let worker = stage.start(stage.worker_behind(&proxy, 4), "worker");
    let ids = load(&stage, 800).await;
    busy(&stage, &worker).await;
    proxy.half_open();
    proxy.heal();
    resumes(&stage, "half-open connections").await;
    all_done(&stage, &ids).await;
    proxy.half_open();
    proxy.heal();
    serves(&stage, "half-open connections while it was idle").await;
}

/// Row 18: nothing gets through for half a minute, longer than any time limit of the worker, its leases included. Another worker takes
/// over what this one had; when the way is free again, the first one works and has done nothing twice.
#[tokio::test]
async fn row_18_work_goes_on_after_a_blackhole() {
    let stage = Stage::open().await;
    let proxy = Proxy::start(stage.server.address()).await;
    let worker = stage.start(stage.worker_behind(&proxy, 4), "worker");
    let mut ids = load(&stage, 600).await;
    busy(&stage, &worker).await;
    proxy.blackhole();
    // Calls are given up after 3 s, leases after 2 s, waits after 7 s.
    let other = stage.start(stage.worker(1), "other");
    let id = stage.add(stage.job("debug.sleep", &json!({"ms": BLACKHOLE.as_millis()}))).await;
    stage.until_state(&id, State::Completed).await;
    drop(other);
    ids.extend(load(&stage, 300).await);
    proxy.heal();
    resumes(&stage, "the blackhole").await;
    all_done(&stage, &ids).await;
    assert!(worker.output().contains("cannot "), "the outage is in the log: {}", worker.output());
}

/// Row 18: nobody listens for a while, as when a server is moved.
#[tokio::test]
async fn row_18_work_goes_on_when_connections_were_refused() {
    let stage = Stage::open().await;
    let proxy = Proxy::start(stage.server.address()).await;
    let worker = stage.start(stage.worker_behind(&proxy, 4), "worker");
    let ids = load(&stage, 400).await;
    busy(&stage, &worker).await;
    proxy.refuse();
    proxy.cut();
    eventually("the worker says that it cannot claim", PATIENCE, async || {
        worker.output().contains("cannot claim jobs").then_some(())
    })
    .await;
    proxy.heal();
    resumes(&stage, "the refusal").await;
    all_done(&stage, &ids).await;
}
