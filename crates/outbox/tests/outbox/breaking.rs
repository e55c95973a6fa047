//! What breaks between a table and the broker loses nothing and doubles nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lovage_broker::{Broker, BrokerError, EnqueueOutcome, Producer, RedisBroker, RedisConfig};
use lovage_core::NewJob;
use lovage_outbox::{Batch, LateProducer, Outbox, OutboxError, Relay, RelayConfig};
use lovage_testkit::{Fault, FaultyBroker, Point, RedisServer, eventually};
use sqlx::Connection as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::stage::{PATIENCE, Stage, broker};

fn faulty(stage: &Stage, plan: impl Fn(Point) -> Fault + Send + Sync + 'static) -> Arc<dyn Producer> {
    Arc::new(FaultyBroker::new(stage.broker.clone(), Arc::new(plan)))
}

pub async fn insert(stage: &Stage, rows: std::ops::Range<u32>) {
    let rows: Vec<_> = rows.map(|n| format!("('row-{n:05}', 'k')")).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind) VALUES {}", rows.join(", "))).await;
}

/// The worst moment: the jobs are in, the table does not know it, the relay is gone. The next one finds them there.
async fn a_break_between_enqueue_and_delete_doubles_nothing(stage: Stage) {
    insert(&stage, 0..1_200).await;
    let broken = faulty(&stage, |point| if point == Point::AfterEnqueue { Fault::Unavailable } else { Fault::None });
    let error = stage.relay_into(broken).step().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!((stage.counts("default").await.available, stage.left().await), (500, (1_200, 0, 0)));
    let done = stage.relay().drain().await.unwrap();
    assert_eq!(done, Batch { enqueued: 700, existing: 500, ..Batch::default() });
    assert_eq!((stage.enqueued("default").await.len(), stage.left().await), (1_200, (0, 0, 0)));
}

/// Nothing is deleted that was never enqueued, and the relay goes on by itself when the broker is back.
async fn a_broker_that_is_away_loses_nothing(stage: Stage) {
    insert(&stage, 0..700).await;
    let calls = AtomicU32::new(0);
    let away = faulty(&stage, move |point| {
        let away = point == Point::BeforeEnqueue && calls.fetch_add(1, Ordering::Relaxed) < 2;
        if away { Fault::Unavailable } else { Fault::None }
    });
    let stop = CancellationToken::new();
    let running = tokio::spawn(stage.relay_into(away).run(stop.clone()));
    eventually("all are relayed", PATIENCE, async || (stage.left().await == (0, 0, 0)).then_some(())).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(stage.enqueued("default").await.len(), 700);
}

/// Relays that run at once, each of which fails now and then at the worst moment and is replaced: 10,000 rows, each one
/// job.
async fn relays_at_once_double_nothing(stage: Stage) {
    insert(&stage, 0..10_000).await;
    let calls = Arc::new(AtomicU32::new(0));
    let relay = async || {
        let mut moved = 0;
        loop {
            let calls = calls.clone();
            let now_and_then = faulty(&stage, move |point| match point {
                Point::AfterEnqueue if calls.fetch_add(1, Ordering::Relaxed) % 3 == 1 => Fault::Unavailable,
                _ => Fault::None,
            });
            // A relay whose step failed is thrown away, as a process that dies.
            let mut relay = stage.relay_into(now_and_then);
            while let Ok(batch) = relay.step().await {
                moved += batch.moved();
                if batch.moved() == 0 && stage.left().await == (0, 0, 0) {
                    return moved;
                }
            }
        }
    };
    tokio::join!(relay(), relay(), relay());
    assert!(calls.load(Ordering::Relaxed) > 20, "many batches, a third of them broken");
    assert_eq!(stage.enqueued("default").await.len(), 10_000);
}

/// Row 16: the broker has confirmed jobs, and a failover to a replica that lagged behind has lost them. A relay that
/// keeps its rows until a second answer sends them again; jobs that were not lost stay as they are.
async fn row_16_what_a_failover_lost_is_sent_again(stage: Stage) {
    insert(&stage, 0..10).await;
    let lagging = broker(&stage.folder, "replica.db").await;
    stage.confirming(stage.broker.clone()).step().await.unwrap();
    assert_eq!(stage.left().await, (0, 10, 0), "confirmed once, to be confirmed again");
    // The replica got some of them before it was made the primary.
    let got = (0..4).map(|n| {
        let (queue, kind) = ("default".parse().unwrap(), "k".parse().unwrap());
        let id = Some(format!("row-{n:05}").parse().unwrap());
        NewJob { id, ..NewJob::new(queue, kind, &serde_json::json!({})).unwrap() }
    });
    lagging.enqueue(got.collect()).await.unwrap();
    let mut relay = stage.confirming(lagging.clone());
    let batch = relay.step().await.unwrap();
    assert_eq!(batch, Batch { confirmed: 4, resent: 6, ..Batch::default() });
    let counts = lagging.queue(&"default".parse().unwrap()).await.unwrap().counts;
    assert_eq!((counts.available, stage.left().await), (10, (0, 0, 0)));
}

