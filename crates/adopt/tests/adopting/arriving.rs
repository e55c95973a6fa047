//! What a producer pushes arrives.

use apalis_core::backend::{BackendConfig, FetchById, TaskSink, WaitForCompletion};
use apalis_core::task::metadata::{MetadataStore, TracingContext};
use apalis_core::task::status::Status;
use apalis_core::task::task_id::TaskId;
use apalis_redis::RedisStorage;
use futures::StreamExt as _;
use lovage_adopt::{Adopter, AdopterConfig, Backlog, Batch};
use lovage_broker::SystemClock;
use lovage_core::{Clock as _, State, Timestamp};
use lovage_testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::stage::{Email, PATIENCE, SOURCE, Stage, connect, email, task, ulid_task};

/// Row 03: more at once than apalis' own worker can promote, and than any of our calls takes.
#[tokio::test]
async fn row_03_twenty_thousand_pushed_at_once_arrive_once_each() {
    let stage = Stage::open().await;
    let mut storage = stage.storage().await;
    for first in (0..20_000).step_by(500) {
        storage.push_bulk((first..first + 500).map(email).collect()).await.unwrap();
    }
    let done = stage.adopter("a").drain().await.unwrap().unwrap();
    assert_eq!(done, Batch { adopted: 20_000, known: 0, dead: 0 });
    assert_eq!(stage.numbers(State::Available).await.len(), 20_000);
    assert_eq!(stage.left().await, (0, 0, 0, 0));
    assert_eq!(stage.adopter("a").drain().await.unwrap().unwrap(), Batch::default(), "there is nothing left to do");
}

