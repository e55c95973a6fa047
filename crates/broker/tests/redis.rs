//! What only Redis can show: scripts that vanish, memory that runs out, servers that go away, keys and their sizes. The
//! contract itself is in `tests/conformance`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    BrokerError, BulkAction, ClaimedJob, Edit, EnqueueOutcome, Finish, HeldLease, LeaseStatus, ListQuery, NewLogLine,
    NewPause, Operator, Producer, Reader, RedisBroker, RedisConfig, Report, Retention, Wake, WorkerSide,
};
use lovage_core::{
    AttemptError, Breaker, Clock, DiscardReason, ErrorClass, JobId, Limits, LogLevel, ManualClock, NewJob, Priority,
    Progress, QueueName, Rate, State, Subject, Timestamp, Transition, Unique, WorkerId, WorkerState, WorkerView,
};
use lovage_testkit::{RedisServer, eventually};
use redis::Value;

const LEASE: Duration = Duration::from_secs(30);
const START: u64 = 1_772_323_200_000;

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn job(n: u64) -> NewJob {
    NewJob::new(queue(), "debug.noop".parse().unwrap(), &serde_json::json!({ "n": n })).unwrap()
}

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig { url: server.url(), ..RedisConfig::default() }
}

async fn connect(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(config(server)).await.unwrap()
}

/// A broker whose time the test moves.
async fn with_clock(server: &RedisServer) -> (RedisBroker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let config = RedisConfig { virtual_clock: Some(clock.clone() as Arc<dyn Clock>), ..config(server) };
    (RedisBroker::connect(config).await.unwrap(), clock)
}

/// A plain connection beside the broker's, patient enough for a busy machine.
async fn plain(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let patient =
        redis::AsyncConnectionConfig::new().set_response_timeout(Some(LEASE)).set_connection_timeout(Some(LEASE));
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

async fn tell(connection: &mut redis::aio::MultiplexedConnection, command: &str) -> Value {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    for word in words {
        cmd.arg(word);
    }
    cmd.query_async(connection).await.unwrap()
}

async fn keys(connection: &mut redis::aio::MultiplexedConnection) -> BTreeSet<String> {
    redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap()
}

/// Every key with its whole content.
async fn dump(connection: &mut redis::aio::MultiplexedConnection) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for key in keys(connection).await {
        contents.insert(key.clone(), redis::cmd("DUMP").arg(&key).query_async(connection).await.unwrap());
    }
    contents
}

async fn info(connection: &mut redis::aio::MultiplexedConnection, name: &str) -> u64 {
    let text: String = redis::cmd("INFO").query_async(connection).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().parse().unwrap()
}

async fn add(broker: &RedisBroker, jobs: impl IntoIterator<Item = NewJob>) -> Vec<JobId> {
    let outcomes = broker.enqueue(jobs.into_iter().collect()).await.unwrap();
    outcomes.iter().map(|outcome| outcome.id().expect("enqueued").clone()).collect()
}

async fn claim(broker: &RedisBroker, max: usize) -> Vec<ClaimedJob> {
    broker.claim(&queue(), &worker(), max, LEASE).await.unwrap().jobs
}

fn lease(job: &ClaimedJob) -> HeldLease {
    HeldLease { id: job.id.clone(), token: job.token }
}

fn complete(jobs: &[ClaimedJob]) -> Vec<Finish> {
    jobs.iter().map(|job| Finish { lease: lease(job), transition: Transition::Complete { result: None } }).collect()
}

async fn wait(broker: &RedisBroker, queues: &[QueueName], timeout: Duration) -> Result<Wake, BrokerError> {
    broker.wait(queues, &worker(), timeout).await
}

async fn end(broker: &RedisBroker, job: &ClaimedJob, transition: Transition) {
    let items = vec![Finish { lease: lease(job), transition }];
    assert_eq!(broker.finish(&queue(), &worker(), items).await.unwrap(), [LeaseStatus::Held]);
}

fn error(message: &str) -> AttemptError {
    AttemptError::new(ErrorClass::Failed, message)
}

// ---------------------------------------------------------------------------------------- scripts and start-up

/// Row 17: a script cache that is emptied again and again under load disturbs nobody.
#[tokio::test]
async fn row_17_emptying_the_script_cache_disturbs_nobody() {
    let server = RedisServer::start();
    let broker = Arc::new(connect(&server).await);
    let mut flusher = plain(&server).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let flushing = tokio::spawn(async move {
        let mut rounds = 0_u32;
        while stopped.try_recv().is_err() {
            tell(&mut flusher, "SCRIPT FLUSH").await;
            rounds += 1;
            tokio::task::yield_now().await;
        }
        rounds
    });
    let mut enqueued = BTreeSet::new();
    let mut done = BTreeSet::new();
    for round in 0..40 {
        // Large batches go as a transaction, small ones as single scripts.
        let count = if round % 10 == 0 { 2_500 } else { 20 };
        enqueued.extend(add(&broker, (0..count).map(job)).await);
        for _ in 0..4 {
            let jobs = claim(&broker, 1_000).await;
            let leases: Vec<_> = jobs.iter().map(lease).collect();
            let renewed = broker.renew(&queue(), &leases, LEASE).await.unwrap();
            assert!(renewed.iter().all(|status| *status == LeaseStatus::Held));
            let ended = broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
            assert!(ended.iter().all(|status| *status == LeaseStatus::Held));
            for job in jobs {
                assert!(done.insert(job.id), "claimed twice");
            }
        }
    }
    stop.send(()).unwrap();
    assert!(flushing.await.unwrap() > 10, "the cache was emptied under load");
    assert_eq!(done, enqueued);
}

