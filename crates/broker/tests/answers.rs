//! Answers that get lost between Redis and the broker, and contents that somebody damaged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use lovage_broker::{Finish, HeldLease, LeaseStatus, Operator, Producer, Reader, RedisBroker, RedisConfig, WorkerSide};
use lovage_core::{DiscardReason, JobId, NewJob, Priority, QueueName, State, Transition, WorkerId};
use lovage_testkit::{Proxy, RedisServer, eventually};
use redis::aio::MultiplexedConnection;

const LEASE: Duration = Duration::from_secs(30);
/// Long enough to cut a connection between a script and its answer.
const SLOW: Duration = Duration::from_millis(600);

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn job(n: u64) -> NewJob {
    NewJob::new(queue(), "debug.noop".parse().unwrap(), &serde_json::json!({ "n": n })).unwrap()
}

async fn add(broker: &RedisBroker, jobs: Vec<NewJob>) -> Vec<JobId> {
    broker.enqueue(jobs).await.unwrap().into_iter().map(|outcome| outcome.id().unwrap().clone()).collect()
}

async fn plain(server: &RedisServer) -> MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A broker behind a proxy, and a connection past it.
async fn behind_proxy(server: &RedisServer) -> (RedisBroker, Proxy, MultiplexedConnection) {
    let proxy = Proxy::start(std::net::SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let url = format!("redis://{}/", proxy.address());
    let broker = RedisBroker::connect(RedisConfig { url, ..RedisConfig::default() }).await.unwrap();
    (broker, proxy, plain(server).await)
}

/// Cuts the connection as soon as the set has this many members: the script has run, its answer is still on its way.
async fn cut_when(proxy: &Proxy, direct: &MultiplexedConnection, set: &str, members: usize) {
    let full = async || {
        let mut direct = direct.clone();
        let count: usize =
            redis::cmd("ZCARD").arg(format!("lovage:{{exports}}:{set}")).query_async(&mut direct).await.ok()?;
        (count == members).then_some(())
    };
    eventually("the script has run", Duration::from_secs(10), full).await;
    proxy.cut();
    proxy.delay(Duration::ZERO);
}

/// Row 01: jobs whose claim was not answered are not nobody's until their leases run out.
#[tokio::test]
async fn row_01_a_claim_whose_answer_was_lost_is_answered_again() {
    let server = RedisServer::start();
    let (broker, proxy, direct) = behind_proxy(&server).await;
    let ids: BTreeSet<JobId> = add(&broker, (0..9).map(job).collect()).await.into_iter().collect();
    let before = broker.claim(&queue(), &worker(), 2, LEASE).await.unwrap().jobs;
    proxy.delay(SLOW);
    let (queue, worker) = (queue(), worker());
    let (lost, ()) = tokio::join!(broker.claim(&queue, &worker, 4, LEASE), cut_when(&proxy, &direct, "leases", 6));
    assert!(lost.unwrap_err().is_transient());
    let again = broker.claim(&queue, &worker, 4, LEASE).await.unwrap().jobs;
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|job| (job.attempt, job.lost) == (1, 0)), "the same attempts");
    let rest = broker.claim(&queue, &worker, 9, LEASE).await.unwrap().jobs;
    let seen: Vec<&JobId> = before.iter().chain(&again).chain(&rest).map(|job| &job.id).collect();
    assert_eq!((seen.len(), seen.into_iter().cloned().collect()), (9, ids), "each of them once");
    let all = before.iter().chain(&again).chain(&rest);
    let ends = all.map(|job| Finish {
        lease: HeldLease { id: job.id.clone(), token: job.token },
        transition: Transition::Complete { result: None },
    });
    let statuses = broker.finish(&queue, &worker, ends.collect()).await.unwrap();
    assert!(statuses.iter().all(|status| *status == LeaseStatus::Held));
}

/// A claim that is given up by its caller is answered again, too.
#[tokio::test]
async fn a_claim_that_nobody_waited_for_is_answered_again() {
    let server = RedisServer::start();
    let (broker, proxy, _) = behind_proxy(&server).await;
    add(&broker, (0..3).map(job).collect()).await;
    proxy.delay(SLOW);
    let impatient = tokio::time::timeout(SLOW / 4, broker.claim(&queue(), &worker(), 3, LEASE)).await;
    assert!(impatient.is_err());
    proxy.delay(Duration::ZERO);
    assert_eq!(broker.claim(&queue(), &worker(), 3, LEASE).await.unwrap().jobs.len(), 3);
}

