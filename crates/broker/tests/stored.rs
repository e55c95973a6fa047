//! Row 26: what is stored in Redis, and releases beside each other. `golden/redis-v1.txt` is a whole queue as version 1
//! stores it, a command a line: words as JSON texts, each character a byte. It is never edited.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    BrokerError, ClaimedJob, Edit, Finish, HeldLease, LeaseStatus, Operator as _, Producer as _, Reader as _,
    RedisBroker, RedisConfig, WorkerSide as _,
};
use lovage_core::{
    AttemptError, Clock, DiscardReason, ErrorClass, JobId, ManualClock, NewJob, Priority, QueueName, State, Timestamp,
    Transition, Unique, WorkerId,
};
use lovage_testkit::RedisServer;

const LEASE: Duration = Duration::from_secs(30);
const START: u64 = 1_772_323_200_000;

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn job(text: &str) -> NewJob {
    let job = NewJob::new(queue(), "debug.noop".parse().unwrap(), &serde_json::json!({ "n": 1 })).unwrap();
    NewJob { id: Some(id(text)), ..job }
}

async fn with_clock(server: &RedisServer) -> (RedisBroker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let virtual_clock = Some(clock.clone() as Arc<dyn Clock>);
    let config = RedisConfig { url: server.url(), virtual_clock, ..RedisConfig::default() };
    (RedisBroker::connect(config).await.unwrap(), clock)
}

async fn raw(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn claim(broker: &RedisBroker, max: usize) -> Vec<ClaimedJob> {
    broker.claim(&queue(), &worker(), max, LEASE).await.unwrap().jobs
}

async fn end(broker: &RedisBroker, job: &ClaimedJob, transition: Transition) -> LeaseStatus {
    let items = vec![Finish { lease: HeldLease { id: job.id.clone(), token: job.token }, transition }];
    broker.finish(&queue(), &worker(), items).await.unwrap()[0]
}

fn no() -> AttemptError {
    AttemptError::new(ErrorClass::Failed, "no")
}

/// Runs the golden file's commands.
async fn load(server: &RedisServer) {
    let mut raw = raw(server).await;
    for line in include_str!("golden/redis-v1.txt").lines() {
        let words: Vec<String> = serde_json::from_str(line).unwrap();
        let words =
            words.into_iter().map(|word| word.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect());
        let words: Vec<Vec<u8>> = words.collect();
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        let _: redis::Value = cmd.query_async(&mut raw).await.unwrap();
    }
}

/// Row 26: every sort of job that version 1 stored is read, and worked to its end.
#[tokio::test]
async fn row_26_jobs_that_version_1_stored_are_worked_to_their_end() {
    let server = RedisServer::start();
    load(&server).await;
    let (broker, clock) = with_clock(&server).await;
    for (text, state) in [
        ("fresh", State::Available),
        ("urgent", State::Available),
        ("tenant", State::Available),
        ("held", State::Available),
        ("stopped", State::Available),
        ("scheduled", State::Scheduled),
        ("unique", State::Scheduled),
        ("expiring", State::Scheduled),
        ("retryable", State::Retryable),
        ("running", State::Running),
        ("slot", State::Running),
        ("completed", State::Completed),
        ("cancelled", State::Cancelled),
        ("discarded", State::Discarded),
    ] {
        let view = broker.job(Some(&queue()), &id(text)).await.unwrap().unwrap();
        assert_eq!((view.state, view.args.is_some()), (state, true), "{text}");
    }
    let done = broker.job(Some(&queue()), &id("completed")).await.unwrap().unwrap();
    assert_eq!(done.result.unwrap().get(), "7");
    let failed = broker.job(Some(&queue()), &id("discarded")).await.unwrap().unwrap();
    assert_eq!((failed.reason, failed.errors.len()), (Some(DiscardReason::Rejected), 1));
    let flow = broker.flow(&queue(), None, 10).await.unwrap();
    let key = flow.iter().find(|view| view.subject.to_string() == "key:smtp").unwrap();
    assert_eq!((key.limits.concurrency, key.used), (Some(1), Some(1)));
    assert!(flow.iter().any(|view| view.subject.to_string() == "kind:debug.stopped" && view.paused.is_some()));
    // The unique key is held by the job that had it; the running attempt's token still counts.
    let mut second = job("second");
    second.unique = Some(Unique::key("daily"));
    let outcome = broker.enqueue(vec![second]).await.unwrap().remove(0);
    assert_eq!(outcome.id(), Some(&id("unique")));
    let stored: Vec<u8> = redis::cmd("HGET")
        .arg("lovage:{exports}:head")
        .arg("running")
        .query_async(&mut raw(&server).await)
        .await
        .unwrap();
    let token = stored[18..24].iter().fold(0, |token, byte| token * 256 + u64::from(*byte));
    let held = HeldLease { id: id("running"), token };
    assert_eq!(broker.renew(&queue(), &[held], LEASE).await.unwrap(), [LeaseStatus::Held]);

    broker.resume(&queue(), &"kind:debug.stopped".parse().unwrap()).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        clock.advance(Duration::from_secs(61));
        for job in claim(&broker, 3).await {
            assert_eq!(end(&broker, &job, Transition::Complete { result: None }).await, LeaseStatus::Held);
            seen.insert(job.id.as_str().to_owned());
        }
    }
    let all = ["fresh", "urgent", "tenant", "held", "stopped", "scheduled", "unique", "retryable", "running", "slot"];
    assert_eq!(seen, all.into_iter().map(str::to_owned).collect());
    let expired = broker.job(Some(&queue()), &id("expiring")).await.unwrap().unwrap();
    assert_eq!(expired.reason, Some(DiscardReason::Expired));
    let counts = broker.queue(&queue()).await.unwrap().counts;
    assert_eq!((counts.unfinished(), counts.completed), (0, 11));
    assert!(broker.events(&queue(), None, 500).await.unwrap().events.len() > 30);
}