/// Row 20: a server that would evict jobs is refused, and the text says what to change.
#[tokio::test]
async fn row_20_an_evicting_server_is_refused() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisBroker::connect(config(&server)).await.unwrap_err();
    assert!(matches!(&refused, BrokerError::Misconfigured(text) if text.contains("allkeys-lru")), "{refused}");
    assert!(refused.to_string().contains("noeviction"), "{refused}");

    let mut plain = plain(&server).await;
    tell(&mut plain, "CONFIG SET maxmemory 0").await;
    let broker = RedisBroker::connect(config(&server)).await.expect("without a limit nothing is ever evicted");
    let findings = broker.diagnose().await.unwrap();
    let fine = |name: &str| findings.iter().find(|(each, ..)| each == name).unwrap().2;
    assert!(!fine("redis eviction"), "but the doctor says so: {findings:?}");
    assert!(!fine("redis persistence"), "and that nothing is on disk");
    assert!(fine("redis") && fine("redis clock") && fine("redis scripts"));

    tell(&mut plain, "CONFIG SET maxmemory-policy noeviction").await;
    tell(&mut plain, "CONFIG SET maxmemory 100mb").await;
    assert!(RedisBroker::connect(config(&server)).await.is_ok());
}

/// A password is in no error and in no debug text; the address is.
#[tokio::test]
async fn a_password_is_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right-secret"]);
    let at = |password: &str| RedisConfig {
        url: format!("redis://:{password}@127.0.0.1:{}/", server.port()),
        ..RedisConfig::default()
    };
    let wrong = RedisBroker::connect(at("wrong-secret")).await.unwrap_err();
    assert!(matches!(wrong, BrokerError::Misconfigured(_)), "{wrong}");
    let none = RedisBroker::connect(config(&server)).await.unwrap_err();
    assert!(matches!(none, BrokerError::Misconfigured(_)), "{none}");
    let right = RedisBroker::connect(at("right-secret")).await.unwrap();
    add(&right, [job(1)]).await;
    let odd = RedisConfig { url: "redis://:odd-secret@[".into(), ..RedisConfig::default() };
    let odd = RedisBroker::connect(odd).await.unwrap_err();
    assert!(matches!(odd, BrokerError::Misconfigured(_)), "{odd}");
    for text in [wrong.to_string(), format!("{right:?} {:?}", at("right-secret")), format!("{odd} {odd:?} {wrong:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(wrong.to_string().contains(&server.port().to_string()), "{wrong}");
}

/// A server that is not there is named by host and port, after a bounded time.
#[tokio::test(start_paused = true)]
async fn a_missing_server_is_named() {
    let mut server = RedisServer::start();
    let config = config(&server);
    server.stop();
    let gone = RedisBroker::connect(config).await.unwrap_err();
    assert!(matches!(&gone, BrokerError::Unavailable(text) if text.contains("127.0.0.1")), "{gone}");
    assert!(gone.to_string().contains(&server.port().to_string()), "{gone}");
}

// ----------------------------------------------------------------------------------------------- out of memory

/// Row 20: without memory an enqueue is refused as a whole, and workers can still empty the queue.
#[tokio::test]
async fn row_20_out_of_memory_leaves_nothing_half_written() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let mut plain = plain(&server).await;
    let mut urgent = job(0);
    urgent.priority = Priority::try_from(1).unwrap();
    let mut keyed = job(1);
    keyed.unique = Some(Unique::key("taken"));
    let mut ids = add(&broker, [urgent.clone(), keyed]).await;
    ids.extend(add(&broker, (2..100).map(job)).await);
    tell(&mut plain, "CONFIG SET maxmemory 1").await;

    let before = dump(&mut plain).await;
    let mut fresh_key = job(200);
    fresh_key.unique = Some(Unique::key("free"));
    let mut later = job(201);
    later.delay_ms = Some(60_000);
    for batch in [vec![job(1)], vec![urgent], vec![fresh_key], vec![later], (0..2_500).map(job).collect()] {
        let refused = broker.enqueue(batch).await.unwrap_err();
        assert!(matches!(refused, BrokerError::Unavailable(_)), "{refused}");
    }
    assert_eq!(dump(&mut plain).await, before, "nothing was written");

    let mut done = Vec::new();
    loop {
        let jobs = claim(&broker, 30).await;
        if jobs.is_empty() {
            break;
        }
        // What runs keeps its lease, or it would be taken for lost and run again.
        let leases: Vec<_> = jobs.iter().map(|job| HeldLease { id: job.id.clone(), token: job.token }).collect();
        let renewed = broker.renew(&queue(), &leases, Duration::from_secs(30)).await.unwrap();
        assert!(renewed.iter().all(|status| *status == LeaseStatus::Held));
        assert!(
            broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap().iter().all(|s| *s == LeaseStatus::Held)
        );
        done.extend(jobs.into_iter().map(|job| job.id));
    }
    assert_eq!(done.iter().collect::<BTreeSet<_>>(), ids.iter().collect::<BTreeSet<_>>());
    tell(&mut plain, "CONFIG SET maxmemory 0").await;
    add(&broker, [job(300)]).await;
    assert_eq!(claim(&broker, 10).await.len(), 1);
}

