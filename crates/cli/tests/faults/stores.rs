//! Disks that are full and stores that answer 500, are slow or cut their connections: an export fails with a clear
//! error and is tried again, and whatever happens nothing half-written becomes visible (rows 20, 28 and 29).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lovage_artifacts::{ArtifactStore, StoreConfig, SweepOptions};
use lovage_broker::{
    Broker, BrokerError, Connect, OsEntropy, RedisBroker, RedisConfig, SqliteBroker, SqliteConfig, SystemClock,
};
use lovage_core::{Clock as _, JobId, JobView, Kind, NewJob, QueueName, RetryPolicy, State};
use lovage_jobs::{Datasets, ExportRules, Services, Sources, registry};
use lovage_testkit::{Proxy, S3Server, SmallDisk, eventually};
use lovage_worker::{Shutdown, Worker, WorkerConfig, WorkerEvent};
use serde_json::json;

use crate::stage::{PATIENCE, Stage, files};

/// An export of about 12 MiB: two parts and a half on S3.
const QUERY: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 12000) \
                     select i, hex(zeroblob(500)) from n";
const SERVER_ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops";

/// An export that waits for an operator after its first failure.
async fn export(stage: &Stage) -> JobId {
    let mut job = stage.job("export.query", &json!({ "sql": QUERY }));
    job.retry = Some(RetryPolicy { max_attempts: 5, base_ms: 3_600_000, factor: 1.0, cap_ms: 3_600_000 });
    stage.add(job).await
}

/// Runs what there is with a worker in this process, to its end.
async fn work(stage: &Stage, store: &ArtifactStore) {
    let source = stage.folder.path().join("empty.db");
    std::fs::write(&source, "").expect("an empty file is an empty database");
    let mut sources = Sources::new();
    sources.add("default", &format!("sqlite://{}", source.display())).expect("a valid address");
    let services = Services {
        artifacts: store.clone(),
        sources,
        datasets: Datasets::default(),
        rules: ExportRules { allow_raw_sql: true, ..ExportRules::default() },
        audit: None,
        clock: Arc::new(SystemClock),
    };
    let redis = RedisConfig { url: stage.server.url(), ..RedisConfig::default() };
    let connect: Connect = Arc::new(move || {
        let redis = redis.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(redis).await?) as Arc<dyn Broker>) })
    });
    let id = "exporter".parse().expect("a valid id");
    let config = WorkerConfig { exit_when_empty: true, ..WorkerConfig::new(id, vec![(stage.queue.clone(), 1)]) };
    let worker = Worker::new(config, connect, registry(services, false), Arc::new(OsEntropy), Arc::new(SystemClock));
    worker.run(Shutdown::new()).await.expect("the worker ends well");
}

/// The attempt failed, will be tried again, and says why.
async fn failed(stage: &Stage, id: &JobId, attempts: u32, words: &[&str]) {
    let view = stage.view(id).await;
    assert_eq!((view.state, view.failed), (State::Retryable, attempts), "{:?}", view.errors);
    let error = &view.errors.last().expect("an error").message;
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

async fn succeeds(stage: &Stage, store: &ArtifactStore, id: &JobId) -> JobView {
    stage.broker.retry(&stage.queue, id).await.expect("redriven");
    work(stage, store).await;
    whole(stage, store, id).await
}

async fn whole(stage: &Stage, store: &ArtifactStore, id: &JobId) -> JobView {
    let view = stage.view(id).await;
    assert_eq!(view.state, State::Completed, "{:?}", view.errors);
    let manifest = store.existing(&stage.queue, id).await.expect("a readable store").expect("a manifest");
    store.verify(&manifest.files[0].key).await.expect("the file is whole");
    view
}

async fn sweep(store: &ArtifactStore) {
    let later = SystemClock.now().plus(Duration::from_hours(48));
    store.sweep_orphans(SweepOptions::at(later), |_, _| async { false }).await.expect("swept");
}

fn folder(path: &Path) -> ArtifactStore {
    ArtifactStore::open(&StoreConfig::new(path.display().to_string())).expect("a local store")
}

/// Row 28: the disk of the local store is full in the middle of an export.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_28_a_full_disk_shows_no_half_file() {
    let (stage, disk) = (Stage::open().await, SmallDisk::new(10 * 1_024));
    let store = folder(disk.path());
    let id = export(&stage).await;
    work(&stage, &store).await;
    failed(&stage, &id, 1, &["the artifact store is unavailable", "No space left on device"]).await;
    assert_eq!(store.existing(&stage.queue, &id).await.expect("a readable store"), None);
    let left = files(disk.path());
    assert!(left.is_empty(), "an attempt that failed gives its room back: {left:?}");

    disk.resize(30 * 1_024);
    succeeds(&stage, &store, &id).await;
    sweep(&store).await;
    assert_eq!(files(disk.path()).len(), 2, "one file and one manifest");
}

fn bucket(server: &S3Server, proxy: &Proxy, retry_for: Duration) -> ArtifactStore {
    let mut config = StoreConfig::new("s3://files/exports");
    config.retry_for = retry_for;
    let through = format!("http://{}", proxy.address());
    let config = server.settings().into_iter().fold(config, |config, (name, value)| {
        config.with(name, if name == "AWS_ENDPOINT_URL" { through.clone() } else { value })
    });
    ArtifactStore::open(&config).expect("a bucket")
}

