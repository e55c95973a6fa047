//! A primary that sentinels replace.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovage_broker::{BrokerError, EnqueueOutcome, Producer, Reader, RedisConfig, Wake, WorkerSide};
use lovage_testkit::{RedisSentinels, RedisServer, Reply, eventually};

use crate::{LEASE, PATIENCE, connect, connect_with, enqueue_for_sure, job, queue, refused, transient, work, worker};

/// Row 16: the primary dies in the middle of a burst. A producer that waits for the replica, and sends again what was
/// not confirmed, loses nothing and has nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_16_no_confirmed_job_is_lost_when_the_primary_dies() {
    let mut sentinels = RedisSentinels::start(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    let config = RedisConfig { url: sentinels.url(), wait_replicas: 1, ..RedisConfig::default() };
    let broker = Arc::new(connect_with(config).await);
    let done = Arc::new(AtomicBool::new(false));
    let (half, mut is_half) = tokio::sync::watch::channel(0);
    let producing = tokio::spawn({
        let (broker, done) = (Arc::clone(&broker), Arc::clone(&done));
        async move {
            let mut ids = BTreeSet::new();
            let mut batch = 0;
            while !done.load(Ordering::SeqCst) {
                let jobs: Vec<_> = (0..5).map(|n| job(&queue(), &format!("job-{batch}-{n}"))).collect();
                match transient(broker.enqueue(jobs.clone()).await) {
                    Some(outcomes) => ids.extend(outcomes.iter().map(|outcome| outcome.id().unwrap().clone())),
                    // The only server that is left has no replica: as an operator would, be content with it.
                    None if done.load(Ordering::SeqCst) => break,
                    None => tokio::task::yield_now().await,
                }
                batch += 1;
                half.send_replace(ids.len());
            }
            ids
        }
    });
    is_half.wait_for(|ids| *ids >= 500).await.unwrap();
    let before = sentinels.primary_port();
    sentinels.servers[0].kill9();
    sentinels.until_failed_over(before).await;
    done.store(true, Ordering::SeqCst);
    let confirmed = producing.await.unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let after = Arc::new(connect(&sentinels.url()).await);
    // What was confirmed is there, also if it is sent once more.
    let again = confirmed.iter().take(3).map(|id| job(&queue(), id.as_str())).collect();
    let again = enqueue_for_sure(&after, again).await;
    assert!(again.iter().all(|outcome| matches!(outcome, EnqueueOutcome::Existing(_))), "{again:?}");
    let (ended, twice) = work(after, stop).await;
    assert_eq!(twice, 0);
    let lost: Vec<_> = confirmed.difference(&ended).collect();
    assert!(lost.is_empty(), "{} of {} confirmed jobs are gone: {lost:?}", lost.len(), confirmed.len());
}

/// Row 16: a producer and a worker that just go on find the new primary by themselves, within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn row_16_work_goes_on_at_the_new_primary() {
    let mut sentinels = RedisSentinels::start(&[]).await;
    let broker = Arc::new(connect(&sentinels.url()).await);
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn(work(Arc::clone(&broker), Arc::clone(&stop)));
    enqueue_for_sure(&broker, (0..100).map(|n| job(&queue(), &format!("before-{n}"))).collect()).await;
    sentinels.servers[0].kill9();
    let outcomes = enqueue_for_sure(&broker, (0..100).map(|n| job(&queue(), &format!("after-{n}"))).collect()).await;
    assert_eq!(outcomes.len(), 100);
    stop.store(true, Ordering::SeqCst);
    let (ended, _) = working.await.unwrap();
    assert!((0..100).all(|n| ended.contains(&format!("after-{n}").parse().unwrap())));
    assert_eq!(sentinels.primary_port(), sentinels.servers[1].port());
}