/// Row 20: a queue with tenants, limits and a breaker can be worked empty by a full Redis, too.
#[tokio::test]
async fn row_20_a_full_redis_with_limits_can_be_worked_empty() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let mut plain = plain(&server).await;
    let breaker = Some(Breaker { failures: 50, cooldown_ms: 1_000 });
    for (subject, limits) in [
        ("key:smtp", Limits { concurrency: Some(2), ..Limits::default() }),
        ("tenant:a", Limits { concurrency: Some(3), ..Limits::default() }),
        ("kind:debug.noop", Limits { breaker, ..Limits::default() }),
    ] {
        broker.limit(&queue(), &subject.parse().unwrap(), &limits).await.unwrap();
    }
    add(&broker, (0..20).map(job)).await;
    add(&broker, (20..40).map(|n| NewJob { tenant: Some(["a", "b"][n as usize % 2].parse().unwrap()), ..job(n) }))
        .await;
    add(&broker, (40..50).map(|n| NewJob { key: Some("smtp".parse().unwrap()), ..job(n) })).await;
    tell(&mut plain, "CONFIG SET maxmemory 1").await;
    let (mut seen, mut failed) = (BTreeSet::new(), false);
    for _ in 0..60 {
        let jobs = claim(&broker, 7).await;
        if let (Some(first), false) = (jobs.first(), failed) {
            end(&broker, first, Transition::Retry { delay: LEASE, error: error("no") }).await;
            failed = true;
        }
        broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
        seen.extend(jobs.into_iter().map(|job| job.id));
    }
    let counts = broker.queue(&queue()).await.unwrap().counts;
    assert_eq!((seen.len(), counts.completed, counts.retryable), (50, 49, 1), "{counts:?}");
}

/// A replica takes no writes: unavailable until it is a primary again, then everything goes on.
#[tokio::test]
async fn a_read_only_replica_is_unavailable() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    add(&broker, [job(1)]).await;
    let mut plain = plain(&server).await;
    tell(&mut plain, "REPLICAOF 127.0.0.1 1").await;
    // It may never become a primary again, so each refusal has the next call connect anew, to whatever is there then.
    for batch in [1, 2_500] {
        let before = info(&mut plain, "total_connections_received").await;
        let refused = broker.enqueue((0..batch).map(job).collect()).await.unwrap_err();
        assert!(refused.is_transient(), "{refused}");
        let _ = broker.queue(&queue()).await;
        assert!(info(&mut plain, "total_connections_received").await > before, "after {batch} jobs");
    }
    tell(&mut plain, "REPLICAOF NO ONE").await;
    eventually("the primary is used again", Duration::from_secs(5), async || {
        broker.claim(&queue(), &worker(), 1, LEASE).await.ok().filter(|claim| claim.jobs.len() == 1)
    })
    .await;
}

// -------------------------------------------------------------------------------------------------- keys and sizes

/// One of everything, in every state.
async fn populate(broker: &RedisBroker, clock: &ManualClock) {
    let view = WorkerView {
        id: worker(),
        host: "box-1".into(),
        pid: 7,
        version: "0.1.0".into(),
        queues: BTreeMap::from([(queue(), 1)]),
        slots: 4,
        busy: 0,
        state: WorkerState::Running,
        started_at: clock.now(),
        seen_at: clock.now(),
    };
    broker.heartbeat(&view).await.unwrap();
    broker.lead("scheduler", "a", LEASE).await.unwrap();
    add(broker, (0..8).map(job)).await;
    let jobs = claim(broker, 6).await;
    let report = Report {
        lease: lease(&jobs[0]),
        progress: Some(Progress { done: 1, ..Progress::default() }),
        lines: vec![NewLogLine { level: LogLevel::Info, text: "hello".into() }],
    };
    broker.report(&queue(), report).await.unwrap();
    let result = serde_json::value::to_raw_value(&1).unwrap();
    end(broker, &jobs[0], Transition::Complete { result: Some(result) }).await;
    end(broker, &jobs[1], Transition::Retry { delay: LEASE, error: error("no") }).await;
    end(broker, &jobs[2], Transition::Cancel).await;
    end(broker, &jobs[3], Transition::Discard { reason: DiscardReason::Rejected, error: error("no") }).await;
    broker.cancel(&queue(), &jobs[4].id).await.unwrap();
    let mut keyed = job(20);
    keyed.unique = Some(Unique::key("k"));
    keyed.expires_at = Some(clock.now().plus(LEASE));
    keyed.delay_ms = Some(10);
    add(broker, [keyed]).await;
    limit(broker).await;
    let flowing = |n| NewJob { tenant: Some("acme".parse().unwrap()), key: Some("smtp".parse().unwrap()), ..job(n) };
    add(broker, (30..34).map(flowing)).await;
    let failing = claim(broker, 9).await.into_iter().find(|job| job.spec.contains("acme")).unwrap();
    end(broker, &failing, Transition::Retry { delay: LEASE, error: error("no") }).await;
    claim(broker, 9).await;
    let page = broker.events(&queue(), None, 10).await.unwrap();
    broker.recorded(&queue(), &page.next.unwrap()).await.unwrap();
    broker
        .pause(
            &queue(),
            &Subject::Queue,
            &NewPause { by: "ada".into(), why: "lunch".into(), until: Some(clock.now().plus(LEASE)) },
        )
        .await
        .unwrap();
}

