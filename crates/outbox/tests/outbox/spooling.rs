//! A producer whose broker is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::{BrokerError, EnqueueOutcome, OsEntropy, Producer, SystemClock};
use lovage_core::NewJob;
use lovage_outbox::{Batch, Handed, Outbox, OutboxError, SpoolConfig, Spooled};
use lovage_testkit::{Fault, FaultyBroker, Point, eventually};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::stage::{PATIENCE, Stage};

/// A broker with a switch.
struct Switched {
    stage: Stage,
    away: Arc<AtomicBool>,
    /// Whether it has done its work when it says that it is away.
    point: Point,
}

impl Switched {
    async fn new(point: Point) -> Self {
        Self { stage: Stage::sqlite().await, away: Arc::new(AtomicBool::new(true)), point }
    }

    fn broker(&self) -> Arc<dyn Producer> {
        let (away, bad) = (self.away.clone(), self.point);
        let plan = move |point| {
            if point == bad && away.load(Ordering::SeqCst) { Fault::Unavailable } else { Fault::None }
        };
        Arc::new(FaultyBroker::new(self.stage.broker.clone(), Arc::new(plan)))
    }

    fn config(&self) -> SpoolConfig {
        SpoolConfig::new(self.stage.folder.path().join("spool.db"))
    }

    async fn spooled(&self, config: SpoolConfig) -> Spooled {
        Spooled::open(config, self.broker(), Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap()
    }

    fn back(&self) {
        self.away.store(false, Ordering::SeqCst);
    }
}

fn job(queue: &str, id: Option<&str>) -> NewJob {
    let job = NewJob::new(queue.parse().unwrap(), "k".parse().unwrap(), &json!({ "n": 1 })).unwrap();
    NewJob { id: id.map(|id| id.parse().unwrap()), ..job }
}

fn spooled(handed: &[Handed]) -> Vec<String> {
    let id = |handed: &Handed| match handed {
        Handed::Spooled(id) => id.to_string(),
        other => panic!("not spooled: {other:?}"),
    };
    handed.iter().map(id).collect()
}

#[tokio::test]
async fn jobs_wait_in_the_file_and_keep_ids_and_order() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let spool = switched.spooled(switched.config()).await;
    let ids = spooled(&spool.enqueue(vec![job("mail", Some("a")), job("mail", None)]).await.unwrap());
    assert_eq!(ids[0], "a");
    drop(spool);

    // The process has ended meanwhile, and the broker is back: what is new goes behind what waits.
    switched.back();
    let spool = switched.spooled(switched.config()).await;
    let third = spool.enqueue(vec![job("mail", Some("c")), job("other", Some("d"))]).await.unwrap();
    assert_eq!(third[0], Handed::Spooled("c".parse().unwrap()));
    assert_eq!(third[1], Handed::Answered(EnqueueOutcome::Enqueued("d".parse().unwrap())), "no other queue waits");
    assert_eq!(spool.relay(None).drain().await.unwrap(), Batch { enqueued: 3, ..Batch::default() });
    assert_eq!(switched.stage.enqueued("mail").await, ["a", &ids[1], "c"]);
    let fourth = spool.enqueue(vec![job("mail", Some("e"))]).await.unwrap();
    assert_eq!(fourth, [Handed::Answered(EnqueueOutcome::Enqueued("e".parse().unwrap()))]);
}

/// The broker has done it, only its answer is lost.
#[tokio::test]
async fn an_answer_that_was_lost_doubles_nothing() {
    let switched = Switched::new(Point::AfterEnqueue).await;
    let spool = switched.spooled(switched.config()).await;
    let ids = spooled(&spool.enqueue(vec![job("mail", None)]).await.unwrap());
    assert_eq!(switched.stage.enqueued("mail").await, ids, "it is in both places");
    switched.back();
    assert_eq!(spool.relay(None).drain().await.unwrap(), Batch { existing: 1, ..Batch::default() });
    assert_eq!(switched.stage.enqueued("mail").await, ids);
}

#[tokio::test]
async fn a_background_relay_sends_as_soon_as_the_broker_is_back() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let spool = switched.spooled(switched.config()).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(spool.relay(None).run(stop.clone()));
    spooled(&spool.enqueue(vec![job("mail", Some("a"))]).await.unwrap());
    switched.back();
    let there = async || switched.stage.job("mail", "a").await;
    eventually("it is sent", PATIENCE, there).await;
    stop.cancel();
    running.await.unwrap();
}

/// A broker that neither answers nor refuses.
struct Silent;

#[async_trait]
impl Producer for Silent {
    async fn enqueue(&self, _: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_silent_broker_is_waited_for_no_longer_than_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let config = SpoolConfig { deadline: Duration::from_millis(50), ..SpoolConfig::new(folder.path().join("s.db")) };
    let spool = Spooled::open(config, Arc::new(Silent), Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap();
    // bounded wait: the deadline is 50 ms, this is for a slow machine
    let handed = tokio::time::timeout(PATIENCE, spool.enqueue(vec![job("mail", Some("a"))])).await.unwrap().unwrap();
    assert_eq!(spooled(&handed), ["a"]);
}

#[tokio::test]
async fn a_full_spool_says_so_and_takes_nothing_of_the_call() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let spool = switched.spooled(SpoolConfig { max_jobs: 2, ..switched.config() }).await;
    spooled(&spool.enqueue(vec![job("mail", Some("a"))]).await.unwrap());
    let handed = spool.enqueue(vec![job("mail", Some("b")), job("mail", Some("c"))]).await.unwrap();
    let Handed::NoRoom(no_room) = &handed[1] else { panic!("{handed:?}") };
    assert!(matches!(handed[0], Handed::NoRoom(_)) && no_room.to_string().contains("the spool is full (2 jobs"));
    assert_eq!(spool.outbox().status().await.unwrap().waiting, 1);

    let tight = switched.spooled(SpoolConfig { max_bytes: 40, ..switched.config() }).await;
    assert!(matches!(tight.enqueue(vec![job("mail", Some("d"))]).await.unwrap()[0], Handed::NoRoom(_)));
    switched.back();
    spool.relay(None).drain().await.unwrap();
    assert!(matches!(tight.enqueue(vec![job("mail", Some("d"))]).await.unwrap()[0], Handed::Answered(_)));
}

/// The bytes of a job of [`job`] in a spool.
async fn own_bytes(switched: &Switched) -> u64 {
    let path = switched.stage.folder.path().join("other.db");
    spooled(&switched.spooled(SpoolConfig::new(&path)).await.enqueue(vec![job("mail", None)]).await.unwrap());
    let mut file = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let sql = "SELECT length(args) + length(options) FROM lovage_outbox";
    sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut file).await.unwrap() as u64
}