/// Row 29: the store answers 500 to everything, is healthy again, then answers 500 in the middle of an upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_a_store_that_answers_500_is_tried_again() {
    let (stage, server) = (Stage::open().await, S3Server::start("files"));
    let proxy = Proxy::start(server.socket()).await;
    let store = bucket(&server, &proxy, Duration::ZERO);
    let id = export(&stage).await;
    proxy.answer(SERVER_ERROR);
    work(&stage, &store).await;
    failed(&stage, &id, 1, &["the artifact store is unavailable", "500"]).await;

    proxy.heal();
    stage.broker.retry(&stage.queue, &id).await.expect("redriven");
    let fault = async {
        eventually("the upload has begun", PATIENCE, async || (server.unfinished_uploads() > 0).then_some(())).await;
        proxy.answer(SERVER_ERROR);
    };
    tokio::join!(work(&stage, &store), fault);
    failed(&stage, &id, 2, &["the artifact store is unavailable"]).await;
    assert_eq!(server.keys().iter().filter(|key| key.contains("jobs/")).count(), 0, "nothing is visible");

    proxy.heal();
    succeeds(&stage, &store, &id).await;
    sweep(&store).await;
    assert_eq!(server.keys().iter().filter(|key| key.contains("jobs/")).count(), 2, "one file and one manifest");
}

/// Row 29: every round trip takes long; and then every connection is cut, again and again, in the middle of the upload.
/// The client repeats what it may repeat, so the first attempt succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_a_slow_store_that_cuts_connections_gets_the_whole_file() {
    let (stage, server) = (Stage::open().await, S3Server::start("files"));
    let proxy = Proxy::start(server.socket()).await;
    let store = bucket(&server, &proxy, PATIENCE);
    proxy.delay(Duration::from_millis(300));
    let id = export(&stage).await;
    let fault = async {
        for _ in 0..3 {
            // A part is there, so the client knows its upload, and waits for the answer.
            eventually("the upload goes on", PATIENCE, async || (server.unfinished_parts() > 0).then_some(())).await;
            proxy.cut();
        }
    };
    tokio::join!(work(&stage, &store), fault);
    let view = whole(&stage, &store, &id).await;
    assert_eq!((view.attempt, view.failed), (1, 0));
    assert_eq!(server.unfinished_uploads(), 0);
}

/// Row 20: the disk of the embedded broker's file is full. Producers and workers are told so, nothing half-written is
/// there, and everything goes on when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_a_full_disk_under_the_embedded_broker() {
    let (disk, folder) = (SmallDisk::new(2 * 1_024), tempfile::tempdir().expect("a folder"));
    let config = SqliteConfig::new(disk.path().join("lovage.db"));
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(SqliteBroker::open(config).await?) as Arc<dyn Broker>) })
    });
    let broker = connect().await.expect("the broker opens");
    let queue: QueueName = "exports".parse().expect("a valid name");
    let args = json!({ "text": "x".repeat(2_000) });
    let kind: Kind = "debug.noop".parse().expect("a valid kind");
    let mut ids = Vec::new();
    let error = loop {
        let job = || NewJob::new(queue.clone(), kind.clone(), &args).expect("plain arguments");
        match broker.enqueue((0..20).map(|_| job()).collect()).await {
            Ok(outcomes) => ids.extend(outcomes.iter().map(|outcome| outcome.id().expect("enqueued").clone())),
            Err(error) => break error,
        }
        assert!(ids.len() < 10_000, "the disk is never full");
    };
    assert!(matches!(&error, BrokerError::Unavailable(text) if text.contains("full")), "{error}");
    let counts = broker.queue(&queue).await.expect("reading needs no room").counts;
    assert_eq!(counts.available, ids.len() as u64, "what was refused is not there, what was answered is");

    // A worker on the full disk: fill it to the last byte, so that not even a claim fits.
    std::fs::write(disk.path().join("filler"), vec![0; 4 << 20]).expect_err("the disk is full");
    let (observer, mut events) = tokio::sync::mpsc::unbounded_channel();
    let worker = WorkerConfig::new("w1".parse().expect("a valid id"), vec![(queue.clone(), 1)]);
    let worker = WorkerConfig { observer: Some(observer), exit_when_empty: true, ..worker };
    let services = Services {
        artifacts: self::folder(folder.path()),
        sources: Sources::new(),
        datasets: Datasets::default(),
        rules: ExportRules { allow_raw_sql: true, ..ExportRules::default() },
        audit: None,
        clock: Arc::new(SystemClock),
    };
    let opened = Arc::clone(&broker);
    let same: Connect = Arc::new(move || {
        let opened = Arc::clone(&opened);
        Box::pin(async move { Ok(opened) })
    });
    let worker = Worker::new(worker, same, registry(services, true), Arc::new(OsEntropy), Arc::new(SystemClock));
    let running = tokio::spawn(worker.run(Shutdown::new()));
    let outage = async {
        while let Some(event) = events.recv().await {
            if event == WorkerEvent::Unavailable {
                return;
            }
        }
        panic!("the worker ended on a full disk");
    };
    tokio::time::timeout(PATIENCE, outage).await.expect("the worker notices");
    disk.resize(64 * 1_024);
    let summary = tokio::time::timeout(PATIENCE, running).await.expect("it ends").expect("no panic").expect("well");
    assert_eq!(summary.completed, ids.len() as u64, "{summary:?}");
    for id in &ids {
        let view = broker.job(Some(&queue), id).await.expect("answers").expect("there");
        assert_eq!((view.state, view.failed), (State::Completed, 0));
    }
}