/// Row 07: an end that was written is not told from one that is lost because its answer did not arrive.
#[tokio::test]
async fn row_07_an_end_whose_answer_was_lost_is_held() {
    let server = RedisServer::start();
    let (broker, proxy, direct) = behind_proxy(&server).await;
    add(&broker, (0..5).map(job).collect()).await;
    let jobs = broker.claim(&queue(), &worker(), 5, LEASE).await.unwrap().jobs;
    let retry = |n: usize| n == 4;
    let ends = jobs.iter().enumerate().map(|(n, job)| Finish {
        lease: HeldLease { id: job.id.clone(), token: job.token },
        transition: if retry(n) {
            Transition::Release { delay: LEASE, error: None }
        } else {
            Transition::Complete { result: None }
        },
    });
    let ends: Vec<_> = ends.collect();
    proxy.delay(SLOW);
    let (queue, worker) = (queue(), worker());
    let (statuses, ()) = tokio::join!(broker.finish(&queue, &worker, ends), cut_when(&proxy, &direct, "completed", 4));
    assert_eq!(statuses.unwrap(), [LeaseStatus::Held; 5]);
    let counts = broker.queue(&queue).await.unwrap().counts;
    assert_eq!((counts.completed, counts.scheduled, counts.running), (4, 1, 0), "written once");
}

/// Whatever of a job somebody damages in Redis, it is discarded as corrupt and stands in nobody's way.
#[tokio::test]
async fn damaged_jobs_hinder_no_other() {
    let server = RedisServer::start();
    let broker = RedisBroker::connect(RedisConfig { url: server.url(), ..RedisConfig::default() }).await.unwrap();
    let mut direct = plain(&server).await;
    let first = |n| NewJob { priority: Priority::try_from(1).unwrap(), ..job(n) };
    let alone = add(&broker, vec![job(9)]).await.remove(0);
    redis::cmd("HSET")
        .arg("lovage:{exports}:spec")
        .arg(alone.as_str())
        .arg("")
        .query_async::<()>(&mut direct)
        .await
        .unwrap();
    assert!(broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs.is_empty());
    assert_eq!(broker.queue(&queue()).await.unwrap().counts.discarded, 1);
    let ids = add(&broker, vec![job(0), first(1), first(2), job(3), first(4)]).await;
    let [short_spec, no_head, short_head, healthy, odd_state] = &ids[..] else { panic!() };
    let set = async |direct: &mut MultiplexedConnection, hash: &str, id: &JobId, value: &str| {
        let key = format!("lovage:{{exports}}:{hash}");
        redis::cmd("HSET").arg(key).arg(id.as_str()).arg(value).query_async::<()>(direct).await.unwrap();
    };
    set(&mut direct, "spec", short_spec, "oops").await;
    set(&mut direct, "spec", no_head, "x").await;
    set(&mut direct, "head", short_head, "a").await;
    set(&mut direct, "head", odd_state, &format!("?{}", "\u{1}".repeat(80))).await;
    let looked = broker.jobs(&queue(), &ids).await.unwrap();
    let looked: Vec<_> = looked.iter().map(|job| &job.id).collect();
    assert_eq!(looked, [short_spec, no_head, healthy], "those whose head cannot be read are passed over");
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs);
    }
    assert!(claimed.iter().any(|job| job.id == *healthy), "the healthy one runs");
    for (what, id) in
        [("spec of a fresh job", short_spec), ("spec", no_head), ("short head", short_head), ("odd state", odd_state)]
    {
        let view = broker.job(Some(&queue()), id).await.unwrap().expect(what);
        assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Corrupt)), "{what}");
    }
    // A running job whose head is lost: its lease runs out and it is given up.
    set(&mut direct, "head", healthy, "r").await;
    redis::cmd("ZADD")
        .arg("lovage:{exports}:leases")
        .arg(1)
        .arg(healthy.as_str())
        .query_async::<()>(&mut direct)
        .await
        .unwrap();
    broker.sweep(&queue()).await.unwrap();
    let view = broker.job(Some(&queue()), healthy).await.unwrap().unwrap();
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Corrupt)));
    broker.delete(&queue(), healthy).await.unwrap();
    assert!(broker.job(Some(&queue()), healthy).await.unwrap().is_none());
}