/// Row 16: a primary that was replaced while it runs is left within about a second, though it still takes writes: by
/// small calls, by large ones, and by waits.
#[tokio::test]
async fn row_16_a_replaced_primary_is_left() {
    let sentinels = RedisSentinels::start(&[]).await;
    let (small, large) = (connect(&sentinels.url()).await, connect(&sentinels.url()).await);
    small.enqueue(vec![job(&queue(), "1")]).await.unwrap();
    large.enqueue(vec![job(&queue(), "2")]).await.unwrap();
    assert_eq!(small.wait(&[queue()], &worker("w1"), LEASE).await.unwrap(), Wake::Queue(queue()));
    sentinels.fail_over().await;
    let new = &sentinels.servers[1];
    let mut sent = 0;
    for (broker, count) in [(&small, 1), (&large, 2_500)] {
        let limit = Duration::from_secs(5);
        let tries = std::cell::Cell::new(sent);
        eventually("the jobs are at the new primary", limit, async || {
            tries.set(tries.get() + 1);
            let ids = (0..count).map(|n| format!("try-{}-{n}", tries.get()));
            transient(broker.enqueue(ids.map(|id| job(&queue(), &id)).collect()).await)?;
            let last = format!("try-{}-{}", tries.get(), count - 1);
            (new.command(&["HEXISTS", "lovage:{exports}:spec", &last]) == Reply::Number(1)).then_some(())
        })
        .await;
        sent = tries.get();
    }
    let woken = eventually("the wait is at the new primary", PATIENCE, async || {
        transient(small.wait(&[queue()], &worker("w1"), Duration::from_secs(1)).await)
            .filter(|wake| *wake != Wake::Timeout)
    });
    assert_eq!(woken.await, Wake::Queue(queue()));
    assert!(small.diagnose().await.unwrap()[0].1.ends_with(&new.port().to_string()));
}

/// Row 16: who waits for a replica loses nothing even to a primary that is replaced while it runs.
#[tokio::test]
async fn row_16_a_replaced_primary_confirms_nothing() {
    let sentinels = RedisSentinels::start(&[]).await;
    let config = RedisConfig { url: sentinels.url(), wait_replicas: 1, ..RedisConfig::default() };
    let broker = connect_with(config).await;
    broker.enqueue(vec![job(&queue(), "before")]).await.unwrap();
    sentinels.fail_over().await;
    for n in 0..10 {
        enqueue_for_sure(&broker, vec![job(&queue(), &format!("after-{n}"))]).await;
    }
    let new = &sentinels.servers[1];
    assert_eq!(new.command(&["HLEN", "lovage:{exports}:spec"]), Reply::Number(11));
}

/// A primary without the replicas that are wanted confirms nothing: the error says so, and nothing is there twice when
/// the caller sends the same ids again.
#[tokio::test]
async fn row_16_an_unconfirmed_enqueue_is_an_error_that_may_be_repeated() {
    let server = RedisServer::start();
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", server.port())]);
    let config = RedisConfig { url: server.url(), wait_replicas: 1, ..RedisConfig::default() };
    let broker = connect_with(config).await;
    enqueue_for_sure(&broker, vec![job(&queue(), "first")]).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let refused = broker.enqueue(vec![job(&queue(), "second")]).await.unwrap_err();
    assert!(matches!(&refused, BrokerError::Unavailable(text) if text.contains("0 of 1 replicas")), "{refused}");
    let port = server.port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    let again = enqueue_for_sure(&broker, vec![job(&queue(), "second")]).await;
    assert_eq!(again, [EnqueueOutcome::Existing("second".parse().unwrap())]);
    assert_eq!(replica.command(&["HLEN", "lovage:{exports}:spec"]), Reply::Number(2));
}

/// A name that no sentinel knows, and sentinels that are not there.
#[tokio::test]
async fn what_is_wrong_with_sentinels_is_told() {
    let sentinels = RedisSentinels::start(&[]).await;
    let at = |url: String| RedisConfig { url, ..RedisConfig::default() };
    let unknown = refused(at(sentinels.url().replace("/jobs", "/jbos"))).await;
    assert!(matches!(&unknown, BrokerError::Misconfigured(text) if text.contains("jbos")), "{unknown}");
    let no_sentinel = refused(at(format!("redis+sentinel://127.0.0.1:{}/jobs", sentinels.servers[0].port()))).await;
    assert!(!no_sentinel.to_string().is_empty());
    let one_is_enough = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/jobs/2", sentinels.sentinels[0].port());
    connect(&one_is_enough).await.enqueue(vec![job(&queue(), "1")]).await.unwrap();
    assert!(sentinels.servers[0].command(&["INFO", "keyspace"]).text().contains("db2:"));
    let nobody = refused(at("redis+sentinel://127.0.0.1:1,127.0.0.1:2/jobs".into())).await;
    assert!(nobody.is_transient() && nobody.to_string().contains("127.0.0.1:1"), "{nobody}");
}