/// A file of a release that counted nothing is opened, and what it holds counts; so does whatever else is done to the rows.
#[tokio::test]
async fn what_is_in_the_file_already_counts() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let path = switched.config().path.display().to_string();
    Outbox::new(path.parse().unwrap()).init().await.unwrap();
    let mut old = SqliteConnection::connect(&format!("sqlite:{path}")).await.unwrap();
    let mut sql = async |sql: &'static str| sqlx::query(sql).execute(&mut old).await.unwrap();
    let words = "INSERT INTO lovage_outbox (id, queue, kind, args) VALUES ('a', 'mail', 'k', '{\"n\":\"é\"}'), ('b', 'mail', 'k', '1')";
    sql(words).await;
    // Ten bytes and one of arguments, two of options each; a job of our own has more options.
    let bounds = |max_jobs, max_bytes| SpoolConfig { max_jobs, max_bytes, ..switched.config() };
    let (one, own) = (job("mail", Some("c")), own_bytes(&switched).await);
    let takes = async |config: SpoolConfig, job: &NewJob| {
        let spool = switched.spooled(config).await;
        matches!(spool.enqueue(vec![job.clone()]).await.unwrap()[0], Handed::Spooled(_))
    };
    assert!(!takes(bounds(2, 1_000), &one).await, "two are there");
    assert!(!takes(bounds(9, 15 + own - 1), &one).await, "with fifteen bytes");
    assert!(takes(bounds(3, 15 + own), &one).await);
    sql("UPDATE lovage_outbox SET args = '12345678' WHERE id = 'b'").await;
    sql("DELETE FROM lovage_outbox WHERE id = 'a'").await;
    // Now eight bytes of arguments and two of options, and what was taken.
    let next = job("mail", Some("d"));
    assert!(!takes(bounds(9, 10 + 2 * own - 1), &next).await);
    assert!(!takes(bounds(2, 1_000), &next).await);
    assert!(takes(bounds(3, 10 + 2 * own), &next).await);
    switched.back();
    switched.spooled(switched.config()).await.relay(None).drain().await.unwrap();
    switched.away.store(true, Ordering::SeqCst);
    assert!(!takes(bounds(0, 1_000), &job("mail", None)).await);
    assert!(takes(bounds(1, own), &job("mail", None)).await, "an empty file holds nothing");
}

#[tokio::test]
async fn a_mistake_is_told_at_once_also_while_the_broker_is_away() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let spool = switched.spooled(switched.config()).await;
    let bad = NewJob { timeout_ms: Some(0), ..job("mail", Some("a")) };
    let handed = spool.enqueue(vec![bad, job("mail", Some("b"))]).await.unwrap();
    let Handed::Answered(EnqueueOutcome::Refused(refused)) = &handed[0] else { panic!("{handed:?}") };
    assert!(refused.to_string().contains("timeout_ms"), "{refused}");
    assert_eq!(handed[1], Handed::Spooled("b".parse().unwrap()));
}

/// Two processes of a machine may share the file; here two handles of it.
#[tokio::test]
async fn two_may_share_the_file() {
    let switched = Switched::new(Point::BeforeEnqueue).await;
    let (one, two) = (switched.spooled(switched.config()).await, switched.spooled(switched.config()).await);
    let both = async |spool: &Spooled, name: &str| {
        for n in 0..50 {
            spooled(&spool.enqueue(vec![job("mail", Some(&format!("{name}-{n}")))]).await.unwrap());
        }
    };
    tokio::join!(both(&one, "one"), both(&two, "two"));
    switched.back();
    let (mut first, mut second) = (one.relay(None), two.relay(None));
    let (first, second) = tokio::join!(first.drain(), second.drain());
    first.unwrap();
    second.unwrap();
    assert_eq!(switched.stage.enqueued("mail").await.len(), 100);
    assert_eq!(one.outbox().status().await.unwrap().waiting, 0);
}

/// What is no outage is told: a spool must not hide a wrong setting.
#[tokio::test]
async fn a_broker_that_is_set_up_wrongly_is_no_outage() {
    struct Wrong;
    #[async_trait]
    impl Producer for Wrong {
        async fn enqueue(&self, _: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>, BrokerError> {
            Err(BrokerError::Misconfigured("it evicts keys".into()))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = SpoolConfig::new(folder.path().join("spool.db"));
    let spool = Spooled::open(config, Arc::new(Wrong), Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap();
    let error = spool.enqueue(vec![job("mail", Some("a"))]).await.unwrap_err();
    assert!(matches!(error, OutboxError::Broker(BrokerError::Misconfigured(_))), "{error:?}");
    assert_eq!(spool.outbox().status().await.unwrap().waiting, 0);
}