/// Limits of each sort.
async fn limit(broker: &RedisBroker) {
    let rate = Some(Rate { count: 1, per_ms: 100, burst: Some(2) });
    let breaker = Some(Breaker { failures: 3, cooldown_ms: 1_000 });
    for (subject, limits) in [
        ("tenant:acme", Limits { concurrency: Some(1), ..Limits::default() }),
        ("key:smtp", Limits { rate, ..Limits::default() }),
        ("kind:debug.noop", Limits { breaker, ..Limits::default() }),
    ] {
        broker.limit(&queue(), &subject.parse().unwrap(), &limits).await.unwrap();
    }
}

/// Row 19: every key carries its queue's hash tag or one that no queue can have, and lives for a bounded time or is in
/// the list of those that are bounded otherwise.
#[tokio::test]
async fn row_19_every_key_has_a_tag_and_a_bound() {
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    populate(&broker, &clock).await;
    let mut plain = plain(&server).await;
    // Columns of live jobs (bounded by jobs and retention), the capped stream, one marker, counters.
    let bounded = [
        "spec",
        "head",
        "line",
        "waiting",
        "scheduled",
        "retryable",
        "leases",
        "completed",
        "cancelled",
        "discarded",
        "expiring",
        "results",
        "errors",
        "progress",
        "unique",
        "unique_until",
        "meta",
        "events",
        "wake",
        // What waits by tenant and what is held back (bounded by jobs), limits and what follows from them.
        "ring",
        "parked",
        "slots",
        "buckets",
        "rules",
        "breakers",
        "depths",
    ];
    let all = keys(&mut plain).await;
    assert!(all.len() > 25, "{all:?}");
    for key in all {
        let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut plain).await.unwrap();
        let global = [
            "lovage:{.queues}",
            "lovage:{.format}",
            "lovage:{.leader}",
            "lovage:{.workers}:said",
            "lovage:{.workers}:seen",
        ];
        let column = key.strip_prefix("lovage:{exports}:");
        let known = global.contains(&key.as_str()) || column.is_some_and(|column| bounded.contains(&column));
        let tagged = column.is_some() || key.starts_with("lovage:{.");
        assert!(tagged && (known || life > 0), "{key} lives {life} ms");
    }
}

/// Row 19: when the jobs are gone, so is all that belonged to them.
#[tokio::test]
async fn row_19_jobs_leave_nothing_behind() {
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    populate(&broker, &clock).await;
    clock.advance(Duration::from_hours(1));
    while broker.queue(&queue()).await.unwrap().counts.unfinished() > 0 {
        let jobs = claim(&broker, 100).await;
        broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    for view in broker.flow(&queue(), None, 10).await.unwrap() {
        assert!(view.used.is_none_or(|used| used == 0), "slots are free: {view:?}");
        broker.limit(&queue(), &view.subject, &Limits::default()).await.unwrap();
    }
    clock.advance(Duration::from_hours(24 * 91));
    while broker.sweep(&queue()).await.unwrap().more {}
    let mut plain = plain(&server).await;
    let left: BTreeSet<_> = keys(&mut plain)
        .await
        .into_iter()
        .filter_map(|key| Some(key.strip_prefix("lovage:{exports}:")?.to_owned()))
        .collect();
    let kept: BTreeSet<_> =
        left.iter().filter(|key| !key.starts_with("log:") && *key != "wake").map(String::as_str).collect();
    assert_eq!(kept, BTreeSet::from(["events", "meta"]), "logs go by their own time to live");
    assert_eq!(broker.queue(&queue()).await.unwrap().counts, lovage_core::Counts::default());
}

/// Row 15: on a cluster node every script's keys are in one slot.
#[tokio::test]
async fn row_15_scripts_run_on_a_cluster_node() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let mut plain = plain(&server).await;
    tell(&mut plain, "CLUSTER ADDSLOTSRANGE 0 16383").await;
    eventually("the node serves its slots", Duration::from_secs(20), || {
        let mut plain = plain.clone();
        async move {
            let state: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut plain).await.unwrap();
            state.contains("cluster_state:ok").then_some(())
        }
    })
    .await;
    let refused = RedisBroker::connect(config(&server)).await.unwrap_err();
    assert!(refused.to_string().contains("redis+cluster://"), "the address has to say that it is a cluster: {refused}");
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let config = RedisConfig {
        url: format!("redis+cluster://127.0.0.1:{}", server.port()),
        virtual_clock: Some(clock.clone() as Arc<dyn Clock>),
        ..RedisConfig::default()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    populate(&broker, &clock).await;
    broker.resume(&queue(), &Subject::Queue).await.unwrap();
    let ids = add(&broker, (0..2_500).map(job)).await;
    broker
        .edit(&queue(), &ids[0], Edit { priority: Some(Priority::try_from(0).unwrap()), ..Edit::default() })
        .await
        .unwrap();
    assert_eq!(claim(&broker, 1).await[0].id, ids[0]);
    broker.delete(&queue(), &ids[1]).await.unwrap();
    broker.bulk(&queue(), State::Available, BulkAction::Cancel, None).await.unwrap();
    broker.sweep(&queue()).await.unwrap();
    assert!(broker.job(None, &ids[2]).await.unwrap().is_some());
    assert_eq!(broker.queues().await.unwrap().len(), 1);
    assert!(!broker.events(&queue(), None, 10).await.unwrap().events.is_empty());
}