/// A row that another job answered for is not asked for again: when that job has ended, it would be a new one.
async fn a_row_that_another_job_answers_for_is_confirmed_once(stage: Stage) {
    let options = r#"{"unique": {"key": "one"}}"#;
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind, options) VALUES ('a', 'k', '{options}')")).await;
    stage.relay().drain().await.unwrap();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind, options) VALUES ('b', 'k', '{options}')")).await;
    stage.confirming(stage.broker.clone()).step().await.unwrap();
    assert_eq!(stage.left().await, (0, 0, 0));
    assert_eq!(stage.enqueued("default").await, ["a"]);
}

/// Row 16: the same with a real Redis that comes back empty.
#[tokio::test]
async fn row_16_an_emptied_redis_gets_its_jobs_again() {
    let (stage, mut server) = (Stage::sqlite().await, RedisServer::start());
    insert(&stage, 0..100).await;
    let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
    let redis = Arc::new(RedisBroker::connect(config).await.unwrap());
    let mut relay = stage.confirming(redis);
    assert_eq!(relay.step().await.unwrap().enqueued, 100);
    server.restart();
    assert_eq!(server.ask(&["DBSIZE"]), ":0");
    let again = async || {
        let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
        let redis = Arc::new(RedisBroker::connect(config).await.ok()?);
        stage.confirming(redis).drain().await.ok()
    };
    let batch = eventually("Redis is back", PATIENCE, again).await;
    assert_eq!((batch.resent, batch.confirmed, stage.left().await), (100, 0, (0, 0, 0)));
}

/// The database ends the relay's transaction in the middle: the rows are there for the next one, their jobs answer.
#[tokio::test]
async fn a_connection_that_is_cut_while_the_broker_answers_doubles_nothing() {
    let stage = Stage::postgres().await;
    insert(&stage, 0..10).await;
    let url = stage.url.clone();
    let cut = faulty(&stage, move |point| {
        if point == Point::AfterEnqueue {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lovage outbox'";
            let done = std::process::Command::new("psql").args([&url, "-c", sql]).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        Fault::None
    });
    let error = stage.relay_into(cut).step().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(stage.relay().drain().await.unwrap(), Batch { existing: 10, ..Batch::default() });
}

/// A broker that takes its time.
struct Slow {
    asked: Notify,
    answer: Notify,
    broker: Arc<dyn Broker>,
}

#[async_trait]
impl Producer for Slow {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
        self.asked.notify_one();
        self.answer.notified().await;
        self.broker.enqueue(jobs).await
    }
}

/// While one relay works a queue, another one neither waits for it nor touches its rows.
#[tokio::test]
async fn a_queue_is_worked_by_one_relay_at_a_time() {
    let stage = Stage::postgres().await;
    insert(&stage, 0..600).await;
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new(), broker: stage.broker.clone() });
    let mut first = stage.relay_into(slow.clone());
    let working = tokio::spawn(async move { first.step().await });
    slow.asked.notified().await;
    stage.sql("INSERT INTO lovage_outbox (queue, kind) VALUES ('other', 'k')").await;
    let other = stage.relay().drain().await.unwrap();
    assert_eq!(other, Batch { enqueued: 1, ..Batch::default() }, "only what is nobody's");
    slow.answer.notify_one();
    assert_eq!(working.await.unwrap().unwrap().enqueued, 500);
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 100);
    assert!(stage.enqueued("default").await.is_sorted());
}

/// A cluster of which a part is away.
struct Partial {
    broker: Arc<dyn Broker>,
}

#[async_trait]
impl Producer for Partial {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
        if jobs.iter().any(|job| job.queue.as_str() == "away") {
            return Err(BrokerError::Unavailable("its master is down".into()));
        }
        self.broker.enqueue(jobs).await
    }
}