/// Row 26: an older release does not touch what a newer one wrote, and says why.
#[tokio::test]
async fn row_26_newer_data_is_refused() {
    let server = RedisServer::start();
    let (broker, _) = with_clock(&server).await;
    let mut raw = raw(&server).await;
    let found: String = redis::cmd("GET").arg("lovage:{.format}").query_async(&mut raw).await.unwrap();
    assert_eq!(found, "1", "the first one says what it writes");
    assert!(
        broker
            .diagnose()
            .await
            .unwrap()
            .iter()
            .any(|(name, text, fine)| { name == "redis data" && text.starts_with("version 1;") && *fine })
    );
    for (version, part) in [("99", "version 99"), ("-1", "\"-1\""), ("soon", "\"soon\"")] {
        let _: () = redis::cmd("SET").arg("lovage:{.format}").arg(version).query_async(&mut raw).await.unwrap();
        let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
        let error = RedisBroker::connect(config.clone()).await.unwrap_err();
        assert!(matches!(error, BrokerError::Misconfigured(_)), "{error}");
        assert!(error.to_string().contains(part) && error.to_string().contains("redis_prefix"), "{error}");
        assert!(broker.diagnose().await.unwrap().iter().any(|(name, _, fine)| name == "redis data" && !fine));
        // Under another prefix nothing is there yet.
        RedisBroker::connect(RedisConfig { prefix: "other:".into(), ..config }).await.unwrap();
    }
}

/// A server that takes no writes does not keep a worker from starting: the next start leaves the version.
#[tokio::test]
async fn a_full_server_gets_its_version_later() {
    let server = RedisServer::start();
    let mut raw = raw(&server).await;
    let set = async |raw: &mut redis::aio::MultiplexedConnection, bytes: &str| {
        let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async(raw).await.unwrap();
    };
    set(&mut raw, "1").await;
    let (broker, _) = with_clock(&server).await;
    let version = async |broker: &RedisBroker| {
        let findings = broker.diagnose().await.unwrap();
        findings.into_iter().find(|(name, _, _)| name == "redis data").unwrap().1
    };
    assert!(version(&broker).await.starts_with("no version yet"));
    set(&mut raw, "0").await;
    let (broker, _) = with_clock(&server).await;
    assert!(version(&broker).await.starts_with("version 1"));
}

/// Row 26: queues without a version are of a release that wrote none, the oldest.
#[tokio::test]
async fn row_26_queues_without_a_version_count_as_the_oldest() {
    let server = RedisServer::start();
    let (broker, _) = with_clock(&server).await;
    let found = async || {
        let findings = broker.diagnose().await.unwrap();
        findings.into_iter().find(|(name, _, _)| name == "redis data").unwrap().1
    };
    server.command(&["DEL", "lovage:{.format}"]);
    assert!(found().await.starts_with("no version yet;"), "nothing is there");
    broker.enqueue(vec![job("a")]).await.unwrap();
    assert!(found().await.starts_with("version 1, by its queues"), "{}", found().await);
    let (_other, _) = with_clock(&server).await;
    assert!(found().await.starts_with("version 1;"), "the next one writes it");
}

/// Who may not look at the version cannot know what it would misread: it is told which rights it needs.
#[tokio::test]
async fn a_user_without_rights_on_the_version_is_told_the_line() {
    let server = RedisServer::start();
    let (broker, _) = with_clock(&server).await;
    broker.enqueue(vec![job("a")]).await.unwrap();
    for (there, rights) in [
        (true, "~lovage:{exports}:* ~lovage:{.queues} +@all"),
        (false, "~lovage:{exports}:* ~lovage:{.format} +@all"),
        (false, "~lovage:{exports}:* ~lovage:{.queues} %R~lovage:{.format} +@all"),
    ] {
        if !there {
            server.command(&["DEL", "lovage:{.format}"]);
        }
        let words: Vec<_> =
            ["ACL", "SETUSER", "app", "reset", "on", ">secret"].into_iter().chain(rights.split(' ')).collect();
        server.command(&words);
        let url = format!("redis://app:secret@127.0.0.1:{}/", server.port());
        let error = RedisBroker::connect(RedisConfig { url, ..RedisConfig::default() }).await.unwrap_err();
        assert!(matches!(error, BrokerError::Misconfigured(_)), "{rights}: {error}");
        let error = error.to_string();
        for part in ["lovage:{.format}", "ACL SETUSER", "~lovage:*", "docs/guide/redis.md"] {
            assert!(error.contains(part), "{rights}: {error}");
        }
    }
}