/// A waiting job with arguments of 200 bytes takes less than 450 bytes of Redis' memory, its event included.
#[tokio::test]
async fn a_waiting_job_is_small() {
    const JOBS: u64 = 20_000;
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let args = serde_json::json!({ "pad": "x".repeat(190) });
    assert_eq!(args.to_string().len(), 200);
    let batch = || (0..5_000).map(|_| NewJob::new(queue(), "debug.noop".parse().unwrap(), &args).unwrap());
    let mut plain = plain(&server).await;
    add(&broker, [job(0)]).await;
    let before = info(&mut plain, "used_memory").await;
    for _ in 0..JOBS / 5_000 {
        add(&broker, batch()).await;
    }
    let each = (info(&mut plain, "used_memory").await - before) / JOBS;
    assert!(each < 450, "{each} bytes a job");
}

// ---------------------------------------------------------------------------------------------------- big crowds

/// Row 03: 100,000 jobs that are due at one instant are promoted in bounded slices, and none is lost.
#[tokio::test]
async fn row_03_a_hundred_thousand_due_jobs_go_in_slices() {
    const JOBS: u64 = 100_000;
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    for _ in 0..JOBS / 10_000 {
        add(&broker, (0..10_000).map(|n| NewJob { run_at: Some(Timestamp::from_millis(START + 60_000)), ..job(n) }))
            .await;
    }
    clock.advance(Duration::from_mins(1));
    let claimed = claim(&broker, 10).await;
    assert_eq!(claimed.len(), 10, "a claim finds due jobs without waiting for all of them");
    let counts = broker.queue(&queue()).await.unwrap().counts;
    assert!(counts.available < 1_000 && counts.scheduled > 98_000, "{counts:?}");
    let mut sweeps = 0;
    loop {
        let swept = broker.sweep(&queue()).await.unwrap();
        assert!(swept.promoted <= 1_000);
        sweeps += 1;
        if !swept.more {
            break;
        }
    }
    let counts = broker.queue(&queue()).await.unwrap().counts;
    assert_eq!((counts.scheduled, counts.available, counts.running), (0, JOBS - 10, 10));
    assert!(sweeps >= 99);
}

/// Fresh jobs, jobs of other priorities and jobs that came back stand in one line, for readers and for workers alike.
#[tokio::test]
async fn the_line_is_one_for_all_sorts_of_jobs() {
    let server = RedisServer::start();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    // A list does not foretell whose turn it is because of its age.
    let config =
        RedisConfig { virtual_clock: Some(clock.clone() as Arc<dyn Clock>), ageing: u32::MAX, ..config(&server) };
    let broker = RedisBroker::connect(config).await.unwrap();
    let first = add(&broker, (0..40).map(job)).await;
    let running = claim(&broker, 10).await;
    for (n, job) in running.iter().enumerate().rev() {
        let transition = match n % 3 {
            0 => Transition::Release { delay: Duration::ZERO, error: None },
            1 => Transition::Retry { delay: Duration::from_secs(1), error: error("no") },
            _ => Transition::Complete { result: None },
        };
        end(&broker, job, transition).await;
    }
    let with_priority = |n: u64| NewJob { priority: Priority::try_from((n % 10) as i64).unwrap(), ..job(n) };
    add(&broker, (100..130).map(with_priority)).await;
    // Void entries in the middle: deleted, cancelled, moved, and an id that is used again.
    broker.delete(&queue(), &first[12]).await.unwrap();
    broker.cancel(&queue(), &first[13]).await.unwrap();
    broker
        .edit(&queue(), &first[14], Edit { priority: Some(Priority::try_from(5).unwrap()), ..Edit::default() })
        .await
        .unwrap();
    broker
        .edit(&queue(), &first[15], Edit { priority: Some(Priority::try_from(9).unwrap()), ..Edit::default() })
        .await
        .unwrap();
    broker.retry(&queue(), &first[13]).await.unwrap();
    add(&broker, [NewJob { id: Some(first[12].clone()), ..job(12) }]).await;
    clock.advance(Duration::from_secs(2));
    broker.sweep(&queue()).await.unwrap();

    let mut listed = Vec::new();
    let mut query = ListQuery { queue: queue(), state: State::Available, limit: 7, cursor: None };
    loop {
        let page = broker.list(&query).await.unwrap();
        listed.extend(page.jobs.into_iter().map(|job| job.id));
        match page.next {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(listed.len() as u64, broker.queue(&queue()).await.unwrap().counts.available);
    let mut claimed = Vec::new();
    loop {
        let jobs = claim(&broker, 3).await;
        if jobs.is_empty() {
            break;
        }
        claimed.extend(jobs.into_iter().map(|job| job.id));
    }
    let unique: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(unique.len(), claimed.len(), "nobody twice");
    assert!(claimed == listed, "what is listed first runs first");
    let place = |id: &JobId| claimed.iter().position(|each| each == id);
    assert!(place(&first[12]) > place(&first[39]), "an id that is used again stands at the end");
}

/// A job whose content somebody removed from Redis is discarded as corrupt, and the others run.
#[tokio::test]
async fn a_job_without_content_is_discarded_as_corrupt() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let damaged = add(&broker, [NewJob { priority: Priority::try_from(1).unwrap(), ..job(1) }]).await.remove(0);
    let healthy = add(&broker, [job(2)]).await.remove(0);
    let mut plain = plain(&server).await;
    tell(&mut plain, &format!("HDEL lovage:{{exports}}:spec {damaged}")).await;
    let mut claimed = claim(&broker, 10).await;
    claimed.extend(claim(&broker, 10).await);
    assert_eq!(claimed.iter().map(|job| &job.id).collect::<Vec<_>>(), [&healthy]);
    let view = broker.job(Some(&queue()), &damaged).await.unwrap().unwrap();
    assert_eq!((view.state, view.reason, view.kind), (State::Discarded, Some(DiscardReason::Corrupt), None));
}

/// Brokers with different prefixes share a server and nothing else.
#[tokio::test]
async fn prefixes_keep_installations_apart() {
    let server = RedisServer::start();
    let one = connect(&server).await;
    let other = RedisBroker::connect(RedisConfig { prefix: "other:".into(), ..config(&server) }).await.unwrap();
    let id = add(&one, [job(1)]).await.remove(0);
    assert!(other.job(None, &id).await.unwrap().is_none());
    assert!(claim(&other, 1).await.is_empty());
    assert_eq!(claim(&one, 1).await.len(), 1);
}

// ------------------------------------------------------------------------------------------ servers that go away

/// Row 18: after a crash and return of the server the same broker goes on, with every job.
#[tokio::test]
async fn row_18_work_goes_on_after_a_restart() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = connect(&server).await;
    let ids: BTreeSet<_> = add(&broker, (0..500).map(job)).await.into_iter().collect();
    let running = claim(&broker, 5).await;
    let waiting = wait(&broker, &[], LEASE);
    let (woken, ()) = tokio::join!(waiting, async { server.kill9() });
    assert!(woken.unwrap_err().is_transient(), "a wait does not hang on a dead server");
    let gone = broker.enqueue(vec![job(1)]).await.unwrap_err();
    assert!(gone.is_transient(), "{gone}");

    server.restart();
    eventually("the broker is connected again", Duration::from_secs(5), async || broker.queue(&queue()).await.ok())
        .await;
    assert!(
        broker.finish(&queue(), &worker(), complete(&running)).await.unwrap().iter().all(|s| *s == LeaseStatus::Held),
        "leases outlive the server"
    );
    let mut seen: BTreeSet<_> = running.into_iter().map(|job| job.id).collect();
    loop {
        let jobs = claim(&broker, 200).await;
        if jobs.is_empty() {
            break;
        }
        seen.extend(jobs.into_iter().map(|job| job.id));
    }
    assert_eq!(seen, ids);
    let queues = [queue()];
    let (woken, _) = tokio::join!(wait(&broker, &queues, LEASE), add(&broker, [job(9)]));
    assert_eq!(woken.unwrap(), Wake::Queue(queue()));
}