async fn a_queue_that_cannot_be_reached_holds_up_no_other(stage: Stage) {
    let rows: Vec<_> = (0..600).map(|n| format!("('a{n}', 'away', 'k'), ('z{n}', 'zebra', 'k')")).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, queue, kind) VALUES {}", rows.join(", "))).await;
    let mut relay = stage.relay_into(Arc::new(Partial { broker: stage.broker.clone() }));
    let batch = relay.drain().await.unwrap();
    assert_eq!((batch.enqueued, batch.failed), (600, 0));
    assert!(batch.away > 0, "and it is said: {batch:?}");
    assert_eq!((stage.enqueued("zebra").await.len(), stage.left().await), (600, (600, 0, 0)));
    let mut relay = stage.relay_into(Arc::new(Partial { broker: stage.broker.clone() }));
    assert!(relay.drain().await.unwrap_err().is_transient(), "if nothing can be reached, that is an error");
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 600);
}

/// Row 05: a relay that was frozen while another one did its work deletes only what it has read itself, also when the
/// service has inserted since.
#[tokio::test]
async fn row_05_a_relay_that_wakes_up_too_late_deletes_nothing_new() {
    let stage = Stage::sqlite().await;
    insert(&stage, 0..3).await;
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new(), broker: stage.broker.clone() });
    let mut first = stage.relay_into(slow.clone());
    let working = tokio::spawn(async move { first.step().await });
    slow.asked.notified().await;
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 3);
    insert(&stage, 3..6).await;
    slow.answer.notify_one();
    assert_eq!(working.await.unwrap().unwrap(), Batch { existing: 3, ..Batch::default() });
    assert_eq!(stage.left().await, (3, 0, 0), "the new rows are still there");
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 3);
}

/// A look into the indexes costs what is moved, not what waits behind it; also right after a mass insert, when the planner knows
/// nothing about the table yet.
#[tokio::test]
async fn a_batch_does_not_read_the_crowd() {
    let stage = Stage::postgres().await;
    let crowd = "INSERT INTO lovage_outbox (queue, kind) SELECT 'q' || n % 3, 'k' FROM generate_series(1, 50000) n";
    stage.sql(crowd).await;
    let mut relay = stage.relay();
    assert_eq!(relay.step().await.unwrap().enqueued, 498);
    drop(relay);
    let mut service = sqlx::PgConnection::connect(&stage.url).await.unwrap();
    let service = tokio::sync::Mutex::new(&mut service);
    // The server tells of what a session has read when the session ends.
    let look = async || {
        let sql = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'lovage_outbox'";
        let read: i64 = sqlx::query_scalar(sql).fetch_one(&mut **service.lock().await).await.unwrap();
        (read > 0).then_some(read)
    };
    let read = eventually("the server tells", PATIENCE, look).await;
    assert!((498..3_000).contains(&read), "{read} entries were read to move 498 rows");
}

/// What a relay cannot reach is said, without a password; a relay starts before its broker.
#[tokio::test]
async fn what_cannot_be_reached_is_said_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Stage::postgres().await;
    let port = server.server.as_ref().unwrap().port();
    drop(server);
    let url = format!("postgres://app:s3cret@127.0.0.1:{port}/shop");
    let said = |error: &OutboxError| format!("{error} {error:?}");
    let outbox = Outbox::new(url.parse().unwrap());
    let error = outbox.status().await.unwrap_err();
    assert!(error.is_transient() && !said(&error).contains("s3cret"), "{error:?}");
    assert!(said(&error).contains(&format!("127.0.0.1:{port}/shop: cannot be reached")), "{error:?}");

    let outbox = Outbox::new(folder.path().join("none.db").display().to_string().parse().unwrap());
    let error = outbox.status().await.unwrap_err();
    assert!(matches!(error, OutboxError::Missing(_)), "{error:?}");
    assert!(!folder.path().join("none.db").exists(), "a look makes no file");
    std::fs::write(folder.path().join("none.db"), "").unwrap();
    let error = outbox.status().await.unwrap_err();
    assert!(matches!(error, OutboxError::Missing(_)), "{error:?}");
    assert!(error.to_string().contains("lovage outbox init"), "{error}");

    outbox.init().await.unwrap();
    let connect = Arc::new(|| -> futures::future::BoxFuture<'static, _> {
        Box::pin(async { Err(BrokerError::Unavailable("not yet".into())) })
    });
    let mut relay = Relay::new(outbox, Arc::new(LateProducer::new(connect)), RelayConfig::default());
    assert_eq!(relay.drain().await.unwrap(), Batch::default(), "nothing to do needs no broker");
}

crate::on_both!(
    a_break_between_enqueue_and_delete_doubles_nothing,
    a_broker_that_is_away_loses_nothing,
    relays_at_once_double_nothing,
    row_16_what_a_failover_lost_is_sent_again,
    a_row_that_another_job_answers_for_is_confirmed_once,
    a_queue_that_cannot_be_reached_holds_up_no_other,
);