/// What cannot be looked at is a finding; the others are there all the same.
#[tokio::test]
async fn one_look_that_fails_leaves_the_others() {
    let server = RedisServer::start();
    let (broker, _) = with_clock(&server).await;
    let all = broker.diagnose().await.unwrap();
    server.command(&["ACL", "SETUSER", "default", "-info", "-script|exists"]);
    let findings = broker.diagnose().await.unwrap();
    let finding = |name: &str| findings.iter().find(|(found, _, _)| found == name).unwrap();
    assert!(!finding("redis").2 && finding("redis").1.contains("'info'"), "{findings:?}");
    assert!(!finding("redis scripts").2 && finding("redis scripts").1.contains("script"), "{findings:?}");
    for name in ["redis latency", "redis clock", "redis data"] {
        assert!(finding(name).2 && all.iter().any(|(found, _, fine)| found == name && *fine), "{name}: {findings:?}");
    }
    server.command(&["ACL", "SETUSER", "default", "resetkeys", "~other"]);
    let findings = broker.diagnose().await.unwrap();
    let data = findings.iter().find(|(name, _, _)| name == "redis data").unwrap();
    assert!(!data.2 && data.1.contains("ACL SETUSER"), "{findings:?}");
    assert!(findings.iter().any(|(name, _, fine)| name == "redis clock" && *fine), "{findings:?}");
}

/// A server that has gone is a finding, too.
#[tokio::test]
async fn a_server_that_has_gone_is_a_finding() {
    let mut server = RedisServer::start();
    let (broker, _) = with_clock(&server).await;
    server.kill9();
    let findings = broker.diagnose().await.unwrap();
    assert!(findings.iter().any(|(name, _, fine)| name == "redis" && !fine), "{findings:?}");
}

/// Row 26: releases beside each other. What a newer one wrote behind a head stays there, whatever this one does to the job.
#[tokio::test]
async fn row_26_fields_of_a_newer_release_survive() {
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    let mut raw = raw(&server).await;
    let urgent = NewJob { priority: Priority::try_from(2).unwrap(), tenant: Some("acme".parse().unwrap()), ..job("j") };
    broker.enqueue(vec![NewJob { delay_ms: Some(1_000), ..urgent }]).await.unwrap();
    let head = async |raw: &mut redis::aio::MultiplexedConnection| -> Vec<u8> {
        redis::cmd("HGET").arg("lovage:{exports}:head").arg("j").query_async(raw).await.unwrap()
    };
    let mut whole = head(&mut raw).await;
    whole.extend(b"\x07newer\0field");
    let () = redis::cmd("HSET").arg("lovage:{exports}:head").arg("j").arg(&whole).query_async(&mut raw).await.unwrap();
    let mut kept = async |step: &str| {
        assert!(head(&mut raw).await.ends_with(b"\x07newer\0field"), "after {step}");
    };
    clock.advance(Duration::from_secs(1));
    broker.sweep(&queue()).await.unwrap();
    kept("its promotion").await;
    broker.edit(&queue(), &id("j"), Edit { priority: Priority::try_from(3).ok(), ..Edit::default() }).await.unwrap();
    kept("an edit").await;
    let first = claim(&broker, 1).await.remove(0);
    kept("a claim").await;
    end(&broker, &first, Transition::Retry { delay: Duration::ZERO, error: no() }).await;
    kept("a failure").await;
    let second = claim(&broker, 1).await.remove(0);
    broker.cancel(&queue(), &id("j")).await.unwrap();
    kept("the wish to cancel it").await;
    end(&broker, &second, Transition::Release { delay: Duration::ZERO, error: None }).await;
    kept("its cancel").await;
    broker.retry(&queue(), &id("j")).await.unwrap();
    kept("a redrive").await;
    claim(&broker, 1).await;
    clock.advance(LEASE);
    broker.sweep(&queue()).await.unwrap();
    kept("the loss of its worker").await;
    // The plain end takes no head apart.
    let third = claim(&broker, 1).await.remove(0);
    end(&broker, &third, Transition::Complete { result: None }).await;
    kept("its end").await;
    assert_eq!(broker.job(Some(&queue()), &id("j")).await.unwrap().unwrap().state, State::Completed);
}
