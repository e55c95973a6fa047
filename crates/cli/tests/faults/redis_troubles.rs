//! A Redis that answers, but not what one wants: out of memory, a read-only replica, a wrong password. A worker
//! survives what comes while it runs, says it clearly once, and goes on when it is mended.

use std::time::Duration;

use lovage_testkit::{Process, RedisServer, eventually};
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

/// The promise: so long after it is mended, jobs are done again.
const RESUMES: Duration = Duration::from_secs(5);
const PASSWORD: &str = "open-sesame";

struct Trouble<'a> {
    /// Begins it.
    begin: &'a dyn Fn(&RedisServer),
    /// What the log has to say about it.
    words: &'a [&'a str],
    mend: &'a dyn Fn(&RedisServer),
}

/// A worker under load meets a trouble; answers the worker, for a closer look at what it said.
async fn survives(trouble: Trouble<'_>) -> Process {
    let stage = Stage::open().await;
    let mut worker = stage.start(stage.worker(4), "worker");
    let ids = stage.add_many(600, "debug.sleep", &json!({"ms": 10})).await;
    stage.until_counts("the worker works", |counts| counts.completed >= 20).await;
    (trouble.begin)(&stage.server);
    eventually(&format!("the log says {:?}", trouble.words), PATIENCE, async || {
        let log = worker.output();
        trouble.words.iter().all(|word| log.contains(word)).then_some(())
    })
    .await;
    assert!(worker.is_running(), "it survives: {}", worker.output());
    (trouble.mend)(&stage.server);
    let done = stage.counts().await.completed;
    eventually("jobs are done again", RESUMES, async || (stage.counts().await.completed > done).then_some(())).await;
    stage.until_counts("all are done", |counts| counts.completed == 600).await;
    for id in &ids {
        assert_eq!(stage.view(id).await.failed, 0);
    }
    let log = worker.output();
    let said = log.lines().filter(|line| line.contains("cannot claim jobs")).count();
    assert!((1..=3).contains(&said), "said once an outage, not once a try: {said} times in {log}");
    worker
}

/// Row 20: producers are refused, in clear words; workers go on, because each job that ends makes room.
#[tokio::test]
async fn row_20_out_of_memory_refuses_producers_and_not_workers() {
    let stage = Stage::open().await;
    stage.add_many(400, "debug.sleep", &json!({"ms": 10})).await;
    let mut worker = stage.start(stage.worker(4), "worker");
    stage.until_counts("the worker works", |counts| counts.completed >= 20).await;
    stage.server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = stage.broker.enqueue(vec![stage.job("debug.noop", &json!({}))]).await.expect_err("no room");
    assert!(refused.is_transient() && refused.to_string().contains("OOM"), "{refused}");
    stage.until_counts("all that was in is done", |counts| counts.completed == 400).await;
    stage.server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    stage.add_many(10, "debug.noop", &json!({})).await;
    stage.until_counts("new jobs are done", |counts| counts.completed == 410).await;
    assert!(worker.is_running(), "{}", worker.output());
}

/// Row 16: after a failover the old primary refuses writes.
#[tokio::test]
async fn row_16_a_read_only_replica_is_survived_and_said() {
    survives(Trouble {
        // Nobody is there to follow: it keeps its data and only refuses to be written.
        begin: &|redis| drop(redis.ask(&["REPLICAOF", "127.0.0.1", "1"])),
        words: &["cannot claim jobs", "read only replica"],
        mend: &|redis| drop(redis.ask(&["REPLICAOF", "NO", "ONE"])),
    })
    .await;
}

/// A worker that starts with a wrong password does not wait for a wonder.
#[tokio::test]
async fn a_wrong_password_at_the_start_is_an_error_that_says_so() {
    let stage = Stage::open().await;
    stage.server.ask(&["CONFIG", "SET", "requirepass", PASSWORD]);
    let mut command = stage.worker(1);
    command.env("REDIS_URL", stage.server.url().replace("redis://", "redis://:guessed@"));
    let mut worker = stage.start(command, "worker");
    let status = worker.ended(PATIENCE).await;
    let log = worker.output();
    assert!(!status.success(), "{log}");
    assert!(log.contains("check user") && log.contains("password"), "{log}");
    assert!(!log.contains("guessed"), "no password in the log: {log}");
}

#[tokio::test]
async fn row_18_a_changed_password_is_survived_and_said() {
    let worker = survives(Trouble {
        begin: &|redis| {
            redis.ask(&["CONFIG", "SET", "requirepass", PASSWORD]);
            redis.ask_with_password(PASSWORD, &["CLIENT", "KILL", "TYPE", "normal"]);
        },
        words: &["cannot claim jobs", "check user", "password"],
        mend: &|redis| drop(redis.ask_with_password(PASSWORD, &["CONFIG", "SET", "requirepass", ""])),
    })
    .await;
    assert!(!worker.output().contains(PASSWORD));
}