/// Row 03: ten thousand tasks of one instant keep their time, and are there when it comes.
#[tokio::test]
async fn row_03_ten_thousand_due_at_one_instant_keep_their_time() {
    let stage = Stage::open().await;
    let mut storage = stage.storage().await;
    let due = SystemClock.now().as_millis() / 1_000 + 3_600;
    for first in (0..10_000).step_by(500) {
        let one = |number| task(&format!("t{number}"), number).run_at_timestamp(due).build();
        storage.push_all(futures::stream::iter((first..first + 500).map(one))).await.unwrap();
    }
    assert_eq!(stage.adopter("a").drain().await.unwrap().unwrap().adopted, 10_000);
    let jobs = stage.jobs(State::Scheduled).await;
    assert_eq!(jobs.len(), 10_000);
    assert!(jobs.iter().all(|job| job.due_at.map(Timestamp::as_millis) == Some(due * 1_000)));
    assert_eq!(stage.numbers(State::Scheduled).await.len(), 10_000);
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The id, the attempts that are left and the metadata come along.
#[tokio::test]
async fn a_task_keeps_its_id_its_metadata_and_its_attempts() {
    let stage = Stage::open().await;
    let (id, _) = ulid_task(1);
    let asked = task(&id, 1).max_attempts(7).attempt(2).idempotency_key("order-1");
    let note = MetadataStore::from_map([("request_id".to_owned(), "r-9".to_owned())].into());
    let trace = TracingContext::new().with_trace_id(TRACE).with_span_id("00f067aa0ba902b7").with_trace_flags(1);
    let asked = asked.with_metadata(note).metadata(&trace);
    stage.storage().await.push_task(asked.build()).await.unwrap();
    stage.storage().await.push_task(task("42", 2).build()).await.unwrap();
    assert_eq!(stage.adopter("a").drain().await.unwrap().unwrap().adopted, 2);

    let job = stage.job(&id).await.unwrap();
    assert_eq!(job.max_attempts, Some(5), "two of seven were used");
    assert_eq!(job.kind.unwrap().as_str(), "email.send");
    assert_eq!(job.args.unwrap().get(), r#"{"to":"1@example.com","number":1}"#);
    assert_eq!(job.metadata["request_id"], "r-9");
    assert_eq!(job.metadata["traceparent"], format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(job.metadata["idempotency_key"], "order-1");
    assert_eq!(job.metadata["adopted_from"], SOURCE);

    let other = stage.job(&format!("{SOURCE}:42")).await.unwrap();
    assert_eq!((other.max_attempts, other.metadata["apalis_id"].as_str()), (None, "42"));
}

/// Whoever asks apalis is told that the task is done there and where it went; nobody takes that for a result.
#[tokio::test]
async fn the_producer_sees_that_its_task_was_handed_over() {
    let stage = Stage::open().await;
    let mut storage = stage.storage().await;
    let (id, task) = ulid_task(1);
    storage.push_task(task).await.unwrap();
    stage.adopter("a").drain().await.unwrap().unwrap();

    let task_id = TaskId::from_string(&id);
    let mut results = WaitForCompletion::<Vec<String>>::wait_for(&mut storage, [task_id.clone()]);
    let answer = results.next().await.unwrap().unwrap();
    assert_eq!(answer.status(), &Status::Done);
    assert_eq!(answer.take().unwrap_err(), "handed over to Lovage: queue emails");
    assert!(storage.fetch_by_id(&task_id).await.unwrap().is_none(), "apalis has no payload of it any more");
    let life: i64 = stage.ask(&["TTL", &format!("{SOURCE}:meta:{id}")]).await;
    assert!((1..=86_400).contains(&life), "what is known about it does not stay for ever: {life} s");
    let keys: Vec<String> = stage.ask(&["KEYS", &format!("{SOURCE}:*")]).await;
    assert_eq!(keys.len(), 2, "that and the owner's mark are all that is left: {keys:?}");
}

/// The same id is the same job, however often it is pushed.
#[tokio::test]
async fn an_id_that_is_pushed_again_is_one_job() {
    let stage = Stage::open().await;
    let mut adopter = stage.adopter("a");
    for known in [0, 1] {
        let (_, task) = ulid_task(1);
        stage.storage().await.push_task(task).await.unwrap();
        assert_eq!(adopter.drain().await.unwrap().unwrap(), Batch { adopted: 1 - known, known, dead: 0 });
    }
    assert_eq!(stage.counts().await.available, 1);
}

/// A running adopter finds what is pushed later, and several of them share the work without doing any of it twice.
#[tokio::test]
async fn several_adopters_take_every_task_once_while_producers_push() {
    let stage = Stage::open().await;
    let stop = CancellationToken::new();
    let adopters: Vec<_> = ["a", "b", "c"].map(|name| tokio::spawn(stage.adopter(name).run(stop.clone()))).into();
    let producers = (0..4_u32).map(async |producer| {
        let mut storage = stage.storage().await;
        for first in (0..3_000).step_by(300) {
            let from = producer * 3_000 + first;
            storage.push_bulk((from..from + 300).map(email).collect()).await.unwrap();
        }
    });
    futures::future::join_all(producers).await;
    eventually("all have arrived", PATIENCE, async || (stage.counts().await.available == 12_000).then_some(())).await;
    eventually("all are settled", PATIENCE, async || (stage.left().await == (0, 0, 0, 0)).then_some(())).await;
    stop.cancel();
    for adopter in adopters {
        adopter.await.unwrap();
    }
    assert_eq!(stage.numbers(State::Available).await.len(), 12_000);
}

/// The names of the keys are those of apalis-redis, also for a queue that nobody named.
#[tokio::test]
async fn the_keys_are_those_of_apalis() {
    let stage = Stage::open().await;
    let connection = connect(&stage.server.url()).await;
    let mut storage = RedisStorage::<Email>::new(connection);
    let config = storage.config().clone();
    assert!(config.queue.as_ref().ends_with("::stage::Email"), "the type's name: {}", config.queue.as_ref());
    storage.push(email(1)).await.unwrap();

    let adoption = format!("{}@emails=email.send", config.queue.as_ref()).parse().unwrap();
    let config_of_ours = AdopterConfig::new(stage.server.url(), adoption, "a");
    let mut adopter = Adopter::new(config_of_ours, stage.broker.clone()).unwrap();
    assert_eq!(adopter.backlog().await.unwrap(), Backlog { waiting: 1, dead: 0 });
    assert_eq!(adopter.drain().await.unwrap().unwrap().adopted, 1);
    for (ours, theirs) in [
        ("active", config.active_jobs_list()),
        ("scheduled", config.scheduled_jobs_set()),
        ("data", config.job_data_hash()),
        ("dead", config.dead_jobs_set()),
        ("workers", config.workers_set()),
        ("meta", config.job_meta_hash()),
        ("inflight", config.inflight_jobs_set()),
    ] {
        assert_eq!(theirs, format!("{}:{ours}", config.queue.as_ref()));
    }
}