/// What a wait that was given up has popped goes to whoever waits next, the same worker or another.
#[tokio::test]
async fn a_cancelled_wait_loses_no_wake_up() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let plain = plain(&server).await;
    let queues = [queue()];
    let given_up = tokio::time::timeout(Duration::from_millis(50), broker.wait(&queues, &worker(), LEASE)).await;
    assert!(given_up.is_err());
    // Still blocked, on behalf of the worker.
    eventually("the pop is blocked", Duration::from_secs(5), || {
        let mut plain = plain.clone();
        async move { (info(&mut plain, "blocked_clients").await == 1).then_some(()) }
    })
    .await;
    add(&broker, [job(1)]).await;
    eventually("the mark was popped and handed back", Duration::from_secs(5), || {
        let mut plain = plain.clone();
        async move {
            let popped = info(&mut plain, "blocked_clients").await == 0;
            (popped && tell(&mut plain, "LLEN lovage:{exports}:wake").await == Value::Int(1)).then_some(())
        }
    })
    .await;
    let other: WorkerId = "w2".parse().unwrap();
    assert_eq!(broker.wait(&queues, &other, LEASE).await.unwrap(), Wake::Queue(queue()));
    add(&broker, [job(2)]).await;
    assert_eq!(broker.wait(&queues, &worker(), LEASE).await.unwrap(), Wake::Queue(queue()));
}

/// One mark wakes one worker; whoever leaves jobs behind wakes the next.
#[tokio::test]
async fn wake_ups_are_handed_on() {
    let server = RedisServer::start();
    let broker = Arc::new(connect(&server).await);
    let workers = (0..3).map(|n| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            let worker: WorkerId = format!("w{n}").parse().unwrap();
            assert_eq!(broker.wait(&[queue()], &worker, LEASE).await.unwrap(), Wake::Queue(queue()));
            broker.claim(&queue(), &worker, 1, LEASE).await.unwrap().jobs.len()
        })
    });
    let workers: Vec<_> = workers.collect();
    add(&broker, (0..3).map(job)).await;
    for worker in workers {
        assert_eq!(worker.await.unwrap(), 1);
    }
}

/// A delayed job that is due before all others lets a waiting worker set its clock anew.
#[tokio::test]
async fn an_earlier_delayed_job_wakes_too() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let queues = [queue()];
    let later = |ms| NewJob { delay_ms: Some(ms), ..job(ms) };
    for delay in [60_000, 30_000] {
        let (woken, _) = tokio::join!(wait(&broker, &queues, LEASE), add(&broker, [later(delay)]));
        assert_eq!(woken.unwrap(), Wake::Queue(queue()));
        let next = broker.claim(&queue(), &worker(), 1, LEASE).await.unwrap().next_in.unwrap();
        assert!(next <= Duration::from_millis(delay));
    }
    let short = Duration::from_millis(50);
    let (woken, _) = tokio::join!(wait(&broker, &queues, short), add(&broker, [later(90_000)]));
    assert_eq!(woken.unwrap(), Wake::Timeout, "one that is due later than others changes nothing");
}

