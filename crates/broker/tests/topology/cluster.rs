//! A cluster whose slots move and whose servers die.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovage_broker::{Producer, Reader, RedisConfig, Wake, WorkerSide};
use lovage_core::{JobId, QueueName};
use lovage_testkit::{RedisCluster, RedisServer, eventually};

use crate::{LEASE, PATIENCE, connect, connect_with, enqueue_for_sure, job, queue, refused, transient, work, worker};

/// A queue on each of the three servers.
fn spread(cluster: &RedisCluster) -> Vec<QueueName> {
    let on = |index: usize| {
        let name = (0..1_000)
            .map(|n| format!("q{n}"))
            .find(|name| RedisCluster::first_owner(cluster.slot(&format!("lovage:{{{name}}}:wake"))) == index);
        name.unwrap().parse().unwrap()
    };
    (0..3).map(on).collect()
}

/// Row 15: a worker waits for queues of several servers at once, and is woken by each.
#[tokio::test]
async fn row_15_a_wait_covers_queues_of_all_servers() {
    let cluster = RedisCluster::start().await;
    let queues = spread(&cluster);
    let (waiting, other) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    let w1 = worker("w1");
    for (n, queue) in queues.iter().cycle().take(9).enumerate() {
        let (woken, _) =
            tokio::join!(waiting.wait(&queues, &w1, LEASE), other.enqueue(vec![job(queue, &format!("job-{n}"))]));
        assert_eq!(woken.unwrap(), Wake::Queue(queue.clone()));
        assert_eq!(waiting.claim(queue, &worker("w1"), 9, LEASE).await.unwrap().jobs.len(), 1);
    }
}

/// Row 15: while the worker that was woken is busy, its other ears keep no wake-up from the idle ones.
#[tokio::test]
async fn row_15_a_busy_worker_keeps_no_wake_up_to_itself() {
    let cluster = RedisCluster::start().await;
    let queues = spread(&cluster);
    let broker = connect(&cluster.url()).await;
    let busy = worker("busy");
    let (woken, _) = tokio::join!(broker.wait(&queues, &busy, LEASE), broker.enqueue(vec![job(&queues[0], "first")]));
    assert_eq!(woken.unwrap(), Wake::Queue(queues[0].clone()));
    // It waits no more, but still listens to the two other queues when their jobs come.
    for (n, queue) in queues[1..].iter().enumerate() {
        broker.enqueue(vec![job(queue, &format!("job-{n}"))]).await.unwrap();
        let idle = worker("idle");
        assert_eq!(broker.wait(&queues[1..], &idle, LEASE).await.unwrap(), Wake::Queue(queue.clone()));
    }
}

/// Row 15: a queue moves to another server while jobs go in and out; none is lost, none runs twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_15_a_queue_moves_while_jobs_run() {
    let cluster = Arc::new(RedisCluster::start().await);
    let broker = Arc::new(connect(&cluster.url()).await);
    let slot = cluster.slot("lovage:{exports}:wake");
    let from = RedisCluster::first_owner(slot);
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn(work(Arc::new(connect(&cluster.url()).await), Arc::clone(&stop)));
    let producing = tokio::spawn({
        let (broker, stop) = (Arc::clone(&broker), Arc::clone(&stop));
        async move {
            let mut ids = BTreeSet::new();
            while !stop.load(Ordering::SeqCst) {
                let jobs: Vec<_> = (0..10).map(|n| job(&queue(), &format!("job-{}", ids.len() + n))).collect();
                ids.extend(enqueue_for_sure(&broker, jobs).await.iter().map(|outcome| outcome.id().unwrap().clone()));
            }
            ids
        }
    });
    let completed = async |least: u64| {
        eventually("work goes on", PATIENCE, async || {
            transient(broker.queue(&queue()).await).filter(|view| view.counts.completed >= least)
        })
        .await
        .counts
        .completed
    };
    let mut done = completed(50).await;
    let mut at = from;
    for _ in 0..3 {
        let to = (at + 1) % 3;
        let cluster = Arc::clone(&cluster);
        let moving = move || {
            cluster.begin_move(slot, at, to);
            // Key by key, so that calls meet the queue when it is half here and half there.
            while cluster.move_keys(slot, at, to, 1) > 0 {}
            cluster.end_move(slot, at, to);
        };
        tokio::task::spawn_blocking(moving).await.unwrap();
        at = to;
        done = completed(done + 50).await;
    }
    stop.store(true, Ordering::SeqCst);
    let enqueued = producing.await.unwrap();
    let (ended, twice) = working.await.unwrap();
    assert_eq!(twice, 0, "nothing ran twice");
    assert!(ended == enqueued, "{} of {} jobs ended", ended.len(), enqueued.len());
}