/// The logs of a discarded job stay as long as the job.
#[tokio::test]
async fn logs_of_discarded_jobs_are_kept_with_them() {
    let server = RedisServer::start();
    let retention = Retention { discarded_age: Duration::from_hours(1_000), ..Retention::default() };
    let broker = RedisBroker::connect(RedisConfig { retention, ..config(&server) }).await.unwrap();
    let ids = add(&broker, (0..2).map(job)).await;
    let jobs = claim(&broker, 2).await;
    for job in &jobs {
        let lines = vec![NewLogLine { level: LogLevel::Info, text: "hello".into() }];
        broker.report(&queue(), Report { lease: lease(job), progress: None, lines }).await.unwrap();
    }
    end(&broker, &jobs[0], Transition::Discard { reason: DiscardReason::Rejected, error: error("no") }).await;
    end(&broker, &jobs[1], Transition::Complete { result: None }).await;
    let mut plain = plain(&server).await;
    for (id, hours) in ids.iter().zip([1_000, 24]) {
        let log = format!("lovage:{{exports}}:log:{id}");
        let life: i64 = redis::cmd("TTL").arg(log).query_async(&mut plain).await.unwrap();
        assert!((life - hours * 3_600).abs() < 60, "{life} s");
    }
    broker.delete(&queue(), &ids[0]).await.unwrap();
    assert!(broker.logs(&queue(), &ids[0], None).await.unwrap().lines.is_empty());
}

/// Nothing to look at is no reason to ask.
#[tokio::test]
async fn a_look_at_no_job_asks_nobody() {
    let mut server = RedisServer::start();
    let broker = connect(&server).await;
    server.kill9();
    assert!(broker.jobs(&queue(), &[]).await.unwrap().is_empty());
}

/// An answer that got lost does not make a second job: the same ids are found again.
#[tokio::test]
async fn an_enqueue_that_is_sent_twice_is_one_job() {
    let server = RedisServer::start();
    let broker = connect(&server).await;
    let chosen = NewJob { id: Some("order:42".parse().unwrap()), ..job(1) };
    let first = broker.enqueue(vec![chosen.clone()]).await.unwrap();
    let again = broker.enqueue(vec![chosen]).await.unwrap();
    assert_eq!(first, [EnqueueOutcome::Enqueued("order:42".parse().unwrap())]);
    assert_eq!(again, [EnqueueOutcome::Existing("order:42".parse().unwrap())]);
    assert_eq!(claim(&broker, 10).await.len(), 1);
}

/// Row 16: a replica without the last writes takes over and gives their numbers to other events. Who has read the lost
/// ones is told, and reads on from what is there.
#[tokio::test]
async fn row_16_events_of_another_past_are_a_gap() {
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    let mut plain = plain(&server).await;
    let first = add(&broker, [job(1)]).await;
    let replicated = dump(&mut plain).await;
    clock.advance(Duration::from_millis(5));
    add(&broker, [job(2), job(3)]).await;
    let read = broker.events(&queue(), None, 10).await.unwrap();
    assert_eq!(read.events.len(), 3);

    tell(&mut plain, "FLUSHALL").await;
    for (key, content) in replicated {
        let () = redis::cmd("RESTORE").arg(key).arg(0).arg(content).query_async(&mut plain).await.unwrap();
    }
    clock.advance(Duration::from_millis(5));
    let others = add(&broker, [job(4), job(5), job(6)]).await;
    for after in [read.next.as_deref(), Some(read.events[1].cursor.as_str())] {
        let page = broker.events(&queue(), after, 10).await.unwrap();
        assert!(page.gap, "what was read after the first job never happened here");
        let ids: Vec<_> = page.events.iter().map(|event| &event.id).collect();
        assert_eq!(ids, first.iter().chain(&others).collect::<Vec<_>>());
        let on = broker.events(&queue(), page.next.as_deref(), 10).await.unwrap();
        assert_eq!((on.gap, on.events.len(), on.next), (false, 0, page.next));
    }
    let page = broker.events(&queue(), Some(&read.events[0].cursor), 2).await.unwrap();
    assert_eq!((page.gap, page.events.len()), (false, 2), "what both have in common is no gap");
    for cursor in ["", "3", "x@1", "3@", "1@2@3"] {
        let error = broker.events(&queue(), Some(cursor), 10).await.unwrap_err();
        assert!(error.to_string().contains("is no cursor of events"), "{error}");
    }
}

/// What the store knows of a recorder belongs to another past, and the recorder began anew: its cursor moves back.
#[tokio::test]
async fn row_16_what_was_recorded_of_another_past_is_forgotten() {
    let server = RedisServer::start();
    let (broker, clock) = with_clock(&server).await;
    let mut plain = plain(&server).await;
    add(&broker, (0..3).map(job)).await;
    let first = broker.events(&queue(), None, 1).await.unwrap().next.unwrap();
    for stored in ["99 1", "2 1"] {
        let said = format!("{stored} {}", clock.now().as_millis());
        let set = redis::cmd("HSET").arg("lovage:{exports}:meta").arg("recorded").arg(&said).to_owned();
        let () = set.exec_async(&mut plain).await.unwrap();
        broker.recorded(&queue(), &first).await.unwrap();
        let now: String =
            redis::cmd("HGET").arg("lovage:{exports}:meta").arg("recorded").query_async(&mut plain).await.unwrap();
        assert_eq!(now, format!("1 {0} {0}", clock.now().as_millis()), "not {stored}");
    }
}

#[tokio::test]
async fn row_19_what_is_not_recorded_has_a_bound_in_bytes() {
    let server = RedisServer::start();
    let retention = Retention { completed_count: 2, ..Retention::default() };
    let config = RedisConfig { retention, unrecorded_bytes: 200_000, ..config(&server) };
    let broker = RedisBroker::connect(config).await.unwrap();
    let large = |number: u64| {
        let mut job = job(number);
        job.args = serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(10_000))).unwrap();
        job
    };
    add(&broker, [large(0)]).await;
    let start = broker.events(&queue(), None, 1).await.unwrap().next;
    broker.recorded(&queue(), start.as_deref().unwrap()).await.unwrap();
    add(&broker, (1..60).map(large)).await;
    let jobs = claim(&broker, 60).await;
    broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
    while broker.sweep(&queue()).await.unwrap().more {}
    let left = broker.queue(&queue()).await.unwrap().counts.completed;
    // 200,000 bytes are nineteen jobs of 10,500 bytes, and two are kept anyway.
    assert!((19..=22).contains(&left), "{left} are left");
}

/// Claims remove ended jobs, too, where nobody sweeps; and the short ways append events.
#[tokio::test]
async fn claims_keep_what_is_not_recorded() {
    let server = RedisServer::start();
    let retention = Retention { completed_count: 10, ..Retention::default() };
    let config = RedisConfig { retention, events_kept: 100, unrecorded_kept: 20_000, ..config(&server) };
    let broker = RedisBroker::connect(config).await.unwrap();
    add(&broker, [job(0)]).await;
    let start = broker.events(&queue(), None, 1).await.unwrap().next;
    broker.recorded(&queue(), start.as_deref().unwrap()).await.unwrap();
    let work = async || {
        add(&broker, (0..4_000).map(job)).await;
        loop {
            let jobs = claim(&broker, 500).await;
            if jobs.is_empty() {
                break;
            }
            broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
        }
        broker.queue(&queue()).await.unwrap().counts.completed
    };
    assert_eq!(work().await, 4_001);
    let page = broker.events(&queue(), start.as_deref(), 10_000).await.unwrap();
    assert!(!page.gap);
    let rest = broker.events(&queue(), page.next.as_deref(), 10_000).await.unwrap();
    assert_eq!(page.events.len() + rest.events.len(), 3 * 4_001 - 1);
    broker.recorded(&queue(), &rest.next.unwrap()).await.unwrap();
    assert!(work().await < 6_000, "what is recorded goes with the claims");
    assert!(broker.events(&queue(), start.as_deref(), 1).await.unwrap().gap);
}

/// Row 20: what is recorded makes room in a full Redis, so a full one can be told.
#[tokio::test]
async fn row_20_a_full_redis_hears_what_is_recorded() {
    let server = RedisServer::start();
    let retention = Retention { completed_count: 0, ..Retention::default() };
    let broker = RedisBroker::connect(RedisConfig { retention, ..config(&server) }).await.unwrap();
    let mut plain = plain(&server).await;
    add(&broker, [job(0)]).await;
    let first = broker.events(&queue(), None, 1).await.unwrap().next.unwrap();
    broker.recorded(&queue(), &first).await.unwrap();
    let jobs = claim(&broker, 1).await;
    broker.finish(&queue(), &worker(), complete(&jobs)).await.unwrap();
    assert_eq!(broker.sweep(&queue()).await.unwrap().pruned, 0);
    tell(&mut plain, "CONFIG SET maxmemory 1").await;
    let last = broker.events(&queue(), None, 10).await.unwrap().next.unwrap();
    broker.recorded(&queue(), &last).await.unwrap();
    assert_eq!(broker.sweep(&queue()).await.unwrap().pruned, 1);
}

/// Row 26: what happened to a job is of a sort that only a newer release knows. It is passed over, and reading goes on.
#[tokio::test]
async fn row_26_events_of_a_newer_release_are_passed_over() {
    let server = RedisServer::start();
    let (broker, _clock) = with_clock(&server).await;
    let mut plain = plain(&server).await;
    let ids = add(&broker, [job(1)]).await;
    tell(&mut plain, "HSET lovage:{exports}:meta seq 2").await;
    let fields = ["n", "1", "t", "1", "w", "", "e", "?a0 some-job"];
    let xadd = redis::cmd("XADD").arg("lovage:{exports}:events").arg("2-0").arg(&fields).to_owned();
    let () = xadd.exec_async(&mut plain).await.unwrap();
    let newest = add(&broker, [job(2)]).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    for _ in 0..3 {
        let page = broker.events(&queue(), cursor.as_deref(), 1).await.unwrap();
        assert!(!page.gap, "nothing is missing");
        seen.extend(page.events.into_iter().map(|event| event.id));
        cursor = page.next;
    }
    assert_eq!(seen, [ids[0].clone(), newest[0].clone()]);
}