/// Row 15: what was learnt of the cluster is out of date, for a large batch, a small one, and a wait.
#[tokio::test]
async fn row_15_every_sort_of_call_follows_a_moved_queue() {
    let cluster = RedisCluster::start().await;
    let (broker, other) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    let slot = cluster.slot("lovage:{exports}:wake");
    let from = RedisCluster::first_owner(slot);
    let many = |from: usize, count: usize| (from..from + count).map(|n| job(&queue(), &format!("job-{n}"))).collect();
    broker.enqueue(many(0, 1)).await.unwrap();
    other.enqueue(many(1, 1)).await.unwrap();
    cluster.begin_move(slot, from, (from + 1) % 3);
    while cluster.move_keys(slot, from, (from + 1) % 3, 100) > 0 {}
    cluster.end_move(slot, from, (from + 1) % 3);
    assert_eq!(broker.enqueue(many(2, 2_500)).await.unwrap().len(), 2_500, "a transaction");
    assert_eq!(other.wait(&[queue()], &worker("w1"), LEASE).await.unwrap(), Wake::Queue(queue()), "a wait");
    assert_eq!(other.claim(&queue(), &worker("w1"), 10, LEASE).await.unwrap().jobs.len(), 10, "a script");
    assert!(other.job(None, &"job-2000".parse::<JobId>().unwrap()).await.unwrap().is_some(), "a plain command");

    // While the slot is under way, a wait goes on and a command of one key is sent after the key.
    let (at, to) = ((from + 1) % 3, (from + 2) % 3);
    cluster.begin_move(slot, at, to);
    while cluster.move_keys(slot, at, to, 100) > 0 {}
    assert!(other.job(None, &"job-2000".parse::<JobId>().unwrap()).await.is_err_and(|error| error.is_transient()));
    let woken = other.wait(&[queue()], &worker("w1"), Duration::from_millis(300)).await.unwrap();
    assert_eq!(woken, Wake::Timeout);
    cluster.end_move(slot, at, to);
    assert!(other.job(None, &"job-2000".parse::<JobId>().unwrap()).await.unwrap().is_some());
}

/// Row 16: a server of the cluster dies and its replica takes over. What was confirmed by the replica is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_16_a_replica_takes_over_in_a_cluster() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let config = RedisConfig { url: cluster.url(), wait_replicas: 1, ..RedisConfig::default() };
    let broker = connect_with(config).await;
    let owner = RedisCluster::first_owner(cluster.slot("lovage:{exports}:wake"));
    let mut confirmed = BTreeSet::new();
    for n in 0..20 {
        let jobs = (0..10).map(|k| job(&queue(), &format!("job-{n}-{k}"))).collect();
        confirmed.extend(broker.enqueue(jobs).await.unwrap().iter().map(|outcome| outcome.id().unwrap().clone()));
    }
    let waiting = broker.wait(&[queue()], &worker("w2"), Duration::from_millis(1)).await;
    waiting.unwrap();
    cluster.servers[owner].kill9();
    let gone = broker.enqueue(vec![job(&queue(), "late")]).await;
    assert!(gone.is_err_and(|error| error.is_transient()));
    let replica = &cluster.servers[owner + 3];
    eventually("the replica has taken over", PATIENCE, async || {
        replica.command(&["INFO", "replication"]).text().contains("role:master").then_some(())
    })
    .await;
    cluster.settled().await;
    // The server that took over has no replica any more, so nothing is confirmed; the worker's side goes on.
    let stop = Arc::new(AtomicBool::new(true));
    let (ended, twice) = work(Arc::new(connect(&cluster.url()).await), stop).await;
    assert_eq!(twice, 0);
    assert!(ended.is_superset(&confirmed), "{} of {} confirmed jobs", ended.len(), confirmed.len());
    let view =
        eventually("the old connection finds its way too", PATIENCE, async || transient(broker.queue(&queue()).await));
    assert!(view.await.counts.completed >= 200);
}

/// The address says what it is, and the errors say so too.
#[tokio::test]
async fn a_wrong_form_of_address_is_told() {
    let server = RedisServer::start();
    let at = |url: String| RedisConfig { url, ..RedisConfig::default() };
    let no_cluster = refused(at(format!("redis+cluster://127.0.0.1:{}", server.port()))).await.to_string();
    assert!(no_cluster.contains("leave +cluster out"), "{no_cluster}");
    for (url, told) in [
        ("redis+cluster://127.0.0.1:1/3", "only database 0"),
        ("redis+cluster://127.0.0.1:1,,127.0.0.1:2", "one of its hosts is empty"),
        ("redis+sentinel://127.0.0.1:1", "/name"),
        ("redis+sentinel://127.0.0.1:1/jobs?password=x", "sentinel_password"),
        ("redis+ring://127.0.0.1:1", "neither `+sentinel` nor `+cluster`"),
        ("http://127.0.0.1:1", "neither redis nor rediss"),
        ("127.0.0.1:1", "://"),
    ] {
        let error = refused(at(url.into())).await.to_string();
        assert!(error.contains(told) && error.contains("redis+sentinel://["), "{url}: {error}");
    }
    let braces = RedisConfig { prefix: "a{b}:".into(), ..at(server.url()) };
    assert!(refused(braces).await.to_string().contains("brace"));
}

/// A cluster that is not there is named, after a bounded time.
#[tokio::test(start_paused = true)]
async fn a_missing_cluster_is_named() {
    let config = RedisConfig { url: "redis+cluster://127.0.0.1:1,127.0.0.1:2".into(), ..RedisConfig::default() };
    let nobody = refused(config).await;
    assert!(nobody.is_transient() && nobody.to_string().contains("127.0.0.1:2"), "{nobody}");
}

/// The doctor looks at each server.
#[tokio::test]
async fn the_doctor_sees_the_whole_cluster() {
    let cluster = RedisCluster::start().await;
    let broker = connect(&cluster.url()).await;
    let findings = broker.diagnose().await.unwrap();
    assert_eq!(findings[0], ("redis cluster".into(), "3 primaries, all slots served".into(), true));
    for server in &cluster.servers {
        let address = format!("127.0.0.1:{}", server.port());
        assert!(findings.iter().any(|(name, text, _)| name == "redis" && text.ends_with(&address)), "{findings:?}");
    }
    cluster.servers[1].command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    cluster.servers[1].command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let evicting = refused(RedisConfig { url: cluster.url(), ..RedisConfig::default() }).await.to_string();
    assert!(
        evicting.contains("allkeys-lru") && evicting.contains(&cluster.servers[1].port().to_string()),
        "{evicting}"
    );
}
